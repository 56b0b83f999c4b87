//! What a proxy must not change, and what it must: looked at on both sides.

use crate::number::{DIGITS, Lengths, Number};
use crate::scan::{Method, Scan, branch_of, tag_of};
use crate::text::{Call, OFFER, Source};
use std::collections::BTreeMap;

/// Max-Forwards of our requests (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u32 = 70;
/// Messages that are kept as samples, one of each sort.
const SAMPLES_MAX: usize = 5;

/// What was wrong, how often, and the first message of each sort.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    pub(crate) by: BTreeMap<&'static str, u64>,
    pub(crate) samples: Vec<String>,
}

impl Violations {
    /// Counts one, with the message that shows it.
    pub(crate) fn note(&mut self, what: &'static str, bytes: &[u8]) {
        let count = self.by.entry(what).or_default();
        *count += 1;
        if *count == 1 && self.samples.len() < SAMPLES_MAX {
            self.samples.push(format!("{what}:\n{}", String::from_utf8_lossy(bytes)));
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.by.values().sum()
    }
}

/// How far it is to the other side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Proxies on the way: 1, or 0 when what is between reads nothing.
    pub(crate) hops: usize,
    /// Whether they must stay on the path of the call.
    pub(crate) record_routed: bool,
}

/// Digits of a callee's place.
const CALLEE_DIGITS: usize = 4;

/// A callee's tag: the call's number and which callee.
pub(crate) fn tag(number: Number, callee: u16) -> [u8; DIGITS + CALLEE_DIGITS] {
    let mut tag = [0; DIGITS + CALLEE_DIGITS];
    tag[..DIGITS].copy_from_slice(&number.digits());
    tag[DIGITS..].copy_from_slice(&Number { slot: 0, generation: callee.into() }.digits()[DIGITS - CALLEE_DIGITS..]);
    tag
}

/// Reads [`tag`].
pub(crate) fn callee_of(tag: &[u8], number: Number) -> Option<u16> {
    let rest = tag.strip_prefix(&number.digits())?;
    let mut digits = [b'0'; DIGITS];
    *digits.last_chunk_mut()? = *<&[u8; CALLEE_DIGITS]>::try_from(rest).ok()?;
    Some(Number::read(&digits)?.generation as u16)
}

/// A response as the caller sees it: `branch` is that of the request, `to` what To was if the callee has said so before.
pub(crate) fn response(
    scan: &Scan<'_>,
    source: &Source,
    call: Call,
    branch: [u8; 2],
    path: Path,
) -> Option<&'static str> {
    let vias = scan.vias.as_slice();
    if vias.len() != 1 {
        return Some("the response has another number of Vias than ours");
    }
    if !source.is_our_via(vias[0], call.number, branch) {
        return Some("the response's Via is not ours");
    }
    if !source.is_our_from(scan.from, call.number) {
        return Some("From of the response is not ours");
    }
    if !scan.to.starts_with(source.to()) {
        return Some("To of the response is not ours");
    }
    let of_callee = callee_of(tag_of(scan.to), call.number).is_some();
    // RFC 3261 §12.2: an INVITE inside the dialog does not change the route set.
    let of_dialog = scan.method == Method::Invite && scan.cseq == 1 && of_callee && matches!(scan.status, 101..300);
    if of_dialog && path.record_routed && scan.record_routes.count() == 0 {
        return Some("the response has no Record-Route");
    }
    if scan.method == Method::Invite && scan.status == 200 && (!source.is_answer(scan.body, call.number) || !scan.whole)
    {
        return Some("the answer's body was changed");
    }
    if !scan.whole {
        return Some("the response is shorter than it says");
    }
    None
}

/// A request as the callee sees it. `target` is the callee's Contact, for requests inside a dialog.
pub(crate) fn request(
    scan: &Scan<'_>,
    number: Number,
    lengths: Lengths,
    target: Option<&[u8]>,
    path: Path,
) -> Option<&'static str> {
    let vias = scan.vias.as_slice();
    if vias.len() != path.hops + 1 {
        return Some("the request has another number of Vias than hops");
    }
    if !vias.last().is_some_and(|line| has_branch_of(line, number)) {
        return Some("the request's last Via is not the caller's");
    }
    if tag_of(scan.from) != number.digits() {
        return Some("From of the request was changed");
    }
    if scan.max_forwards as usize + path.hops != MAX_FORWARDS as usize {
        return Some("Max-Forwards is not lower by one per hop");
    }
    if scan.routes != 0 && path.hops > 0 {
        return Some("the request still has a Route");
    }
    if scan.routes != 1 && path.hops == 0 && target.is_some() {
        return Some("the request has not the Route of its dialog");
    }
    if target.is_some_and(|target| target != scan.uri) {
        return Some("the Request-URI is not the callee's Contact");
    }
    if scan.method == Method::Invite {
        if !lengths.is_body(scan.body, OFFER) || !scan.whole {
            return Some("the offer's body was changed");
        }
        if target.is_none() && path.record_routed && scan.record_routes.count() == 0 {
            return Some("the request has no Record-Route");
        }
    }
    None
}

