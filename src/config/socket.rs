//! Which listen address requests leave by: `socket` says it by its address, `sockname` by its name.
//!
//! The sockets that a destination may ask for are those of `listen`: they are all known when destinations are read, and the
//! table has only their numbers. While nothing is known of them (each entry of `listen` is wrong) nothing is said of them.

use super::address::{self, HostPort};
use super::problem::nearest;
use super::reader::{Item, Section};
use crate::dispatcher::{OutgoingSocket, SetSpec};
use crate::proxy::settings::Listen;
use std::net::SocketAddr;

/// Why no listen address is the one that is asked for.
pub(super) struct Fault {
    pub(super) found: Option<String>,
    pub(super) allowed: String,
    pub(super) near: Option<String>,
}

/// A key of a config, and the number of the listen address that it asks for.
pub(super) type Asked<'a> = (Item<'a>, u8);

/// What a destination's keys ask for.
pub(super) struct Wishes<'a> {
    own: Option<Asked<'a>>,
    ping: Option<Asked<'a>>,
}

impl<'a> Wishes<'a> {
    pub(super) fn read(section: &mut Section<'a>, listen: &[Listen]) -> Self {
        let own = by_either(section, ["socket", "sockname"], listen);
        Self { own, ping: section.item("ping_socket").and_then(|item| any(&item, listen)) }
    }

    /// The socket for requests to `address`.
    pub(super) fn own(&self, address: SocketAddr, listen: &[Listen]) -> Option<OutgoingSocket> {
        let (item, number) = self.own.as_ref()?;
        let number = fitting(item, *number, address, listen)?;
        Some(outgoing(number, listen))
    }

    /// The number of the socket for probes to `address`.
    pub(super) fn ping(&self, address: SocketAddr, listen: &[Listen]) -> Option<u8> {
        let (item, number) = self.ping.as_ref()?;
        fitting(item, *number, address, listen)
    }
}

/// The listen address that one of these two keys asks for, the first by address, the second by name.
pub(super) fn by_either<'a>(
    section: &mut Section<'a>,
    [by_address, by_name]: [&'static str; 2],
    listen: &[Listen],
) -> Option<Asked<'a>> {
    let (address_item, name_item) = (section.item(by_address), section.item(by_name));
    if let (Some(_), Some(item)) = (&address_item, &name_item) {
        item.refuse_because(format!("{by_name} beside {by_address}"), "one of the two");
        return None;
    }
    let found = |item: Item<'a>, find: Find| resolve(&item, find, listen).map(|number| (item, number));
    address_item.and_then(|item| found(item, with_address)).or_else(|| found(name_item?, with_name))
}

/// The listen address that `item` asks for, by address or by name.
pub(super) fn any<'a>(item: &Item<'a>, listen: &[Listen]) -> Option<Asked<'a>> {
    Some((item.clone(), resolve(item, with_either, listen)?))
}

type Find = fn(&str, &[Listen]) -> Option<u8>;

fn resolve(item: &Item<'_>, find: Find, listen: &[Listen]) -> Option<u8> {
    let text = item.text(&listed(listen))?;
    let number = find(text, listen);
    if number.is_none() && !listen.is_empty() {
        let Fault { allowed, near, .. } = unknown(text, listen);
        item.refuse_near(allowed, near.as_deref());
    }
    number
}

fn fitting(item: &Item<'_>, number: u8, address: SocketAddr, listen: &[Listen]) -> Option<u8> {
    match unlike_family(number, address, listen) {
        None => Some(number),
        Some(fault) => {
            item.refuse_because(fault.found.unwrap_or_default(), fault.allowed);
            None
        }
    }
}

/// The listen address that is bound to `udp:ADDRESS:PORT` or shown as it; Kamailio lets `udp:` be left out.
pub(super) fn with_address(text: &str, listen: &[Listen]) -> Option<u8> {
    let place = HostPort::parse(text.strip_prefix("udp:").unwrap_or(text))?;
    let port = place.port.unwrap_or(address::PORT_DEFAULT);
    let bound = |own: &Listen| place.ip().is_some_and(|ip| own.address == SocketAddr::new(ip, port));
    let shown = format!("{}:{port}", place.host);
    let number = listen.iter().position(bound);
    number.or_else(|| listen.iter().position(|own| own.advertised.eq_ignore_ascii_case(&shown))).map(number_of)
}

/// The listen address with this name.
pub(super) fn with_name(text: &str, listen: &[Listen]) -> Option<u8> {
    listen.iter().position(|own| !own.name.is_empty() && own.name == text).map(number_of)
}

/// The listen address with this name or address.
pub(super) fn with_either(text: &str, listen: &[Listen]) -> Option<u8> {
    with_name(text, listen).or_else(|| with_address(text, listen))
}

/// There are at most [`crate::limits::LISTEN_MAX`] of them.
fn number_of(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

/// No listen address is what `text` asks for.
pub(super) fn unknown(text: &str, listen: &[Listen]) -> Fault {
    let spelled: Vec<String> = listen.iter().map(spelled).collect();
    let names = listen.iter().map(|own| own.name.as_str()).chain(spelled.iter().map(String::as_str));
    let near = nearest(text, names).map(str::to_owned);
    Fault { found: None, allowed: listed(listen), near }
}

/// The listen address `number` cannot send to `address`.
pub(super) fn unlike_family(number: u8, address: SocketAddr, listen: &[Listen]) -> Option<Fault> {
    let own = listen.get(usize::from(number)).filter(|own| own.address.is_ipv4() != address.is_ipv4())?;
    let family = |address: SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let same: Vec<Listen> = listen.iter().filter(|own| own.address.is_ipv4() == address.is_ipv4()).cloned().collect();
    let allowed =
        if same.is_empty() { format!("one more {} address in listen", family(address)) } else { listed(&same) };
    let found = format!("{}, which is {} and sends nothing to {address}", described(own), family(own.address));
    Some(Fault { found: Some(found), allowed, near: None })
}

/// The listen address `number` for a destination that names it.
pub(super) fn outgoing(number: u8, listen: &[Listen]) -> OutgoingSocket {
    let name = listen.get(usize::from(number)).map(spelled).unwrap_or_default();
    OutgoingSocket { number, name }
}

fn spelled(own: &Listen) -> String {
    format!("udp:{}", own.address)
}

fn described(own: &Listen) -> String {
    if own.name.is_empty() { spelled(own) } else { format!("{} (\"{}\")", spelled(own), own.name) }
}

fn listed(listen: &[Listen]) -> String {
    let all: Vec<String> = listen.iter().map(described).collect();
    format!("a listen address: {}", all.join(", "))
}

/// What holds for destinations that say nothing themselves, each where its family fits.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    /// For requests (Kamailio's `ds_default_socket`).
    pub(super) own: Option<u8>,
    /// For probes (Kamailio's `ds_ping_socket`).
    pub(super) ping: Option<u8>,
}

impl Defaults {
    /// Kamailio's order for probes: `ping_socket`, the destination's socket, the default for probes, the default for requests.
    pub(super) fn apply(self, sets: &mut [SetSpec], listen: &[Listen]) {
        for spec in sets.iter_mut().flat_map(|set| &mut set.destinations) {
            let fits = |number: &u8| {
                listen.get(usize::from(*number)).is_some_and(|own| own.address.is_ipv4() == spec.address.is_ipv4())
            };
            if spec.probe.socket.is_none() && spec.socket.is_none() {
                spec.probe.socket = self.ping.filter(fits);
            }
            if spec.socket.is_none() {
                spec.socket = self.own.filter(fits).map(|number| OutgoingSocket { number, name: String::new() });
            }
        }
    }
}
