//! One entry of `destinations`: a SIP URI, or a table with one.

use super::reader::Item;
use crate::dispatcher::DestinationSpec;
use crate::proxy::settings::Listen;
use crate::sip::{Scheme, Span, Uri};
use std::net::SocketAddr;

const URI_ALLOWED: &str = "a SIP URI with an IP address, like sip:192.0.2.11:5060";
const ENTRY_ALLOWED: &str = "a SIP URI in quotes, or { uri = \"sip:…\", weight = 1 }";

/// Keys of a destination that Kamailio's list files carry in a column of their own, and that are lost in a URI.
const ATTRIBUTES: [&str; 3] = ["weight", "priority", "duid"];

/// The largest share of one destination.
const WEIGHT_MAX: i64 = 65_535;

/// Reads one entry; `listen` tells which addresses are our own.
pub(super) fn read(item: &Item<'_>, listen: &[Listen]) -> Option<DestinationSpec> {
    if !item.is_table() {
        let (uri, address) = destination_uri(item, ENTRY_ALLOWED, listen)?;
        return Some(DestinationSpec { duid: String::new(), uri, address, weight: 1, priority: 0, disabled: false });
    }
    let mut section = item.section(ENTRY_ALLOWED)?;
    let uri = section.required("uri", URI_ALLOWED);
    let weight = section.number("weight", 0..=WEIGHT_MAX, 1);
    let priority = section.number("priority", i64::from(i32::MIN)..=i64::from(i32::MAX), 0);
    let duid = section.item("duid").and_then(|item| duid(&item)).unwrap_or_default();
    let disabled = section.flag("disabled");
    section.finish();
    let (uri, address) = destination_uri(&uri?, URI_ALLOWED, listen)?;
    Some(DestinationSpec { duid, uri, address, weight, priority, disabled })
}

fn duid(item: &Item<'_>) -> Option<String> {
    let allowed = "letters, digits, -, _, . and :, at most 64";
    let text = item.text(allowed)?;
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if !plain || text.len() > 64 {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

fn destination_uri(item: &Item<'_>, allowed: &str, listen: &[Listen]) -> Option<(String, SocketAddr)> {
    let text = item.text(allowed)?;
    let Some(uri) = uri(text).filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips)) else {
        let near = format!("sip:{text}");
        let meant = self::uri(&near).and_then(|uri| uri.address(near.as_bytes()));
        item.refuse_near(URI_ALLOWED, meant.map(|_| near.as_str()));
        return None;
    };
    check_parts(item, text, &uri)?;
    let Some(address) = uri.address(text.as_bytes()) else {
        let found = format!("{} with a host name", item.shown());
        item.refuse_because(found, format!("{URI_ALLOWED}; names come with a later version"));
        return None;
    };
    check_address(item, address, listen)?;
    Some((text.to_owned(), address))
}

/// The URI becomes a Request-URI as it is written: what would end one there makes it none.
fn uri(text: &str) -> Option<Uri> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte));
    Uri::parse(text.as_bytes(), Span::new(0, text.len())).filter(|_| plain)
}

/// What may stand around the host: nothing that would change where requests go, or that no Request-URI may have.
fn check_parts(item: &Item<'_>, text: &str, uri: &Uri) -> Option<()> {
    if uri.scheme == Scheme::Sips {
        item.refuse_because(item.shown(), "sip: (UDP only yet; TLS comes with a later version)");
        return None;
    }
    if uri.headers.is_set() {
        // RFC 3261 §19.1.1, table 1: headers and the method parameter are not allowed in a Request-URI.
        item.refuse_because(format!("{} with headers", item.shown()), "a URI without ?: it becomes a Request-URI");
        return None;
    }
    // The parameters are the end of the text: there are no headers behind them.
    let (host, parameters) = text.split_at(text.len() - uri.params.len());
    parameters.split(';').filter(|parameter| !parameter.is_empty()).try_for_each(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        check_parameter(item, host, parameter, &name.to_ascii_lowercase(), value)
    })
}

fn check_parameter(item: &Item<'_>, uri: &str, parameter: &str, name: &str, value: &str) -> Option<()> {
    match name {
        "transport" if !value.eq_ignore_ascii_case("udp") => {
            item.refuse_because(format!(";{parameter}"), ";transport=udp or none (UDP only yet)");
            None
        }
        "maddr" | "method" => {
            item.refuse_because(format!(";{parameter}"), "a URI without it; where requests go is the host");
            None
        }
        attribute if ATTRIBUTES.contains(&attribute) => {
            warn_of_attribute(item, uri, parameter, attribute, value);
            Some(())
        }
        _ => Some(()),
    }
}

fn warn_of_attribute(item: &Item<'_>, uri: &str, parameter: &str, name: &str, value: &str) {
    let value = if value.parse::<i64>().is_ok() { value.to_owned() } else { format!("\"{value}\"") };
    item.warn(
        format!(";{parameter} in the URI, where it is a URI parameter and no {name}"),
        format!("{{ uri = \"{uri}\", {name} = {value} }}"),
    );
}

fn check_address(item: &Item<'_>, address: SocketAddr, listen: &[Listen]) -> Option<()> {
    if address.ip().is_unspecified() || address.port() == 0 {
        item.refuse_because(format!("{address}, where nothing can be sent"), URI_ALLOWED);
        return None;
    }
    if listen.iter().any(|own| own.address == address) {
        item.refuse_because(
            format!("{address}, which is a listen address of our own"),
            "another address: it would be a loop",
        );
        return None;
    }
    if !listen.is_empty() && listen.iter().all(|own| own.address.is_ipv4() != address.is_ipv4()) {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        item.warn(
            format!("{address}, while no listen address is {family}"),
            format!("one more {family} address in listen"),
        );
    }
    Some(())
}
