//! Keepalives of calls: OPTIONS to both ends within the dialog (RFC 3261 §12.2), and what becomes of a call whose end is dead.

use super::more_b::*;
use super::world::*;
use siplane::proxy::{KeepaliveTo, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(60);
const CONTACT: &str = "Contact: <sip:b@203.0.113.1:5060>\r\n";

fn keeping(change: impl FnOnce(&mut Settings)) -> World {
    configured(1, |settings| {
        settings.keepalive.interval = INTERVAL;
        change(settings);
    })
}

/// The call is up, and both ends have said where they are.
#[track_caller]
fn up(world: &mut World) -> Sent {
    let invite = call(world);
    answered(world, &invite, "to1");
    invite
}

#[track_caller]
fn answered(world: &mut World, invite: &Sent, tag: &str) {
    world.receive(FIRST, answer(invite, "200 OK", tag, CONTACT));
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, in_dialog("ACK", &format!("ack{tag}"), invite, tag));
    world.sent(FIRST, "ACK");
}

/// Time passes until the next two OPTIONS are sent: to the caller and to the destination.
#[track_caller]
fn asked(world: &mut World) -> [Sent; 2] {
    wait_for_something(world);
    let to_caller = world.sent(CALLER, "OPTIONS");
    [to_caller, world.sent(FIRST, "OPTIONS")]
}

#[track_caller]
fn wait_for_something(world: &mut World) {
    for _ in 0..900 {
        if !world.sent.is_empty() {
            return;
        }
        world.wait_ms(100);
    }
    panic!("nothing was sent in {INTERVAL:?} and a half");
}

/// Both are answered like this; nobody hears of the answers.
#[track_caller]
fn say(world: &mut World, asked: &[Sent; 2], statuses: [&str; 2]) {
    for (sent, status) in asked.iter().zip(statuses) {
        world.receive(&sent.to.to_string(), answer(sent, status, "", ""));
    }
}

/// The call was ended with BYE to both, whose CSeq numbers are these.
#[track_caller]
fn ended(world: &mut World, numbers: [&str; 2]) {
    for (to, number) in [CALLER, FIRST].into_iter().zip(numbers) {
        let bye = world.sent(to, "BYE");
        assert_eq!(bye.header("CSeq"), format!("{number} BYE"));
        world.receive(to, answer(&bye, "200 OK", "", ""));
    }
    assert_eq!((world.load(0), world.proxy.dialogs(), world.proxy.stats().dialogs_dead), (0, 0, 1));
}

