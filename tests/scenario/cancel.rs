//! CANCEL: the caller's and our own (RFC 3261 §9, §16.7 item 10, §16.8, §16.10).

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Exhausted, Health, SetId};
use std::time::Duration;

/// The caller cancels a call that rings at the first destination: gives our CANCEL.
#[track_caller]
fn cancelled(world: &mut World) -> (Sent, Sent) {
    let invite = call(world);
    relayed(world, FIRST, &invite, "180 Ringing");
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL");
    (invite, cancel)
}

/// The callee obeys the CANCEL, and the caller gets its 487.
#[track_caller]
fn obeyed(world: &mut World, invite: &Sent, cancel: &Sent) {
    world.receive(FIRST, answer(cancel, "200 OK", "to1", ""));
    refused(world, FIRST, invite, "487 Request Terminated");
    fails_with(world, "487");
}

// Duty 73, RFC 3261 §16.7 item 10: when a final response has gone back, every pending branch is cancelled.
#[test]
fn a_2xx_cancels_the_branches_that_are_still_pending() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    relayed(&mut world, SECOND, &second, "180 Ringing");
    // The first destination wakes up and is quicker.
    world.receive(FIRST, answer(&first, "200 OK", "to0", ""));
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(SECOND, "CANCEL");
    assert_eq!(cancel.branch(), second.branch());
    world.receive(SECOND, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, SECOND, &second, "487 Request Terminated");
    assert_eq!((world.load(0), world.load(1)), (1, 0));
    hang_up(&mut world, &first, "to0");
    ends_clean(world);
}

// Duty 74, RFC 3261 §16.8: Timer C cancels a branch that has sent a provisional response.
#[test]
fn timer_c_cancels_a_call_that_rings_too_long() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.wait_ms(184_900);
    world.nothing_left();
    world.wait_ms(200);
    let cancel = world.sent(FIRST, "CANCEL");
    world.nothing_left();
    assert_eq!(world.proxy.stats().timer_c, 1);
    obeyed(&mut world, &invite, &cancel);
    ends_clean(world);
}

// Duty 74, RFC 3261 §16.8 with §9.1: silence after that CANCEL counts as 408. Without a provisional Timer B has come
// first.
#[test]
fn a_callee_that_ignores_the_cancel_of_timer_c_counts_as_408() {
    for exhausted in [Exhausted::BestResponse, Exhausted::ServiceUnavailable] {
        let mut world = dispatching(1, |set| set.exhausted = exhausted);
        let invite = call(&mut world);
        relayed(&mut world, FIRST, &invite, "180 Ringing");
        world.wait_ms(185_100);
        let cancel = world.sent(FIRST, "CANCEL");
        world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
        world.wait_ms(31_800);
        world.nothing_left();
        world.wait_ms(500);
        fails_with(&mut world, "408");
        ends_clean(world);
    }
}

// Duty 76, RFC 3261 §16.10: a matching CANCEL is answered 200 at once, and pending branches are cancelled.
#[test]
fn a_cancel_is_answered_at_once_and_goes_to_the_pending_branch() {
    let mut world = single();
    let (invite, cancelling) = cancelled(&mut world);
    assert!(cancelling.at.is_zero());
    // RFC 3261 §9.2: its retransmission is answered again and does no more.
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    world.nothing_left();
    obeyed(&mut world, &invite, &cancelling);
    assert_eq!(world.load(0), 0);
    ends_clean(world);
}

// Duty 76, RFC 3261 §9.2: the CANCEL's key is that of its INVITE: branch, sent-by and source of the same hop.
#[test]
fn a_cancel_with_another_branch_or_sent_by_cancels_nothing() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    for other in [
        cancel().replace("z9hG4bKinv", "z9hG4bKinw"),
        cancel().replace("UDP 198.51.100.1:5060", "UDP 198.51.100.1:5070"),
        cancel().replace("UDP 198.51.100.1:5060", "UDP 198.51.100.2:5060"),
    ] {
        world.receive(CALLER, other);
        let passed: Vec<_> = world.sent.drain(..).collect();
        assert!(passed.iter().all(|sent| sent.branch() != invite.branch()), "{passed:?}");
    }
    let (invite, cancelling) = {
        world.receive(CALLER, cancel());
        world.sent(CALLER, "SIP/2.0 200");
        (invite, world.sent(FIRST, "CANCEL"))
    };
    obeyed(&mut world, &invite, &cancelling);
    ends_clean(world);
}

