//! What a datagram becomes, by its size and the side it came from: nobody looks into it.

/// The smallest room that a changed datagram leaves.
const LEAST_BYTES: usize = 1;

/// How sizes change on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Bytes that a request gains (a Via) and a response loses.
    pub(crate) grow: usize,
    /// Bytes that an INVITE gains besides (a Record-Route).
    pub(crate) grow_invite: usize,
    /// A request from this size on is an INVITE.
    pub(crate) invite_bytes: usize,
    /// Size of the 100 that each INVITE draws; 0: it draws none.
    pub(crate) trying_bytes: usize,
}

impl Rule {
    /// A request's size behind the forwarder, where there is `room` for it.
    pub(crate) fn request(&self, bytes: usize, room: usize) -> usize {
        let more = if self.is_invite(bytes) { self.grow + self.grow_invite } else { self.grow };
        (bytes + more).min(room)
    }

    /// A response's size behind the forwarder.
    pub(crate) fn response(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.grow).max(LEAST_BYTES.min(bytes))
    }

    /// Whether a request draws a 100.
    pub(crate) const fn draws_trying(&self, bytes: usize) -> bool {
        self.trying_bytes > 0 && self.is_invite(bytes)
    }

    const fn is_invite(&self, bytes: usize) -> bool {
        bytes >= self.invite_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_as_a_proxy_changes_them() {
        let rule = Rule { grow: 90, grow_invite: 110, invite_bytes: 600, trying_bytes: 300 };
        assert_eq!((rule.request(500, 2000), rule.request(600, 2000), rule.request(600, 700)), (590, 800, 700));
        assert_eq!((rule.response(500), rule.response(90), rule.response(0)), (410, 1, 0));
        assert!(rule.draws_trying(600) && !rule.draws_trying(599));
        assert!(!Rule { trying_bytes: 0, ..rule }.draws_trying(600));
    }
}
