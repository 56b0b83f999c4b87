//! Who comes first: what the algorithms that have a definite answer promise, stated anew from what everybody can read of destinations.

use crate::checks::{Checks, Context, Verdict, ensure};
use siplane::dispatcher::{Algorithm, Destination, DestinationId, LoadChoice, LoadFrom, Set, States, Table};
use siplane::time::Instant;

/// Costs are compared with this tolerance: the dispatcher's are floats of 32 bits.
const SAME: f64 = 1.0001;

impl Checks {
    /// Those of whom one has to get a request that comes now first; `None` where anybody may.
    pub(crate) fn firsts(&self, now: Instant, table: &Table) -> Option<Vec<DestinationId>> {
        let (set, states) = (&table.sets()[0], table.states());
        let regular = || set.destinations.iter().filter(|it| !it.last_resort);
        // What bounds and slow start keep away they check themselves.
        let held = |it: &&Destination| self.ledger.is_limited(table, it) || self.ledger.starts_slowly(it, now);
        if regular().any(|it| held(&it)) {
            return None;
        }
        let open: Vec<_> = regular().filter(|it| states.is_available(it.state)).collect();
        let cost = cost_of(set)?;
        let best = open.iter().map(|it| cost(states, it)).min_by(Cost::order)?;
        Some(open.iter().filter(|it| cost(states, it).is_as_good(&best)).map(|it| it.id).collect())
    }

    /// The first branch of `context` goes to one of those who come first.
    pub(crate) fn comes_first(&self, context: &Context, target: &Destination) -> Verdict {
        let first = context.branches.is_empty() && !self.lapsed(context);
        let Some(firsts) = context.firsts.as_ref().filter(|_| first) else { return Ok(()) };
        ensure(firsts.contains(&target.id), || format!("{} comes first, not one of {firsts:?}", target.uri))
    }
}

/// What orders destinations: weight 0 last, then the higher rank, then the lower cost.
struct Cost {
    weightless: bool,
    rank: i64,
    cost: f64,
}

impl Cost {
    fn order(&self, other: &Self) -> core::cmp::Ordering {
        let ranks = (self.weightless, -self.rank).cmp(&(other.weightless, -other.rank));
        ranks.then(self.cost.total_cmp(&other.cost))
    }

    fn is_as_good(&self, best: &Self) -> bool {
        (self.weightless, self.rank) == (best.weightless, best.rank) && self.cost <= best.cost * SAME
    }
}

fn cost_of(set: &Set) -> Option<fn(&States, &Destination) -> Cost> {
    match set.algorithm {
        Algorithm::Priority | Algorithm::Parallel => {
            Some(|_, it| Cost { weightless: false, rank: it.priority.into(), cost: 0.0 })
        }
        Algorithm::Srv => Some(|_, it| Cost { weightless: false, rank: -i64::from(it.priority), cost: 0.0 }),
        Algorithm::Latency => Some(by_latency),
        Algorithm::CallLoad(LoadChoice::Exact) if set.report.load_from == LoadFrom::Calls => Some(|states, it| {
            let load = states.load(it.state) as f64 + 1.0;
            Cost { weightless: it.weight == 0, rank: 0, cost: load / f64::from(it.weight.max(1)) }
        }),
        _ => None,
    }
}

/// [`Algorithm::Latency`]'s own words: with priorities Kamailio's rank, and within it time × (INVITEs without an answer + 1) / weight.
fn by_latency(states: &States, it: &Destination) -> Cost {
    let latency = states.latency(it.state);
    let probed = (latency.count > 0).then(|| if it.cc { states.congestion(it.state) } else { latency.estimate });
    let probed_ms = probed.map(|probed| probed.as_secs_f64() * 1e3);
    let rank = match (it.priority, probed_ms.unwrap_or(0.0).floor() as i32) {
        (priority, ms) if priority > 0 && ms > priority => (priority - ms / priority).max(1),
        (priority, _) => priority,
    };
    let live_ms = states.response_time(it.state).map(|time| time.as_secs_f64() * 1e3);
    let pending = states.pending(it.state) as f64;
    let time_ms = match (probed_ms, live_ms) {
        (Some(probed), _) if it.cc => Some(probed),
        (None, Some(_)) if it.cc => Some(0.0),
        (probed, live) => [probed, live].into_iter().flatten().reduce(f64::max),
    };
    // Below a millisecond all are equal; of whom nothing is known one INVITE is tried at once, and counts as a second meanwhile.
    let time_ms = time_ms.map_or(if pending > 0.0 { 1000.0 } else { 1.0 }, |time| time.max(1.0));
    Cost {
        weightless: it.weight == 0,
        rank: rank.into(),
        cost: time_ms * (pending + 1.0) / f64::from(it.weight.max(1)),
    }
}
