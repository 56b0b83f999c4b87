//! What our messages look like: prepared text, in which the call's number is filled in, 16 hexadecimal digits of one width, and into
//! which goes what differs in length.

use crate::io::{Address, Outbox};
use crate::mix::Kind;
use crate::number::{CALL_ID_END, DIGITS, Number, Run};
use crate::scan::branch_of;

/// The caller's session description.
pub(crate) const OFFER: &[u8] = b"v=0\r\no=caller 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
/// The callee's session description.
pub(crate) const ANSWER: &[u8] = b"v=0\r\no=callee 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 50000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

/// One request in the making.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) number: Number,
    pub(crate) kind: Kind,
}

/// What is in a request inside a dialog, and in no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialog<'a> {
    /// The Request-URI.
    pub(crate) target: &'a [u8],
    /// Whole Route lines, or nothing.
    pub(crate) routes: &'a [u8],
    /// The value of To.
    pub(crate) to: &'a [u8],
}

/// Prepared text with places for the number.
#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
}

/// Stands for the number while text is prepared.
const PLACE: &str = "################";

impl Text {
    fn new(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), numbers: text.match_indices(PLACE).map(|(at, _)| at).collect() }
    }

    /// Adds the text to the message, with what stands behind the last number; what that is, only its length is fixed.
    fn write<const N: usize>(&self, digits: &[u8; DIGITS], behind: [u8; N], out: &mut Outbox) {
        let text = out.put(&self.bytes);
        for at in &self.numbers {
            text[*at..*at + DIGITS].copy_from_slice(digits);
        }
        if let Some(last) = self.numbers.last() {
            text[last + DIGITS..last + DIGITS + N].copy_from_slice(&behind);
        }
    }
}

/// The text of one source's requests.
#[derive(Debug)]
pub(crate) struct Source {
    run: Run,
    uri: Vec<u8>,
    to: Vec<u8>,
    /// `Via: SIP/2.0/UDP ADDRESS`.
    sent_by: Vec<u8>,
    /// From the Request-URI's end to the Via's, with two letters of the branch behind the number.
    via: Text,
    /// The value of From up to the user part's end, and from there to the tag.
    from_user: Vec<u8>,
    from_host: Vec<u8>,
    /// From Max-Forwards to the user part's end in From; from there to To; from To's end to the Call-ID's, with the kind's letter
    /// behind the number.
    before_user: Vec<u8>,
    before_to: Text,
    call_id: Text,
    /// Of an INVITE, from the number in CSeq to the length of the body.
    invite_end: Vec<u8>,
}

impl Source {
    /// Requests of `source` to `proxy`.
    pub(crate) fn new(source: Address, proxy: Address, run: Run) -> Self {
        let (from_user, from_host) = ("\"siplane-load\" <sip:caller", format!("@{source}>;tag="));
        let uri = format!("sip:service@{proxy}");
        let sent_by = format!("Via: SIP/2.0/UDP {source}");
        let invite_end = format!(
            " INVITE\r\nContact: <sip:caller@{source}>\r\nAllow: INVITE, ACK, CANCEL, BYE\r\nUser-Agent: siplane-load\r\n\
            Content-Type: application/sdp\r\nContent-Length: "
        );
        Self {
            via: Text::new(&format!(" SIP/2.0\r\n{sent_by};branch=z9hG4bK{PLACE}??;rport\r\n")),
            before_user: format!("Max-Forwards: 70\r\nFrom: {from_user}").into_bytes(),
            before_to: Text::new(&format!("{from_host}{PLACE}\r\nTo: ")),
            call_id: Text::new(&format!("\r\nCall-ID: {PLACE}?-{}", run.id())),
            run,
            to: format!("<{uri}>").into_bytes(),
            uri: uri.into_bytes(),
            sent_by: sent_by.into_bytes(),
            from_user: from_user.into(),
            from_host: from_host.into_bytes(),
            invite_end: invite_end.into_bytes(),
        }
    }

    /// The value of To before anybody put a tag there.
    pub(crate) fn to(&self) -> &[u8] {
        &self.to
    }

