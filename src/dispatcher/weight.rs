//! Weight: requests in proportion to weights of any scale, exact and smooth, over all shards together.
//!
//! All shards count on one counter, and every number of it belongs to one request. The numbers go round a cycle of
//! W = (sum of the weights) / (their greatest common divisor) turns in which each destination has exactly its share, so
//! its share is exact over any W consecutive numbers. The cycle is written down turn by turn where it is short; a long
//! one is computed: steps of W divided by the golden ratio, made coprime to W, visit every point of 0..W once and
//! evenly, and a binary search in the running sums says whose point it is.
//!
//! When availability changes, the next request has the cycle of the available ones written down ([`View`]) and their
//! shares are exact from then on: over any window of the sum of *their* weights. A turn that falls on a destination without
//! room is passed over, which leaves the turns of the others in proportion. After too many such turns, and for failover, a
//! destination is drawn at random in proportion to the weights of those that are open. Weight 0 comes last, in file order.

use core::sync::atomic::{AtomicU64, Ordering};

use super::congestion::Scale;
use super::random::{GOLDEN, Random};
use super::select::Draft;
use super::view::{View, Writer, mul_mod};

/// Longest cycle that is written down, turns (4 bytes each).
const WRITTEN_TURNS_MAX: u64 = 1_024;

/// Turns that one request may pass over.
const PASSED_OVER_MAX: usize = 16;

/// Draws before a pass over the set looks for the open ones.
const DRAWS_MAX: usize = 16;

/// The same in a set of up to [`DRAWS_MAX`], where the pass is cheap.
const DRAWS_OF_FEW_MAX: usize = 4;

/// The shares of a set's destinations.
#[derive(Debug)]
pub(super) struct Shares {
    members: Vec<Member>,
    /// Positions of weight 0.
    reserve: Vec<usize>,
    /// Whether weights shrink with congestion: then the view alone knows the shares, and `cycle` is that of no congestion.
    congestible: bool,
    /// W; 0 when no destination has a weight.
    turns: u64,
    cycle: Cycle,
    /// The same for those that are available.
    view: View,
}

/// A destination with a weight.
#[derive(Debug)]
struct Member {
    position: usize,
    weight: u64,
    /// First point of 0..W that is no longer its own.
    end: u64,
}

/// Which point of 0..W each turn visits.
#[derive(Debug)]
enum Cycle {
    /// The member of each turn.
    Written(Vec<u32>),
    /// Every turn goes this far.
    Stride(u64),
}

impl Shares {
    /// The shares of destinations at these positions with these weights.
    pub(super) fn new(weights: impl Iterator<Item = (usize, u32)>) -> Self {
        Self::with(weights, false)
    }

    /// The same, of whose weights congestion takes away.
    pub(super) fn congestible(weights: impl Iterator<Item = (usize, u32)>) -> Self {
        Self::with(weights, true)
    }

    fn with(weights: impl Iterator<Item = (usize, u32)>, congestible: bool) -> Self {
        let (weighted, reserve): (Vec<_>, Vec<_>) = weights.partition(|(_, weight)| *weight > 0);
        // Milliseconds are taken away from weights as they were written.
        let common = || weighted.iter().fold(0, |divisor, (_, weight)| gcd(divisor, u64::from(*weight)));
        let divisor = if congestible { 1 } else { common() };
        let mut turns = 0;
        let members = weighted.into_iter().map(|(position, weight)| {
            let weight = u64::from(weight) / divisor;
            turns += weight;
            Member { position, weight, end: turns }
        });
        let members: Vec<Member> = members.collect();
        let cycle = if congestible { Cycle::Stride(stride(turns)) } else { Cycle::new(&members, turns) };
        let view = match &cycle {
            Cycle::Written(turns) => View::new(turns.len(), false),
            Cycle::Stride(_) => View::new(members.len(), true),
        };
        Self {
            cycle,
            view,
            members,
            congestible,
            reserve: reserve.into_iter().map(|(position, _)| position).collect(),
            turns,
        }
    }

    /// Offers the destination whose turn it is, then others by weight, then those of weight 0.
    pub(super) fn draft(&self, draft: &mut Draft<'_>, counter: &AtomicU64, random: &mut Random) {
        self.refresh(draft);
        if let Some(first) = self.claim(draft, counter) {
            draft.offer(first);
        }
        self.draft_random(draft, random);
    }

