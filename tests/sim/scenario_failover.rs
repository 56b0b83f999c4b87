//! Fixed scenarios: how a request moves from target to target, and how it stops.

use crate::callee::Reply;
use crate::caller::{CallPlan, Outcome};
use crate::checks::{Branch, Context};
use crate::clock::{ms, s};
use crate::network::{Host, Weather};
use crate::setup::Setup;
use crate::world::{Operation, World};
use core::time::Duration;
use siplane::dispatcher::{Admin, Exhausted};
use siplane::time::Instant;

const ANSWER: Reply = Reply::Answer { rings: true, after_ms: 300 };

const fn refuse(code: u16) -> Reply {
    Reply::Refuse { code, rings: false, after_ms: 50 }
}

impl World {
    /// Places call 0, which each destination answers as `replies` say.
    pub(crate) fn one_call(&mut self, replies: &[Reply], change: impl FnOnce(&mut CallPlan)) -> CallPlan {
        let mut plan = self.call(0, ms(0), Reply::Silent);
        for (index, reply) in replies.iter().enumerate() {
            self.callee(index, &plan).reply = *reply;
        }
        change(&mut plan);
        self.place(0, plan.clone());
        plan
    }

    pub(crate) fn outcome(&self, plan: &CallPlan) -> Option<Outcome> {
        self.calls().find(|call| call.plan.call_id == plan.call_id).and_then(|call| call.outcome)
    }

    /// The first request of the call as the proxy got it.
    pub(crate) fn context(&self, plan: &CallPlan) -> &Context {
        let first =
            |context: &&Context| context.call_id == plan.call_id && context.is_new && context.method == plan.method;
        self.checks.contexts.values().find(first).expect("a request")
    }

    /// Its branches in order.
    pub(crate) fn branches(&self, plan: &CallPlan) -> Vec<&Branch> {
        self.context(plan).branches.iter().map(|branch| &self.checks.branches[branch]).collect()
    }

    /// The destinations that it was sent to, in order.
    fn tried(&self, plan: &CallPlan) -> Vec<usize> {
        let number =
            |branch: &Branch| (0..self.setup.hosts.len()).find(|n| self.setup.address(*n, 5060) == branch.destination);
        self.branches(plan).into_iter().map(|branch| number(branch).expect("a destination")).collect()
    }

    /// Time between the first and the second branch.
    fn moved_on_after(&self, plan: &CallPlan) -> Duration {
        let branches = self.branches(plan);
        branches[1].sent_at.saturating_since(branches[0].sent_at)
    }
}

