//! What the checks compare: header lines, Via stacks and routes of a message, read through the proxy's own scanner.

use crate::message::{param, sent_by};
use siplane::sip::{self, Message, fields, header_is, values};
use std::net::{IpAddr, SocketAddr};

/// All lines but the first one and those named in `dropped`, and the body.
pub(crate) fn rest(message: &Message<'_>, dropped: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.bytes.len());
    for field in fields(message) {
        if !dropped.iter().any(|name| header_is(message.text(field.name), name.as_bytes())) {
            out.extend_from_slice(message.text(field.line));
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.text(message.head.body));
    out
}

/// The first line.
pub(crate) fn first_line<'a>(message: &Message<'a>) -> &'a [u8] {
    &message.bytes[..message.head.headers as usize]
}

/// Comma-separated values of all lines of a header.
pub(crate) fn all_values(message: &Message<'_>, name: &str) -> Vec<String> {
    let lines = fields(message).filter(|field| header_is(message.text(field.name), name.as_bytes()));
    lines.flat_map(|field| values(message.bytes, field.value)).map(|span| text(message.text(span))).collect()
}

/// A response without its topmost Via value.
pub(crate) fn popped(message: &Message<'_>) -> Vec<u8> {
    whole(message, 1)
}

/// A message in the form of [`popped`], with `skip` Via values left out.
pub(crate) fn whole(message: &Message<'_>, skip: usize) -> Vec<u8> {
    let mut out = first_line(message).to_vec();
    for via in all_values(message, "via").into_iter().skip(skip) {
        out.extend_from_slice(via.as_bytes());
        out.push(b'\n');
    }
    out.extend(rest(message, &["via"]));
    out
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// RFC 3261 §18.2.1, RFC 3581 §4: the top Via value as the proxy must pass it on.
pub(crate) fn stamped(via: &str, source: SocketAddr) -> String {
    let empty_rport = param(via, "rport") == Some("");
    let host = sent_by(via);
    let host: Option<IpAddr> =
        host.parse::<SocketAddr>().map(|address| address.ip()).ok().or_else(|| host.parse().ok());
    let via =
        if empty_rport { via.replacen(";rport", &format!(";rport={}", source.port()), 1) } else { via.to_owned() };
    if empty_rport || host != Some(source.ip()) { format!("{via};received={}", source.ip()) } else { via }
}

/// What RFC 3261 §17.2.3 matches a request by; ACK apart.
pub(crate) fn server_key(via: &str, method: &str) -> String {
    format!("{}|{}|{method}", param(via, "branch").unwrap_or_default(), sent_by(via))
}

/// The method in CSeq.
pub(crate) fn cseq_method(message: &Message<'_>) -> String {
    text(message.text(message.head.cseq_method))
}

/// Whether To has a tag.
pub(crate) fn has_to_tag(message: &Message<'_>) -> bool {
    message.to().is_ok_and(|to| to.tag.is_set())
}

/// `scan` for messages that must be in order.
pub(crate) fn read(bytes: &[u8]) -> Result<Message<'_>, String> {
    let message = sip::scan(bytes);
    match message.defect {
        None if message.end() == bytes.len() => Ok(message),
        None => Err(format!("{} bytes behind the body", bytes.len() - message.end())),
        Some(defect) => Err(format!("defect {defect:?}")),
    }
}
