//! Via (RFC 3261 §20.42) and what a server writes into it (§18.2.1, RFC 3581 §4).

use super::cursor::Cursor;
use super::{Span, Splice, host_address, put_ip, put_number};
use std::net::{IpAddr, SocketAddr};

/// What `rport` says (RFC 3581).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rport {
    /// Not there.
    #[default]
    Absent,
    /// There without value: the reply shall go to the source port, which is written at this offset.
    Empty(u32),
    /// Filled in.
    Port(u16),
}

/// One Via value: the topmost of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Via {
    /// The whole value, up to a comma or the end of the field.
    pub value: Span,
    /// Whether another value follows in the same field, and where it begins.
    pub next: Option<u32>,
    /// `UDP`, `TCP`, …
    pub transport: Span,
    /// Host of the sent-by, IPv6 with brackets.
    pub host: Span,
    /// Port of the sent-by.
    pub port: Option<u16>,
    /// The branch; unset without one.
    pub branch: Span,
    /// The value of `received`; unset without one.
    pub received: Span,
    /// `rport`.
    pub rport: Rport,
    /// The value of `maddr`; unset without one.
    pub maddr: Span,
}

impl Via {
    /// The first value of the Via field `field`; `None` when it is none.
    #[must_use]
    pub fn parse(bytes: &[u8], field: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, field);
        let mut via = Self { transport: sent_protocol(&mut cursor)?, ..Self::default() };
        cursor.skip_lws();
        via.host = cursor.host().ok()?;
        cursor.skip_lws();
        via.port = cursor.port().ok()?;
        let mut end = cursor.at;
        while let Some(param) = cursor.param().ok()? {
            end = cursor.at;
            via.take(bytes, param.name, param.value)?;
        }
        via.value = Span::new(field.start as usize, end);
        if cursor.eat(b',') {
            cursor.skip_lws();
            via.next = Some(cursor.at as u32);
        }
        Some(via)
    }

    fn take(&mut self, bytes: &[u8], name: Span, value: Option<Span>) -> Option<()> {
        let spelled = name.of(bytes);
        match spelled {
            // As nearly everybody spells them.
            b"branch" => once(bytes, &mut self.branch, value),
            b"rport" => self.take_rport(bytes, name, value),
            b"received" => once(bytes, &mut self.received, value),
            _ => self.take_other(bytes, name, value),
        }
    }

    fn take_other(&mut self, bytes: &[u8], name: Span, value: Option<Span>) -> Option<()> {
        let spelled = name.of(bytes);
        match spelled.len() {
            6 if spelled.eq_ignore_ascii_case(b"branch") => once(bytes, &mut self.branch, value),
            8 if spelled.eq_ignore_ascii_case(b"received") => once(bytes, &mut self.received, value),
            5 if spelled.eq_ignore_ascii_case(b"maddr") => once(bytes, &mut self.maddr, value),
            5 if spelled.eq_ignore_ascii_case(b"rport") => self.take_rport(bytes, name, value),
            _ => Some(()),
        }
    }

    fn take_rport(&mut self, bytes: &[u8], name: Span, value: Option<Span>) -> Option<()> {
        if self.rport != Rport::Absent {
            return None;
        }
        self.rport = rport(bytes, name, value)?;
        Some(())
    }

    /// Whether its branch is unique by itself (RFC 3261 §8.1.1.7: begins with the magic cookie and goes on).
    #[must_use]
    pub fn has_cookie(&self, bytes: &[u8]) -> bool {
        let branch = self.branch.of(bytes);
        branch.len() > 7 && branch[..7].eq_ignore_ascii_case(b"z9hG4bK")
    }
}

/// RFC 3261 §7.3.1: no parameter twice; some take the first of two, some the last. §25.1: none of these is in quotes, which some take
/// away.
fn once(bytes: &[u8], param: &mut Span, value: Option<Span>) -> Option<()> {
    let value = value?;
    if param.is_set() || bytes.get(value.start as usize) == Some(&b'"') {
        return None;
    }
    *param = value;
    Some(())
}

