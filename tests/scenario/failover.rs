//! A request moves on from destination to destination of its set.

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Admin, Algorithm, Exhausted, FailoverCodes, Health, SetId, Table};
use std::time::Duration;

fn taken_over(world: &World) -> Vec<u64> {
    let table = &world.policy.table;
    let destinations = table.set(SetId(1)).unwrap().destinations.iter();
    destinations.map(|it| table.states().counters(it.state).taken_over).collect()
}

fn counters(world: &World, index: usize) -> (u64, u64, u64, u64) {
    let state = world.policy.table.set(SetId(1)).unwrap().destinations[index].state;
    let counters = world.policy.table.states().counters(state);
    (counters.selected, counters.answered, counters.failed, counters.failovers)
}

/// The first destination answers with `status`; whether the second one gets its turn.
fn moves_on(status: u16) -> bool {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, &format!("{status} Because"));
    let next = world.sent.front().map(|sent| sent.to.to_string());
    if next.as_deref() == Some(SECOND) {
        let second = world.sent(SECOND, "INVITE");
        refused(&mut world, SECOND, &second, "302 Moved Temporarily");
        fails_with(&mut world, "302");
    } else {
        fails_with(&mut world, &status.to_string());
    }
    ends_clean(world);
    next.as_deref() == Some(SECOND)
}

// RFC 3261 §16.7 item 5 leaves it to the proxy which failures start a new branch; these are the set's default codes.
#[test]
fn the_default_codes_move_a_call_on_and_no_other_does() {
    let moving: Vec<_> = (300..700).filter(|code| moves_on(*code)).collect();
    let wanted: Vec<_> =
        std::iter::once(408).chain((500..600).filter(|code| ![501, 505, 513].contains(code))).collect();
    assert_eq!(moving, wanted);
    assert!([486, 404, 501, 505, 513, 487].iter().all(|code| !moving.contains(code)));
}

#[test]
fn a_set_may_have_other_codes() {
    let mut world = dispatching(2, |set| {
        set.failover_codes = FailoverCodes::NONE;
        set.failover_codes.insert(486);
    });
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "486 Busy Here");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "500 Server Internal Error");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 49, RFC 3261 §16.6 items 7 and 8: each attempt is a transaction of its own, made of the same request.
#[test]
fn every_attempt_has_a_branch_of_its_own_and_the_same_request() {
    let mut world = World::new();
    let mut attempts = vec![call(&mut world)];
    for at in 0..3 {
        refused(&mut world, DESTINATIONS[at], &attempts[at], "500 Server Internal Error");
        if at < 2 {
            attempts.push(world.sent(DESTINATIONS[at + 1], "INVITE"));
        }
    }
    fails_with(&mut world, "500");
    for attempt in &attempts[1..] {
        assert_ne!(attempt.branch(), attempts[0].branch());
        let as_first = attempt.text.replace(attempt.branch(), attempts[0].branch());
        assert_eq!(as_first, attempts[0].text);
    }
    assert_ne!(attempts[1].branch(), attempts[2].branch());
    assert_eq!(world.proxy.stats().failovers, 2);
    assert_eq!(taken_over(&world), [0, 1, 1]);
    ends_clean(world);
}

#[test]
fn the_failover_limit_bounds_the_attempts() {
    let mut world = dispatching(3, |set| set.failover_limit = 2);
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "502 Bad Gateway");
    fails_with(&mut world, "500");
    ends_clean(world);
}

#[test]
fn health_is_looked_at_when_a_targets_turn_comes() {
    let mut world = World::new();
    let first = call(&mut world);
    set_health(&world, 1, Health::Inactive);
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    let third = world.sent(THIRD, "INVITE");
    relayed(&mut world, THIRD, &third, "200 OK");
    hang_up(&mut world, &third, "to1");
    ends_clean(world);
}

#[test]
fn a_target_that_an_operator_took_out_meanwhile_is_passed_over() {
    for admin in [Admin::Draining, Admin::Disabled] {
        let mut world = World::new();
        let first = call(&mut world);
        set_admin(&world, 1, admin);
        set_admin(&world, 2, admin);
        refused(&mut world, FIRST, &first, "502 Bad Gateway");
        fails_with(&mut world, "502");
        ends_clean(world);
    }
}

