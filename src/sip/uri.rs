//! SIP URIs (RFC 3261 §19.1) as far as routing needs them; other schemes only by their name.

use super::Span;
use super::cursor::{Cursor, Param};
use super::masks::find_byte;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The scheme of a URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// RFC 3261 §19.1.
    Sip,
    /// RFC 3261 §26.2.2: only over TLS.
    Sips,
    /// RFC 3966: no host, only for rules to dispatch.
    Tel,
    /// Any other.
    Other,
}

/// Where the parts of a URI are in the message that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri {
    /// Its scheme.
    pub scheme: Scheme,
    /// User part without password; unset without one. A `tel` number stands here too.
    pub user: Span,
    /// Host, IPv6 with brackets; unset unless `sip` or `sips`.
    pub host: Span,
    /// Port.
    pub port: Option<u16>,
    /// Behind host and port: where parameters begin.
    pub params: Span,
    /// Headers behind `?`, without it; unset without any.
    pub headers: Span,
}

impl Uri {
    /// Reads the URI at `span`; `None` when it is none.
    #[must_use]
    pub fn parse(bytes: &[u8], span: Span) -> Option<Self> {
        let text = span.of(bytes);
        if text.starts_with(b"sip:") {
            return Self::sip(bytes, Scheme::Sip, Span { start: span.start + 4, end: span.end });
        }
        let colon = text.iter().position(|byte| *byte == b':')?;
        let scheme = scheme(&text[..colon])?;
        let start = span.start as usize + colon + 1;
        let rest = Span::new(start, span.end as usize);
        let none = Span::default();
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::sip(bytes, scheme, rest),
            Scheme::Tel => {
                let number = Cursor::new(bytes, rest).until(|b| b == b';');
                Some(Self { scheme, user: number, host: none, port: None, params: none, headers: none })
            }
            Scheme::Other => Some(Self { scheme, user: none, host: none, port: None, params: none, headers: none }),
        }
    }

    fn sip(bytes: &[u8], scheme: Scheme, span: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, span);
        // RFC 3261 §25.1: `@` stands in no other part than between user and host; user may hold `;`, `?`, `/`.
        let (mut user, first) = (Span::default(), cursor.find_either(*b"@?"));
        let at = if bytes.get(first) == Some(&b'?') { cursor.find(b'@') } else { first };
        let has_user = at < cursor.end;
        if has_user {
            user = Span::new(cursor.at, find_byte(bytes, cursor.at, at, b':'));
            cursor.at = at + 1;
        }
        let host = cursor.host().ok()?;
        let port = cursor.port().ok()?;
        // Without user the first question mark is known.
        let question = if has_user || cursor.at > first { cursor.find(b'?') } else { first };
        let params = Span::new(cursor.at, question);
        cursor.at = question;
        if !params.is_empty() && bytes[params.start as usize] != b';' {
            return None;
        }
        let headers = if cursor.eat(b'?') { Span::new(cursor.at, cursor.end) } else { Span::default() };
        Some(Self { scheme, user, host, port, params, headers })
    }

    /// Whether parameter `name` is there (ASCII case ignored).
    #[must_use]
    pub fn has_param(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.param(bytes, name).is_some()
    }

    /// The value of parameter `name`, empty when it has none; `None` when it is not there.
    #[must_use]
    pub fn param(&self, bytes: &[u8], name: &[u8]) -> Option<Span> {
        self.params(bytes).find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values of its parameters in order, up to the first that cannot be read; values are empty when there are none.
    pub fn params<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Span)> + use<'a> {
        let mut cursor = Cursor::new(bytes, self.params);
        core::iter::from_fn(move || {
            let Param { name, value } = cursor.param().ok()??;
            Some((name.of(bytes), value.unwrap_or(Span { start: name.end, end: name.end })))
        })
    }

    /// Where a request to this URI goes when its host (or `maddr`, RFC 3261 §19.1.1) is an address; port 5060 unless given.
    /// Only UDP is there yet: `sips` needs TLS to the next hop (RFC 3261 §26.2.2), and a `transport` parameter must be
    /// obeyed (RFC 3263 §4.1); such a URI goes nowhere.
    #[must_use]
    pub fn address(&self, bytes: &[u8]) -> Option<SocketAddr> {
        if self.scheme == Scheme::Sips {
            return None;
        }
        let mut host = self.host;
        if !self.params.is_empty() {
            let transport = self.param(bytes, b"transport").map(|span| span.of(bytes));
            if transport.is_some_and(|transport| !transport.eq_ignore_ascii_case(b"udp")) {
                return None;
            }
            host = self.param(bytes, b"maddr").filter(|span| !span.is_empty()).unwrap_or(host);
        }
        Some(SocketAddr::new(host_address(host.of(bytes))?, self.port.unwrap_or(5060)))
    }
}

