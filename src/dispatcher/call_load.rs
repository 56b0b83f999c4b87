//! Call load: the destination first that has the fewest calls relative to its weight; failover goes on in that order.
//!
//! What counts is the load with the new call in it, so that heavier ones fill first and equal ones take turns. Weight 0
//! comes last, in the order of calls. A destination that has just come back counts with the part of its weight that slow
//! start gives it: it has no calls yet, and would otherwise get all of them.
//!
//! Where a set's destinations report their load, and it says so, what counts is how full each is ([`Fullness`]).
//!
//! - `Exact` looks at all destinations of a set of up to [`LOOKS_MAX`]; ties go round. A larger set is sampled, so that the
//!   cost does not grow with it: the best of [`DRAWS`] drawn by weight is at most a call or two above the very fewest.
//! - `TwoChoices` draws two by weight and takes the better one, whatever the size of the set.

use core::sync::atomic::AtomicU64;

use super::lowest::{LOOKS_MAX, Lowest, best_of_all};
use super::random::Random;
use super::report::ReportSpec;
use super::reported_load::Fullness;
use super::select::{Draft, weights};
use super::set::Destination;
use super::spec::LoadChoice;
use super::weight::Shares;

/// Draws for one request in a larger set.
const DRAWS: usize = 32;

/// Draws that two choices may take until they differ.
const SECOND_DRAWS_MAX: usize = 2;

/// What call load needs to know of a set's destinations.
#[derive(Debug)]
pub(super) struct Loads {
    shares: Shares,
    /// None: what counts is the number of calls.
    fullness: Option<Fullness>,
}

impl Loads {
    pub(super) fn new(destinations: &[Destination], report: &ReportSpec) -> Self {
        let shares = Shares::new(weights(destinations, |destination| destination.weight));
        Self { shares, fullness: Fullness::new(destinations, report) }
    }

    /// Offers destinations from the lowest relative load up.
    pub(super) fn draft(&self, draft: &mut Draft<'_>, choice: LoadChoice, turns: &AtomicU64, random: &mut Random) {
        self.shares.refresh(draft);
        match &self.fullness {
            None => self.draft_by(draft, choice, turns, random, |draft, position| draft.relative_load(position)),
            Some(fullness) => {
                self.draft_by(draft, choice, turns, random, |draft, position| fullness.of(draft, position));
            }
        }
        // Sampling may miss some: those that nobody drew, and those of weight 0.
        self.shares.draft_random(draft, random);
    }

    /// The same by what `load_of` a position is.
    fn draft_by(
        &self,
        draft: &mut Draft<'_>,
        choice: LoadChoice,
        turns: &AtomicU64,
        random: &mut Random,
        load_of: impl Fn(&Draft<'_>, usize) -> u64,
    ) {
        if choice == LoadChoice::TwoChoices {
            self.better_of_two(draft, random, load_of);
        } else if draft.destinations() <= LOOKS_MAX {
            best_of_all(draft, turns, load_of);
        } else {
            self.best_of_many(draft, random, load_of);
        }
    }

    fn better_of_two(&self, draft: &mut Draft<'_>, random: &mut Random, load_of: impl Fn(&Draft<'_>, usize) -> u64) {
        while draft.room() > 0 {
            let Some(first) = self.shares.draw(draft, random) else { return };
            let mut others = (0..SECOND_DRAWS_MAX).filter_map(|_| self.shares.draw(draft, random));
            let second = others.find(|second| *second != first).unwrap_or(first);
            let better = if load_of(draft, second) < load_of(draft, first) { second } else { first };
            draft.offer(better);
        }
    }