#[test]
fn a_target_that_came_back_meanwhile_is_tried() {
    let mut world = World::new();
    let first = call(&mut world);
    set_health(&world, 1, Health::Inactive);
    set_health(&world, 1, Health::Trying);
    refused(&mut world, FIRST, &first, "502 Bad Gateway");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

#[test]
fn a_target_that_a_reload_removed_is_passed_over_and_its_load_given_back() {
    let mut world = World::new();
    let first = call(&mut world);
    let fewer = set(Algorithm::Priority, &[FIRST, THIRD]);
    world.policy.table = Table::build(vec![fewer], Some((&world.policy.table, world.now))).unwrap();
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    let third = world.sent(THIRD, "INVITE");
    // The destination of a running call goes too: the call goes on.
    let none = set(Algorithm::Priority, &[FIRST]);
    world.policy.table = Table::build(vec![none], Some((&world.policy.table, world.now))).unwrap();
    relayed(&mut world, THIRD, &third, "200 OK");
    hang_up(&mut world, &third, "to1");
    ends_clean(world);
}

// What becomes of a request says nothing of the destination that has come in the place of the one that got it.
#[test]
fn the_silence_of_a_destination_that_is_gone_is_no_evidence_about_the_one_in_its_place() {
    for unreachable in [false, true] {
        let mut world = dispatching(1, |_| {});
        world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
        let sent = world.sent(FIRST, "MESSAGE");
        replace_first(&mut world, |_| {});
        if unreachable {
            world.unreachable(&sent);
        }
        world.wait(Duration::from_secs(40));
        let (states, state) = (world.policy.table.states(), world.policy.table.sets()[0].destinations[0].state);
        let evidence = states.evidence(state);
        assert_eq!((evidence.timeouts_in_row, evidence.unreachables_in_row, evidence.total()), (0, 0, 0));
        assert_eq!(states.counters(state).failed, 0);
        world.sent.clear();
        ends_clean(world);
    }
}

#[test]
fn without_another_target_a_silent_destination_has_until_timer_b() {
    let mut world = World::new();
    let first = call(&mut world);
    set_health(&world, 1, Health::Inactive);
    set_health(&world, 2, Health::Inactive);
    world.wait_ms(10_000);
    about(&times(&mut world, FIRST, "INVITE"), &[500, 1_500, 3_500, 7_500]);
    assert_eq!(world.proxy.stats().answer_timeouts, 0);
    relayed(&mut world, FIRST, &first, "180 Ringing");
    relayed(&mut world, FIRST, &first, "200 OK");
    hang_up(&mut world, &first, "to1");
    ends_clean(world);
}

#[test]
fn any_provisional_keeps_a_call_at_its_destination() {
    for status in ["100 Trying", "180 Ringing"] {
        let mut world = World::new();
        let first = call(&mut world);
        world.wait_ms(1_900);
        world.sent.clear();
        world.receive(FIRST, answer(&first, status, "to1", ""));
        world.sent.clear();
        world.wait_ms(60_000);
        world.nothing_left();
        refused(&mut world, FIRST, &first, "486 Busy Here");
        fails_with(&mut world, "486");
        ends_clean(world);
    }
}

#[test]
fn a_late_200_of_a_destination_that_was_given_up_wins_while_nobody_else_has() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    assert_eq!((world.load(0), world.load(1)), (1, 1));
    world.receive(FIRST, answer(&first, "200 OK", "late", ""));
    assert!(world.sent(CALLER, "SIP/2.0 200").header("To").ends_with(";tag=late"));
    // The second has sent no provisional: its CANCEL waits for one.
    world.nothing_left();
    world.receive(SECOND, answer(&second, "180 Ringing", "to2", ""));
    let cancel = world.sent(SECOND, "CANCEL");
    world.receive(SECOND, answer(&cancel, "200 OK", "to2", ""));
    refused(&mut world, SECOND, &second, "487 Request Terminated");
    assert_eq!((world.load(0), world.load(1)), (1, 0));
    hang_up(&mut world, &first, "late");
    ends_clean(world);
}

// RFC 3261 §16.7 item 5: any 2xx to an INVITE is forwarded, after another one too: the caller sorts them out.
#[test]
fn a_late_200_after_anothers_200_is_passed_on_and_both_calls_end() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    relayed(&mut world, SECOND, &second, "200 OK");
    world.receive(FIRST, answer(&first, "200 OK", "late", ""));
    world.sent(CALLER, "SIP/2.0 200");
    hang_up(&mut world, &second, "to1");
    hang_up(&mut world, &first, "late");
    assert_eq!((world.load(0), world.load(1)), (0, 0));
    ends_clean(world);
}

#[test]
fn a_late_failure_of_a_destination_that_was_given_up_moves_nothing_on() {
    let mut world = World::new();
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    world.nothing_left();
    relayed(&mut world, SECOND, &second, "200 OK");
    hang_up(&mut world, &second, "to1");
    ends_clean(world);
}

#[test]
fn when_exhausted_the_best_response_goes_back() {
    let mut world = dispatching(2, |set| set.retry_after_s = 30);
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "504 Server Time-out");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "500 Server Internal Error");
    assert!(fails_with(&mut world, "504").all("Retry-After").is_empty());
    ends_clean(world);
}

