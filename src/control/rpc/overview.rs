//! `dispatcher.overview`: what a live view shows, in one answer. Rates are the caller's business: it has the totals and the time.

use super::{Method, Role, Run};
use crate::control::utilisation::{bound, utilisation};
use crate::control::{Answer, Arguments, Control, Kind, Param, Value};
use crate::dispatcher::{Destination, Set, States};
use crate::shard::Snapshot;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const METHODS: &[Method] = &[Method {
    name: "dispatcher.overview",
    help: "Shards, sets and destinations with their totals, for a live view; of one set alone if it is named.",
    params: &[Param::optional("set", Kind::Int)],
    role: Role::Read,
    run: Run::Now(overview),
}];

fn overview(control: &Control, arguments: &Arguments) -> Answer {
    let policy = control.policy();
    let (states, only) = (policy.table.states(), arguments.int(0));
    let sets = || policy.table.sets().iter().filter(|set| only.is_none_or(|id| i64::from(set.id.0) == id));
    let destinations = sets().flat_map(|set| set.destinations.iter().map(|it| destination(set, it, states)));
    let uptime = SystemTime::now().duration_since(control.started_at()).unwrap_or_default();
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Value::of([
        ("at_ms", Value::from(at.as_millis() as u64)),
        ("uptime_s", Value::from(uptime.as_secs())),
        ("version", Value::fixed(env!("CARGO_PKG_VERSION"))),
        ("not_ready", control.why_not_ready().map_or(Value::Null, Value::fixed)),
        ("drift", Value::count(control.snapshot().levels.drift)),
        ("shards", Value::Array(control.shards().enumerate().map(|(number, it)| shard(number, &it)).collect())),
        ("sets", Value::Array(sets().map(|set| of_set(set, states)).collect())),
        ("destinations", Value::Array(destinations.collect())),
    ]))
}

fn shard(number: usize, snapshot: &Snapshot) -> Value {
    let Snapshot { io, levels, proxy, .. } = snapshot;
    Value::of([
        ("shard", Value::from(number)),
        ("calls", Value::count(proxy.calls)),
        ("answered", Value::count(proxy.calls_answered)),
        ("failed", Value::count(proxy.calls_failed)),
        ("failovers", Value::count(proxy.failovers)),
        ("received", Value::count(io.received)),
        ("sent", Value::count(io.sent)),
        ("lost", Value::count(io.kernel_drops + io.shed + io.handoff_full + io.send_lost)),
        ("transactions", Value::count(levels.transactions)),
        ("dialogs", Value::count(levels.dialogs)),
    ])
}

fn of_set(set: &Set, states: &States) -> Value {
    let available = set.destinations.iter().filter(|it| states.is_available(it.state)).count();
    let load: u64 = set.destinations.iter().map(|it| states.load(it.state)).sum();
    let capacity = utilisation(set, states);
    Value::of([
        ("set", Value::from(set.id.0)),
        ("name", Value::from(set.name.as_str())),
        ("destinations", Value::from(set.destinations.len())),
        ("available", Value::from(available)),
        ("load", Value::count(load)),
        ("capacity", capacity.map_or(Value::Null, |it| Value::Float(it.calls))),
        ("utilisation", capacity.map_or(Value::Null, |it| Value::Float(it.used))),
    ])
}

fn destination(set: &Set, it: &Destination, states: &States) -> Value {
    let (counters, latency) = (states.counters(it.state), states.latency(it.state));
    let millis = |seconds: f64| Value::Float((seconds * 1e6).round() / 1e3);
    Value::of([
        ("set", Value::from(set.id.0)),
        ("duid", Value::from(it.duid.as_str())),
        ("uri", Value::from(it.uri.as_str())),
        ("state", Value::fixed(states.health(it.state).name())),
        ("admin", Value::fixed(states.admin(it.state).name())),
        ("available", Value::Flag(states.is_available(it.state))),
        ("load", Value::count(states.load(it.state))),
        ("capacity", bound(it, states).map_or(Value::Null, Value::count)),
        ("requests", Value::count(counters.selected)),
        ("answered", Value::count(counters.answered)),
        ("failed", Value::count(counters.failed)),
        ("failovers", Value::count(counters.failovers)),
        ("probe_ms", if latency.count == 0 { Value::Null } else { millis(latency.estimate.as_secs_f64()) }),
        ("response_ms", states.response_time(it.state).map_or(Value::Null, |time| millis(time.as_secs_f64()))),
        ("why", Value::from(states.last_reason(it.state).to_string())),
    ])
}
