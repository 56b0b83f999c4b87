//! From Kamailio's `dispatcher.list` to TOML that means the same.
//!
//! What was odd in the list becomes comments at the top. Reading the TOML gives the same destinations as reading the
//! list; the algorithm of each set and our own address stand in no list, and are there to be changed.

use super::list_file::{self, ListSet, ListSurroundings};
use super::list_socket;
use super::problem::{Kind, Problem, Problems};
use crate::dispatcher::{DestinationSpec, OverloadBounds, SetId};
use crate::proxy::settings::{Listen, Transport};
use core::fmt::{self, Write};

/// The TOML for the list `text`, which problems call `file_name`.
pub(super) fn to_toml(text: &str, file_name: &str) -> Result<String, Problems> {
    // Nothing is known about probes: whoever goes on with the TOML sets them, and is told then.
    let (mut own, known): (Vec<_>, Vec<_>) = list_socket::asked_for(text).into_iter().unzip();
    let (sets, problems) = list_file::parse(text, file_name, ListSurroundings { listen: &own, probes: true });
    if problems.has_errors() {
        return Err(problems);
    }
    if sets.is_empty() {
        return Err(problems.followed_by(nothing_in(file_name)));
    }
    if !known.contains(&true) {
        own.push(placeholder(&sets, &own));
    }
    let mut toml = String::new();
    // Invariant: writing into a String does not fail.
    let _ = write_all(&mut toml, file_name, &sets, &own, &problems);
    Ok(toml)
}

fn nothing_in(file_name: &str) -> Problems {
    Problems::new(vec![Problem {
        file: file_name.to_owned(),
        line: 0,
        column: 0,
        key: String::new(),
        found: String::from("no set"),
        allowed: String::from("at least one line like 1 sip:192.0.2.11:5060"),
        suggestion: None,
        kind: Kind::Error,
    }])
}

fn write_all(toml: &mut String, file_name: &str, sets: &[ListSet], own: &[Listen], problems: &Problems) -> fmt::Result {
    writeln!(toml, "# Made from {} by siplane convert.", on_one_line(file_name))?;
    if !problems.is_empty() {
        writeln!(toml, "#\n# What was odd there:")?;
    }
    for problem in problems {
        writeln!(toml, "# {}", on_one_line(&problem.to_string()))?;
    }
    write_listen(toml, own)?;
    if let [first, _, ..] = sets {
        writeln!(toml, "\n# To be changed: the set for requests that no [[rule]] takes.")?;
        writeln!(toml, "default_set = {}", first.id.0)?;
    }
    let wish = |spec: &DestinationSpec| spec.probe.flagged || ((spec.inactive || spec.cc) && !spec.probe.never);
    if sets.iter().flat_map(|set| &set.destinations).any(wish) {
        writeln!(toml, "\n# To be changed: the list asks for probes, and nothing is probed without an interval.")?;
        writeln!(toml, "#[prober]\n#interval_ms = 5000")?;
    }
    sets.iter().try_for_each(|set| write_set(toml, set, own))
}

/// An address of this machine that is none of the destinations, and not asked for by name.
fn placeholder(sets: &[ListSet], own: &[Listen]) -> Listen {
    let destinations = sets.iter().flat_map(|set| &set.destinations).map(|spec| spec.address);
    let taken = destinations.chain(own.iter().map(|listen| listen.address)).collect();
    let address = list_socket::free(true, &taken);
    Listen { transport: Transport::Udp, address, name: String::new(), advertised: address.to_string() }
}

fn write_listen(toml: &mut String, own: &[Listen]) -> fmt::Result {
    let entry = |listen: &Listen| match listen.name.as_str() {
        "" => format!("\"udp:{}\"", listen.address),
        name => format!("{{ address = \"udp:{}\", name = \"{name}\" }}", listen.address),
    };
    if let [only] = own {
        writeln!(toml, "\n# To be changed: the address of this machine that requests come to.")?;
        return writeln!(toml, "listen = [{}]", entry(only));
    }
    writeln!(toml, "\n# To be changed: the addresses of this machine that requests come to and leave by.\nlisten = [")?;
    own.iter().try_for_each(|listen| writeln!(toml, "    {},", entry(listen)))?;
    writeln!(toml, "]")
}

