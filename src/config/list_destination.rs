//! What the columns of one line of a `dispatcher.list` mean: URI, flags, priority, attributes.

use super::destination::{ATTRS_BYTES_MAX, LATENCY_MS_MAX, MAXLOAD_MAX, WEIGHT_MAX, is_duid};
use super::list_file::{ListSurroundings, Notes};
use super::list_line::{self, Columns};
use super::problem::nearest;
use super::{list_socket, process, uri};
use crate::dispatcher::{DestinationSpec, OverloadBounds};
use crate::proxy::settings::Listen;
use core::time::Duration;
use std::net::SocketAddr;

/// Kamailio's flags (its dispatcher module, `ds_flags`).
const INACTIVE: u64 = 1;
const TRYING: u64 = 2;
const DISABLED: u64 = 4;
const PROBING: u64 = 8;
const NO_DNS: u64 = 16;
const NO_PING: u64 = 32;
const ALL_FLAGS: u64 = 63;

/// Attributes that mean something here.
const USED: [&str; 13] = [
    "duid",
    "maxload",
    "weight",
    "rweight",
    "socket",
    "sockname",
    "ping_socket",
    "ping_from",
    "ocmin",
    "ocmax",
    "ocrate",
    "latency",
    "cc",
];
/// Attributes that mean something in Kamailio and nothing here.
const WITHOUT_EFFECT: [&str; 1] = ["obproxy"];

/// The largest weight that Kamailio takes.
const KAMAILIO_WEIGHT_MAX: u32 = 100;

/// Characters of a value that a problem shows at most.
const SHOWN_CHARS_MAX: usize = 80;

/// One destination, of which the other lines of its set may still say something.
pub(super) struct Draft {
    pub(super) spec: DestinationSpec,
    /// As written.
    pub(super) weight: Option<u32>,
    /// As written.
    pub(super) rweight: Option<u32>,
}

/// The destination of a line; None when the line must be left out, which is noted.
pub(super) fn read(columns: &Columns<'_>, notes: &mut Notes<'_>, around: ListSurroundings<'_>) -> Option<Draft> {
    let (uri, address) = destination_uri(columns, notes, around.listen)?;
    let attrs = columns.attrs.strip_suffix(';').unwrap_or(columns.attrs);
    if attrs.len() > ATTRS_BYTES_MAX || attrs.chars().any(char::is_control) {
        let allowed = format!("at most {ATTRS_BYTES_MAX} bytes without control characters");
        notes.leave_out("attrs", shown(attrs), allowed);
        return None;
    }
    let Some(attributes) = list_line::attributes(attrs) else {
        notes.leave_out("attrs", shown(attrs), "name=value;…; a value in quotes ends with its quote and has no space");
        return None;
    };
    let sockets = list_socket::read(&attributes, address, notes, around.listen)?;
    let mut draft = Draft { spec: DestinationSpec::new(uri, address), weight: None, rweight: None };
    (draft.spec.socket, draft.spec.probe.socket) = (sockets.own, sockets.ping);
    draft.spec.attrs = attrs.to_owned();
    draft.spec.priority = priority(columns.priority, notes);
    for (name, value) in attributes {
        attribute(&mut draft, name, value, notes);
    }
    order_percents(&mut draft.spec.overload, notes);
    flags(&mut draft.spec, columns.flags, notes, around.probes);
    if !columns.ignored.is_empty() {
        let found = format!("{} behind the attributes, which is ignored", shown(columns.ignored));
        notes.warn("", found, "nothing, or a comment behind #; the columns are SET URI FLAGS PRIORITY ATTRIBUTES");
    }
    Some(draft)
}

