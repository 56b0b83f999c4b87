//! Messages in many spellings, and broken ones: each field is one of its spellings, each line has an odd gap, each octet may be another.

use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn plain() -> Vec<u8> {
    "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKinv\r\nFrom: <sip:a@h>;tag=f1\r\n\
     To: <sip:b@example.com>;tag=t1\r\nCall-ID: call@h\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
        .into()
}

fn one(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(choices).prop_map(str::to_owned)
}

const FIRST: &[&str] = &[
    "INVITE sip:b@example.com SIP/2.0",
    "BYE sip:b@[2001:db8::1] SIP/2.0",
    "SIP/2.0 200 OK",
    "SIP/2.0 486 Busy Here",
    "SIP/2.0 183",
    "INVITE  sip:b@example.com SIP/2.0",
    "INVITE sip:b@example.com SIP/2.0 ",
    "NEWMETHOD sip:b@h SIP/2.0",
    "INVITE sip:b SIP/2.0",
    "INVITE sip:b@h;x=\"y\" SIP/2.0",
    "SIP/2.0 0200 OK",
    "SIP/2.0  200 OK",
    "ACK sip:b@example.com SIP/2.0",
    "invite sip:b@h SIP/2.0",
];
const VIA: &[&str] = &[
    "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKa",
    "SIP/2.0/UDP h.example;branch=z9hG4bKa;rport",
    "SIP / 2.0 / UDP h ; branch = z9hG4bKa",
    "SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bKa",
    "SIP/2.0/UDP h:5060;branch=z9hG4bKa, SIP/2.0/TCP i;branch=z9hG4bKb",
    "SIP/2.0/UDP h;branch=z9hG4bKa;branch=z9hG4bKb",
    "SIP/2.0/UDP h;BRANCH=z9hG4bKa;branch=z9hG4bKb",
    "SIP/2.0/UDP h : 5060;branch=z9hG4bKa",
    "SIP/2.0/UDP h;x=\"a;branch=z9hG4bKb\";branch=z9hG4bKa",
    "SIP/2.0/UDP h;x=\"a,SIP/2.0/UDP i\";branch=z9hG4bKa",
    "SIP/2.0/UDP h:05060;branch=z9hG4bKa",
    "SIP/2.0/UDP h\r\n ;branch=z9hG4bKa",
    "SIP/2.0/UDP h;branch=",
    "SIP/2.0/UDP h;branch",
    "SIP/2.0/UDP h;branch=z9hG4bKa z9hG4bKb",
    "SIP/2.0/UDP 198.51.100.1:65536;branch=z9hG4bKa",
    "SIP/2.0/UDP 198.51.100.001:5060;branch=z9hG4bKa",
    "SIP/2.0/UDP h;branch=\"z9hG4bKa\"",
];
const ADDRESS: &[&str] = &[
    "<sip:a@h>;tag=one",
    "sip:a@h;tag=one",
    "\"A\" <sip:a@h>;tag=one",
    "\"A\\\"<x>;tag=two\" <sip:a@h>;tag=one",
    "A B <sip:a@h;tag=two>;tag=one",
    "<sip:a@h>",
    "<sip:a@h>;tag=one;tag=two",
    "<sip:a@h>;x=\";tag=two\";tag=one",
    "<sip:a@h>;TAG=one",
    "<sip:a@h> ; tag = one",
    "<sip:a@h>;tag=one,",
    "<sip:a@h>;tag=one, <sip:b@h>;tag=two",
    "<sip:a@h?tag=two>;tag=one",
    "<sip:a@h>\r\n ;tag=one",
    "<sip:a@h>;tag=\"one\"",
    "sip:a@h?x;tag=one",
    "\"<sip:x@y>;tag=two\"<sip:a@h>;tag=one",
    "<sip:a@h>;tag=one two",
    "<sip:a@h>;tag=",
    "<sip:a@[::1]>;tag=one",
    "<tel:+1>;tag=one",
];
const CALL_ID: &[&str] = &[
    "call@h", "call", "a b@h", "<a>@h", "\"a\"@h", "a@h;x", "a@h, b@h", "a\r\n b", "a@h\t", "(a)@[h]", "a%41@h", "",
    "a@h b",
];
const CSEQ: &[&str] = &[
    "1 INVITE",
    "1  INVITE",
    "1\tINVITE",
    "1\r\n INVITE",
    "007 INVITE",
    "2147483647 INVITE",
    "2147483648 INVITE",
    "4294967297 INVITE",
    "1 invite",
    "1 BYE",
    "1 NEWMETHOD",
    "1 ACK",
    "1INVITE",
    "-1 INVITE",
    "+1 INVITE",
    "1 INVITE x",
    "1.0 INVITE",
    "0x1 INVITE",
];
const LENGTH: &[&str] = &[
    "0",
    "00",
    "4",
    "0004",
    "5",
    " 4 ",
    "4 4",
    "4, 4",
    "4,5",
    "+4",
    "-4",
    "4;x",
    "0x4",
    "4\r\n ",
    "18446744073709551620",
    "4294967300",
    "4.0",
    "",
];
/// What may stand between lines and in the gap behind a name.
const GAP: &[&str] = &[": ", ":", " : ", "\t:\t", ":\r\n ", "\r\n : ", "\x0c: ", ": \x0b", " x: ", ":: ", "\0: "];
const MORE: &[&str] = &[
    "",
    "X: y\r\n",
    "X: y\r\n folded: To\r\n",
    "Call-ID: other@h\r\n",
    "i: other@h\r\n",
    "To: <sip:c@h>;tag=three\r\n",
    "f: <sip:c@h>;tag=three\r\n",
    "CSeq: 9 BYE\r\n",
    "l: 9\r\n",
    "Content-Length: 4\r\n",
    "v: SIP/2.0/UDP j;branch=z9hG4bKc\r\n",
    "X: a\rCall-ID: other@h\r\n",
    "X: a\nCall-ID: other@h\r\n",
    "X: \"a\r\n",
    "X: \"\\\0\"\r\n",
    "\r\n",
    " \r\n",
    "no colon\r\n",
    ": no name\r\n",
    "Call-ID\r\n",
    "Call ID: other@h\r\n",
    "\u{e9}: y\r\n",
    "X\0: y\r\n",
    "X: a\r\n\tb: c\r\n\r",
    "Content-Length : 9\r\n",
    "Content-Length:9\r\n\r\n",
    "TO: <sip:c@h>;tag=three\r\n",
    "Via: SIP/2.0/UDP j;branch=z9hG4bKc\r\n",
];

