//! What rsip reads. It knows no compact names (RFC 3261 §7.3.3): a message with one is left out. It
//! knows no white space around the `=` of a parameter either (§25.1, EQUAL): a branch that is nothing to it is left out.

use crate::Seen;
use rsip::SipMessage;
use rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader, UntypedHeader};

pub(crate) fn read(bytes: &[u8]) -> Option<Seen> {
    let message = SipMessage::try_from(bytes).ok()?;
    let compact = |header: &rsip::Header| matches!(header, rsip::Header::Other(name, _) if name.trim().len() == 1);
    if message.headers().iter().any(compact) {
        return None;
    }
    let (method, status) = match &message {
        SipMessage::Request(request) => (Some(request.method.to_string()), None),
        SipMessage::Response(response) => (None, Some(response.status_code.code())),
    };
    let via = message.via_header().ok().and_then(|via| via.typed().ok());
    let cseq = message.cseq_header().ok().and_then(|cseq| cseq.typed().ok());
    let length = message.headers().iter().find_map(|header| match header {
        rsip::Header::ContentLength(length) => length.value().trim().parse().ok(),
        _ => None,
    });
    let tag = |tag: Option<rsip::param::Tag>| tag.map(|tag| tag.value().to_owned());
    Some(Seen {
        method,
        status,
        call_id: message.call_id_header().ok().map(|call_id| call_id.value().trim().to_owned()),
        cseq_number: cseq.as_ref().map(|cseq| cseq.seq),
        cseq_method: cseq.map(|cseq| cseq.method.to_string()),
        via_host: via.as_ref().map(|via| via.uri.host_with_port.host.to_string().trim().to_owned()),
        via_port: via.as_ref().and_then(|via| via.uri.host_with_port.port.as_ref().map(|port| *port.value())),
        branch: via
            .and_then(|via| via.branch().map(|branch| branch.value().to_owned()))
            .filter(|branch| !branch.is_empty()),
        from_tag: message.from_header().ok().and_then(|from| tag(from.tag().ok()?)),
        to_tag: message.to_header().ok().and_then(|to| tag(to.tag().ok()?)),
        content_length: length,
    })
}
