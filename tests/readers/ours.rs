//! What we read. A message with a defect, or with a part that a proxy needs and cannot read, is none: it goes nowhere.

use crate::Seen;
use siplane::sip::{Method, Via, fields, header_is, scan, values};

pub(crate) fn read(bytes: &[u8]) -> Option<Seen> {
    let message = scan(bytes);
    let (via, from, to) = (message.top_via().ok()?, message.from().ok()?, message.to().ok()?);
    // A proxy looks for its own Via in all of them.
    let vias = fields(&message).filter(|field| header_is(message.text(field.name), b"via"));
    let mut lower = vias.flat_map(|field| values(bytes, field.value));
    if message.defect.is_some() || !lower.all(|value| Via::parse(bytes, value).is_some()) {
        return None;
    }
    let head = &message.head;
    // RFC 3261 §7.1: methods are case-sensitive, and one that nobody knows is passed on as it is spelled. The others take `invite`, and
    // one of them `INVITED`, for INVITE.
    let known = |method: &String| Method::of(method.as_bytes()) != Method::Other;
    let text =
        |span: siplane::sip::Span| span.is_set().then(|| String::from_utf8_lossy(message.text(span)).into_owned());
    Some(Seen {
        method: message.method().and_then(|_| text(head.method)).filter(known),
        status: message.status().map(|status| status.code()),
        call_id: text(head.call_id.value),
        cseq_number: Some(head.cseq_number),
        cseq_method: text(head.cseq_method).filter(known),
        via_host: text(via.host),
        via_port: via.port,
        branch: text(via.branch).filter(|branch| is_token(branch)),
        from_tag: text(from.tag).filter(|tag| is_token(tag)),
        to_tag: text(to.tag).filter(|tag| is_token(tag)),
        content_length: head.content_length.is_set().then_some(head.content_length_value as usize),
    })
}

/// RFC 3261 §25.1. The others end a branch or a tag at the first character that is none of a token, and forget the rest; we and Kamailio
/// read it to the end of the parameter, compare it whole and pass it on as it came: some user agents have an `=` or `@` in it.
fn is_token(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}
