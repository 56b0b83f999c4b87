//! Messages that two readers take for different ones: whoever stands behind us must not see another call, another length or another
//! way than we did. RFC 3261 §16.3 item 1: such a request is answered 400; an ACK or a response is dropped. Both are counted by what was
//! wrong.
//!
//! `tests/readers` holds us to two other readers on everything that all accept; Kamailio reads a field up to its own idea of a line end,
//! and takes the first of two headers or parameters, others the last.

use super::more_a::*;
use super::world::*;
use siplane::sip::Defect::{self, *};

/// What is put into a message for what, and what that is.
type Trick = (&'static str, &'static str, Defect);

/// The field after which whole lines are put in.
const HERE: &str = "Max-Forwards: 70\r\n";

/// Lines put in behind [`HERE`]: in requests, and in responses behind their From.
const LINES: &[(&str, Defect)] = &[
    // Line ends
    ("X: a\rCall-ID: other\r\n", LineEnd),
    ("X: a\nCall-ID: other\r\n", LineEnd),
    ("X: a\r\r\n", LineEnd),
    ("X: a\n\r\n", LineEnd),
    ("X: a\n\n", LineEnd),
    ("X: a\n b\r\n", LineEnd),
    ("X: a\r\n b\rCall-ID: other\r\n", LineEnd),
    ("\n", LineEnd),
    // NUL, which ends a text in C; only a quoted pair may have it
    ("X: a\0Call-ID: other\r\n", LineEnd),
    ("X: \\\0\r\n", LineEnd),
    ("X: \"a\" \\\0\r\n", LineEnd),
    ("X: \"open\r\nY: \\\0\r\n", LineEnd),
    ("X\0: a\r\n", HeaderLine),
    // Names: white space may stand before the colon, in no name, and no line is folded there
    ("Call ID: other\r\n", HeaderLine),
    ("Call-ID other: x\r\n", HeaderLine),
    ("Call-ID\r\n : other\r\n", HeaderLine),
    ("Call-ID\r\n\t\t: other\r\n", HeaderLine),
    ("Call-ID\x0c: other\r\n", HeaderLine),
    ("Call-ID\x0b : other\r\n", HeaderLine),
    ("\x01Call-ID: other\r\n", HeaderLine),
    ("Call-ID\r\n", HeaderLine),
    (": other\r\n", HeaderLine),
    // The same header again
    ("Call-ID: other\r\n", Duplicate),
    ("i: other\r\n", Duplicate),
    ("I : other\r\n", Duplicate),
    ("call-id: call-1@198.51.100.1\r\n", Duplicate),
    ("From: <sip:other@example.com>;tag=2\r\n", Duplicate),
    ("f: <sip:other@example.com>;tag=2\r\n", Duplicate),
    ("To: <sip:other@example.com>;tag=2\r\n", Duplicate),
    ("t\t:<sip:other@example.com>;tag=2\r\n", Duplicate),
    ("CSeq: 3 BYE\r\n", Duplicate),
    // Lengths
    ("Content-Length: 4\r\n", ContentLength),
    ("l: 4\r\n", ContentLength),
    ("L : 00000000000000000000004\r\n", ContentLength),
];

/// Parts in the place of others: in requests, and in responses where these have them.
const PARTS: &[Trick] = &[
    ("Content-Length: 0", "Content-Length: 0, 0", ContentLength),
    ("Content-Length: 0", "Content-Length: 0 0", ContentLength),
    ("Content-Length: 0", "Content-Length: +0", ContentLength),
    ("Content-Length: 0", "Content-Length: -0", ContentLength),
    ("Content-Length: 0", "Content-Length: 0x0", ContentLength),
    ("Content-Length: 0", "Content-Length: 0;x", ContentLength),
    ("Content-Length: 0", "Content-Length: 4294967296", ContentLength),
    ("Content-Length: 0", "Content-Length: 18446744073709551616", ContentLength),
    ("Content-Length: 0", "Content-Length:", ContentLength),
    ("Content-Length: 0", "Content-Length: 1", Truncated),
    ("CSeq: 2 MESSAGE", "CSeq: 2147483648 MESSAGE", CSeq),
    ("CSeq: 2 MESSAGE", "CSeq: 4294967298 MESSAGE", CSeq),
    ("CSeq: 2 MESSAGE", "CSeq: 18446744073709551618 MESSAGE", CSeq),
    ("CSeq: 2 MESSAGE", "CSeq: 2MESSAGE", CSeq),
    ("CSeq: 2 MESSAGE", "CSeq: +2 MESSAGE", CSeq),
    ("CSeq: 2 MESSAGE", "CSeq: 2 MESSAGE INVITE", CSeq),
    ("CSeq: 2 MESSAGE", "CSeq: 2 M\u{c9}SSAGE", CSeq),
    ("Call-ID: call-1@198.51.100.1", "Call-ID: call-1 @198.51.100.1", CallId),
    ("Call-ID: call-1@198.51.100.1", "Call-ID: call-1\r\n @198.51.100.1", CallId),
    ("Call-ID: call-1@198.51.100.1", "Call-ID: call-1\x0b", CallId),
    ("Call-ID: call-1@198.51.100.1", "Call-ID:\r\n ", CallId),
];

