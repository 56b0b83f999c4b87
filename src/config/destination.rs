//! One entry of `destinations`: a SIP URI, or a table with one.

use super::reader::{Item, Section};
use super::set::Surroundings;
use super::socket::Wishes;
use super::uri::{self, Checked, URI_ALLOWED};
use super::{probe_method, process};
use crate::dispatcher::{DestinationSpec, OverloadBounds, ProbeSpec};
use core::time::Duration;
use std::net::SocketAddr;

const ENTRY_ALLOWED: &str = "a SIP URI in quotes, or { uri = \"sip:…\", weight = 1 }";

/// Keys of a destination that Kamailio's list files carry in a column of their own, and that are lost in a URI.
const ATTRIBUTES: [&str; 7] = ["weight", "rweight", "priority", "duid", "maxload", "latency", "cc"];

/// The largest share of one destination.
pub const WEIGHT_MAX: i64 = 65_535;

/// Calls at once that a bound may name; as much as Kamailio's.
pub const MAXLOAD_MAX: i64 = 0x7fff_ffff;

/// Calls in one second that a bound may name: more than any machine takes.
pub const CALLS_PER_SECOND_MAX: i64 = 1_000_000;

/// Milliseconds that a destination may be said to take to answer: more than any probe waits.
pub(super) const LATENCY_MS_MAX: i64 = 60_000;

/// Bytes of attributes at most.
pub const ATTRS_BYTES_MAX: usize = 4_096;

/// Reads one entry.
pub(super) fn read(item: &Item<'_>, around: &Surroundings<'_>) -> Option<DestinationSpec> {
    if !item.is_table() {
        let (uri, address) = destination_uri(item, ENTRY_ALLOWED, around)?;
        return Some(DestinationSpec::new(uri, address));
    }
    let mut section = item.section(ENTRY_ALLOWED)?;
    let uri = section.required("uri", URI_ALLOWED);
    let weight = section.number("weight", 0..=WEIGHT_MAX, 1);
    let rweight = section.number("rweight", 0..=WEIGHT_MAX, 1);
    let priority = section.number("priority", i64::from(i32::MIN)..=i64::from(i32::MAX), 0);
    let duid = section.item("duid").and_then(|item| duid(&item)).unwrap_or_default();
    let disabled = section.flag("disabled");
    let inactive = section.flag("inactive");
    let maxload = section.number("maxload", 0..=MAXLOAD_MAX, 0);
    let calls_per_second_max = section.number("calls_per_second_max", 0..=CALLS_PER_SECOND_MAX, 0);
    let cc = section.flag("cc");
    let latency = section.millis("latency_ms", 0..=LATENCY_MS_MAX, Duration::ZERO);
    let last_resort = section.flag("last_resort");
    let attrs = section.item("attrs").and_then(|item| attrs(&item)).unwrap_or_default();
    let sockets = Wishes::read(&mut section, around.listen);
    let overload = overload(&mut section);
    let mut probe = probe(&mut section, around);
    section.finish();
    let (uri, address) = destination_uri(&uri?, URI_ALLOWED, around)?;
    probe.socket = sockets.ping(address, around.listen);
    Some(DestinationSpec {
        duid,
        uri,
        address,
        socket: sockets.own(address, around.listen),
        weight,
        rweight,
        priority,
        maxload,
        calls_per_second_max,
        cc,
        latency,
        last_resort,
        disabled,
        inactive,
        attrs,
        probe,
        overload,
    })
}

