//! Building blocks of the demo's user agents: requests, responses and dialogs, by RFC 3261.
//!
//! - A dialog's requests go along its route set, which comes from Record-Route and nothing else (§12.1, §12.2.1.1).
//! - A response carries the request's Vias and Record-Routes byte for byte, but for what §18.2.1 and RFC 3581 add.
//! - What one of them wants of the other it says in a header ([`Wish`]), so that they share no state: calls of
//!   strangers, which have no such header, are ordinary calls.
//!
//! Absent: strict routers (§12.2.1.1 without `lr`), names that must be resolved, authentication, offers without SDP.

use crate::sip::{self, Message, NameAddr, Span, Splice, Status, Uri};
use core::fmt::Write;
use core::time::Duration;
use std::net::SocketAddr;

/// Round-trip estimate (RFC 3261 §17.1.1.1).
pub(super) const T1: Duration = Duration::from_millis(500);
/// Longest interval of retransmissions of anything but an INVITE (RFC 3261 §17.1.2.2).
pub(super) const T2: Duration = Duration::from_secs(4);
/// 64*T1: timers B, F and H, and how long a 2xx waits for its ACK (RFC 3261 §13.3.1.4, §17).
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(32);

/// Session description of both sides: nobody here sends media.
pub(super) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\na=inactive\r\n";

/// A request to be written.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    /// Our own address, for Via.
    pub(super) via: SocketAddr,
    pub(super) branch: &'a str,
    pub(super) routes: &'a [String],
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: u32,
    /// More header lines, each with its line end.
    pub(super) headers: &'a str,
    /// SDP, or nothing.
    pub(super) body: &'a str,
}

impl Request<'_> {
    /// The request's bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let Self { method, uri, via, branch, from, to, call_id, cseq, headers, .. } = self;
        let mut text = format!("{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};rport;branch={branch}\r\n");
        for route in self.routes {
            // Invariant: writing to a String does not fail.
            let _ = write!(text, "Route: {route}\r\n");
        }
        // Invariant: writing to a String does not fail.
        let _ = write!(
            text,
            "Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{headers}"
        );
        finish(text.into_bytes(), self.body)
    }
}

/// Appends the lines about the body, and the body.
fn finish(mut head: Vec<u8>, body: &str) -> Vec<u8> {
    if !body.is_empty() {
        head.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    head.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    head
}

/// A response to be written.
pub(super) struct Answer<'a> {
    pub(super) status: Status,
    /// Put into To when the request has no tag there and this is not empty.
    pub(super) tag: &'a str,
    /// More header lines, each with its line end.
    pub(super) headers: &'a str,
    /// SDP, or nothing.
    pub(super) body: &'a str,
}

impl Answer<'_> {
    /// A response without more than it must have.
    pub(super) const fn plain(status: Status) -> Answer<'static> {
        Answer { status, tag: "", headers: "", body: "" }
    }

    /// The response to `request` from `source`, and where it goes; `None` when its Via does not say (RFC 3261 §18.2.2).
    pub(super) fn write(&self, request: &Message<'_>, source: SocketAddr) -> Option<(Vec<u8>, SocketAddr)> {
        let to = sip::reply_address(request, source)?;
        let reason = if self.status == Status::TRYING || !self.status.is_provisional() {
            self.status.reason()
        } else {
            "Ringing"
        };
        let mut head = format!("SIP/2.0 {} {reason}\r\n", self.status.code()).into_bytes();
        let top = request.head.via.line;
        for field in sip::fields(request) {
            let is = |name: &str| sip::header_is(request.text(field.name), name.as_bytes());
            if field.line == top {
                top_via(request, source, &mut head);
            } else if is("to") {
                self.to(request, &mut head);
            } else if ["via", "from", "call-id", "cseq"].into_iter().any(is)
                || is("record-route") && self.status != Status::TRYING
            {
                head.extend_from_slice(request.text(field.line));
            }
        }
        head.extend_from_slice(self.headers.as_bytes());
        Some((finish(head, self.body), to))
    }

    fn to(&self, request: &Message<'_>, head: &mut Vec<u8>) {
        head.extend_from_slice(b"To: ");
        head.extend_from_slice(request.text(request.head.to.value));
        if !self.tag.is_empty() && to_tag(request).is_empty() {
            head.extend_from_slice(format!(";tag={}", self.tag).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
    }
}

/// RFC 3261 §18.2.1: the top Via with where the request really came from.
fn top_via(request: &Message<'_>, source: SocketAddr, head: &mut Vec<u8>) {
    let mut splice = Splice::new();
    if let Ok(via) = request.top_via() {
        sip::Stamp::new(request.bytes, &via, source).apply(&mut splice, &via);
    }
    splice.write_part(request.bytes, request.head.via.line, head);
}

/// One side's view of a dialog (RFC 3261 §12).
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// From of our requests, with our tag.
    pub(super) local: String,
    /// To of our requests, with the other side's tag.
    pub(super) remote: String,
    /// Request-URI of our requests: the other side's Contact.
    pub(super) target: String,
    /// Route values of our requests.
    pub(super) routes: Vec<String>,
    /// The number of our last request.
    pub(super) cseq: u32,
}

