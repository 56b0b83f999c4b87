//! From a set to the target set of one request.
//!
//! Every algorithm is a file with a `draft` function that offers destinations in its order; [`Draft`] alone decides what
//! becomes a target, so that no algorithm can put in one that is unavailable, a duplicate, or one too many. What an
//! algorithm can work out beforehand is in its [`Plan`], made when the table is built.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::call_load::Loads;
use super::congestion;
use super::explain::Verdict;
use super::fastest::Fastest;
use super::hash::Rendezvous;
use super::legacy::Legacy;
use super::priority::Ranks;
use super::random::Random;
use super::report::ReportSpec;
use super::set::{Counts, Destination, Set};
use super::spec::{Algorithm, HashKind, LoadChoice};
use super::srv::Groups;
use super::state::{DestinationId, StateIndex, States};
use super::targets::Targets;
use super::weight::Shares;
use super::{round_robin, uniform};
use crate::limits::TARGETS_MAX;
use crate::time::Instant;

/// What of a request matters to selection; the caller reads it from the message.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The bytes that [`super::HashInput`] names, of a URI the user part; other algorithms do not look at it.
    pub hash_key: &'a [u8],
    /// Of a URI: its host, with `:port` unless that is the default; empty for all else. With both empty, as for a request
    /// without the header that is hashed, a hash algorithm goes by round robin.
    pub hash_host: &'a [u8],
    /// When it is: bounds by time and slow start need to know.
    pub now: Instant,
    /// Whether it goes before others where a destination is in overload (RFC 7339 §5.10.1).
    pub prioritized: bool,
}

impl Input<'_> {
    /// A request at `now` of which nothing is hashed.
    #[must_use]
    pub const fn at(now: Instant) -> Self {
        Self { hash_key: b"", hash_host: b"", now, prioritized: false }
    }
}

impl Set {
    /// Fills `targets` with the destinations that a request tries, first one first: available now and with room for a call,
    /// no duplicates, at most `failover_limit`; none when there is no such destination. Allocates nothing.
    pub fn select(&self, states: &States, input: &Input<'_>, random: &mut Random, targets: &mut Targets) {
        let sheds = |first| states.sheds(first, input.prioritized, input.now);
        self.select_by(&self.position, sheds, (states, input, random), targets);
    }