fn scheme(text: &[u8]) -> Option<Scheme> {
    if text.eq_ignore_ascii_case(b"sip") {
        return Some(Scheme::Sip);
    }
    if text.eq_ignore_ascii_case(b"sips") {
        return Some(Scheme::Sips);
    }
    if text.eq_ignore_ascii_case(b"tel") {
        return Some(Scheme::Tel);
    }
    let legal = text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    legal.then_some(Scheme::Other)
}

/// The IP address that a host is written as, IPv6 with or without brackets; `None` for names.
#[must_use]
pub fn host_address(host: &[u8]) -> Option<IpAddr> {
    match host {
        [b'[', inside @ .., b']'] => ipv6(inside),
        [b'0'..=b'9', ..] => ipv4(host).map(IpAddr::V4),
        _ if host.contains(&b':') => ipv6(host),
        _ => None,
    }
}

fn ipv6(text: &[u8]) -> Option<IpAddr> {
    let address: Ipv6Addr = core::str::from_utf8(text).ok()?.parse().ok()?;
    Some(IpAddr::V6(address).to_canonical())
}

fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut rest) = ([0u8; 4], text);
    for (index, octet) in octets.iter_mut().enumerate() {
        let (value, behind) = octet_of(rest)?;
        *octet = value;
        rest = match behind {
            [b'.', behind @ ..] if index < 3 => behind,
            [] if index == 3 => behind,
            _ => return None,
        };
    }
    Some(Ipv4Addr::from(octets))
}

/// One to three digits, below 256, and what is behind them.
#[inline]
fn octet_of(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
    let (value, behind) = match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', behind @ ..] => {
            (digit(*a) * 100 + digit(*b) * 10 + digit(*c), behind)
        }
        [a @ b'0'..=b'9', b @ b'0'..=b'9', behind @ ..] => (digit(*a) * 10 + digit(*b), behind),
        [a @ b'0'..=b'9', behind @ ..] => (digit(*a), behind),
        _ => return None,
    };
    u8::try_from(value).ok().map(|value| (value, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, &str, Option<u16>, &str, &str)> {
        let uri = Uri::parse(text.as_bytes(), Span::new(0, text.len()))?;
        let part = |span: Span| &text[span.start as usize..span.end as usize];
        Some((part(uri.user), part(uri.host), uri.port, part(uri.params), part(uri.headers)))
    }

    // RFC 3261 §25.1
    #[test]
    fn sip_uris_come_apart() {
        assert_eq!(
            parts("sip:a:pw@h.example:5070;lr;x=1?Subject=y"),
            Some(("a", "h.example", Some(5070), ";lr;x=1", "Subject=y"))
        );
        assert_eq!(
            parts("sip:user;par=u%40example.net@example.com"),
            Some(("user;par=u%40example.net", "example.com", None, "", ""))
        );
        assert_eq!(parts("SIPS:[2001:db8::1]:5061"), Some(("", "[2001:db8::1]", Some(5061), "", "")));
        assert_eq!(parts("tel:+1-555;phone-context=x"), Some(("+1-555", "", None, "", "")));
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in
            ["", "sip", "sip:", "sip:@", "sip:a@", "sip:h:x", "sip:h:99999", "sip:[::1", "sip:h x", ":x", "1x:y"]
        {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_read_and_names_are_not() {
        let address =
            |text: &str| Uri::parse(text.as_bytes(), Span::new(0, text.len())).unwrap().address(text.as_bytes());
        assert_eq!(address("sip:a@192.0.2.1"), Some("192.0.2.1:5060".parse().unwrap()));
        assert_eq!(address("sip:a@[2001:db8::1]:99"), Some("[2001:db8::1]:99".parse().unwrap()));
        assert_eq!(address("sip:a@h;maddr=192.0.2.7"), Some("192.0.2.7:5060".parse().unwrap()));
        assert_eq!(address("sip:a@h"), None);
        // RFC 3261 §26.2.2
        assert_eq!(address("sips:a@192.0.2.1"), None);
        // RFC 3263 §4.1
        assert_eq!(address("sip:a@192.0.2.1;transport=tcp"), None);
        assert_eq!(address("sip:a@192.0.2.1;Transport=UDP"), Some("192.0.2.1:5060".parse().unwrap()));
        for text in ["1.2.3", "1.2.3.4.5", "1.2.3.256", "1..2.3", "1.2.3.", "1.2.3.4a", "0001.2.3.4"] {
            assert_eq!(host_address(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn parameters_are_found_by_name() {
        let text = b"sip:h;LR;did=a-b;x=\"q;did=no\"";
        let uri = Uri::parse(text, Span::new(0, text.len())).unwrap();
        assert!(uri.has_param(text, b"lr") && !uri.has_param(text, b"r2"));
        assert_eq!(uri.param(text, b"did").unwrap().of(text), b"a-b");
    }
}
