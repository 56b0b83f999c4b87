//! Which SIP URIs can be a destination's, and what is odd about one; the same for every file that names destinations.

use crate::proxy::settings::Listen;
use crate::sip::{Scheme, Span, Uri};
use std::net::SocketAddr;

/// What a destination's URI is.
pub(super) const URI_ALLOWED: &str = "a SIP URI with an IP address, like sip:192.0.2.11:5060";

/// Why a URI is refused, or what is odd about it.
pub(super) struct Fault {
    pub(super) found: String,
    pub(super) allowed: String,
    /// What was likely meant.
    pub(super) near: Option<String>,
}

impl Fault {
    fn new(found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { found: found.into(), allowed: allowed.into(), near: None }
    }
}

/// A URI that can be used.
pub(super) struct Checked<'t> {
    /// Where requests go.
    pub(super) address: SocketAddr,
    /// The URI without its parameters.
    pub(super) bare: &'t str,
    /// Its parameters: whole, name and value.
    pub(super) parameters: Vec<(&'t str, &'t str, &'t str)>,
    /// No listen address has its family.
    pub(super) family: Option<Fault>,
}

/// Checks `text`; a fault calls it `shown`. `listen` tells which addresses are our own; with none, nothing is said of them.
pub(super) fn check<'t>(text: &'t str, shown: &str, listen: &[Listen]) -> Result<Checked<'t>, Fault> {
    let Some(uri) = parse(text).filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips)) else {
        let near = format!("sip:{text}");
        let meant = parse(&near).and_then(|uri| uri.address(near.as_bytes()));
        return Err(Fault { near: meant.map(|_| near), ..Fault::new(shown, URI_ALLOWED) });
    };
    check_scheme(shown, &uri)?;
    // The parameters are the end of the text: there are no headers behind them.
    let (bare, rest) = text.split_at(text.len() - uri.params.len());
    let parameters: Vec<_> = rest.split(';').filter(|parameter| !parameter.is_empty()).map(name_and_value).collect();
    parameters.iter().try_for_each(|(parameter, name, value)| check_parameter(parameter, name, value))?;
    let Some(address) = uri.address(text.as_bytes()) else {
        let allowed = format!("{URI_ALLOWED}; names come with a later version");
        return Err(Fault::new(format!("{shown} with a host name"), allowed));
    };
    check_address(address, listen)?;
    Ok(Checked { address, bare, parameters, family: unlike_family(address, listen) })
}

/// The URI becomes a Request-URI as it is written: what would end one there makes it none.
fn parse(text: &str) -> Option<Uri> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte));
    Uri::parse(text.as_bytes(), Span::new(0, text.len())).filter(|_| plain)
}

fn check_scheme(shown: &str, uri: &Uri) -> Result<(), Fault> {
    if uri.scheme == Scheme::Sips {
        return Err(Fault::new(shown, "sip: (UDP only yet; TLS comes with a later version)"));
    }
    if uri.headers.is_set() {
        // RFC 3261 §19.1.1, table 1: headers and the method parameter are not allowed in a Request-URI.
        return Err(Fault::new(format!("{shown} with headers"), "a URI without ?: it becomes a Request-URI"));
    }
    Ok(())
}

fn name_and_value(parameter: &str) -> (&str, &str, &str) {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    (parameter, name, value)
}

/// Nothing may stand behind the host that would change where requests go, or that no Request-URI may have.
fn check_parameter(parameter: &str, name: &str, value: &str) -> Result<(), Fault> {
    match name.to_ascii_lowercase().as_str() {
        "transport" if !value.eq_ignore_ascii_case("udp") => {
            Err(Fault::new(format!(";{parameter}"), ";transport=udp or none (UDP only yet)"))
        }
        "maddr" | "method" => {
            Err(Fault::new(format!(";{parameter}"), "a URI without it; where requests go is the host"))
        }
        _ => Ok(()),
    }
}

fn check_address(address: SocketAddr, listen: &[Listen]) -> Result<(), Fault> {
    if address.ip().is_unspecified() || address.port() == 0 {
        return Err(Fault::new(format!("{address}, where nothing can be sent"), URI_ALLOWED));
    }
    if listen.iter().any(|own| own.address == address) {
        let found = format!("{address}, which is a listen address of our own");
        return Err(Fault::new(found, "another address: it would be a loop"));
    }
    Ok(())
}

fn unlike_family(address: SocketAddr, listen: &[Listen]) -> Option<Fault> {
    let unlike = !listen.is_empty() && listen.iter().all(|own| own.address.is_ipv4() != address.is_ipv4());
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let fault = || {
        Fault::new(
            format!("{address}, while no listen address is {family}"),
            format!("one more {family} address in listen"),
        )
    };
    unlike.then(fault)
}
