//! Which final response goes back when no branch succeeds (RFC 3261 §16.7 items 5 to 7).

use super::more_b::*;
use super::world::*;

/// Every code from 400 on moves a request on.
fn always_moving_on(count: usize) -> World {
    dispatching(count, |set| (400..700).for_each(|code| set.failover_codes.insert(code)))
}

/// The destinations answer in turn with these; gives what the caller gets.
#[track_caller]
fn outcome(statuses: &[&str]) -> String {
    let mut world = always_moving_on(3);
    let mut invite = call(&mut world);
    for (at, status) in statuses.iter().enumerate() {
        refused(&mut world, DESTINATIONS[at], &invite, status);
        if at + 1 < statuses.len() {
            invite = world.sent(DESTINATIONS[at + 1], "INVITE");
        }
    }
    let got = fails_with(&mut world, "").line().to_owned();
    ends_clean(world);
    got
}

// Duty 65, RFC 3261 §16.7 item 5: after a 6xx no new branch is started, even if the set has it as a failover code.
#[test]
fn a_6xx_ends_the_search() {
    let mut world = always_moving_on(3);
    let invite = call(&mut world);
    refused(&mut world, FIRST, &invite, "603 Decline");
    fails_with(&mut world, "603");
    world.nothing_left();
    ends_clean(world);
}

// Duty 65, RFC 3261 §16.7 item 5: pending branches are cancelled after a 6xx.
#[test]
fn a_6xx_cancels_what_is_still_pending() {
    let mut world = always_moving_on(3);
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    refused(&mut world, SECOND, &second, "600 Busy Everywhere");
    fails_with(&mut world, "600");
    world.receive(FIRST, answer(&first, "180 Ringing", "to0", ""));
    let cancel = world.sent(FIRST, "CANCEL");
    world.receive(FIRST, answer(&cancel, "200 OK", "to0", ""));
    refused(&mut world, FIRST, &first, "487 Request Terminated");
    ends_clean(world);
}

// Duty 65, RFC 3261 §16.7 item 5: a ringing branch too, when the 6xx comes from a destination that was given up.
#[test]
fn a_late_6xx_cancels_the_branch_that_rings() {
    let mut world = dispatching(3, |_| {});
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    relayed(&mut world, SECOND, &second, "180 Ringing");
    refused(&mut world, FIRST, &first, "603 Decline");
    let cancel = world.sent(SECOND, "CANCEL");
    world.receive(SECOND, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, SECOND, &second, "487 Request Terminated");
    fails_with(&mut world, "603");
    ends_clean(world);
}

// Duty 66, RFC 3261 §16.7 item 6: 6xx before all, else the lowest class, in 4xx what tells the caller how to try again.
#[test]
fn the_best_response_is_chosen_when_all_branches_have_ended() {
    for (statuses, best) in [
        (&["500 A", "486 B", "502 C"][..], "486 B"),
        (&["486 A", "500 B", "502 C"], "486 A"),
        (&["500 A", "404 B", "603 C"], "603 C"),
        (&["404 A", "603 B"], "603 B"),
        (&["486 A", "302 B"], "302 B"),
        (&["404 A", "486 B", "401 C"], "401 C"),
        (&["404 A", "407 B", "486 C"], "407 B"),
        (&["404 A", "415 B", "500 C"], "415 B"),
        (&["404 A", "480 B", "420 C"], "420 C"),
        (&["484 A", "480 B", "404 C"], "484 A"),
        (&["503 A", "404 B", "503 C"], "404 B"),
    ] {
        assert_eq!(outcome(statuses), format!("SIP/2.0 {best}"), "{statuses:?}");
    }
}

// Duty 66, RFC 3261 §16.7 item 6: a destination that was given up and then cancelled by us counts as silent: its 487
// answers a CANCEL that the caller never sent.
#[test]
fn the_487_of_a_branch_that_was_given_up_is_not_passed_on() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    world.sent.clear();
    world.receive(FIRST, answer(&first, "180 Ringing", "to0", ""));
    let cancel = world.sent(FIRST, "CANCEL");
    world.receive(FIRST, answer(&cancel, "200 OK", "to0", ""));
    refused(&mut world, FIRST, &first, "487 Request Terminated");
    world.nothing_left();
    refused(&mut world, SECOND, &second, "502 Bad Gateway");
    fails_with(&mut world, "502");
    ends_clean(world);
}