fn write_set(toml: &mut String, set: &ListSet, own: &[Listen]) -> fmt::Result {
    let SetId(id) = set.id;
    writeln!(toml, "\n[[set]]\nid = {id}")?;
    writeln!(
        toml,
        "# To be changed: the algorithm that the script's ds_select_dst(\"{id}\", …) names, or its number."
    )?;
    writeln!(toml, "algorithm = \"round-robin\"")?;
    if set.destinations.iter().any(|spec| spec.overload != OverloadBounds::default()) {
        writeln!(
            toml,
            "# To be changed: \"round-robin-overload\" if that is 64; else ocmin, ocmax and ocrate count for nothing."
        )?;
    }
    writeln!(toml, "destinations = [")?;
    for spec in &set.destinations {
        write_destination(toml, spec, own)?;
    }
    writeln!(toml, "]")
}

/// One line; only what is not as it is by default.
fn write_destination(toml: &mut String, spec: &DestinationSpec, own: &[Listen]) -> fmt::Result {
    let default = DestinationSpec::new("", spec.address);
    write!(toml, "    {{ uri = {}", quoted(&spec.uri))?;
    let numbers = [
        ("weight", i64::from(spec.weight), i64::from(default.weight)),
        ("rweight", i64::from(spec.rweight), i64::from(default.rweight)),
        ("priority", i64::from(spec.priority), i64::from(default.priority)),
        ("maxload", i64::from(spec.maxload), i64::from(default.maxload)),
        ("ocmin", i64::from(spec.overload.ocmin), i64::from(default.overload.ocmin)),
        ("ocmax", i64::from(spec.overload.ocmax), i64::from(default.overload.ocmax)),
        ("ocrate", i64::from(spec.overload.ocrate), i64::from(default.overload.ocrate)),
        ("latency_ms", spec.latency.as_millis() as i64, 0),
    ];
    for (key, number, _) in numbers.iter().filter(|(_, number, default)| number != default) {
        write!(toml, ", {key} = {number}")?;
    }
    let own_at = |number: u8| own.get(usize::from(number));
    let spelled = |listen: &Listen| format!("udp:{}", listen.address);
    let socket = spec.socket.as_ref().and_then(|socket| own_at(socket.number));
    let by_address = socket.filter(|listen| listen.name.is_empty()).map(spelled).unwrap_or_default();
    let by_name = socket.map(|listen| listen.name.as_str()).unwrap_or_default();
    let name_or_address = |listen: &Listen| if listen.name.is_empty() { spelled(listen) } else { listen.name.clone() };
    let ping_socket = spec.probe.socket.and_then(own_at).map(name_or_address).unwrap_or_default();
    let texts = [
        ("duid", spec.duid.as_str()),
        ("socket", by_address.as_str()),
        ("sockname", by_name),
        ("ping_socket", ping_socket.as_str()),
        ("attrs", spec.attrs.as_str()),
        ("ping_from", spec.probe.from.as_deref().unwrap_or_default()),
    ];
    for (key, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        write!(toml, ", {key} = {}", quoted(text))?;
    }
    let flags = [("cc", spec.cc), ("disabled", spec.disabled), ("inactive", spec.inactive)];
    for (key, _) in flags.iter().filter(|(_, set)| *set) {
        write!(toml, ", {key} = true")?;
    }
    match (spec.probe.never, spec.probe.flagged) {
        (true, _) => toml.push_str(", probing = \"never\""),
        (false, true) => toml.push_str(", probing = true"),
        (false, false) => {}
    }
    toml.push_str(" },\n");
    Ok(())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push('\u{fffd}'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A comment ends with its line, and may have no control character.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