    /// Selection by these counts, with a draw of the first target's loss.
    #[inline]
    pub(super) fn select_by(
        &self,
        counts: &Counts,
        sheds: impl FnOnce(StateIndex) -> bool,
        (states, input, random): (&States, &Input<'_>, &mut Random),
        targets: &mut Targets,
    ) {
        self.draft(counts, (states, input, random), targets, false);
        if self.overload_control
            && let Some(first) = targets.first()
            && sheds(first.state())
        {
            // RFC 7339 §5.10: what is shed may go to another destination that is not in overload itself.
            self.draft(counts, (states, input, random), targets, true);
        }
    }

    fn draft(
        &self,
        counts: &Counts,
        (states, input, random): (&States, &Input<'_>, &mut Random),
        targets: &mut Targets,
        is_shed: bool,
    ) {
        let mut draft = Draft::new(self, states, input, targets);
        draft.is_shed = is_shed;
        draft.is_look = counts.is_copy;
        self.plan.draft(&mut draft, input, counts, random);
        draft.finish(&self.last_resort, random);
    }
}

/// A set's algorithm with what it needs to know about the destinations beforehand.
#[derive(Debug)]
pub(super) enum Plan {
    RoundRobin,
    Random,
    Priority(Ranks),
    Weight(Shares),
    Srv(Groups),
    CallLoad(Loads, LoadChoice),
    Latency(Fastest),
    Hash(Rendezvous),
    Legacy(Legacy),
}

impl Plan {
    pub(super) fn new(algorithm: Algorithm, destinations: &[Destination], report: &ReportSpec) -> Self {
        let mut priorities = destinations.iter().filter(|it| !it.last_resort).map(|it| it.priority);
        let first = priorities.next();
        let mut all_equal = || priorities.all(|priority| Some(priority) == first);
        match algorithm {
            Algorithm::RoundRobin | Algorithm::RoundRobinOverload => Self::RoundRobin,
            Algorithm::RoundRobinOrPriority if all_equal() => Self::RoundRobin,
            Algorithm::Random => Self::Random,
            Algorithm::Priority | Algorithm::Parallel | Algorithm::RoundRobinOrPriority => {
                Self::Priority(Ranks::new(destinations))
            }
            Algorithm::Weight => Self::Weight(Shares::new(weights(destinations, |it| it.weight))),
            Algorithm::RelativeWeight => Self::Weight(congestion::shares(destinations)),
            Algorithm::Latency => Self::Latency(Fastest::new(destinations)),
            Algorithm::Srv => Self::Srv(Groups::new(destinations)),
            Algorithm::CallLoad(choice) => Self::CallLoad(Loads::new(destinations, report), choice),
            Algorithm::Hash(_, HashKind::Consistent) => Self::Hash(Rendezvous::new(destinations)),
            Algorithm::Hash(_, HashKind::Legacy) => Self::Legacy(Legacy::new(destinations)),
        }
    }

    fn draft(&self, draft: &mut Draft<'_>, input: &Input<'_>, counts: &Counts, random: &mut Random) {
        let keyless = input.hash_key.is_empty() && input.hash_host.is_empty();
        match self {
            Self::Hash(_) | Self::Legacy(_) if keyless => round_robin::draft(draft, &counts.turns),
            Self::Hash(rendezvous) => rendezvous.draft(draft, input.hash_key, input.hash_host),
            Self::Legacy(legacy) => legacy.draft(draft, input.hash_key, input.hash_host),
            Self::CallLoad(loads, choice) => loads.draft(draft, *choice, &counts.turns, random),
            _ => {
                draft.begin_slow_start(counts);
                self.draft_by_turns(draft, &counts.turns, random);
            }
        }
    }

    /// The algorithms under which slow start admits requests by their number.
    fn draft_by_turns(&self, draft: &mut Draft<'_>, turns: &AtomicU64, random: &mut Random) {
        match self {
            Self::Random => uniform::draft(draft, random),
            Self::Priority(ranks) => ranks.draft(draft),
            Self::Weight(shares) => shares.draft(draft, turns, random),
            Self::Srv(groups) => groups.draft(draft, random),
            Self::Latency(fastest) => fastest.draft(draft, turns, random),
            _ => round_robin::draft(draft, turns),
        }
    }
}

/// Positions of all but the last-resort destinations, with their weights.
pub(super) fn weights(
    destinations: &[Destination],
    weight: impl Fn(&Destination) -> u32,
) -> impl Iterator<Item = (usize, u32)> {
    let regular = destinations.iter().enumerate().filter(|(_, destination)| !destination.last_resort);
    regular.map(move |(position, destination)| (position, weight(destination)))
}

/// One destination of a set, when a request comes.
pub(super) struct Place<'a> {
    pub(super) destination: &'a Destination,
    pub(super) states: &'a States,
    pub(super) now: Instant,
}

/// A target set in the making; destinations are named by their position in the set.
pub(super) struct Draft<'a> {
    destinations: &'a [Destination],
    states: &'a States,
    targets: &'a mut Targets,
    limit: usize,
    now: Instant,
    prioritized: bool,
    /// Whether the destination that would have come first has shed the request.
    is_shed: bool,
    /// Whether no request is made of it: turns are not taken.
    is_look: bool,
    /// How long a destination of the set starts slowly.
    slow_start: Duration,
    /// The number of this request while slow start holds requests back; none when it does not.
    request: Option<u64>,
    /// Whether slow start has held this request back from a destination that is otherwise available.
    held_back: Cell<bool>,
    /// Whether it is the last-resort destinations' turn.
    last_resort: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(set: &'a Set, states: &'a States, input: &Input<'_>, targets: &'a mut Targets) -> Self {
        targets.clear();
        Self {
            destinations: &set.destinations,
            states,
            targets,
            limit: set.failover_limit.min(TARGETS_MAX),
            now: input.now,
            prioritized: input.prioritized,
            is_shed: false,
            is_look: false,
            slow_start: set.slow_start,
            request: None,
            held_back: Cell::new(false),
            last_resort: false,
        }
    }

