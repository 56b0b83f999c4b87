//! `dispatcher.sets`: what an operator looks at first, by number or name.

use super::dispatcher_letters::letters;
use super::{Method, Role, Run};
use crate::control::utilisation::{bound, utilisation};
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::{Admin, Destination, Health, Set, States};
use crate::prober::ProbeSettings;
use crate::proxy::Policy;
use crate::shard::clock;
use core::time::Duration;

pub(super) const METHODS: &[Method] = &[Method {
    name: "dispatcher.sets",
    help: "All sets, or that of a number or name, with their destinations: state and why, calls and how many they may have, shares, times.",
    params: &[Param::optional("set", Kind::Text)],
    role: Role::Read,
    run: Run::Now(sets),
}];

fn sets(control: &Control, arguments: &Arguments) -> Answer {
    let policy = control.policy();
    let probing = control.probing().load_full();
    let one = arguments.text(0).map(|named| named_set(&policy, named)).transpose()?;
    let shown = policy.table.sets().iter().filter(|set| one.is_none_or(|one| one.id == set.id));
    Ok(Value::Array(shown.map(|set| shown_set(set, policy.table.states(), &probing)).collect()))
}

/// The set with that number, else the one with that name.
fn named_set<'t>(policy: &'t Policy, named: &str) -> Result<&'t Set, Fault> {
    let sets = policy.table.sets();
    let by_number = named.parse().ok().and_then(|number: u32| sets.iter().find(|set| set.id.0 == number));
    let by_name = || sets.iter().find(|set| !set.name.is_empty() && set.name == named);
    by_number
        .or_else(by_name)
        .ok_or_else(|| super::dispatcher_find::no_set(policy, named, "Destination Group Not Found"))
}

fn shown_set(set: &Set, states: &States, probing: &ProbeSettings) -> Value {
    let available = set.destinations.iter().filter(|it| states.is_available(it.state)).count();
    let calls: u64 = set.destinations.iter().map(|it| states.load(it.state)).sum();
    let capacity = utilisation(set, states);
    let destinations = set.destinations.iter().map(|it| shown_destination(it, states, probing));
    Value::of([
        ("id", Value::from(set.id.0)),
        ("name", Value::text_or_null(&set.name)),
        ("available", Value::from(available)),
        ("calls", Value::from(calls)),
        ("calls_max", capacity.map_or(Value::Null, |capacity| Value::Float(capacity.calls))),
        ("utilisation", capacity.map_or(Value::Null, |capacity| Value::Float((capacity.used * 1e3).round() / 1e3))),
        ("destinations", Value::Array(destinations.collect())),
    ])
}

fn shown_destination(destination: &Destination, states: &States, probing: &ProbeSettings) -> Value {
    let (state, now) = (destination.state, clock::now());
    let since = now.saturating_since(states.last_change(state));
    let latency = Some(states.latency(state)).filter(|latency| latency.count > 0).map(|latency| latency.estimate);
    Value::of([
        ("duid", Value::from(destination.duid.as_str())),
        ("uri", Value::from(destination.uri.as_str())),
        ("flags", Value::from(letters(destination, states, probing))),
        ("state", Value::fixed(word(destination, states))),
        ("available", Value::from(states.is_available(state))),
        ("calls", Value::from(states.load(state))),
        ("calls_max", bound(destination, states).map_or(Value::Null, Value::from)),
        ("weight", Value::from(destination.weight)),
        ("rweight", Value::from(destination.rweight)),
        ("priority", Value::from(destination.priority)),
        ("probe_ms", millis(latency)),
        ("response_ms", millis(states.response_time(state))),
        ("since_s", Value::from(since.as_secs())),
        ("why", Value::from(states.last_reason(state).to_string())),
    ])
}

/// One word for what keeps calls away from it, the operator's first; else its health.
fn word(destination: &Destination, states: &States) -> &'static str {
    let (state, outage) = (destination.state, states.outage(destination.state));
    match (states.admin(state), states.health(state)) {
        (said @ (Admin::Draining | Admin::Disabled), _) => said.name(),
        (Admin::Enabled, Health::Inactive) => "inactive",
        (Admin::Enabled, _) if outage.ejected_until.is_some() => "ejected",
        (Admin::Enabled, _) if outage.held_until.is_some() => "held off",
        (Admin::Enabled, Health::Trying) => "trying",
        (Admin::Enabled, Health::Active) => "active",
    }
}

fn millis(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, |time| Value::Float((time.as_secs_f64() * 1e6).round() / 1e3))
}
