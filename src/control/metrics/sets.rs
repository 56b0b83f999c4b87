//! The sets: who is there, and how much of what they can carry is in use.

use super::page::{Labels, Page};
use crate::control::utilisation::{Capacity, utilisation};
use crate::dispatcher::{Set, Table};
use core::fmt::Error;

pub(super) fn labels(set: &Set) -> Labels {
    Labels::none().with("set", set.id.0).with("set_name", &set.name)
}

pub(super) fn write(page: &mut Page<'_>, table: &Table) -> Result<(), Error> {
    let (states, sets) = (table.states(), table.sets());
    page.gauges(
        "set_destinations",
        "Destinations of the set.",
        sets.iter().map(|set| (labels(set), set.destinations.len() as f64)),
    )?;
    let available = |set: &Set| set.destinations.iter().filter(|it| states.is_available(it.state)).count() as f64;
    page.gauges(
        "set_available_destinations",
        "Those of them that may get new calls.",
        sets.iter().map(|set| (labels(set), available(set))),
    )?;
    let share = sets.iter().filter(|set| !set.destinations.is_empty());
    let share = share.map(|set| (labels(set), available(set) / set.destinations.len() as f64));
    page.gauges("set_active_ratio", "Destinations of the set that may get new calls, of all, 0 to 1.", share)?;
    let load = |set: &Set| set.destinations.iter().map(|it| states.load(it.state)).sum::<u64>() as f64;
    page.gauges(
        "set_load",
        "Calls that the set's destinations have.",
        sets.iter().map(|set| (labels(set), load(set))),
    )?;
    let used = sets.iter().filter_map(|set| Some((labels(set), utilisation(set, states)?)));
    let rows: Vec<(Labels, Capacity)> = used.collect();
    let help = "Calls that the set's available destinations can have, where all of them have a bound.";
    page.gauges("set_capacity", help, rows.iter().map(|(labels, it)| (labels.clone(), it.calls)))?;
    let help = "Calls of the set's available destinations as a share of that, 0 to 1: what an autoscaler goes by.";
    page.gauges("set_utilisation_ratio", help, rows.into_iter().map(|(labels, it)| (labels, it.used)))
}