impl Dialog {
    /// The caller's, from a 2xx to its INVITE (RFC 3261 §12.1.2); `None` without a usable Contact.
    pub(super) fn of_caller(answer: &Message<'_>) -> Option<Self> {
        let mut routes = values_of(answer, "record-route");
        routes.reverse();
        Some(Self {
            call_id: text(answer, answer.head.call_id.value),
            local: text(answer, answer.head.from.value),
            remote: text(answer, answer.head.to.value),
            target: contact(answer)?,
            routes,
            cseq: answer.head.cseq_number,
        })
    }

    /// The callee's, from an INVITE that it answers with `tag` in To (RFC 3261 §12.1.1); `None` without usable Contact.
    pub(super) fn of_callee(invite: &Message<'_>, tag: &str) -> Option<Self> {
        Some(Self {
            call_id: text(invite, invite.head.call_id.value),
            local: format!("{};tag={tag}", text(invite, invite.head.to.value)),
            remote: text(invite, invite.head.from.value),
            target: contact(invite)?,
            routes: values_of(invite, "record-route"),
            cseq: 0,
        })
    }

    /// Where requests go: to the first route, else to the target (RFC 3261 §12.2.1.1); `None` when that is a name.
    pub(super) fn next_hop(&self) -> Option<SocketAddr> {
        match self.routes.first() {
            Some(route) => uri_address(&uri_of(route)?),
            None => uri_address(&self.target),
        }
    }

    /// Whether the first hop is a loose router at `address`.
    pub(super) fn begins_at(&self, address: SocketAddr) -> bool {
        let loose = |route: &String| {
            let uri = uri_of(route).unwrap_or_default();
            Uri::parse(uri.as_bytes(), Span::new(0, uri.len()))
                .is_some_and(|parsed| parsed.has_param(uri.as_bytes(), b"lr"))
        };
        self.next_hop() == Some(address) && self.routes.first().is_some_and(loose)
    }

    /// A request inside the dialog. An ACK has its INVITE's `cseq`.
    pub(super) fn request(&self, method: &str, cseq: u32, branch: &str, via: SocketAddr) -> Vec<u8> {
        Request {
            method,
            uri: &self.target,
            via,
            branch,
            routes: &self.routes,
            from: &self.local,
            to: &self.remote,
            call_id: &self.call_id,
            cseq,
            headers: "",
            body: "",
        }
        .write()
    }
}

/// What the demo's caller wants of the callee; calls of strangers have no wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    /// How long to ring.
    pub(super) ring: Duration,
    /// How long after the ACK to hang up; `None`: the caller does.
    pub(super) bye_after: Option<Duration>,
}

const WISH: &str = "X-Siplane-Demo";

impl Wish {
    /// The header line that says it.
    pub(super) fn line(&self) -> String {
        let bye = self.bye_after.map(|after| format!(";bye_ms={}", after.as_millis())).unwrap_or_default();
        format!("{WISH}: ring_ms={}{bye}\r\n", self.ring.as_millis())
    }

    /// The wish in `invite`, when there is one.
    pub(super) fn of(invite: &Message<'_>) -> Option<Self> {
        let value = values_of(invite, WISH).pop()?;
        let number = |name: &str| {
            let found = value.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
            found.parse().ok().map(Duration::from_millis)
        };
        Some(Self { ring: number("ring_ms")?, bye_after: number("bye_ms") })
    }
}

/// The tag in To; empty without one.
pub(super) fn to_tag<'a>(message: &Message<'a>) -> &'a [u8] {
    message.to().map_or(&[], |to| message.text(to.tag))
}

/// The tag in From; empty without one.
pub(super) fn from_tag<'a>(message: &Message<'a>) -> &'a [u8] {
    message.from().map_or(&[], |from| message.text(from.tag))
}

/// The bytes at `span` as text; what is not UTF-8 is replaced.
pub(super) fn text(message: &Message<'_>, span: Span) -> String {
    String::from_utf8_lossy(message.text(span)).into_owned()
}

/// All values of the header `name`, in order.
pub(super) fn values_of(message: &Message<'_>, name: &str) -> Vec<String> {
    let of_name = sip::fields(message).filter(|field| sip::header_is(message.text(field.name), name.as_bytes()));
    of_name.flat_map(|field| sip::values(message.bytes, field.value)).map(|value| text(message, value)).collect()
}

