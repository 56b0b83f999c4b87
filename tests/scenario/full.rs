//! Every table has a bound: beyond it a request is refused and counted, and what was there goes on. Draining.

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Algorithm, SetSpec};
use siplane::proxy::Settings;

/// A call is refused with 503, Retry-After and a count while these settings leave no room for it.
#[track_caller]
fn second_call_is_refused(change: impl FnOnce(&mut Settings)) {
    let mut world = configured(1, change);
    let first = call(&mut world);
    let in_use = world.proxy.stored_bytes();
    for at in 1..4 {
        world.receive(CALLER, other_call(&invite()));
        let refusal = world.sent(CALLER, "SIP/2.0 503");
        assert!(!refusal.header("Retry-After").is_empty());
        world.receive(CALLER, other_call(&hop_ack(&refusal)));
        world.nothing_left();
        assert_eq!(world.proxy.stats().refused_full, at);
        assert_eq!(world.proxy.stored_bytes(), in_use, "a refused request keeps no memory");
    }
    assert_eq!((world.load(0), world.proxy.transactions(), world.proxy.dialogs()), (1, 1, 1));
    relayed(&mut world, FIRST, &first, "200 OK");
    hang_up_when_room(&mut world, &first);
    world.wait_ms(40_000);
    // There is room again.
    let again = established(&mut world);
    hang_up_when_room(&mut world, &again);
    ends_clean(world);
}

/// [`hang_up`] once the INVITE's transactions are gone.
fn hang_up_when_room(world: &mut World, invite: &Sent) {
    world.wait_ms(40_000);
    hang_up(world, invite, "to1");
}

#[test]
fn a_call_beyond_the_transactions_is_refused() {
    second_call_is_refused(|settings| settings.transactions_max = 1);
}

#[test]
fn a_call_beyond_the_dialogs_is_refused() {
    second_call_is_refused(|settings| settings.dialogs_max = 1);
}

#[test]
fn a_call_beyond_the_memory_is_refused() {
    // One call: its request and its branch in 512 bytes each.
    second_call_is_refused(|settings| settings.stored_bytes_max = 1_024);
}

#[test]
fn without_any_memory_every_request_is_refused_without_state() {
    let mut world = configured(1, |settings| settings.stored_bytes_max = 0);
    for request in [invite(), request("MESSAGE", "sip:b@example.com", "msg", "")] {
        world.receive(CALLER, request);
        world.sent(CALLER, "SIP/2.0 503");
    }
    assert_eq!((world.proxy.stats().refused_full, world.proxy.transactions()), (2, 0));
    ends_clean(world);
}

#[test]
fn a_call_whose_branch_finds_no_memory_is_answered_503() {
    let mut world = configured(2, |settings| settings.stored_bytes_max = 512);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    fails_with(&mut world, "503");
    assert!(world.proxy.stats().refused_full >= 1);
    assert_eq!((world.load(0), world.load(1)), (0, 0));
    ends_clean(world);
}

// RFC 3261 §16.10: a CANCEL makes room; that there is none must not stop it.
#[test]
fn a_call_can_be_cancelled_when_the_table_is_full() {
    let mut world = configured(1, |settings| settings.transactions_max = 1);
    let sent = call(&mut world);
    relayed(&mut world, FIRST, &sent, "180 Ringing");
    for first in [true, false] {
        world.receive(CALLER, cancel());
        world.sent(CALLER, "SIP/2.0 200");
        if first {
            let cancel = world.sent(FIRST, "CANCEL");
            world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
        }
        world.nothing_left();
    }
    refused(&mut world, FIRST, &sent, "487 Request Terminated");
    fails_with(&mut world, "487");
    ends_clean(world);
}