    /// The INVITE that begins a call.
    pub(crate) fn invite(&self, call: Call, out: &mut Outbox) {
        self.offer(call, 1, Dialog { target: &self.uri, routes: &[], to: &self.to }, out);
    }

    /// A request inside a dialog: BYE, or the ACK of a 2xx (RFC 3261 §12.2.1.1, §13.2.2.4).
    pub(crate) fn inside(&self, call: Call, method: &[u8], cseq: u8, dialog: Dialog<'_>, out: &mut Outbox) {
        // The ACK of a 2xx and a BYE are transactions of their own: the method's letter makes their branches differ.
        self.head(call, method, [method[0] | 0x20, b'0' + cseq], cseq, dialog, out);
        out.put(b" ");
        out.put(method);
        out.put(b"\r\nContent-Length: 0\r\n\r\n");
    }

    /// An INVITE inside a dialog (RFC 3261 §14.1), or before there is one.
    pub(crate) fn offer(&self, call: Call, cseq: u8, dialog: Dialog<'_>, out: &mut Outbox) {
        self.head(call, b"INVITE", [b'i', b'0' + cseq], cseq, dialog, out);
        out.put(&self.invite_end);
        out.put_body(OFFER, self.run.lengths(call.number));
    }

    /// A request that belongs to the first INVITE and has its branch: CANCEL (RFC 3261 §9.1), or the ACK of a refusal (§17.1.1.3).
    pub(crate) fn beside(&self, call: Call, method: &[u8], to: &[u8], out: &mut Outbox) {
        self.head(call, method, *b"i1", 1, Dialog { target: &self.uri, routes: &[], to }, out);
        out.put(b" ");
        out.put(method);
        out.put(b"\r\nContent-Length: 0\r\n\r\n");
    }

    /// From the start line to the number in CSeq.
    fn head(&self, call: Call, method: &[u8], branch: [u8; 2], cseq: u8, dialog: Dialog<'_>, out: &mut Outbox) {
        let (digits, lengths) = (call.number.digits(), self.run.lengths(call.number));
        out.put(method);
        out.put(b" ");
        out.put(dialog.target);
        self.via.write(&digits, branch, out);
        out.put(dialog.routes);
        out.put(&self.before_user);
        out.put(lengths.user());
        self.before_to.write(&digits, [], out);
        out.put(dialog.to);
        self.call_id.write(&digits, [call.kind.letter()], out);
        out.put(lengths.call_id());
        out.put(CALL_ID_END);
        out.put(&[b'\r', b'\n', b'C', b'S', b'e', b'q', b':', b' ', b'0' + cseq]);
    }

    /// Whether a Via line is ours; a proxy may put `received` and `rport` between our parameters (RFC 3261 §18.2.1, RFC 3581 §4).
    pub(crate) fn is_our_via(&self, line: &[u8], number: Number, branch: [u8; 2]) -> bool {
        let ours = line.strip_prefix(&self.sent_by[..]).is_some_and(|rest| rest.starts_with(b";"));
        let rest = branch_of(line).filter(|_| ours).and_then(|rest| rest.strip_prefix(&number.digits()));
        rest.is_some_and(|rest| rest.starts_with(&branch) && matches!(rest.get(2), Some(b';' | b'\r' | b'\n')))
    }

    /// Whether a From value is ours, byte for byte.
    pub(crate) fn is_our_from(&self, value: &[u8], number: Number) -> bool {
        let parts = [&self.from_user, self.run.lengths(number).user(), &self.from_host];
        let tag = parts.iter().try_fold(value, |rest, part| rest.strip_prefix(*part));
        tag.is_some_and(|tag| tag == number.digits())
    }

