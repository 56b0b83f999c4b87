//! The part of the file that is fixed at start: where to listen, shards, timers, the prober, the log.

use super::address::{self, HostPort};
use super::codes;
use super::reader::{Item, Section};
use super::socket;
use super::{ProbePolicy, ProberSettings, ShardsPlan, probe_method};
use crate::limits;
use crate::proxy::settings::{
    DialogLifetimes, Keepalive, KeepaliveTo, Listen, PreloadedRoute, Settings, SocketId, Timers, Transport,
};
use crate::sip::Status;
use core::time::Duration;
use std::net::IpAddr;

/// See [`limits::SLOTS_MAX`].
const SLOTS_MAX: i64 = limits::SLOTS_MAX as i64;

/// The last core's number.
const CORE_MAX: i64 = limits::CORES_MAX as i64 - 1;

/// RFC 3261 §16.6.11: Timer C is more than this.
const TIMER_C_ABOVE: Duration = Duration::from_secs(180);

const LISTEN_ALLOWED: &str = "udp:ADDRESS or udp:ADDRESS:PORT with an IP address, like udp:192.0.2.1:5060 or \
                              udp:[2001:db8::1]:5060 (UDP only yet)";
const LISTEN_ENTRY_ALLOWED: &str =
    "a listen address in quotes, or { address = \"udp:…\", name = \"…\", advertise = \"…\" }";
const HOST_PORT_ALLOWED: &str = "HOST or HOST:PORT, like sip.example.com, 192.0.2.1:5060 or [2001:db8::1]:5060";

/// Reads every key that belongs into [`Settings`].
pub(super) fn settings(root: &mut Section<'_>) -> Settings {
    let default = Settings::default();
    let mut settings = Settings {
        listen: listen(root),
        aliases: root.item("aliases").map(|item| aliases(&item)).unwrap_or_default(),
        transactions_max: root.number("transactions_max", 1..=SLOTS_MAX, default.transactions_max),
        transactions_ready: root.number("transactions_ready", 0..=SLOTS_MAX, default.transactions_ready),
        dialogs_max: root.number("dialogs_max", 1..=SLOTS_MAX, default.dialogs_max),
        // Less than two datagrams could not hold one transaction with its answer.
        stored_bytes_max: root.number("stored_bytes_max", 131_072..=1 << 40, default.stored_bytes_max),
        unrouted: root.item("unrouted").and_then(|item| unrouted(&item)).unwrap_or(default.unrouted),
        preloaded_route: preloaded_route(root, default.preloaded_route),
        server: server(root, &default.server),
        timers: default.timers,
        dialog: default.dialog,
        keepalive: default.keepalive,
        dialog_details: default.dialog_details,
        decisions_every: root.number("decisions_every", 0..=1_000_000, default.decisions_every),
        // Bounds of our own.
        keepalives_unanswered_max: default.keepalives_unanswered_max,
        timers_per_turn: default.timers_per_turn,
    };
    settings.timers = timers(root.section("timers"));
    (settings.dialog, settings.keepalive, settings.dialog_details) =
        dialog(root.section("dialog"), settings.timers.timer_c);
    settings
}

fn listen(root: &mut Section<'_>) -> Vec<Listen> {
    let allowed = "a list of listen addresses, like [\"udp:192.0.2.1:5060\"]";
    let Some(list) = root.required("listen", allowed) else {
        return Vec::new();
    };
    let items = list.one_or_list();
    if items.is_empty() {
        list.refuse_because("an empty list", "at least one listen address");
    }
    if items.len() > limits::LISTEN_MAX {
        list.refuse_because(format!("{} addresses", items.len()), format!("at most {}", limits::LISTEN_MAX));
    }
    let mut listen: Vec<Listen> = Vec::new();
    for item in &items {
        let Some(entry) = listen_entry(item) else { continue };
        if listen.iter().any(|other| other.address == entry.address) {
            item.refuse_because(format!("{} twice", entry.address), "each address once");
        }
        if let Some(other) = listen.iter().find(|other| !entry.name.is_empty() && other.name == entry.name) {
            let cure = format!("a name of its own ({} has this one)", other.address);
            item.refuse_because(format!("\"{}\" again", entry.name), cure);
        }
        warn_of_likeness(item, &entry, &listen);
        listen.push(entry);
    }
    listen
}

