//! How messages are spelled, and what of them may be wrong: duties 15-19.

use super::more_a::*;
use super::world::*;

const ODD_INVITE: &str = "INVITE sip:b@example.com SIP/2.0\r\n\
    v :\r\n SIP / 2.0\r\n / UDP\r\n\t198.51.100.1 : 5060 ; rport ;BRANCH = z9hG4bKinv\r\n\
    mAx-FoRwArDs\t:\r\n  70\r\n\
    F:\r\n \"A, \\\"B\\\" <sip:x>;tag=wrong\" <sip:a@198.51.100.1> ; TAG = from1\r\n\
    t :<sip:b@example.com>\r\n\
    i:call-1@198.51.100.1\r\n\
    CSEQ: 1\r\n  INVITE \r\n\
    rOuTe :\r\n <sip:192.0.2.1;lr>\r\n\
    l:0\r\n\r\n";

// Duty 15, RFC 3261 §7.3.1, §7.3.3: folded, spaced and compact headers in any case mean what they mean.
#[test]
fn a_request_in_folded_compact_and_odd_spelling_is_understood_and_passed_on_as_spelled() {
    let mut world = World::new();
    let sent = forwarded(&mut world, ODD_INVITE);
    assert_eq!(sent.header("Max-Forwards"), "");
    assert!(sent.text.contains("mAx-FoRwArDs\t:\r\n  69\r\n"), "{}", sent.text);
    let via = "v :\r\n SIP / 2.0\r\n / UDP\r\n\t198.51.100.1 : 5060 ; rport=5060 ;BRANCH = z9hG4bKinv";
    assert!(sent.text.contains(&format!("{via};received=198.51.100.1\r\n")), "{}", sent.text);
    // RFC 3261 §16.6.8: ours is above the others, however they are spelled.
    assert!(sent.text.find("Via: SIP/2.0/UDP 192.0.2.1:5060;") < sent.text.find("v :\r\n"), "{}", sent.text);
    assert!(!sent.text.contains("rOuTe"), "our own Route is removed: {}", sent.text);
    for line in
        ["\\\"B\\\" <sip:x>;tag=wrong\" <sip:a@198.51.100.1> ; TAG = from1\r\nt :<", "CSEQ: 1\r\n  INVITE \r\nl:0"]
    {
        assert!(sent.text.contains(line), "{}", sent.text);
    }
}

// Duty 15, RFC 3261 §7.3.1, §7.3.3: a compact and folded answer finds its transaction, and its ACK finds its INVITE.
#[test]
fn an_answer_in_folded_and_compact_spelling_is_understood() {
    let mut world = World::new();
    let invite = forwarded(&mut world, ODD_INVITE);
    let ours = invite.header("Via");
    let busy = format!(
        "SIP/2.0 486 Busy\r\nTO\t: <sip:b@example.com>\r\n ;tag=to1\r\nI :\r\n call-1@198.51.100.1\r\n\
         f: <sip:a@198.51.100.1>;tag=from1\r\n\
         v:\r\n {ours} ,\r\n SIP/2.0/UDP 198.51.100.1:5060;rport=5060;branch=z9hG4bKinv;received=198.51.100.1\r\n\
         cseq: 1\r\n\tINVITE\r\nL: 0\r\n\r\n"
    );
    world.receive(DESTINATIONS[0], busy);
    let ack = world.sent(DESTINATIONS[0], "ACK");
    assert!(ack.text.contains("TO\t: <sip:b@example.com>\r\n ;tag=to1\r\n"), "{}", ack.text);
    let relayed = world.sent(CALLER, "SIP/2.0 486");
    assert!(!relayed.text.contains(ours) && relayed.text.contains(";branch=z9hG4bKinv;received=198.51.100.1\r\n"));
    // The caller's INVITE and its ACK, in plain spelling now, are the same transaction.
    world.receive(CALLER, ODD_INVITE.replace("\r\n ", " ").replace("\r\n\t", " "));
    world.sent(CALLER, "SIP/2.0 486");
    world.receive(CALLER, tagged(&request("ACK", "sip:b@example.com", "inv", "")));
    world.wait_ms(10_000);
    world.nothing_left();
}

