//! What our messages look like: prepared text in which only the call's number changes, 16 hexadecimal digits of one width.

use crate::io::{Address, Outbox};
use crate::mix::Kind;
use crate::scan::branch_of;

/// Digits of a call's number.
pub(crate) const DIGITS: usize = 16;
/// Digits of a run's id.
const RUN_DIGITS: usize = 8;
/// What ends our Call-IDs.
const CALL_ID_END: &[u8] = b"@siplane-load";

/// The caller's session description.
pub(crate) const OFFER: &[u8] = b"v=0\r\no=caller 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
/// The callee's session description.
pub(crate) const ANSWER: &[u8] = b"v=0\r\no=callee 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 50000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n";

/// A call: its place in the tables, and which of the calls at that place it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Number {
    /// As it stands in messages. The generation changes fastest and comes last of the 16.
    pub(crate) fn digits(self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        let mut value = u64::from(self.slot) << 32 | u64::from(self.generation);
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789abcdef"[(value & 15) as usize];
            value >>= 4;
        }
        digits
    }

    /// Reads [`Number::digits`].
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let mut value = 0;
        for digit in digits.get(..DIGITS)? {
            let part = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u64::from(part);
        }
        Some(Self { slot: (value >> 32) as u32, generation: value as u32 })
    }
}

/// What tells this run's calls from those of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run([u8; RUN_DIGITS]);

impl Run {
    pub(crate) fn new(id: u32) -> Self {
        let mut digits = [0; RUN_DIGITS];
        digits.copy_from_slice(&Number { slot: id, generation: 0 }.digits()[..RUN_DIGITS]);
        Self(digits)
    }

    /// The call that a Call-ID of ours names, and its kind.
    pub(crate) fn read(self, call_id: &[u8]) -> Option<(Number, Kind)> {
        let (&letter, rest) = call_id.get(DIGITS..)?.split_first()?;
        let ours = rest.strip_prefix(b"-")?.strip_prefix(&self.0)? == CALL_ID_END;
        ours.then_some((Number::read(call_id)?, Kind::of_letter(letter)?))
    }
}

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

/// The text of one source's requests.
#[derive(Debug)]
pub(crate) struct Source {
    run: Run,
    /// A whole INVITE, and where the number stands in it, and the kind's letter.
    invite: Vec<u8>,
    numbers: Vec<usize>,
    letter: usize,
    uri: Vec<u8>,
    to: Vec<u8>,
    /// `Via: SIP/2.0/UDP ADDRESS`.
    sent_by: Vec<u8>,
    /// The same with `;branch=z9hG4bK`, before the number.
    via: Vec<u8>,
    /// `Max-Forwards … From: … tag=`, before the number.
    from: Vec<u8>,
    /// The value of From up to the number.
    from_value: Vec<u8>,
    contact: Vec<u8>,
}

/// Stands for the number while a template is made.
const PLACE: &str = "################";

impl Source {
    /// Requests of `source` to `proxy`.
    pub(crate) fn new(source: Address, proxy: Address, run: Run) -> Self {
        let from_value = format!("\"siplane-load\" <sip:caller@{source}>;tag=");
        let uri = format!("sip:service@{proxy}");
        let sent_by = format!("Via: SIP/2.0/UDP {source}");
        let via = format!("{sent_by};branch=z9hG4bK");
        let id = core::str::from_utf8(&run.0).unwrap_or_default();
        let end = core::str::from_utf8(CALL_ID_END).unwrap_or_default();
        let contact = format!("Contact: <sip:caller@{source}>\r\n");
        let head = format!(
            "INVITE {uri} SIP/2.0\r\n{via}{PLACE}i1;rport\r\nMax-Forwards: 70\r\nFrom: {from_value}{PLACE}\r\nTo: <{uri}>\r\n\
            Call-ID: {PLACE}?-{id}{end}\r\nCSeq: 1 INVITE\r\n{contact}Allow: INVITE, ACK, CANCEL, BYE\r\n\
            User-Agent: siplane-load\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
            OFFER.len()
        );
        let numbers: Vec<_> = head.match_indices(PLACE).map(|(at, _)| at).collect();
        let letter = numbers.last().map_or(0, |last| last + DIGITS);
        Self {
            run,
            invite: [head.as_bytes(), OFFER].concat(),
            numbers,
            letter,
            to: format!("<{uri}>").into_bytes(),
            uri: uri.into_bytes(),
            sent_by: sent_by.into_bytes(),
            via: via.into_bytes(),
            from: format!("Max-Forwards: 70\r\nFrom: {from_value}").into_bytes(),
            from_value: from_value.into_bytes(),
            contact: contact.into_bytes(),
        }
    }