#[test]
fn when_exhausted_a_set_may_answer_503_with_retry_after() {
    let mut world = dispatching(2, |set| (set.exhausted, set.retry_after_s) = (Exhausted::ServiceUnavailable, 30));
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "504 Server Time-out");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "500 Server Internal Error");
    assert_eq!(fails_with(&mut world, "503").header("Retry-After"), "30");
    // What a destination decided for the call itself goes back as it is.
    world.receive(CALLER, other_call(&invite()));
    world.sent(CALLER, "SIP/2.0 100");
    let busy = world.sent(FIRST, "INVITE");
    refused(&mut world, FIRST, &busy, "486 Busy Here");
    let response = world.sent(CALLER, "SIP/2.0 486");
    world.receive(CALLER, other_call(&hop_ack(&response)));
    ends_clean(world);
}

#[test]
fn when_exhausted_by_silence_such_a_set_answers_503_too() {
    let mut world = dispatching(2, |set| (set.exhausted, set.retry_after_s) = (Exhausted::ServiceUnavailable, 7));
    call(&mut world);
    world.wait_ms(33_900);
    world.sent.retain(|sent| sent.to.to_string() == CALLER);
    world.nothing_left();
    world.wait_ms(200);
    world.sent.retain(|sent| sent.to.to_string() == CALLER);
    assert_eq!(fails_with(&mut world, "503").header("Retry-After"), "7");
    ends_clean(world);
}

// Duty 37, RFC 3261 §16.5: an empty target set is answered with an error: 503 by policy.
#[test]
fn a_set_without_an_available_destination_is_answered_503_with_retry_after() {
    for all_down in [true, false] {
        let mut world = dispatching(if all_down { 2 } else { 0 }, |set| set.retry_after_s = 12);
        if all_down {
            set_health(&world, 0, Health::Inactive);
            set_admin(&world, 1, Admin::Disabled);
        }
        world.receive(CALLER, invite());
        let refusal = world.sent(CALLER, "SIP/2.0 503");
        assert_eq!(refusal.header("Retry-After"), "12");
        world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
        assert_eq!(world.sent(CALLER, "SIP/2.0 503").header("Retry-After"), "12");
        assert_eq!((world.proxy.stats().no_destination, world.proxy.transactions()), (2, 0));
        world.receive(CALLER, hop_ack(&refusal));
        ends_clean(world);
    }
}

#[test]
fn without_retry_after_the_503_has_none() {
    let mut world = dispatching(0, |_| {});
    world.receive(CALLER, invite());
    assert!(world.sent(CALLER, "SIP/2.0 503").all("Retry-After").is_empty());
    ends_clean(world);
}

#[test]
fn a_trying_destination_still_gets_calls() {
    let mut world = single();
    set_health(&world, 0, Health::Trying);
    let invite = established(&mut world);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn other_requests_move_on_like_calls() {
    let mut world = dispatching(2, |_| {});
    world.receive(CALLER, request("REGISTER", "sip:example.com", "reg", ""));
    let first = world.sent(FIRST, "REGISTER");
    world.receive(FIRST, answer(&first, "500 Server Internal Error", "to1", ""));
    let second = world.sent(SECOND, "REGISTER");
    assert_ne!(first.branch(), second.branch());
    relayed(&mut world, SECOND, &second, "200 OK");
    assert_eq!(world.proxy.stats().calls, 0);
    ends_clean(world);
}

#[test]
fn a_request_in_a_dialog_does_not_move_on() {
    let mut world = World::new();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("INFO", "info", &invite, "to1"));
    let info = world.sent(FIRST, "INFO");
    relayed(&mut world, FIRST, &info, "500 Server Internal Error");
    world.wait(Duration::from_secs(10));
    world.nothing_left();
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// The counters that an operator sees per destination: selected, answered, failed, moved on from.
#[test]
fn each_destination_counts_what_became_of_its_requests() {
    let mut world = World::new();
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    let second = world.sent(SECOND, "INVITE");
    world.unreachable(&second);
    let third = world.sent(THIRD, "INVITE");
    relayed(&mut world, THIRD, &third, "200 OK");
    assert_eq!(counters(&world, 0), (1, 0, 1, 1), "a failover code");
    assert_eq!(counters(&world, 1), (1, 0, 1, 1), "a send error");
    assert_eq!(counters(&world, 2), (1, 1, 0, 0));
    hang_up(&mut world, &third, "to1");
    world.receive(CALLER, other_call(&invite()));
    world.sent(CALLER, "SIP/2.0 100");
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    refused(&mut world, SECOND, &second, "486 Busy Here");
    assert_eq!(counters(&world, 0), (2, 0, 2, 2), "silence");
    assert_eq!(counters(&world, 1), (2, 0, 1, 1), "busy is an answer");
    let busy = world.sent(CALLER, "SIP/2.0 486");
    world.receive(CALLER, other_call(&hop_ack(&busy)));
    ends_clean(world);
}
