//! Which responses go back, when, and as what (RFC 3261 §16.7).

use super::more_b::*;
use super::world::*;
use std::time::Duration;

// Duty 57, RFC 3261 §17.1.3: a response matches by the branch in its top Via and the method in its CSeq.
#[test]
fn a_response_is_matched_by_branch_and_cseq_method() {
    let mut world = single();
    let invite = call(&mut world);
    let ringing = answer(&invite, "180 Ringing", "to1", "");
    world.receive(FIRST, ringing.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    world.receive(FIRST, ringing.replace("CSeq: 1 INVITE", "CSeq: 1 INVITED"));
    let branch = invite.branch();
    let other = format!("{}{}", &branch[..branch.len() - 12], "0".repeat(12));
    world.receive(FIRST, ringing.replace(branch, &other));
    world.nothing_left();
    assert_eq!(world.proxy.stats().stray_responses, 3);
    world.receive(FIRST, &ringing);
    world.sent(CALLER, "SIP/2.0 180");
    // From wherever it comes: the branch counts, not the address.
    world.receive("203.0.113.77:9", ringing.replace("180 Ringing", "183 Session Progress"));
    world.sent(CALLER, "SIP/2.0 183");
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 58, RFC 6026 §7.3: a response without a matching transaction is not forwarded.
#[test]
fn a_response_to_a_transaction_that_has_ended_is_dropped() {
    let mut world = single();
    let invite = established(&mut world);
    hang_up(&mut world, &invite, "to1");
    world.wait_ms(40_000);
    let strays = world.proxy.stats().stray_responses;
    world.receive(FIRST, answer(&invite, "200 OK", "to1", ""));
    world.receive(FIRST, answer(&invite, "486 Busy Here", "to1", ""));
    world.nothing_left();
    assert_eq!(world.proxy.stats().stray_responses, strays + 2);
    ends_clean(world);
}

// Duty 58, RFC 6026 §7.3 and RFC 3261 §18.1.2: nor is one that answers nothing of ours.
#[test]
fn a_response_to_nothing_we_sent_is_dropped() {
    let mut world = single();
    let stray = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKsnothing\r\n\
                 Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
                 Call-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    world.receive(FIRST, stray);
    world.receive(FIRST, stray.replace("192.0.2.1:5060", "192.0.2.2:5060"));
    world.nothing_left();
    assert_eq!((world.proxy.stats().stray_responses, world.proxy.stats().foreign_responses), (1, 1));
    ends_clean(world);
}

// Duty 59, RFC 3261 §16.7 item 2: 101-199 set Timer C anew, 100 does not.
#[test]
fn timer_c_is_set_anew_by_180_and_not_by_100() {
    let mut world = configured(1, |settings| settings.dialog.early = Duration::from_secs(3_600));
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "100 Trying", "", ""));
    world.wait_ms(100_000);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.wait_ms(100_000);
    world.receive(FIRST, answer(&invite, "100 Trying", "", ""));
    world.wait_ms(84_900);
    world.nothing_left();
    world.wait_ms(300);
    let cancel = world.sent(FIRST, "CANCEL");
    about(&[cancel.at.as_millis() as u64], &[285_000]);
    world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, FIRST, &invite, "487 Request Terminated");
    fails_with(&mut world, "487");
    ends_clean(world);
}