// Duty 76, RFC 3261 §16.10: no target is tried any more after a CANCEL.
#[test]
fn a_cancelled_call_is_not_moved_on() {
    let mut world = World::new();
    let (invite, cancelling) = cancelled(&mut world);
    world.receive(FIRST, answer(&cancelling, "200 OK", "to1", ""));
    refused(&mut world, FIRST, &invite, "503 Service Unavailable");
    fails_with(&mut world, "500");
    ends_clean(world);
}

// Duty 76, RFC 3261 §9.2: a CANCEL after the final response is answered and changes nothing.
#[test]
fn a_cancel_after_the_final_response_has_no_effect() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    world.nothing_left();
    assert_eq!(world.load(0), 1);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 76, RFC 3261 §9.1: CANCEL and 200 cross: the 200 goes back, the CANCEL's answer stays here.
#[test]
fn a_200_that_crosses_the_cancel_is_passed_on() {
    let mut world = single();
    let (invite, cancelling) = cancelled(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.receive(FIRST, answer(&cancelling, "481 Call/Transaction Does Not Exist", "to1", ""));
    world.nothing_left();
    assert_eq!((world.load(0), world.proxy.stats().calls_answered), (1, 1));
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 77, RFC 3261 §16.10: a CANCEL without response context is forwarded statelessly; §16.11: the same way each time.
#[test]
fn a_cancel_of_an_unknown_invite_is_forwarded_without_state() {
    let mut world =
        World::with(settings(), vec![set(siplane::dispatcher::Algorithm::RoundRobin, &DESTINATIONS)], vec![]);
    world.receive(CALLER, cancel());
    let sent: Vec<_> = world.sent.drain(..).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].line().starts_with("CANCEL sip:b@example.com") && DESTINATIONS.contains(&&*sent[0].to.to_string()));
    assert_eq!((sent[0].all("Via").len(), sent[0].header("Max-Forwards")), (2, "69"));
    assert_eq!((world.proxy.transactions(), world.proxy.stored_bytes(), world.proxy.poll_timeout()), (0, 0, None));
    world.receive(CALLER, cancel());
    let again = world.sent.pop_front().unwrap();
    assert_eq!((again.to, again.bytes), (sent[0].to, sent[0].bytes.clone()));
    ends_clean(world);
}

// Duty 77, RFC 3261 §16.11: what answers it goes by the next Via to who sent it, as it came but for ours, each time.
#[test]
fn the_answer_to_a_cancel_of_an_unknown_invite_goes_back_without_state() {
    for (top, home) in [
        ("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKinv", CALLER),
        ("SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKinv", CALLER),
        ("SIP/2.0/UDP 10.0.0.7;rport;branch=z9hG4bKinv", "198.51.100.1:40000"),
        ("SIP/2.0/UDP 10.0.0.7:5090;branch=z9hG4bKinv, SIP/2.0/UDP far:9;branch=z9hG4bKb", "198.51.100.1:5090"),
    ] {
        let mut world = single();
        let cancel = cancel().replace("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKinv;rport", top);
        assert!(cancel.contains(top));
        world.receive("198.51.100.1:40000", cancel);
        let sent = world.sent(FIRST, "CANCEL");
        for _ in 0..2 {
            let answer = answer(&sent, "481 Call/Transaction Does Not Exist", "to1", "Warning: 399 b \"x\"\r\n");
            world.receive(FIRST, &answer);
            let back = world.sent(home, "SIP/2.0 481");
            assert_eq!(back.all("Via"), sent.all("Via")[1..]);
            assert!(
                answer.ends_with(back.text.split_once("Via").unwrap().1.split_once("\r\n").unwrap().1),
                "{}",
                back.text
            );
            world.nothing_left();
        }
        assert_eq!((world.proxy.transactions(), world.proxy.stats().stray_responses), (0, 0));
        ends_clean(world);
    }
}

