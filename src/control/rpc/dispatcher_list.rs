//! `dispatcher.list`, in the shape that Kamailio 5.6 gives it.
//!
//! # Policy
//!
//! - Names, order and nulls are Kamailio's; LATENCY and RUNTIME are always there, as with `ds_ping_latency_stats` and `ds_hash_size`.
//! - Sets are in the order of their numbers, which Kamailio does not promise; destinations in the order that it has after a start:
//!   highest priority first, equal ones in reverse order of the file. Sets without destinations are not shown, as it has none.
//! - ATTRS is there when there is something to tell, also where the config is TOML. WEIGHT and RWEIGHT are 0 where none is
//!   given.

use super::Method;
use super::dispatcher_letters::letters;
use crate::control::in_force::InForce;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::{Destination, Set, States};
use crate::prober::ProbeSettings;
use core::cmp::Reverse;
use std::borrow::Cow;

pub(super) const METHODS: &[Method] = &[Method::look(
    "dispatcher.list",
    "All sets with their destinations; short leaves the attributes out, full adds host, address and port.",
    &[Param::optional("mode", Kind::Text)],
    list,
)];

type Members = Vec<(Cow<'static, str>, Value)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Normal,
    Short,
    Full,
}

fn list(control: &Control, arguments: &Arguments) -> Answer {
    // Anything else is the normal one, as in Kamailio.
    let mode = match arguments.text(0) {
        Some(text) if text.eq_ignore_ascii_case("short") => Mode::Short,
        Some(text) if text.eq_ignore_ascii_case("full") => Mode::Full,
        _ => Mode::Normal,
    };
    let (policy, in_force, probing) = (control.policy(), control.in_force(), control.probing().load_full());
    let view = View { mode, states: policy.table.states(), in_force: &in_force, probing: &probing };
    let shown = || policy.table.sets().iter().filter(|set| !set.destinations.is_empty());
    if shown().next().is_none() {
        return Err(Fault::refused("no set has a destination", "No Destination Sets"));
    }
    let records: Vec<Value> = shown().map(|set| view.set(set)).collect();
    Ok(Value::of([("NRSETS", Value::from(records.len())), ("RECORDS", Value::Array(records))]))
}

/// The positions of a set's destinations in the order that they have in Kamailio after a start: highest priority first, equal ones in
/// reverse order of the file.
pub(super) fn in_kamailios_order(set: &Set) -> impl Iterator<Item = usize> + use<> {
    let mut positions: Vec<usize> = (0..set.destinations.len()).collect();
    positions.sort_by_key(|position| (Reverse(set.destinations[*position].priority), Reverse(*position)));
    positions.into_iter()
}

struct View<'a> {
    mode: Mode,
    states: &'a States,
    in_force: &'a InForce,
    probing: &'a ProbeSettings,
}

