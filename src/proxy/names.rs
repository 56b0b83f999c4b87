//! Who we are: which hosts and ports in a URI or Via mean this proxy, and how we write ourselves.

use super::settings::{Settings, SocketId};
use crate::sip::host_address;
use std::net::{IpAddr, SocketAddr};

/// One listen socket as messages show it.
#[derive(Debug)]
struct Own {
    address: SocketAddr,
    host: Vec<u8>,
    ip: Option<IpAddr>,
    port: u16,
    via: Vec<u8>,
    record_route: Vec<u8>,
}

impl Own {
    /// Whether `host` is spelled like ours: nearly always to the letter, as we wrote it.
    fn is_host(&self, host: &[u8]) -> bool {
        self.host == host || self.host.eq_ignore_ascii_case(host)
    }
}

#[derive(Debug)]
struct Alias {
    host: Vec<u8>,
    port: Option<u16>,
}

/// Our own names.
#[derive(Debug)]
pub(crate) struct Names {
    own: Vec<Own>,
    aliases: Vec<Alias>,
}

impl Names {
    pub(crate) fn new(settings: &Settings) -> Self {
        let own = settings.listen.iter().map(|listen| {
            let (host, port) = split_port(&listen.advertised);
            Own {
                address: listen.address,
                ip: host_address(host.as_bytes()),
                host: host.as_bytes().to_vec(),
                port: port.unwrap_or(5060),
                via: format!("Via: SIP/2.0/UDP {};branch=", listen.advertised).into_bytes(),
                record_route: format!("Record-Route: <sip:{};lr", listen.advertised).into_bytes(),
            }
        });
        let aliases = settings.aliases.iter().map(|alias| {
            let (host, port) = split_port(alias);
            Alias { host: host.as_bytes().to_vec(), port }
        });
        Self { own: own.collect(), aliases: aliases.collect() }
    }

    /// The socket that `host` and `port` (5060 unless given, RFC 3261 §19.1.2) name; an alias names the first socket with its port.
    pub(crate) fn socket(&self, host: &[u8], port: Option<u16>) -> Option<SocketId> {
        let at = port.unwrap_or(5060);
        let exact = self.own.iter().position(|own| own.port == at && own.is_host(host));
        exact
            .or_else(|| self.by_address(host, at))
            .or_else(|| self.by_alias(host, port))
            .map(|index| SocketId(index as u8))
    }

    pub(crate) fn is_us(&self, host: &[u8], port: Option<u16>) -> bool {
        self.socket(host, port).is_some()
    }

    /// How hosts, and hosts with ports, are spelled that [`Names::is_us`] knows: as they are configured, and as we would write them.
    pub(crate) fn spellings(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut spell = |host: &[u8], port: Option<u16>| {
            let port = port.unwrap_or(5060);
            let with_port = [host, format!(":{port}").as_bytes()].concat();
            for text in [Some(with_port), (port == 5060).then(|| host.to_vec())].into_iter().flatten() {
                if !all.contains(&text) {
                    all.push(text);
                }
            }
        };
        for own in &self.own {
            spell(&own.host, Some(own.port));
            let text = SocketAddr::new(own.address.ip().to_canonical(), own.address.port()).to_string();
            let (host, port) = split_port(&text);
            spell(host.as_bytes(), port);
        }
        for alias in &self.aliases {
            spell(&alias.host, alias.port);
            // An alias without port is us at each of our ports.
            let ports = self.own.iter().map(|own| own.port).filter(|_| alias.port.is_none());
            ports.for_each(|port| spell(&alias.host, Some(port)));
        }
        all
    }

    fn by_address(&self, host: &[u8], port: u16) -> Option<usize> {
        let ip = host_address(host)?;
        self.own.iter().position(|own| {
            (own.port == port && own.ip == Some(ip))
                || (own.address.port() == port && own.address.ip().to_canonical() == ip)
        })
    }