/// Whether `text` can be a duid.
pub(super) fn is_duid(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn duid(item: &Item<'_>) -> Option<String> {
    let allowed = "letters, digits, -, _, . and :, at most 64";
    let text = item.text(allowed)?;
    if !is_duid(text) {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

fn attrs(item: &Item<'_>) -> Option<String> {
    let allowed = format!("a text on one line, at most {ATTRS_BYTES_MAX} bytes, like \"region=eu;rack=7\"");
    let text = item.text(&allowed)?;
    // They may be put into headers, where a line feed would start a header of its own.
    if text.len() > ATTRS_BYTES_MAX || text.chars().any(char::is_control) {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

/// What reported loss counts for, percent.
fn overload(section: &mut Section<'_>) -> OverloadBounds {
    let default = OverloadBounds::default();
    let ocmin = section.number("ocmin", 0..=100, default.ocmin);
    let ocmax_item = section.item("ocmax");
    let ocmax = ocmax_item.as_ref().and_then(|item| item.number(0..=100, "")).unwrap_or(default.ocmax);
    if let Some(item) = ocmax_item.filter(|_| ocmax < ocmin) {
        item.refuse(format!("at least ocmin ({ocmin})"));
    }
    OverloadBounds { ocmin, ocmax, ocrate: section.number("ocrate", 0..=100, default.ocrate) }
}

fn probe(section: &mut Section<'_>, around: &Surroundings<'_>) -> ProbeSpec {
    let (flagged, never) = section.item("probing").map_or((false, false), |item| probing(&item));
    let millis = |item: Item<'_>, first: i64, last: i64| item.number(first..=last, "").map(Duration::from_millis);
    let interval = section.item("probe_interval_ms").and_then(|item| millis(item, 100, 3_600_000));
    let timeout_item = section.item("probe_timeout_ms");
    let timeout = timeout_item.clone().and_then(|item| millis(item, 1, 60_000));
    let every = interval.unwrap_or(around.prober.interval);
    if let Some(item) = timeout_item.filter(|_| timeout.is_some_and(|timeout| timeout >= every && !every.is_zero())) {
        item.warn(item.shown(), format!("less than the probes' interval ({} ms), or they pile up", every.as_millis()));
    }
    ProbeSpec {
        flagged,
        never,
        interval,
        timeout,
        socket: None,
        method: section.item("probe_method").and_then(|item| probe_method::read(&item)),
        from: section.item("ping_from").and_then(|item| process::prober_from(&item)),
        reply_codes: process::reply_codes(section),
        probing_threshold: section.item("probing_threshold").and_then(|item| item.number(1..=1_000, "")),
        inactive_threshold: section.item("inactive_threshold").and_then(|item| item.number(1..=1_000, "")),
    }
}

/// Whether it is flagged, and whether it is never probed.
fn probing(item: &Item<'_>) -> (bool, bool) {
    match (item.as_flag(), item.as_text()) {
        (Some(flagged), _) => (flagged, false),
        (None, Some("never")) => (false, true),
        _ => {
            item.refuse("true, false, \"never\"");
            (false, false)
        }
    }
}

fn destination_uri(item: &Item<'_>, allowed: &str, around: &Surroundings<'_>) -> Option<(String, SocketAddr)> {
    let text = item.text(allowed)?;
    match uri::check(text, &item.shown(), around.listen) {
        Ok(checked) => {
            warn_of_oddities(item, &checked);
            Some((text.to_owned(), checked.address))
        }
        Err(fault) if fault.near.is_some() => {
            item.refuse_near(fault.allowed, fault.near.as_deref());
            None
        }
        Err(fault) => {
            item.refuse_because(fault.found, fault.allowed);
            None
        }
    }
}

fn warn_of_oddities(item: &Item<'_>, checked: &Checked<'_>) {
    for (parameter, name, value) in &checked.parameters {
        let name = name.to_ascii_lowercase();
        if ATTRIBUTES.contains(&name.as_str()) {
            let value = if value.parse::<i64>().is_ok() { (*value).to_owned() } else { format!("\"{value}\"") };
            item.warn(
                format!(";{parameter} in the URI, where it is a URI parameter and no {name}"),
                format!("{{ uri = \"{}\", {name} = {value} }}", checked.bare),
            );
        }
    }
    if let Some(fault) = &checked.family {
        item.warn(fault.found.as_str(), fault.allowed.as_str());
    }
}