/// A name in one of its spellings, a gap that is nearly always a plain one, a value.
fn line(names: &'static [&'static str], values: &'static [&'static str]) -> impl Strategy<Value = String> {
    let gap = prop_oneof![9 => Just(": ".to_owned()), 1 => one(GAP)];
    let value = prop_oneof![2 => Just(values[0].to_owned()), 1 => one(values)];
    (one(names), gap, value).prop_map(|(name, gap, value)| format!("{name}{gap}{value}\r\n"))
}

/// A head in some order, with at most two lines that do not belong there.
pub(crate) fn message() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![2 => Just(FIRST[0].to_owned()), 1 => one(FIRST)];
    let lines = (
        line(&["Via", "v", "VIA"], VIA),
        line(&["From", "f", "FROM"], ADDRESS),
        line(&["To", "t", "to"], ADDRESS),
        line(&["Call-ID", "i", "CALL-ID", "Call-Id"], CALL_ID),
        line(&["CSeq", "cseq", "CSEQ"], CSEQ),
        line(&["Content-Length", "l", "content-length"], LENGTH),
        prop_oneof![3 => Just(String::new()), 1 => one(MORE)],
        prop_oneof![3 => Just(String::new()), 1 => one(MORE)],
    );
    let lines = lines.prop_map(|(a, b, c, d, e, f, g, h)| vec![a, b, c, d, e, f, g, h]).prop_shuffle();
    (first, lines).prop_map(|(first, lines)| format!("{first}\r\n{}\r\nbody", lines.concat()).into_bytes())
}

/// The plain message, or one in an odd spelling, with some octets changed, put in or taken out.
pub(crate) fn broken() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![4 => select(&b"\r\n \t:;,<>\"\\=\0\x0b\x0c@0"[..]), 1 => any::<u8>()];
    let change = (0..3u8, any::<prop::sample::Index>(), octet);
    let message = prop_oneof![Just(plain()), message()];
    (message, prop::collection::vec(change, 1..4)).prop_map(|(mut message, changes)| {
        for (kind, at, octet) in changes {
            let at = at.index(message.len());
            match kind {
                0 => message[at] = octet,
                1 => message.insert(at, octet),
                _ => drop(message.remove(at)),
            }
        }
        message
    })
}
