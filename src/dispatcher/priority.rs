//! Priority: highest first, ties in file order; failover goes down the same list.

use core::cmp::Reverse;

use super::select::Draft;
use super::set::Destination;

/// Positions of a set's destinations, highest priority first.
#[derive(Debug)]
pub(super) struct Ranks(Vec<usize>);

impl Ranks {
    pub(super) fn new(destinations: &[Destination]) -> Self {
        let mut positions: Vec<usize> = (0..destinations.len()).collect();
        // The sort is stable: equal priorities stay in file order, over every reload.
        positions.sort_by_key(|position| Reverse(destinations[*position].priority));
        Self(positions)
    }

    /// Offers destinations from the highest priority down.
    pub(super) fn draft(&self, draft: &mut Draft<'_>) {
        draft.offer_all(self.0.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use crate::dispatcher::Algorithm;
    use crate::dispatcher::fixture::Bench;

    #[test]
    fn the_highest_priority_comes_first_and_ties_are_in_file_order() {
        let mut bench = Bench::with_priorities(Algorithm::Priority, &[0, 5, -3, 5, i32::MAX, i32::MIN]);
        assert_eq!(bench.select(b""), [4, 1, 3, 0, 2, 5]);
        bench.set_available(4, false);
        bench.set_available(3, false);
        assert_eq!(bench.select(b""), [1, 0, 2, 5]);
    }

    #[test]
    fn round_robin_or_priority_is_round_robin_only_when_all_priorities_are_equal() {
        let firsts = |priorities: &[i32]| {
            let mut bench = Bench::with_priorities(Algorithm::RoundRobinOrPriority, priorities);
            (0..4).map(|_| bench.select(b"")[0]).collect::<Vec<_>>()
        };
        assert_eq!(firsts(&[7, 7, 7]), [0, 1, 2, 0]);
        assert_eq!(firsts(&[0, 0]), [0, 1, 0, 1]);
        assert_eq!(firsts(&[7, 8, 7]), [1, 1, 1, 1]);
    }

    #[test]
    fn every_request_starts_at_the_top() {
        let mut bench = Bench::with_limit(Algorithm::Priority, &[1; 3], 2, 1);
        assert_eq!((bench.select(b"a"), bench.select(b"b")), (vec![0, 1], vec![0, 1]));
    }
}
