//! Parallel forking (RFC 3261 §16.5-§16.8, RFC 5393): a set of algorithm `parallel`.

use super::more_a::message;
use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Algorithm, Exhausted, SetId, SetSpec};
use siplane::proxy::Stats;

/// The first `count` destinations, of which `at_once` get a request at the same time.
fn forking(count: usize, at_once: usize, change: impl FnOnce(&mut SetSpec)) -> World {
    let mut set = set(Algorithm::Parallel, &DESTINATIONS[..count]);
    set.branches_max = at_once;
    change(&mut set);
    World::with(settings(), vec![set], vec![])
}

/// A call comes in and goes to the first `at_once` destinations at the same moment.
#[track_caller]
fn fork(world: &mut World, at_once: usize) -> Vec<Sent> {
    fork_of(world, &invite(), at_once)
}

#[track_caller]
fn fork_of(world: &mut World, invite: &str, at_once: usize) -> Vec<Sent> {
    world.receive(CALLER, invite);
    world.sent(CALLER, "SIP/2.0 100 Trying");
    let branches: Vec<_> =
        DESTINATIONS[..at_once].iter().map(|to| world.sent(to, "INVITE sip:b@example.com")).collect();
    world.nothing_left();
    branches
}

/// The far side of `branch` answers, with a tag of its own.
fn says(world: &mut World, branch: &Sent, status: &str) {
    let to = branch.to.to_string();
    let tag = tag(branch);
    world.receive(&to, answer(branch, status, &tag, &format!("Contact: <sip:b@{to}>\r\n")));
}

fn tag(branch: &Sent) -> String {
    format!("at{}", branch.to.ip())
}

/// The far side of `branch` refuses and gets its ACK.
#[track_caller]
fn refuses(world: &mut World, branch: &Sent, status: &str) {
    says(world, branch, status);
    let ack = world.sent(&branch.to.to_string(), "ACK");
    assert_eq!(ack.branch(), branch.branch());
}

/// `branch` is ringing, and the caller hears it.
#[track_caller]
fn rings(world: &mut World, branch: &Sent) {
    says(world, branch, "180 Ringing");
    let ringing = world.sent(CALLER, "SIP/2.0 180");
    assert!(ringing.header("To").ends_with(&tag(branch)));
}

/// The next message is the CANCEL of `branch`, which the far side obeys.
#[track_caller]
fn is_cancelled(world: &mut World, branch: &Sent) {
    let to = branch.to.to_string();
    let cancel = world.sent(&to, "CANCEL");
    assert_eq!(cancel.branch(), branch.branch());
    world.receive(&to, answer(&cancel, "200 OK", &tag(branch), ""));
    refuses(world, branch, "487 Request Terminated");
}

fn loads(world: &World) -> Vec<u64> {
    let states = world.policy.table.states();
    assert_eq!(world.proxy.tokens() as u64, states.total_load(), "drift");
    assert_eq!(world.proxy.live_tokens().count(), world.proxy.tokens());
    (0..world.policy.table.sets()[0].destinations.len()).map(|at| world.load(at)).collect()
}

fn stats(world: &World) -> Stats {
    *world.proxy.stats()
}

// RFC 3261 §16.6: to all at once, each with a branch of its own; §16.7 item 5: each 1xx and the 2xx at once; item 10: the others are
// cancelled.
#[test]
fn all_ring_the_first_to_answer_gets_the_call_and_the_others_are_cancelled() {
    let mut world = forking(3, 3, |_| {});
    let branches = fork(&mut world, 3);
    assert!(branches[0].branch() != branches[1].branch() && branches[1].branch() != branches[2].branch());
    assert_eq!(loads(&world), [1, 1, 1]);
    branches.iter().for_each(|branch| rings(&mut world, branch));
    says(&mut world, &branches[1], "183 Session Progress");
    world.sent(CALLER, "SIP/2.0 183");
    says(&mut world, &branches[1], "200 OK");
    assert!(world.sent(CALLER, "SIP/2.0 200").header("To").ends_with(&tag(&branches[1])));
    let cancels: Vec<_> = [0, 2].map(|at| world.sent(DESTINATIONS[at], "CANCEL")).into();
    world.nothing_left();
    for (cancel, at) in cancels.iter().zip([0, 2]) {
        world.receive(DESTINATIONS[at], answer(cancel, "200 OK", &tag(&branches[at]), ""));
        assert_eq!(loads(&world)[at], 1, "it is load until it has ended");
        refuses(&mut world, &branches[at], "487 Request Terminated");
    }
    assert_eq!(loads(&world), [0, 1, 0]);
    world.receive(CALLER, in_dialog("ACK", "ack", &branches[1], &tag(&branches[1])));
    world.sent(SECOND, "ACK");
    hang_up(&mut world, &branches[1], &tag(&branches[1]));
    let stats = stats(&world);
    assert_eq!((stats.calls, stats.calls_answered, stats.forks, stats.failovers), (1, 1, 2, 0));
    assert_eq!((stats.dialogs_confirmed, stats.dialogs_ended), (1, 1));
    ends_clean(world);
}