// RFC 3261 §13.3.1.4: until the ACK comes the callee repeats its 2xx, for 64*T1, and the caller may not know of the call yet: its 481
// would be no proof that it is gone.
#[test]
fn nobody_is_asked_before_the_ack_has_passed() {
    let mut world = keeping(|settings| settings.keepalive.interval = Duration::from_secs(10));
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "200 OK", "to1", CONTACT));
    world.sent(CALLER, "SIP/2.0 200");
    world.wait_ms(30_000);
    world.nothing_left();
    world.receive(CALLER, in_dialog("ACK", "ackto1", &invite, "to1"));
    world.sent(FIRST, "ACK");
    let asked = asked(&mut world);
    say(&mut world, &asked, ["200 OK", "200 OK"]);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn without_an_interval_nothing_is_sent_and_nothing_kept() {
    let mut world = single();
    let invite = call(&mut world);
    answered(&mut world, &invite, "to1");
    world.wait(Duration::from_secs(3600));
    world.nothing_left();
    assert_eq!((world.proxy.stored_bytes(), world.proxy.stats().keepalives), (0, 0));
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn each_end_is_asked_as_if_by_the_other() {
    // RFC 3261 §12.2.1.1, §11.1
    let mut world = keeping(|_| {});
    up(&mut world);
    let [caller, destination] = asked(&mut world);
    let rest = |sent: &Sent| {
        let branch = sent.branch().to_owned();
        sent.text.replace(&branch, "BRANCH")
    };
    let common = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=BRANCH\r\nMax-Forwards: 70\r\n";
    let (a, b) = ("\"A\" <sip:a@198.51.100.1>;tag=from1", "<sip:b@example.com>;tag=to1");
    let wanted = |uri: &str, from: &str, to: &str, number: u32| {
        format!(
            "OPTIONS {uri} SIP/2.0\r\n{common}From: {from}\r\nTo: {to}\r\nCall-ID: call-1@198.51.100.1\r\n\
             CSeq: {number} OPTIONS\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n"
        )
    };
    assert_eq!(rest(&caller), wanted("sip:a@198.51.100.1:5060", b, a, 0));
    assert_eq!(rest(&destination), wanted("sip:b@203.0.113.1:5060", a, b, 1));
    assert_ne!(caller.branch(), destination.branch());
}

#[test]
fn a_call_goes_on_while_its_ends_answer_anything_but_408_and_481() {
    let mut world = keeping(|_| {});
    let invite = up(&mut world);
    let mut last = None;
    for status in
        ["200 OK", "500 Out of Order", "404 Not Found", "405 Method Not Allowed", "486 Busy Here", "603 Decline"]
    {
        let pair = asked(&mut world);
        if let Some(last) = last {
            about(&[(pair[0].at - last).as_millis() as u64], &[60_000]);
        }
        last = Some(pair[0].at);
        say(&mut world, &pair, ["100 Trying", "200 OK"]);
        say(&mut world, &pair, [status, status]);
        world.wait_ms(10_000);
        world.nothing_left();
    }
    let stats = *world.proxy.stats();
    assert_eq!((stats.keepalives, stats.keepalive_failures, stats.dialogs_dead), (12, 0, 0));
    assert_eq!((world.load(0), world.proxy.dialogs()), (1, 1));
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn a_silent_end_is_asked_again_by_timer_e_and_then_the_call_is_over() {
    // RFC 3261 §17.1.2.2
    let mut world = keeping(|_| {});
    up(&mut world);
    let pair = asked(&mut world);
    world.receive(CALLER, answer(&pair[0], "200 OK", "", ""));
    world.wait_ms(31_900);
    let start = pair[1].at.as_millis() as u64;
    let again: Vec<_> = times(&mut world, FIRST, "OPTIONS").iter().map(|at| at - start).collect();
    about(&again, &[500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(world.load(0), 1);
    world.wait_ms(400);
    ended(&mut world, ["1", "2"]);
    assert_eq!(world.proxy.stats().keepalive_failures, 1);
    ends_clean(world);
}

#[test]
fn an_end_that_is_unreachable_has_failed() {
    let mut world = keeping(|_| {});
    up(&mut world);
    let pair = asked(&mut world);
    world.unreachable(&pair[0]);
    ended(&mut world, ["1", "2"]);
    // The other one's answer comes too late for anything.
    world.receive(FIRST, answer(&pair[1], "481 Call/Transaction Does Not Exist", "", ""));
    ends_clean(world);
}

#[test]
fn so_many_481_or_408_in_a_row_of_one_end_are_the_end() {
    let mut world = keeping(|settings| settings.keepalive.failures_max = 2);
    up(&mut world);
    let (ok, gone, timeout) = ("200 OK", "481 Call/Transaction Does Not Exist", "408 Request Timeout");
    for statuses in [[gone, ok], [ok, timeout], [timeout, ok], [ok, gone]] {
        let pair = asked(&mut world);
        say(&mut world, &pair, statuses);
        world.nothing_left();
    }
    let pair = asked(&mut world);
    say(&mut world, &pair, [ok, timeout]);
    ended(&mut world, ["1", "2"]);
    assert_eq!(world.proxy.stats().keepalive_failures, 5);
    ends_clean(world);
}

#[test]
fn only_the_end_that_is_to_be_asked_is_asked() {
    for (to, address) in [(KeepaliveTo::Caller, CALLER), (KeepaliveTo::Destination, FIRST)] {
        let mut world = keeping(|settings| settings.keepalive.to = to);
        let invite = up(&mut world);
        for _ in 0..2 {
            wait_for_something(&mut world);
            let sent = world.sent(address, "OPTIONS");
            world.receive(address, answer(&sent, "200 OK", "", ""));
            world.nothing_left();
        }
        hang_up(&mut world, &invite, "to1");
        ends_clean(world);
    }
}

#[test]
fn cseq_numbers_follow_the_ends_and_are_not_raised() {
    // RFC 3261 §12.2.2: not lower than what the end has seen, and what the other sends next is higher.
    let mut world = keeping(|_| {});
    let invite = up(&mut world);
    let numbers = |pair: &[Sent; 2]| [pair[0].header("CSeq").to_owned(), pair[1].header("CSeq").to_owned()];
    let pair = asked(&mut world);
    say(&mut world, &pair, ["200 OK"; 2]);
    assert_eq!(numbers(&pair), ["0 OPTIONS", "1 OPTIONS"]);
    world.receive(CALLER, in_dialog("INFO", "info", &invite, "to1").replace("CSeq: 2", "CSeq: 70"));
    let info = world.sent(FIRST, "INFO");
    relayed(&mut world, FIRST, &info, "200 OK");
    world.receive(FIRST, from_callee("INFO", "cinfo", &invite, "to1").replace("CSeq: 1", "CSeq: 5"));
    let info = world.sent(CALLER, "INFO");
    world.receive(CALLER, answer(&info, "200 OK", "", ""));
    world.sent(FIRST, "SIP/2.0 200");
    // An older one that was overtaken changes nothing.
    world.receive(CALLER, in_dialog("INFO", "late", &invite, "to1").replace("CSeq: 2", "CSeq: 69"));
    let info = world.sent(FIRST, "INFO");
    relayed(&mut world, FIRST, &info, "500 Out of Order");
    for _ in 0..2 {
        let pair = asked(&mut world);
        say(&mut world, &pair, ["200 OK"; 2]);
        assert_eq!(numbers(&pair), ["5 OPTIONS", "70 OPTIONS"]);
    }
    let pair = asked(&mut world);
    say(&mut world, &pair, ["481 Gone", "200 OK"]);
    ended(&mut world, ["6", "71"]);
    ends_clean(world);
}

#[test]
fn requests_before_the_2xx_count_for_the_cseq_number() {
    // RFC 3262 §4: a PRACK has a CSeq number of its own.
    let mut world = keeping(|_| {});
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "183 Session Progress");
    world.receive(CALLER, in_dialog("PRACK", "prack", &invite, "to1"));
    let prack = world.sent(FIRST, "PRACK");
    relayed(&mut world, FIRST, &prack, "200 OK");
    answered(&mut world, &invite, "to1");
    assert_eq!(asked(&mut world)[1].header("CSeq"), "2 OPTIONS");
}

#[test]
fn a_re_invite_and_an_update_change_targets_when_they_succeed() {
    // RFC 3261 §12.2.1.2, §14.1
    let mut world = keeping(|_| {});
    let invite = up(&mut world);
    let moved = "Contact: <sip:b@203.0.113.77:5060>\r\n";
    let uris = |pair: &[Sent; 2]| [pair[0].line().to_owned(), pair[1].line().to_owned()];
    for (status, more) in [("488 Not Acceptable Here", ""), ("200 OK", moved)] {
        let branch = format!("re{}", &status[..3]);
        let again = in_dialog("INVITE", &branch, &invite, "to1").replace("CSeq: 1", "CSeq: 2");
        let again = again.replace("Contact: <sip:a@198.51.100.1:5060>", "Contact: <sip:a@198.51.100.9:5062>");
        world.receive(CALLER, again);
        world.sent(CALLER, "SIP/2.0 100");
        let again = world.sent(FIRST, "INVITE");
        world.receive(FIRST, answer(&again, status, "to1", more));
        if status.starts_with("488") {
            world.sent(FIRST, "ACK");
            let refused = world.sent(CALLER, "SIP/2.0 488");
            world.receive(CALLER, hop_ack(&refused).replace("z9hG4bKinv", &format!("z9hG4bK{branch}")));
            let pair = asked(&mut world);
            say(&mut world, &pair, ["200 OK"; 2]);
            assert_eq!(pair[1].line(), "OPTIONS sip:b@203.0.113.1:5060 SIP/2.0");
        } else {
            world.sent(CALLER, "SIP/2.0 200");
        }
    }
    wait_for_something(&mut world);
    let pair = [world.sent("198.51.100.9:5062", "OPTIONS"), world.sent("203.0.113.77:5060", "OPTIONS")];
    assert_eq!(uris(&pair), ["OPTIONS sip:a@198.51.100.9:5062 SIP/2.0", "OPTIONS sip:b@203.0.113.77:5060 SIP/2.0"]);
    say(&mut world, &pair, ["200 OK"; 2]);
    let update = from_callee("UPDATE", "up", &invite, "to1");
    world.receive(FIRST, update.replace("Content-Length", "Contact: <sip:b@203.0.113.78>\r\nContent-Length"));
    let update = world.sent(CALLER, "UPDATE");
    world.receive(CALLER, answer(&update, "200 OK", "", "Contact: <sip:a@198.51.100.8>\r\n"));
    world.sent(FIRST, "SIP/2.0 200");
    wait_for_something(&mut world);
    let pair = [world.sent("198.51.100.8:5060", "OPTIONS"), world.sent("203.0.113.78:5060", "OPTIONS")];
    say(&mut world, &pair, ["200 OK"; 2]);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn the_way_to_each_end_is_its_route_set() {
    // RFC 3261 §12.1.1, §12.1.2
    let mut world = keeping(|_| {});
    let edge = "Record-Route: <sip:198.51.100.50:5070;lr>\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", edge));
    world.sent(CALLER, "SIP/2.0 100");
    let invite = world.sent(FIRST, "INVITE");
    let text = answer(&invite, "200 OK", "to1", CONTACT);
    world.receive(FIRST, text.replacen("Record-Route:", "Record-Route: <sip:203.0.113.60:5066;lr>,", 1));
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    wait_for_something(&mut world);
    let caller = world.sent("198.51.100.50:5070", "OPTIONS sip:a@198.51.100.1:5060 SIP/2.0");
    let destination = world.sent("203.0.113.60:5066", "OPTIONS sip:b@203.0.113.1:5060 SIP/2.0");
    assert_eq!(caller.all("Route"), ["<sip:198.51.100.50:5070;lr>"]);
    assert_eq!(destination.all("Route"), ["<sip:203.0.113.60:5066;lr>"]);
}

#[test]
fn each_fork_has_keepalives_of_its_own_and_dies_alone() {
    // RFC 3261 §13.2.2.4
    let mut world = keeping(|_| {});
    let invite = call(&mut world);
    ["fork1", "fork2"].iter().for_each(|tag| answered(&mut world, &invite, tag));
    wait_for_something(&mut world);
    let sent: Vec<_> = world.sent.drain(..).collect();
    let tags: BTreeSet<_> = sent.iter().map(|sent| format!("{} {}", sent.header("From"), sent.header("To"))).collect();
    assert_eq!((sent.len(), tags.len()), (4, 4));
    for sent in &sent {
        let gone = sent.text.contains("tag=fork1");
        world.receive(&sent.to.to_string(), answer(sent, if gone { "481 Gone" } else { "200 OK" }, "", ""));
    }
    for to in [CALLER, FIRST] {
        let bye = world.sent(to, "BYE");
        assert!(bye.text.contains("tag=fork1"));
        world.receive(to, answer(&bye, "200 OK", "", ""));
    }
    assert_eq!((world.load(0), world.proxy.dialogs(), world.proxy.stats().dialogs_dead), (1, 1, 0));
    let pair = asked(&mut world);
    say(&mut world, &pair, ["200 OK"; 2]);
    hang_up(&mut world, &invite, "fork2");
    ends_clean(world);
}

#[test]
fn while_somebody_hangs_up_nobody_is_asked_and_no_failure_counts() {
    let mut world = keeping(|_| {});
    let invite = up(&mut world);
    let pair = asked(&mut world);
    world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
    let bye = world.sent(FIRST, "BYE");
    say(&mut world, &pair, ["481 Gone"; 2]);
    world.nothing_left();
    assert_eq!((world.proxy.stats().keepalive_failures, world.proxy.dialogs()), (0, 1));
    // RFC 3261 §22.2: a challenged BYE comes again; until then the call is up, and asked.
    relayed(&mut world, FIRST, &bye, "407 Proxy Authentication Required");
    let pair = asked(&mut world);
    say(&mut world, &pair, ["200 OK"; 2]);
    world.receive(CALLER, in_dialog("BYE", "bye2", &invite, "to1").replace("CSeq: 2", "CSeq: 3"));
    let bye = world.sent(FIRST, "BYE");
    relayed(&mut world, FIRST, &bye, "200 OK");
    ends_clean(world);
}

#[test]
fn an_end_that_hangs_up_or_has_not_answered_yet_is_not_asked_again() {
    let mut world = keeping(|settings| {
        (settings.keepalive.interval, settings.keepalive.to) = (Duration::from_secs(5), KeepaliveTo::Destination);
    });
    let invite = up(&mut world);
    wait_for_something(&mut world);
    let first = world.sent(FIRST, "OPTIONS");
    world.wait_ms(30_000);
    assert!(world.sent.len() > 5 && world.sent.drain(..).all(|sent| sent.bytes == first.bytes), "Timer E alone");
    world.receive(FIRST, answer(&first, "200 OK", "", ""));
    wait_for_something(&mut world);
    let next = world.sent(FIRST, "OPTIONS");
    assert_ne!(next.branch(), first.branch());
    world.receive(FIRST, answer(&next, "200 OK", "", ""));
    world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
    let bye = world.sent(FIRST, "BYE");
    world.wait_ms(30_000);
    // RFC 4320 §4.1: a 100 to the caller.
    world.sent.retain(|sent| sent.line() != "SIP/2.0 100 Trying");
    assert!(world.sent.len() > 5 && world.sent.drain(..).all(|sent| sent.bytes == bye.bytes), "Timer E alone");
    relayed(&mut world, FIRST, &bye, "200 OK");
    ends_clean(world);
}

#[test]
fn a_2xx_that_is_repeated_makes_no_second_keepalive_and_a_lifetime_that_is_over_leaves_nothing() {
    // RFC 3261 §13.3.1.4
    let mut world = keeping(|settings| settings.dialog.confirmed = Duration::from_secs(100));
    let invite = up(&mut world);
    relayed(&mut world, FIRST, &invite, "200 OK");
    let pair = asked(&mut world);
    world.nothing_left();
    say(&mut world, &pair, ["200 OK"; 2]);
    world.wait(Duration::from_secs(100));
    assert_eq!((world.proxy.dialogs(), world.proxy.stats().dialogs_expired), (0, 1));
    world.sent.clear();
    ends_clean(world);
}

#[test]
fn an_answer_after_the_call_is_for_nobody() {
    let mut world = keeping(|_| {});
    let invite = up(&mut world);
    let pair = asked(&mut world);
    hang_up(&mut world, &invite, "to1");
    say(&mut world, &pair, ["200 OK"; 2]);
    say(&mut world, &pair, ["481 Gone"; 2]);
    assert_eq!(world.proxy.stats().stray_responses, 2);
    ends_clean(world);
}

#[test]
fn an_end_that_cannot_be_addressed_is_counted_and_not_given_up() {
    let mut world = keeping(|_| {});
    let invite = call(&mut world);
    world.receive(FIRST, answer(&invite, "200 OK", "to1", "Contact: <sip:b@bridge.example.com>\r\n"));
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    wait_for_something(&mut world);
    let sent = world.sent(CALLER, "OPTIONS");
    world.receive(CALLER, answer(&sent, "200 OK", "", ""));
    world.nothing_left();
    assert_eq!((world.proxy.stats().unresolvable, world.load(0)), (1, 1));
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn calls_that_begin_together_are_asked_at_times_all_over_the_interval() {
    let mut world = keeping(|_| {});
    for number in 0..64 {
        let text =
            invite().replace("call-1@", &format!("call-{number}@")).replace("z9hG4bKinv", &format!("z9hG4bK{number}"));
        world.receive(CALLER, text);
        world.sent(CALLER, "SIP/2.0 100");
        let sent = world.sent(FIRST, "INVITE");
        world.receive(FIRST, answer(&sent, "200 OK", "to1", CONTACT));
        world.sent(CALLER, "SIP/2.0 200");
        world.receive(CALLER, in_dialog("ACK", "ack", &sent, "to1").replace("call-1@", &format!("call-{number}@")));
        world.sent(FIRST, "ACK");
    }
    world.wait(Duration::from_secs(100));
    let mut first = BTreeMap::new();
    for sent in
        world.sent.iter().filter(|sent| sent.to == CALLER.parse().unwrap() && sent.line().starts_with("OPTIONS"))
    {
        first.entry(sent.header("Call-ID").to_owned()).or_insert(sent.at.as_secs());
    }
    // From half an interval after the 2xx on, for a whole one: some in each sixth of it.
    let sixths: BTreeSet<_> = first.values().map(|at| at / 10).collect();
    assert_eq!((first.len(), sixths), (64, (3..9).collect()));
}

#[test]
fn without_room_for_what_a_keepalive_needs_the_call_goes_on_without_and_it_is_counted() {
    let mut roomy = keeping(|_| {});
    let invite = call(&mut roomy);
    let taken = roomy.proxy.stored_bytes();
    // As much room as the transactions of one call take, and so none for its ends beside them; and less than twice as much, of which
    // what is left is for calls.
    for stored_bytes_max in [taken, taken * 2 - 1] {
        let mut world = keeping(|settings| settings.stored_bytes_max = stored_bytes_max);
        let sent = call(&mut world);
        assert_eq!(sent.header("Call-ID"), invite.header("Call-ID"));
        answered(&mut world, &sent, "to1");
        assert_eq!(world.proxy.stats().keepalives_skipped, 1);
        world.wait_ms(100_000);
        world.nothing_left();
        hang_up(&mut world, &sent, "to1");
        ends_clean(world);
    }
    let mut world = keeping(|settings| settings.stored_bytes_max = taken * 2);
    up(&mut world);
    assert_eq!(world.proxy.stats().keepalives_skipped, 0);
}

#[test]
fn keepalives_leave_room_for_calls_and_those_that_are_left_out_are_counted() {
    let mut world = keeping(|settings| settings.transactions_max = 1);
    let invite = up(&mut world);
    for skipped in 1..=2 {
        wait_for_something(&mut world);
        let sent = world.sent(CALLER, "OPTIONS");
        world.nothing_left();
        assert_eq!(world.proxy.stats().keepalives_skipped, skipped);
        world.receive(CALLER, answer(&sent, "200 OK", "", ""));
    }
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}