/// RFC 3261 §16.6 item 4: the Record-Route of a call says by which socket its later requests leave, which two with the same text
/// cannot, unless the family of the next hop does.
fn warn_of_likeness(item: &Item<'_>, entry: &Listen, before: &[Listen]) {
    let alike = |other: &&Listen| {
        other.advertised.eq_ignore_ascii_case(&entry.advertised)
            && other.address != entry.address
            && other.address.is_ipv4() == entry.address.is_ipv4()
    };
    if let Some(other) = before.iter().find(alike) {
        let found = format!("{} advertised, as by {}", entry.advertised, other.address);
        item.warn(found, "another host or port: requests of a call leave by the first of the two");
    }
}

fn listen_entry(item: &Item<'_>) -> Option<Listen> {
    if !item.is_table() {
        return bound(item, item.text(LISTEN_ENTRY_ALLOWED)?, None);
    }
    let mut section = item.section(LISTEN_ENTRY_ALLOWED)?;
    let address = section.required("address", LISTEN_ALLOWED);
    let advertise = section.item("advertise");
    let name = section.item("name").and_then(|item| name(&item)).unwrap_or_default();
    section.finish();
    let address = address?;
    let text = address.text(LISTEN_ALLOWED)?;
    Some(Listen { name, ..bound(&address, text, advertise.as_ref())? })
}

fn bound(item: &Item<'_>, text: &str, advertise: Option<&Item<'_>>) -> Option<Listen> {
    let Some(address) = address::listen_address(text) else {
        let near = format!("udp:{text}");
        item.refuse_near(LISTEN_ALLOWED, address::listen_address(&near).map(|_| near.as_str()));
        return None;
    };
    let advertised = match advertise {
        Some(advertise) => advertised(advertise, address.port())?,
        None if address.ip().is_unspecified() => {
            let cure =
                format!("with it {{ address = \"{text}\", advertise = \"HOST\" }}: what Via shows must reach us");
            item.refuse_because(format!("the wildcard address {} without advertise", address.ip()), cure);
            return None;
        }
        None => address.to_string(),
    };
    Some(Listen { transport: Transport::Udp, address, name: String::new(), advertised })
}

