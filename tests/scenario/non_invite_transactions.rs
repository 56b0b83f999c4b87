//! The other transactions on both sides (RFC 3261 §17.1.2, §17.2.2; RFC 4320).

use super::more_b::*;
use super::world::*;

fn message() -> String {
    request("MESSAGE", "sip:b@example.com", "msg", "")
}

#[track_caller]
fn message_sent(world: &mut World) -> Sent {
    world.receive(CALLER, message());
    world.sent(FIRST, "MESSAGE sip:b@example.com SIP/2.0")
}

/// What the caller got until now; what the destination got is thrown away.
fn to_caller(world: &mut World) -> Vec<Sent> {
    world.sent.drain(..).filter(|sent| sent.to.to_string() == CALLER).collect()
}

// Duty 92, RFC 3261 §17.1.2.2: Timer E from T1, doubling to T2, until Timer F at 64*T1.
#[test]
fn an_unanswered_request_is_repeated_up_to_every_t2_until_timer_f() {
    let mut world = single();
    let sent = message_sent(&mut world);
    world.wait_ms(40_000);
    let repeats: Vec<_> = world.sent.drain(..).filter(|sent| sent.line().starts_with("MESSAGE")).collect();
    assert!(repeats.iter().all(|repeat| repeat.bytes == sent.bytes && repeat.to == sent.to));
    let times: Vec<_> = repeats.iter().map(|sent| sent.at.as_millis() as u64).collect();
    about(&times, &[500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    ends_clean(world);
}

// Duty 92, RFC 3261 §17.1.2.2: after a provisional Timer E is T2.
#[test]
fn after_a_provisional_a_request_is_repeated_every_t2() {
    let mut world = single();
    let sent = message_sent(&mut world);
    world.wait_ms(600);
    world.receive(FIRST, answer(&sent, "100 Trying", "", ""));
    world.wait_ms(9_200);
    let repeats = world.sent.drain(..).filter(|sent| sent.line().starts_with("MESSAGE"));
    let times: Vec<_> = repeats.map(|sent| sent.at.as_millis() as u64).collect();
    // RFC 3261 §17.1.2.2: "If Timer E fires in the Proceeding state, … reset to T2": the one that runs still fires
    // first.
    about(&times, &[500, 1_500, 5_500, 9_500]);
    relayed(&mut world, FIRST, &sent, "200 OK");
    ends_clean(world);
}

// Duty 92, RFC 3261 §17.1.2.2: Timer K: repeated final responses are absorbed for T4, then they match nothing.
#[test]
fn repeated_final_responses_are_absorbed_until_timer_k() {
    let mut world = single();
    let sent = message_sent(&mut world);
    relayed(&mut world, FIRST, &sent, "200 OK");
    world.wait_ms(4_900);
    world.receive(FIRST, answer(&sent, "200 OK", "to1", ""));
    assert_eq!(world.proxy.stats().stray_responses, 0);
    world.wait_ms(300);
    world.receive(FIRST, answer(&sent, "200 OK", "to1", ""));
    assert_eq!(world.proxy.stats().stray_responses, 1);
    ends_clean(world);
}

// Duty 93, RFC 3261 §17.2.2: a retransmission gets nothing in Trying and the stored final response in Completed, until
// Timer J.
#[test]
fn a_repeated_request_gets_the_stored_final_response_until_timer_j() {
    let mut world = single();
    let sent = message_sent(&mut world);
    world.receive(CALLER, message());
    world.nothing_left();
    let ok = relayed(&mut world, FIRST, &sent, "202 Accepted");
    for wait_ms in [0, 500, 31_000] {
        world.wait_ms(wait_ms);
        world.receive(CALLER, message());
        assert_eq!(world.sent(CALLER, "SIP/2.0 202").bytes, ok.bytes);
    }
    world.nothing_left();
    assert_eq!(world.proxy.stats().request_retransmissions, 4);
    world.wait_ms(1_000);
    assert_eq!(world.proxy.transactions(), 0);
    ends_clean(world);
}

// Duty 94, RFC 3261 §17.2.3: the method is part of the match.
#[test]
fn two_methods_with_one_branch_are_two_requests() {
    let mut world = single();
    let sent = message_sent(&mut world);
    world.receive(CALLER, request("INFO", "sip:b@example.com", "msg", ""));
    let info = world.sent(FIRST, "INFO");
    relayed(&mut world, FIRST, &info, "200 OK");
    relayed(&mut world, FIRST, &sent, "202 Accepted");
    ends_clean(world);
}

// Duty 95, RFC 4320 §4.1: no provisional but 100 to a non-INVITE, and that only after Timer E has reached T2.
#[test]
fn a_non_invite_gets_a_100_after_three_and_a_half_seconds_and_no_other_provisional() {
    let mut world = single();
    let sent = message_sent(&mut world);
    for status in ["100 Trying", "180 Ringing", "183 Session Progress"] {
        world.receive(FIRST, answer(&sent, status, "to1", ""));
    }
    world.wait_ms(3_400);
    assert!(to_caller(&mut world).is_empty());
    world.wait_ms(200);
    let trying = to_caller(&mut world);
    assert_eq!(trying.iter().map(Sent::line).collect::<Vec<_>>(), ["SIP/2.0 100 Trying"]);
    assert_eq!(trying[0].header("To"), "<sip:b@example.com>");
    about(&[trying[0].at.as_millis() as u64], &[3_500]);
    // RFC 3261 §17.2.2: in Proceeding a retransmission gets it again.
    world.receive(CALLER, message());
    assert_eq!(to_caller(&mut world).len(), 1);
    world.wait_ms(5_000);
    assert!(to_caller(&mut world).is_empty(), "one is enough");
    relayed(&mut world, FIRST, &sent, "200 OK");
    ends_clean(world);
}

// Duty 95, RFC 4320 §4.1: an answer within that time is the only one.
#[test]
fn a_non_invite_that_is_answered_soon_gets_no_100() {
    let mut world = single();
    let sent = message_sent(&mut world);
    world.wait_ms(400);
    relayed(&mut world, FIRST, &sent, "200 OK");
    world.wait_ms(10_000);
    world.nothing_left();
    ends_clean(world);
}

// Duty 96, RFC 4320 §4.2: a non-INVITE that nobody answers gets no 408, nor anything else final.
#[test]
fn an_unanswered_non_invite_gets_no_final_response() {
    let mut world = single();
    message_sent(&mut world);
    world.wait_ms(40_000);
    let lines: Vec<_> = to_caller(&mut world).iter().map(|sent| sent.line().to_owned()).collect();
    assert_eq!(lines, ["SIP/2.0 100 Trying"]);
    assert_eq!(world.proxy.transactions(), 0);
    ends_clean(world);
}

// Duty 96, RFC 4320 §4.2: "MUST NOT send a response with Status-Code of 408 to a non-INVITE request": nor one from
// below.
#[test]
fn a_408_to_a_non_invite_is_not_passed_on() {
    let mut world = single();
    let sent = message_sent(&mut world);
    world.receive(FIRST, answer(&sent, "408 Request Timeout", "to1", ""));
    world.wait_ms(40_000);
    let finals: Vec<_> = to_caller(&mut world).into_iter().filter(|sent| !sent.line().contains(" 100 ")).collect();
    assert!(finals.is_empty(), "{finals:?}");
    ends_clean(world);
}

// Duty 96, RFC 4320 §4.2: a 408 from below still moves the request on, and what another destination says counts.
#[test]
fn a_408_to_a_non_invite_moves_it_on() {
    let mut world = dispatching(2, |_| {});
    let first = message_sent(&mut world);
    world.receive(FIRST, answer(&first, "408 Request Timeout", "to1", ""));
    let second = world.sent(SECOND, "MESSAGE");
    relayed(&mut world, SECOND, &second, "500 Server Internal Error");
    ends_clean(world);
}

// Duty 96, RFC 4320 §4.2: nothing is sent when the caller's transaction is over.
#[test]
fn a_late_response_to_a_non_invite_is_dropped() {
    let mut world = dispatching(2, |_| {});
    let first = message_sent(&mut world);
    world.receive(FIRST, answer(&first, "100 Trying", "", ""));
    world.wait_ms(31_000);
    world.sent.clear();
    world.receive(FIRST, answer(&first, "500 Server Internal Error", "to1", ""));
    let second = world.sent(SECOND, "MESSAGE");
    world.wait_ms(7_000);
    world.sent.clear();
    // The second branch has 25 s left, the caller's transaction none.
    world.receive(SECOND, answer(&second, "200 OK", "to1", ""));
    world.nothing_left();
    ends_clean(world);
}

// Duty 75, RFC 3261 §16.9: a non-INVITE that cannot be sent anywhere is answered, not left to time out.
#[test]
fn an_unreachable_destination_of_a_non_invite_is_left_at_once() {
    let mut world = dispatching(2, |_| {});
    let first = message_sent(&mut world);
    world.unreachable(&first);
    let second = world.sent(SECOND, "MESSAGE");
    world.unreachable(&second);
    world.sent(CALLER, "SIP/2.0 503");
    ends_clean(world);
}
