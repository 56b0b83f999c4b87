//! From a set to the target set of one request.
//!
//! Every algorithm is a file with a `draft` function that offers destinations in its order; [`Draft`] alone decides what
//! becomes a target, so that no algorithm can put in one that is unavailable, a duplicate, or one too many. What an
//! algorithm can work out beforehand is in its [`Plan`], made when the table is built.

use super::hash::Rendezvous;
use super::priority::Ranks;
use super::random::Random;
use super::set::{Destination, Set};
use super::spec::Algorithm;
use super::state::{DestinationId, States};
use super::targets::Targets;
use super::weight::Shares;
use super::{round_robin, uniform};
use crate::limits::TARGETS_MAX;

/// What of a request matters to selection; the caller reads it from the message.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The bytes that [`super::HashInput`] names; other algorithms do not look at it.
    pub hash_key: &'a [u8],
}

impl Set {
    /// Fills `targets` with the destinations that a request tries, first one first: available now, no duplicates, at
    /// most `failover_limit`; none when no destination is available. Allocates nothing.
    pub fn select(&self, states: &States, input: &Input<'_>, random: &mut Random, targets: &mut Targets) {
        let mut draft = Draft::new(self, states, targets);
        match &self.plan {
            Plan::RoundRobin => round_robin::draft(&mut draft, &self.position),
            Plan::Random => uniform::draft(&mut draft, random),
            Plan::Priority(ranks) => ranks.draft(&mut draft),
            Plan::Weight(shares) => shares.draft(&mut draft, &self.position, random),
            Plan::Hash(rendezvous) => rendezvous.draft(&mut draft, input.hash_key),
        }
    }
}

/// A set's algorithm with what it needs to know about the destinations beforehand.
#[derive(Debug)]
pub(super) enum Plan {
    RoundRobin,
    Random,
    Priority(Ranks),
    Weight(Shares),
    Hash(Rendezvous),
}

impl Plan {
    pub(super) fn new(algorithm: Algorithm, destinations: &[Destination]) -> Self {
        match algorithm {
            Algorithm::RoundRobin => Self::RoundRobin,
            Algorithm::Random => Self::Random,
            Algorithm::Priority => Self::Priority(Ranks::new(destinations)),
            Algorithm::Weight => Self::Weight(Shares::new(destinations)),
            Algorithm::Hash(_) => Self::Hash(Rendezvous::new(destinations)),
        }
    }
}

/// A target set in the making; destinations are named by their position in the set.
pub(super) struct Draft<'a> {
    destinations: &'a [Destination],
    states: &'a States,
    targets: &'a mut Targets,
    limit: usize,
}

impl<'a> Draft<'a> {
    fn new(set: &'a Set, states: &'a States, targets: &'a mut Targets) -> Self {
        targets.clear();
        Self { destinations: &set.destinations, states, targets, limit: set.failover_limit.min(TARGETS_MAX) }
    }

    /// Destinations of the set, available or not.
    pub(super) fn destinations(&self) -> usize {
        self.destinations.len()
    }

    /// Targets so far.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Targets that may still be added.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.targets.len())
    }

    /// Whether the destination may get requests.
    pub(super) fn is_available(&self, position: usize) -> bool {
        self.destinations.get(position).is_some_and(|destination| self.states.is_available(destination.state))
    }

    /// Whether the destination could become a target: available, and not one yet.
    pub(super) fn is_open(&self, position: usize) -> bool {
        self.is_available(position) && !self.targets.contains(&self.destinations[position].id)
    }

    /// Makes the destination the next target if it is open and there is room; whether it did.
    pub(super) fn offer(&mut self, position: usize) -> bool {
        let taken = self.room() > 0 && self.is_open(position);
        if taken {
            self.targets.push(self.destinations[position].id);
        }
        taken
    }

    /// Offers one after the other until there is no room.
    pub(super) fn offer_all(&mut self, positions: impl IntoIterator<Item = usize>) {
        for position in positions {
            if self.room() == 0 {
                return;
            }
            self.offer(position);
        }
    }

    /// Puts an open destination in the place of the target at `rank`.
    pub(super) fn replace(&mut self, rank: usize, position: usize) {
        if self.is_open(position) {
            self.targets.as_mut_slice()[rank] = self.destinations[position].id;
        }
    }

    /// The targets so far, to be put in another order.
    pub(super) fn targets(&mut self) -> &mut [DestinationId] {
        self.targets.as_mut_slice()
    }
}

/// Positions of a set of `count` in file order, from `start` to the end and on from the beginning.
pub(super) fn around(start: usize, count: usize) -> impl Iterator<Item = usize> {
    (start..count).chain(0..start.min(count))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::fixture::{ALGORITHMS, Bench};
    use crate::dispatcher::{Admin, Health};

    proptest! {
        #[test]
        fn targets_are_available_unique_within_the_limit_and_as_many_as_there_can_be(
            algorithm in prop::sample::select(ALGORITHMS.to_vec()),
            members in prop::collection::vec((0_u32..4, any::<bool>(), -2..3_i32), 0..90),
            limit in 1_usize..=TARGETS_MAX,
            seed: u64,
        ) {
            let weights: Vec<u32> = members.iter().map(|member| member.0).collect();
            let mut bench = Bench::with_limit(algorithm, &weights, limit, seed);
            for (position, (_, available, _)) in members.iter().enumerate() {
                bench.set_available(position, *available);
            }
            let available = members.iter().filter(|member| member.1).count();
            for call in 0..8_u64 {
                let targets = bench.select(&call.to_le_bytes());
                prop_assert_eq!(targets.len(), available.min(limit));
                prop_assert_eq!(targets.iter().collect::<BTreeSet<_>>().len(), targets.len());
                prop_assert!(targets.iter().all(|position| members[*position].1));
            }
        }
    }

    #[test]
    fn a_set_without_an_available_destination_gives_no_targets() {
        for algorithm in ALGORITHMS {
            for count in [0, 1, 5, 200] {
                let mut bench = Bench::new(algorithm, &vec![1; count]);
                (0..count).for_each(|position| bench.set_available(position, false));
                assert_eq!(bench.select(b"call"), [], "{algorithm:?} {count}");
            }
        }
    }

    #[test]
    fn a_draining_destination_gets_no_new_request_and_a_trying_one_does() {
        for algorithm in ALGORITHMS {
            let mut bench = Bench::new(algorithm, &[1, 1]);
            bench.set_admin(0, Admin::Draining);
            bench.set_health(1, Health::Trying);
            assert_eq!(bench.select(b"call"), [1], "{algorithm:?}");
        }
    }

    #[test]
    fn the_same_seed_and_calls_give_the_same_targets() {
        for algorithm in ALGORITHMS {
            let run = || {
                let mut bench = Bench::new(algorithm, &[3, 1, 0, 7, 2]);
                (0..50_u64).map(|call| bench.select(&call.to_le_bytes())).collect::<Vec<_>>()
            };
            assert_eq!(run(), run(), "{algorithm:?}");
        }
    }
}
