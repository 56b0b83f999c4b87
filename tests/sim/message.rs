//! Messages as the user agents read and write them: text, lines and nothing shared with the proxy's scanner.

use std::borrow::Cow;
use std::net::SocketAddr;

/// A message taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) first: String,
    /// Name as spelled and value.
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn new(first: String) -> Self {
        Self { first, headers: Vec::with_capacity(16), body: String::new() }
    }

    /// Reads a message; panics when it is none: what the proxy sends must be one.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = core::str::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line behind the head");
        let mut lines = head.split("\r\n");
        let mut message = Self::new(lines.next().expect("a first line").to_owned());
        for line in lines {
            let (name, value) = line.split_once(':').expect("a colon in a header line");
            message.headers.push((Cow::Owned(name.trim_end().to_owned()), value.trim().to_owned()));
        }
        message.body = body.to_owned();
        message
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut text = String::with_capacity(900);
        text.push_str(&self.first);
        for (name, value) in &self.headers {
            for part in ["\r\n", name, ": ", value] {
                text.push_str(part);
            }
        }
        text.push_str(&format!("\r\nContent-Length: {}\r\n\r\n{}", self.body.len(), self.body));
        text.into_bytes()
    }

    /// Values of all lines of one header, compact names too.
    pub(crate) fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(spelled, _)| is_name(spelled, name)).map(|(_, value)| value.as_str())
    }

    /// Value of the first line of a header; empty without one.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> &'a str {
        self.lines(name).next().unwrap_or_default()
    }

    /// Comma-separated values of all lines of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.lines(name).flat_map(split_values).map(str::to_owned).collect()
    }

    /// The status of a response; 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        self.first.strip_prefix("SIP/2.0 ").map_or(0, |rest| rest[..3].parse().expect("a status"))
    }

    /// The method of a request, the first word of the status line else.
    pub(crate) fn method(&self) -> &str {
        self.first.split(' ').next().expect("a word")
    }

    pub(crate) fn uri(&self) -> &str {
        self.first.split(' ').nth(1).expect("a Request-URI")
    }

    pub(crate) fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.get("CSeq").split_once(' ').expect("CSeq");
        (number.parse().expect("a CSeq number"), method)
    }

    pub(crate) fn branch(&self) -> &str {
        let via = split_values(self.get("Via")).next().unwrap_or_default();
        param(via, "branch").unwrap_or_default()
    }

    pub(crate) fn sender_tag(&self) -> &str {
        param(self.get("From"), "tag").unwrap_or_default()
    }

    pub(crate) fn to_tag(&self) -> &str {
        param(self.get("To"), "tag").unwrap_or_default()
    }

    /// A response to this request (RFC 3261 §8.2.6), To tagged with `tag` unless it has one.
    pub(crate) fn response(&self, status: u16, tag: &str) -> Self {
        let mut response = Self::new(format!("SIP/2.0 {status} Said By Callee"));
        for (name, value) in &self.headers {
            let copied =
                ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"].into_iter().find(|n| is_name(name, n));
            match copied {
                Some("To") if status > 100 && !tag.is_empty() && param(value, "tag").is_none() => {
                    response.headers.push((name.clone(), format!("{value};tag={tag}")));
                }
                Some(_) => response.headers.push((name.clone(), value.clone())),
                None => {}
            }
        }
        response
    }
}

fn is_name(spelled: &str, long: &str) -> bool {
    spelled.eq_ignore_ascii_case(long)
        || matches!((spelled, long), ("v", "Via") | ("f", "From") | ("t", "To") | ("i", "Call-ID") | ("m", "Contact"))
}

/// Splits at commas outside of angle brackets; nobody here quotes.
pub(crate) fn split_values(line: &str) -> impl Iterator<Item = &str> {
    let mut angle = false;
    line.split(move |c| {
        angle = (angle || c == '<') && c != '>';
        c == ',' && !angle
    })
    .map(str::trim)
}

/// The value of parameter `name` behind the angle brackets (or anywhere when there are none); empty without value.
pub(crate) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let params = value.rsplit_once('>').map_or(value, |(_, behind)| behind);
    params.split(';').skip(1).find_map(|param| match param.trim().split_once('=') {
        Some((key, value)) => key.eq_ignore_ascii_case(name).then_some(value),
        None => param.trim().eq_ignore_ascii_case(name).then_some(""),
    })
}

/// The URI in a name-addr.
pub(crate) fn uri_of(value: &str) -> &str {
    value.split_once('<').map_or(value, |(_, rest)| rest.split('>').next().unwrap_or_default())
}

/// Where a `sip:` URI with an IP literal points; `None` for names.
pub(crate) fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
    let host = rest.split([';', '?']).next()?;
    host.parse().ok().or_else(|| Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, 5060)))
}

/// RFC 3261 §18.2.2, RFC 3581 §4: where a response goes whose request had `via` on top and came from `source`.
pub(crate) fn reply_address(via: &str, source: SocketAddr) -> SocketAddr {
    if param(via, "rport").is_some() {
        return source;
    }
    let sent_by = sent_by(via);
    let port =
        sent_by.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(Some(5060), |(_, p)| p.parse().ok());
    SocketAddr::new(source.ip(), port.expect("a port"))
}

/// `host:port` of a Via value.
pub(crate) fn sent_by(via: &str) -> &str {
    via.split_once(' ').map_or("", |(_, rest)| rest.split(';').next().unwrap_or_default().trim())
}