// RFC 5393 §5.3.3: the Max-Breadth of the branches that run is together no more than that of the request.
#[test]
fn the_branches_share_the_breadth_of_the_request() {
    let breadths =
        |branches: &[Sent]| branches.iter().map(|it| it.header("Max-Breadth").to_owned()).collect::<Vec<_>>();
    for (more, shares) in [
        ("", &["20", "20", "20"][..]),
        ("Max-Breadth: 60\r\n", &["20", "20", "20"]),
        ("Max-Breadth: 900\r\n", &["20", "20", "20"]),
        ("Max-Breadth: 3\r\n", &["1", "1", "1"]),
        ("Max-Breadth: 11\r\n", &["3", "4", "4"]),
        ("Max-Breadth: 2\r\n", &["1", "1"]),
        ("Max-Breadth: 1\r\n", &["1"]),
    ] {
        let mut world = forking(3, 3, |_| {});
        let branches = fork_of(&mut world, &request("INVITE", "sip:b@example.com", "inv", more), shares.len());
        assert_eq!(breadths(&branches), shares, "{more}");
    }
    // RFC 5393 §5.3.3: none to give.
    let mut world = forking(3, 3, |_| {});
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", "Max-Breadth: 0\r\n"));
    world.sent(CALLER, "SIP/2.0 440");
    ends_clean(world);
}

// RFC 5393 §5.3.3.1: the breadth of a branch that has ended is given to the next; what runs beside it keeps its own.
#[test]
fn a_branch_that_follows_has_the_breadth_of_the_one_that_failed() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork_of(&mut world, &request("INVITE", "sip:b@example.com", "inv", "Max-Breadth: 7\r\n"), 2);
    assert_eq!([0, 1].map(|at| branches[at].header("Max-Breadth")), ["3", "4"]);
    rings(&mut world, &branches[1]);
    refuses(&mut world, &branches[0], "503 Service Unavailable");
    assert_eq!(world.sent(THIRD, "INVITE").header("Max-Breadth"), "3");
    world.nothing_left();
}

