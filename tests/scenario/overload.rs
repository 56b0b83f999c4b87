//! Overload control towards destinations (duty 99, RFC 7339, RFC 7415).

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Algorithm, Overload, OverloadAlgorithm, SetId, SetSpec};
use siplane::proxy::Settings;
use std::time::Duration;

const OFFER: &str = ";oc;oc-algo=\"loss,rate\"";

/// The first `count` destinations by priority, with overload control.
fn controlled(count: usize) -> World {
    dispatching(count, |set| set.overload_control = true)
}

/// The answer of a server that reports: its copy of our Via has these parameters in the place of our offer.
fn reporting(to: &Sent, status: &str, params: &str) -> String {
    let answer = answer(to, status, "to1", "");
    assert!(answer.contains(OFFER), "nothing was offered:\n{answer}");
    answer.replacen(OFFER, params, 1)
}

/// A new call, numbered.
fn numbered(number: usize) -> String {
    invite()
        .replace("call-1@", &format!("call-n{number}@"))
        .replace("branch=z9hG4bKinv", &format!("branch=z9hG4bKn{number}"))
}

/// The caller acknowledges the final response to the INVITE `text`.
fn acknowledge(world: &mut World, text: &str, response: &Sent) {
    let to = text.lines().find(|line| line.starts_with("To:")).unwrap();
    let ack = text.replacen("INVITE", "ACK", 1).replace("CSeq: 1 INVITE", "CSeq: 1 ACK");
    world.receive(CALLER, ack.replace(to, &format!("To: {}", response.header("To"))));
}

/// Call `number` comes in and is answered 486 by whoever gets it: its INVITE, or `None` when it got a 503 without Retry-After.
#[track_caller]
fn placed(world: &mut World, number: usize, text: &str) -> Option<Sent> {
    world.receive(CALLER, text);
    let mut next = world.sent.pop_front().unwrap();
    if next.line() == "SIP/2.0 100 Trying" {
        next = world.sent.pop_front().unwrap();
    }
    if next.line() == "SIP/2.0 503 Service Unavailable" {
        acknowledge(world, text, &next);
        assert_eq!(next.header("Retry-After"), "", "RFC 7339 §5.10");
        return None;
    }
    assert!(next.line().starts_with("INVITE"), "call {number}: {}", next.text);
    let callee = next.to.to_string();
    world.receive(&callee, answer(&next, "486 Busy Here", "to1", ""));
    world.sent(&callee, "ACK");
    let response = world.sent(CALLER, "SIP/2.0 486");
    acknowledge(world, text, &response);
    Some(next)
}

/// Who gets each of `count` calls: 1, 2 and 3, or 0 for nobody.
#[track_caller]
fn takers(world: &mut World, from: usize, count: usize) -> Vec<usize> {
    let taker = |sent: Sent| 1 + DESTINATIONS.iter().position(|address| sent.to == address.parse().unwrap()).unwrap();
    (from..from + count).map(|number| placed(world, number, &numbered(number)).map_or(0, taker)).collect()
}

fn overload(world: &World, index: usize) -> Overload {
    let table = &world.policy.table;
    table.states().overload(table.set(SetId(1)).unwrap().destinations[index].state, world.now)
}

/// The first call, to which the first destination answers 486 with this report.
#[track_caller]
fn reported(world: &mut World, params: &str) {
    let invite = call(world);
    world.receive(FIRST, reporting(&invite, "486 Busy Here", params));
    world.sent(FIRST, "ACK");
    fails_with(world, "486");
}

#[test]
fn overload_control_is_offered_in_the_via_of_all_that_a_set_with_it_sends() {
    // RFC 7339 §4.1, §4.2, §5.1
    let mut world = controlled(1);
    let invite = call(&mut world);
    let via = format!("SIP/2.0/UDP 192.0.2.1:5060;branch={}{OFFER}", invite.branch());
    assert_eq!(invite.all("Via")[0], via);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL");
    assert_eq!(cancel.all("Via"), [via.as_str()]);
    world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
    world.receive(FIRST, answer(&invite, "487 Request Terminated", "to1", ""));
    assert_eq!(world.sent(FIRST, "ACK").all("Via"), [via.as_str()]);
    fails_with(&mut world, "487");
    ends_clean(world);
}

#[test]
fn what_a_caller_offers_is_not_passed_on_and_not_answered() {
    // RFC 7339 §5.6: hop by hop; we are a server without overload control.
    for (offered, kept) in [
        (";oc;oc-algo=\"loss\";rport", ";rport=5060;received=198.51.100.1"),
        (";rport;oc;oc-algo=\"loss,rate\"", ";rport=5060;received=198.51.100.1"),
        (";OC ; rport ;Oc-Seq=1.0;x=\"oc\"", "; rport=5060 ;x=\"oc\";received=198.51.100.1"),
    ] {
        let mut world = controlled(1);
        let text = invite().replace(";rport", offered);
        world.receive(CALLER, &text);
        let trying = world.sent(CALLER, "SIP/2.0 100");
        assert!(!trying.header("Via").contains("oc="), "{}", trying.text);
        let sent = world.sent(FIRST, "INVITE");
        assert_eq!(sent.all("Via")[1], format!("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKinv{kept}"), "{offered}");
        let ringing = relayed(&mut world, FIRST, &sent, "180 Ringing");
        assert!(!ringing.header("Via").contains(";oc"), "{}", ringing.text);
        refused(&mut world, FIRST, &sent, "486 Busy Here");
        fails_with(&mut world, "486");
        ends_clean(world);
    }
}

