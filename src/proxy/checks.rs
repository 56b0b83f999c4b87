//! RFC 3261 §16.3: what a proxy checks before it forwards a request.

use super::Proxy;
use super::branch::fingerprint_of;
use super::request::Incoming;
use crate::limits;
use crate::sip::{Defect, Message, Span, Status, Via, fields, header_is, values};

/// Why a request is not forwarded, as an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// RFC 3261 §16.3 item 3.
    TooManyHops,
    /// RFC 3261 §16.3 item 5: the answer lists the options.
    BadExtension,
    /// RFC 5393 §5.3.3.
    MaxBreadth,
    /// RFC 5393 §4.2.
    Loop,
    /// More Vias than [`limits::VIAS_MAX`], or one that cannot be read.
    Vias(Defect),
}

impl Refusal {
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::TooManyHops => Status::TOO_MANY_HOPS,
            Self::BadExtension => Status::BAD_EXTENSION,
            Self::MaxBreadth => Status::MAX_BREADTH_EXCEEDED,
            Self::Loop => Status::LOOP_DETECTED,
            Self::Vias(Defect::Vias) => Status::TOO_MANY_HOPS,
            Self::Vias(_) => Status::BAD_REQUEST,
        }
    }
}

impl Proxy {
    /// RFC 3261 §16.3 items 3 to 5 with RFC 5393, for a request whose syntax is in order.
    pub(super) fn check(&self, incoming: &Incoming<'_>) -> Result<(), Refusal> {
        let head = &incoming.message.head;
        // RFC 3261 §16.3 item 3: Max-Forwards 0 is not forwarded.
        if head.max_forwards.is_set() && head.max_forwards_value == 0 {
            return Err(Refusal::TooManyHops);
        }
        // RFC 3261 §16.3 item 5: we support no option; Require alone never stops a proxy.
        if head.proxy_require.is_set() {
            return Err(Refusal::BadExtension);
        }
        // RFC 5393 §5.3.3: one branch at a time needs a breadth of one.
        if head.max_breadth.is_set() && head.max_breadth_value == 0 {
            return Err(Refusal::MaxBreadth);
        }
        self.check_loop(incoming)
    }

    /// RFC 5393 §4.2: a Via of ours whose loop detection part is what we would write now. Not found in one of our Vias: a spiral.
    fn check_loop(&self, incoming: &Incoming<'_>) -> Result<(), Refusal> {
        let message = incoming.message;
        let alone = message.head.via_lines == 1 && incoming.via.next.is_none();
        if alone {
            return self.not_ours(incoming, &incoming.via);
        }
        let mut count = 0;
        for field in fields(message).filter(|field| header_is(message.text(field.name), b"via")) {
            for value in values(message.bytes, field.value) {
                count += 1;
                if count > limits::VIAS_MAX {
                    return Err(Refusal::Vias(Defect::Vias));
                }
                let via = Via::parse(message.bytes, value).ok_or(Refusal::Vias(Defect::Via))?;
                self.not_ours(incoming, &via)?;
            }
        }
        Ok(())
    }

    fn not_ours(&self, incoming: &Incoming<'_>, via: &Via) -> Result<(), Refusal> {
        let bytes = incoming.message.bytes;
        let Some(fingerprint) = fingerprint_of(via.branch.of(bytes)) else { return Ok(()) };
        let ours = self.names.is_us(via.host.of(bytes), via.port);
        if ours && fingerprint == self.fingerprint(incoming) { Err(Refusal::Loop) } else { Ok(()) }
    }

    /// RFC 5393 §4.2.1: a hash of what decides where a request goes, taken from the request as received.
    pub(super) fn fingerprint(&self, incoming: &Incoming<'_>) -> u32 {
        let message = incoming.message;
        let head = &message.head;
        let text = |span: Span| message.text(span);
        let hash = self.keys.hash((
            (text(head.uri), text(incoming.from.tag), text(incoming.to.tag)),
            (text(head.call_id.value), head.cseq_number),
            (text(head.route.value), text(head.proxy_require.value)),
        ));
        hash as u32
    }
}

/// The `Unsupported` line of a 420: exactly the options that Proxy-Require asks for (RFC 3261 §16.3 item 5).
pub(crate) fn unsupported(message: &Message<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Unsupported: ");
    let start = out.len();
    for field in fields(message).filter(|field| header_is(message.text(field.name), b"proxy-require")) {
        for value in values(message.bytes, field.value).filter(|value| !value.is_empty()) {
            if out.len() > start {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(message.text(value));
        }
    }
    out.extend_from_slice(b"\r\n");
}
