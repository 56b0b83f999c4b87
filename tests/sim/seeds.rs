//! Random worlds: a seed is a whole run.

use crate::callee::Reply;
use crate::caller::CallPlan;
use crate::clock::{ms, s};
use crate::dialog::Act;
use crate::extras::{self, Extras};
use crate::ledger::Counts;
use crate::network::{Host, Weather};
use crate::rng::Rng;
use crate::setup::{CALLERS, Setup};
use crate::trouble::{self, Met, Trouble};
use crate::world::{Operation, World};
use core::time::Duration;
use siplane::dispatcher::{Admin, Algorithm, Exhausted, HashInput, HashKind};
use siplane::proxy::{Keepalive, KeepaliveTo};
use siplane::time::Instant;

/// What came of a seed: for the test that looks whether the random worlds try what they should.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) judged: u64,
    pub(crate) answered: u64,
    pub(crate) failovers: u64,
    pub(crate) fallbacks: u64,
    pub(crate) forks: u64,
    pub(crate) timer_c: u64,
    pub(crate) keepalives: u64,
    pub(crate) dead: u64,
    pub(crate) quiet_moments: u64,
    pub(crate) counts: Counts,
    pub(crate) met: Met,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.judged += other.judged;
        self.answered += other.answered;
        self.failovers += other.failovers;
        self.fallbacks += other.fallbacks;
        self.forks += other.forks;
        self.timer_c += other.timer_c;
        self.keepalives += other.keepalives;
        self.dead += other.dead;
        self.quiet_moments += other.quiet_moments;
        self.counts.add(&other.counts);
        self.met.add(&other.met);
    }
}

/// Runs the world of `seed` to its end; panics when anything is wrong with it.
pub(crate) fn run(seed: u64) -> Tally {
    run_with(seed, |_| {})
}

/// The same world with trouble besides.
pub(crate) fn run_with_trouble(seed: u64) -> Tally {
    run_with(seed, trouble::add)
}

fn run_with(seed: u64, more: fn(&mut Setup)) -> Tally {
    let mut rng = Rng::new(seed);
    let mut setup = setup(seed, &mut rng);
    extras::widen(&mut setup);
    more(&mut setup);
    let mut world = World::new(setup);
    let calls = rng.between(5, 40) as usize;
    for number in 0..calls {
        place(&mut world, &mut rng, number);
    }
    if world.setup.table_changes {
        operate(&mut world, &mut rng);
    }
    if rng.chance(15) {
        outage(&mut world, &mut rng);
    }
    vanish(&mut world, seed);
    extras::operate(&mut world);
    let calls = calls + extras::crowd(&mut world, calls);
    let calls = calls + trouble::plan(&mut world, calls);
    world.run();
    let mut tally = Tally {
        calls: calls as u64,
        judged: world.checks.judged,
        quiet_moments: world.quiet_moments,
        counts: world.checks.ledger.counts,
        met: world.met(),
        ..Tally::default()
    };
    for proxy in &world.proxies {
        tally.answered += proxy.stats().calls_answered;
        tally.failovers += proxy.stats().failovers;
        tally.fallbacks += proxy.stats().fallbacks;
        tally.forks += proxy.stats().forks;
        tally.timer_c += proxy.stats().timer_c;
        tally.keepalives += proxy.stats().keepalives;
        tally.dead += proxy.stats().dialogs_dead;
    }
    tally
}

fn setup(seed: u64, rng: &mut Rng) -> Setup {
    let calm = rng.chance(25);
    let loss = if calm { 0 } else { rng.between(0, 20) };
    let (duplicates, detours) = if calm { (0, 0) } else { (rng.below(6), rng.below(6)) };
    let hosts: Vec<_> = (0..rng.between(1, 6)).map(|_| host(rng)).collect();
    Setup {
        seed,
        shards: rng.pick(&[1, 2, 4, 8]),
        weather: Weather { loss, duplicates, detours, jitter_ms: rng.pick(&[0, 5, 40]) },
        failover_limit: rng.between(1, hosts.len() as u64) as usize,
        fallback_from: (hosts.len() > 1 && rng.chance(30)).then(|| rng.between(1, hosts.len() as u64 - 1) as usize),
        hosts,
        ipv6: rng.chance(30),
        algorithm: rng.pick(&[
            Algorithm::RoundRobin,
            Algorithm::Random,
            Algorithm::Priority,
            Algorithm::Weight,
            Algorithm::Latency,
            Algorithm::Hash(HashInput::CallId, HashKind::Consistent),
            Algorithm::Parallel,
            Algorithm::Parallel,
        ]),
        branches_max: rng.between(2, 4) as usize,
        exhausted: rng.pick(&[Exhausted::BestResponse, Exhausted::ServiceUnavailable]),
        answer_timeout: s(2),
        more_failover_codes: if rng.chance(25) { vec![486, 603] } else { Vec::new() },
        table_changes: rng.chance(30),
        keepalive: keepalive(seed),
        extras: Extras::default(),
        trouble: Trouble::default(),
    }
}

/// A sequence of its own: the other choices of a seed stay what they are.
fn keepalive(seed: u64) -> Keepalive {
    let mut rng = Rng::new(seed ^ 0x6b65_6570);
    let interval = if rng.chance(40) { s(rng.between(10, 60)) } else { Duration::ZERO };
    let to = rng.pick(&[KeepaliveTo::Both, KeepaliveTo::Both, KeepaliveTo::Caller, KeepaliveTo::Destination]);
    Keepalive { interval, failures_max: rng.between(1, 3) as u8, to }
}