/// The URI of the first Contact.
pub(super) fn contact(message: &Message<'_>) -> Option<String> {
    uri_of(values_of(message, "contact").first()?)
}

/// The address in a SIP URI; `None` when its host is a name.
pub(super) fn uri_address(uri: &str) -> Option<SocketAddr> {
    Uri::parse(uri.as_bytes(), Span::new(0, uri.len()))?.address(uri.as_bytes())
}

fn uri_of(name_addr: &str) -> Option<String> {
    let parsed = NameAddr::parse(name_addr.as_bytes(), Span::new(0, name_addr.len()))?;
    name_addr.get(parsed.uri.start as usize..parsed.uri.end as usize).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:bob@127.0.0.12 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.2:5070;rport;branch=z9hG4bKb\r\n\
        Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\r\nRecord-Route: <sip:127.0.0.2:5070;lr>, <sip:127.0.0.3;lr>\r\n\
        Record-Route: <sip:127.0.0.4;lr>\r\nFrom: <sip:al@h>;tag=f\r\nTo: <sip:bob@h>\r\nCall-ID: c\r\n\
        CSeq: 7 INVITE\r\n\
        m: <sip:al@127.0.0.1:5099>\r\nX-Siplane-Demo: ring_ms=150;bye_ms=20\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn an_answer_keeps_vias_and_record_routes_and_adds_the_tag() {
        // RFC 3261 §8.2.6.2, §12.1.1, §18.2.1, §18.2.2
        let answer = Answer { status: Status::OK, tag: "t", headers: "Contact: <sip:x@127.0.0.12>\r\n", body: SDP };
        let (bytes, to) = answer.write(&sip::scan(INVITE.as_bytes()), "127.0.0.2:5071".parse().unwrap()).unwrap();
        assert_eq!(to, "127.0.0.2:5071".parse().unwrap());
        let message = sip::scan(&bytes);
        assert_eq!(message.defect, None);
        assert_eq!(
            values_of(&message, "via")[0],
            "SIP/2.0/UDP 127.0.0.2:5070;rport=5071;branch=z9hG4bKb;received=127.0.0.2"
        );
        assert_eq!(values_of(&message, "via")[1], "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa");
        assert_eq!(values_of(&message, "record-route").len(), 3);
        assert_eq!((to_tag(&message), from_tag(&message)), (&b"t"[..], &b"f"[..]));
        assert_eq!(message.text(message.head.body), SDP.as_bytes());
    }

    #[test]
    fn both_sides_of_a_dialog_walk_the_record_route_from_their_end() {
        // RFC 3261 §12.1.1, §12.1.2, §12.2.1.1
        let invite = sip::scan(INVITE.as_bytes());
        let callee = Dialog::of_callee(&invite, "t").unwrap();
        assert_eq!(callee.routes, ["<sip:127.0.0.2:5070;lr>", "<sip:127.0.0.3;lr>", "<sip:127.0.0.4;lr>"]);
        assert_eq!(callee.next_hop(), Some("127.0.0.2:5070".parse().unwrap()));
        assert_eq!(callee.target, "sip:al@127.0.0.1:5099");
        let answer = Answer { status: Status::OK, tag: "t", headers: "Contact: <sip:x@127.0.0.12>\r\n", body: "" };
        let (bytes, _) = answer.write(&invite, "127.0.0.2:5071".parse().unwrap()).unwrap();
        let caller = Dialog::of_caller(&sip::scan(&bytes)).unwrap();
        assert!(
            caller.begins_at("127.0.0.4:5060".parse().unwrap()) && !caller.begins_at("127.0.0.3:5060".parse().unwrap())
        );
        let bye = caller.request("BYE", 8, "z9hG4bKc", "127.0.0.1:5099".parse().unwrap());
        let bye = sip::scan(&bye);
        assert_eq!(bye.defect, None);
        assert_eq!(text(&bye, bye.head.uri), "sip:x@127.0.0.12");
        assert_eq!(values_of(&bye, "route"), ["<sip:127.0.0.4;lr>", "<sip:127.0.0.3;lr>", "<sip:127.0.0.2:5070;lr>"]);
    }

    #[test]
    fn a_wish_is_read_as_it_was_written_and_strangers_have_none() {
        let wish = Wish { ring: Duration::from_millis(150), bye_after: Some(Duration::from_millis(20)) };
        assert_eq!(Wish::of(&sip::scan(INVITE.as_bytes())), Some(wish));
        assert_eq!(wish.line(), "X-Siplane-Demo: ring_ms=150;bye_ms=20\r\n");
        let stranger = INVITE.replace("X-Siplane-Demo", "X-Other");
        assert_eq!(Wish::of(&sip::scan(stranger.as_bytes())), None);
    }
}