    /// Offers destinations drawn by weight, then those of weight 0.
    pub(super) fn draft_random(&self, draft: &mut Draft<'_>, random: &mut Random) {
        for _ in 0..draft.room() {
            let Some(next) = self.draw(draft, random) else { break };
            draft.offer(next);
        }
        if self.congestible {
            // Those to whom congestion leaves nothing.
            draft.offer_all(self.members.iter().map(|member| member.position));
        }
        draft.offer_all(self.reserve.iter().copied());
    }

    /// Has the cycle of the available ones written anew when availability, or a congestion that counts, has changed.
    pub(super) fn refresh(&self, draft: &Draft<'_>) {
        if self.congestible {
            self.view.refresh(draft.congestion_epoch(), |view| self.write_congested(draft, view));
            return;
        }
        self.view.refresh(draft.epoch(), |view| match &self.cycle {
            Cycle::Written(turns) => {
                let owners = turns.iter().map(|member| self.members[*member as usize].position);
                owners.filter(|position| draft.is_standing(*position)).for_each(|position| view.push(position, 0));
                (view.count() as u64, 0)
            }
            Cycle::Stride(_) => {
                let mut turns = 0;
                for member in self.members.iter().filter(|member| draft.is_standing(member.position)) {
                    turns += member.weight;
                    view.push(member.position, turns);
                }
                (turns, stride(turns))
            }
        });
    }

    #[cold]
    fn write_congested(&self, draft: &Draft<'_>, view: &mut Writer<'_>) -> (u64, u64) {
        let standing = || self.members.iter().filter(|member| draft.is_standing(member.position));
        let scale = Scale::new(standing().map(|member| (member.weight, draft.congestion_ms(member.position))));
        let mut turns = 0;
        for member in standing() {
            let weight = scale.weight(member.weight, draft.congestion_ms(member.position));
            if weight > 0 {
                turns += weight;
                view.push(member.position, turns);
            }
        }
        (turns, stride(turns))
    }

    /// The weight of a member at the moment.
    fn weight(&self, draft: &Draft<'_>, member: &Member) -> u64 {
        if self.congestible {
            return member.weight.saturating_sub(draft.congestion_ms(member.position));
        }
        member.weight
    }

    /// The destination whose turn it is; none when too many turns in a row fall on those that cannot take the request.
    fn claim(&self, draft: &Draft<'_>, counter: &AtomicU64) -> Option<usize> {
        if self.view.is_empty() {
            return None;
        }
        for _ in 0..PASSED_OVER_MAX {
            let turn = counter.fetch_add(1, Ordering::Relaxed);
            // While another shard writes the view, the cycle of all has to do.
            let owner = self.view.owner(|turns| turn % turns).or_else(|| self.at_turn(turn))?;
            if draft.is_available(owner) {
                return Some(owner);
            }
        }
        None
    }

    /// Whose turn `turn` is; nobody's when nobody has a weight.
    fn at_turn(&self, turn: u64) -> Option<usize> {
        let turn = turn.checked_rem(self.turns)?;
        let member = match &self.cycle {
            Cycle::Written(members) => self.members.get(*members.get(turn as usize)? as usize),
            Cycle::Stride(stride) => self.at_point(mul_mod(turn, *stride, self.turns)),
        };
        member.map(|member| member.position)
    }

    fn at_point(&self, point: u64) -> Option<&Member> {
        self.members.get(self.members.partition_point(|member| member.end <= point))
    }

    /// An available destination at random by weight, whether or not it can take the request; none when there is none or
    /// while another shard writes the view.
    pub(super) fn peek(&self, random: &mut Random) -> Option<usize> {
        self.view.owner(|turns| random.below(turns))
    }

    /// An open destination at random, in proportion to the weights of the open ones.
    pub(super) fn draw(&self, draft: &Draft<'_>, random: &mut Random) -> Option<usize> {
        let draws = if self.members.len() > DRAWS_MAX { DRAWS_MAX } else { DRAWS_OF_FEW_MAX };
        let mut drawn = (0..draws).filter_map(|_| self.peek(random));
        drawn.find(|position| draft.is_open(*position)).or_else(|| self.sample(draft, random))
    }

    /// The same in one pass: every open destination takes the place of the one before with probability weight/sum so far.
    fn sample(&self, draft: &Draft<'_>, random: &mut Random) -> Option<usize> {
        let mut sum = 0;
        let mut chosen = None;
        for member in self.members.iter().filter(|member| draft.is_open(member.position)) {
            let weight = self.weight(draft, member);
            sum += weight;
            if random.below(sum) < weight {
                chosen = Some(member.position);
            }
        }
        chosen
    }
}