// Duty 66, RFC 3261 §16.7 item 6: nothing final goes back while a branch is pending.
#[test]
fn a_failure_waits_for_the_branch_that_is_tried_next() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    world.nothing_left();
    relayed(&mut world, SECOND, &second, "180 Ringing");
    world.wait_ms(60_000);
    world.nothing_left();
    refused(&mut world, SECOND, &second, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 67, RFC 3261 §16.7 item 7, RFC 8760 §2.5: the challenges of all branches go back, in their order.
#[test]
fn the_challenges_of_all_branches_go_back_in_order() {
    let mut world = always_moving_on(3);
    let first = call(&mut world);
    let challenged = |invite: &Sent, status: &str, lines: &str| answer(invite, status, "to1", lines);
    let two = "WWW-Authenticate: Digest realm=\"a\", algorithm=SHA-256\r\nWWW-Authenticate: Digest realm=\"a\"\r\n";
    world.receive(FIRST, challenged(&first, "401 Unauthorized", two));
    world.sent(FIRST, "ACK");
    let second = world.sent(SECOND, "INVITE");
    let one = "Proxy-Authenticate: Digest realm=\"b\"\r\n";
    world.receive(SECOND, challenged(&second, "407 Proxy Authentication Required", one));
    world.sent(SECOND, "ACK");
    let third = world.sent(THIRD, "INVITE");
    let last = "WWW-Authenticate: Digest realm=\"c\"\r\n";
    world.receive(THIRD, challenged(&third, "401 Unauthorized", last));
    world.sent(THIRD, "ACK");
    let got = fails_with(&mut world, "401");
    let www = ["Digest realm=\"a\", algorithm=SHA-256", "Digest realm=\"a\"", "Digest realm=\"c\""];
    assert_eq!(got.all("WWW-Authenticate"), www);
    assert_eq!(got.all("Proxy-Authenticate"), ["Digest realm=\"b\""]);
    ends_clean(world);
}

// Duty 67, RFC 3261 §16.7 item 7: a response that wins over a challenge carries none.
#[test]
fn challenges_of_losers_are_not_put_into_another_response() {
    let mut world = always_moving_on(2);
    let first = call(&mut world);
    world.receive(FIRST, answer(&first, "401 Unauthorized", "to1", "WWW-Authenticate: Digest realm=\"a\"\r\n"));
    world.sent(FIRST, "ACK");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "603 Decline");
    assert_eq!(fails_with(&mut world, "603").all("WWW-Authenticate").len(), 0);
    ends_clean(world);
}

// Duty 67, RFC 3261 §16.7 item 7: also when the challenge came before the response that it is added to.
#[test]
fn a_single_challenge_is_passed_on_as_it_is() {
    let mut world = single();
    let invite = call(&mut world);
    let challenge = "Proxy-Authenticate: Digest realm=\"b\", nonce=\"1\", qop=\"auth,auth-int\"\r\n";
    world.receive(FIRST, answer(&invite, "407 Proxy Authentication Required", "to1", challenge));
    world.sent(FIRST, "ACK");
    let got = fails_with(&mut world, "407");
    assert_eq!(got.all("Proxy-Authenticate"), ["Digest realm=\"b\", nonce=\"1\", qop=\"auth,auth-int\""]);
    ends_clean(world);
}

// Duty 68, RFC 3261 §16.7 item 6: a 503 says "not this proxy" to the one before us: it goes back as 500.
#[test]
fn a_lone_503_becomes_a_500() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "503 Service Unavailable", "to1", "Retry-After: 60\r\n"));
    world.sent(FIRST, "ACK");
    let got = fails_with(&mut world, "500");
    assert_eq!(got.all("Retry-After").len(), 0);
    assert!(got.header("To").contains(";tag="));
    ends_clean(world);
}

// Duty 68, RFC 3261 §16.7 item 6: in a dialog too, where there is no other target.
#[test]
fn a_503_in_a_dialog_becomes_a_500() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("INFO", "info", &invite, "to1"));
    let info = world.sent(FIRST, "INFO");
    world.receive(FIRST, answer(&info, "503 Service Unavailable", "to1", ""));
    world.sent(CALLER, "SIP/2.0 500");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 69, RFC 3261 §16.7 item 6: an INVITE that nobody answered gets 408.
#[test]
fn an_invite_without_any_final_response_gets_a_408() {
    let mut world = single();
    call(&mut world);
    world.wait_ms(31_900);
    assert!(world.sent.iter().all(|sent| sent.line().starts_with("INVITE")));
    world.sent.clear();
    world.wait_ms(200);
    fails_with(&mut world, "408 Request Timeout");
    assert_eq!(world.proxy.stats().transaction_timeouts, 1);
    ends_clean(world);
}

// Duty 75, RFC 3261 §16.9: a transport error on a request counts as 503 from that target, at once. All destinations of
// a set being gone is what the 503 of §16.7 item 6 is for.
#[test]
fn a_call_whose_destinations_are_all_unreachable_gets_a_503_at_once() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.unreachable(&first);
    let second = world.sent(SECOND, "INVITE");
    world.unreachable(&second);
    let got = fails_with(&mut world, "503");
    assert!(got.at.is_zero());
    assert_eq!(world.proxy.stats().request_send_errors, 2);
    ends_clean(world);
}

// Duties 68 and 75, RFC 3261 §16.9, §16.7 item 6: the far end of one dialog being gone says nothing about other
// requests.
#[test]
fn an_unreachable_next_hop_in_a_dialog_is_answered_500() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("INFO", "info", &invite, "to1"));
    let info = world.sent(FIRST, "INFO");
    world.unreachable(&info);
    world.sent(CALLER, "SIP/2.0 500");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 75, RFC 3261 §16.9: an error for an ACK, for a CANCEL or for another address does not touch the branch.
#[test]
fn errors_that_are_not_about_the_request_end_no_branch() {
    let mut world = dispatching(2, |_| {});
    let invite = call(&mut world);
    let mut elsewhere = invite.clone();
    elsewhere.to = THIRD.parse().unwrap();
    world.unreachable(&elsewhere);
    world.nothing_left();
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    // RFC 3261 §17.1.1.2: in Proceeding nothing is sent, so no error is the INVITE's any more.
    world.unreachable(&invite);
    world.nothing_left();
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL");
    world.unreachable(&cancel);
    world.nothing_left();
    world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, FIRST, &invite, "487 Request Terminated");
    fails_with(&mut world, "487");
    ends_clean(world);
}