// Duty 60, RFC 3261 §16.7 item 3: only the topmost Via value goes, however the values are spread over lines.
#[test]
fn only_our_own_via_value_is_taken_off() {
    let mut world = single();
    let more =
        "Via: SIP/2.0/UDP 198.51.100.8:5060;branch=z9hG4bKfar, SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKfarther\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", more));
    world.sent(CALLER, "SIP/2.0 100");
    let invite = world.sent(FIRST, "INVITE");
    let vias: Vec<_> = invite.all("Via").into_iter().map(str::to_owned).collect();
    assert_eq!(vias.len(), 3);
    let ringing = relayed(&mut world, FIRST, &invite, "180 Ringing");
    assert_eq!(ringing.all("Via"), vias[1..]);
    // The callee may join the values in one line.
    let mut joined = answer(&invite, "183 Session Progress", "to1", "");
    vias.iter().for_each(|via| joined = joined.replace(&format!("Via: {via}\r\n"), ""));
    let joined = joined.replacen("\r\n", &format!("\r\nVia: {}\r\n", vias.join(", ")), 1);
    world.receive(FIRST, joined);
    assert_eq!(world.sent(CALLER, "SIP/2.0 183").all("Via"), [vias[1..].join(", ")]);
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    let busy = world.sent(CALLER, "SIP/2.0 486");
    assert_eq!(busy.all("Via"), vias[1..]);
    world.receive(CALLER, hop_ack(&busy));
    ends_clean(world);
}

// Duty 60, RFC 3261 §16.7 item 3: a response without another Via is meant for us: it is not forwarded.
#[test]
fn a_response_with_our_via_alone_is_not_forwarded() {
    let mut world = single();
    let invite = call(&mut world);
    let theirs = format!("Via: {}\r\n", invite.all("Via")[1]);
    for status in ["180 Ringing", "200 OK", "486 Busy Here"] {
        let alone = answer(&invite, status, "to1", "").replace(&theirs, "");
        assert_eq!(alone.matches("Via:").count(), 1);
        world.receive(FIRST, alone);
        assert!(world.sent.iter().all(|sent| sent.to.to_string() != CALLER), "{status} was forwarded without a Via");
        world.sent.clear();
    }
    assert_eq!(world.load(0), 1, "the call still waits for its answer");
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 61, RFC 3261 §16.7 item 5: 100 is never forwarded. Duty 62: other 1xx and a 2xx are, at once and each time.
#[test]
fn a_100_stays_here_and_every_other_provisional_goes_on_at_once() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "100 Trying", "", ""));
    world.receive(FIRST, answer(&invite, "100 Giving a try", "", ""));
    world.nothing_left();
    let statuses =
        ["180 Ringing", "181 Call Is Being Forwarded", "183 Session Progress", "180 Ringing", "199 Early End"];
    for status in statuses.into_iter().chain(["200 OK"]) {
        let sent = relayed(&mut world, FIRST, &invite, status);
        assert_eq!(sent.at, Duration::ZERO);
        assert_eq!(sent.to.to_string(), CALLER);
    }
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 63, RFC 3261 §16.7 item 5: after a final response nothing but a further 2xx to an INVITE goes back.
#[test]
fn after_a_2xx_only_further_2xx_are_passed_on() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    for status in ["180 Ringing", "486 Busy Here", "603 Decline"] {
        world.receive(FIRST, answer(&invite, status, "to1", ""));
    }
    world.nothing_left();
    relayed(&mut world, FIRST, &invite, "200 OK");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duties 63 and 64, RFC 3261 §16.7 items 5 and 6: one final response other than 2xx, and nothing after it.
#[test]
fn after_a_failure_no_other_failure_or_provisional_is_passed_on() {
    let mut world = single();
    let invite = call(&mut world);
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    refused(&mut world, FIRST, &invite, "404 Not Found");
    refused(&mut world, FIRST, &invite, "603 Decline");
    world.receive(FIRST, answer(&invite, "180 Ringing", "to1", ""));
    ends_clean(world);
}

// Duty 64, RFC 3261 §16.7 item 5: a non-INVITE gets exactly one final response, whichever branch has more of them.
#[test]
fn a_non_invite_gets_exactly_one_final_response() {
    let mut world = dispatching(2, |_| {});
    world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
    let first = world.sent(FIRST, "MESSAGE");
    world.wait_ms(2_100);
    let second = world.sent.pop_back().unwrap();
    assert_eq!((second.line(), second.to.to_string().as_str()), ("MESSAGE sip:b@example.com SIP/2.0", SECOND));
    world.sent.clear();
    relayed(&mut world, SECOND, &second, "200 OK");
    world.receive(SECOND, answer(&second, "200 OK", "to1", ""));
    world.receive(FIRST, answer(&first, "200 OK", "to2", ""));
    world.receive(SECOND, answer(&second, "404 Not Found", "to1", ""));
    ends_clean(world);
}

