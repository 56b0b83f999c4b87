//! Addresses as a config spells them: hosts, ports, networks, listen addresses.

use crate::proxy::settings::Network;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// RFC 3261 §19.1.2: the port of SIP over UDP when none is written.
pub(super) const PORT_DEFAULT: u16 = 5060;

/// RFC 1035 §2.3.4: characters of a host name at most.
const NAME_CHARS_MAX: usize = 253;

/// RFC 3261 §25.1: `hostport`; the host is a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HostPort<'a> {
    /// As written, IPv6 addresses in brackets.
    pub(super) host: &'a str,
    /// 1 to 65535.
    pub(super) port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// None if `text` is neither `host` nor `host:port`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let host_end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, rest) = text.split_at(host_end);
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        (ip(host).is_some() || is_name(host)).then_some(Self { host, port })
    }

    /// The host's address if it is not a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        ip(self.host)
    }
}

/// An IPv4 address, or an IPv6 address in brackets.
fn ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok().filter(IpAddr::is_ipv4),
    }
}

fn port(digits: &str) -> Option<u16> {
    let port = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (port > 0).then_some(port)
}

/// RFC 3261 §25.1: `hostname`; its last label starts with a letter, so that no mistyped IPv4 address passes as a name.
fn is_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    let last_starts_with_letter =
        labels.clone().next_back().is_some_and(|l| l.starts_with(|c: char| c.is_ascii_alphabetic()));
    host.len() <= NAME_CHARS_MAX && last_starts_with_letter && labels.clone().all(is_label)
}

fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

/// `udp:ADDRESS` or `udp:ADDRESS:PORT`.
pub(super) fn listen_address(text: &str) -> Option<SocketAddr> {
    let place = HostPort::parse(text.strip_prefix("udp:")?)?;
    Some(SocketAddr::new(place.ip()?, place.port.unwrap_or(PORT_DEFAULT)))
}

/// `ADDRESS/BITS`, or `ADDRESS` alone for just this one; IPv6 without brackets.
pub(super) fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let prefix_bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok().filter(|bits| *bits <= bits_max))?;
    Some(Network { address, prefix_bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_an_ipv4_address_or_a_bracketed_ipv6_address_with_or_without_a_port() {
        for (text, host, port) in [
            ("sip.example.com", "sip.example.com", None),
            ("sip.example.com:5070", "sip.example.com", Some(5070)),
            ("192.0.2.1:1", "192.0.2.1", Some(1)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", Some(65535)),
        ] {
            assert_eq!(HostPort::parse(text), Some(HostPort { host, port }), "{text}");
        }
        let wrong =
            "|:5060|a:|a:0|a:65536|a:+5|a b|-a|a-|a..b|300.0.2.1|1.2.3|2001:db8::1|[192.0.2.1]|[::1|[::1]5060|[]|a/b";
        for text in wrong.split('|') {
            assert_eq!(HostPort::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_listen_address_is_udp_and_an_ip_address_and_5060_unless_said_otherwise() {
        assert_eq!(listen_address("udp:127.0.0.1"), Some("127.0.0.1:5060".parse().unwrap()));
        assert_eq!(listen_address("udp:[::1]:5070"), Some("[::1]:5070".parse().unwrap()));
        for text in ["127.0.0.1", "tcp:127.0.0.1", "udp:localhost", "udp:127.0.0.1:0", "udp:::1"] {
            assert_eq!(listen_address(text), None, "{text}");
        }
    }

    #[test]
    fn a_network_is_an_address_with_the_bits_that_count() {
        for (text, address, prefix_bits) in [
            ("192.0.2.0/24", "192.0.2.0", 24),
            ("192.0.2.1", "192.0.2.1", 32),
            ("2001:db8::/32", "2001:db8::", 32),
            ("::1", "::1", 128),
        ] {
            assert_eq!(network(text), Some(Network { address: address.parse().unwrap(), prefix_bits }), "{text}");
        }
        for text in
            ["192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2", "example.com/24", "192.0.2.0/-1", "192.0.2.0/24/1"]
        {
            assert_eq!(network(text), None, "{text}");
        }
    }
}
