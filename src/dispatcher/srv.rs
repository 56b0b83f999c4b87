//! SRV: the lowest priority number first, and by weight among those that share it, as RFC 2782 orders records.
//!
//! Within a group the first target's shares are exact, as under `weight`, and those that follow are drawn by weight; then
//! comes the next group. Each group counts turns of its own, from 0 after a reload. Weight 0 comes last in its group, unless
//! the whole group has weight 0: then all are equal.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;

use crossbeam::utils::CachePadded;

use super::random::Random;
use super::select::Draft;
use super::set::Destination;
use super::weight::Shares;

/// The destinations of each priority, lowest number first.
#[derive(Debug)]
pub(super) struct Groups(Vec<Group>);

#[derive(Debug)]
struct Group {
    shares: Shares,
    turns: CachePadded<AtomicU64>,
}

impl Groups {
    pub(super) fn new(destinations: &[Destination]) -> Self {
        let mut groups: BTreeMap<i32, Vec<(usize, u32)>> = BTreeMap::new();
        for (position, destination) in
            destinations.iter().enumerate().filter(|(_, destination)| !destination.last_resort)
        {
            groups.entry(destination.priority).or_default().push((position, destination.weight));
        }
        Self(groups.into_values().map(Group::new).collect())
    }

    /// Offers group after group.
    pub(super) fn draft(&self, draft: &mut Draft<'_>, random: &mut Random) {
        for Group { shares, turns } in &self.0 {
            match (draft.room(), draft.len()) {
                (0, _) => return,
                (_, 0) if draft.is_look() => {
                    let turns = AtomicU64::new(turns.load(Ordering::Relaxed));
                    shares.draft(draft, &turns, random);
                }
                (_, 0) => shares.draft(draft, turns, random),
                _ => {
                    shares.refresh(draft);
                    shares.draft_random(draft, random);
                }
            }
        }
    }
}

impl Group {
    fn new(members: Vec<(usize, u32)>) -> Self {
        let weightless = members.iter().all(|(_, weight)| *weight == 0);
        let members = members.into_iter().map(|(position, weight)| (position, if weightless { 1 } else { weight }));
        Self { shares: Shares::new(members), turns: CachePadded::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::dispatcher::fixture::{Bench, destination, set, tally};
    use crate::dispatcher::{Algorithm, DestinationSpec};

    fn bench(members: &[(i32, u32)]) -> Bench {
        let spec = |(number, (priority, weight)): (usize, &(i32, u32))| DestinationSpec {
            priority: *priority,
            ..destination(number, *weight)
        };
        Bench::of(set(1, Algorithm::Srv, members.iter().enumerate().map(spec).collect()), 1)
    }

    #[test]
    fn the_lowest_priority_number_comes_first_and_weights_share_within_it() {
        let mut bench = bench(&[(20, 9), (10, 1), (10, 3), (-5, 0), (-5, 0), (10, 0)]);
        let run = |bench: &mut Bench| (0..400).map(|_| bench.select(b"")).collect::<Vec<_>>();
        let firsts = |drawn: &[Vec<usize>]| tally(&drawn.iter().map(|targets| targets[0]).collect::<Vec<_>>(), 6);
        assert_eq!(firsts(&run(&mut bench)), [0, 0, 0, 200, 200, 0]);
        bench.set_available(3, false);
        bench.set_available(4, false);
        let drawn = run(&mut bench);
        assert_eq!(firsts(&drawn), [0, 100, 300, 0, 0, 0]);
        assert!(drawn.iter().all(|targets| targets[2..] == [5, 0]));
        bench.set_available(2, false);
        assert_eq!(firsts(&run(&mut bench)), [0, 400, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn targets_are_in_the_order_of_priority_numbers(members in prop::collection::vec((-2..3_i32, 0..5_u32), 1..40)) {
            let mut bench = bench(&members);
            for _ in 0..5 {
                let targets = bench.select(b"");
                prop_assert_eq!(targets.len(), members.len().min(16));
                prop_assert!(targets.is_sorted_by_key(|position| members[*position].0));
            }
        }
    }
}