/// Parts in the place of others that responses do not have, or that nobody asks for in them.
const IN_REQUESTS: &[Trick] = &[
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE sip:b@example.com  SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE\tsip:b@example.com SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE sip:b@example.com SIP/2.0\r\n X: y", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE sip:b@example.com SIP/2.0 SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE sip:b@example.com\x0b SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE sip:b@example.com\rX SIP/2.0", LineEnd),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESSAGE sip:b@example.com\0 SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "M\u{c9}SSAGE sip:b@example.com SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", "MESS:AGE sip:b@example.com SIP/2.0", StartLine),
    ("MESSAGE sip:b@example.com SIP/2.0", " MESSAGE sip:b@example.com SIP/2.0", StartLine),
    ("CSeq: 2 MESSAGE", "CSeq: 2 message", CSeqMethod),
    ("CSeq: 2 MESSAGE", "CSeq: 2 INVITE", CSeqMethod),
    ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70", Duplicate),
    ("Max-Forwards: 70", "Max-Forwards: 256", MaxForwards),
    ("Max-Forwards: 70", "Max-Forwards: 4294967366", MaxForwards),
    ("Max-Forwards: 70", "Max-Forwards: 7 0", MaxForwards),
    (";tag=from1", ";tag=from1;tag=2", From),
    (";tag=from1", ";TAG=2;tag=from1", From),
    (";tag=from1", ";tag=\"from1\"", From),
    (";tag=from1", ";tag=from1\x0b", From),
    (";tag=from1", ";tag=from1, <sip:other@example.com>", From),
    (";tag=from1", ";tag=from1 <sip:other@example.com>", From),
    ("To: <sip:b@example.com>", "To: <sip:b@example.com>;tag=1;x;Tag=2", To),
    ("To: <sip:b@example.com>", "To: <sip:b@example.com>, <sip:c@example.com>", To),
    (";branch=z9hG4bKmsg", ";branch=z9hG4bKmsg;branch=z9hG4bKx", Via),
    (";branch=z9hG4bKmsg", ";Branch=z9hG4bKx;branch=z9hG4bKmsg", Via),
    (";branch=z9hG4bKmsg", ";branch=\"z9hG4bKmsg\"", Via),
    (";branch=z9hG4bKmsg", ";branch=z9hG4bK\x0cmsg", Via),
    (";branch=z9hG4bKmsg", ";branch=z9hG4bKmsg x", Via),
    (";branch=z9hG4bKmsg", ";branch=z9hG4bKmsg, SIP/2.0/UDP", Via),
    ("198.51.100.1:5060;branch", "198.51.100.1:65536;branch", Via),
    ("198.51.100.1:5060;branch", "198.51.100.1:5060 5061;branch", Via),
    ("198.51.100.1:5060;branch", "198.51.100.1:5060;received=192.0.2.7;received=192.0.2.8;branch", Via),
    (";rport", ";rport=5060;rport=5061", Via),
    (";rport", ";rport=5060x", Via),
];

fn counted(world: &World, defect: Defect) -> u64 {
    world.proxy.defects().0[defect as usize]
}

/// What is wrong with the request is told, counted, and nothing else happens.
fn refused_for(text: &str, defect: Defect) {
    let mut world = World::new();
    let answer = refused_by(&mut world, text, "400");
    assert_eq!(counted(&world, defect), 1, "another defect than {defect:?}: {}\n{text:?}", answer.line());
    assert!(
        !answer.text.contains('\0') && answer.text.split("\r\n").all(|line| !line.contains(['\r', '\n'])),
        "{answer:?}"
    );
}

// RFC 3261 §16.3 item 1: reasonable syntax.
#[test]
fn a_request_that_two_readers_take_for_different_ones_is_400() {
    let lines = LINES.iter().map(|(line, defect)| (with(&message(""), HERE, &format!("{HERE}{line}")), *defect));
    let parts = PARTS.iter().chain(IN_REQUESTS).map(|(old, new, defect)| (with(&message(""), old, new), *defect));
    for (text, defect) in lines.chain(parts) {
        refused_for(&text, defect);
        // RFC 3261 §17.1.1.3: an ACK is never answered.
        unanswered(text.replace("MESSAGE", "ACK"));
    }
}

// RFC 3261 §16.7, §18.3: a response cannot be answered: it is dropped, and the caller gets the one that can be read.
#[test]
fn a_response_that_two_readers_take_for_different_ones_is_dropped() {
    let tricks = LINES.iter().map(|(line, defect)| ("CSeq: ", format!("{line}CSeq: "), *defect));
    let parts = PARTS.iter().map(|(old, new, defect)| (*old, (*new).to_owned(), *defect));
    for (old, new, defect) in tricks.chain(parts) {
        let mut world = World::new();
        let sent = forwarded(&mut world, &message(""));
        let ok = answer(&sent, "200 OK", "to1", "");
        world.receive(DESTINATIONS[0], ok.replacen(old, &new, 1));
        world.nothing_left();
        assert_eq!(counted(&world, defect), 1, "another defect than {defect:?} or none: {new:?}");
        world.receive(DESTINATIONS[0], ok);
        world.sent(CALLER, "SIP/2.0 200");
    }
}

// RFC 3261 §7.3.1, §25.1: what only looks like a trick goes through as it came.
#[test]
fn odd_spellings_that_all_read_alike_are_passed_on() {
    for line in [
        "X :\r\n y\r\n",
        "X: \"\\\0\"\r\n",
        "X: Call-ID: other\r\n",
        "X: y\r\n Call-ID: other\r\n",
        "X: y\r\n \r\n",
        "l: 0\r\n",
    ] {
        let sent = forwarded(&mut World::new(), &with(&message(""), HERE, &format!("{HERE}{line}")));
        assert!(sent.text.contains(line), "{}", sent.text);
    }
}
