//! How long a shard waits: at once when little comes in, in small gatherings when much does, never when it owns its core.

use super::engine::Patience;
use crate::limits;
use crate::time::Instant;
use core::time::Duration;

/// Over which time the rate of datagrams is taken.
const WINDOW: Duration = Duration::from_millis(1);

/// How shards wait for datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// A busy shard lets datagrams gather for this long, so that one wake-up serves many; zero: it never does.
    pub gather: Duration,
    /// A shard is busy while it receives at least this many datagrams a millisecond.
    pub gather_above_per_ms: u32,
    /// Never sleeps: looks at its sockets again and again, and so takes its whole core.
    pub busy_poll: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        let gather_above_per_ms = limits::GATHER_ABOVE_PER_MS_DEFAULT;
        Self { gather: limits::GATHER_DEFAULT, gather_above_per_ms, busy_poll: false }
    }
}

/// What one shard knows of its own rate.
#[derive(Debug)]
pub(super) struct Pace {
    waiting: Waiting,
    since: Instant,
    received_before: u64,
    is_busy: bool,
}

impl Pace {
    pub(super) const fn new(waiting: Waiting, now: Instant) -> Self {
        Self { waiting, since: now, received_before: 0, is_busy: false }
    }

    /// At the end of a turn: `received` datagrams came in since the start.
    pub(super) fn note(&mut self, now: Instant, received: u64) {
        let elapsed = now.saturating_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        let per_ms = (received - self.received_before) as f64 * WINDOW.as_secs_f64() / elapsed.as_secs_f64();
        self.is_busy = per_ms >= f64::from(self.waiting.gather_above_per_ms);
        (self.since, self.received_before) = (now, received);
    }

    /// How to wait when there is nothing to do for `timeout`.
    pub(super) fn patience(&self, timeout: Duration) -> Patience {
        let Waiting { gather, busy_poll, .. } = self.waiting;
        match () {
            () if timeout.is_zero() || busy_poll => Patience::Look,
            () if self.is_busy && !gather.is_zero() && gather < timeout => Patience::Gather { gather, timeout },
            () => Patience::Sleep(timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn a_shard_gathers_while_much_comes_in_and_sleeps_when_little_does() {
        let waiting = Waiting::default();
        let mut pace = Pace::new(waiting, at(0));
        assert_eq!(pace.patience(SECOND), Patience::Sleep(SECOND));
        pace.note(at(MS), 59);
        assert_eq!(pace.patience(SECOND), Patience::Sleep(SECOND), "below the bound");
        pace.note(at(MS + 1), 900);
        assert_eq!(pace.patience(SECOND), Patience::Sleep(SECOND), "a moment says nothing about the rate");
        pace.note(at(3 * MS), 180);
        assert_eq!(pace.patience(SECOND), Patience::Gather { gather: waiting.gather, timeout: SECOND });
        let soon = Duration::from_micros(70);
        assert_eq!(pace.patience(soon), Patience::Sleep(soon), "a timer is not made late");
        assert_eq!(pace.patience(Duration::ZERO), Patience::Look);
        pace.note(at(100 * MS), 190);
        assert_eq!(pace.patience(SECOND), Patience::Sleep(SECOND));
    }

    #[test]
    fn who_owns_the_core_never_sleeps_and_who_does_not_gather_sleeps() {
        let busy = Pace::new(Waiting { busy_poll: true, ..Waiting::default() }, at(0));
        assert_eq!(busy.patience(SECOND), Patience::Look);
        let mut plain = Pace::new(Waiting { gather: Duration::ZERO, ..Waiting::default() }, at(0));
        plain.note(at(MS), 1_000);
        assert_eq!(plain.patience(SECOND), Patience::Sleep(SECOND));
    }
}
