//! `dispatcher.hash` and `dispatcher.oclist`, Kamailio's.

use super::dispatcher_letters::{bits, letters};
use super::dispatcher_list::in_kamailios_order;
use super::{Method, dispatcher_find};
use crate::control::{Answer, Arguments, Control, Kind, Param, Value};
use crate::dispatcher::{Destination, OverloadAlgorithm, States, kamailio_hash};
use crate::prober::ProbeSettings;
use crate::shard::clock;
use std::time::SystemTime;

pub(super) const METHODS: &[Method] = &[
    Method::look(
        "dispatcher.hash",
        "Kamailio's hash of one text or two, and its place among so many slots.",
        &[
            Param::required("nslots", Kind::Int),
            Param::required("value1", Kind::Text),
            Param::optional("value2", Kind::Text),
        ],
        hash,
    ),
    Method::look(
        "dispatcher.oclist",
        "What the destinations of a set said of their overload.",
        &[Param::required("set", Kind::Int)],
        oclist,
    ),
];

fn hash(_: &Control, arguments: &Arguments) -> Answer {
    let text = |index| arguments.text(index).unwrap_or_default().as_bytes();
    let hash = kamailio_hash(text(1), text(2));
    // Kamailio takes both numbers for 32 bits; slots that make no sense are slot 0.
    let slots = arguments.int(0).and_then(|slots| u32::try_from(slots).ok());
    let slot = slots.and_then(|slots| hash.checked_rem(slots)).unwrap_or(0);
    Ok(Value::of([("hashid", Value::from(hash)), ("slot", Value::from(slot))]))
}

fn oclist(control: &Control, arguments: &Arguments) -> Answer {
    let policy = control.policy();
    let set = dispatcher_find::set(&policy, arguments.int(0).unwrap_or_default(), "Destination Group Not Found")?;
    let (states, probing) = (policy.table.states(), control.probing().load_full());
    let shown = in_kamailios_order(set).map(|position| overload(&set.destinations[position], states, &probing));
    Ok(Value::Array(shown.collect()))
}

fn overload(destination: &Destination, states: &States, probing: &ProbeSettings) -> Value {
    let now = clock::now();
    let known = states.overload(destination.state, now);
    // Of a rate (RFC 7415) Kamailio knows nothing: there is no percentage to show.
    let percent = match known.in_force {
        Some((OverloadAlgorithm::Loss, percent)) => percent,
        _ => 0,
    };
    let left = known.valid_until.saturating_since(now);
    let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + left;
    let until = if left.is_zero() { core::time::Duration::ZERO } else { until };
    Value::of([
        ("group", Value::from(destination.set.0)),
        ("uri", Value::from(destination.uri.as_str())),
        ("flags", Value::Int(bits(&letters(destination, states, probing)))),
        ("priority", Value::from(destination.priority)),
        ("ocrate", Value::from(percent)),
        ("ocidx", Value::Int(0)),
        ("ocseq", Value::from(known.sequence)),
        ("octime_sec", Value::from(until.as_secs())),
        ("octime_usec", Value::from(until.subsec_micros())),
        ("ocmin", Value::Int(destination.overload.ocmin.into())),
        ("ocmax", Value::Int(destination.overload.ocmax.into())),
    ])
}