#[test]
fn a_destination_that_reports_loss_gets_so_many_calls_less_until_the_report_ends() {
    // RFC 7339 §7, §4.3
    let mut world = controlled(2);
    reported(&mut world, ";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782");
    let takers_of = |takers: &[usize], who| takers.iter().filter(|taker| **taker == who).count();
    let first = takers(&mut world, 0, 100);
    assert_eq!((takers_of(&first, 1), takers_of(&first, 2)), (80, 20), "{first:?}");
    assert_eq!(first[..10], [1, 1, 1, 1, 2, 1, 1, 1, 1, 2], "spread, not in a row");
    assert_eq!(overload(&world, 0).shed, 20);
    world.wait_ms(500);
    let rest = takers(&mut world, 100, 20);
    assert_eq!(takers_of(&rest, 1), 20);
    ends_clean(world);
}

#[test]
fn every_kind_of_response_may_report_and_the_newest_number_counts() {
    // RFC 7339 §5.4
    let mut world = controlled(1);
    let invite = call(&mut world);
    let report = |oc: u32, number: u32| format!(";oc={oc};oc-algo=\"loss\";oc-validity=60000;oc-seq=5.{number}");
    for (status, oc, number, counts) in [
        ("100 Trying", 10, 3, 10),
        ("180 Ringing", 20, 4, 20),
        ("180 Ringing", 90, 4, 20),
        ("183 Progress", 90, 12, 20),
        ("200 OK", 30, 5, 30),
        ("200 OK", 40, 6, 40),
    ] {
        world.receive(FIRST, reporting(&invite, status, &report(oc, number)));
        assert_eq!(overload(&world, 0).in_force, Some((OverloadAlgorithm::Loss, counts)), "{status} {number}");
    }
    world.sent.clear();
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn a_rate_is_kept_and_calls_beyond_it_go_on() {
    // RFC 7415 §3.5
    let mut world = controlled(2);
    reported(&mut world, ";oc=8;oc-algo=\"rate\";oc-validity=10000;oc-seq=1.0");
    assert_eq!(overload(&world, 0).in_force, Some((OverloadAlgorithm::Rate, 8)));
    let mut got = 0;
    for number in 0..200 {
        got += usize::from(takers(&mut world, number, 1) == [1]);
        world.wait_ms(10);
    }
    assert!((14..=16).contains(&got), "{got} in two seconds at 8/s");
    ends_clean(world);
}

#[test]
fn overload_that_is_called_off_is_over_at_once() {
    // RFC 7339 §5.7
    let mut world = controlled(2);
    let invite = call(&mut world);
    world.receive(FIRST, reporting(&invite, "180 Ringing", ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0"));
    world.sent(CALLER, "SIP/2.0 180");
    assert_eq!(takers(&mut world, 0, 3), [2, 2, 2]);
    world.receive(FIRST, reporting(&invite, "486 Busy Here", ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1.1"));
    world.sent(FIRST, "ACK");
    fails_with(&mut world, "486");
    assert_eq!(takers(&mut world, 3, 3), [1, 1, 1]);
    ends_clean(world);
}

#[test]
fn a_call_that_every_destination_sheds_is_503_without_retry_after() {
    // RFC 7339 §5.10
    let mut world = controlled(1);
    reported(&mut world, ";oc=100;oc-algo=\"loss\";oc-validity=500;oc-seq=1.0");
    assert_eq!(takers(&mut world, 0, 3), [0, 0, 0]);
    world.wait_ms(500);
    assert_eq!(takers(&mut world, 3, 1), [1]);
    ends_clean(world);
}

#[test]
fn a_call_whose_only_target_that_can_be_reached_sheds_it_found_no_room() {
    // The first has no socket of its family; the second sheds when its turn comes.
    let targets = set(Algorithm::Priority, &["[2001:db8::9]:5060", FIRST]);
    let settings = Settings { listen: vec![listen("192.0.2.1:5060")], ..settings() };
    let mut world = World::with(settings, vec![SetSpec { overload_control: true, ..targets }], vec![]);
    reported(&mut world, ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0");
    assert_eq!(world.proxy.stats().no_room, 0);
    assert!(placed(&mut world, 1, &numbered(1)).is_none());
    assert_eq!(world.proxy.stats().no_room, 1);
    ends_clean(world);
}

#[test]
fn what_a_whole_set_sheds_goes_on_to_its_fallback() {
    let mut first = SetSpec { overload_control: true, ..set(Algorithm::Priority, &DESTINATIONS[..1]) };
    first.fallback = Some(SetId(2));
    let second = SetSpec { id: SetId(2), name: "more".into(), ..set(Algorithm::Priority, &DESTINATIONS[1..2]) };
    let mut world = World::with(settings(), vec![first, second], vec![]);
    reported(&mut world, ";oc=50;oc-algo=\"loss\";oc-validity=500;oc-seq=1.0");
    assert_eq!(takers(&mut world, 0, 4), [1, 2, 1, 2]);
    assert_eq!(world.proxy.stats().fallbacks, 2);
    let unoffered = placed(&mut world, 5, &numbered(5)).and_then(|_| placed(&mut world, 6, &numbered(6))).unwrap();
    assert!(unoffered.to == SECOND.parse().unwrap() && !unoffered.header("Via").contains("oc"), "its set has none");
    ends_clean(world);
}

#[test]
fn a_failover_is_shed_as_well_when_its_turn_comes() {
    let mut world = controlled(2);
    reported(&mut world, ";oc=0;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0");
    let table = &world.policy.table;
    let second = table.set(SetId(1)).unwrap().destinations[1].state;
    let report = siplane::dispatcher::OverloadReport {
        algorithm: OverloadAlgorithm::Loss,
        value: 50,
        validity: Duration::from_secs(60),
        sequence: 1,
    };
    assert!(table.states().set_overload(second, &report, world.now));
    for (number, goes_on) in [(1, true), (2, false), (3, true), (4, false)] {
        world.receive(CALLER, numbered(number));
        world.sent(CALLER, "SIP/2.0 100");
        let invite = world.sent(FIRST, "INVITE");
        refused(&mut world, FIRST, &invite, "500 Oops");
        if goes_on {
            let again = world.sent(SECOND, "INVITE");
            refused(&mut world, SECOND, &again, "486 Busy Here");
        }
        let response = world.sent(CALLER, if goes_on { "SIP/2.0 486" } else { "SIP/2.0 500" });
        acknowledge(&mut world, &numbered(number), &response);
    }
    ends_clean(world);
}

#[test]
fn only_the_destination_itself_may_report_and_only_in_our_via() {
    let mut world = controlled(1);
    let invite = call(&mut world);
    let report = ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0";
    world.receive("203.0.113.77:5060", reporting(&invite, "180 Ringing", report));
    world.sent(CALLER, "SIP/2.0 180");
    let below = answer(&invite, "180 Ringing", "to1", "").replace(";received=198", &format!("{report};received=198"));
    world.receive(FIRST, below);
    world.sent(CALLER, "SIP/2.0 180");
    assert_eq!((overload(&world, 0).in_force, overload(&world, 0).sequence), (None, 0));
    refused(&mut world, FIRST, &invite, "486 Busy Here");
    fails_with(&mut world, "486");
    // Nothing was offered: nothing may be reported.
    let mut without = dispatching(1, |_| {});
    let invite = call(&mut without);
    let unasked = answer(&invite, "486 Busy Here", "to1", "").replacen("\r\nVia", &format!("{report}\r\nVia"), 1);
    assert!(unasked.contains(report));
    without.receive(FIRST, unasked);
    without.sent(FIRST, "ACK");
    fails_with(&mut without, "486");
    assert_eq!(overload(&without, 0).sequence, 0);
    ends_clean(world);
    ends_clean(without);
}

#[test]
fn the_report_of_a_destination_that_is_gone_is_not_for_the_one_in_its_place() {
    let mut world = controlled(1);
    world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
    let sent = world.sent(FIRST, "MESSAGE");
    replace_first(&mut world, |set| set.overload_control = true);
    world.receive(FIRST, reporting(&sent, "200 OK", ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0"));
    world.sent(CALLER, "SIP/2.0 200");
    assert_eq!((overload(&world, 0).in_force, overload(&world, 0).sequence), (None, 0));
    ends_clean(world);
}

#[test]
fn what_belongs_to_a_dialog_is_never_held_back_and_new_requests_of_any_method_are() {
    let mut world = controlled(1);
    let invite = call(&mut world);
    world.receive(FIRST, reporting(&invite, "200 OK", ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0"));
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    world.receive(CALLER, other_call(&request("MESSAGE", "sip:b@example.com", "msg", "")));
    world.sent(CALLER, "SIP/2.0 503");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn emergency_and_authorized_calls_go_first() {
    // RFC 7339 §5.10.1, RFC 5031, RFC 7135
    let mut world = controlled(1);
    reported(&mut world, ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0");
    assert_eq!(takers(&mut world, 0, 1), [0]);
    let marked = numbered(1).replace("Contact:", "Resource-Priority: esnet.0\r\nContact:");
    assert!(placed(&mut world, 1, &marked).is_some());
    let emergency = numbered(2).replace("To: <sip:b@example.com>", "To: <urn:service:sos>");
    assert!(placed(&mut world, 2, &emergency).is_some());
    assert_eq!(takers(&mut world, 3, 1), [0]);
    ends_clean(world);
}