// RFC 3261 §16.7 item 6: with too little breadth for all the request goes from target to target.
#[test]
fn a_request_of_breadth_one_is_tried_one_after_the_other() {
    let mut world = forking(3, 3, |_| {});
    let only = fork_of(&mut world, &request("INVITE", "sip:b@example.com", "inv", "Max-Breadth: 1\r\n"), 1);
    refuses(&mut world, &only[0], "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    assert_eq!(second.header("Max-Breadth"), "1");
    refuses(&mut world, &second, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// RFC 3261 §16.7: a failover code brings in the next target, and what rings goes on ringing.
#[test]
fn a_branch_that_fails_makes_room_for_the_next_target_while_others_ring() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[0]);
    refuses(&mut world, &branches[1], "503 Service Unavailable");
    let third = world.sent(THIRD, "INVITE");
    world.nothing_left();
    assert_eq!(loads(&world), [1, 0, 1]);
    rings(&mut world, &third);
    says(&mut world, &third, "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    is_cancelled(&mut world, &branches[0]);
    hang_up(&mut world, &third, &tag(&third));
    assert_eq!((stats(&world).forks, stats(&world).failovers), (1, 1));
    let states = world.policy.table.states();
    let taken_over = world.policy.table.sets()[0].destinations.iter().map(|it| states.counters(it.state).taken_over);
    assert_eq!(taken_over.collect::<Vec<_>>(), [0, 0, 1], "the first two were forked, not failed over");
    ends_clean(world);
}

// RFC 3261 §16.9: so does one that cannot be reached.
#[test]
fn an_unreachable_destination_makes_room_for_the_next_one() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[1]);
    world.unreachable(&branches[0]);
    let third = world.sent(THIRD, "INVITE");
    world.nothing_left();
    world.unreachable(&third);
    world.nothing_left();
    refuses(&mut world, &branches[1], "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// RFC 3261 §16.7 item 6: nothing final goes back while a branch is pending, then the best of all.
#[test]
fn a_refusal_waits_for_the_others_and_the_best_one_goes_back() {
    let mut world = forking(3, 3, |_| {});
    let branches = fork(&mut world, 3);
    rings(&mut world, &branches[2]);
    refuses(&mut world, &branches[0], "502 Bad Gateway");
    refuses(&mut world, &branches[1], "486 Busy Here");
    world.wait_ms(30_000);
    world.nothing_left();
    refuses(&mut world, &branches[2], "500 Server Internal Error");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// RFC 3261 §16.7 item 6: who was reached has decided: no target is tried after it, but what runs may still answer.
#[test]
fn a_code_that_is_no_failover_code_ends_the_search_but_not_the_ringing() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[1]);
    refuses(&mut world, &branches[0], "486 Busy Here");
    world.nothing_left();
    refuses(&mut world, &branches[1], "503 Service Unavailable");
    fails_with(&mut world, "486");
    world.nothing_left();
    ends_clean(world);

    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    refuses(&mut world, &branches[0], "404 Not Found");
    says(&mut world, &branches[1], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    hang_up(&mut world, &branches[1], &tag(&branches[1]));
    ends_clean(world);
}

// RFC 3261 §16.7 item 7: the challenges of all branches go back together.
#[test]
fn the_challenges_of_parallel_branches_are_put_together() {
    let mut world = forking(2, 2, |_| {});
    let branches = fork(&mut world, 2);
    for (branch, realm) in branches.iter().zip(["a", "b"]) {
        let line = format!("Proxy-Authenticate: Digest realm=\"{realm}\"\r\n");
        let to = branch.to.to_string();
        world.receive(&to, answer(branch, "407 Proxy Authentication Required", &tag(branch), &line));
        world.sent(&to, "ACK");
    }
    let best = fails_with(&mut world, "407");
    assert_eq!(best.all("Proxy-Authenticate"), ["Digest realm=\"a\"", "Digest realm=\"b\""]);
    ends_clean(world);
}

// RFC 3261 §16.7 item 5: a 6xx cancels all that is pending; no new branch is started.
#[test]
fn a_6xx_ends_all_branches() {
    let mut world = forking(3, 2, |set| set.failover_codes.insert(603));
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[1]);
    refuses(&mut world, &branches[0], "603 Decline");
    is_cancelled(&mut world, &branches[1]);
    fails_with(&mut world, "603");
    assert_eq!(answers(&world), [1, 0, 0], "a 487 to our CANCEL is no answer");
    ends_clean(world);
}

// RFC 3261 §16.10: the caller's CANCEL goes to every branch; §9.1: to a silent one as soon as it shows life.
#[test]
fn the_callers_cancel_goes_to_all_branches() {
    let mut world = forking(3, 3, |_| {});
    let branches = fork(&mut world, 3);
    branches[..2].iter().for_each(|branch| rings(&mut world, branch));
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancels = [0, 1].map(|at| world.sent(DESTINATIONS[at], "CANCEL"));
    world.nothing_left();
    for (cancel, branch) in cancels.iter().zip(&branches) {
        world.receive(&cancel.to.to_string(), answer(cancel, "200 OK", &tag(branch), ""));
        refuses(&mut world, branch, "487 Request Terminated");
    }
    world.nothing_left();
    says(&mut world, &branches[2], "180 Ringing");
    is_cancelled(&mut world, &branches[2]);
    fails_with(&mut world, "487");
    assert_eq!(loads(&world), [0, 0, 0]);
    ends_clean(world);
}

// RFC 3261 §16.7 item 5, §13.2.2.4: a second 2xx goes back too: two dialogs, each with the load of its own branch.
#[test]
fn a_second_2xx_is_a_leg_of_its_own_with_its_own_load() {
    let mut world = forking(2, 2, |_| {});
    let branches = fork(&mut world, 2);
    branches.iter().for_each(|branch| rings(&mut world, branch));
    says(&mut world, &branches[0], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(SECOND, "CANCEL");
    // It has answered already.
    says(&mut world, &branches[1], "200 OK");
    assert!(world.sent(CALLER, "SIP/2.0 200").header("To").ends_with(&tag(&branches[1])));
    world.receive(SECOND, answer(&cancel, "481 Call/Transaction Does Not Exist", &tag(&branches[1]), ""));
    for (branch, number) in branches.iter().zip(0..) {
        world.receive(CALLER, in_dialog("ACK", &format!("ack{number}"), branch, &tag(branch)));
        world.sent(&branch.to.to_string(), "ACK");
    }
    world.nothing_left();
    assert_eq!(loads(&world), [1, 1]);
    hang_up(&mut world, &branches[0], &tag(&branches[0]));
    assert_eq!(loads(&world), [0, 1]);
    hang_up(&mut world, &branches[1], &tag(&branches[1]));
    assert_eq!((loads(&world), stats(&world).dialogs_ended), (vec![0, 0], 1));
    ends_clean(world);
}

// The set's answer time-out holds for each branch: the next target comes in, and the silent one is cancelled when it shows life.
#[test]
fn a_silent_branch_makes_room_after_the_answer_timeout() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[1]);
    world.wait_ms(2_100);
    // RFC 3261 §17.1.1.2: Timer A, after 500 ms and 1 s more.
    [(); 2].iter().for_each(|()| drop(world.sent(FIRST, "INVITE")));
    let third = world.sent(THIRD, "INVITE");
    assert_eq!(third.header("Max-Breadth"), "30");
    world.nothing_left();
    assert_eq!((stats(&world).answer_timeouts, stats(&world).failovers), (1, 1));
    assert_eq!(evidence(&world), [(0, 1, 1), (0, 0, 0), (0, 0, 0)]);
    refuses(&mut world, &third, "503 Service Unavailable");
    says(&mut world, &branches[0], "180 Ringing");
    is_cancelled(&mut world, &branches[0]);
    world.nothing_left();
    says(&mut world, &branches[1], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    hang_up(&mut world, &branches[1], &tag(&branches[1]));
    ends_clean(world);
}

// A call that was refused does not wait for a silent branch longer than for the set's answer time-out.
#[test]
fn a_refused_call_gives_a_silent_branch_up_after_the_answer_timeout() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    refuses(&mut world, &branches[1], "486 Busy Here");
    world.nothing_left();
    world.wait_ms(1_900);
    [(); 2].iter().for_each(|()| drop(world.sent(FIRST, "INVITE")));
    world.nothing_left();
    world.wait_ms(200);
    let busy = fails_with(&mut world, "486");
    about(&[busy.at.as_millis() as u64], &[2_000]);
    // RFC 3261 §9.1: it shows life: it is cancelled.
    says(&mut world, &branches[0], "180 Ringing");
    is_cancelled(&mut world, &branches[0]);
    ends_clean(world);
}