// It goes to nobody else: its branch is bound to Via, Call-ID, CSeq number and address of the CANCEL. RFC 6026 §7.3: all else is dropped.
#[test]
fn only_the_answer_to_a_cancel_without_state_goes_back_and_only_to_its_sender() {
    let mut world = single();
    world.receive(CALLER, cancel().replace(";rport", ""));
    let sent = world.sent(FIRST, "CANCEL");
    let answer = |status: &str| answer(&sent, status, "to1", "");
    let good = answer("200 OK");
    for (old, new) in [
        ("198.51.100.1:5060;branch", "198.51.100.2:5060;branch"),
        ("198.51.100.1:5060;branch", "198.51.100.1:5061;branch"),
        ("198.51.100.1:5060;branch", "198.51.100.1:5060;received=198.51.100.9;branch"),
        ("198.51.100.1:5060;branch", "198.51.100.1:5060;rport=9;branch"),
        ("z9hG4bKinv", "z9hG4bKinw"),
        ("CSeq: 1 CANCEL", "CSeq: 2 CANCEL"),
        ("CSeq: 1 CANCEL", "CSeq: 1 OPTIONS"),
        ("Call-ID: call", "Call-ID: cell"),
        (";branch=z9hG4bKa", ";branch=z9hG4bKa0"),
        (";branch=z9hG4bKa", ";branch=z9hG4bKs"),
    ] {
        assert!(good.contains(old), "{old}");
        world.receive(FIRST, good.replacen(old, new, 1));
        world.nothing_left();
    }
    let mut digits = sent.branch().to_owned();
    let last = if digits.as_bytes()[8] == b'0' { "1" } else { "0" };
    digits.replace_range(8..9, last);
    world.receive(FIRST, good.replace(sent.branch(), &digits));
    // RFC 3261 §16.7 item 3: no Via is left to send it to.
    let (start, rest) = good.split_once("\r\nVia: SIP/2.0/UDP 198.51.100.1").unwrap();
    world.receive(FIRST, [start, rest.split_once("\r\n").unwrap().1].join("\r\n"));
    // RFC 4320 §4.1
    world.receive(FIRST, answer("100 Trying"));
    world.nothing_left();
    assert_eq!(world.proxy.stats().stray_responses, 13);
    world.receive(FIRST, good);
    world.sent(CALLER, "SIP/2.0 200");
    // RFC 3261 §13.2.2.4: the ACK of a 2xx goes on without state as well, and nothing answers it.
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("ACK", "ack2", &invite, "to1"));
    let ack = world.sent(FIRST, "ACK");
    world.receive(FIRST, super::world::answer(&ack, "200 OK", "to1", ""));
    world.receive(FIRST, super::world::answer(&ack, "200 OK", "to1", "").replace("ACK\r\n", "CANCEL\r\n"));
    world.nothing_left();
}

// Duty 77, RFC 3261 §16.10: along its Route when it has one.
#[test]
fn a_cancel_of_an_unknown_invite_follows_its_route() {
    let mut world = single();
    let route = "Route: <sip:192.0.2.1;lr>, <sip:203.0.113.9:5066;lr>\r\n";
    world.receive(CALLER, request("CANCEL", "sip:b@example.com", "inv", route));
    assert_eq!(world.sent("203.0.113.9:5066", "CANCEL").all("Route"), ["<sip:203.0.113.9:5066;lr>"]);
    assert_eq!(world.proxy.transactions(), 0);
    // RFC 3261 §16.3 item 3 holds for it too.
    world.receive(CALLER, cancel().replace("Max-Forwards: 70", "Max-Forwards: 0"));
    world.sent(CALLER, "SIP/2.0 483");
    ends_clean(world);
}

// Duty 78, RFC 3261 §9.1: what a CANCEL of ours is made of.
#[test]
fn our_cancel_is_made_of_the_invite_that_we_sent() {
    let mut world = single();
    let more =
        "Route: <sip:203.0.113.1:5060;lr>, <sip:203.0.113.8;lr>\r\nRequire: 100rel\r\nRoute: <sip:203.0.113.9;lr>\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com;x=y", "inv", more));
    world.sent(CALLER, "SIP/2.0 100");
    let invite = world.sent(FIRST, "INVITE");
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.receive(CALLER, request("CANCEL", "sip:b@example.com;x=y", "inv", ""));
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL sip:b@example.com;x=y SIP/2.0");
    for name in ["Call-ID", "From", "To", "Route"] {
        assert_eq!(cancel.all(name), invite.all(name), "{name}");
    }
    assert_eq!(cancel.header("To"), "<sip:b@example.com>", "no tag, whatever the 180 had");
    assert_eq!(cancel.all("Via"), invite.all("Via")[..1]);
    assert_eq!((cancel.header("CSeq"), cancel.header("Content-Length")), ("1 CANCEL", "0"));
    for name in ["Require", "Proxy-Require", "Record-Route", "Contact"] {
        assert!(cancel.all(name).is_empty(), "{name}");
    }
    obeyed(&mut world, &invite, &cancel);
    ends_clean(world);
}

// Duty 79, RFC 3261 §9.1: no CANCEL before a provisional response; then to the INVITE's own address by its own socket.
#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    world.wait_ms(400);
    world.nothing_left();
    // A 100 is one.
    world.receive("203.0.113.1:9999", answer(&invite, "100 Trying", "", ""));
    let cancelling = world.sent(FIRST, "CANCEL");
    assert_eq!((cancelling.to, cancelling.socket, cancelling.branch()), (invite.to, invite.socket, invite.branch()));
    world.receive(FIRST, answer(&invite, "100 Trying", "", ""));
    world.nothing_left();
    obeyed(&mut world, &invite, &cancelling);
    ends_clean(world);
}

