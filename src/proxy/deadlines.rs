//! When a transaction next has to do something: several deadlines, one place in the wheel.
//!
//! Only the earliest is filed; a deadline that moves away is left where it is and looked at again when the wheel fires.

use super::timer::{TimerId, Wheel};
use crate::time::Instant;
use core::time::Duration;

/// Whose timer it is: the index is that of a live entry, since an entry's timer is cancelled when it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Server(u32),
    Client(u32),
    Dialog(u32),
}

/// A deadline that never comes.
pub(crate) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The deadlines of one transaction.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// Timer A, E or G.
    pub(crate) retransmit_at: Instant,
    /// Its current interval.
    pub(crate) interval: Duration,
    /// Timer B, C, D, F, H, I, J, K, L or M: the state says which.
    pub(crate) timeout_at: Instant,
    /// Client: the set's `answer_timeout`. Non-INVITE server: when a 100 is due (RFC 4320 §4.1).
    pub(crate) answer_at: Instant,
    /// What is in the wheel now.
    pub(super) filed_at: Instant,
    pub(super) timer: Option<TimerId>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            retransmit_at: NEVER,
            interval: Duration::ZERO,
            timeout_at: NEVER,
            answer_at: NEVER,
            filed_at: NEVER,
            timer: None,
        }
    }
}

impl Deadlines {
    /// Files the earliest deadline for `owner`.
    pub(crate) fn file(&mut self, wheel: &mut Wheel<Owner>, owner: Owner) {
        let earliest = self.retransmit_at.min(self.timeout_at).min(self.answer_at);
        if earliest >= self.filed_at {
            return;
        }
        match self.timer {
            Some(timer) => wheel.rearm(timer, earliest),
            // The wheel has room for a timer of every entry that the tables can hold.
            None => self.timer = wheel.insert(earliest, owner),
        }
        self.filed_at = earliest;
    }

    /// The wheel has fired and forgotten the timer.
    pub(crate) fn fired(&mut self) {
        self.timer = None;
        self.filed_at = NEVER;
    }

    /// Takes the timer out of the wheel, for good.
    pub(crate) fn cancel(&mut self, wheel: &mut Wheel<Owner>) {
        if let Some(timer) = self.timer.take() {
            wheel.cancel(timer);
        }
        self.filed_at = NEVER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_filed_and_a_later_one_waits_for_it() {
        let start = Instant::from_nanos(0);
        let mut wheel = Wheel::new(start, 8);
        let mut deadlines = Deadlines { timeout_at: start + Duration::from_secs(32), ..Deadlines::default() };
        deadlines.file(&mut wheel, Owner::Client(1));
        deadlines.retransmit_at = start + Duration::from_millis(500);
        deadlines.file(&mut wheel, Owner::Client(1));
        assert_eq!(wheel.len(), 1);
        let half = start + Duration::from_millis(504);
        assert!(wheel.next_deadline().is_some_and(|at| at <= half));
        deadlines.retransmit_at = NEVER;
        deadlines.file(&mut wheel, Owner::Client(1));
        assert_eq!(wheel.pop_due(half).map(|(_, owner)| owner), Some(Owner::Client(1)));
        deadlines.fired();
        deadlines.file(&mut wheel, Owner::Client(1));
        deadlines.cancel(&mut wheel);
        assert!(wheel.is_empty());
    }
}