#[test]
fn a_503_sends_the_call_to_the_next_target() {
    let mut world = World::new(Setup::calm(3));
    let plan = world.one_call(&[refuse(503), refuse(500), ANSWER], |_| {});
    world.run();
    assert_eq!(world.tried(&plan), [0, 1, 2]);
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn silence_sends_the_call_on_after_the_answer_timeout() {
    let mut world = World::new(Setup::calm(2));
    let plan = world.one_call(&[Reply::Silent, ANSWER], |_| {});
    world.run();
    let waited = world.moved_on_after(&plan);
    assert!((s(2)..ms(2050)).contains(&waited), "{waited:?}");
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn a_100_keeps_the_call_at_its_target_beyond_the_answer_timeout() {
    let mut world = World::new(Setup::calm(2));
    let plan = world.one_call(&[Reply::Answer { rings: true, after_ms: 20_000 }, ANSWER], |_| {});
    world.run();
    assert_eq!(world.tried(&plan), [0]);
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn an_icmp_error_sends_the_call_on_at_once() {
    // RFC 3261 §16.9
    let hosts = vec![Host::Unreachable, Host::Up];
    let mut world = World::new(Setup { hosts, ..Setup::calm(2) });
    let plan = world.one_call(&[ANSWER, ANSWER], |_| {});
    world.run();
    assert!(world.moved_on_after(&plan) < ms(100), "{:?}", world.moved_on_after(&plan));
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn a_busy_callee_is_not_asked_for_at_other_destinations() {
    for code in [302, 401, 404, 407, 486, 501] {
        let mut world = World::new(Setup::calm(2));
        let plan = world.one_call(&[refuse(code), ANSWER], |_| {});
        world.run();
        assert_eq!(world.tried(&plan), [0], "{code}");
        assert_eq!(world.outcome(&plan), Some(Outcome::Refused(code)));
    }
}

#[test]
fn a_6xx_ends_the_search_even_where_it_is_a_failover_code() {
    // RFC 3261 §16.7 item 5
    let mut world = World::new(Setup { more_failover_codes: vec![603], ..Setup::calm(3) });
    let plan = world.one_call(&[refuse(503), refuse(603), ANSWER], |_| {});
    world.run();
    assert_eq!(world.tried(&plan), [0, 1]);
    assert_eq!(world.outcome(&plan), Some(Outcome::Refused(603)));
}

#[test]
fn no_more_targets_are_tried_than_failover_limit_says() {
    let mut world = World::new(Setup { failover_limit: 2, ..Setup::calm(4) });
    let plan = world.one_call(&[refuse(500), refuse(502), ANSWER, ANSWER], |_| {});
    world.run();
    assert_eq!(world.tried(&plan), [0, 1]);
    assert!(matches!(world.outcome(&plan), Some(Outcome::Refused(500 | 502))), "{:?}", world.outcome(&plan));
}

#[test]
fn an_exhausted_set_answers_as_it_is_told_to() {
    // RFC 3261 §16.7 item 6: a lone 503 is not passed on.
    for (exhausted, code) in [(Exhausted::BestResponse, 500), (Exhausted::ServiceUnavailable, 503)] {
        let mut world = World::new(Setup { exhausted, ..Setup::calm(2) });
        let plan = world.one_call(&[refuse(503), refuse(503)], |_| {});
        world.run();
        assert_eq!(world.outcome(&plan), Some(Outcome::Refused(code)));
    }
}

#[test]
fn a_call_that_nobody_answers_ends_with_408_at_timer_b() {
    // RFC 3261 §17.1.1.2, §16.7 item 6
    let mut world = World::new(Setup { hosts: vec![Host::BlackHole; 2], ..Setup::calm(2) });
    let plan = world.one_call(&[], |_| {});
    world.run();
    assert_eq!(world.tried(&plan), [0, 1]);
    assert_eq!(world.outcome(&plan), Some(Outcome::Refused(408)));
    // Timer A: at 0, T1, 3*T1, and for the last target on to 63*T1.
    assert_eq!(world.branches(&plan).iter().map(|branch| branch.sends).collect::<Vec<_>>(), [3, 7]);
}

#[test]
fn a_silent_target_gets_a_request_that_is_no_call_eleven_times() {
    // RFC 3261 §17.1.2.2: Timer E doubles from T1 to T2, Timer F ends it; RFC 4320 §4.2: nothing is said about it.
    let mut world = World::new(Setup { hosts: vec![Host::BlackHole], ..Setup::calm(1) });
    let plan = world.one_call(&[], |plan| plan.method = "MESSAGE");
    world.run();
    assert_eq!(world.branches(&plan)[0].sends, 11);
    assert_eq!(world.outcome(&plan), Some(Outcome::TimedOut));
}

#[test]
fn without_an_available_destination_the_answer_is_503_with_retry_after() {
    let mut world = World::new(Setup { table_changes: true, ..Setup::calm(1) });
    world.operations.push((Instant::from_nanos(0), Operation::Admin(0, Admin::Disabled)));
    let plan = world.one_call(&[ANSWER], |plan| plan.start = plan.start + s(1));
    world.run();
    let (code, sent) = world.context(&plan).final_sent.clone().expect("a final response");
    assert_eq!(code, 503);
    assert!(String::from_utf8_lossy(&sent).contains("Retry-After: 5\r\n"));
}

#[test]
fn a_target_that_was_disabled_meanwhile_is_passed_over() {
    let mut world = World::new(Setup { table_changes: true, ..Setup::calm(3) });
    world.operations.push((Instant::from_nanos(0) + s(1), Operation::Admin(1, Admin::Disabled)));
    let plan = world.one_call(&[Reply::Silent, ANSWER, ANSWER], |_| {});
    world.run();
    assert_eq!(world.tried(&plan), [0, 2]);
}

#[test]
fn a_request_that_is_no_call_fails_over_too() {
    let mut world = World::new(Setup::calm(2));
    let plan = world.one_call(&[refuse(503), ANSWER], |plan| plan.method = "MESSAGE");
    world.run();
    assert_eq!(world.tried(&plan), [0, 1]);
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn a_late_answer_to_a_request_that_is_no_call_is_passed_on_when_nothing_else_was_said() {
    // RFC 3261 §16.7 item 5, RFC 4320 §4.2
    let hosts = vec![Host::Up, Host::Unreachable];
    let mut world = World::new(Setup { hosts, ..Setup::calm(2) });
    let plan = world.one_call(&[Reply::Answer { rings: false, after_ms: 5000 }], |plan| plan.method = "MESSAGE");
    world.run();
    assert_eq!(world.outcome(&plan), Some(Outcome::Answered));
}

#[test]
fn a_request_that_is_no_call_never_gets_408() {
    // RFC 4320 §4.2
    let mut world = World::new(Setup::calm(1));
    let plan = world.one_call(&[refuse(408)], |plan| plan.method = "OPTIONS");
    world.run();
    assert!(world.context(&plan).final_sent.as_ref().is_none_or(|sent| sent.0 != 408));
}

#[test]
fn on_a_bad_network_every_call_is_answered_all_the_same() {
    let weather = Weather { loss: 20, duplicates: 5, detours: 5, jitter_ms: 20 };
    let mut world = World::new(Setup { weather, seed: 7, ..Setup::calm(4) });
    for number in 0..100 {
        let plan = world.call(number, ms(200 * number as u64), Reply::Answer { rings: true, after_ms: 1500 });
        world.place(number, plan);
    }
    world.run();
    let unanswered: Vec<_> = world.calls().filter(|call| call.outcome != Some(Outcome::Answered)).collect();
    assert!(unanswered.is_empty(), "{unanswered:?}");
}

#[test]
fn a_6xx_is_what_the_caller_hears_even_from_a_set_that_answers_503_when_exhausted() {
    // RFC 3261 §16.7 item 6
    let setup = Setup { more_failover_codes: vec![603], exhausted: Exhausted::ServiceUnavailable, ..Setup::calm(2) };
    let mut world = World::new(setup);
    let plan = world.one_call(&[refuse(603), ANSWER], |_| {});
    world.run();
    assert_eq!(world.outcome(&plan), Some(Outcome::Refused(603)));
}
