//! What a request must pass before it is forwarded (RFC 3261 §16.3, §22): duties 20-29.
//!
//! Nothing is challenged yet: 27-29 are held by what the proxy leaves alone.

use super::more_a::*;
use super::world::*;

// Duty 20, RFC 3261 §16.3 item 2: a scheme that nobody here can route is 416.
#[test]
fn an_unknown_uri_scheme_is_416() {
    for uri in ["mailto:b@example.com", "h323:b@example.com", "soap.beep://192.0.2.103:3002", "nobodyKnowsThisScheme:x"]
    {
        refused(&request("MESSAGE", uri, "msg", ""), "416");
        refused(&request("OPTIONS", uri, "opt", ""), "416");
        unanswered(in_dialog("ACK", uri, ""));
    }
}

// Duty 20, RFC 3261 §16.3 item 2: sip in any case, and tel, which the dispatcher's rules take, are known.
#[test]
fn sip_in_any_case_and_tel_are_dispatched() {
    for known in ["sip:b@example.com", "SIP:b@example.com", "tel:+15551234;phone-context=example.com"] {
        let sent = forwarded(&mut World::new(), &request("INVITE", known, "inv", ""));
        assert_eq!(uri(&sent), known);
    }
}

// Duty 21, RFC 3261 §16.3 item 3: with Max-Forwards 0 nothing is forwarded: 483.
#[test]
fn a_request_without_hops_left_is_483_and_an_ack_is_dropped() {
    for method in ["INVITE", "MESSAGE", "OPTIONS", "REGISTER", "NEW"] {
        for zero in ["0", "000"] {
            let text = request(method, "sip:b@example.com", "mf0", "");
            refused(&with(&text, "Max-Forwards: 70", &format!("Max-Forwards: {zero}")), "483");
        }
    }
    let bye = with(&in_dialog("BYE", "sip:b@203.0.113.9", ""), "Max-Forwards: 70", "Max-Forwards: 0");
    refused(&bye, "483");
    unanswered(bye.replace("BYE", "ACK"));
}

// Duty 21, RFC 3261 §16.3 item 3: the last hop is still a hop.
#[test]
fn a_request_with_one_hop_left_is_forwarded_with_none() {
    let sent = forwarded(&mut World::new(), &with(&message(""), "Max-Forwards: 70", "Max-Forwards: 1"));
    assert_eq!(sent.header("Max-Forwards"), "0");
}

// Duty 21, RFC 3261 §16.3 item 3, §11.2: an OPTIONS that asks us is answered even without hops left.
#[test]
fn an_options_for_us_is_answered_with_any_max_forwards() {
    let options = request("OPTIONS", "sip:192.0.2.1", "opt", "");
    for hops in ["0", "70"] {
        let ok = refused(&with(&options, "Max-Forwards: 70", &format!("Max-Forwards: {hops}")), "200");
        assert!(ok.header("Allow").contains("INVITE") && ok.header("To").contains(";tag="), "{}", ok.text);
    }
}

// Duty 22, RFC 3261 §16.3 item 5: an option in Proxy-Require that we lack is 420, and Unsupported lists exactly those.
#[test]
fn an_unknown_proxy_require_is_420_with_exactly_its_options() {
    let more = "Proxy-Require: foo ,bar\r\nRequire: 100rel\r\nSupported: timer\r\nproxy-require: baz\r\n";
    for method in ["INVITE", "BYE", "OPTIONS"] {
        let answer = refused(&request(method, "sip:b@example.com", "pr", more), "420");
        assert_eq!(answer.all("Unsupported"), ["foo, bar, baz"]);
    }
    unanswered(in_dialog("ACK", "sip:b@203.0.113.9", more));
}

// Duty 23, RFC 3261 §16.3 item 5, §20.32: Require is for the far end; it never stops a proxy.
#[test]
fn require_alone_never_stops_a_request() {
    let more = "Require: 100rel, nobody-knows-this\r\nRequire: timer\r\n";
    for method in ["INVITE", "MESSAGE", "REGISTER"] {
        let sent = forwarded(&mut World::new(), &request(method, "sip:b@example.com", "rq", more));
        assert!(sent.text.contains(more), "{}", sent.text);
    }
}

// Duty 24, RFC 3261 §16.3: the same request by two ways is two transactions, not an error (482 is for UAs, §8.2.2.2).
#[test]
fn merged_requests_are_forwarded_both() {
    let mut world = World::new();
    let first = forwarded(&mut world, &invite());
    let second = forwarded(&mut world, &request("INVITE", "sip:b@example.com", "other-way", ""));
    assert_ne!(first.branch(), second.branch());
    world.receive(DESTINATIONS[0], answer(&second, "482 Merged", "to2", ""));
    assert_eq!(world.sent(DESTINATIONS[0], "ACK").branch(), second.branch());
    assert!(world.sent(CALLER, "SIP/2.0 482").header("Via").contains("z9hG4bKother-way"));
    world.receive(DESTINATIONS[0], answer(&first, "200 OK", "to1", ""));
    assert!(world.sent(CALLER, "SIP/2.0 200").header("Via").contains("z9hG4bKinv"));
    world.nothing_left();
}

