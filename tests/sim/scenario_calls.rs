//! Fixed scenarios: CANCEL, late answers, forks, dialogs and what they weigh.

use crate::callee::Reply;
use crate::caller::Outcome;
use crate::clock::{ms, s};
use crate::dialog::Act;
use crate::network::Host;
use crate::setup::{CALLERS, Setup};
use crate::world::{Operation, World};
use siplane::dispatcher::{Admin, Algorithm, SetId};
use siplane::proxy::Proxy;
use siplane::time::Instant;

const ANSWER: Reply = Reply::Answer { rings: true, after_ms: 300 };
const REFUSE: Reply = Reply::Refuse { code: 503, rings: true, after_ms: 50 };

impl World {
    fn load(&self, destination: usize) -> u64 {
        let table = &self.policy.table;
        table.states().load(table.set(SetId(1)).expect("the set").destinations[destination].state)
    }

    fn dialogs(&self) -> usize {
        self.proxies.iter().map(Proxy::dialogs).sum()
    }

    /// Tags of the caller's dialogs, in order of their 2xx.
    fn tags_at_caller(&self) -> Vec<String> {
        let dialogs = self.agents[..CALLERS].iter().flat_map(|agent| &agent.dialogs);
        dialogs.map(|dialog| dialog.remote_tag().to_owned()).collect()
    }
}

#[test]
fn a_cancel_goes_to_the_branch_that_rings_and_to_no_other() {
    // RFC 3261 §16.10
    let mut world = World::new(Setup::calm(3));
    let plan = world.one_call(&[REFUSE, Reply::RingForever, ANSWER], |plan| plan.cancel_after = Some(s(4)));
    world.run();
    let cancelled: Vec<_> = world.branches(&plan).iter().map(|branch| branch.cancel.is_some()).collect();
    assert_eq!(cancelled, [false, true]);
    assert_eq!(world.outcome(&plan), Some(Outcome::Refused(487)));
}

#[test]
fn a_cancelled_call_whose_target_is_silent_ends_with_487_and_is_not_cancelled_there() {
    // RFC 3261 §9.1: no CANCEL before a provisional response.
    let mut world = World::new(Setup::calm(1));
    let plan = world.one_call(&[Reply::Silent], |plan| plan.cancel_after = Some(s(1)));
    world.run();
    assert!(world.branches(&plan)[0].cancel.is_none());
    assert_eq!(world.outcome(&plan), Some(Outcome::Refused(487)));
}

