//! Call load: what Kamailio counts wrongly (its alg 10), here as rules. After each step the shard's tokens are the load.

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Algorithm, Table};
use std::time::Duration;

/// The loads of the first two destinations; the tokens that the proxy holds are those loads.
#[track_caller]
fn loads(world: &World) -> [u64; 2] {
    let states = world.policy.table.states();
    let proxy = &world.proxy;
    assert_eq!(proxy.tokens() as u64, states.total_load(), "drift");
    assert_eq!(proxy.live_tokens().count(), proxy.tokens(), "what is counted is what is there");
    let destinations = &world.policy.table.sets()[0].destinations;
    for destination in destinations {
        let tokens = proxy.live_tokens().filter(|token| *token == destination.state).count();
        assert_eq!(tokens as u64, states.load(destination.state), "drift at {}", destination.uri);
    }
    [0, 1].map(|index| destinations.get(index).map_or(0, |destination| states.load(destination.state)))
}

/// Calls that became one, that BYE ended, that expired, that nobody acknowledged.
fn fates(world: &World) -> [u64; 4] {
    let stats = world.proxy.stats();
    [stats.dialogs_confirmed, stats.dialogs_ended, stats.dialogs_expired, stats.dialogs_unacked]
}

#[test]
fn an_invite_after_407_with_the_same_call_id_is_a_call_of_its_own() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    assert_eq!(loads(&world), [1, 0]);
    refused(&mut world, FIRST, &first, "407 Proxy Authentication Required");
    assert_eq!(loads(&world), [0, 0]);
    fails_with(&mut world, "407");
    // RFC 3261 §22.3: the same Call-ID and From tag, the next CSeq.
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv2", "").replace("CSeq: 1", "CSeq: 2"));
    world.sent(CALLER, "SIP/2.0 100");
    let again = world.sent(FIRST, "INVITE");
    assert_eq!(loads(&world), [1, 0]);
    relayed(&mut world, FIRST, &again, "200 OK");
    assert_eq!(loads(&world), [1, 0]);
    hang_up(&mut world, &again, "to1");
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 1, 0, 0]));
    ends_clean(world);
}

#[test]
fn a_re_invite_adds_no_load_and_its_failure_takes_none() {
    let mut world = dispatching(2, |_| {});
    let invite = established(&mut world);
    for (branch, status) in [("re1", "200 OK"), ("re2", "491 Request Pending")] {
        world.receive(CALLER, in_dialog("INVITE", branch, &invite, "to1"));
        world.sent(CALLER, "SIP/2.0 100");
        let again = world.sent(FIRST, "INVITE");
        assert_eq!(loads(&world), [1, 0]);
        world.receive(FIRST, answer(&again, status, "to1", ""));
        world.sent.clear();
        assert_eq!(loads(&world), [1, 0]);
    }
    world.receive(CALLER, in_dialog("ACK", "re2", &invite, "to1"));
    hang_up(&mut world, &invite, "to1");
    assert_eq!(loads(&world), [0, 0]);
    ends_clean(world);
}

#[test]
fn a_cancel_gives_the_load_back_when_the_call_ends_and_not_before() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL");
    assert_eq!(loads(&world), [1, 0], "it still rings there");
    world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, FIRST, &invite, "487 Request Terminated");
    assert_eq!(loads(&world), [0, 0]);
    fails_with(&mut world, "487");
    ends_clean(world);
}

#[test]
fn a_200_that_crosses_the_cancel_keeps_its_load_until_the_bye() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL");
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.receive(FIRST, answer(&cancel, "481 Call/Transaction Does Not Exist", "", ""));
    assert_eq!(loads(&world), [1, 0]);
    hang_up(&mut world, &invite, "to1");
    assert_eq!(loads(&world), [0, 0]);
    ends_clean(world);
}

#[test]
fn a_cancel_before_any_response_ends_with_no_load() {
    let mut world = single();
    call(&mut world);
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    world.wait_ms(2_100);
    world.sent.retain(|sent| sent.to.to_string() == CALLER);
    fails_with(&mut world, "487");
    assert_eq!(loads(&world), [1, 0], "the silent branch may still be answered");
    world.wait_ms(30_000);
    assert_eq!(loads(&world), [0, 0]);
    ends_clean(world);
}