// Duty 79, RFC 3261 §9.1: a final response that comes first needs no CANCEL.
#[test]
fn no_cancel_is_sent_when_the_final_response_is_the_first_one() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 79, RFC 3261 §9.1: a destination that never answers gets no CANCEL, and the caller its 487.
#[test]
fn a_cancelled_call_to_a_silent_destination_ends_with_487() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    world.wait_ms(1_900);
    world.sent.clear();
    // The answer time-out is over: nobody needs to wait for Timer B.
    world.wait_ms(200);
    fails_with(&mut world, "487");
    // It wakes up all the same: it must not ring on.
    world.receive(FIRST, answer(&invite, "180 Ringing", "to1", ""));
    let cancelling = world.sent(FIRST, "CANCEL");
    world.receive(FIRST, answer(&cancelling, "200 OK", "to1", ""));
    refused(&mut world, FIRST, &invite, "487 Request Terminated");
    ends_clean(world);
}

// Duty 92 for a CANCEL, RFC 3261 §9.1: it is a request of its own and is repeated like one.
#[test]
fn our_cancel_is_repeated_until_it_is_answered() {
    let mut world = single();
    let (invite, cancelling) = cancelled(&mut world);
    world.wait_ms(4_000);
    about(&times(&mut world, FIRST, "CANCEL"), &[500, 1_500, 3_500]);
    world.receive(FIRST, answer(&cancelling, "200 OK", "to1", ""));
    world.wait_ms(10_000);
    world.nothing_left();
    refused(&mut world, FIRST, &invite, "487 Request Terminated");
    fails_with(&mut world, "487");
    ends_clean(world);
}

// Duty 76, RFC 3261 §9.1: without a final response within 64*T1 of the CANCEL the INVITE counts as cancelled.
#[test]
fn a_callee_that_ignores_the_cancel_is_left_after_64_t1() {
    let mut world = single();
    let (_, cancelling) = cancelled(&mut world);
    world.receive(FIRST, answer(&cancelling, "200 OK", "to1", ""));
    world.wait_ms(31_900);
    world.nothing_left();
    world.wait_ms(200);
    fails_with(&mut world, "487");
    assert_eq!(world.load(0), 0);
    ends_clean(world);
}

// The early lifetime (dialog.early_timeout_s) ends a call that rings on, whatever its provisional responses say.
#[test]
fn the_early_lifetime_cancels_a_call_that_keeps_ringing() {
    let mut world = single();
    let invite = call(&mut world);
    for _ in 0..4 {
        relayed(&mut world, FIRST, &invite, "180 Ringing");
        world.wait(Duration::from_secs(70));
    }
    world.wait_ms(19_900);
    world.nothing_left();
    world.wait_ms(300);
    let cancelling = world.sent(FIRST, "CANCEL");
    obeyed(&mut world, &invite, &cancelling);
    ends_clean(world);
}

// It has rung long enough, as with Timer C (RFC 3261 §16.8): whatever comes of that CANCEL, nobody else is rung.
#[test]
fn no_other_destination_is_tried_after_the_early_lifetime() {
    for silent in [false, true] {
        let mut world = dispatching(2, |_| {});
        let invite = call(&mut world);
        for _ in 0..4 {
            relayed(&mut world, FIRST, &invite, "180 Ringing");
            world.wait(Duration::from_secs(70));
        }
        world.wait_ms(20_200);
        let cancelling = world.sent(FIRST, "CANCEL");
        world.receive(FIRST, answer(&cancelling, "200 OK", "to1", ""));
        if silent {
            // RFC 3261 §9.1: 64*T1 behind its CANCEL the INVITE counts as cancelled.
            world.wait_ms(32_100);
        } else {
            refused(&mut world, FIRST, &invite, "500 Server Internal Error");
        }
        fails_with(&mut world, if silent { "408" } else { "500" });
        world.nothing_left();
        ends_clean(world);
    }
}

// RFC 3261 §9.2
#[test]
fn a_cancel_of_an_unknown_invite_is_481_when_no_destination_could_be_asked() {
    let mut world = World::new();
    let table = &world.policy.table;
    for destination in &table.set(SetId(1)).unwrap().destinations {
        table.states().set_health(destination.state, Health::Inactive, world.now);
    }
    world.receive(CALLER, request("CANCEL", "sip:b@example.com", "inv", ""));
    world.sent(CALLER, "SIP/2.0 481");
    world.nothing_left();
    assert_eq!(world.proxy.transactions(), 0);
}