fn rport(bytes: &[u8], name: Span, value: Option<Span>) -> Option<Rport> {
    match value {
        None => Some(Rport::Empty(name.end)),
        Some(value) if value.is_empty() => None,
        Some(value) => {
            let mut cursor = Cursor::new(bytes, value);
            let port = cursor.number().ok().filter(|_| cursor.peek().is_none())?;
            u16::try_from(port).ok().map(Rport::Port)
        }
    }
}

/// `SIP / 2.0 / UDP`, with white space around the slashes (RFC 3261 §25.1); the transport.
fn sent_protocol(cursor: &mut Cursor<'_>) -> Option<Span> {
    let bytes = cursor.bytes;
    if bytes[cursor.at..cursor.end].starts_with(b"SIP/2.0/UDP ") {
        cursor.at += 12;
        return Some(Span::new(cursor.at - 4, cursor.at - 1));
    }
    let mut part = |last: bool| {
        cursor.skip_lws();
        let part = cursor.until(|b| b == b'/' || b == b' ' || b == b'\t' || b == b'\r');
        cursor.skip_lws();
        (!part.is_empty() && (last || cursor.eat(b'/'))).then_some(part)
    };
    let (name, version, transport) = (part(false)?, part(false)?, part(true)?);
    (name.of(bytes).eq_ignore_ascii_case(b"SIP") && version.of(bytes) == b"2.0").then_some(transport)
}

/// What a server writes into the top Via of a request: where it really came from (RFC 3261 §18.2.1, RFC 3581 §4). Made once per
/// request, used in each answer and each forwarded copy.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// `;received=` and the source address, then `=` and the source port.
    text: [u8; 64],
    received_end: u8,
    end: u8,
    /// The sent-by host is the source address.
    named: bool,
}

/// How `text` begins.
const RECEIVED: &[u8; 10] = b";received=";

impl Stamp {
    /// For a request with this top Via that came from `source`.
    #[must_use]
    pub fn new(bytes: &[u8], via: &Via, source: SocketAddr) -> Self {
        let ip = source.ip().to_canonical();
        let mut text = [0; 64];
        text[..10].copy_from_slice(RECEIVED);
        let received_end = 10 + put_ip(ip, &mut text[10..]);
        text[received_end] = b'=';
        let end = received_end + 1 + put_number(u32::from(source.port()), &mut text[received_end + 1..]);
        let host = via.host.of(bytes);
        let named = host == &text[10..received_end] || host_address(host) == Some(ip);
        Self { text, received_end: received_end as u8, end: end as u8, named }
    }

    /// Puts `received` in when the sent-by host is not the source address, and with an empty `rport` the source port and always
    /// `received`. A `received` that the sender put in itself is replaced: it would send our replies elsewhere.
    pub fn apply(&self, splice: &mut Splice, via: &Via) {
        let received = &self.text[..usize::from(self.received_end)];
        if let Rport::Empty(at) = via.rport {
            splice.insert_bytes(at, &self.text[usize::from(self.received_end)..usize::from(self.end)]);
        }
        if via.received.is_set() {
            splice.replace_bytes(via.received, &received[RECEIVED.len()..]);
        } else if !self.named || matches!(via.rport, Rport::Empty(_)) {
            splice.insert_bytes(via.value.end, received);
        }
    }
}

impl Via {
    /// Where replies to a request with this top Via go that came from `source` (RFC 3261 §18.2.2, RFC 3581 §4).
    ///
    /// `maddr` is not followed (RFC 3261 §18.2.2 would): it lets anybody point our replies at a third party or a multicast group.
    #[must_use]
    pub fn reply_address(&self, source: SocketAddr) -> SocketAddr {
        match self.rport {
            Rport::Absent => SocketAddr::new(source.ip(), self.port.unwrap_or(5060)),
            _ => source,
        }
    }