impl View<'_> {
    fn set(&self, set: &Set) -> Value {
        let shares = Shares::of(set);
        let destination = |position: usize| Value::of([("DEST", self.destination(set, position, shares))]);
        let targets = in_kamailios_order(set).map(destination).collect();
        let shown = Value::of([("ID", Value::from(set.id.0)), ("TARGETS", Value::Array(targets))]);
        Value::of([("SET", shown)])
    }

    fn destination(&self, set: &Set, position: usize, shares: Shares) -> Value {
        let destination = &set.destinations[position];
        let mut members: Members = Vec::with_capacity(12);
        let mut add = |name: &'static str, value: Value| members.push((Cow::Borrowed(name), value));
        add("URI", Value::from(destination.uri.as_str()));
        add("FLAGS", Value::from(letters(destination, self.states, self.probing)));
        add("PRIORITY", Value::from(destination.priority));
        if self.mode == Mode::Full {
            let (host, port) = host_port(&destination.uri);
            add("HOST", Value::from(host));
            add("IPADDR", Value::from(destination.address.ip().to_string()));
            add("PORT", Value::from(port));
            add("PROTOID", Value::Int(i64::from(destination.uri.to_ascii_lowercase().contains(";transport=udp"))));
            add("DNSTIME_SEC", Value::Int(0));
            add("DNSTIME_USEC", Value::Int(0));
        }
        let attrs = (self.mode != Mode::Short).then(|| self.attrs(set, position, shares)).flatten();
        if let Some(attrs) = attrs {
            add("ATTRS", attrs);
        }
        add("LATENCY", self.latency(destination));
        let load = Value::from(self.states.load(destination.state));
        add("RUNTIME", Value::of([("DLGLOAD", load)]));
        Value::Struct(members)
    }

    fn attrs(&self, set: &Set, position: usize, shares: Shares) -> Option<Value> {
        let destination = &set.destinations[position];
        // A derived one has a slash, which no configured one has.
        let duid = Some(destination.duid.as_str()).filter(|duid| !duid.contains('/')).unwrap_or_default();
        let weight = shares.weight.shown(destination.weight, destination, "weight");
        let rweight = shares.rweight.shown(destination.rweight, destination, "rweight");
        let socket = self.socket(set, position);
        let is_plain = destination.attrs.is_empty() && duid.is_empty() && destination.maxload == 0;
        if is_plain && weight == 0 && rweight == 0 && socket.is_empty() {
            return None;
        }
        let attribute = |name| Value::text_or_null(attribute(&destination.attrs, name).unwrap_or_default());
        let has_sockname = attribute("sockname") != Value::Null;
        let own = Some(socket).filter(|_| !has_sockname).unwrap_or_default();
        Some(Value::of([
            ("BODY", Value::text_or_null(&destination.attrs)),
            ("DUID", Value::text_or_null(duid)),
            ("MAXLOAD", Value::from(destination.maxload)),
            ("WEIGHT", Value::from(weight)),
            ("RWEIGHT", Value::from(rweight)),
            ("SOCKET", Some(attribute("socket")).filter(|it| *it != Value::Null).unwrap_or(Value::text_or_null(own))),
            ("SOCKNAME", attribute("sockname")),
            ("OBPROXY", attribute("obproxy")),
        ]))
    }

    /// What its own socket is called in the config; empty when it has none of its own.
    fn socket(&self, set: &Set, position: usize) -> &str {
        let spec = self.in_force.set(set.id).and_then(|set| set.destinations.get(position));
        let socket = spec.and_then(|spec| spec.socket.as_ref());
        socket.map_or("", |socket| &socket.name)
    }

    fn latency(&self, destination: &Destination) -> Value {
        let latency = self.states.latency(destination.state);
        Value::of([
            ("AVG", Value::millis(latency.average)),
            ("STD", Value::millis(latency.deviation)),
            ("EST", Value::millis(latency.estimate)),
            ("MAX", Value::from(latency.maximum.as_millis() as u64)),
            ("TIMEOUT", Value::from(latency.timeouts)),
        ])
    }
}

/// How the shares of a set are shown.
#[derive(Clone, Copy)]
struct Shares {
    weight: Share,
    rweight: Share,
}

#[derive(Clone, Copy)]
enum Share {
    /// Some have been given one other than by an attribute.
    Given,
    /// Attributes give them, and what has none is shown as 0, as in Kamailio.
    ByAttribute,
}

impl Shares {
    fn of(set: &Set) -> Self {
        let all = |name: &str, one: fn(&Destination) -> u32| {
            let default = |known: &Destination| one(known) <= 1 || attribute(&known.attrs, name).is_some();
            if set.destinations.iter().all(default) { Share::ByAttribute } else { Share::Given }
        };
        Self { weight: all("weight", |known| known.weight), rweight: all("rweight", |known| known.rweight) }
    }
}

impl Share {
    fn shown(self, share: u32, destination: &Destination, name: &str) -> u32 {
        match self {
            Self::ByAttribute if attribute(&destination.attrs, name).is_none() => 0,
            _ => share,
        }
    }
}

/// The value of an attribute as written; the last one of those with the name.
fn attribute<'a>(attrs: &'a str, name: &str) -> Option<&'a str> {
    let mut named = attrs.rsplit(';').filter_map(|attribute| attribute.split_once('='));
    named.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_matches('"'))
}

/// Host and port of a SIP URI as written; 0: it says none.
pub(super) fn host_port(uri: &str) -> (&str, u16) {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split([';', '?']).next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(0)),
        _ => (place, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_those_of_the_uri_as_written() {
        for (uri, expected) in [
            ("sip:192.0.2.1", ("192.0.2.1", 0)),
            ("sip:192.0.2.1:5070;transport=udp", ("192.0.2.1", 5070)),
            ("sip:bob:secret@192.0.2.1:5070", ("192.0.2.1", 5070)),
            ("sip:[2001:db8::1]", ("[2001:db8::1]", 0)),
            ("sip:[2001:db8::1]:5070?x=y", ("[2001:db8::1]", 5070)),
        ] {
            assert_eq!(host_port(uri), expected, "{uri}");
        }
    }

    #[test]
    fn attributes_are_found_whatever_their_case_and_the_last_one_counts() {
        assert_eq!(attribute("a=1;SOCKET=udp:127.0.0.1:5060;a=2", "socket"), Some("udp:127.0.0.1:5060"));
        assert_eq!(attribute("a=1;b;a=\"2\"", "a"), Some("2"));
        assert_eq!(attribute("a=1", "b"), None);
    }
}