fn has_branch_of(line: &[u8], number: Number) -> bool {
    branch_of(line).is_some_and(|branch| branch.starts_with(&number.digits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Address, Outbox};
    use crate::mix::Kind;
    use crate::number::Run;
    use crate::scan::scan;
    use crate::text::ANSWER;

    const CALL: Call = Call { number: Number { slot: 5, generation: 9 }, kind: Kind::Ok };
    const ONE: Path = Path { hops: 1, record_routed: true };

    fn source() -> Source {
        let address = |text: &str| Address::from(text.parse::<std::net::SocketAddrV4>().unwrap());
        Source::new(address("127.0.0.2:4000"), address("127.0.0.1:5060"), Run::new(1, false))
    }

    /// The INVITE as a proxy forwards it, with one change.
    fn forwarded(from: &str, to: &str) -> String {
        let mut out = Outbox::new();
        source().invite(CALL, &mut out);
        out.end(0, Address::default());
        let sent = String::from_utf8(out.message(0).to_vec()).unwrap();
        let proxied = sent
            .replacen(
                "Via:",
                "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\nRecord-Route: <sip:127.0.0.1;lr>\r\nVia:",
                1,
            )
            .replacen("Max-Forwards: 70", "Max-Forwards: 69", 1);
        assert!(proxied.contains(from));
        proxied.replacen(from, to, 1)
    }

    fn answered(from: &str, to: &str) -> String {
        let number = core::str::from_utf8(&CALL.number.digits()).unwrap().to_owned();
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.2:4000;branch=z9hG4bK{number}i1;rport=4000\r\n\
            Record-Route: <sip:127.0.0.1;lr>\r\nFrom: \"siplane-load\" <sip:caller@127.0.0.2:4000>;tag={number}\r\n\
            To: <sip:service@127.0.0.1:5060>;tag={number}0003\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: {}\r\n\r\n{}",
            ANSWER.len(),
            core::str::from_utf8(ANSWER).unwrap()
        );
        assert!(text.contains(from));
        text.replacen(from, to, 1)
    }

    #[test]
    fn every_wrong_change_of_a_request_is_seen() {
        let seen = |text: &str| request(&scan(text.as_bytes()).unwrap(), CALL.number, Lengths::default(), None, ONE);
        assert_eq!(seen(&forwarded("", "")), None);
        assert_eq!(seen(&forwarded("4000;branch", "4000;received=127.0.0.2;branch")), None);
        for (from, to, what) in [
            ("Record-Route: <sip:127.0.0.1;lr>\r\n", "", "Record-Route"),
            ("Max-Forwards: 69", "Max-Forwards: 70", "Max-Forwards"),
            ("Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\n", "", "number of Vias"),
            ("branch=z9hG4bK0", "branch=z9hG4bK1", "last Via"),
            (";tag=0", ";tag=1", "From"),
            ("PCMU", "PCMA", "body"),
            ("CSeq: 1 INVITE", "Route: <sip:127.0.0.1;lr>\r\nCSeq: 1 INVITE", "Route"),
        ] {
            assert!(seen(&forwarded(from, to)).is_some_and(|seen| seen.contains(what)), "{from:?} → {to:?}");
        }
        let text = forwarded("", "");
        let message = scan(text.as_bytes()).unwrap();
        assert!(
            request(&message, CALL.number, Lengths::default(), Some(b"sip:other"), ONE)
                .is_some_and(|seen| seen.contains("Contact"))
        );
    }

    #[test]
    fn every_wrong_change_of_a_response_is_seen() {
        let seen = |text: &str| response(&scan(text.as_bytes()).unwrap(), &source(), CALL, *b"i1", ONE);
        assert_eq!(seen(&answered("", "")), None);
        // RFC 3261 §18.2.1 and RFC 3581 §4 say what is added, and nobody says where.
        assert_eq!(seen(&answered("4000;branch", "4000;received=127.0.0.2;rport=4000;branch")), None);
        for (from, to, what) in [
            ("Via:", "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\nVia:", "number of Vias"),
            ("4000;branch", "4001;branch", "Via is not ours"),
            ("i1;", "i2;", "Via is not ours"),
            ("\"siplane-load\" ", "", "From"),
            ("To: <sip:service", "To: <sip:servant", "To of"),
            ("Record-Route", "X-Record-Route", "Record-Route"),
            ("PCMA", "PCMU", "body"),
        ] {
            assert!(seen(&answered(from, to)).is_some_and(|seen| seen.contains(what)), "{from:?} → {to:?}");
        }
    }

    #[test]
    fn the_tag_names_the_callee() {
        assert_eq!(callee_of(b"000000050000000900ff", CALL.number), Some(255));
        assert_eq!(callee_of(&tag(CALL.number, 0xabc), CALL.number), Some(0xabc));
        for wrong in
            [&b"0000000500000009"[..], b"000000050000000900ff0", b"000000050000000a00ff", b"00000005000000090xff"]
        {
            assert_eq!(callee_of(wrong, CALL.number), None);
        }
    }

    #[test]
    fn violations_are_counted_and_the_first_of_each_sort_is_kept() {
        let mut one = Violations::default();
        (0..9).for_each(|_| one.note("a", b"x"));
        one.note("b", b"y");
        assert_eq!((one.count(), one.samples.len(), one.by["a"], one.by["b"]), (10, 2, 9, 1));
    }
}