#[test]
fn failover_moves_the_load_with_the_call() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    assert_eq!(loads(&world), [1, 0]);
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    let second = world.sent(SECOND, "INVITE");
    assert_eq!(loads(&world), [0, 1]);
    relayed(&mut world, SECOND, &second, "200 OK");
    hang_up(&mut world, &second, "to1");
    assert_eq!(loads(&world), [0, 0]);
    let counted = [0, 1].map(|index| {
        let state = world.policy.table.sets()[0].destinations[index].state;
        world.policy.table.states().counters(state).selected
    });
    assert_eq!(counted, [1, 1]);
    ends_clean(world);
}

// RFC 3261 §13.2.2.4: the caller ends the one that it does not want; the load is where the other one is.
#[test]
fn two_destinations_that_both_answer_each_have_their_load() {
    for wanted in [0, 1] {
        let mut world = dispatching(2, |_| {});
        let first = call(&mut world);
        world.wait_ms(2_100);
        let second = world.sent.pop_back().unwrap();
        world.sent.clear();
        world.receive(SECOND, answer(&second, "200 OK", "to2", ""));
        world.receive(FIRST, answer(&first, "200 OK", "to1", ""));
        world.sent.clear();
        assert_eq!((loads(&world), world.proxy.dialogs()), ([1, 1], 1));
        let legs = [(&first, "to1"), (&second, "to2")];
        let (other, tag) = legs[1 - wanted];
        hang_up(&mut world, other, tag);
        assert_eq!(loads(&world)[wanted], 1);
        assert_eq!(loads(&world)[1 - wanted], 0);
        hang_up(&mut world, legs[wanted].0, legs[wanted].1);
        assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 1, 0, 0]));
        ends_clean(world);
    }
}

#[test]
fn a_200_at_the_moment_of_the_answer_time_out_counts_once() {
    for early in [true, false] {
        let mut world = dispatching(2, |_| {});
        let first = call(&mut world);
        world.wait_ms(1_990);
        world.sent.clear();
        if early {
            relayed(&mut world, FIRST, &first, "200 OK");
        }
        world.wait_ms(60);
        let second = world.sent.pop_back();
        assert_eq!(second.is_none(), early);
        if !early {
            relayed(&mut world, FIRST, &first, "200 OK");
            world.receive(SECOND, answer(&second.unwrap(), "486 Busy Here", "to2", ""));
            world.sent(SECOND, "ACK");
        }
        assert_eq!(loads(&world), [1, 0]);
        hang_up(&mut world, &first, "to1");
        assert_eq!(loads(&world), [0, 0]);
        ends_clean(world);
    }
}

#[test]
fn a_200_that_comes_when_timer_b_has_ended_its_branch_brings_no_load_back() {
    let mut world = single();
    let invite = call(&mut world);
    world.wait_ms(32_100);
    world.sent.retain(|sent| sent.to.to_string() == CALLER);
    fails_with(&mut world, "408");
    assert_eq!(loads(&world), [0, 0]);
    world.receive(FIRST, answer(&invite, "200 OK", "to1", ""));
    assert_eq!((loads(&world), world.proxy.stats().stray_responses), ([0, 0], 1));
    ends_clean(world);
}

#[test]
fn the_byes_of_both_sides_at_once_give_one_load_back() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
    let down = world.sent(FIRST, "BYE");
    world.receive(FIRST, from_callee("BYE", "cbye", &invite, "to1"));
    let up = world.sent(CALLER, "BYE");
    world.receive(CALLER, answer(&up, "200 OK", "from1", ""));
    world.sent(FIRST, "SIP/2.0 200");
    assert_eq!(loads(&world), [0, 0]);
    relayed(&mut world, FIRST, &down, "200 OK");
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 1, 0, 0]));
    ends_clean(world);
}

