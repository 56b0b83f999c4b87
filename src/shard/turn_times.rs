//! How long turns take: a histogram per shard, of one turn in [`EVERY`].
//!
//! A turn reads the clock once, when it begins, and then the shard waits for nobody knows how long. So the end of a turn is not known,
//! unless the next one begins at once: the turn that is timed does not wait behind it, and the next one's clock says when it was over.
//! That costs one look at the sockets in [`EVERY`] turns, and no clock read at all. The look is part of the time, and so is what
//! leaves with it.

use crate::time::Instant;
use core::time::Duration;

/// Of how many turns one is timed.
pub(super) const EVERY: u64 = 64;

/// Upper bounds of the buckets, microseconds; what is beyond the last one is in the last count.
pub const TURN_BOUNDS_US: [u64; 16] = {
    let mut bounds = [1; 16];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// How many counters [`TurnTimes`] has: one for each bucket, and the sum.
pub(super) const COUNT: usize = TURN_BOUNDS_US.len() + 2;

/// How long the timed turns took. These only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TurnTimes {
    /// Turns by bucket, each in one; the last has no upper bound.
    pub counts: [u64; TURN_BOUNDS_US.len() + 1],
    /// The sum of all, nanoseconds.
    pub sum_ns: u64,
}

impl TurnTimes {
    /// A turn took `time`.
    pub(super) fn note(&mut self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        // The bounds are powers of two: the bucket is how many bits the last microsecond that was begun has.
        let bits = u64::BITS - (nanos.saturating_sub(1) / 1_000).leading_zeros();
        self.counts[(bits as usize).min(TURN_BOUNDS_US.len())] += 1;
        self.sum_ns += nanos;
    }

    pub(super) fn as_array(&self) -> [u64; COUNT] {
        core::array::from_fn(|at| self.counts.get(at).copied().unwrap_or(self.sum_ns))
    }

    pub(super) fn from_array(values: [u64; COUNT]) -> Self {
        Self { counts: core::array::from_fn(|at| values[at]), sum_ns: values[COUNT - 1] }
    }
}

/// The one who holds the watch.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// So far.
    pub(super) times: TurnTimes,
    /// Whether the turn that runs, or is just over, is timed.
    is_timed: bool,
}

impl Timing {
    /// Whether the next turn must begin at once.
    pub(super) const fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// Turn number `turn` begins at `now`, the one before it began at `before`.
    pub(super) fn begin(&mut self, turn: u64, before: Instant, now: Instant) {
        if self.is_timed {
            self.times.note(now.saturating_since(before));
        }
        self.is_timed = turn.is_multiple_of(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_in_the_first_bucket_that_it_fits() {
        let mut times = TurnTimes::default();
        for (nanos, bucket) in [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (2_000, 1),
            (2_001, 2),
            (4_000, 2),
            (4_001, 3),
            (32_768_000, 15),
            (32_768_001, 16),
            (5_000_000_000, 16),
        ] {
            let before = times.counts[bucket];
            times.note(Duration::from_nanos(nanos));
            assert_eq!(times.counts[bucket], before + 1, "{nanos} ns: {times:?}");
            let first = TURN_BOUNDS_US.iter().position(|bound| nanos <= bound * 1_000);
            assert_eq!(first.unwrap_or(TURN_BOUNDS_US.len()), bucket);
        }
        assert_eq!(times.counts.iter().sum::<u64>(), 10);
        assert_eq!(TurnTimes::from_array(times.as_array()), times);
    }

    #[test]
    fn one_turn_in_so_many_is_timed_up_to_the_next_one_and_no_wait_is() {
        let at = |micros: u64| Instant::from_nanos(micros * 1_000);
        let (mut timing, mut now) = (Timing::default(), 0);
        for turn in 1..=4 * EVERY {
            let before = now;
            // A turn takes 10 us; behind one that is not timed the shard waits.
            now += if timing.is_timed() { 10 } else { 10_000 };
            timing.begin(turn, at(before), at(now));
        }
        assert_eq!((timing.times.counts[4], timing.times.counts.iter().sum::<u64>()), (3, 3));
        assert_eq!(timing.times.sum_ns, 30_000);
        assert!(timing.is_timed(), "the last one is timed by the next");
    }
}