    /// The value of To before anybody put a tag there.
    pub(crate) fn to(&self) -> &[u8] {
        &self.to
    }

    /// The INVITE that begins a call.
    pub(crate) fn invite(&mut self, call: Call, out: &mut Outbox) {
        let digits = call.number.digits();
        for at in &self.numbers {
            self.invite[*at..*at + DIGITS].copy_from_slice(&digits);
        }
        self.invite[self.letter] = call.kind.letter();
        out.put(&self.invite);
    }

    /// A request inside a dialog: BYE, or the ACK of a 2xx (RFC 3261 §12.2.1.1, §13.2.2.4).
    pub(crate) fn inside(&self, call: Call, method: &[u8], cseq: u8, dialog: Dialog<'_>, out: &mut Outbox) {
        // The ACK of a 2xx and a BYE are transactions of their own: the method's letter makes their branches differ.
        self.head(call, method, dialog.target, [method[0] | 0x20, b'0' + cseq], out);
        out.put(dialog.routes);
        self.middle(call, dialog.to, cseq, method, out);
        out.put(b"Content-Length: 0\r\n\r\n");
    }

    /// An INVITE inside a dialog (RFC 3261 §14.1).
    pub(crate) fn reinvite(&self, call: Call, cseq: u8, dialog: Dialog<'_>, out: &mut Outbox) {
        self.head(call, b"INVITE", dialog.target, [b'i', b'0' + cseq], out);
        out.put(dialog.routes);
        self.middle(call, dialog.to, cseq, b"INVITE", out);
        out.put(&self.contact);
        out.put(b"Content-Type: application/sdp\r\nContent-Length: ");
        out.put_number(OFFER.len());
        out.put(b"\r\n\r\n");
        out.put(OFFER);
    }

    /// A request that belongs to the first INVITE and has its branch: CANCEL (RFC 3261 §9.1), or the ACK of a refusal (§17.1.1.3).
    pub(crate) fn beside(&self, call: Call, method: &[u8], to: &[u8], out: &mut Outbox) {
        self.head(call, method, &self.uri, *b"i1", out);
        self.middle(call, to, 1, method, out);
        out.put(b"Content-Length: 0\r\n\r\n");
    }

    fn head(&self, call: Call, method: &[u8], uri: &[u8], branch: [u8; 2], out: &mut Outbox) {
        out.put(method);
        out.put(b" ");
        out.put(uri);
        out.put(b" SIP/2.0\r\n");
        out.put(&self.via);
        out.put(&call.number.digits());
        out.put(&branch);
        out.put(b";rport\r\n");
    }

    fn middle(&self, call: Call, to: &[u8], cseq: u8, method: &[u8], out: &mut Outbox) {
        let digits = call.number.digits();
        out.put(&self.from);
        out.put(&digits);
        out.put(b"\r\nTo: ");
        out.put(to);
        out.put(b"\r\nCall-ID: ");
        out.put(&digits);
        out.put(&[call.kind.letter(), b'-']);
        out.put(&self.run.0);
        out.put(CALL_ID_END);
        out.put(b"\r\nCSeq: ");
        out.put(&[b'0' + cseq, b' ']);
        out.put(method);
        out.put(b"\r\n");
    }

    /// Whether a Via line is ours; a proxy may put `received` and `rport` between our parameters (RFC 3261 §18.2.1, RFC 3581 §4).
    pub(crate) fn is_our_via(&self, line: &[u8], number: Number, branch: [u8; 2]) -> bool {
        let ours = line.strip_prefix(&self.sent_by[..]).is_some_and(|rest| rest.starts_with(b";"));
        let rest = branch_of(line).filter(|_| ours).and_then(|rest| rest.strip_prefix(&number.digits()));
        rest.is_some_and(|rest| rest.starts_with(&branch) && matches!(rest.get(2), Some(b';' | b'\r' | b'\n')))
    }

