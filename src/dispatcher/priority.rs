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
    use crate::dispatcher::fixture::{Bench, destination, set};
    use crate::dispatcher::{DestinationSpec, SetSpec};
    use proptest::prelude::*;

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

    proptest! {
        // Kamailio's 12 appends every later destination, whether it is active or not.
        #[test]
        fn a_parallel_set_offers_those_available_and_with_room_by_priority_and_begins_with_its_number_of_branches(
            members in prop::collection::vec((-2..3_i32, any::<bool>(), any::<bool>()), 0..20),
            limit in 1_usize..=16,
            branches_max in 1_usize..=8,
        ) {
            let destinations = members.iter().enumerate().map(|(at, (priority, _, full))| DestinationSpec {
                priority: *priority, maxload: u32::from(*full), ..destination(at, 1)
            });
            let spec = set(1, Algorithm::Parallel, destinations.collect());
            let mut bench = Bench::of(SetSpec { failover_limit: limit, branches_max, ..spec }, 1);
            let full = |at: &usize| members[*at].2;
            let tokens: Vec<_> = (0..members.len()).filter(full).map(|at| bench.states().take_load(bench.destination(at).state)).collect();
            members.iter().enumerate().for_each(|(at, member)| bench.set_available(at, member.1));
            let mut expected: Vec<usize> = (0..members.len()).filter(|at| members[*at].1 && !full(at)).collect();
            expected.sort_by_key(|at| (-members[*at].0, *at));
            expected.truncate(limit);
            let selected = bench.select(b"");
            let at_once = usize::from(bench.set().branches_max);
            tokens.into_iter().for_each(|token| bench.states().release(token));
            prop_assert_eq!((selected, at_once), (expected, branches_max));
        }
    }

    #[test]
    fn every_other_algorithm_has_one_branch_at_a_time() {
        let spec = |algorithm| SetSpec { branches_max: 8, ..set(1, algorithm, vec![destination(0, 1)]) };
        for algorithm in [Algorithm::Priority, Algorithm::RoundRobin, Algorithm::Srv] {
            assert_eq!(Bench::of(spec(algorithm), 1).set().branches_max, 1, "{algorithm:?}");
        }
    }

    #[test]
    fn every_request_starts_at_the_top() {
        let mut bench = Bench::with_limit(Algorithm::Priority, &[1; 3], 2, 1);
        assert_eq!((bench.select(b"a"), bench.select(b"b")), (vec![0, 1], vec![0, 1]));
    }
}