    /// The address in `received`, else the sent-by host, when it is an address.
    #[must_use]
    pub fn address(&self, bytes: &[u8]) -> Option<IpAddr> {
        let text = if self.received.is_set() { self.received } else { self.host };
        host_address(text.of(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    fn via(text: &str) -> Option<Via> {
        Via::parse(text.as_bytes(), Span::new(0, text.len()))
    }

    #[test]
    fn a_tortuous_via_is_read() {
        let text = "SIP  / 2.0\r\n / UDP\r\n    192.0.2.2 : 4000;ttl=16 ; maddr = 224.2.0.1;branch =z9hG4bKa ,\
                    SIP/2.0/TCP [::1];rport;branch=x";
        let first = via(text).unwrap();
        assert_eq!(first.transport.of(text.as_bytes()), b"UDP");
        assert_eq!(first.host.of(text.as_bytes()), b"192.0.2.2");
        assert_eq!(first.port, Some(4000));
        assert_eq!(first.branch.of(text.as_bytes()), b"z9hG4bKa");
        assert_eq!(first.maddr.of(text.as_bytes()), b"224.2.0.1");
        let next = first.next.unwrap() as usize;
        let second = Via::parse(text.as_bytes(), Span::new(next, text.len())).unwrap();
        assert_eq!(second.host.of(text.as_bytes()), b"[::1]");
        assert!(matches!(second.rport, Rport::Empty(_)));
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h x",
            "SIP/2.0/UDP h;=b",
            // RFC 3261 §7.3.1: no parameter twice.
            "SIP/2.0/UDP h;branch=a;branch=b",
            "SIP/2.0/UDP h;branch=a;x;Branch=a",
            "SIP/2.0/UDP h;rport;rport=1",
            "SIP/2.0/UDP h;received=1.2.3.4;received=1.2.3.5",
            "SIP/2.0/UDP h;maddr=1.2.3.4;maddr=1.2.3.5",
            "SIP/2.0/UDP h;rport=5060x",
            "SIP/2.0/UDP h;branch=\"a\"",
            "SIP/2.0/UDP h;branch=a\x0b",
            "SIP/2.0/UDP h;branch=\x0ca",
            "SIP/2.0/UDP h;b\x01ranch=a",
        ] {
            assert_eq!(via(text), None, "{text}");
        }
    }

    fn stamped(value: &str, source: &str) -> String {
        let text = format!("OPTIONS sip:a SIP/2.0\r\nVia: {value}\r\n\r\n");
        let message = scan(text.as_bytes());
        let mut splice = Splice::default();
        let via = message.top_via().unwrap();
        Stamp::new(message.bytes, &via, source.parse().unwrap()).apply(&mut splice, &via);
        let mut out = Vec::new();
        splice.write(message.bytes, message.bytes.len(), &mut out);
        String::from_utf8(out).unwrap().lines().nth(1).unwrap().to_owned()
    }

    #[test]
    fn received_and_rport_say_where_the_request_came_from() {
        // RFC 3261 §18.2.1
        assert_eq!(stamped("SIP/2.0/UDP 192.0.2.1;branch=b", "192.0.2.1:9"), "Via: SIP/2.0/UDP 192.0.2.1;branch=b");
        assert_eq!(stamped("SIP/2.0/UDP h;branch=b", "192.0.2.1:9"), "Via: SIP/2.0/UDP h;branch=b;received=192.0.2.1");
        assert_eq!(stamped("SIP/2.0/UDP h;received=1.2.3.4", "192.0.2.1:9"), "Via: SIP/2.0/UDP h;received=192.0.2.1");
        // RFC 3581 §4
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;rport;branch=b, SIP/2.0/UDP x", "192.0.2.1:9"),
            "Via: SIP/2.0/UDP 192.0.2.1;rport=9;branch=b;received=192.0.2.1, SIP/2.0/UDP x"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP [2001:db8::1];rport", "[2001:db8::2]:9"),
            "Via: SIP/2.0/UDP [2001:db8::1];rport=9;received=2001:db8::2"
        );
    }

    #[test]
    fn replies_go_to_the_source_by_rport_else_to_the_sent_by_port() {
        // RFC 3261 §18.2.2
        let source = "192.0.2.9:777".parse().unwrap();
        assert_eq!(via("SIP/2.0/UDP h;rport").unwrap().reply_address(source), source);
        assert_eq!(via("SIP/2.0/UDP h:5070").unwrap().reply_address(source), "192.0.2.9:5070".parse().unwrap());
        assert_eq!(
            via("SIP/2.0/UDP h;maddr=224.0.0.1").unwrap().reply_address(source),
            "192.0.2.9:5060".parse().unwrap()
        );
    }
}