fn destination_uri(columns: &Columns<'_>, notes: &mut Notes<'_>, listen: &[Listen]) -> Option<(String, SocketAddr)> {
    let text = with_scheme(columns.uri);
    let checked = match uri::check(&text, &shown(columns.uri), listen) {
        Ok(checked) => checked,
        Err(fault) => {
            notes.leave_out("uri", fault.found, fault.allowed);
            return None;
        }
    };
    if columns.uri_cut {
        notes.warn("uri", format!("# behind {}, where a comment starts", shown(columns.uri)), "a space before it");
    }
    for (parameter, name, value) in &checked.parameters {
        warn_of_parameter(checked.bare, parameter, &name.to_ascii_lowercase(), value, notes);
    }
    if let Some(fault) = checked.family {
        notes.warn("uri", fault.found, fault.allowed);
    }
    let address = checked.address;
    Some((text, address))
}

/// Kamailio puts `sip:` before what has no scheme and more than four characters.
pub(super) fn with_scheme(uri: &str) -> String {
    let starts = |scheme: &str| uri.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if uri.len() <= 4 || starts("sip:") || starts("sips:") { uri.to_owned() } else { format!("sip:{uri}") }
}

fn warn_of_parameter(bare: &str, parameter: &str, name: &str, value: &str, notes: &mut Notes<'_>) {
    let cure = match name {
        "priority" => format!("{bare} 0 {value}"),
        name if USED.contains(&name) => format!("{bare} 0 0 {parameter}"),
        _ => return,
    };
    let found = format!(";{parameter} in the URI, where it is a URI parameter and no {name}");
    notes.warn("uri", found, cure);
}

fn priority(number: i64, notes: &mut Notes<'_>) -> i32 {
    i32::try_from(number).unwrap_or_else(|_| {
        notes.warn("priority", "a priority that is too large", format!("at most {0}, and {0} is used", i32::MAX));
        i32::MAX
    })
}

fn attribute(draft: &mut Draft, name: &str, value: &str, notes: &mut Notes<'_>) {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "duid" if is_duid(value) => draft.spec.duid = value.to_owned(),
        "duid" => {
            let found = format!("{}, which is not used", shown(value));
            notes.warn("attrs.duid", found, "letters, digits, -, _, . and :, at most 64");
        }
        "weight" => draft.weight = weight(&name, value, notes),
        "rweight" => draft.rweight = weight(&name, value, notes),
        "maxload" => maxload(&mut draft.spec, value, notes),
        "latency" => draft.spec.latency = Duration::from_millis(number(&name, value, LATENCY_MS_MAX, notes)),
        "cc" => draft.spec.cc = number(&name, value, 1, notes) == 1,
        "ping_from" if process::is_prober_from(value) => draft.spec.probe.from = Some(value.to_owned()),
        "ping_from" => {
            let found = format!("{}, which is not used", shown(value));
            notes.warn("attrs.ping_from", found, "a SIP URI without < and >, like sip:siplane@example.com");
        }
        // Read before: without its socket there would be no destination.
        "socket" | "sockname" | "ping_socket" => {}
        "ocmin" => percent(&mut draft.spec.overload.ocmin, &name, value, notes),
        "ocmax" => percent(&mut draft.spec.overload.ocmax, &name, value, notes),
        "ocrate" => percent(&mut draft.spec.overload.ocrate, &name, value, notes),
        name if WITHOUT_EFFECT.contains(&name) => {
            let found = format!("{name}, which is kept but has no effect here yet");
            notes.warn_once(&format!("attrs.{name}"), &found, "none needed where the default of Kamailio would do");
        }
        name => {
            if let Some(near) = nearest(name, USED) {
                let found = format!("the unknown attribute {}, which is kept", shown(name));
                notes.warn_near("attrs", found, USED.join(", "), Some(near.to_owned()));
            }
        }
    }
}

fn weight(name: &str, value: &str, notes: &mut Notes<'_>) -> Option<u32> {
    let number = value.parse::<u32>().ok().filter(|number| i64::from(*number) <= WEIGHT_MAX);
    match number {
        None => {
            let found = format!("{}, which is not used", shown(value));
            notes.warn(&format!("attrs.{name}"), found, format!("0 to {WEIGHT_MAX}"));
        }
        Some(number) if number > KAMAILIO_WEIGHT_MAX => {
            let cure = format!("at most {KAMAILIO_WEIGHT_MAX} if Kamailio is to read it, too; it is used here");
            notes.warn(&format!("attrs.{name}"), format!("{number}, which Kamailio takes for 0"), cure);
        }
        Some(_) => {}
    }
    number
}