/// A destination is gone in the middle of its calls.
fn vanish(world: &mut World, seed: u64) {
    let mut rng = Rng::new(seed ^ 0x676f_6e65);
    if !world.setup.keepalive.interval.is_zero() && rng.chance(40) {
        let destination = rng.below(world.setup.hosts.len() as u64) as usize;
        let at = Instant::from_nanos(0) + s(rng.between(20, 120));
        world.operations.push((at, Operation::Vanish(destination)));
        world.operations.sort_by_key(|operation| operation.0);
    }
}

fn host(rng: &mut Rng) -> Host {
    match rng.below(100) {
        0..8 => Host::Unreachable,
        8..15 => Host::BlackHole,
        _ => Host::Up,
    }
}

fn place(world: &mut World, rng: &mut Rng, number: usize) {
    let start = ms(rng.below(20_000));
    let mut plan = world.call(number, start, Reply::Silent);
    for index in 0..world.setup.hosts.len() {
        world.callee(index, &plan).reply = reply(rng);
        world.callee(index, &plan).lost_acks = if rng.chance(10) { rng.between(1, 2) as u8 } else { 0 };
    }
    if rng.chance(15) {
        plan.method = rng.pick(&["OPTIONS", "MESSAGE", "PUBLISH", "X-OTHER"]);
    }
    plan.cancel_after = cancel_after(rng).filter(|_| plan.method == "INVITE");
    plan.no_ack = rng.chance(3);
    plan.second_path = rng.chance(8).then(|| ms(rng.below(1500)));
    plan.edge = rng.chance(15);
    plan.compact = rng.chance(20);
    plan.no_max_forwards = rng.chance(10);
    talk(world, rng, &mut plan);
    world.place(number, plan);
}

fn reply(rng: &mut Rng) -> Reply {
    match rng.below(100) {
        0..36 => Reply::Answer { rings: true, after_ms: rng.between(10, 4000) },
        36..48 => Reply::Answer { rings: false, after_ms: rng.between(0, 1500) },
        // Behind the set's answer time-out: the next target is under way already.
        48..56 => Reply::Answer { rings: false, after_ms: rng.between(1900, 7000) },
        56..63 => Reply::Silent,
        63..67 => Reply::TryingOnly,
        67..71 => Reply::RingForever,
        71..73 => Reply::RingLate { after_ms: rng.between(1500, 6000) },
        73..77 => Reply::AnswerAtCancel,
        77..82 => Reply::Fork { tags: rng.between(2, 3) as u8, after_ms: rng.between(100, 1500) },
        82..85 => Reply::RefuseTwice { code: rng.pick(&[486, 503, 603]) },
        _ => {
            let code = rng.pick(&[503, 503, 503, 500, 500, 486, 302, 603, 407, 404, 408, 480, 501]);
            Reply::Refuse { code, rings: rng.chance(40), after_ms: rng.between(0, 3000) }
        }
    }
}

/// Most callers lose patience some time; some at a moment when the answer is on its way.
fn cancel_after(rng: &mut Rng) -> Option<Duration> {
    match rng.below(100) {
        0..12 => Some(ms(rng.below(600))),
        12..25 => Some(ms(rng.below(5000))),
        25..92 => Some(ms(rng.between(5000, 60_000))),
        _ => None,
    }
}

/// Who does what in the call, and who ends it: caller, callee, or both at once.
fn talk(world: &mut World, rng: &mut Rng, plan: &mut CallPlan) {
    let talk = if rng.chance(50) { ms(rng.between(50, 20_000)) } else { s(rng.between(20, 400)) };
    let extras = |rng: &mut Rng| {
        let count = if rng.chance(30) { rng.between(1, 3) } else { 0 };
        let mut acts: Vec<_> = (0..count)
            .map(|_| (ms(rng.below(talk.as_millis() as u64 + 1)), rng.pick(&[Act::Info, Act::ReInvite, Act::Options])))
            .collect();
        acts.sort_by_key(|act| act.0);
        acts
    };
    let (callee_byes, caller_byes) = rng.pick(&[(false, true), (true, false), (true, true)]);
    plan.acts = extras(rng);
    // A caller that waits for the callee's BYE does not wait for ever: it may be in a call that the callee does not
    // end.
    plan.acts.push((if caller_byes { talk } else { talk + s(40) }, Act::Bye));
    for index in 0..world.setup.hosts.len() {
        let mut acts = extras(rng);
        if callee_byes {
            acts.push((talk, Act::Bye));
        }
        world.callee(index, plan).acts = acts;
    }
}

fn operate(world: &mut World, rng: &mut Rng) {
    let mut at = Instant::from_nanos(0);
    for _ in 0..rng.between(1, 8) {
        at = at + ms(rng.below(6000));
        let index = rng.below(world.setup.hosts.len() as u64) as usize;
        let admin = rng.pick(&[Admin::Enabled, Admin::Enabled, Admin::Draining, Admin::Disabled]);
        let operation = if rng.chance(30) { Operation::Reload } else { Operation::Admin(index, admin) };
        world.operations.push((at, operation));
    }
}

/// A caller's host answers with ICMP errors for a while: responses cannot be sent, and requests of the callee fail.
fn outage(world: &mut World, rng: &mut Rng) {
    let from = Instant::from_nanos(0) + ms(rng.below(25_000));
    let caller = rng.below(CALLERS as u64) as usize;
    world.operations.push((from, Operation::Caller(caller, Host::Unreachable)));
    world.operations.push((from + ms(rng.between(500, 15_000)), Operation::Caller(caller, Host::Up)));
    world.operations.sort_by_key(|operation| operation.0);
}
