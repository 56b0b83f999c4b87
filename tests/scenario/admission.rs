//! A shard that is offered more than it can take: new calls are refused or left unanswered, everything else goes on.

use super::more_b::*;
use super::world::*;
use siplane::proxy::Shedding;
use std::collections::BTreeSet;

const SOME: Shedding = Shedding { refusals: 2, loss_percent: 60 };

/// A new call, numbered.
fn numbered(number: usize) -> String {
    invite().replace("call-1@", &format!("call-n{number}@")).replace("=z9hG4bKinv", &format!("=z9hG4bKn{number}"))
}

#[test]
fn new_calls_are_refused_without_state_as_many_as_may_be_and_the_rest_is_left_unanswered() {
    // RFC 3261 §21.5.4
    let mut world = single();
    for turn in 1..=2 {
        world.proxy.shed(Some(SOME));
        (0..5).for_each(|number| world.receive(CALLER, numbered(number)));
        for _ in 0..2 {
            let refusal = world.sent(CALLER, "SIP/2.0 503");
            assert!(!refusal.header("Retry-After").is_empty() && !refusal.header("Via").contains("oc"));
            world.receive(CALLER, hop_ack(&refusal));
        }
        world.nothing_left();
        let stats = world.proxy.stats();
        assert_eq!((stats.refused_overload, stats.shed_unanswered, stats.calls), (2 * turn, 3 * turn, 0));
    }
    world.proxy.shed(None);
    let invite = established(&mut world);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn what_has_begun_goes_on_while_new_calls_are_left_out() {
    let mut world = single();
    let invite = call(&mut world);
    world.proxy.shed(Some(Shedding { refusals: 0, loss_percent: 100 }));
    world.receive(CALLER, super::world::invite());
    world.sent(CALLER, "SIP/2.0 100");
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    for (from, again) in
        [(CALLER, in_dialog("INVITE", "again", &invite, "to1")), (FIRST, from_callee("INVITE", "back", &invite, "to1"))]
    {
        world.receive(from, again);
        world.sent(from, "SIP/2.0 100");
        let to = if from == CALLER { FIRST } else { CALLER };
        let reinvite = world.sent(to, "INVITE");
        world.receive(to, answer(&reinvite, "488 Not Acceptable Here", "to1", ""));
        world.sent(to, "ACK");
        world.sent(from, "SIP/2.0 488");
    }
    world.wait_ms(33_000);
    world.sent.clear();
    hang_up(&mut world, &invite, "to1");
    assert_eq!(world.proxy.stats().shed_unanswered, 0);
    ends_clean(world);
}

#[test]
fn other_methods_and_emergency_calls_are_taken_while_new_calls_are_left_out() {
    // RFC 7339 §5.10.1
    let mut world = single();
    world.proxy.shed(Some(Shedding { refusals: 0, loss_percent: 100 }));
    world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
    world.sent(FIRST, "MESSAGE");
    let sos = numbered(1).replace("To: <sip:b@example.com>", "To: <urn:service:sos>");
    world.receive(CALLER, sos);
    world.sent(CALLER, "SIP/2.0 100");
    world.sent(FIRST, "INVITE");
    world.receive(CALLER, numbered(2).replace("Content-Length", "Resource-Priority: esnet.1\r\nContent-Length"));
    world.sent(CALLER, "SIP/2.0 100");
    world.sent(FIRST, "INVITE");
    world.receive(CALLER, numbered(3));
    world.nothing_left();
}

#[test]
fn a_client_that_heeds_reports_gets_one_and_no_retry_after() {
    // RFC 7339 §4, §5.10.2
    let mut world = single();
    let offering = |number| numbered(number).replacen(";rport", ";rport;oc;oc-algo=\"loss,rate\"", 1);
    world.proxy.shed(Some(SOME));
    world.receive(CALLER, offering(1));
    let refusal = world.sent(CALLER, "SIP/2.0 503");
    assert_eq!(refusal.header("Retry-After"), "");
    let via = "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKn1;rport=5060;received=198.51.100.1;oc=60;oc-algo=\"loss\";\
               oc-validity=500;oc-seq=1.000";
    assert_eq!(refusal.header("Via"), via);
    world.wait_ms(1_234);
    world.receive(CALLER, offering(2));
    let later = world.sent(CALLER, "SIP/2.0 503");
    assert!(later.header("Via").ends_with(";oc-seq=2.234"), "{}", later.header("Via"));
}

#[test]
fn those_who_are_refused_do_not_all_come_back_at_once() {
    let mut world = single();
    world.proxy.shed(Some(Shedding { refusals: 200, loss_percent: 50 }));
    let waits: BTreeSet<u32> = (0..200)
        .map(|number| {
            world.receive(CALLER, numbered(number));
            world.sent(CALLER, "SIP/2.0 503").header("Retry-After").parse().unwrap()
        })
        .collect();
    assert_eq!(waits, (1..=8).collect());
}
