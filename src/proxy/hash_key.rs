//! What of a request a hash algorithm hashes ([`HashInput`]), as one run of bytes.
//!
//! A URI counts as `user@host`, with `:port` behind it unless that is the default, and without what comes after: `user` alone
//! when there is no host (`tel`), `host` alone without a user. So the part before the `@` and the part behind it are the two
//! strings that Kamailio hashes. Hosts are compared without case (RFC 3261 §19.1.4), so consistent hashing gets them in lower
//! case; the legacy hash gets them as they are spelled, as Kamailio does.
//!
//! A request that lacks the input gives no bytes: its set then falls to round robin.

use super::request::Incoming;
use super::route::Plan;
use crate::dispatcher::{Algorithm, HashInput, HashKind};
use crate::sip::{Message, NameAddr, Scheme, Span, Uri, fields, header_is, push_number, values};

/// What is hashed of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HashKey<'a> {
    bytes: &'a [u8],
    /// Where the host of a URI begins, behind the `@`; the end of `bytes` when there is none.
    host: usize,
}

impl<'a> HashKey<'a> {
    /// What comes before the `@` of a URI, and what comes behind it: its host. For anything else all, and nothing.
    pub(super) fn parts(self) -> (&'a [u8], &'a [u8]) {
        let (user, host) = self.bytes.split_at(self.host);
        (user.strip_suffix(b"@").filter(|_| !host.is_empty()).unwrap_or(user), host)
    }
}

impl<'a> From<&'a [u8]> for HashKey<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, host: bytes.len() }
    }
}

/// What `algorithm` hashes of the request; nothing for one that hashes nothing. `scratch` holds it when it is not in the message
/// as it is.
#[inline]
pub(super) fn hash_key<'a>(
    algorithm: Algorithm,
    incoming: &Incoming<'a>,
    plan: &Plan,
    scratch: &'a mut Vec<u8>,
) -> HashKey<'a> {
    let Algorithm::Hash(input, kind) = algorithm else { return HashKey::default() };
    let message = incoming.message;
    match input {
        HashInput::CallId => message.call_id().into(),
        HashInput::FromUri => of_name_addr(message.bytes, &incoming.from, kind, scratch),
        HashInput::ToUri => of_name_addr(message.bytes, &incoming.to, kind, scratch),
        HashInput::RequestUri => of_uri(message.bytes, &plan.uri, plan.uri_text, kind, scratch),
        HashInput::AuthUser => auth_user(message).into(),
        HashInput::Header(name) => header(message, name.as_bytes()).unwrap_or_default().into(),
    }
}

fn of_name_addr<'a>(bytes: &[u8], value: &NameAddr, kind: HashKind, scratch: &'a mut Vec<u8>) -> HashKey<'a> {
    match Uri::parse(bytes, value.uri) {
        Some(uri) => of_uri(bytes, &uri, value.uri, kind, scratch),
        None => HashKey::default(),
    }
}

fn of_uri<'a>(bytes: &[u8], uri: &Uri, whole: Span, kind: HashKind, scratch: &'a mut Vec<u8>) -> HashKey<'a> {
    scratch.clear();
    let default_port = if uri.scheme == Scheme::Sips { 5061 } else { 5060 };
    if uri.scheme == Scheme::Other {
        scratch.extend_from_slice(whole.of(bytes));
    }
    scratch.extend_from_slice(uri.user.of(bytes));
    if uri.user.is_set() && uri.host.is_set() {
        scratch.push(b'@');
    }
    let host = scratch.len();
    scratch.extend_from_slice(uri.host.of(bytes));
    if kind == HashKind::Consistent {
        scratch[host..].make_ascii_lowercase();
    }
    if let Some(port) = uri.port.filter(|port| *port != default_port) {
        scratch.push(b':');
        push_number(u32::from(port), scratch);
    }
    HashKey { bytes: scratch, host }
}

/// The value of the first header with this name that has one.
fn header<'a>(message: &Message<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let named = fields(message).filter(|field| header_is(message.text(field.name), name));
    named.map(|field| message.text(field.value).trim_ascii()).find(|value| !value.is_empty())
}

/// The user name of the first credentials that have one, those for a proxy first (RFC 3261 §22.3, §25.1 `username`).
fn auth_user<'a>(message: &Message<'a>) -> &'a [u8] {
    let of = |name: &'static [u8]| {
        let named = fields(message).filter(move |field| header_is(message.text(field.name), name));
        named.map(|field| user_name(message.bytes, field.value)).find(|user| !user.is_empty())
    };
    of(b"proxy-authorization").or_else(|| of(b"authorization")).unwrap_or_default()
}

