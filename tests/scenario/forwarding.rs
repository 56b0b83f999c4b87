//! How a request leaves (RFC 3261 §16.6, RFC 5393): duties 38-44, 49-53, 55, 56.
//!
//! Without a test, for want of a stream transport: 54 (Content-Length towards a stream).

use super::more_a::*;
use super::world::*;
use siplane::proxy::{Proxy, ShardId};
use std::collections::BTreeSet;

/// Serial failover: the second and third attempt of the INVITE that became `first`.
#[track_caller]
fn further_attempts(world: &mut World, first: &Sent) -> Vec<Sent> {
    world.unreachable(first);
    let second = world.sent(DESTINATIONS[1], "INVITE");
    world.unreachable(&second);
    vec![second, world.sent(DESTINATIONS[2], "INVITE")]
}

// Duty 38, RFC 3261 §16.6.1: nothing is removed, reordered or respelled, and the body is untouched.
#[test]
fn all_headers_keep_place_and_spelling_and_the_body_every_octet() {
    let octets: Vec<u8> = (0..=255).chain(*b"\r\n\r\nINVITE x SIP/2.0\r\n").collect();
    let more = "X-1:  spaced  \r\nTimestamp: 1\r\nsubject: folded\r\n\there\r\nRecord-Route: <sip:p1;lr>\r\n\
                User-Agent: a\r\nX-1: again\r\nVia: SIP/2.0/UDP lower.example.com\r\nAccept:\r\n\
                Content-Type: application/octet-stream\r\n";
    let text = with(&request("INVITE", "sip:b@example.com", "inv", more), "Content-Length: 0\r\n", "");
    let text = with(&text, "\r\n\r\n", &format!("\r\nContent-Length : {}\r\n\r\n", octets.len())).into_bytes();
    let mut world = World::new();
    world.receive(CALLER, [text.clone(), octets.clone()].concat());
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(DESTINATIONS[0], "INVITE");
    assert_eq!(body(&sent), octets);
    let added = ["Via: SIP/2.0/UDP 192.0.2.1:5060;", "Record-Route: <sip:192.0.2.1:5060;", "Max-Breadth: 60"];
    let kept: Vec<_> =
        lines(&sent).into_iter().filter(|line| !added.iter().any(|start| line.starts_with(start))).collect();
    let text = String::from_utf8(text).unwrap().replace("Forwards: 70", "Forwards: 69");
    let text = with(&text, ";rport\r\n", ";rport=5060;received=198.51.100.1\r\n");
    let given: Vec<_> = text.trim_end_matches("\r\n").split("\r\n").skip(1).collect();
    assert_eq!(kept, given);
    assert_eq!(lines(&sent).len(), given.len() + added.len());
}

// Duty 39, RFC 3261 §16.6.2: by policy the dispatcher names the next hop and leaves the Request-URI as the caller
// wrote it.
#[test]
fn every_attempt_has_the_request_uri_of_the_caller() {
    let mut world = World::new();
    let given = "SIP:+1-(555)%20x;npdi:pw@Example.COM:5099;transport=udp;user=phone;X";
    let first = forwarded(&mut world, &request("INVITE", given, "inv", ""));
    assert_eq!(uri(&first), given);
    assert!(further_attempts(&mut world, &first).iter().all(|sent| uri(sent) == given));
}

// Duty 40, RFC 3261 §16.6.3: Max-Forwards is less by exactly one, on every attempt.
#[test]
fn max_forwards_is_decremented_by_exactly_one() {
    for (given, left) in [("70", "69"), ("255", "254"), ("100", "99"), ("10", "9"), ("007", "6"), ("1", "0")] {
        let mut world = World::new();
        let hops = |text: &str| with(text, "Max-Forwards: 70", &format!("Max-Forwards: {given}"));
        let first = forwarded(&mut world, &hops(&invite()));
        assert_eq!(first.all("Max-Forwards"), [left]);
        world.wait_ms(500);
        assert_eq!(world.sent(DESTINATIONS[0], "INVITE").text, first.text);
        assert!(further_attempts(&mut world, &first).iter().all(|sent| sent.all("Max-Forwards") == [left]));
        for method in ["BYE", "ACK"] {
            let text = hops(&in_dialog(method, "sip:b@203.0.113.9", ""));
            assert_eq!(forwarded_to(&mut World::new(), &text, "203.0.113.9:5060").all("Max-Forwards"), [left]);
        }
    }
}

