//! The INVITE transactions on both sides (RFC 3261 §17.1.1, §17.2.1; RFC 6026 §7).

use super::more_b::*;
use super::world::*;

// Duty 81, RFC 3261 §17.2.1: an INVITE gets a 100 within 200 ms.
#[test]
fn an_invite_gets_a_100_at_once() {
    let mut world = single();
    world.receive(CALLER, invite().replace("Max-Forwards", "Timestamp: 7\r\nMax-Forwards"));
    let trying = world.sent(CALLER, "SIP/2.0 100 Trying");
    assert!(trying.at.is_zero());
    assert_eq!((trying.header("To"), trying.header("Timestamp")), ("<sip:b@example.com>", "7"));
    let invite = world.sent(FIRST, "INVITE");
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 82, RFC 3261 §17.2.1: a retransmitted INVITE gets the last provisional response again and is not forwarded
// twice.
#[test]
fn a_retransmitted_invite_gets_the_last_provisional_again() {
    let mut world = single();
    let sent = call(&mut world);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100 Trying");
    relayed(&mut world, FIRST, &sent, "180 Ringing");
    let progress = relayed(&mut world, FIRST, &sent, "183 Session Progress");
    // A 100 of the callee is not what the caller saw last.
    world.receive(FIRST, answer(&sent, "100 Trying", "", ""));
    world.receive(CALLER, invite());
    assert_eq!(world.sent(CALLER, "SIP/2.0 183").bytes, progress.bytes);
    world.nothing_left();
    assert_eq!((world.proxy.stats().request_retransmissions, world.proxy.stats().calls), (2, 1));
    refused(&mut world, FIRST, &sent, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 83, RFC 3261 §17.2.1: Timer G from T1, doubling to T2, until Timer H at 64*T1.
#[test]
fn an_unacknowledged_failure_is_repeated_until_timer_h() {
    let mut world = single();
    let invite = call(&mut world);
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    world.sent(CALLER, "SIP/2.0 486");
    world.wait_ms(60_000);
    let wanted = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    about(&times(&mut world, CALLER, "SIP/2.0 486"), &wanted);
    assert_eq!(world.proxy.transactions(), 0);
    ends_clean(world);
}

// Duty 83, RFC 3261 §17.2.1: an INVITE in Completed gets the final response again; the ACK ends that, and Timer I the
// rest.
#[test]
fn the_ack_stops_the_repetition_and_timer_i_ends_the_transaction() {
    let mut world = single();
    let sent = call(&mut world);
    refused(&mut world, FIRST, &sent, "486 Busy Here");
    let busy = world.sent(CALLER, "SIP/2.0 486");
    world.wait_ms(600);
    world.receive(CALLER, invite());
    assert_eq!(times(&mut world, CALLER, "SIP/2.0 486").len(), 2);
    let before = world.proxy.stored_bytes();
    world.receive(CALLER, hop_ack(&busy));
    // In Confirmed nothing is sent again: our own INVITE alone is kept, for the ACK of a repeated 486.
    assert!((1..before).contains(&world.proxy.stored_bytes()), "{before} before");
    // Duty 84: every ACK is absorbed, and a late INVITE too.
    world.receive(CALLER, hop_ack(&busy));
    world.receive(CALLER, invite());
    world.wait_ms(4_900);
    assert_eq!(world.proxy.transactions(), 1);
    world.wait_ms(200);
    world.nothing_left();
    // The client's Timer D still holds the context.
    world.wait_ms(30_000);
    assert_eq!(world.proxy.transactions(), 0);
    ends_clean(world);
}

// Duty 84, RFC 3261 §17.2.1, §17.1.1.3: the caller's ACK of a failure ends here; the callee has had ours already.
#[test]
fn the_ack_of_a_failure_is_absorbed_and_our_own_goes_at_once() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "404 Not Found", "to1", ""));
    let ack = world.sent(FIRST, "ACK");
    assert!(ack.at.is_zero());
    let response = world.sent(CALLER, "SIP/2.0 404");
    world.receive(CALLER, hop_ack(&response));
    world.nothing_left();
    ends_clean(world);
}

// Duty 84, RFC 3261 §17.2.1, §8.2.7: so is the ACK of an answer that we wrote without state.
#[test]
fn the_ack_of_a_stateless_refusal_is_absorbed() {
    let mut world = dispatching(1, |set| set.retry_after_s = 5);
    set_health(&world, 0, siplane::dispatcher::Health::Inactive);
    world.receive(CALLER, invite());
    let refusal = world.sent(CALLER, "SIP/2.0 503");
    world.receive(CALLER, hop_ack(&refusal));
    world.nothing_left();
    assert_eq!(world.proxy.stats().stray_acks, 1);
    ends_clean(world);
}