// Duty 70, RFC 3261 §16.7 item 6: the To tag of a 1xx or 2xx is neither added nor changed; ours is put in only where
// the request had none.
#[test]
fn to_tags_of_responses_are_left_alone() {
    let mut world = single();
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "180 Ringing", "", ""));
    assert_eq!(world.sent(CALLER, "SIP/2.0 180").header("To"), "<sip:b@example.com>");
    let ok = relayed(&mut world, FIRST, &invite, "200 OK");
    assert_eq!(ok.header("To"), "<sip:b@example.com>;tag=to1");
    // A final answer of our own to a request in the dialog keeps the tag that is there.
    world.receive(CALLER, in_dialog("INFO", "info", &invite, "to1"));
    let info = world.sent(FIRST, "INFO");
    world.unreachable(&info);
    assert_eq!(world.sent(CALLER, "SIP/2.0 5").header("To"), "<sip:b@example.com>;tag=to1");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 71, RFC 3261 §16.7 item 9: body and other headers pass untouched, and the `received` that we noted stays.
#[test]
fn a_response_passes_unchanged_but_for_our_via() {
    let mut world = single();
    let invite = call(&mut world);
    let ours = format!("Via: {}\r\n", invite.all("Via")[0]);
    let mut response = answer(
        &invite,
        "200 So be it \u{fc}",
        "to1",
        "contact : <sip:b@203.0.113.1>\r\nX-Odd:\t a,b ;c\r\n  folded\r\nServer: x\r\n\
         Session-Expires: 90;refresher=uas\r\n",
    )
    .replace("Content-Length: 0\r\n\r\n", "l: 6\r\n\r\n")
    .into_bytes();
    response.extend_from_slice(b"\0\xff\r\n\r\n");
    world.receive(FIRST, &response);
    let passed = world.sent(CALLER, "SIP/2.0 200 So be it");
    let text = String::from_utf8_lossy(&response).replace(&ours, "");
    assert_eq!(passed.text, text);
    assert!(passed.bytes.ends_with(b"\r\n\r\n\0\xff\r\n\r\n"));
    assert!(passed.header("Via").ends_with(";rport=5060;received=198.51.100.1"), "{}", passed.text);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// Duty 72, RFC 3261 §16.7 item 9: while a branch lives its 2xx is passed on, even when the caller's own transaction has
// ended: "If the server transaction is no longer available … the element MUST forward the response statelessly".
#[test]
fn a_2xx_after_the_server_transaction_has_ended_is_still_passed_on() {
    let mut world = dispatching(2, |_| {});
    let first = call(&mut world);
    world.wait_ms(1_900);
    world.sent.clear();
    world.wait_ms(200);
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "486 Busy Here");
    fails_with(&mut world, "486");
    // Timer I is over; the silent first branch lives until Timer B.
    world.wait_ms(10_000);
    assert_eq!(world.proxy.transactions(), 1);
    world.receive(FIRST, answer(&first, "200 OK", "late", ""));
    world.sent(CALLER, "SIP/2.0 200");
    hang_up(&mut world, &first, "late");
    ends_clean(world);
}

// Duty 75, RFC 3261 §16.9: a response that cannot be sent is dropped, and no branch is cancelled for it.
#[test]
fn a_response_that_cannot_be_sent_cancels_nothing() {
    let mut world = single();
    let invite = call(&mut world);
    let ringing = relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.unreachable(&ringing);
    world.nothing_left();
    assert_eq!(world.proxy.stats().response_send_errors, 1);
    let ok = relayed(&mut world, FIRST, &invite, "200 OK");
    world.unreachable(&ok);
    world.nothing_left();
    assert_eq!(world.load(0), 1);
    relayed(&mut world, FIRST, &invite, "200 OK");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}
