//! How much of what it can carry a set has in use.

use crate::dispatcher::{Destination, Set, States};

/// What the available destinations of a set can have, and how much of it is in use.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Capacity {
    /// Calls.
    pub(super) calls: f64,
    /// The share of them that is in use, 0 to 1; 1 when there is no capacity at all.
    pub(super) used: f64,
}

/// None while a destination of the set has no bound: then nobody knows.
pub(super) fn utilisation(set: &Set, states: &States) -> Option<Capacity> {
    let available = || set.destinations.iter().filter(|it| states.is_available(it.state));
    if set.destinations.is_empty() || set.destinations.iter().any(|it| bound(it, states).is_none()) {
        return None;
    }
    let calls: u64 = available().filter_map(|it| bound(it, states)).sum();
    let load: u64 = available().map(|it| states.load(it.state)).sum();
    let used = if calls == 0 { 1.0 } else { (load as f64 / calls as f64).min(1.0) };
    Some(Capacity { calls: calls as f64, used })
}

/// Calls that it may or can have: its `maxload`, else what it reported last.
pub(super) fn bound(destination: &Destination, states: &States) -> Option<u64> {
    let configured = Some(u64::from(destination.maxload)).filter(|bound| *bound > 0);
    let reported = || states.reported(destination.state)?.report.capacity.map(u64::from);
    configured.or_else(reported)
}