// Duty 16, RFC 3261 §7.1: the version is read in any case and sent in upper case.
#[test]
fn the_version_is_read_in_any_case_and_sent_in_upper_case() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &message("").replacen("SIP/2.0\r\n", "sIp/2.0\r\n", 1));
    assert_eq!(sent.line(), "MESSAGE sip:b@example.com SIP/2.0");
    world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", "").replacen("SIP/2.0 200", "sip/2.0 200", 1));
    assert_eq!(world.sent(CALLER, "SIP/2.0 200").line(), "SIP/2.0 200 OK");
}

// Duty 16, RFC 3261 §21.5.7: another version is 505 to a request, silence to an ACK and a response.
#[test]
fn another_version_is_505_and_never_forwarded() {
    for version in ["SIP/3.0", "SIP/1.0", "SIP/2.1", "sip/7"] {
        let answer = refused(&message("").replacen("SIP/2.0\r\n", &format!("{version}\r\n"), 1), "505");
        assert_eq!(answer.header("Call-ID"), "call-1@198.51.100.1");
        unanswered(in_dialog("ACK", "sip:b@203.0.113.9", "").replacen("SIP/2.0\r\n", &format!("{version}\r\n"), 1));
    }
    let mut world = World::new();
    let sent = forwarded(&mut world, &message(""));
    world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", "").replacen("SIP/2.0 200", "SIP/3.0 200", 1));
    world.nothing_left();
}

// Duty 17, RFC 3261 §7.3.1: the order of values of one header is kept, over lines and within them.
#[test]
fn header_values_of_one_name_keep_their_order() {
    let more = "X-Way: a, b\r\nRecord-Route: <sip:p2.example.net;lr>, <sip:p1.example.net;lr>\r\nSubject: s\r\n\
                x-way: c\r\nRecord-Route: <sip:p0.example.net;lr>\r\nX-WAY : d ,\r\n e\r\n\
                Via: SIP/2.0/UDP v2, SIP/2.0/UDP v1\r\nv: SIP/2.0/UDP v0\r\n";
    let mut world = World::new();
    let text = request("INVITE", "sip:b@example.com", "inv", more);
    let sent = forwarded(&mut world, &text);
    let kept = sent.text.find("X-Way: a, b").map(|at| &sent.text[at..]);
    assert_eq!(kept, text.find("X-Way: a, b").map(|at| &text[at..]));
    // RFC 3261 §16.7: and so it is on the way back.
    let more = "Warning: 399 a \"1\", 399 b \"2\"\r\nX-Way: 1\r\nWarning: 399 c \"3\"\r\nX-Way: 2, 3\r\n";
    let ok = answer(&sent, "180 Ringing", "to1", more);
    world.receive(DESTINATIONS[0], &ok);
    let back = world.sent(CALLER, "SIP/2.0 180");
    let without_our_via: Vec<_> = ok.split("\r\n").filter(|line| !line.contains(sent.branch())).collect();
    assert_eq!(back.text, without_our_via.join("\r\n"));
}