    /// Whether a body is the answer to this call's offer, byte for byte.
    pub(crate) fn is_answer(&self, body: &[u8], number: Number) -> bool {
        self.run.lengths(number).is_body(body, ANSWER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Method, scan, tag_of};

    fn source(vary: bool) -> Source {
        let address = |text: &str| Address::from(text.parse::<std::net::SocketAddrV4>().unwrap());
        Source::new(address("127.0.0.2:4000"), address("127.0.0.1:5060"), Run::new(0xabc, vary))
    }

    fn written(vary: bool, write: impl FnOnce(&Source, &mut Outbox)) -> Vec<u8> {
        let mut out = Outbox::new();
        out.begin();
        write(&source(vary), &mut out);
        out.end(0, Address::default());
        out.message(0).to_vec()
    }

    const CALL: Call = Call { number: Number { slot: 0x1234, generation: 0xdead_beef }, kind: Kind::Busy };

    #[test]
    fn an_invite_names_its_call_three_times_and_is_read_again() {
        for vary in [false, true] {
            let (bytes, source) = (written(vary, |source, out| source.invite(CALL, out)), source(vary));
            let scan = scan(&bytes).unwrap();
            assert_eq!(Run::new(0xabc, vary).read(scan.call_id), Some((CALL.number, CALL.kind)));
            assert_eq!(Run::new(0xabd, vary).read(scan.call_id), None);
            assert_eq!((scan.whole, scan.max_forwards, scan.cseq, scan.method), (true, 70, 1, Method::Invite));
            assert!(Run::new(0xabc, vary).lengths(CALL.number).is_body(scan.body, OFFER));
            assert_eq!((scan.body == OFFER, tag_of(scan.from)), (!vary, &b"00001234deadbeef"[..]));
            assert!(source.is_our_via(scan.vias.as_slice()[0], CALL.number, *b"i1"));
            assert!(!source.is_our_via(scan.vias.as_slice()[0], CALL.number, *b"i2"));
            assert!(source.is_our_from(scan.from, CALL.number));
            assert!(!source.is_our_from(scan.from, Number { slot: 1, generation: 1 }));
            assert!(!bytes.contains(&b'#') && !bytes.contains(&b'?'));
        }
    }

    #[test]
    fn sizes_differ_from_call_to_call_only_where_they_are_to() {
        let sizes = |vary| {
            let of = |slot| Call { number: Number { slot, generation: 1 }, kind: Kind::Ok };
            let size = |slot| written(vary, |source, out| source.invite(of(slot), out)).len();
            (0..100).map(size).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(sizes(false), 1);
        assert!(sizes(true) > 40);
    }

    #[test]
    fn requests_of_a_dialog_follow_its_route_to_its_target() {
        let dialog = Dialog { target: b"sip:x@127.0.0.9:1", routes: b"Route: <sip:a;lr>\r\n", to: b"<sip:s>;tag=7" };
        for (method, cseq, kind) in [(&b"BYE"[..], 3, Method::Bye), (b"ACK", 1, Method::Ack)] {
            let bytes = written(false, |source, out| source.inside(CALL, method, cseq, dialog, out));
            let scan = scan(&bytes).unwrap();
            assert_eq!((scan.method, scan.uri, scan.routes, scan.to), (kind, dialog.target, 1, dialog.to));
            assert_eq!(scan.cseq, u32::from(cseq));
        }
        let bytes = written(false, |source, out| source.offer(CALL, 2, dialog, out));
        let scan = scan(&bytes).unwrap();
        assert_eq!((scan.method, scan.body, scan.routes), (Method::Invite, OFFER, 1));
    }

    // RFC 3261 §9.1, §17.1.1.3
    #[test]
    fn cancel_and_the_ack_of_a_refusal_have_the_invites_uri_and_branch() {
        let invite = written(false, |source, out| source.invite(CALL, out));
        let cancel = written(false, |source, out| source.beside(CALL, b"CANCEL", b"<sip:service@127.0.0.1:5060>", out));
        let (invite, cancel) = (scan(&invite).unwrap(), scan(&cancel).unwrap());
        assert_eq!((cancel.uri, cancel.to, cancel.method), (invite.uri, invite.to, Method::Cancel));
        assert_eq!(cancel.vias.as_slice(), invite.vias.as_slice());
        assert_eq!((cancel.from, cancel.call_id, cancel.cseq), (invite.from, invite.call_id, invite.cseq));
    }
}