// A shard's table of client transactions is full: the call begins with the branches that there is room for, and says so.
#[test]
fn with_a_full_table_a_call_begins_with_fewer_branches() {
    let mut settings = settings();
    settings.transactions_max = 1;
    let set = SetSpec { branches_max: 3, ..set(Algorithm::Parallel, &DESTINATIONS) };
    let mut world = World::with(settings, vec![set], vec![]);
    let branches = fork(&mut world, 2);
    assert_eq!((stats(&world).refused_full, loads(&world)), (1, vec![1, 1, 0]));
    rings(&mut world, &branches[1]);
    says(&mut world, &branches[0], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    is_cancelled(&mut world, &branches[1]);
    world.wait_ms(33_000);
    hang_up(&mut world, &branches[0], &tag(&branches[0]));
    ends_clean(world);
}

// The last hope is waited for: a silent branch may answer until Timer B when nothing runs beside it.
#[test]
fn the_last_silent_branch_is_waited_for_until_timer_b() {
    let mut world = forking(2, 2, |_| {});
    let branches = fork(&mut world, 2);
    refuses(&mut world, &branches[1], "503 Service Unavailable");
    world.wait_ms(10_000);
    world.sent.clear();
    says(&mut world, &branches[0], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    hang_up(&mut world, &branches[0], &tag(&branches[0]));
    ends_clean(world);
}

// RFC 3261 §16.8: Timer C runs for each branch: who rings too long is cancelled, and nobody is tried after it.
#[test]
fn timer_c_runs_for_each_branch() {
    let mut world = forking(3, 2, |_| {});
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[0]);
    world.wait_ms(400);
    rings(&mut world, &branches[1]);
    world.wait_ms(100_000);
    // RFC 3261 §16.7 item 2: a 1xx but 100 sets Timer C anew.
    rings(&mut world, &branches[1]);
    world.wait_ms(85_000);
    is_cancelled(&mut world, &branches[0]);
    world.nothing_left();
    world.wait_ms(60_000);
    world.nothing_left();
    says(&mut world, &branches[1], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    assert_eq!(stats(&world).timer_c, 1);
    hang_up(&mut world, &branches[1], &tag(&branches[1]));
    ends_clean(world);
}

// RFC 3261 §16.7 item 6, §16.8: the 487 to Timer C's CANCEL tells the caller of nothing that it did: a refusal of another branch does.
#[test]
fn the_487_of_a_branch_that_rang_too_long_does_not_hide_what_another_one_says() {
    for late in [true, false] {
        let mut world = forking(2, 2, |_| {});
        let branches = fork(&mut world, 2);
        rings(&mut world, &branches[0]);
        world.wait_ms(400);
        rings(&mut world, &branches[1]);
        if !late {
            refuses(&mut world, &branches[1], "486 Busy Here");
        }
        world.wait_ms(184_600);
        is_cancelled(&mut world, &branches[0]);
        if late {
            world.nothing_left();
            refuses(&mut world, &branches[1], "486 Busy Here");
        }
        fails_with(&mut world, "486");
        assert_eq!(stats(&world).timer_c, 1);
        ends_clean(world);
    }
}

// RFC 3261 §16.7 item 5: a non-INVITE is forked too, and gets one final response; §9.1: no CANCEL.
#[test]
fn a_non_invite_is_answered_by_the_first_final_2xx_alone() {
    let mut world = forking(3, 2, |_| {});
    world.receive(CALLER, message(""));
    let branches = [FIRST, SECOND].map(|to| world.sent(to, "MESSAGE"));
    world.nothing_left();
    assert_eq!(loads(&world), [0, 0, 0]);
    says(&mut world, &branches[0], "503 Service Unavailable");
    let third = world.sent(THIRD, "MESSAGE");
    says(&mut world, &branches[1], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    says(&mut world, &third, "202 Accepted");
    world.nothing_left();
    ends_clean(world);
}

// The fallback's turn comes when nothing of the first set runs any more.
#[test]
fn the_fallback_is_entered_when_the_last_branch_has_failed() {
    let mut first = set(Algorithm::Parallel, &DESTINATIONS[..2]);
    first.fallback = Some(SetId(2));
    let second =
        SetSpec { id: SetId(2), name: "more".into(), ..set(Algorithm::Parallel, &[THIRD, "203.0.113.4:5060"]) };
    let mut world = World::with(settings(), vec![first, second], vec![]);
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[1]);
    refuses(&mut world, &branches[0], "503 Service Unavailable");
    world.nothing_left();
    refuses(&mut world, &branches[1], "500 Server Internal Error");
    let third = world.sent(THIRD, "INVITE");
    let fourth = world.sent("203.0.113.4:5060", "INVITE");
    world.nothing_left();
    rings(&mut world, &third);
    says(&mut world, &fourth, "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    is_cancelled(&mut world, &third);
    hang_up(&mut world, &fourth, &tag(&fourth));
    assert_eq!((stats(&world).fallbacks, stats(&world).forks, stats(&world).failovers), (1, 2, 1));
    ends_clean(world);
}

// A silent branch that is left beside a ringing one does not keep the fallback waiting once its time is over.
#[test]
fn a_silent_branch_does_not_hold_back_the_fallback() {
    let mut first = set(Algorithm::Parallel, &DESTINATIONS[..2]);
    first.fallback = Some(SetId(2));
    let second = SetSpec { id: SetId(2), name: "more".into(), ..set(Algorithm::Priority, &[THIRD]) };
    let mut world = World::with(settings(), vec![first, second], vec![]);
    let branches = fork(&mut world, 2);
    rings(&mut world, &branches[1]);
    world.wait_ms(2_100);
    world.sent.clear();
    refuses(&mut world, &branches[1], "503 Service Unavailable");
    let third = world.sent(THIRD, "INVITE");
    refuses(&mut world, &third, "486 Busy Here");
    fails_with(&mut world, "486");
    // RFC 3261 §9.1: it shows life: it is cancelled.
    says(&mut world, &branches[0], "180 Ringing");
    is_cancelled(&mut world, &branches[0]);
    ends_clean(world);
}

#[test]
fn a_destination_without_room_is_passed_over_and_the_next_one_rings() {
    let mut world = forking(3, 2, |set| set.destinations[1].maxload = 1);
    let held = world.policy.table.states().take_load(world.policy.table.sets()[0].destinations[1].state);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let branches = [FIRST, THIRD].map(|to| world.sent(to, "INVITE"));
    world.nothing_left();
    world.policy.table.states().release(held);
    branches.iter().for_each(|branch| refuses(&mut world, branch, "486 Busy Here"));
    fails_with(&mut world, "486");
    ends_clean(world);
}

#[test]
fn when_all_are_exhausted_the_sets_503_is_sent_once() {
    let mut world = forking(3, 3, |set| (set.exhausted, set.retry_after_s) = (Exhausted::ServiceUnavailable, 7));
    let branches = fork(&mut world, 3);
    branches.iter().for_each(|branch| refuses(&mut world, branch, "500 Server Internal Error"));
    assert_eq!(fails_with(&mut world, "503").header("Retry-After"), "7");
    ends_clean(world);
}

/// Answers, failures and time-outs that the calls have shown of each destination.
fn evidence(world: &World) -> Vec<(u64, u64, u32)> {
    let states = world.policy.table.states();
    let of = |destination: &siplane::dispatcher::Destination| {
        let (counters, evidence) = (states.counters(destination.state), states.evidence(destination.state));
        (counters.answered, counters.failed, evidence.timeouts_in_row)
    };
    world.policy.table.sets()[0].destinations.iter().map(of).collect()
}

// RFC 3261 §16.7 item 10: who was cancelled because another won has done nothing wrong; neither its 487 nor its silence counts.
#[test]
fn losing_is_no_evidence() {
    let mut world = forking(3, 3, |_| {});
    let branches = fork(&mut world, 3);
    branches.iter().for_each(|branch| rings(&mut world, branch));
    says(&mut world, &branches[0], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    let cancels = [1, 2].map(|at| world.sent(DESTINATIONS[at], "CANCEL"));
    world.receive(SECOND, answer(&cancels[0], "200 OK", &tag(&branches[1]), ""));
    refuses(&mut world, &branches[1], "487 Request Terminated");
    // The third never reacts to its CANCEL, which RFC 3261 §9.1 ends after 64*T1.
    world.receive(CALLER, in_dialog("ACK", "ack", &branches[0], &tag(&branches[0])));
    world.sent(FIRST, "ACK");
    world.wait_ms(40_000);
    world.sent.clear();
    assert_eq!(evidence(&world), [(1, 0, 0), (0, 0, 0), (0, 0, 0)]);
    assert_eq!(answers(&world), [1, 0, 0], "final answers: a 487 to our CANCEL is none");
    assert_eq!(loads(&world), [1, 0, 0]);
    hang_up(&mut world, &branches[0], &tag(&branches[0]));
    ends_clean(world);
}

/// Final answers that count, of each destination.
fn answers(world: &World) -> Vec<u64> {
    let states = world.policy.table.states();
    world.policy.table.sets()[0].destinations.iter().map(|it| states.evidence(it.state).total()).collect()
}

// But a destination that never said anything until Timer B is dead, whoever won.
#[test]
fn the_silence_of_a_loser_that_never_spoke_is_evidence() {
    let mut world = forking(3, 3, |_| {});
    let branches = fork(&mut world, 3);
    rings(&mut world, &branches[2]);
    says(&mut world, &branches[0], "200 OK");
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(THIRD, "CANCEL");
    world.receive(CALLER, in_dialog("ACK", "ack", &branches[0], &tag(&branches[0])));
    world.sent(FIRST, "ACK");
    // The set's answer time-out ends nothing any more, though the third is still pending.
    world.wait_ms(2_100);
    assert_eq!((evidence(&world), stats(&world).answer_timeouts), (vec![(1, 0, 0), (0, 0, 0), (0, 0, 0)], 0));
    world.sent.retain(|sent| sent.to == SECOND.parse().unwrap());
    world.receive(THIRD, answer(&cancel, "200 OK", &tag(&branches[2]), ""));
    says(&mut world, &branches[2], "487 Request Terminated");
    assert_eq!(world.sent.pop_back().unwrap().line().split(' ').next(), Some("ACK"));
    world.wait_ms(31_000);
    assert!(world.sent.drain(..).all(|sent| sent.line().starts_with("INVITE") && sent.to == SECOND.parse().unwrap()));
    assert_eq!(evidence(&world), [(1, 0, 0), (0, 1, 1), (0, 0, 0)]);
    assert_eq!(loads(&world), [1, 0, 0]);
    hang_up(&mut world, &branches[0], &tag(&branches[0]));
    ends_clean(world);
}