    fn best_of_many(&self, draft: &mut Draft<'_>, random: &mut Random, load_of: impl Fn(&Draft<'_>, usize) -> u64) {
        let mut best = Lowest::new(draft.room());
        for _ in 0..DRAWS {
            let Some(position) = self.shares.peek(random) else { break };
            let load = load_of(draft, position);
            if best.admits(load, position) && draft.is_available(position) {
                best.insert(load, position);
            }
        }
        draft.offer_all(best.positions());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::fixture::{Bench, tally};
    use crate::dispatcher::{Algorithm, LoadToken};

    const EXACT: Algorithm = Algorithm::CallLoad(LoadChoice::Exact);
    const TWO: Algorithm = Algorithm::CallLoad(LoadChoice::TwoChoices);

    /// Begins `count` calls.
    fn begin(bench: &mut Bench, count: u32) -> Vec<LoadToken> {
        let call = |_| {
            let first = bench.select(b"")[0];
            bench.states().reserve(bench.destination(first), bench.now).unwrap()
        };
        (0..count).map(call).collect()
    }

    fn loads(bench: &Bench) -> Vec<usize> {
        let all = &bench.set().destinations;
        all.iter().map(|destination| bench.states().load(destination.state) as usize).collect()
    }

    fn release(bench: &Bench, tokens: Vec<LoadToken>) {
        tokens.into_iter().for_each(|token| bench.states().release(token));
    }

    #[test]
    fn loads_become_proportional_to_weights_exactly() {
        for weights in [&[1; 5][..], &[1, 2, 3], &[10, 30, 20, 40]] {
            let mut bench = Bench::with_limit(EXACT, weights, 1, 1);
            let tokens = begin(&mut bench, weights.iter().sum::<u32>() * 4);
            assert_eq!(loads(&bench), weights.iter().map(|weight| *weight as usize * 4).collect::<Vec<_>>());
            release(&bench, tokens);
        }
    }

    #[test]
    fn equal_ones_take_turns_also_when_one_is_lost() {
        let mut bench = Bench::new(EXACT, &[1; 4]);
        bench.set_available(1, false);
        let firsts: Vec<_> = (0..300).map(|_| bench.select(b"")[0]).collect();
        assert_eq!(tally(&firsts, 4), [100, 0, 100, 100]);
    }

    proptest! {
        #[test]
        fn exact_gives_the_order_of_loads_relative_to_weights(
            members in prop::collection::vec((1_u32..6, 0_u32..12), 1..100),
        ) {
            let weights: Vec<u32> = members.iter().map(|member| member.0).collect();
            let mut bench = Bench::new(EXACT, &weights);
            let take = |(position, (_, load)): (usize, &(u32, u32))| {
                (0..*load).map(|_| bench.states().take_load(bench.destination(position).state)).collect::<Vec<_>>()
            };
            let tokens: Vec<_> = members.iter().enumerate().flat_map(take).collect();
            let targets = bench.select(b"");
            let below = |one: usize, other: usize| (members[one].1 + 1) * members[other].0 < (members[other].1 + 1) * members[one].0;
            prop_assert!(targets.windows(2).all(|pair| !below(pair[1], pair[0])));
            let last = *targets.last().unwrap();
            prop_assert!((0..members.len()).all(|other| targets.contains(&other) || !below(other, last)));
            release(&bench, tokens);
        }
    }

    #[test]
    fn two_choices_stay_near_the_fewest_and_obey_weights() {
        for (count, spread) in [(10, 4), (1_000, 5)] {
            let weights: Vec<u32> = (0..count).map(|number| number % 2 + 1).collect();
            let mut bench = Bench::with_limit(TWO, &weights, 1, 1);
            let tokens = begin(&mut bench, count * 15);
            let off = |(load, weight): (&usize, &u32)| load.abs_diff(*weight as usize * 10);
            assert!(loads(&bench).iter().zip(&weights).map(off).max().unwrap() <= spread * 2, "{:?}", loads(&bench));
            release(&bench, tokens);
        }
    }

    #[test]
    fn a_large_set_under_exact_is_nearly_as_even_as_can_be() {
        let mut bench = Bench::with_limit(EXACT, &[1; 1_000], 1, 1);
        let tokens = begin(&mut bench, 20_000);
        assert!(loads(&bench).iter().all(|load| (18..=21).contains(load)), "{:?}", loads(&bench));
        release(&bench, tokens);
    }

    #[test]
    fn weight_zero_gets_calls_only_when_no_other_is_left() {
        for algorithm in [EXACT, TWO] {
            let mut bench = Bench::new(algorithm, &[0, 1, 0]);
            let token = bench.states().take_load(bench.destination(1).state);
            assert_eq!(bench.select(b"")[0], 1);
            bench.set_available(1, false);
            assert_eq!(bench.select(b"").len(), 2);
            bench.states().release(token);
        }
    }
}