#[test]
fn a_bye_that_never_gets_here_costs_its_load_for_the_dialogs_lifetime_only() {
    let mut world = configured(1, |settings| settings.dialog.confirmed = Duration::from_secs(600));
    established(&mut world);
    world.wait(Duration::from_secs(590));
    assert_eq!(loads(&world), [1, 0]);
    world.wait(Duration::from_secs(15));
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 0, 1, 0]));
    ends_clean(world);
}

#[test]
fn a_call_longer_than_any_expiry_keeps_its_load_while_re_invites_come() {
    let mut world = configured(1, |settings| settings.dialog.confirmed = Duration::from_secs(600));
    let invite = established(&mut world);
    for hour in 0..20 {
        world.wait(Duration::from_secs(500));
        world.receive(CALLER, in_dialog("INVITE", &format!("re{hour}"), &invite, "to1"));
        world.sent(CALLER, "SIP/2.0 100");
        let again = world.sent(FIRST, "INVITE");
        relayed(&mut world, FIRST, &again, "200 OK");
        assert_eq!(loads(&world), [1, 0]);
    }
    hang_up(&mut world, &invite, "to1");
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 1, 0, 0]));
    ends_clean(world);
}

#[test]
fn a_reload_in_mid_call_keeps_the_load_and_the_bye_gives_it_back() {
    let mut world = dispatching(2, |_| {});
    let ringing = call(&mut world);
    for order in [[SECOND, FIRST], [FIRST, SECOND]] {
        let again = set(Algorithm::Priority, &order);
        world.policy.table = Table::build(vec![again], Some((&world.policy.table, world.now))).unwrap();
        assert_eq!(loads(&world), if order[0] == FIRST { [1, 0] } else { [0, 1] });
    }
    relayed(&mut world, FIRST, &ringing, "200 OK");
    let without = set(Algorithm::Priority, &[SECOND]);
    world.policy.table = Table::build(vec![without], Some((&world.policy.table, world.now))).unwrap();
    assert_eq!((loads(&world), world.policy.table.states().total_load()), ([0, 0], 1));
    hang_up(&mut world, &ringing, "to1");
    assert_eq!((loads(&world), world.policy.table.states().total_load()), ([0, 0], 0));
    ends_clean(world);
}

// RFC 3261 §13.3.1.4: a callee whose 2xx is not acknowledged within 64*T1 sends BYE; if that is lost too nobody ever ends the call.
#[test]
fn a_2xx_that_is_never_acknowledged_gives_its_load_back() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.wait_ms(39_800);
    assert_eq!((loads(&world), fates(&world)), ([1, 0], [1, 0, 0, 0]));
    world.wait_ms(300);
    assert_eq!((loads(&world), fates(&world), world.proxy.dialogs()), ([0, 0], [1, 0, 0, 1], 0));
    // The BYE that comes all the same finds its way.
    world.receive(FIRST, from_callee("BYE", "cbye", &invite, "to1"));
    let bye = world.sent(CALLER, "BYE");
    world.receive(CALLER, answer(&bye, "200 OK", "from1", ""));
    world.sent(FIRST, "SIP/2.0 200");
    assert_eq!(loads(&world), [0, 0]);
    ends_clean(world);
}

#[test]
fn the_time_for_the_ack_is_a_setting() {
    let mut world = configured(1, |settings| settings.dialog.no_ack = Duration::from_secs(90));
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.wait_ms(89_500);
    assert_eq!(loads(&world), [1, 0]);
    world.wait_ms(1_000);
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 0, 0, 1]));
    ends_clean(world);
}

#[test]
fn an_ack_or_any_later_request_of_the_caller_shows_that_the_call_is_up() {
    for method in ["ACK", "INFO"] {
        let mut world = single();
        let invite = call(&mut world);
        relayed(&mut world, FIRST, &invite, "200 OK");
        world.wait_ms(20_000);
        world.receive(CALLER, in_dialog(method, "later", &invite, "to1"));
        let passed = world.sent(FIRST, method);
        if method == "INFO" {
            relayed(&mut world, FIRST, &passed, "200 OK");
        }
        world.wait_ms(100_000);
        assert_eq!((loads(&world), fates(&world)), ([1, 0], [1, 0, 0, 0]), "{method}");
        hang_up(&mut world, &invite, "to1");
        ends_clean(world);
    }
}