// Duty 41, RFC 3261 §16.6.3: Max-Forwards 70 is added when it is absent.
#[test]
fn max_forwards_70_is_added_when_absent() {
    for method in ["INVITE", "MESSAGE"] {
        let text = with(&request(method, "sip:b@example.com", "mf", ""), "Max-Forwards: 70\r\n", "");
        assert_eq!(forwarded(&mut World::new(), &text).all("Max-Forwards"), ["70"]);
    }
    let ack = with(&in_dialog("ACK", "sip:b@203.0.113.9", ""), "Max-Forwards: 70\r\n", "");
    assert_eq!(forwarded_to(&mut World::new(), &ack, "203.0.113.9:5060").all("Max-Forwards"), ["70"]);
}

// Duty 42, RFC 3261 §16.6.4: our Record-Route goes above those that are there, also beside a Route.
#[test]
fn our_record_route_is_above_all_others_with_and_without_route() {
    let others = "Record-Route: <sip:p2;lr>,<sip:p1;lr>\r\nRecord-Route: <sip:p0;lr>\r\n";
    let dispatched = forwarded(&mut World::new(), &request("INVITE", "sip:b@example.com", "inv", others));
    let more = format!("{others}Route: <sip:203.0.113.9;lr>\r\n");
    let preloaded = request("INVITE", "sip:b@example.com", "inv", &more);
    let preloaded = forwarded_to(&mut World::new(), &preloaded, "203.0.113.9:5060");
    for sent in [dispatched, preloaded] {
        let values = sent.all("Record-Route");
        assert!(values[0].starts_with("<sip:192.0.2.1:5060;"), "{}", sent.text);
        assert_eq!(values[1..], ["<sip:p2;lr>,<sip:p1;lr>", "<sip:p0;lr>"]);
    }
}

// Duty 43, RFC 3261 §16.6.4: the value is a sip URI of ours with lr and no transport, and comes back as our Route.
#[test]
fn our_record_route_is_a_loose_sip_uri_of_ours_without_transport() {
    let mut world = World::new();
    let invite = call(&mut world);
    let value = invite.header("Record-Route").to_owned();
    let inside = value.strip_prefix('<').and_then(|value| value.strip_suffix('>')).unwrap_or_else(|| panic!("{value}"));
    let parts: Vec<_> = inside.split(';').collect();
    assert_eq!(parts[..2], ["sip:192.0.2.1:5060", "lr"]);
    assert!(parts.iter().all(|part| !part.starts_with("transport")) && !inside.contains('@'), "{value}");
    world.receive(CALLER, in_dialog("BYE", "sip:b@203.0.113.1:5060", &format!("Route: {value}\r\n")));
    let bye = world.sent(DESTINATIONS[0], "BYE");
    assert_eq!(bye.header("Route"), "");
}

// Duty 44, RFC 3261 §16.6.4: on requests that may begin a dialog, and on the same ones within it; on no others.
#[test]
fn requests_that_begin_dialogs_are_record_routed_and_others_are_not() {
    for (method, expected) in [
        ("INVITE", 1),
        ("SUBSCRIBE", 1),
        ("REFER", 1),
        ("NOTIFY", 1),
        ("MESSAGE", 0),
        ("OPTIONS", 0),
        ("REGISTER", 0),
        ("PUBLISH", 0),
    ] {
        let sent = forwarded(&mut World::new(), &request(method, "sip:b@example.com", "rr", ""));
        assert_eq!(sent.all("Record-Route").len(), expected, "{method}");
    }
    for (method, expected) in [("INVITE", 1), ("UPDATE", 1), ("BYE", 0), ("ACK", 0), ("PRACK", 0), ("INFO", 0)] {
        let text = in_dialog(method, "sip:b@203.0.113.9", "");
        let sent = forwarded_to(&mut World::new(), &text, "203.0.113.9:5060");
        assert_eq!(sent.all("Record-Route").len(), expected, "{method}");
    }
}

// Duty 49, RFC 3261 §16.6.7, §16.6.8: every attempt is a new client transaction with a new branch; a repetition is
// none.
#[test]
fn every_attempt_has_a_branch_of_its_own_and_a_repetition_the_same() {
    let mut world = World::new();
    let first = forwarded(&mut world, &invite());
    world.wait_ms(500);
    assert_eq!(world.sent(DESTINATIONS[0], "INVITE").text, first.text);
    let further = further_attempts(&mut world, &first);
    let branches: BTreeSet<_> = further.iter().chain([&first]).map(Sent::branch).collect();
    assert_eq!(branches.len(), 3);
    assert!(further.iter().all(|sent| sent.all("Via").len() == 2), "one Via of ours on each");
    // A late answer by the first branch is no answer to the third one.
    world.receive(DESTINATIONS[2], answer(&first, "200 OK", "to3", ""));
    world.nothing_left();
    world.receive(DESTINATIONS[2], answer(&further[1], "200 OK", "to3", ""));
    world.sent(CALLER, "SIP/2.0 200");
}