// Duty 85, RFC 6026 §7.1: in Accepted INVITEs are absorbed, 2xx are passed on as they come, and we repeat none
// ourselves.
#[test]
fn after_a_2xx_invites_are_absorbed_and_2xx_passed_on() {
    let mut world = single();
    let sent = call(&mut world);
    relayed(&mut world, FIRST, &sent, "180 Ringing");
    relayed(&mut world, FIRST, &sent, "200 OK");
    world.receive(CALLER, invite());
    world.wait_ms(31_800);
    world.receive(CALLER, invite());
    world.nothing_left();
    relayed(&mut world, FIRST, &sent, "200 OK");
    // Timer L: 64*T1 after the first 2xx.
    world.wait_ms(300);
    assert_eq!(world.proxy.transactions(), 0);
    hang_up(&mut world, &sent, "to1");
    ends_clean(world);
}

// Duty 86, RFC 6026 §7.1, RFC 3261 §13: the ACK of a 2xx goes on along its Route, without state, with a branch of our
// own.
#[test]
fn the_ack_of_a_2xx_is_passed_on_without_state() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    let transactions = world.proxy.transactions();
    let text = in_dialog("ACK", "ack", &invite, "to1");
    world.receive(CALLER, &text);
    let ack = world.sent(FIRST, "ACK sip:b@203.0.113.1:5060 SIP/2.0");
    assert_eq!((ack.all("Via").len(), ack.header("Max-Forwards"), ack.header("CSeq")), (2, "69", "1 ACK"));
    assert!(ack.branch().starts_with("z9hG4bK") && ack.branch() != invite.branch() && ack.branch() != "z9hG4bKack");
    assert_eq!(ack.all("Route").len() + ack.all("Record-Route").len(), 0);
    assert_eq!(world.proxy.transactions(), transactions);
    // Duty 80, RFC 3261 §16.11: a repeated one goes the same way with the same branch.
    world.receive(CALLER, &text);
    assert_eq!(world.sent(FIRST, "ACK").bytes, ack.bytes);
    // A tag is ours by what it is, not by its length (RFC 3261 §8.2.7).
    world.receive(CALLER, text.replace("tag=to1", "tag=0123abcd").replace("z9hG4bKack", "z9hG4bKack2"));
    assert!(world.sent(FIRST, "ACK").header("To").ends_with("tag=0123abcd"));
    // Long after Accepted, and by the Route that is left.
    world.wait_ms(60_000);
    let own = format!("Route: {}\r\n", invite.header("Record-Route"));
    world.receive(CALLER, text.replace(&own, &format!("{own}Route: <sip:203.0.113.9:5062;lr>\r\n")));
    assert_eq!(world.sent("203.0.113.9:5062", "ACK sip:b@203.0.113.1:5060").all("Route").len(), 1);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 86, RFC 6026 §7.1: even an ACK with the INVITE's own branch is passed on after a 2xx.
#[test]
fn an_ack_with_the_branch_of_its_invite_is_passed_on_after_a_2xx() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    world.receive(CALLER, in_dialog("ACK", "inv", &invite, "to1"));
    world.sent(FIRST, "ACK");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 80, RFC 3261 §16.11: what goes on without state has one branch per request, not one for all.
