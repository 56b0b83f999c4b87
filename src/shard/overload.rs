//! What a shard leaves out when more comes in than it keeps up with.
//!
//! A full receive buffer loses whatever comes next: of a call's six messages each one then needs several tries, every retransmission
//! adds to the load, and most of the work goes into calls that never complete. So before the buffer is full, new calls are left out
//! and those that have begun are served: INVITEs are dropped (RFC 3261 §21.5.4: a server that is overloaded may drop a request instead
//! of answering 503), which costs far less than a refusal and brings the same INVITE again when there may be room. The kernel drops
//! them before they take room; where it takes no filter, the shard drops them unread.

use super::filter::keep_invites_out;
use super::socket::ShardSockets;
use crate::limits::{BATCH_DATAGRAMS, SHED_ABOVE, SHED_BELOW};

/// How full the receive buffers are.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Backlog {
    /// Of the fullest, as a share of it; above 1 while datagrams are dropped.
    pub(super) share: f32,
    /// What the kernel dropped since the sockets were opened.
    pub(super) drops: u64,
}

/// Where datagrams come in.
pub(super) trait Inlet {
    /// A system call for each socket.
    fn backlog(&self) -> Backlog;

    /// Keeps INVITEs out, or lets them in again; whether that is done.
    fn keep_invites_out(&self, out: bool) -> bool;
}

impl Inlet for ShardSockets {
    fn backlog(&self) -> Backlog {
        Backlog { share: self.fullness(), drops: self.drops() }
    }

    fn keep_invites_out(&self, out: bool) -> bool {
        let is_done = self.iter().all(|socket| keep_invites_out(socket, out).is_ok());
        if out && !is_done {
            self.iter().for_each(|socket| drop(keep_invites_out(socket, false)));
        }
        is_done
    }
}

/// Whether one shard sheds INVITEs, and how.
#[derive(Debug, Default)]
pub(super) struct Overload {
    is_on: bool,
    /// The kernel does it.
    is_filtered: bool,
    received_before: u64,
    drops_before: u64,
    /// Of the kernel's drops: what it kept out, and the rest.
    pub(super) shed: u64,
    pub(super) lost: u64,
}

impl Overload {
    /// At the end of a turn, after `received` datagrams since the start: whether the shard must leave INVITEs out that the next one
    /// brings. The sockets are asked only after a turn that may have left something there.
    pub(super) fn note(&mut self, received: u64, inlet: &impl Inlet) -> bool {
        let in_turn = received - self.received_before;
        self.received_before = received;
        if self.is_on || in_turn >= BATCH_DATAGRAMS as u64 {
            self.look(inlet);
        }
        self.is_on && !self.is_filtered
    }

    /// The kernel has dropped so many since the sockets were opened.
    pub(super) fn count(&mut self, drops: u64) {
        let sort = if self.is_filtered { &mut self.shed } else { &mut self.lost };
        *sort += drops.saturating_sub(self.drops_before);
        self.drops_before = drops.max(self.drops_before);
    }

    fn look(&mut self, inlet: &impl Inlet) {
        let Backlog { share, drops } = inlet.backlog();
        self.count(drops);
        match (self.is_on, share) {
            (false, SHED_ABOVE..) => (self.is_on, self.is_filtered) = (true, inlet.keep_invites_out(true)),
            // What does not come off is tried again after the next turn.
            (true, ..SHED_BELOW) => self.is_on = self.is_filtered && !inlet.keep_invites_out(false),
            _ => {}
        }
        self.is_filtered &= self.is_on;
    }
}

/// Whether a datagram is what is shed.
pub(super) fn is_invite(bytes: &[u8]) -> bool {
    bytes.starts_with(b"INVITE ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    const TURN: u64 = BATCH_DATAGRAMS as u64;

    #[derive(Default)]
    struct Fake {
        backlog: Cell<Backlog>,
        takes_filters: bool,
        is_filtered: Cell<bool>,
        looks: Cell<u32>,
    }

    impl Inlet for Fake {
        fn backlog(&self) -> Backlog {
            self.looks.set(self.looks.get() + 1);
            self.backlog.get()
        }

        fn keep_invites_out(&self, out: bool) -> bool {
            self.is_filtered.set(out && self.takes_filters);
            self.takes_filters
        }
    }

    /// Which turns shed, by the kernel and by the shard, and what the kernel was seen to shed.
    fn run(takes_filters: bool, turns: &[(f32, u64)]) -> (Vec<(bool, bool)>, u64) {
        let (fake, mut overload, mut received) = (Fake { takes_filters, ..Fake::default() }, Overload::default(), 0);
        let of_turn = |(share, drops): &(f32, u64)| {
            fake.backlog.set(Backlog { share: *share, drops: *drops });
            received += TURN;
            let by_shard = overload.note(received, &fake);
            (fake.is_filtered.get(), by_shard)
        };
        let by_turn = turns.iter().map(of_turn).collect();
        assert_eq!(overload.shed + overload.lost, turns.last().map_or(0, |(_, drops)| *drops));
        (by_turn, overload.shed)
    }

    const TURNS: [(f32, u64); 9] =
        [(0.0, 0), (0.49, 0), (0.51, 5), (0.9, 15), (0.3, 25), (0.24, 35), (0.49, 36), (2.0, 50), (0.0, 51)];
    const ON: [bool; 9] = [false, false, true, true, true, false, false, true, false];

    #[test]
    fn a_shard_sheds_from_half_a_buffer_on_until_a_quarter_is_left() {
        let (on, shed) = run(true, &TURNS);
        assert_eq!(on, ON.map(|on| (on, false)));
        assert_eq!(shed, 30 + 1, "what was dropped while INVITEs were kept out");
    }

    #[test]
    fn where_the_kernel_takes_no_filter_the_shard_sheds() {
        assert_eq!(run(false, &TURNS), (ON.map(|on| (false, on)).into(), 0));
    }

    #[test]
    fn a_turn_that_brought_little_asks_nothing_of_the_kernel() {
        let (fake, mut overload) = (Fake { takes_filters: true, ..Fake::default() }, Overload::default());
        fake.backlog.set(Backlog { share: 1.0, drops: 0 });
        overload.note(TURN - 1, &fake);
        assert_eq!((fake.looks.get(), fake.is_filtered.get()), (0, false));
        overload.note(2 * TURN - 1, &fake);
        assert_eq!((fake.looks.get(), fake.is_filtered.get()), (1, true));
        fake.backlog.set(Backlog::default());
        overload.note(2 * TURN - 1, &fake);
        assert_eq!((fake.looks.get(), fake.is_filtered.get()), (2, false), "who sheds always looks");
    }

    #[test]
    fn only_an_invite_is_shed() {
        assert!(is_invite(b"INVITE sip:a@b SIP/2.0\r\n"));
        for kept in ["ACK sip:a", "BYE sip:a", "CANCEL sip:a", "SIP/2.0 200 OK", "INVITES sip:a", "OPTIONS sip:a", ""] {
            assert!(!is_invite(kept.as_bytes()), "{kept}");
        }
    }
}