// Duty 50, RFC 3261 §16.6.8, §8.1.1.7: our Via is on top, with the magic cookie and a branch that no request ever had.
#[test]
fn our_via_is_on_top_with_a_branch_unique_over_requests_cores_and_restarts() {
    let mut branches = BTreeSet::new();
    for (index, seed) in [(0, 7), (1, 7), (2, 7), (0, 8), (1, 8)] {
        let mut world = World::new();
        world.proxy = Proxy::new(settings(), ShardId { index, count: 3 }, seed, world.now);
        for number in 0..200 {
            let text = request("MESSAGE", "sip:b@example.com", &format!("m{number}"), "");
            let sent = forwarded(&mut world, &text);
            let vias = sent.all("Via");
            assert!(vias.len() == 2 && vias[0].starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"), "{vias:?}");
            assert!(branches.insert(sent.branch().to_owned()), "{} came twice", sent.branch());
        }
    }
    assert_eq!(branches.len(), 1_000);
}

// Duty 51, RFC 3261 §9.1, §17.1.1.3: the CANCEL and the ACK of this hop carry the branch of their INVITE.
#[test]
fn cancel_and_the_ack_of_a_failure_carry_the_branch_of_their_invite() {
    let mut world = World::new();
    let invite = forwarded(&mut world, &invite());
    world.receive(DESTINATIONS[0], answer(&invite, "180 Ringing", "to1", ""));
    world.sent(CALLER, "SIP/2.0 180");
    // The caller's own CANCEL and ACK find the INVITE by its branch, whatever their method.
    world.receive(CALLER, request("CANCEL", "sip:b@example.com", "inv", ""));
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(DESTINATIONS[0], "CANCEL");
    world.receive(DESTINATIONS[0], answer(&cancel, "200 OK", "to1", ""));
    world.receive(DESTINATIONS[0], answer(&invite, "487 Request Terminated", "to1", ""));
    let ack = world.sent(DESTINATIONS[0], "ACK");
    for sent in [&cancel, &ack] {
        assert_eq!(sent.all("Via"), [invite.all("Via")[0]]);
        assert_eq!(uri(sent), uri(&invite));
    }
    world.sent(CALLER, "SIP/2.0 487");
    world.receive(CALLER, tagged(&request("ACK", "sip:b@example.com", "inv", "")));
    world.wait_ms(4_000);
    world.nothing_left();
}

/// `sent` comes back from its destination, which has put its own Via on top and changed `old` to `new`.
fn come_back(world: &mut World, sent: &Sent, branch: &str, old: &str, new: &str) {
    let via = format!("Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bK{branch}\r\nVia: SIP/2.0/UDP 192.0.2.1");
    let text = with(&sent.text, "Via: SIP/2.0/UDP 192.0.2.1", &via);
    world.receive(DESTINATIONS[0], with(&text, old, new));
}

// Duty 52, RFC 5393 §4.2, RFC 3261 §16.3 item 4: what comes back unchanged is a loop: 482.
#[test]
fn a_request_that_comes_back_unchanged_is_482() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &invite());
    come_back(&mut world, &sent, "back", "Max-Forwards: 69", "Max-Forwards: 68");
    let looped = world.sent(DESTINATIONS[0], "SIP/2.0 482");
    assert_eq!(looped.all("Via").len(), 3);
    world.nothing_left();
    let sent = forwarded(&mut world, &message(""));
    world.receive(DESTINATIONS[0], &sent.bytes);
    world.sent(DESTINATIONS[0], "SIP/2.0 482");
    assert_eq!(world.proxy.stats().loops, 2);
}

// Duty 52, RFC 5393 §4.2: what comes back with another target or tag is a spiral, and so is what another proxy's Via
// is on.
#[test]
fn a_request_that_comes_back_changed_is_a_spiral_and_goes_on() {
    for (branch, old, new) in [
        ("uri", "INVITE sip:b@example.com", "INVITE sip:c@example.com"),
        ("tag", "tag=from1", "tag=from2"),
        ("call", "Call-ID: call-1", "Call-ID: call-2"),
        ("via", "Via: SIP/2.0/UDP 192.0.2.1:5060;", "Via: SIP/2.0/UDP 192.0.2.77:5060;"),
    ] {
        let mut world = World::new();
        let sent = forwarded(&mut world, &invite());
        come_back(&mut world, &sent, branch, old, new);
        world.sent(DESTINATIONS[0], "SIP/2.0 100");
        world.sent(DESTINATIONS[0], "INVITE");
        world.nothing_left();
    }
}