/// No name looks like an address, so that either can be asked for in one key.
fn name(item: &Item<'_>) -> Option<String> {
    let allowed = "letters, digits, -, _ and ., at most 64, and no IP address";
    let text = item.text(allowed)?;
    if !is_listen_name(text) {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

/// Whether `text` can be the name of a listen address.
pub(super) fn is_listen_name(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    plain && (1..=64).contains(&text.len()) && text.parse::<IpAddr>().is_err()
}

fn advertised(item: &Item<'_>, port: u16) -> Option<String> {
    let place = item.text(HOST_PORT_ALLOWED).map(HostPort::parse)?;
    let place = place.filter(|place| place.ip().is_none_or(|ip| !ip.is_unspecified()));
    if place.is_none() {
        item.refuse(HOST_PORT_ALLOWED);
    }
    place.map(|place| format!("{}:{}", place.host, place.port.unwrap_or(port)))
}

fn aliases(list: &Item<'_>) -> Vec<String> {
    let mut aliases = Vec::new();
    for item in list.one_or_list() {
        let Some(text) = item.text(HOST_PORT_ALLOWED) else {
            continue;
        };
        match HostPort::parse(text) {
            Some(_) => aliases.push(text.to_owned()),
            None => item.refuse(HOST_PORT_ALLOWED),
        }
    }
    aliases
}

fn timers(mut section: Section<'_>) -> Timers {
    let default = Timers::default();
    let t1 = section.millis("t1_ms", 1..=10_000, default.t1);
    let t2_item = section.item("t2_ms");
    let t2 = t2_item.as_ref().and_then(|item| item.number(1..=60_000, "")).map_or(default.t2, Duration::from_millis);
    if let Some(item) = t2_item.filter(|_| t2 < t1) {
        item.refuse(format!("at least t1_ms ({})", t1.as_millis()));
    }
    let t4 = section.millis("t4_ms", 1..=60_000, default.t4);
    let timer_c = section.item("timer_c_s").and_then(|item| timer_c(&item, t1 < default.t1)).unwrap_or(default.timer_c);
    section.finish();
    // A T1 above the default T2 would make the first retransmission interval longer than the longest.
    Timers { t1, t2: t2.max(t1), t4, timer_c }
}

fn timer_c(item: &Item<'_>, scaled: bool) -> Option<Duration> {
    let timer_c = Duration::from_secs(item.number(1..=86_400, "")?);
    let allowed = "more than 180 (RFC 3261 §16.6.11: a call may ring that long)";
    match timer_c <= TIMER_C_ABOVE {
        // Whoever shortens T1 is testing, and will not wait three minutes for it.
        true if scaled => item.warn(item.shown(), allowed),
        true => item.refuse(allowed),
        false => {}
    }
    Some(timer_c)
}

fn dialog(mut section: Section<'_>, timer_c: Duration) -> (DialogLifetimes, Keepalive, bool) {
    let default = DialogLifetimes::default();
    let early = section.item("early_timeout_s").and_then(|item| early_timeout(&item, timer_c));
    let confirmed = section.seconds("confirmed_timeout_s", 1..=31_536_000, default.confirmed);
    let no_ack = section.seconds("no_ack_timeout_s", 1..=3_600, default.no_ack);
    let keepalive = keepalive(&mut section);
    let details = section.item("details").and_then(|item| item.flag()).unwrap_or(Settings::default().dialog_details);
    section.finish();
    (DialogLifetimes { early: early.unwrap_or(default.early.max(timer_c)), confirmed, no_ack }, keepalive, details)
}

fn keepalive(section: &mut Section<'_>) -> Keepalive {
    let default = Keepalive::default();
    let interval = section.item("keepalive_interval_s").and_then(|item| match item.as_integer() {
        Some(0) => Some(Duration::ZERO),
        _ => item.number(10..=86_400, ", or 0 for no keepalives").map(Duration::from_secs),
    });
    let ends =
        [("both", KeepaliveTo::Both), ("caller", KeepaliveTo::Caller), ("destination", KeepaliveTo::Destination)];
    Keepalive {
        interval: interval.unwrap_or(default.interval),
        failures_max: section.number("keepalive_failures_max", 1..=100, default.failures_max),
        to: section.choice("keepalive_to", &ends, default.to),
    }
}

fn early_timeout(item: &Item<'_>, timer_c: Duration) -> Option<Duration> {
    let early = Duration::from_secs(item.number(1..=86_400, "")?);
    if early < timer_c {
        let cure = format!("at least timer_c_s ({}), or dialogs end before their INVITE does", timer_c.as_secs());
        item.warn(item.shown(), cure);
    }
    Some(early)
}

fn unrouted(item: &Item<'_>) -> Option<Status> {
    let answers = [Status::NOT_FOUND, Status::FORBIDDEN];
    let status = answers.into_iter().find(|status| item.as_integer() == Some(i64::from(status.code())));
    if status.is_none() {
        item.refuse("404, 403");
    }
    status
}

fn preloaded_route(root: &mut Section<'_>, default: PreloadedRoute) -> PreloadedRoute {
    root.choice("preloaded_route", &[("follow", PreloadedRoute::Follow), ("reject", PreloadedRoute::Reject)], default)
}

fn server(root: &mut Section<'_>, default: &str) -> String {
    let Some(item) = root.item("server_header") else {
        return default.to_owned();
    };
    let text = item.text("a text in quotes").unwrap_or(default);
    // A line feed here would write a header line of its own into every answer.
    if text.chars().any(char::is_control) || text.len() > 128 {
        item.refuse("at most 128 bytes on one line; \"\" for no Server header");
    }
    text.to_owned()
}

/// Reads `shards`.
pub(super) fn shards(root: &mut Section<'_>) -> ShardsPlan {
    root.item("shards").and_then(|item| shards_plan(&item)).unwrap_or(ShardsPlan::Auto)
}

fn shards_plan(item: &Item<'_>) -> Option<ShardsPlan> {
    // A bound of 256 fits every integer type.
    let most = limits::SHARDS_MAX as i64;
    if item.as_text() == Some("auto") {
        return Some(ShardsPlan::Auto);
    }
    if item.as_integer().is_some() {
        return item.number(1..=most, ", \"auto\", or a list of cores").map(ShardsPlan::Count);
    }
    let allowed = format!("\"auto\", 1 to {most}, or a list of cores like [0, 1, 2]");
    let items = item.list(&allowed);
    let cores: Vec<usize> = items.iter().filter_map(|core| core.number(0..=CORE_MAX, "")).collect();
    let distinct = (1..cores.len()).all(|index| !cores[..index].contains(&cores[index]));
    if cores.is_empty() || cores.len() > limits::SHARDS_MAX || !distinct {
        if items.len() == cores.len() && item.as_text().is_none() {
            item.refuse(format!("1 to {most} cores, each once"));
        }
        return None;
    }
    Some(ShardsPlan::Cores(cores))
}

/// Reads `[prober]`.
pub(super) fn prober(mut section: Section<'_>, listen: &[Listen]) -> ProberSettings {
    let default = ProberSettings::default();
    let interval = section.item("interval_ms").and_then(|item| interval(&item)).unwrap_or(default.interval);
    let timeout_item = section.item("timeout_ms");
    let timeout = timeout_item.as_ref().and_then(|item| item.number(1..=60_000, ""));
    let timeout = timeout.map_or(default.timeout, Duration::from_millis);
    if let Some(item) = timeout_item.filter(|_| timeout >= interval && !interval.is_zero()) {
        item.warn(item.shown(), format!("less than interval_ms ({}), or probes pile up", interval.as_millis()));
    }
    let settings = ProberSettings {
        core: section.item("core").and_then(|item| prober_core(&item)),
        interval,
        timeout,
        method: section.item("method").and_then(|item| probe_method::read(&item)).unwrap_or(default.method),
        from: section.item("from").and_then(|item| prober_from(&item)).unwrap_or(default.from),
        socket: section.item("socket").and_then(|item| socket::any(&item, listen)).map(|(_, number)| SocketId(number)),
        probing_threshold: section.number("probing_threshold", 1..=1_000, default.probing_threshold),
        inactive_threshold: section.number("inactive_threshold", 1..=1_000, default.inactive_threshold),
        reply_codes: reply_codes(&mut section).unwrap_or_default(),
        policy: section.item("policy").and_then(|item| policy(&item)).unwrap_or(default.policy),
        latency_weight_permille: section.number("latency_weight_permille", 1..=999, default.latency_weight_permille),
    };
    section.finish();
    settings
}

fn interval(item: &Item<'_>) -> Option<Duration> {
    if item.as_integer() == Some(0) {
        return Some(Duration::ZERO);
    }
    item.number(100..=3_600_000, ", or 0 for no probes").map(Duration::from_millis)
}

/// The words for `policy`.
pub const PROBE_POLICIES: [(&str, ProbePolicy); 3] =
    [("all", ProbePolicy::All), ("flagged", ProbePolicy::Flagged), ("when-inactive", ProbePolicy::WhenInactive)];

/// Kamailio's `ds_probing_mode` by name, or by its number.
fn policy(item: &Item<'_>) -> Option<ProbePolicy> {
    match item.as_integer() {
        Some(1) => Some(ProbePolicy::All),
        Some(0 | 3) => Some(ProbePolicy::Flagged),
        Some(2) => Some(ProbePolicy::WhenInactive),
        _ => item.choice(&PROBE_POLICIES),
    }
}

fn prober_core(item: &Item<'_>) -> Option<usize> {
    if item.as_text() == Some("auto") {
        return None;
    }
    item.number(0..=CORE_MAX, ", or \"auto\"")
}

pub(super) fn prober_from(item: &Item<'_>) -> Option<String> {
    let allowed = "a SIP URI without < and >, like sip:siplane@example.com";
    let text = item.text(allowed)?;
    if !is_prober_from(text) {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

/// Whether `text` can be the From URI of a probe.
pub(super) fn is_prober_from(text: &str) -> bool {
    let host = text.strip_prefix("sip:").and_then(|rest| rest.rsplit('@').next()).and_then(HostPort::parse);
    host.is_some() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
}

/// Reads `reply_codes`, if it is there.
pub(super) fn reply_codes(section: &mut Section<'_>) -> Option<Vec<u16>> {
    let codes = section.item("reply_codes").map(|list| codes::read(&list, &(300..=699)));
    codes.map(|codes| codes.into_iter().collect())
}