impl Cycle {
    fn new(members: &[Member], turns: u64) -> Self {
        if turns <= WRITTEN_TURNS_MAX { Self::Written(written(members)) } else { Self::Stride(stride(turns)) }
    }
}

/// Every member has `weight` turns, due in the middles of as many equal parts of the cycle; whoever is due first is next.
fn written(members: &[Member]) -> Vec<u32> {
    let due = |weight: u64, nth: u64| ((2 * nth + 1) << 32) / weight;
    let turns_of = |(index, member): (usize, &Member)| {
        let weight = member.weight;
        (0..weight).map(move |nth| (due(weight, nth), index as u32))
    };
    let mut turns: Vec<(u64, u32)> = members.iter().enumerate().flat_map(turns_of).collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, index)| index).collect()
}

/// The number next to `turns` divided by the golden ratio that has no divisor in common with `turns`.
fn stride(turns: u64) -> u64 {
    let ideal = ((u128::from(turns) * u128::from(GOLDEN)) >> 64) as u64;
    (ideal..turns).find(|stride| gcd(*stride, turns) == 1).unwrap_or(1)
}

const fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::fixture::{Bench, destination, set, tally};
    use crate::dispatcher::{Algorithm, DestinationSpec};

    fn firsts(bench: &mut Bench, requests: usize) -> Vec<usize> {
        (0..requests).map(|_| bench.select(b"")[0]).collect()
    }

    /// Fails unless every `window` consecutive picks give destination i exactly `shares[i]`.
    #[track_caller]
    fn assert_exact_in_every_window(drawn: &[usize], shares: &[usize]) {
        let window: usize = shares.iter().sum();
        let mut counts = tally(&drawn[..window], shares.len());
        for (old, new) in drawn.iter().zip(&drawn[window..]) {
            assert_eq!(counts, shares);
            counts[*old] -= 1;
            counts[*new] += 1;
        }
        assert_eq!(counts, shares);
    }

    #[test]
    fn shares_are_exact_in_every_window_of_the_sum_of_weights() {
        for weights in [&[1, 2, 3][..], &[7, 1, 992], &[1], &[1, 1, 1], &[5_000, 1, 2_222], &[1_023, 1, 1]] {
            let shares: Vec<usize> = weights.iter().map(|weight| *weight as usize).collect();
            let mut bench = Bench::new(Algorithm::Weight, weights);
            let drawn = firsts(&mut bench, 3 * shares.iter().sum::<usize>() + 1);
            assert_exact_in_every_window(&drawn, &shares);
        }
    }

    #[test]
    fn weights_of_any_scale_are_reduced_to_the_smallest_cycle() {
        let mut bench = Bench::new(Algorithm::Weight, &[1_000_000_000, 2_000_000_000, 3_000_000_000]);
        assert_exact_in_every_window(&firsts(&mut bench, 60), &[1, 2, 3]);
    }

    #[test]
    fn a_short_cycle_mixes_the_turns() {
        let mut bench = Bench::new(Algorithm::Weight, &[1, 2, 3]);
        assert_eq!(firsts(&mut bench, 6), [2, 1, 0, 2, 1, 2]);
    }

    #[test]
    fn a_long_cycle_is_smooth() {
        // Shares of 1/2, 1/3 and 1/6: no 12 picks in a row may be off by more than two.
        let mut bench = Bench::new(Algorithm::Weight, &[300_001, 200_000, 100_000]);
        let drawn = firsts(&mut bench, 20_000);
        for window in drawn.windows(12) {
            let counts = tally(window, 3);
            assert!(counts.iter().zip([6_usize, 4, 2]).all(|(count, fair)| count.abs_diff(fair) <= 2), "{counts:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn shares_of_any_weights_are_exact(weights in prop::collection::vec(0_u32..700, 1..9)) {
            let sum: u32 = weights.iter().sum();
            prop_assume!(sum > 0);
            let shares: Vec<usize> = weights.iter().map(|weight| *weight as usize).collect();
            let drawn = firsts(&mut Bench::new(Algorithm::Weight, &weights), sum as usize + 40);
            assert_exact_in_every_window(&drawn, &shares);
        }

        #[test]
        fn a_long_cycle_visits_every_point_once(turns in 1_025_u64..200_000) {
            let stride = stride(turns);
            prop_assert_eq!(gcd(stride, turns), 1);
            let off = stride.abs_diff((turns as f64 * 0.618_033_988_75) as u64);
            prop_assert!(off < 64, "off by {}", off);
        }
    }

    #[test]
    fn the_share_of_a_lost_destination_goes_to_the_others_by_weight() {
        let mut bench = Bench::new(Algorithm::Weight, &[1, 2, 3, 6]);
        bench.set_available(3, false);
        assert_eq!(tally(&firsts(&mut bench, 600), 4), [100, 200, 300, 0]);
    }

    #[test]
    fn with_nearly_all_weight_lost_the_rest_still_share_by_weight() {
        let mut bench = Bench::new(Algorithm::Weight, &[1, 3, 1_000_000]);
        bench.set_available(2, false);
        let counts = tally(&firsts(&mut bench, 40_000), 3);
        assert!(counts[0].abs_diff(10_000) < 500 && counts[2] == 0, "{counts:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_shares_of_the_available_ones_are_exact_at_once_whoever_is_lost(
            members in prop::collection::vec((0_u32..400, any::<bool>()), 1..12), scale in prop::sample::select(vec![1, 7]),
        ) {
            let weights: Vec<u32> = members.iter().map(|(weight, _)| weight * scale).collect();
            let shares: Vec<usize> =
                members.iter().map(|(weight, up)| if *up { *weight as usize } else { 0 }).collect();
            prop_assume!(shares.iter().sum::<usize>() > 0);
            let mut bench = Bench::with_rweights(&weights);
            firsts(&mut bench, 17);
            members.iter().enumerate().for_each(|(position, (_, up))| bench.set_available(position, *up));
            let drawn = firsts(&mut bench, shares.iter().sum::<usize>() + 60);
            assert_exact_in_every_window(&drawn, &shares);
        }
    }

    #[test]
    fn thousands_of_destinations_share_exactly_also_when_nine_of_ten_are_lost() {
        let weights: Vec<u32> = (0..3_000).map(|number| number % 5 + 1).collect();
        let mut bench = Bench::with_limit(Algorithm::Weight, &weights, 1, 1);
        (0..3_000).for_each(|position| bench.set_available(position, position % 10 == 3));
        let share = |position: usize| if position % 10 == 3 { weights[position] as usize } else { 0 };
        let shares: Vec<usize> = (0..3_000).map(share).collect();
        let drawn = firsts(&mut bench, shares.iter().sum());
        assert_eq!(tally(&drawn, 3_000), shares);
    }

    #[test]
    fn relative_weight_goes_by_rweight_and_weight_by_weight() {
        let spec = |number: usize, weight, rweight| DestinationSpec { rweight, ..destination(number, weight) };
        for (algorithm, shares) in [(Algorithm::Weight, [10, 30]), (Algorithm::RelativeWeight, [30, 10])] {
            let mut bench = Bench::of(set(1, algorithm, vec![spec(0, 1, 6), spec(1, 3, 2)]), 1);
            assert_eq!(tally(&firsts(&mut bench, 40), 2), shares, "{algorithm:?}");
        }
    }

    #[test]
    fn shards_together_share_exactly_while_some_are_lost() {
        let bench = Bench::new(Algorithm::Weight, &[5, 3, 8, 4]);
        bench.set_available(2, false);
        bench.first();
        let drawn: Vec<usize> = thread::scope(|scope| {
            let shards: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..3_000).map(|_| bench.first()).collect::<Vec<_>>())).collect();
            shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect()
        });
        assert_eq!(tally(&drawn, 4), [5_000, 3_000, 0, 4_000]);
    }

    #[test]
    fn failover_goes_by_weight_in_small_and_in_large_sets() {
        for others in [2, 30] {
            // Position 0 has all turns but some; what follows it must be 3 times as often a heavy one as a light one.
            let mut weights = vec![100_000];
            weights.extend((0..others).map(|other| if other % 2 == 0 { 1 } else { 3 }));
            let mut bench = Bench::with_limit(Algorithm::Weight, &weights, 2, 5);
            let heavy = (0..20_000).filter(|_| bench.select(b"")[1].is_multiple_of(2)).count();
            assert!(heavy.abs_diff(15_000) < 450, "{others}: {heavy}");
        }
    }

    #[test]
    fn weight_zero_gets_requests_only_when_no_other_is_left() {
        let mut bench = Bench::new(Algorithm::Weight, &[0, 2, 0, 1]);
        for _ in 0..30 {
            let targets = bench.select(b"");
            assert_eq!(targets[2..], [0, 2]);
        }
        bench.set_available(1, false);
        bench.set_available(3, false);
        assert_eq!(bench.select(b""), [0, 2]);
    }
}