// Duty 53, RFC 5393 §5.3.3: exactly one Max-Breadth: 60 when absent, never less per hop, never above our own bound.
#[test]
fn max_breadth_is_added_kept_and_capped() {
    for (given, left) in [
        ("", "60"),
        ("Max-Breadth: 60\r\n", "60"),
        ("max-breadth : 1\r\n", "1"),
        ("Max-Breadth: 59\r\n", "59"),
        ("Max-Breadth: 61\r\n", "60"),
        ("Max-Breadth: 4294967295\r\n", "60"),
    ] {
        let mut world = World::new();
        let first = forwarded(&mut world, &request("INVITE", "sip:b@example.com", "inv", given));
        assert_eq!(first.all("Max-Breadth"), [left], "{given}");
        assert!(further_attempts(&mut world, &first).iter().all(|sent| sent.all("Max-Breadth") == [left]));
        let ack = in_dialog("ACK", "sip:b@203.0.113.9", given);
        assert_eq!(forwarded_to(&mut World::new(), &ack, "203.0.113.9:5060").all("Max-Breadth"), [left], "{given}");
    }
}

// Duty 53, RFC 5393 §5.3.3: no breadth left for the one branch there is: 440; what is no number is 400.
#[test]
fn a_request_without_breadth_left_is_440() {
    refused(&message("Max-Breadth: 0\r\n"), "440");
    refused(&in_dialog("BYE", "sip:b@203.0.113.9", "Max-Breadth: 0\r\n"), "440");
    unanswered(in_dialog("ACK", "sip:b@203.0.113.9", "Max-Breadth: 0\r\n"));
    refused(&message("Max-Breadth: wide\r\n"), "400");
    refused(&message("Max-Breadth: 6\r\nMax-Breadth: 6\r\n"), "400");
}

// Duty 53, RFC 5393 §5.3.3: a deliberate deviation: a branch that was given up because nothing answered counts as over, so the next
// one gets the whole breadth, although the silent one may still wake up (and is then cancelled).
#[test]
fn the_branch_after_a_silent_one_gets_the_whole_breadth() {
    let mut world = World::new();
    let breadth = |sent: &Sent| sent.header("Max-Breadth").parse::<u32>().unwrap();
    let first = forwarded(&mut world, &request("INVITE", "sip:b@example.com", "inv", "Max-Breadth: 3\r\n"));
    world.wait_ms(2_100);
    let second = world.sent.iter().find(|sent| sent.to == DESTINATIONS[1].parse().unwrap()).unwrap();
    assert_eq!((breadth(&first), breadth(second)), (3, 3));
}

// Duty 55, RFC 3261 §16.6.11, §16.8: each INVITE branch may ring for more than three minutes, and not for ever.
#[test]
fn a_ringing_branch_is_cancelled_by_timer_c_after_more_than_three_minutes() {
    let mut world = World::new();
    let first = forwarded(&mut world, &invite());
    world.receive(DESTINATIONS[0], answer(&first, "180 Ringing", "to1", ""));
    world.sent(CALLER, "SIP/2.0 180");
    world.wait_ms(90_000);
    world.receive(DESTINATIONS[0], answer(&first, "503 Later", "to1", ""));
    world.sent(DESTINATIONS[0], "ACK");
    // The next branch has a Timer C of its own.
    let second = world.sent(DESTINATIONS[1], "INVITE");
    world.receive(DESTINATIONS[1], answer(&second, "180 Ringing", "to2", ""));
    world.sent(CALLER, "SIP/2.0 180");
    world.wait_ms(180_000);
    world.nothing_left();
    world.wait_ms(10_000);
    assert_eq!(world.sent(DESTINATIONS[1], "CANCEL").branch(), second.branch());
}

// Duty 56, RFC 3327 §5.2: no Path of ours is put into a REGISTER; those of others stay as they are.
#[test]
fn path_of_others_is_untouched_in_a_register() {
    let more =
        "Supported: path\r\nPath: <sip:p2.example.net;lr>,<sip:p1.example.net;lr>\r\nPath: <sip:p0.example.net;lr>\r\n";
    let sent = forwarded(&mut World::new(), &request("REGISTER", "sip:example.com", "reg", more));
    assert!(sent.text.contains(more), "{}", sent.text);
    assert_eq!((sent.all("Path").len(), sent.all("Record-Route").len()), (2, 0));
}
