//! What a shard leaves out when more comes in than it keeps up with.
//!
//! A full receive buffer loses whatever comes next: of a call's six messages each one then needs several tries, every retransmission
//! adds to the load, and most of the work goes into calls that never complete. So before the buffer is full, new calls are left out
//! and those that have begun are served: an INVITE is dropped unread (RFC 3261 §21.5.4: a server that is overloaded may drop a request
//! instead of answering 503), which costs a tenth of a refusal and brings the same INVITE again when there may be room.

use crate::limits::{BATCH_DATAGRAMS, SHED_ABOVE, SHED_BELOW};

/// Whether one shard sheds INVITEs.
#[derive(Debug, Default)]
pub(super) struct Overload {
    is_on: bool,
    received_before: u64,
}

impl Overload {
    /// At the end of a turn: whether the next one leaves INVITEs out. `received` datagrams came in since the start; `backlog` tells how
    /// full the receive buffer is, and costs a system call: it is asked only after a turn that may have left something there.
    pub(super) fn note(&mut self, received: u64, backlog: impl FnOnce() -> f32) -> bool {
        let in_turn = received - self.received_before;
        self.received_before = received;
        if self.is_on || in_turn >= BATCH_DATAGRAMS as u64 {
            let bound = if self.is_on { SHED_BELOW } else { SHED_ABOVE };
            self.is_on = backlog() > bound;
        }
        self.is_on
    }
}

/// Whether a datagram is what is shed.
pub(super) fn is_invite(bytes: &[u8]) -> bool {
    bytes.starts_with(b"INVITE ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_sheds_from_half_a_buffer_on_until_a_quarter_is_left() {
        let (mut overload, mut received) = (Overload::default(), 0);
        let shed: Vec<_> = [0.0, 0.49, 0.51, 0.9, 0.3, 0.24, 0.49, 2.0, 0.0]
            .map(|backlog| {
                received += BATCH_DATAGRAMS as u64;
                overload.note(received, || backlog)
            })
            .into();
        assert_eq!(shed, [false, false, true, true, true, false, false, true, false]);
    }

    #[test]
    fn a_turn_that_brought_little_asks_nothing_of_the_kernel() {
        let mut overload = Overload::default();
        assert!(!overload.note(63, || unreachable!()));
        assert!(overload.note(63 + 64, || 1.0));
        assert!(!overload.note(63 + 64, || 0.0), "who sheds always looks");
    }

    #[test]
    fn only_an_invite_is_shed() {
        assert!(is_invite(b"INVITE sip:a@b SIP/2.0\r\n"));
        for kept in ["ACK sip:a", "BYE sip:a", "CANCEL sip:a", "SIP/2.0 200 OK", "INVITES sip:a", "OPTIONS sip:a", ""] {
            assert!(!is_invite(kept.as_bytes()), "{kept}");
        }
    }
}