    /// From now on destinations that start slowly are available to some requests only.
    fn begin_slow_start(&mut self, counts: &Counts) {
        if !self.slow_start.is_zero() {
            self.request = Some(counts.requests.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// Those from whom slow start held the request back come last, so that a request with no other target has one (any of
    /// them first: a whole set that comes back must not fall upon its first destination), and then the last resort.
    fn finish(&mut self, last_resort: &[usize], random: &mut Random) {
        self.request = None;
        if self.held_back.get() && self.room() > 0 {
            let start = random.index(self.destinations.len());
            self.offer_all(around(start, self.destinations.len()));
        }
        if self.len() == 0 {
            self.last_resort = true;
            self.offer_all(last_resort.iter().copied());
        }
    }

    /// Whether turns are looked at only.
    pub(super) const fn is_look(&self) -> bool {
        self.is_look
    }

    /// Destinations of the set, available or not.
    pub(super) fn destinations(&self) -> usize {
        self.destinations.len()
    }

    /// One of the set, and the states that it is in.
    pub(super) fn known(&self, position: usize) -> Option<(&'a Destination, &'a States)> {
        Some((self.destinations.get(position)?, self.states))
    }

    /// Targets so far.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Targets that may still be added.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.targets.len())
    }

    /// Whether the destination may get this request: it is available, has room, and slow start admits it.
    #[inline]
    pub(super) fn is_available(&self, position: usize) -> bool {
        let Some(destination) = self.destinations.get(position) else { return false };
        self.states.is_available(destination.state) && (destination.is_plain() || self.admits(destination))
    }

    fn admits(&self, destination: &Destination) -> bool {
        match self.judge(destination) {
            Verdict::Open => true,
            Verdict::HeldBack => {
                self.held_back.set(true);
                false
            }
            _ => false,
        }
    }

    /// What keeps an available destination from the request.
    #[inline]
    fn judge(&self, destination: &Destination) -> Verdict {
        if destination.last_resort != self.last_resort {
            return Verdict::LastResort;
        }
        if !self.states.has_room(destination, self.now) {
            return Verdict::NoRoom;
        }
        if destination.overload_control && !self.wants(destination) {
            return Verdict::Overloaded;
        }
        let admitted = self
            .request
            .is_none_or(|request| self.states.part(destination, self.now).admits(request, destination.state));
        if admitted { Verdict::Open } else { Verdict::HeldBack }
    }

    /// As if the request with this number were looked at, of which the first choice has shed this one or not.
    pub(super) fn resume(&mut self, is_shed: bool, request: u64) {
        self.is_shed = is_shed;
        self.request = Some(request).filter(|_| !self.slow_start.is_zero());
    }

    /// What the destination's part in this selection is, told apart.
    pub(super) fn verdict(&self, position: usize) -> Verdict {
        let Some(destination) = self.destinations.get(position) else { return Verdict::Unavailable };
        match () {
            () if !self.states.is_available(destination.state) => Verdict::Unavailable,
            () if destination.is_plain() => Verdict::Open,
            () => self.judge(destination),
        }
    }

    /// Whether its own overload lets the destination have the request.
    fn wants(&self, destination: &Destination) -> bool {
        let state = destination.state;
        !(self.is_shed && self.states.has_loss(state, self.now))
            && self.states.has_turn(state, self.prioritized, self.now)
    }

    /// Whether health and admin let the destination have requests, which is what the epoch stands for.
    pub(super) fn is_standing(&self, position: usize) -> bool {
        self.destinations.get(position).is_some_and(|destination| self.states.is_available(destination.state))
    }

    /// The number that stays the same while [`Self::is_standing`] does.
    pub(super) fn epoch(&self) -> u64 {
        self.states.availability_epoch()
    }

    /// The destination at `position`, and what tells its load.
    pub(super) fn place(&self, position: usize) -> Option<Place<'_>> {
        let destination = self.destinations.get(position)?;
        Some(Place { destination, states: self.states, now: self.now })
    }

    /// The load that one more call would make, relative to the destination's weight: the order of call load. Those of weight 0
    /// come after all others.
    pub(super) fn relative_load(&self, position: usize) -> u64 {
        let Some(destination) = self.destinations.get(position) else { return u64::MAX };
        let load = self.states.load(destination.state) + 1;
        if destination.weight == 0 {
            return 1 << 63 | load;
        }
        let weight = f64::from(destination.weight) * self.states.part(destination, self.now).ratio();
        // Division is rounded correctly, so equal ratios are equal; positive floats are in the order of their bits.
        (load as f64 / weight).to_bits()
    }

    /// Whether the destination could become a target: available, and not one yet.
    #[inline]
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

    /// Takes as first target a destination that has just been found available.
    pub(super) fn begin_with(&mut self, position: usize) {
        self.targets.push(self.destinations[position].id);
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
        if self.is_open(position)
            && let Some(place) = self.targets.as_mut_slice().get_mut(rank)
        {
            *place = self.destinations[position].id;
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
                assert_eq!(bench.select(b"call"), Vec::<usize>::new(), "{algorithm:?} {count}");
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

#[cfg(test)]
#[path = "tests/bounds.rs"]
mod bounds;
