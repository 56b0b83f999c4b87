//! How long calls take to be answered: a histogram per destination, in fixed buckets.
//!
//! From the INVITE that was sent there to its first 2xx, so it is mostly how long somebody let it ring; how fast a destination
//! reacts is its response time (`latency.rs`). One call is two relaxed additions.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::state::{StateIndex, States};

/// Upper bounds of the buckets, seconds; what is beyond the last one is in the last count.
pub const SETUP_BOUNDS_S: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 90.0];

/// How long the calls of one destination took to be answered since it got its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetupTimes {
    /// Calls by bucket, each in one; the last has no upper bound.
    pub counts: [u64; SETUP_BOUNDS_S.len() + 1],
    /// The sum of all, nanoseconds.
    pub sum_ns: u64,
}

/// The atomics of one slot.
#[derive(Default)]
pub(super) struct SetupCells {
    counts: [AtomicU64; SETUP_BOUNDS_S.len() + 1],
    sum_ns: AtomicU64,
}

impl SetupCells {
    pub(super) fn reset(&self) {
        self.counts.iter().chain([&self.sum_ns]).for_each(|cell| cell.store(0, Ordering::Relaxed));
    }
}

impl States {
    /// A call there was answered after `waited`.
    pub fn note_setup(&self, index: StateIndex, waited: Duration) {
        let cells = &self.slot(index).vitals.setup;
        let bucket = SETUP_BOUNDS_S.partition_point(|bound| *bound < waited.as_secs_f64());
        cells.counts[bucket].fetch_add(1, Ordering::Relaxed);
        cells.sum_ns.fetch_add(waited.as_nanos() as u64, Ordering::Relaxed);
    }

    /// How long its calls took to be answered; each number is exact, together they may be some calls apart.
    #[must_use]
    pub fn setup_times(&self, index: StateIndex) -> SetupTimes {
        let cells = &self.slot(index).vitals.setup;
        SetupTimes {
            counts: cells.counts.each_ref().map(|cell| cell.load(Ordering::Relaxed)),
            sum_ns: cells.sum_ns.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_in_the_first_bucket_that_it_fits() {
        let (states, index) = (States::new(), StateIndex::new(3));
        for millis in [0, 10, 11, 90_000, 90_001] {
            states.note_setup(index, Duration::from_millis(millis));
        }
        let times = states.setup_times(index);
        assert_eq!((times.counts[0], times.counts[1], times.counts[11], times.counts[12]), (2, 1, 1, 1));
        assert_eq!((times.counts.iter().sum::<u64>(), times.sum_ns), (5, 180_022_000_000));
    }
}
