//! `stats.*`, `cnt.*`: counters, as Kamailio's kex and counters modules tell them.

use super::Method;
use super::counters::{Counter, counters};
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use std::borrow::Cow;

const NAMES: &[Param] = &[Param::optional("names", Kind::Rest)];

const GROUP: &[Param] = &[Param::required("group", Kind::Text)];

pub(super) const METHODS: &[Method] = &[
    Method::look(
        "stats.get_statistics",
        "Counters as lines: all, those of a GROUP:, or those named.",
        NAMES,
        get_statistics,
    ),
    Method::look("stats.fetch", "Counters as texts: all, those of a GROUP:, or those named.", NAMES, fetch),
    Method::look("stats.fetchn", "Counters as numbers: all, those of a GROUP:, or those named.", NAMES, fetch_numbers),
    Method::look("cnt.grps_list", "The groups of counters.", &[], groups_list),
    Method::look("cnt.var_list", "The names of the counters of a group.", GROUP, names_of_group),
    Method::look("cnt.grp_get_all", "The counters of a group.", GROUP, group),
    Method::look(
        "cnt.get",
        "A counter, or all of a group.",
        &[Param::required("group", Kind::Text), Param::optional("name", Kind::Text)],
        get,
    ),
];

/// `dialog:active_dialogs = 2`.
fn get_statistics(control: &Control, arguments: &Arguments) -> Answer {
    let line = |counter: Counter| format!("{}:{} = {}", counter.group, counter.name, counter.value);
    Ok(wanted(control, arguments)?.into_iter().map(line).collect())
}

fn fetch(control: &Control, arguments: &Arguments) -> Answer {
    Ok(members(&wanted(control, arguments)?, |value| Value::from(value.to_string())))
}

fn fetch_numbers(control: &Control, arguments: &Arguments) -> Answer {
    Ok(members(&wanted(control, arguments)?, Value::count))
}

/// `dialog.active_dialogs`.
fn members(counters: &[Counter], value: fn(u64) -> Value) -> Value {
    let member = |counter: &Counter| (Cow::Owned(format!("{}.{}", counter.group, counter.name)), value(counter.value));
    Value::Struct(counters.iter().map(member).collect())
}

/// The counters that the parameters name, in their order. As in Kamailio, a name that is none of a counter names none.
fn wanted(control: &Control, arguments: &Arguments) -> Result<Vec<Counter>, Fault> {
    let all = counters(control);
    let found: Vec<Counter> = arguments.rest(0).flat_map(|name| matching(&all, name)).collect();
    match arguments.rest(0).next() {
        Some(_) => Ok(found),
        None => Err(Fault {
            kamailio: "Please provide which stats to retrieve",
            ..Fault::parameters("no name; allowed: all, GROUP:, NAME, GROUP:NAME, any number of them")
        }),
    }
}

/// `all`, `GROUP:`, `NAME`, `GROUP:NAME` or `GROUP.NAME`.
fn matching<'a>(all: &'a [Counter], wanted: &'a str) -> impl Iterator<Item = Counter> {
    let (group, name) = match wanted.split_once([':', '.']) {
        Some((group, "")) => (Some(group), None),
        Some((group, name)) => (Some(group), Some(name)),
        None => (None, (wanted != "all").then_some(wanted)),
    };
    let fits = move |counter: &&Counter| {
        group.is_none_or(|group| group == counter.group) && name.is_none_or(|name| name == counter.name)
    };
    all.iter().filter(fits).copied()
}

fn groups_of(all: &[Counter]) -> Vec<&'static str> {
    let mut groups: Vec<_> = all.iter().map(|counter| counter.group).collect();
    groups.dedup();
    groups
}

fn groups_list(control: &Control, _: &Arguments) -> Answer {
    Ok(groups_of(&counters(control)).into_iter().collect())
}

fn names_of_group(control: &Control, arguments: &Arguments) -> Answer {
    Ok(of_group(control, arguments)?.iter().map(|counter| counter.name).collect())
}

fn group(control: &Control, arguments: &Arguments) -> Answer {
    let member = |counter: &Counter| (Cow::Borrowed(counter.name), Value::count(counter.value));
    Ok(Value::Struct(of_group(control, arguments)?.iter().map(member).collect()))
}

fn of_group(control: &Control, arguments: &Arguments) -> Result<Vec<Counter>, Fault> {
    let (all, group) = (counters(control), arguments.text(0).unwrap_or_default());
    let found: Vec<Counter> = all.iter().filter(|counter| counter.group == group).copied().collect();
    if found.is_empty() {
        let detail = format!("no group {group}; groups: {}", groups_of(&all).join(", "));
        return Err(Fault::not_found(detail, "non-existent counter"));
    }
    Ok(found)
}

fn get(control: &Control, arguments: &Arguments) -> Answer {
    let Some(name) = arguments.text(1) else { return group(control, arguments) };
    let found = of_group(control, arguments)?.into_iter().find(|counter| counter.name == name);
    let missing = || {
        let group = arguments.text(0).unwrap_or_default();
        Fault::not_found(
            format!("no counter {name} in {group}; cnt.var_list {group} tells all"),
            "non-existent counter",
        )
    };
    found.map(|counter| Value::count(counter.value)).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_counter_a_group_or_all() {
        let counter = |group, name| Counter { group, name, value: 0 };
        let all = [counter("core", "a"), counter("core", "b"), counter("sl", "a"), counter("siplane", "c")];
        let names = |wanted| {
            matching(&all, wanted).map(|counter| format!("{}.{}", counter.group, counter.name)).collect::<Vec<_>>()
        };
        assert_eq!(names("all").len(), 4);
        assert_eq!(names("core:"), ["core.a", "core.b"]);
        assert_eq!(names("a"), ["core.a", "sl.a"]);
        assert_eq!((names("sl:a"), names("sl.a")), (vec![String::from("sl.a")], vec![String::from("sl.a")]));
        assert!(names("x").is_empty() && names("x:").is_empty() && names("core:c").is_empty());
        assert_eq!(groups_of(&all), ["core", "sl", "siplane"]);
    }
}