#[test]
fn an_answer_that_crosses_the_cancel_makes_a_call_that_the_caller_ends() {
    // RFC 3261 §9.1
    let mut world = World::new(Setup::calm(1));
    let plan = world.one_call(&[Reply::AnswerAtCancel], |plan| plan.cancel_after = Some(s(1)));
    world.run();
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn a_late_answer_wins_while_the_next_target_rings_and_that_one_is_cancelled() {
    // RFC 3261 §16.7 items 5 and 10
    let mut world = World::new(Setup::calm(2));
    let late = Reply::Answer { rings: false, after_ms: 3000 };
    let plan = world.one_call(&[late, Reply::RingForever], |_| {});
    world.run_for(s(8));
    assert_eq!((world.load(0), world.load(1), world.dialogs()), (1, 0, 1));
    world.run();
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
    assert!(world.branches(&plan)[1].cancel.is_some());
    assert_eq!(world.tags_at_caller(), ["d0.0.0"]);
}

#[test]
fn a_target_that_was_given_up_is_cancelled_when_it_rings_after_all() {
    // RFC 3261 §9.1: not before its provisional response.
    let mut world = World::new(Setup::calm(2));
    let plan =
        world.one_call(&[Reply::RingLate { after_ms: 3000 }, Reply::Answer { rings: true, after_ms: 9000 }], |_| {});
    world.run_for(s(5));
    assert!(world.branches(&plan)[0].cancel.is_some());
    world.run();
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn a_late_answer_after_another_one_reaches_the_caller_which_ends_it() {
    // RFC 3261 §13.2.2.4, §16.7 item 5
    let mut world = World::new(Setup::calm(2));
    let late = Reply::Answer { rings: false, after_ms: 4000 };
    world.one_call(&[late, ANSWER], |_| {});
    world.run_for(s(8));
    assert_eq!(world.tags_at_caller(), ["d1.0.0", "d0.0.0"]);
    assert_eq!(world.dialogs(), 1);
    world.run();
}

#[test]
fn every_fork_of_a_destination_is_acknowledged_and_the_call_weighs_one() {
    // RFC 3261 §13.2.2.4, RFC 6026 §7.1
    let mut world = World::new(Setup::calm(1));
    world.one_call(&[Reply::Fork { tags: 3, after_ms: 500 }], |_| {});
    world.run_for(s(5));
    assert_eq!(world.tags_at_caller().len(), 3);
    assert!(world.callee_dialogs().all(|dialog| dialog.acked));
    assert_eq!((world.load(0), world.dialogs()), (1, 1));
    world.run();
}

#[test]
fn a_call_keeps_its_path_when_its_destination_is_disabled_or_the_table_published_anew() {
    let mut world = World::new(Setup { table_changes: true, ..Setup::calm(2) });
    let start = Instant::from_nanos(0);
    world.operations.push((start + s(3), Operation::Admin(0, Admin::Disabled)));
    world.operations.push((start + s(4), Operation::Reload));
    let acts = [(s(5), Act::Info), (s(6), Act::ReInvite), (s(7), Act::Options), (s(9), Act::Bye)];
    world.one_call(&[ANSWER, ANSWER], |plan| plan.acts = acts.to_vec());
    let mut next = world.call(1, s(5), ANSWER);
    next.acts = vec![(s(1), Act::Bye)];
    world.place(1, next.clone());
    world.run_for(s(8));
    assert_eq!(world.load(0), 1);
    world.run();
    assert_eq!(world.agents[0].dialogs[0].extras_answered, 3);
    assert_eq!(world.branches(&next)[0].destination, world.setup.address(1, 5060));
}

#[test]
fn both_sides_may_reinvite_and_hang_up_at_the_same_moment() {
    let mut world = World::new(Setup::calm(1));
    let acts = vec![(s(1), Act::ReInvite), (s(3), Act::Bye)];
    let plan = world.one_call(&[ANSWER], |plan| plan.acts = acts.clone());
    world.callee(0, &plan).acts = acts;
    world.run();
}

#[test]
fn a_caller_that_never_acknowledges_loses_its_call_and_leaves_no_load() {
    // RFC 3261 §13.3.1.4
    let mut world = World::new(Setup::calm(1));
    world.one_call(&[ANSWER], |plan| plan.no_ack = true);
    world.run_for(s(20));
    assert_eq!((world.load(0), world.dialogs()), (1, 1));
    world.run();
    assert!(world.callee_dialogs().all(|dialog| !dialog.acked));
}

#[test]
fn lost_acks_are_sent_again_for_every_2xx() {
    // RFC 3261 §13.2.2.4
    let mut world = World::new(Setup::calm(1));
    let plan = world.call(0, ms(0), ANSWER);
    world.callee(0, &plan).lost_acks = 3;
    world.place(0, plan);
    world.run();
    assert!(world.callee_dialogs().all(|dialog| dialog.acked));
}

#[test]
fn a_retransmission_from_another_address_makes_no_second_call() {
    // RFC 3261 §17.2.3
    let mut world = World::new(Setup::calm(2));
    let plan = world.one_call(&[ANSWER, ANSWER], |plan| plan.second_path = Some(ms(100)));
    world.run();
    assert_eq!(world.branches(&plan).len(), 1);
}

#[test]
fn a_call_that_rings_for_ever_ends_by_timer_c() {
    // RFC 3261 §16.8: CANCEL when a provisional response came; a branch that stays silent counts as 408.
    for (reply, code, end) in [(Reply::RingForever, 487, s(190)), (Reply::TryingOnly, 408, s(220))] {
        let mut world = World::new(Setup::calm(1));
        let plan = world.one_call(&[reply], |_| {});
        world.run_for(s(179));
        assert_eq!(world.outcome(&plan), None);
        world.run_for(end - s(179));
        assert_eq!(world.outcome(&plan), Some(Outcome::Refused(code)));
        world.run();
    }
}

#[test]
fn calls_weigh_on_the_destinations_that_have_them() {
    let mut world = World::new(Setup { algorithm: Algorithm::RoundRobin, shards: 4, ..Setup::calm(3) });
    for number in 0..9 {
        let plan = world.call(number, ms(100 * number as u64), ANSWER);
        world.place(number, plan);
    }
    world.run_for(s(5));
    assert_eq!([world.load(0), world.load(1), world.load(2)], [3, 3, 3]);
    assert_eq!(world.dialogs(), 9);
    world.run();
}

#[test]
fn a_call_between_address_families_is_record_routed_twice_and_works_from_both_sides() {
    // RFC 3261 §16.6 item 4, §16.12
    for callee_byes in [false, true] {
        let mut world = World::new(Setup { ipv6: true, algorithm: Algorithm::RoundRobin, ..Setup::calm(2) });
        for number in 0..2 {
            let mut plan = world.call(number, ms(0), ANSWER);
            plan.acts = vec![(s(1), Act::ReInvite), (if callee_byes { s(60) } else { s(4) }, Act::Bye)];
            for index in 0..2 {
                world.callee(index, &plan).acts = vec![(s(2), Act::Info), (s(3), Act::ReInvite)];
                if callee_byes {
                    world.callee(index, &plan).acts.push((s(5), Act::Bye));
                }
            }
            world.place(number, plan);
        }
        world.run();
        assert!(world.agents[..CALLERS].iter().flat_map(|agent| &agent.dialogs).all(|dialog| dialog.routes.len() <= 2));
        assert_eq!(world.callee_dialogs().map(|dialog| dialog.extras_answered).sum::<u32>(), 4);
    }
}

#[test]
fn a_call_from_behind_another_proxy_goes_back_through_it() {
    let mut world = World::new(Setup::calm(1));
    let plan = world.one_call(&[ANSWER], |plan| (plan.edge, plan.compact, plan.no_max_forwards) = (true, true, true));
    world.callee(0, &plan).acts = vec![(s(1), Act::Info), (s(2), Act::Bye)];
    world.run();
    assert_eq!(world.callee_dialogs().next().map(|dialog| (dialog.routes.len(), dialog.extras_answered)), Some((2, 1)));
}

#[test]
fn a_draining_proxy_refuses_new_calls_and_carries_on_the_old_ones() {
    let mut world = World::new(Setup { table_changes: true, ..Setup::calm(1) });
    let old = world.one_call(&[ANSWER], |plan| plan.acts = vec![(s(5), Act::Info), (s(6), Act::Bye)]);
    let new = world.call(1, s(3), ANSWER);
    world.place(1, new.clone());
    world.run_for(s(2));
    world.proxies.iter_mut().for_each(Proxy::drain);
    world.run();
    assert_eq!(world.outcome(&old), Some(Outcome::Answered));
    assert_eq!(world.outcome(&new), Some(Outcome::Refused(503)));
    assert_eq!(world.agents[0].dialogs[0].extras_answered, 1);
}

#[test]
fn a_response_that_cannot_be_sent_leaves_the_transaction_in_place() {
    // RFC 6026 §7.1: the caller is out of reach when the final response is sent, and gets it later.
    for reply in
        [Reply::Refuse { code: 486, rings: true, after_ms: 2000 }, Reply::Answer { rings: true, after_ms: 2000 }]
    {
        let mut world = World::new(Setup::calm(1));
        let start = Instant::from_nanos(0);
        world.operations.push((start + s(1), Operation::Caller(0, Host::Unreachable)));
        world.operations.push((start + s(6), Operation::Caller(0, Host::Up)));
        let plan = world.one_call(&[reply], |_| {});
        world.run();
        let expected = if reply == (Reply::Answer { rings: true, after_ms: 2000 }) {
            Outcome::Answered
        } else {
            Outcome::Refused(486)
        };
        assert_eq!(world.outcome(&plan), Some(expected));
        assert!(world.proxies.iter().map(|proxy| proxy.stats().response_send_errors).sum::<u64>() > 0);
    }
}