/// The `username` of `Digest username="…", realm="…"`, without its quotes; empty without one.
fn user_name(bytes: &[u8], credentials: Span) -> &[u8] {
    let text = credentials.of(bytes);
    let scheme = text.len() - text.trim_ascii_start().len();
    let scheme = scheme + text[scheme..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
    let params = Span { start: credentials.start + scheme as u32, end: credentials.end };
    let user = values(bytes, params).find_map(|param| {
        let param = param.of(bytes);
        let equals = memchr::memchr(b'=', param)?;
        let value = param[equals + 1..].trim_ascii();
        param[..equals].trim_ascii().eq_ignore_ascii_case(b"username").then_some(value)
    });
    let user = user.unwrap_or_default();
    user.strip_prefix(b"\"").and_then(|user| user.strip_suffix(b"\"")).unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::super::branch::Keys;
    use super::super::names::Names;
    use super::super::settings::{Settings, SocketId};
    use super::*;
    use crate::dispatcher::HeaderName;
    use crate::sip::{Method, scan};

    /// The key of a request with this Request-URI, From and To URIs in brackets, and these header lines.
    fn key(input: HashInput, kind: HashKind, uris: [&str; 3], more: &str) -> String {
        let [uri, from, to] = uris;
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: \"x\" <{from}>;tag=1\r\nTo: <{to}>\r\n\
             Call-ID: c@h \r\nCSeq: 1 INVITE\r\n{more}\r\n"
        );
        let message = scan(text.as_bytes());
        let source = "192.0.2.7:5060".parse().unwrap();
        let incoming = Incoming::read(&message, Method::Invite, source, SocketId(0)).unwrap();
        let plan = Plan::new(&message, &Names::new(&Settings::default()), &Keys::new(1)).unwrap();
        let mut scratch = b"old".to_vec();
        let key = hash_key(Algorithm::Hash(input, kind), &incoming, &plan, &mut scratch);
        let (user, host) = key.parts();
        let at = if user.is_empty() || host.is_empty() { "" } else { "@" };
        let text = [user, at.as_bytes(), host].concat();
        String::from_utf8(text).unwrap()
    }

    fn consistent(input: HashInput, more: &str) -> String {
        let uris = ["sip:b:pw@EXAMPLE.com:5060;x=y", "sip:alice@A.example:5070", "sip:[2001:DB8::1]"];
        key(input, HashKind::Consistent, uris, more)
    }

    #[test]
    fn each_input_is_what_it_says() {
        assert_eq!(consistent(HashInput::CallId, ""), "c@h");
        assert_eq!(consistent(HashInput::FromUri, ""), "alice@a.example:5070");
        assert_eq!(consistent(HashInput::ToUri, ""), "[2001:db8::1]");
        assert_eq!(consistent(HashInput::RequestUri, ""), "b@example.com");
        let name = HashInput::Header(HeaderName::new("X-Tenant").unwrap());
        assert_eq!(consistent(name, "X-Other: 1\r\nx-tenant:\r\n  acme 7 \r\nX-Tenant: b\r\n"), "acme 7");
        let subject = HashInput::Header(HeaderName::new("subject").unwrap());
        assert_eq!(consistent(subject, "s: hello\r\n"), "hello", "RFC 3261 §7.3.3: the compact form counts");
    }

    #[test]
    fn the_legacy_hash_gets_hosts_as_spelled() {
        let uris = ["sip:b@EXAMPLE.com", "sips:a@h:5061", "tel:+1-555;phone-context=x"];
        assert_eq!(key(HashInput::RequestUri, HashKind::Legacy, uris, ""), "b@EXAMPLE.com");
        assert_eq!(key(HashInput::FromUri, HashKind::Legacy, uris, ""), "a@h", "5061 is the default of sips");
        assert_eq!(key(HashInput::ToUri, HashKind::Legacy, uris, ""), "+1-555");
        let other = ["sip:b@h", "urn:service:sos", "sip:h"];
        assert_eq!(key(HashInput::FromUri, HashKind::Legacy, other, ""), "urn:service:sos");
    }

    #[test]
    fn the_auth_user_is_that_of_the_proxys_credentials_and_then_of_the_servers() {
        // RFC 3261 §22.3
        let server = "Authorization: Digest realm=\"username=\\\"no\\\", x\", username=\"carol\"\r\n";
        let proxy = "Proxy-Authorization: Digest  Username = \"al,ice\" ,realm=\"r\"\r\n";
        assert_eq!(consistent(HashInput::AuthUser, server), "carol");
        assert_eq!(consistent(HashInput::AuthUser, &format!("{server}{proxy}")), "al,ice");
        let empty = "Proxy-Authorization: Digest username=\"\"\r\n";
        assert_eq!(consistent(HashInput::AuthUser, &format!("{empty}{server}")), "carol");
        assert_eq!(consistent(HashInput::AuthUser, "Authorization: Digest username=bob\r\n"), "bob");
    }

    #[test]
    fn an_input_that_is_not_there_gives_no_bytes() {
        let name = HashInput::Header(HeaderName::new("x-tenant").unwrap());
        for (input, more) in [
            (name, ""),
            (name, "X-Tenant: \r\n"),
            (HashInput::AuthUser, ""),
            (HashInput::AuthUser, "Authorization: Digest\r\n"),
        ] {
            assert_eq!(consistent(input, more), "", "{input:?} {more}");
        }
    }
}
