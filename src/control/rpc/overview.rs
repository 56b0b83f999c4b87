//! `dispatcher.overview`: what an operator looks at first, and what a live view shows, in one answer. Rates are the caller's business: it
//! has the totals and the time.

use super::dispatcher_letters::letters;
use super::{Method, dispatcher_find};
use crate::control::utilisation::{bound, utilisation};
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::{Admin, Counters, Destination, Health, Set, States};
use crate::prober::ProbeSettings;
use crate::proxy::Policy;
use crate::shard::{Snapshot, clock};
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const METHODS: &[Method] = &[Method::look(
    "dispatcher.overview",
    "Shards, sets and destinations with what they are, why, and their totals; of one set alone if its number or name is given, those \
     whose URI or duid contains a text, those in trouble, so many at most.",
    &[
        Param::optional("set", Kind::Text),
        Param::optional("find", Kind::Text),
        Param::optional("troubled", Kind::Flag),
        Param::optional("limit", Kind::Int),
    ],
    overview,
)];

fn overview(control: &Control, arguments: &Arguments) -> Answer {
    let (policy, probing) = (control.policy(), control.probing().load_full());
    let states = policy.table.states();
    let only = arguments.text(0).map(|named| named_set(&policy, named)).transpose()?;
    let sets = || policy.table.sets().iter().filter(|set| only.is_none_or(|only| only.id == set.id));
    let (text, troubled) = (arguments.text(1).unwrap_or_default().to_lowercase(), arguments.flag(2));
    let limit = arguments.int_in(3, "limit", 0..=i64::MAX)?.map_or(usize::MAX, |limit| limit as usize);
    let is_wanted =
        |it: &Destination| (!troubled || is_troubled(it, states)) && (text.is_empty() || contains(it, &text));
    let all = || sets().flat_map(|set| &set.destinations);
    let found: Vec<_> = all().filter(|it| is_wanted(it)).collect();
    let shown = found.iter().take(limit).map(|it| destination(it, states, &probing));
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
        ("destinations_all", Value::from(all().count())),
        ("destinations_found", Value::from(found.len())),
        ("destinations", Value::Array(shown.collect())),
    ]))
}

/// Whether it is anything but well and in service.
fn is_troubled(it: &Destination, states: &States) -> bool {
    states.health(it.state) != Health::Active
        || states.admin(it.state) != Admin::Enabled
        || !states.is_available(it.state)
}

/// Whether its URI or its duid has `text`, which is in small letters, in any.
fn contains(it: &Destination, text: &str) -> bool {
    [it.uri.as_str(), it.duid.as_str()].iter().any(|name| name.to_lowercase().contains(text))
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
    let total = |count: fn(&Counters) -> u64| {
        Value::count(set.destinations.iter().map(|it| count(&states.counters(it.state))).sum())
    };
    Value::of([
        ("set", Value::from(set.id.0)),
        ("name", Value::from(set.name.as_str())),
        ("destinations", Value::from(set.destinations.len())),
        ("available", Value::from(available)),
        ("load", Value::count(load)),
        ("capacity", capacity.map_or(Value::Null, |it| Value::Float(it.calls))),
        ("utilisation", capacity.map_or(Value::Null, |it| Value::Float(it.used))),
        ("requests", total(|it| it.selected)),
        ("answered", total(|it| it.answered)),
        ("failed", total(|it| it.failed)),
        ("failovers", total(|it| it.failovers)),
    ])
}

fn destination(it: &Destination, states: &States, probing: &ProbeSettings) -> Value {
    let (counters, latency) = (states.counters(it.state), states.latency(it.state));
    let since = clock::now().saturating_since(states.last_change(it.state));
    let millis = |time: Option<Duration>| time.map_or(Value::Null, Value::millis);
    Value::of([
        ("set", Value::from(it.set.0)),
        ("duid", Value::from(it.duid.as_str())),
        ("uri", Value::from(it.uri.as_str())),
        ("flags", Value::from(letters(it, states, probing))),
        ("standing", Value::fixed(standing(it, states))),
        ("state", Value::fixed(states.health(it.state).name())),
        ("admin", Value::fixed(states.admin(it.state).name())),
        ("available", Value::Flag(states.is_available(it.state))),
        ("load", Value::count(states.load(it.state))),
        ("capacity", bound(it, states).map_or(Value::Null, Value::count)),
        ("weight", Value::from(it.weight)),
        ("rweight", Value::from(it.rweight)),
        ("priority", Value::from(it.priority)),
        ("requests", Value::count(counters.selected)),
        ("answered", Value::count(counters.answered)),
        ("failed", Value::count(counters.failed)),
        ("failovers", Value::count(counters.failovers)),
        ("probe_ms", millis(Some(latency.estimate).filter(|_| latency.count > 0))),
        ("response_ms", millis(states.response_time(it.state))),
        ("since_s", Value::count(since.as_secs())),
        ("why", Value::from(states.last_reason(it.state).to_string())),
    ])
}

/// One word for what keeps calls away from it, the operator's first; else its health.
fn standing(it: &Destination, states: &States) -> &'static str {
    let outage = states.outage(it.state);
    match (states.admin(it.state), states.health(it.state)) {
        (said @ (Admin::Draining | Admin::Disabled), _) => said.name(),
        (Admin::Enabled, Health::Active | Health::Trying) if outage.ejected_until.is_some() => "ejected",
        (Admin::Enabled, Health::Active | Health::Trying) if outage.held_until.is_some() => "held off",
        (Admin::Enabled, health) => health.name(),
    }
}

/// The set with that number, else the one with that name.
fn named_set<'t>(policy: &'t Policy, named: &str) -> Result<&'t Set, Fault> {
    let sets = policy.table.sets();
    let by_number = named.parse().ok().and_then(|number: u32| sets.iter().find(|set| set.id.0 == number));
    let by_name = || sets.iter().find(|set| !set.name.is_empty() && set.name == named);
    by_number.or_else(by_name).ok_or_else(|| dispatcher_find::no_set(policy, named, "Destination Group Not Found"))
}