// Duty 18, RFC 3261 §16.3 item 1: what the proxy needs must be well-formed: else 400.
#[test]
fn a_malformed_part_that_routing_needs_is_400() {
    for (old, new) in [
        ("MESSAGE sip:b@example.com SIP", "MESSAGE  sip:b@example.com SIP"),
        ("MESSAGE sip:b@example.com SIP", "MESSAGE <sip:b@example.com> SIP"),
        ("MESSAGE sip:b@example.com SIP", "MESSAGE sip:b@ SIP"),
        ("MESSAGE sip:b@example.com SIP", "MESSAGE sip:b@example.com:99999 SIP"),
        ("MESSAGE sip:b@example.com SIP", "MESSAGE b SIP"),
        ("MESSAGE sip:b@example.com SIP", "MESSAGE sip:b@example.com?Route=%3Csip:x%3E SIP"),
        ("Via: SIP/2.0/UDP 198.51.100.1:5060", "Via: SIP/2.0/UDP 198.51.100.1:port"),
        ("Via: SIP/2.0/UDP 198.51.100.1:5060", "Via: 198.51.100.1:5060"),
        ("From: \"A\" <sip:a@198.51.100.1>;", "From: \"A <sip:a@198.51.100.1>;"),
        ("From: \"A\" <sip:a@198.51.100.1>;", "From: \"A\" <sip:a@198.51.100.1;"),
        ("To: <sip:b@example.com>", "To: sip:b@example.com>"),
        ("To: <sip:b@example.com>", "To: <sip:b@example.com>, <sip:c@example.com>"),
        ("Call-ID: call-1@198.51.100.1", "Call-ID:  "),
        ("CSeq: 2 MESSAGE", "CSeq: two MESSAGE"),
        ("CSeq: 2 MESSAGE", "CSeq: 2"),
        ("CSeq: 2 MESSAGE", "CSeq: 2 MESSAGE x"),
        ("Max-Forwards: 70", "Max-Forwards: many"),
        ("Max-Forwards: 70", "Max-Forwards: 256"),
        ("Max-Forwards: 70", "Max-Forwards: -1"),
        ("Content-Length: 0", "Content-Length: none"),
        ("Content-Length: 0", "Content-Length: 0\r\nl: 1"),
        ("Content-Length: 0", "Route: <sip:203.0.113.9;lr\r\nContent-Length: 0"),
        ("Content-Length: 0", "From: <sip:second@example.com>;tag=2\r\nContent-Length: 0"),
    ] {
        let text = with(&message(""), old, new);
        let answer = refused(&text, "400");
        assert!(!answer.line().ends_with("Bad Request"), "the phrase says what is wrong: {}", answer.line());
        unanswered(text.replace("MESSAGE", "ACK"));
    }
}

// Duty 18, RFC 3261 §16.3 item 1: the rest may be malformed: it is ignored and left as it is.
#[test]
fn malformed_headers_that_routing_does_not_need_are_left_as_they_are() {
    let more = b"Contact: <<sip:a;;>\r\nContact: *, *\r\nDate: yesterday\r\nExpires: soon, later\r\n\
        Record-Route: <sip:broken\r\nContent-Type: /;=\r\nContent-Type: text/plain\r\n\
        X-Bytes: \xff\xfe\x80 \x01\r\nEmpty:\r\nUser-Agent: \"open\r\nRequire: ,,\r\n";
    let mut text = request("INVITE", "sip:b@example.com", "inv", "X-Here: 1\r\n").into_bytes();
    let at = text.windows(9).position(|nine| nine == b"X-Here: 1").unwrap();
    text.splice(at..at, more.iter().copied());
    let mut world = World::new();
    world.receive(CALLER, text);
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(DESTINATIONS[0], "INVITE");
    assert!(sent.bytes.windows(more.len()).any(|part| part == more), "{}", sent.text);
}

// Duty 19, RFC 3261 §16.3 item 1: an unknown method or header is no reason to refuse a request.
#[test]
fn unknown_methods_and_headers_are_forwarded() {
    for method in ["NEWMETHOD", "invite", "!interesting-Method0123456789_*+`.%indeed'~", "PUBLISH", "X"] {
        let mut world = World::new();
        let more = "z: unknown compact form\r\nNobody-Knows: this\r\n!#-odd.name~: 1\r\n";
        let sent = forwarded(&mut world, &request(method, "sip:b@example.com", "new", more));
        assert_eq!(sent.line(), format!("{method} sip:b@example.com SIP/2.0"));
        assert!(sent.text.contains(more), "{}", sent.text);
        world.receive(DESTINATIONS[0], answer(&sent, "299 Whatever", "to1", "Never-Seen: yes\r\n"));
        let back = world.sent(CALLER, "SIP/2.0 299 Whatever");
        assert_eq!((back.header("CSeq"), back.header("Never-Seen")), (&*format!("2 {method}"), "yes"));
    }
}
