//! The attributes of a `dispatcher.list` that name a listen address: `socket`, `sockname`, `ping_socket`.
//!
//! As in Kamailio (`pack_dest`): the name wins over the address, and a line that names what is none of ours is left out.

use super::list_destination::{shown, with_scheme};
use super::list_file::Notes;
use super::list_line::{self, Line};
use super::uri::{self, Checked};
use super::{address, process, socket};
use crate::dispatcher::OutgoingSocket;
use crate::limits;
use crate::proxy::settings::{Listen, Transport};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a line asks for.
pub(super) struct Sockets {
    pub(super) own: Option<OutgoingSocket>,
    pub(super) ping: Option<u8>,
}

/// The sockets of the line whose destination is at `address`; None when the line must be left out, which is noted.
pub(super) fn read(
    attributes: &[(&str, &str)],
    address: SocketAddr,
    notes: &mut Notes<'_>,
    listen: &[Listen],
) -> Option<Sockets> {
    let [by_address, by_name, ping] = ["socket", "sockname", "ping_socket"].map(|name| last(attributes, name));
    let mut number = |key: &str, text: &str, find: Find| resolve(key, text, find, address, notes, listen);
    let own = match (by_name, by_address) {
        (Some(name), _) => number("attrs.sockname", name, socket::with_name)?,
        (None, Some(text)) => number("attrs.socket", text, socket::with_address)?,
        (None, None) => None,
    };
    let ping = match ping {
        Some(text) => number("attrs.ping_socket", text, socket::with_either)?,
        None => None,
    };
    if by_name.is_some() && by_address.is_some() {
        notes.warn_once("attrs.socket", "socket beside sockname, which is the one that is used", "one of the two");
    }
    Some(Sockets { own: own.map(|number| socket::outgoing(number, listen)), ping })
}

type Find = fn(&str, &[Listen]) -> Option<u8>;

/// Of an attribute that is there twice the last one holds; one without a value is none.
fn last<'t>(attributes: &[(&str, &'t str)], name: &str) -> Option<&'t str> {
    let named = attributes.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value).filter(|value| !value.is_empty())
}

/// The number of what `text` asks for, none while nothing is known of our sockets; None when it cannot be had.
fn resolve(
    key: &str,
    text: &str,
    find: Find,
    address: SocketAddr,
    notes: &mut Notes<'_>,
    listen: &[Listen],
) -> Option<Option<u8>> {
    if listen.is_empty() {
        return Some(None);
    }
    let number = find(text, listen);
    let fault = match number {
        None => Some(socket::unknown(text, listen)),
        Some(number) => socket::unlike_family(number, address, listen),
    };
    if let Some(socket::Fault { found, allowed, near }) = fault {
        notes.leave_out_near(key, found.unwrap_or_else(|| shown(text)), allowed, near);
        return None;
    }
    Some(number)
}

/// The listen addresses that the lines of `list` ask for, for whoever knows of no others, and whether each is really known: what is only
/// named stands at some free local address.
pub(super) fn asked_for(list: &str) -> Vec<(Listen, bool)> {
    let mut asked = Asked::default();
    for line in list.lines() {
        let Line::Columns(columns) = list_line::read(line) else { continue };
        let text = with_scheme(columns.uri);
        let Ok(Checked { address, .. }) = uri::check(&text, "", &[]) else { continue };
        asked.destinations.insert(address);
        let attrs = columns.attrs.strip_suffix(';').unwrap_or(columns.attrs);
        let attributes = list_line::attributes(attrs).unwrap_or_default();
        let [by_address, by_name, ping] = ["socket", "sockname", "ping_socket"].map(|name| last(&attributes, name));
        let is_v4 = address.is_ipv4();
        // A name that stands beside an address is most likely the name of that.
        asked.add(by_name.unwrap_or_default(), by_address.and_then(spelled), is_v4);
        let ping_at = ping.and_then(spelled);
        asked.add(ping.filter(|_| ping_at.is_none()).unwrap_or_default(), ping_at, is_v4);
    }
    asked.finish()
}

fn spelled(text: &str) -> Option<SocketAddr> {
    let at = address::listen_address(text).or_else(|| address::listen_address(&format!("udp:{text}")));
    at.filter(|at| !at.ip().is_unspecified())
}

/// What lines ask for.
#[derive(Default)]
struct Asked {
    /// Name or nothing, address if it is known, and whether what it is wanted for is IPv4.
    sockets: Vec<(String, Option<SocketAddr>, bool)>,
    destinations: BTreeSet<SocketAddr>,
}

impl Asked {
    /// One more, unless it is there; the bound leaves room for one that nobody asked for.
    fn add(&mut self, name: &str, at: Option<SocketAddr>, is_v4: bool) {
        let is_known = |(other, _, _): &(String, Option<SocketAddr>, bool)| other == name;
        let is_name = process::is_listen_name(name);
        if (!is_name && at.is_none()) || (is_name && self.sockets.iter().any(is_known)) {
            return;
        }
        let name = if is_name { name } else { "" };
        let there = self.sockets.iter().position(|(_, known, _)| at.is_some() && *known == at);
        match there {
            Some(index) if self.sockets[index].0.is_empty() => name.clone_into(&mut self.sockets[index].0),
            Some(_) if name.is_empty() => {}
            _ if self.sockets.len() + 1 >= limits::LISTEN_MAX => {}
            // One address has one name: what else is called so is somewhere else.
            _ => self.sockets.push((name.to_owned(), at.filter(|_| there.is_none()), is_v4)),
        }
    }

    fn finish(self) -> Vec<(Listen, bool)> {
        let Self { sockets, destinations } = self;
        let known = sockets.iter().filter_map(|(_, at, _)| *at);
        let mut taken: BTreeSet<SocketAddr> = destinations.into_iter().chain(known).collect();
        let listen = sockets.into_iter().map(|(name, at, is_v4)| {
            let address = at.unwrap_or_else(|| free(is_v4, &taken));
            taken.insert(address);
            (Listen { transport: Transport::Udp, address, name, advertised: address.to_string() }, at.is_some())
        });
        listen.collect()
    }
}

/// A local address that is none of `taken`.
pub(super) fn free(is_v4: bool, taken: &BTreeSet<SocketAddr>) -> SocketAddr {
    let host: IpAddr = if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let mut free = (5060..=u16::MAX).map(|port| SocketAddr::from((host, port))).filter(|at| !taken.contains(at));
    free.next().unwrap_or(SocketAddr::from((host, 5059)))
}
