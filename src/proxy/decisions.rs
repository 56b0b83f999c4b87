//! The last decisions: for one of so many calls, where it was sent and what came of it, in a ring of fixed size.

use super::failover::Choice;
use super::request::Incoming;
use super::slab::Id;
use super::{Proxy, Turn};
use crate::dispatcher::{DestinationId, SetId};
use crate::limits;
use crate::sip::{Status, find_call_id};
use crate::time::Instant;
use smallvec::SmallVec;

/// Bytes of a Call-ID that are kept.
const CALL_ID_BYTES: usize = 48;

/// One call that has its final answer.
#[derive(Clone, Debug)]
pub struct Decided {
    /// When it got it.
    pub at: Instant,
    /// The rule that took it, from 1; [`super::DEFAULT_SET`] when none did.
    pub rule: u16,
    /// The last set that it came to.
    pub set: SetId,
    /// How many sets of the fallback chain it entered.
    pub sets: u8,
    /// The target set that was chosen in that set, in order.
    pub targets: SmallVec<[DestinationId; limits::TARGETS_MAX]>,
    /// Which of them got the request, one bit for each place.
    pub sent: u32,
    /// What the caller got.
    pub status: u16,
    call_id: ([u8; CALL_ID_BYTES], u8),
}

impl Decided {
    /// How its Call-ID begins: 48 bytes at most.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        &self.call_id.0[..usize::from(self.call_id.1)]
    }

    /// The targets that got the request, in order; behind them nobody was asked.
    pub fn tried(&self) -> impl Iterator<Item = DestinationId> {
        let sent = self.sent;
        self.targets.iter().enumerate().filter(move |(place, _)| sent >> place & 1 == 1).map(|(_, target)| *target)
    }
}

/// The ring of one shard.
#[derive(Debug)]
pub(super) struct Decisions {
    /// In the order of writing, the oldest at `next` once it is full.
    ring: Vec<Decided>,
    next: usize,
    /// One of so many is remembered; 0: none.
    every: u32,
    /// Calls until the next one that is.
    left: u32,
}

impl Decisions {
    pub(super) fn new(every: u32) -> Self {
        let room = if every == 0 { 0 } else { limits::DECISIONS };
        Self { ring: Vec::with_capacity(room), next: 0, every, left: 1 }
    }

    /// Counts a call; whether it is one to be remembered.
    #[inline]
    pub(super) const fn is_due(&mut self) -> bool {
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        self.left = self.every;
        self.every > 0
    }

    fn push(&mut self, decided: Decided) {
        if self.ring.len() < limits::DECISIONS {
            self.ring.push(decided);
        } else {
            self.ring[self.next] = decided;
            self.next = (self.next + 1) % limits::DECISIONS;
        }
    }
}

impl Proxy {
    /// The decisions that are remembered, newest first.
    pub fn decisions(&self) -> impl Iterator<Item = &Decided> {
        let (newer, older) = self.decisions.ring.split_at(self.decisions.next);
        newer.iter().rev().chain(older.iter().rev())
    }

    /// Remembers what became of the call of this server transaction, which has just got this final answer.
    #[cold]
    pub(super) fn note_decision(&mut self, turn: &Turn<'_>, id: Id, status: Status) {
        let Some(server) = self.servers.get(id) else { return };
        let context = &server.context;
        let (Some(set), Some(request)) = (context.set, server.request.as_deref()) else { return };
        self.decisions.push(Decided {
            at: turn.now,
            rule: context.rule,
            set,
            sets: context.sets,
            targets: SmallVec::from_slice(&context.targets),
            sent: context.sent,
            status: status.code(),
            call_id: beginning(find_call_id(request).unwrap_or_default()),
        });
    }

    /// Remembers a call that found no destination.
    #[cold]
    pub(super) fn note_no_target(&mut self, turn: &Turn<'_>, incoming: &Incoming<'_>, choice: &Choice<'_>) {
        if self.decisions.is_due() {
            self.decisions.push(Decided {
                at: turn.now,
                rule: choice.rule,
                set: choice.set.id,
                sets: choice.sets,
                targets: SmallVec::new(),
                sent: 0,
                status: Status::SERVICE_UNAVAILABLE.code(),
                call_id: beginning(incoming.message.call_id()),
            });
        }
    }
}

fn beginning(call_id: &[u8]) -> ([u8; CALL_ID_BYTES], u8) {
    let len = call_id.len().min(CALL_ID_BYTES);
    let mut bytes = [0; CALL_ID_BYTES];
    bytes[..len].copy_from_slice(&call_id[..len]);
    (bytes, len as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(status: u16) -> Decided {
        let (targets, call_id) = (SmallVec::new(), beginning(&[b'x'; 100]));
        let at = Instant::from_nanos(u64::from(status));
        Decided { at, rule: 0, set: SetId(1), sets: 1, targets, sent: 0, status, call_id }
    }

    #[test]
    fn one_of_so_many_is_remembered_and_with_0_none() {
        for (every, wanted) in [(0, 0), (1, 100), (16, 7), (1_000, 1)] {
            let mut decisions = Decisions::new(every);
            assert_eq!((0..100).filter(|_| decisions.is_due()).count(), wanted, "every {every}");
        }
    }

    #[test]
    fn the_newest_take_the_place_of_the_oldest_and_memory_stays() {
        let mut decisions = Decisions::new(1);
        let memory = decisions.ring.as_ptr();
        (0..limits::DECISIONS as u16 + 10).for_each(|status| decisions.push(decided(status)));
        let mut kept: Vec<_> = decisions.ring.iter().map(|decided| decided.status).collect();
        kept.sort_unstable();
        assert_eq!(kept, (10..limits::DECISIONS as u16 + 10).collect::<Vec<_>>());
        assert_eq!((decisions.ring.as_ptr(), decided(1).call_id().len()), (memory, CALL_ID_BYTES));
    }
}
