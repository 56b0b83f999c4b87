//! What ezk's parser reads. It takes `%66` in a parameter for an `f`: RFC 3261 §19.1.2 has that in URIs alone, so such values are left
//! out.

use crate::Seen;
use bytes::Bytes;
use ezk_sip_types::header::typed::{CSeq, CallID, ContentLength, FromTo, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::{Headers, Name};

/// Whether nothing in the message looks like an escape.
fn is_plain(bytes: &[u8]) -> impl Fn(&String) -> bool + use<> {
    let plain = !bytes.contains(&b'%');
    move |_| plain
}

pub(crate) fn read(bytes: &[u8]) -> Option<Seen> {
    let source = Bytes::copy_from_slice(bytes);
    let mut lines = PullParser::new(&source, 0);
    let first = core::str::from_utf8(lines.next()?.ok()?).ok()?;
    let (_, first) = MessageLine::parse(&source)(first).ok()?;
    let mut headers = Headers::new();
    for line in lines {
        let line = core::str::from_utf8(line.ok()?).ok()?;
        let (_, line) = Line::parse(&source, line).ok()?;
        headers.insert(line.name, line.value);
    }
    let (via, cseq) = (headers.get_named::<Via>().ok(), headers.get_named::<CSeq>().ok());
    let tag = |name: Name| headers.get::<FromTo>(name).ok().and_then(|value| value.tag).map(|tag| tag.to_string());
    let tag = |name: Name| tag(name).filter(is_plain(bytes));
    let (method, status) = match first {
        MessageLine::Request(line) => (Some(line.method), None),
        MessageLine::Response(line) => (None, Some(line.code.into_u16())),
    };
    Some(Seen {
        method: method.map(|method| method.to_string()),
        status,
        call_id: headers.get_named::<CallID>().ok().map(|call_id| call_id.0.to_string()),
        cseq_number: cseq.as_ref().map(|cseq| cseq.cseq),
        cseq_method: cseq.map(|cseq| cseq.method.to_string()),
        via_host: via.as_ref().map(|via| via.sent_by.host.to_string()),
        via_port: via.as_ref().and_then(|via| via.sent_by.port),
        branch: via
            .and_then(|via| via.params.get_val("branch").map(|branch| branch.to_string()))
            .filter(is_plain(bytes)),
        from_tag: tag(Name::FROM),
        to_tag: tag(Name::TO),
        content_length: headers.get_named::<ContentLength>().ok().map(|length| length.0),
    })
}