#[test]
fn acks_of_two_requests_have_two_branches() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("ACK", "ack2", &invite, "to1"));
    world.receive(CALLER, in_dialog("ACK", "ack3", &invite, "to1"));
    let (one, other) = (world.sent(FIRST, "ACK"), world.sent(FIRST, "ACK"));
    assert_ne!(one.branch(), other.branch());
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 87, RFC 6026 §7.1: failing to send a response does not destroy the server transaction.
#[test]
fn a_failed_send_leaves_the_server_transaction_alive() {
    let mut world = single();
    let sent = call(&mut world);
    refused(&mut world, FIRST, &sent, "486 Busy Here");
    let busy = world.sent(CALLER, "SIP/2.0 486");
    world.unreachable(&busy);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 486");
    world.wait_ms(600);
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 88, RFC 3261 §17.1.1.2: Timer A from T1, doubling without bound, Timer B at 64*T1.
#[test]
fn an_unanswered_invite_is_repeated_at_doubling_intervals_until_timer_b() {
    let mut world = single();
    call(&mut world);
    world.wait_ms(31_900);
    about(&times(&mut world, FIRST, "INVITE"), &[500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    world.wait_ms(200);
    about(&[fails_with(&mut world, "408").at.as_millis() as u64], &[32_000]);
    ends_clean(world);
}

// Duty 88, RFC 3261 §17.1.1.2: any provisional stops the repetition, and Timer B with it.
#[test]
fn a_provisional_stops_the_repetition_of_the_invite() {
    let mut world = single();
    let invite = call(&mut world);
    world.wait_ms(600);
    assert_eq!(world.sent(FIRST, "INVITE").bytes, invite.bytes);
    world.receive(FIRST, answer(&invite, "100 Trying", "", ""));
    world.wait_ms(100_000);
    world.nothing_left();
    refused(&mut world, FIRST, &invite, "480 Temporarily Unavailable");
    fails_with(&mut world, "480");
    ends_clean(world);
}

// Duty 89, RFC 3261 §17.1.1.3: what the ACK of one hop is made of.
#[test]
fn the_ack_of_a_failure_is_made_of_the_invite_and_the_to_of_the_response() {
    let mut world = single();
    let more = "Route: <sip:203.0.113.1:5060;lr>\r\nRoute: <sip:203.0.113.8;lr>\r\nRequire: 100rel\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com;x=y", "inv", more));
    world.sent(CALLER, "SIP/2.0 100");
    let invite = world.sent(FIRST, "INVITE");
    world.receive(FIRST, answer(&invite, "486 Busy Here", "busy", "Route: <sip:no>\r\n"));
    let ack = world.sent(FIRST, "ACK sip:b@example.com;x=y SIP/2.0");
    for name in ["Call-ID", "From", "Route"] {
        assert_eq!(ack.all(name), invite.all(name), "{name}");
    }
    assert_eq!(ack.header("To"), "<sip:b@example.com>;tag=busy");
    assert_eq!(ack.all("Via"), invite.all("Via")[..1]);
    assert_eq!((ack.header("CSeq"), ack.all("Require").len()), ("1 ACK", 0));
    assert_eq!((ack.to, ack.socket), (invite.to, invite.socket));
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 90, RFC 3261 §17.1.1.2: for at least 32 s a repeated final response is acknowledged again and not passed up.
#[test]
fn a_repeated_failure_is_acknowledged_again_until_timer_d() {
    let mut world = single();
    let invite = call(&mut world);
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    world.wait_ms(1_000);
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    world.wait_ms(30_900);
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    world.nothing_left();
    world.wait_ms(1_000);
    world.receive(FIRST, answer(&invite, "486 Busy Here", "to1", ""));
    world.nothing_left();
    assert_eq!(world.proxy.stats().stray_responses, 1);
    ends_clean(world);
}

// Duty 91, RFC 6026 §7.2: in Accepted every 2xx, of this fork or of another one below, is passed up until Timer M.
#[test]
fn every_2xx_is_passed_up_until_timer_m() {
    let mut world = single();
    let invite = call(&mut world);
    for tag in ["to1", "to2", "to1", "to2"] {
        world.receive(FIRST, answer(&invite, "200 OK", tag, ""));
        assert!(world.sent(CALLER, "SIP/2.0 200").header("To").ends_with(tag));
    }
    world.wait_ms(31_900);
    world.receive(FIRST, answer(&invite, "200 OK", "to3", ""));
    world.sent(CALLER, "SIP/2.0 200");
    world.wait_ms(300);
    world.receive(FIRST, answer(&invite, "200 OK", "to4", ""));
    world.nothing_left();
    for tag in ["to1", "to2"] {
        hang_up(&mut world, &invite, tag);
    }
    assert_eq!(world.load(0), 1, "one fork is left");
    hang_up(&mut world, &invite, "to3");
    ends_clean(world);
}

// Duty 94, RFC 3261 §17.2.3: a request matches by branch, sent-by host and port, and method; an ACK as its INVITE.
#[test]
fn requests_that_differ_in_branch_or_sent_by_are_different_requests() {
    let mut world = single();
    call(&mut world);
    for other in [
        invite().replace("z9hG4bKinv", "z9hG4bKinw"),
        invite().replace("UDP 198.51.100.1:5060", "UDP 198.51.100.1:5070"),
        invite().replace("UDP 198.51.100.1:5060", "UDP 198.51.100.2:5060"),
    ] {
        world.receive(CALLER, other);
        assert_eq!(world.sent.iter().filter(|sent| sent.line().starts_with("INVITE")).count(), 1);
        world.sent.clear();
    }
    assert_eq!((world.proxy.transactions(), world.proxy.stats().request_retransmissions), (4, 0));
    // The same from another port, and with other headers, is the same request.
    world.receive("198.51.100.1:6060", invite().replace("Max-Forwards: 70", "Max-Forwards: 60"));
    assert_eq!(world.proxy.stats().request_retransmissions, 1);
    world.sent.clear();
    world.wait_ms(90_000);
    world.sent.clear();
    ends_clean(world);
}

// Duty 94, RFC 3261 §17.2.3: without the magic cookie the rules of RFC 2543 hold.
#[test]
fn an_old_request_is_matched_by_uri_tags_call_id_cseq_and_via() {
    let mut world = single();
    let old = |text: String| text.replace("branch=z9hG4bK", "branch=");
    world.receive(CALLER, old(invite()));
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(FIRST, "INVITE");
    world.receive(CALLER, old(invite()));
    world.sent(CALLER, "SIP/2.0 100");
    world.nothing_left();
    refused(&mut world, FIRST, &sent, "486 Busy Here");
    let busy = world.sent(CALLER, "SIP/2.0 486");
    world.receive(CALLER, old(hop_ack(&busy)));
    world.receive(CALLER, old(invite()).replace("CSeq: 1", "CSeq: 2"));
    world.sent(CALLER, "SIP/2.0 100");
    let second = world.sent(FIRST, "INVITE");
    refused(&mut world, FIRST, &second, "486 Busy Here");
    let busy = world.sent(CALLER, "SIP/2.0 486");
    world.receive(CALLER, old(hop_ack(&busy)).replace("CSeq: 1", "CSeq: 2"));
    ends_clean(world);
}