    /// Whether a From value is ours, byte for byte.
    pub(crate) fn is_our_from(&self, value: &[u8], number: Number) -> bool {
        value.strip_prefix(&self.from_value[..]).is_some_and(|tag| tag == number.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Method, scan, tag_of};

    fn source() -> Source {
        let address = |text: &str| Address::from(text.parse::<std::net::SocketAddrV4>().unwrap());
        Source::new(address("127.0.0.2:4000"), address("127.0.0.1:5060"), Run::new(0xabc))
    }

    fn written(write: impl FnOnce(&mut Source, &mut Outbox)) -> Vec<u8> {
        let mut out = Outbox::new();
        out.begin();
        write(&mut source(), &mut out);
        out.end(0, Address::default());
        out.message(0).to_vec()
    }

    const CALL: Call = Call { number: Number { slot: 0x1234, generation: 0xdead_beef }, kind: Kind::Busy };

    #[test]
    fn an_invite_names_its_call_three_times_and_is_read_again() {
        let bytes = written(|source, out| source.invite(CALL, out));
        let scan = scan(&bytes).unwrap();
        assert_eq!(Run::new(0xabc).read(scan.call_id), Some((CALL.number, CALL.kind)));
        assert_eq!(Run::new(0xabd).read(scan.call_id), None);
        assert_eq!((scan.body, scan.whole, scan.max_forwards, scan.cseq), (OFFER, true, 70, 1));
        assert_eq!(tag_of(scan.from), b"00001234deadbeef");
        assert!(source().is_our_via(scan.vias.as_slice()[0], CALL.number, *b"i1"));
        assert!(!source().is_our_via(scan.vias.as_slice()[0], CALL.number, *b"i2"));
        assert!(source().is_our_from(scan.from, CALL.number));
        assert!(!source().is_our_from(scan.from, Number { slot: 1, generation: 1 }));
        assert!(!bytes.contains(&b'#') && !bytes.contains(&b'?'));
    }

    #[test]
    fn requests_of_a_dialog_follow_its_route_to_its_target() {
        let dialog = Dialog { target: b"sip:x@127.0.0.9:1", routes: b"Route: <sip:a;lr>\r\n", to: b"<sip:s>;tag=7" };
        for (method, cseq, kind) in [(&b"BYE"[..], 3, Method::Bye), (b"ACK", 1, Method::Ack)] {
            let bytes = written(|source, out| source.inside(CALL, method, cseq, dialog, out));
            let scan = scan(&bytes).unwrap();
            assert_eq!((scan.method, scan.uri, scan.routes, scan.to), (kind, dialog.target, 1, dialog.to));
            assert_eq!(scan.cseq, u32::from(cseq));
        }
        let bytes = written(|source, out| source.reinvite(CALL, 2, dialog, out));
        let scan = scan(&bytes).unwrap();
        assert_eq!((scan.method, scan.body, scan.routes), (Method::Invite, OFFER, 1));
    }

    // RFC 3261 §9.1, §17.1.1.3
    #[test]
    fn cancel_and_the_ack_of_a_refusal_have_the_invites_uri_and_branch() {
        let invite = written(|source, out| source.invite(CALL, out));
        let cancel = written(|source, out| source.beside(CALL, b"CANCEL", b"<sip:service@127.0.0.1:5060>", out));
        let (invite, cancel) = (scan(&invite).unwrap(), scan(&cancel).unwrap());
        assert_eq!((cancel.uri, cancel.to, cancel.method), (invite.uri, invite.to, Method::Cancel));
        assert_eq!(cancel.vias.as_slice(), invite.vias.as_slice());
        assert_eq!((cancel.from, cancel.call_id, cancel.cseq), (invite.from, invite.call_id, invite.cseq));
    }

    #[test]
    fn numbers_survive_their_digits() {
        for number in [Number { slot: 0, generation: 0 }, Number { slot: u32::MAX, generation: 7 }, CALL.number] {
            assert_eq!(Number::read(&number.digits()), Some(number));
        }
        assert_eq!(Number::read(b"00001234DEADBEEF"), None);
        assert_eq!(Number::read(b"0000"), None);
    }
}