#[test]
fn an_ack_of_another_leg_or_another_call_confirms_nothing() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.receive(CALLER, in_dialog("ACK", "ack1", &invite, "other"));
    world.receive(CALLER, other_call(&in_dialog("ACK", "ack2", &invite, "to1")));
    // Nor does a request of the callee, which has not heard from the caller either.
    world.receive(FIRST, from_callee("INFO", "cinfo", &invite, "to1"));
    world.sent.clear();
    world.wait_ms(41_000);
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 0, 0, 1]));
    world.sent.clear();
    ends_clean(world);
}

#[test]
fn of_two_legs_the_one_without_ack_is_given_up_and_the_call_goes_on() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.receive(SECOND, answer(&second, "200 OK", "to2", ""));
    world.receive(FIRST, answer(&first, "200 OK", "to1", ""));
    world.receive(CALLER, in_dialog("ACK", "ack", &second, "to2"));
    world.sent.clear();
    world.wait_ms(45_000);
    assert_eq!((loads(&world), fates(&world)), ([0, 1], [1, 0, 0, 0]));
    hang_up(&mut world, &second, "to2");
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 1, 0, 0]));
    ends_clean(world);
}

/// A call whose 2xx brings these header lines, and its ACK.
fn with_session(world: &mut World, more: &str) -> Sent {
    let invite = call(world);
    world.receive(FIRST, answer(&invite, "200 OK", "to1", more));
    assert!(world.sent(CALLER, "SIP/2.0 200").text.contains(more), "passed unchanged");
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    invite
}

// RFC 4028 §8.3: when a session has expired without a refresh its state may go.
#[test]
fn a_session_timer_that_nobody_refreshes_ends_the_call_a_tenth_later() {
    for header in ["Session-Expires: 600;refresher=uas\r\n", "x:600\r\n"] {
        let mut world = single();
        with_session(&mut world, header);
        world.wait(Duration::from_secs(655));
        assert_eq!(loads(&world), [1, 0]);
        world.wait(Duration::from_secs(10));
        assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 0, 1, 0]));
        ends_clean(world);
    }
}

#[test]
fn a_longer_session_timer_than_the_lifetime_lengthens_nothing() {
    let mut world = configured(1, |settings| settings.dialog.confirmed = Duration::from_secs(600));
    with_session(&mut world, "Session-Expires: 4000000000\r\n");
    world.wait(Duration::from_secs(605));
    assert_eq!((loads(&world), fates(&world)), ([0, 0], [1, 0, 1, 0]));
    ends_clean(world);
}

// RFC 4028 §8.2, §10: a 2xx to a re-INVITE or UPDATE sets the timer anew; one without Session-Expires ends it.
#[test]
fn refreshes_of_either_side_keep_the_call_and_may_change_its_timer() {
    let mut world = single();
    let invite = with_session(&mut world, "Session-Expires: 600\r\n");
    let refresh = |world: &mut World, branch: &str, more: &str| {
        world.receive(CALLER, in_dialog("UPDATE", branch, &invite, "to1"));
        let update = world.sent(FIRST, "UPDATE");
        world.receive(FIRST, answer(&update, "200 OK", "to1", more));
        world.sent(CALLER, "SIP/2.0 200");
    };
    for at in 0..3 {
        world.wait(Duration::from_secs(500));
        refresh(&mut world, &format!("up{at}"), "Session-Expires: 600\r\n");
    }
    world.receive(FIRST, from_callee("INVITE", "cre", &invite, "to1"));
    world.sent(FIRST, "SIP/2.0 100");
    let again = world.sent(CALLER, "INVITE");
    world.receive(CALLER, answer(&again, "200 OK", "from1", "Session-Expires: 100\r\n"));
    world.sent(FIRST, "SIP/2.0 200");
    world.wait(Duration::from_secs(105));
    assert_eq!(loads(&world), [1, 0]);
    refresh(&mut world, "up9", "");
    world.wait(Duration::from_secs(3600));
    assert_eq!((loads(&world), fates(&world)), ([1, 0], [1, 0, 0, 0]), "no timer any more");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}
