//! The utilisation alarm: an event when a set's destinations are nearly full, and one when they are no longer.

use crate::control::utilisation::{Capacity, utilisation};
use crate::control::{Control, Value};
use crate::dispatcher::{Set, SetId, States};
use crate::limits;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::sleep;

/// How far below the threshold the utilisation must fall before the alarm ends, points of a hundred: what swings around the threshold
/// is one alarm.
const HYSTERESIS_POINTS: f64 = 5.0;

/// Looks at every set once a second, for ever; `percent` is the threshold, 1 to 100.
pub(in crate::control) async fn watch(control: Arc<Control>, percent: u8) {
    let mut high = HashSet::new();
    loop {
        sleep(limits::CONTROL_LOOK_INTERVAL).await;
        let policy = control.policy();
        high.retain(|id| policy.table.set(*id).is_some());
        for set in policy.table.sets() {
            look(&control, set, policy.table.states(), percent, &mut high);
        }
    }
}

fn look(control: &Control, set: &Set, states: &States, percent: u8, high: &mut HashSet<SetId>) {
    let capacity = utilisation(set, states);
    let used = capacity.map(|capacity| capacity.used * 100.0);
    let Some(now_high) = change(high.contains(&set.id), used, f64::from(percent)) else { return };
    let (id, name, threshold) = (set.id.0, &set.name, percent);
    if now_high {
        high.insert(set.id);
        tracing::warn!(set = id, name, used, threshold, "utilisation is high");
    } else {
        high.remove(&set.id);
        tracing::info!(set = id, name, used, threshold, "utilisation is no longer high");
    }
    let kind = if now_high { "utilisation-high" } else { "utilisation-normal" };
    let float = |value: Option<f64>| value.map_or(Value::Null, |value| Value::Float((value * 10.0).round() / 10.0));
    control.events().push(
        kind,
        vec![
            ("set", Value::from(id)),
            ("set_name", Value::text_or_null(name)),
            ("used_percent", float(used)),
            ("calls_max", float(capacity.map(|Capacity { calls, .. }| calls))),
            ("threshold_percent", Value::from(u32::from(threshold))),
        ],
    );
}

/// Whether the alarm is on from now on, when that is news. What has no bound any more has no alarm.
fn change(high: bool, used_percent: Option<f64>, threshold: f64) -> Option<bool> {
    match (high, used_percent) {
        (false, Some(used)) if used >= threshold => Some(true),
        (true, Some(used)) if used < threshold - HYSTERESIS_POINTS => Some(false),
        (true, None) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_begins_at_the_threshold_and_ends_well_below_it() {
        let mut high = false;
        let mut told = Vec::new();
        for used in [10.0, 89.9, 90.0, 95.0, 89.0, 86.0, 91.0, 85.0, 84.9, 89.0, 100.0] {
            if let Some(change) = change(high, Some(used), 90.0) {
                high = change;
                told.push((used, change));
            }
        }
        assert_eq!(told, [(90.0, true), (84.9, false), (100.0, true)]);
        assert_eq!((change(true, None, 90.0), change(false, None, 90.0)), (Some(false), None));
    }
}