// Our own CANCEL without room for its transaction is sent once, and nothing is lost with it.
#[test]
fn a_cancel_of_ours_without_room_is_sent_once() {
    let mut world = configured(2, |settings| settings.transactions_max = 1);
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    world.receive(FIRST, answer(&first, "180 Ringing", "to0", ""));
    world.sent(FIRST, "CANCEL");
    relayed(&mut world, SECOND, &second, "180 Ringing");
    world.wait_ms(5_000);
    world.nothing_left();
    refused(&mut world, FIRST, &first, "487 Request Terminated");
    refused(&mut world, SECOND, &second, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

#[test]
fn forks_beyond_the_limit_are_passed_on_and_counted() {
    let mut world = single();
    let sent = call(&mut world);
    let max = siplane::limits::FORKS_MAX;
    for fork in 0..max + 2 {
        world.receive(FIRST, answer(&sent, "200 OK", &format!("fork{fork}"), ""));
        world.sent(CALLER, "SIP/2.0 200");
    }
    assert_eq!((world.proxy.stats().forks_beyond_limit, world.load(0)), (2, 1));
    (0..max).for_each(|fork| hang_up(&mut world, &sent, &format!("fork{fork}")));
    assert_eq!(world.load(0), 0);
    ends_clean(world);
}

#[test]
fn while_draining_new_requests_are_refused_and_calls_go_on() {
    let mut world = dispatching(2, |_| {});
    let up = established(&mut world);
    world.receive(CALLER, other_call(&invite()));
    world.sent(CALLER, "SIP/2.0 100");
    let ringing = world.sent(FIRST, "INVITE");
    world.proxy.drain();
    for request in
        [request("INVITE", "sip:c@example.com", "new", ""), request("MESSAGE", "sip:c@example.com", "msg", "")]
    {
        world.receive(CALLER, request.replace("call-1@", "call-3@"));
        let refusal = world.sent(CALLER, "SIP/2.0 503");
        assert!(!refusal.header("Retry-After").is_empty());
    }
    assert_eq!(world.proxy.stats().refused_draining, 2);
    // A retransmission is no new request, and failover goes on.
    world.receive(CALLER, other_call(&invite()));
    world.sent(CALLER, "SIP/2.0 100");
    refused(&mut world, FIRST, &ringing, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    relayed(&mut world, SECOND, &second, "180 Ringing");
    world.receive(CALLER, other_call(&cancel()));
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(SECOND, "CANCEL");
    world.receive(SECOND, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, SECOND, &second, "487 Request Terminated");
    let response = world.sent(CALLER, "SIP/2.0 487");
    world.receive(CALLER, other_call(&hop_ack(&response)));
    hang_up(&mut world, &up, "to1");
    ends_clean(world);
}

// RFC 3261 §16.7 item 6: a better answer that there is no room for does not take the place of the one that is kept.
#[test]
fn an_answer_without_room_leaves_the_one_before() {
    let forked = |settings: Settings| {
        let set = SetSpec { branches_max: 2, ..set(Algorithm::Parallel, &DESTINATIONS[..2]) };
        let mut world = World::with(settings, vec![set], vec![]);
        world.receive(CALLER, invite());
        world.sent(CALLER, "SIP/2.0 100");
        let branches = [FIRST, SECOND].map(|to| world.sent(to, "INVITE"));
        refused(&mut world, FIRST, &branches[0], "500 Server Internal Error");
        (world, branches)
    };
    let (roomy, _) = forked(settings());
    let (mut world, branches) = forked(Settings { stored_bytes_max: roomy.proxy.stored_bytes(), ..settings() });
    assert_eq!(world.proxy.stats().refused_full, 0);
    let long = format!("Warning: 399 b \"{}\"\r\n", "x".repeat(2_000));
    world.receive(SECOND, answer(&branches[1], "404 Not Found", "to2", &long));
    world.sent(SECOND, "ACK");
    fails_with(&mut world, "500");
    assert!(world.proxy.stats().refused_full > 0);
    ends_clean(world);
}

// RFC 3261 §15.1.1, §21.5.4: a BYE that went nowhere ends nothing: the other side is still in the call.
#[test]
fn a_bye_whose_branch_finds_no_memory_ends_nothing_and_may_come_again() {
    let busy = |settings: Settings| {
        let mut world = World::with(settings, vec![set(Algorithm::Priority, &DESTINATIONS[..1])], vec![]);
        let invite = established(&mut world);
        world.wait_ms(40_000);
        for branch in ["m1", "m2"] {
            world.receive(CALLER, request("MESSAGE", "sip:b@example.com", branch, ""));
            world.sent(FIRST, "MESSAGE");
        }
        world.receive(CALLER, in_dialog("BYE", "bye1", &invite, "to1"));
        (world, invite)
    };
    let (roomy, _) = busy(settings());
    let stored_bytes_max = roomy.proxy.stored_bytes() - 1;
    let (mut world, invite) = busy(Settings { stored_bytes_max, ..settings() });
    let refusal = world.sent(CALLER, "SIP/2.0 503");
    assert_eq!(refusal.header("Retry-After"), "10");
    assert_eq!((world.proxy.stats().refused_full, world.proxy.stats().dialogs_ended), (1, 0));
    assert_eq!((world.load(0), world.proxy.dialogs()), (1, 1));
    world.sent.clear();
    world.wait_ms(70_000);
    world.sent.clear();
    assert_eq!((world.load(0), world.proxy.dialogs(), world.proxy.transactions()), (1, 1, 0));
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// RFC 3261 §17.2.1, §17.2.2: a final response is repeated; the request's memory, which nobody needs any more, holds it.
#[test]
fn a_refusal_for_lack_of_memory_is_repeated_for_who_did_not_hear_it() {
    for method in ["INVITE", "MESSAGE"] {
        let mut world = configured(2, |settings| settings.stored_bytes_max = 512);
        let text = request(method, "sip:b@example.com", "once", "");
        world.receive(CALLER, &text);
        let first = world.sent.pop_back().unwrap();
        assert!(first.line().starts_with("SIP/2.0 503"), "{}", first.text);
        world.sent.clear();
        world.receive(CALLER, &text);
        assert_eq!(world.sent(CALLER, "SIP/2.0 503").bytes, first.bytes, "{method}");
        world.sent.clear();
        // RFC 3261 §17.2.1: that of an INVITE by itself, too.
        world.wait_ms(70_000);
        world.sent.clear();
        ends_clean(world);
    }
}
