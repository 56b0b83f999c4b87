//! `dispatcher.get`, all that is known of one destination, and `dispatcher.report_load`, what it says of itself.

use super::dispatcher_find::{self, DESTINATION, SET};
use super::dispatcher_letters::letters;
use super::{Method, Role, Run};
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::{Destination, OverloadAlgorithm, Report, States};
use crate::shard::clock;
use crate::time::Instant;
use std::borrow::Cow;
use std::time::SystemTime;

pub(super) const METHODS: &[Method] = &[
    Method::look(
        "dispatcher.get",
        "All that is known of one destination, by duid or URI: config, state and since when and why, calls, times, reports.",
        &[SET, DESTINATION],
        get,
    ),
    Method {
        name: "dispatcher.report_load",
        help: "A destination reports its own load: 0.57 or 57% in use, 37/100 calls of how many, 57%/100, or /100 alone.",
        params: &[SET, DESTINATION, Param::required("load", Kind::Text)],
        role: Role::Report,
        run: Run::Now(report_load),
    },
];

fn report_load(control: &Control, arguments: &Arguments) -> Answer {
    let policy = control.policy();
    let (set, position) = dispatcher_find::named(&policy, arguments)?;
    let (states, state) = (policy.table.states(), set.destinations[position].state);
    let text = arguments.text(2).unwrap_or_default();
    let Some(report) = Report::parse(text.as_bytes()) else {
        states.ignore_report(state);
        return Err(Fault::parameters(format!("load: found \"{text}\", allowed: 0.57, 57%, 37/100, 57%/100, /100")));
    };
    states.report_load(state, report, clock::now());
    Ok(reported(states, &set.destinations[position], clock::now()))
}

fn get(control: &Control, arguments: &Arguments) -> Answer {
    let policy = control.policy();
    let (set, position) = dispatcher_find::named(&policy, arguments)?;
    let (destination, states, now) = (&set.destinations[position], policy.table.states(), clock::now());
    let flags = letters(destination, states, &control.probing().load());
    let mut members = configured(destination, control);
    members.extend(standing(states, destination, now, flags));
    members.extend(measured(states, destination, now));
    Ok(Value::Struct(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()))
}

type Members = Vec<(&'static str, Value)>;

fn configured(destination: &Destination, control: &Control) -> Members {
    let in_force = control.in_force();
    let listen = destination.socket.and_then(|socket| in_force.file.settings.listen.get(usize::from(socket)));
    vec![
        ("set", Value::from(destination.set.0)),
        ("duid", Value::from(destination.duid.as_str())),
        ("uri", Value::from(destination.uri.as_str())),
        ("address", Value::from(destination.address.to_string())),
        ("socket", listen.map_or(Value::Null, |listen| Value::from(format!("udp:{}", listen.address)))),
        ("attrs", Value::text_or_null(&destination.attrs)),
        ("weight", Value::from(destination.weight)),
        ("rweight", Value::from(destination.rweight)),
        ("priority", Value::from(destination.priority)),
        ("maxload", Value::from(destination.maxload)),
        ("calls_per_second_max", Value::from(destination.calls_per_second_max)),
        ("last_resort", Value::from(destination.last_resort)),
        ("disabled", Value::from(destination.disabled)),
    ]
}

fn standing(states: &States, destination: &Destination, now: Instant, flags: String) -> Members {
    let state = destination.state;
    let health = states.health(state).name();
    let since = now.saturating_since(states.last_change(state));
    let since_date: chrono::DateTime<chrono::Local> =
        SystemTime::now().checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH).into();
    let outage = states.outage(state);
    let left = |until: Option<Instant>| until.map_or(Value::Null, |until| Value::seconds(until.saturating_since(now)));
    vec![
        ("flags", Value::from(flags)),
        ("available", Value::from(states.is_available(state))),
        ("health", Value::fixed(health)),
        ("admin", Value::fixed(states.admin(state).name())),
        ("since", Value::from(since_date.to_rfc3339_opts(chrono::SecondsFormat::Millis, false))),
        ("since_s", Value::seconds(since)),
        ("why", Value::from(states.last_reason(state).to_string())),
        ("ejected_for_s", left(outage.ejected_until)),
        ("held_off_for_s", left(outage.held_until)),
        ("ejections", Value::from(outage.ejections)),
    ]
}

fn measured(states: &States, destination: &Destination, now: Instant) -> Members {
    let state = destination.state;
    let (counters, evidence, latency) = (states.counters(state), states.evidence(state), states.latency(state));
    vec![
        ("calls", Value::from(states.load(state))),
        ("calls_without_answer", Value::from(states.pending(state))),
        (
            "counters",
            Value::of([
                ("selected", Value::from(counters.selected)),
                ("answered", Value::from(counters.answered)),
                ("failed", Value::from(counters.failed)),
                ("failovers", Value::from(counters.failovers)),
                ("final_answers", Value::from(evidence.answers.iter().sum::<u64>())),
                ("faults", Value::from(evidence.faults)),
                ("timeouts_in_row", Value::from(evidence.timeouts_in_row)),
                ("unreachables_in_row", Value::from(evidence.unreachables_in_row)),
            ]),
        ),
        ("response_ms", states.response_time(state).map_or(Value::Null, Value::millis)),
        (
            "probes",
            Value::of([
                ("answered", Value::from(latency.count)),
                ("timeouts", Value::from(latency.timeouts)),
                ("last_code", latency.last_code.map_or(Value::Null, Value::from)),
                ("last_ms", Value::millis(latency.last)),
                ("estimate_ms", Value::millis(latency.estimate)),
                ("average_ms", Value::millis(latency.average)),
                ("deviation_ms", Value::millis(latency.deviation)),
                ("maximum_ms", Value::millis(latency.maximum)),
            ]),
        ),
        ("reported", reported(states, destination, now)),
        ("overload", overload(states, destination, now)),
    ]
}

fn reported(states: &States, destination: &Destination, now: Instant) -> Value {
    let counts = states.report_counts(destination.state);
    let last = states.reported(destination.state);
    let report = last.map(|last| last.report);
    let share = report.and_then(|report| report.in_use_permille);
    let capacity = report.and_then(|report| report.capacity);
    Value::of([
        ("in_use", share.map_or(Value::Null, |permille| Value::Float(f64::from(permille) / 1000.0))),
        ("capacity", capacity.map_or(Value::Null, Value::from)),
        ("age_s", last.map_or(Value::Null, |last| Value::seconds(now.saturating_since(last.at)))),
        ("taken", Value::from(counts.taken)),
        ("ignored", Value::from(counts.ignored)),
    ])
}

fn overload(states: &States, destination: &Destination, now: Instant) -> Value {
    let known = states.overload(destination.state, now);
    let in_force = known.in_force.map(|(algorithm, value)| match algorithm {
        OverloadAlgorithm::Loss => Value::of([("loss_percent", Value::from(value))]),
        OverloadAlgorithm::Rate => Value::of([("rate_per_second", Value::from(value))]),
    });
    Value::of([
        ("in_force", in_force.unwrap_or(Value::Null)),
        ("for_s", Value::seconds(known.valid_until.saturating_since(now))),
        ("shed", Value::from(known.shed)),
    ])
}