/// 0 to `most`; 0 for what cannot be used, which is told.
fn number(name: &str, value: &str, most: i64, notes: &mut Notes<'_>) -> u64 {
    let number = value.parse().ok().filter(|number| (0..=most).contains(number));
    if number.is_none() {
        notes.warn(&format!("attrs.{name}"), format!("{}, which is not used", shown(value)), format!("0 to {most}"));
    }
    number.unwrap_or_default().unsigned_abs()
}

fn maxload(spec: &mut DestinationSpec, value: &str, notes: &mut Notes<'_>) {
    if let Some(number) = value.parse().ok().filter(|number| i64::from(*number) <= MAXLOAD_MAX) {
        spec.maxload = number;
        return;
    }
    match value.parse::<i64>() {
        Ok(number) if number < 0 => {
            spec.disabled = true;
            notes.warn("attrs.maxload", format!("{number}, which disables it"), "flag 4, if that is meant");
        }
        _ => {
            let found = format!("{}, which is not used", shown(value));
            notes.warn("attrs.maxload", found, format!("0 to {MAXLOAD_MAX}"));
        }
    }
}

fn percent(place: &mut u8, name: &str, value: &str, notes: &mut Notes<'_>) {
    match value.parse().ok().filter(|percent| *percent <= 100) {
        Some(percent) => *place = percent,
        None => notes.warn(&format!("attrs.{name}"), format!("{}, which is not used", shown(value)), "0 to 100"),
    }
}

/// `ocmax` has the last word in Kamailio.
fn order_percents(bounds: &mut OverloadBounds, notes: &mut Notes<'_>) {
    if bounds.ocmin > bounds.ocmax {
        let found = format!("{}, which counts as {}", bounds.ocmin, bounds.ocmax);
        notes.warn("attrs.ocmin", found, "at most ocmax");
        bounds.ocmin = bounds.ocmax;
    }
}

fn flags(spec: &mut DestinationSpec, flags: u64, notes: &mut Notes<'_>, probes: bool) {
    spec.inactive = flags & INACTIVE != 0;
    spec.disabled |= flags & DISABLED != 0;
    spec.probe.flagged = flags & PROBING != 0;
    // What Kamailio does not resolve (16) it does not ping either; here nothing needs to be resolved.
    spec.probe.never = flags & (NO_DNS | NO_PING) != 0;
    if flags & !ALL_FLAGS != 0 {
        notes.warn("flags", format!("{flags}, of which {} means nothing", flags & !ALL_FLAGS), "1, 4, 8, 32 and sums");
    }
    if flags & TRYING != 0 {
        notes.warn("flags", "flag 2 (trying), which changes nothing", "none: it gets calls with and without");
    }
    if spec.probe.flagged && (spec.probe.never || spec.disabled) {
        let why = if spec.disabled { "4 (disabled)" } else { "16 or 32 (no ping)" };
        notes.warn("flags", format!("flag 8 (probing) with {why}: it is never probed"), "one of them");
    }
    if spec.probe.flagged && !spec.probe.never && !spec.disabled && !probes {
        notes.warn_once("flags", "flag 8 (probing), while nothing is probed", "interval_ms above 0 in [prober]");
    }
    if spec.cc && (spec.probe.never || !probes) {
        let found = "cc and no probe that would see a congestion";
        notes.warn_once("attrs.cc", found, "interval_ms above 0 in [prober], and no flag 16 or 32");
    }
    // Never has the last word.
    spec.probe.flagged &= !spec.probe.never;
    if spec.inactive && (spec.probe.never || !probes) {
        let found = "flag 1 (inactive) and no probe that would end it";
        notes.warn_once("flags", found, "no flag 1, or probes; else it waits for an operator");
    }
}

/// What stands in the file, in quotes, without control characters and of bounded length.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let start: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let more = if chars.next().is_some() { " …" } else { "" };
    format!("\"{start}{more}\"")
}