// Duty 25, RFC 3261 §17.1.1.3, §8.2: an ACK is never answered, however broken or unroutable.
#[test]
fn an_ack_is_never_answered() {
    let ack = request("ACK", "sip:b@example.com", "ack", "");
    unanswered(&ack);
    unanswered(tagged(&ack));
    unanswered(tagged(&ack).replace("sip:b@example.com SIP", "sip:192.0.2.1 SIP"));
    for (old, new) in [
        ("CSeq: 1 ACK", "CSeq: 1 INVITE"),
        ("CSeq: 1 ACK", "CSeq: 4294967296 ACK"),
        ("CSeq: 1 ACK\r\n", ""),
        ("Call-ID: call-1@198.51.100.1\r\n", ""),
        ("Content-Length: 0", "Content-Length: -1"),
        ("Content-Length: 0", "Content-Length: 100"),
        ("Content-Length: 0", "Proxy-Require: foo\r\nContent-Length: 0"),
        ("Content-Length: 0", "Route: <sip:gateway.example.com;lr>\r\nContent-Length: 0"),
        ("Content-Length: 0\r\n\r\n", ""),
        ("Max-Forwards: 70", "Max-Forwards: x"),
        ("ACK sip:b@example.com SIP/2.0", "ACK sip:b@example.com SIP/3.0"),
        ("ACK sip:b@example.com SIP/2.0", "ACK  sip:b@example.com SIP/2.0"),
        ("ACK sip:b@example.com SIP/2.0", "ACK mailto:b@example.com SIP/2.0"),
        ("branch=z9hG4bKack", "branch=\"z9hG4bKack"),
    ] {
        unanswered(tagged(&with(&ack, old, new)));
    }
    let mut world = World::new();
    world.proxy.drain();
    world.receive(CALLER, ack);
    world.nothing_left();
}

// Duty 26, RFC 3261 §8.1.1.5: CSeq names the method of the request, and its number is below 2^31.
#[test]
fn a_cseq_of_another_method_or_with_too_large_a_number_is_400() {
    for cseq in ["2 INVITE", "2 message", "2147483648 MESSAGE", "18446744073709551618 MESSAGE", "MESSAGE 2", "2MESSAGE"]
    {
        refused(&with(&message(""), "CSeq: 2 MESSAGE", &format!("CSeq: {cseq}")), "400");
    }
    for cseq in ["2147483647 MESSAGE", "0 MESSAGE", "0002\t MESSAGE"] {
        let sent = forwarded(&mut World::new(), &with(&message(""), "CSeq: 2 MESSAGE", &format!("CSeq: {cseq}")));
        assert_eq!(sent.header("CSeq"), cseq);
    }
}

// Duty 26, RFC 3261 §8.1.1: without From, To, Call-ID or CSeq 400; Max-Forwards is put in, and without Via nobody is
// answered.
#[test]
fn the_six_mandatory_headers_are_asked_for() {
    let text = message("");
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let line = text.split_inclusive("\r\n").find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        let answer = refused(&with(&text, line, ""), "400");
        assert_eq!(answer.header(name), "", "what is missing cannot be copied");
    }
    unanswered(with(&text, "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKmsg;rport\r\n", ""));
    let sent = forwarded(&mut World::new(), &with(&text, "Max-Forwards: 70\r\n", ""));
    assert_eq!(sent.header("Max-Forwards"), "70");
}

// Duty 27, RFC 3261 §22.3: a proxy never adds Proxy-Authorization, and a challenge of the far side goes through as it
// is.
#[test]
fn a_challenge_is_passed_on_as_it_is_and_credentials_are_never_added() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &invite());
    assert_eq!((sent.header("Proxy-Authorization"), sent.header("Authorization")), ("", ""));
    let challenge = "Proxy-Authenticate: Digest realm=\"far\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\"\r\n";
    world.receive(DESTINATIONS[0], answer(&sent, "407 Proxy Authentication Required", "to1", challenge));
    world.sent(DESTINATIONS[0], "ACK");
    let relayed = world.sent(CALLER, "SIP/2.0 407");
    assert_eq!(format!("Proxy-Authenticate: {}\r\n", relayed.header("Proxy-Authenticate")), challenge);
    assert_eq!(relayed.all("Proxy-Authenticate").len(), 1);
}

// Duty 28, RFC 3261 §22.1: an ACK and a CANCEL are never challenged: neither gets a 401 or 407.
#[test]
fn ack_and_cancel_pass_without_credentials() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &invite());
    world.receive(DESTINATIONS[0], answer(&sent, "180 Ringing", "to1", ""));
    world.sent(CALLER, "SIP/2.0 180");
    world.receive(CALLER, request("CANCEL", "sip:b@example.com", "inv", ""));
    world.sent(CALLER, "SIP/2.0 200");
    world.sent(DESTINATIONS[0], "CANCEL");
    world.nothing_left();
    let ack = in_dialog("ACK", "sip:b@203.0.113.9", "Route: <sip:192.0.2.1;lr>\r\n");
    forwarded_to(&mut World::new(), &ack, "203.0.113.9:5060");
}

// Duty 29, RFC 3261 §22.3: credentials of any realm that is not ours are not consumed.
#[test]
fn credentials_of_other_realms_are_left_in_place() {
    let more = "Proxy-Authorization: Digest username=\"a\", realm=\"far\", nonce=\"1\", response=\"0\"\r\n\
                Authorization: Digest realm=\"end\"\r\nproxy-authorization: Digest realm=\"farther\"\r\n";
    let sent = forwarded(&mut World::new(), &request("INVITE", "sip:b@example.com", "inv", more));
    assert!(sent.text.contains(more), "{}", sent.text);
}
