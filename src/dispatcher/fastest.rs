//! Latency: the fastest destination first; failover goes on in that order.
//!
//! # Policy
//!
//! - Rank first, by Kamailio's rule ([`super::Algorithm::Latency`]): it reads the probes' estimate alone, which moves slowly.
//! - Within a rank: time × (INVITEs without an answer yet + 1) / weight. The answers that are still out make this safe: they grow at
//!   once with every INVITE, long before a slower answer tells, so that no crowd runs to whoever was fastest last. Calls that are
//!   answered do not count: they last for minutes and say nothing about how fast the next one will be answered.
//! - The time is the worse of probe estimate and live response time: a probe may be answered at once by who is slow to take calls, and
//!   whoever answered calls fast may be far away now. With `cc` it is the congestion alone. Below [`TIME_MIN_MS`] all are equal.
//! - Live response time fades while there are no calls, so that who was slow is tried again; a request that got no answer counts as a
//!   slow one ([`super::latency`]).
//! - Of whom nothing is measured is tried at once, by one INVITE at a time: until that is answered it counts as [`UNKNOWN_MS`].
//! - A set of up to [`LOOKS_MAX`] is looked at whole. Of a larger one [`DRAWS`] are, so that the cost does not grow with it: from the
//!   highest priority down, all of a priority that has few, else drawn by weight.

use core::cmp::Reverse;
use core::sync::atomic::AtomicU64;
use std::collections::BTreeMap;

use super::lowest::{LOOKS_MAX, Lowest, best_of_all};
use super::random::Random;
use super::select::Draft;
use super::set::Destination;
use super::state::States;
use super::weight::Shares;

/// Differences below this are noise.
const TIME_MIN_MS: f32 = 1.0;

/// What the first answer of a destination of which nothing is known is expected to take.
const UNKNOWN_MS: f32 = 1_000.0;

/// Available destinations of a large set that are looked at for one request.
const DRAWS: usize = 32;

/// Priorities of a large set that draws are divided among at most, unless they have few destinations each.
const TIERS: usize = 4;

/// What latency needs to know of a set's destinations.
#[derive(Debug)]
pub(super) struct Fastest {
    /// By priority, highest first; only in a large set.
    tiers: Vec<Tier>,
}

#[derive(Debug)]
struct Tier {
    shares: Shares,
    looks: Looks,
}

/// How a tier is looked at.
#[derive(Debug)]
enum Looks {
    /// All of its destinations.
    All(Vec<usize>),
    /// So many draws.
    Draws(usize),
}

impl Fastest {
    pub(super) fn new(destinations: &[Destination]) -> Self {
        let mut tiers: BTreeMap<Reverse<i32>, Vec<(usize, u32)>> = BTreeMap::new();
        if destinations.len() > LOOKS_MAX {
            let regular = destinations.iter().enumerate().filter(|(_, destination)| !destination.last_resort);
            regular
                .for_each(|(position, it)| tiers.entry(Reverse(it.priority)).or_default().push((position, it.weight)));
        }
        let each = DRAWS / tiers.len().clamp(1, TIERS);
        let looks = |members: &[(usize, u32)]| match members.len() {
            few if few <= each => Looks::All(members.iter().map(|(position, _)| *position).collect()),
            _ => Looks::Draws(each),
        };
        let tier =
            |members: Vec<(usize, u32)>| Tier { looks: looks(&members), shares: Shares::new(members.into_iter()) };
        Self { tiers: tiers.into_values().map(tier).collect() }
    }

    /// Offers destinations from the fastest on. On its own: what it needs on the stack is not for the other algorithms to clear.
    #[inline(never)]
    pub(super) fn draft(&self, draft: &mut Draft<'_>, turns: &AtomicU64, random: &mut Random) {
        if draft.destinations() <= LOOKS_MAX {
            best_of_all(draft, turns, key);
            return;
        }
        self.best_of_many(draft, random);
        // Sampling may miss some: those that nobody drew, and those of weight 0.
        for Tier { shares, .. } in &self.tiers {
            if draft.room() == 0 {
                return;
            }
            shares.refresh(draft);
            shares.draft_random(draft, random);
        }
    }

    fn best_of_many(&self, draft: &mut Draft<'_>, random: &mut Random) {
        let mut best = Lowest::new(draft.room());
        let (mut looked, mut found) = (0, 0);
        let mut look = |draft: &Draft<'_>, position| {
            looked += 1;
            if draft.is_available(position) {
                found += 1;
                let key = key(draft, position);
                if best.admits(key, position) {
                    best.insert(key, position);
                }
            }
            looked < LOOKS_MAX && found < DRAWS
        };
        for tier in &self.tiers {
            let go_on = match &tier.looks {
                Looks::All(positions) => positions.iter().all(|position| look(draft, *position)),
                Looks::Draws(draws) => {
                    tier.shares.refresh(draft);
                    (0..*draws).map_while(|_| tier.shares.peek(random)).all(|position| look(draft, position))
                }
            };
            if !go_on {
                break;
            }
        }
        draft.offer_all(best.positions());
    }
}

/// The place of a destination in the order: weight 0 last, rank by rank from the highest, the lowest cost first.
fn key(draft: &Draft<'_>, position: usize) -> u64 {
    let Some((destination, states)) = draft.known(position) else { return u64::MAX };
    let (rank, time_ms) = measured(destination, states);
    let pending = states.pending(destination.state) as f32;
    let time_ms = match time_ms {
        Some(time_ms) => time_ms.max(TIME_MIN_MS),
        None if pending > 0.0 => UNKNOWN_MS,
        None => TIME_MIN_MS,
    };
    let cost = time_ms * (pending + 1.0) / destination.weight.max(1) as f32;
    // Positive floats are in the order of their bits, of which the highest is the sign.
    let below = (i64::from(i32::MAX) - i64::from(rank)) as u64;
    u64::from(destination.weight == 0) << 63 | below << 31 | u64::from(cost.to_bits())
}

/// The rank of a destination, and the time that counts within it, ms; none when nothing is measured.
fn measured(destination: &Destination, states: &States) -> (i32, Option<f32>) {
    let probed = states.probed(destination.state).map(|probed| {
        let nanos = if destination.cc { probed.congestion_ns() } else { probed.estimate_ns };
        nanos / 1e6
    });
    let rank = rank(destination.priority, probed.unwrap_or_default() as i32);
    let live = states.response_time(destination.state).map(|time| time.as_secs_f32() * 1e3);
    let time_ms = match (probed.map(|ms| ms as f32), live) {
        (Some(probed), _) if destination.cc => Some(probed),
        // It answers, and no probe ever found it slow.
        (None, Some(_)) if destination.cc => Some(0.0),
        (Some(probed), Some(live)) => Some(probed.max(live)),
        (probed, live) => probed.or(live),
    };
    (rank, time_ms)
}

/// Kamailio's `rpriority`.
const fn rank(priority: i32, latency_ms: i32) -> i32 {
    if priority <= 0 || latency_ms <= priority {
        return priority;
    }
    let rank = priority - latency_ms / priority;
    if rank < 1 { 1 } else { rank }
}

#[cfg(test)]
#[path = "tests/fastest.rs"]
mod tests;