    fn by_alias(&self, host: &[u8], port: Option<u16>) -> Option<usize> {
        let alias = self.aliases.iter().find(|alias| alias.host.eq_ignore_ascii_case(host))?;
        match (alias.port, port) {
            (Some(named), port) if named == port.unwrap_or(5060) => Some(0),
            (Some(_), _) => None,
            (None, None) => Some(0),
            (None, Some(port)) => self.own.iter().position(|own| own.port == port).or((port == 5060).then_some(0)),
        }
    }

    /// The socket by which a request that came in on `incoming` leaves to `destination`: the same one unless the family differs.
    #[inline]
    pub(crate) fn outgoing(&self, incoming: SocketId, destination: &SocketAddr) -> Option<SocketId> {
        let fits = |own: &Own| own.address.is_ipv4() == destination.is_ipv4();
        if self.own.get(usize::from(incoming.0)).is_some_and(fits) {
            return Some(incoming);
        }
        self.own.iter().position(fits).map(|index| SocketId(index as u8))
    }

    /// `Via: SIP/2.0/UDP host:port;branch=`
    pub(crate) fn via(&self, socket: SocketId) -> &[u8] {
        self.own.get(usize::from(socket.0)).map_or(b"", |own| &own.via)
    }

    /// `Record-Route: <sip:host:port;lr`
    pub(crate) fn record_route(&self, socket: SocketId) -> &[u8] {
        self.own.get(usize::from(socket.0)).map_or(b"", |own| &own.record_route)
    }
}

/// Host and port of `host[:port]`, the host with its IPv6 brackets.
fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Listen, Transport};
    use super::*;

    fn names() -> Names {
        let listen = |address: &str, advertised: &str| Listen {
            transport: Transport::Udp,
            name: String::new(),
            address: address.parse().unwrap(),
            advertised: advertised.into(),
        };
        Names::new(&Settings {
            listen: vec![listen("10.0.0.1:5060", "192.0.2.1:5060"), listen("[2001:db8::1]:5070", "[2001:db8::1]:5070")],
            aliases: vec!["sip.example.com".into(), "old.example.com:5999".into()],
            ..Settings::default()
        })
    }

    #[test]
    fn we_know_ourselves_by_advertised_and_bound_address_and_alias() {
        let names = names();
        for (host, port, socket) in [
            ("192.0.2.1", None, Some(0)),
            ("10.0.0.1", Some(5060), Some(0)),
            ("[2001:DB8:0::1]", Some(5070), Some(1)),
            ("SIP.example.com", None, Some(0)),
            ("sip.example.com", Some(5070), Some(1)),
            ("old.example.com", Some(5999), Some(0)),
            ("old.example.com", None, None),
            ("192.0.2.1", Some(5061), None),
            ("[2001:db8::1]", None, None),
            ("example.com", None, None),
        ] {
            assert_eq!(names.socket(host.as_bytes(), port).map(|s| s.0), socket, "{host} {port:?}");
        }
    }

    #[test]
    fn every_spelling_of_ours_is_us() {
        let names = names();
        let spellings: Vec<_> = names.spellings().into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
        let expected = [
            "192.0.2.1:5060",
            "192.0.2.1",
            "10.0.0.1:5060",
            "10.0.0.1",
            "[2001:db8::1]:5070",
            "sip.example.com:5060",
            "sip.example.com",
            "sip.example.com:5070",
            "old.example.com:5999",
        ];
        assert_eq!(spellings, expected);
        for text in spellings {
            let (host, port) = split_port(&text);
            assert!(names.is_us(host.as_bytes(), port), "{text}");
        }
    }

    #[test]
    fn a_request_leaves_by_a_socket_of_its_family() {
        let names = names();
        assert_eq!(names.outgoing(SocketId(0), &"192.0.2.9:5060".parse().unwrap()), Some(SocketId(0)));
        assert_eq!(names.outgoing(SocketId(0), &"[2001:db8::9]:5060".parse().unwrap()), Some(SocketId(1)));
    }
}
