//! The world: shards of the real proxy, user agents, the network, and a clock that jumps to whatever happens next.

use crate::agent::Agent;
use crate::callee::{CalleePlan, Reply};
use crate::caller::{Call, CallPlan};
use crate::checks::Checks;
use crate::clock::{TIMEOUT, s, sooner};
use crate::crash;
use crate::dialog::Act;
use crate::ledger::host_of;
use crate::network::{Arrival, Host, Network, Packet};
use crate::process::Queue;
use crate::rng::Rng;
use crate::setup::{CALLERS, Setup};
use crate::trace::Trace;
use crate::trouble::Met;
use core::time::Duration;
use siplane::dispatcher::{Admin, Cause, DestinationId, Health, Reason, Report, SetId, Table, Why};
use siplane::proxy::{Outbox, Policy, Proxy};
use siplane::time::Instant;
use std::collections::HashMap;
use std::net::SocketAddr;

/// Longest run, virtual time; no call takes that long.
const RUN_MAX: Duration = Duration::from_secs(7200);

/// What is done to the world from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// Sets the admin state of a destination.
    Admin(usize, Admin),
    /// Publishes the table anew.
    Reload,
    /// Publishes the table with this number.
    Publish(usize),
    /// Probes find this of a destination.
    Judge(usize, Health),
    /// Calls show that a destination is bad for so long.
    Eject(usize, Duration),
    /// The time of an ejection is over.
    Readmit(usize),
    /// A destination answers a probe after this.
    Probed(usize, Duration),
    /// A destination reports its load.
    Reported(usize, Report),
    /// A destination's host is gone, and with it all that it knew.
    Vanish(usize),
    /// A caller's host takes packets like this from now on.
    Caller(usize, Host),
    /// The process dies, and begins anew after this.
    Crash(Duration),
    /// It begins anew.
    Start,
    /// This shard, or all, stand still for so long.
    Stall(Option<usize>, Duration),
    /// From now on INVITEs are kept out, or no longer.
    Shed(bool),
    /// A probe is under way that finds this, and says so after this.
    Probe(usize, Health, Duration),
    /// It says so.
    Found(DestinationId, Health),
}

/// Everything.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) step: u64,
    pub(crate) now: Instant,
    pub(crate) network: Network,
    /// The shards; none while the process is down.
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) is_shedding: bool,
    /// For what happens by chance while it runs.
    pub(crate) dice: Rng,
    pub(crate) met: Met,
    pub(crate) policy: Policy,
    pub(crate) agents: Vec<Agent>,
    pub(crate) checks: Checks,
    /// What operators will do, in order.
    pub(crate) operations: Vec<(Instant, Operation)>,
    /// A host was out of reach for a while, or is gone.
    pub(crate) outage: bool,
    pub(crate) was_quiet: bool,
    /// Moments at which loads were compared with dialogs while calls were up.
    pub(crate) quiet_moments: u64,
    pub(crate) trace: Trace,
    addresses: HashMap<SocketAddr, usize>,
    wakes: Vec<Option<Instant>>,
    pub(crate) out: Outbox,
    steps_here: u64,
    /// The number of the table that is published.
    pub(crate) table: usize,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let (settings, agents) = (setup.settings(), setup.agents());
        let table = Table::build(setup.sets(0), None).expect("good sets");
        let start = Instant::from_nanos(0);
        let mut network = Network::new(setup.weather, setup.seed ^ 0x6e65_7477);
        for (index, host) in setup.hosts.iter().enumerate() {
            network.set_host(setup.address(index, 0).ip(), *host);
        }
        let addresses = |(index, agent): (usize, &Agent)| [(agent.address(), index), (agent.second, index)];
        let keeps_alive = !setup.keepalive.interval.is_zero();
        let mut checks = Checks::new(settings.listen, setup.set(), setup.table_changes, keeps_alive);
        checks.is_tight = setup.trouble.tight.is_some();
        checks.ledger.reporting = setup.extras.reporters.iter().map(|it| !it.phases.is_empty()).collect();
        checks.ledger.publish(&table, start);
        Self {
            checks,
            proxies: crash::shards(&setup, 0, start),
            queues: (0..setup.shards).map(|_| Queue::default()).collect(),
            is_shedding: false,
            dice: Rng::new(setup.seed ^ 0x6469_6365),
            met: Met::default(),
            policy: policy(table),
            table: 0,
            addresses: agents.iter().enumerate().flat_map(addresses).collect(),
            wakes: vec![None; agents.len()],
            agents,
            network,
            operations: Vec::new(),
            outage: false,
            was_quiet: true,
            quiet_moments: 0,
            trace: Trace::new(),
            out: setup.trouble.tight.map_or_else(Outbox::new, |tight| tight.outbox()),
            now: start,
            step: 0,
            steps_here: 0,
            setup,
        }
    }

    /// A call of caller `number % CALLERS` that every destination answers by `reply`.
    pub(crate) fn call(&mut self, number: usize, start: Duration, reply: Reply) -> CallPlan {
        let call_id = format!("call-{number}-{}@sim", self.setup.seed);
        for agent in &mut self.agents[CALLERS..] {
            agent.plans.insert(call_id.clone(), CalleePlan { reply, acts: Vec::new(), lost_acks: 0 });
        }
        CallPlan {
            call_id,
            method: "INVITE",
            start: Instant::from_nanos(0) + start,
            proxy: self.checks.listen[number % 2].address,
            cancel_after: None,
            acts: vec![(s(10), Act::Bye)],
            no_ack: false,
            second_path: None,
            edge: false,
            compact: false,
            no_max_forwards: false,
        }
    }

    /// What destination `index` does with the call.
    pub(crate) fn callee(&mut self, index: usize, plan: &CallPlan) -> &mut CalleePlan {
        self.agents[CALLERS + index].plans.get_mut(&plan.call_id).expect("a plan")
    }

    /// Hands the plan to its caller.
    pub(crate) fn place(&mut self, number: usize, plan: CallPlan) {
        let caller = number % CALLERS;
        self.agents[caller].calls.push(Call::new(plan));
        self.wakes[caller] = self.agents[caller].poll_timeout();
    }

    /// Runs until all calls are over and all timers have run out, and judges what is left.
    pub(crate) fn run(&mut self) {
        while !self.is_idle() || self.trouble_ahead() {
            let more = self.next().is_some_and(|at| at < Instant::from_nanos(0) + RUN_MAX);
            if !more {
                let stuck: Vec<_> = self.agents.iter().flat_map(Agent::unfinished).collect();
                self.fail(&format!("calls never end: {}", stuck.join("; ")));
            }
            self.step();
        }
        self.run_for(TIMEOUT * 2 + s(15));
        self.check_end();
    }

    /// Runs for `time`.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("seed {} step {} at {:?}: {why}", self.setup.seed, self.step, Duration::from_nanos(self.now.as_nanos()))
    }

    fn is_idle(&self) -> bool {
        // A proxy that still waits, for Timer C say, may wake an agent that has nothing to do.
        let waits = |proxy: &Proxy| proxy.pending_transactions() > 0;
        self.network.flying() == 0 && self.agents.iter().all(Agent::is_idle) && !self.proxies.iter().any(waits)
    }

    fn next(&self) -> Option<Instant> {
        let proxies = self.proxies.iter().zip(&self.queues).map(|(proxy, queue)| queue.next(proxy.poll_timeout()));
        let agents = self.wakes.iter().copied();
        let operation = self.operations.first().map(|operation| operation.0);
        proxies.chain(agents).chain([self.network.poll_timeout(), operation]).fold(None, sooner)
    }

    fn step(&mut self) {
        let Some(next) = self.next() else { return };
        self.step += 1;
        self.steps_here = if next > self.now { 0 } else { self.steps_here + 1 };
        if self.steps_here > 20_000 {
            self.fail("time stands still");
        }
        self.now = self.now.max(next);
        if let Some(arrival) = self.network.receive(self.now) {
            self.arrive(arrival);
        } else if self.operations.first().is_some_and(|operation| operation.0 <= self.now) {
            let operation = self.operations.remove(0).1;
            self.operate(operation);
        } else {
            self.timers();
        }
        self.look();
        self.check_drift();
        self.check_quiet();
    }

    /// The dispatcher's view of every destination is right.
    pub(crate) fn look(&mut self) {
        if let Err(why) = self.checks.ledger.observe(self.now, &self.policy.table) {
            self.fail(&why);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match &arrival {
            Arrival::Datagram(packet) if self.addresses.contains_key(&packet.to) => {
                let index = self.addresses[&packet.to];
                self.agents[index].receive(self.now, packet);
                self.after_agent(index);
            }
            _ => self.come_in(arrival),
        }
    }

    fn timers(&mut self) {
        self.shard_timers();
        for index in 0..self.agents.len() {
            if self.wakes[index].is_some_and(|at| at <= self.now) {
                self.agents[index].handle_timeout(self.now);
                self.after_agent(index);
            }
        }
    }

    /// Has something happen later.
    pub(crate) fn plan(&mut self, at: Instant, operation: Operation) {
        self.operations.push((at, operation));
        self.operations.sort_by_key(|operation| operation.0);
    }

    /// What trouble there was.
    pub(crate) fn met(&self) -> Met {
        let Self { checks, met, .. } = self;
        Met { refused: checks.refusals, lapses: checks.lapses, stray_cancels: checks.stray_cancels, ..*met }
    }

    fn operate(&mut self, operation: Operation) {
        match operation {
            Operation::Caller(index, host) => {
                self.outage = true;
                self.network.set_host(self.agents[index].address().ip(), host);
            }
            Operation::Vanish(index) => {
                self.outage = true;
                self.network.set_host(self.setup.address(index, 0).ip(), Host::BlackHole);
                self.agents[CALLERS + index].vanish();
                self.wakes[CALLERS + index] = None;
            }
            Operation::Reload => self.publish(self.table),
            Operation::Publish(table) => self.publish(table),
            Operation::Crash(down) => self.crash(down),
            Operation::Start => self.start(),
            Operation::Stall(shard, time) => self.stall(shard, time),
            Operation::Shed(on) => self.is_shedding = on,
            Operation::Probe(index, health, late) => self.probe(index, health, late),
            Operation::Found(id, health) => self.found(id, health),
            Operation::Admin(index, _)
            | Operation::Judge(index, _)
            | Operation::Eject(index, _)
            | Operation::Readmit(index)
            | Operation::Probed(index, _)
            | Operation::Reported(index, _) => self.tell(index, operation),
        }
    }

    pub(crate) fn publish(&mut self, table: usize) {
        self.table = table;
        let table = Table::build(self.setup.sets(table), Some((&self.policy.table, self.now))).expect("good sets");
        self.policy = policy(table);
        self.checks.ledger.publish(&self.policy.table, self.now);
    }

    fn probe(&mut self, index: usize, health: Health, late: Duration) {
        let mut all = self.policy.table.sets().iter().flat_map(|set| &set.destinations);
        if let Some(id) = all.find(|destination| host_of(destination) == index).map(|destination| destination.id) {
            self.plan(self.now + late, Operation::Found(id, health));
        }
    }

    /// What a probe found of a destination that may be gone by now, and another one in its place.
    fn found(&mut self, id: DestinationId, health: Health) {
        let Self { checks: Checks { ledger, .. }, policy, now, met, .. } = self;
        match policy.table.destination(id) {
            Some(destination) => {
                policy.table.states().judge(destination.state, health, Why::new(Cause::Probe, Reason::Said), *now);
                ledger.change(id, *now, |entry| entry.health = health);
            }
            None => met.late_findings += 1,
        }
    }

    /// Tells the dispatcher about a destination that the table has.
    fn tell(&mut self, index: usize, operation: Operation) {
        let Self { checks: Checks { ledger, .. }, policy, now, .. } = self;
        let mut all = policy.table.sets().iter().flat_map(|set| &set.destinations);
        let Some(destination) = all.find(|destination| host_of(destination) == index) else { return };
        let (states, state, id, now) = (policy.table.states(), destination.state, destination.id, *now);
        match operation {
            Operation::Admin(_, admin) => {
                states.set_admin(state, admin, now);
                ledger.change(id, now, |entry| entry.admin = admin);
            }
            Operation::Judge(_, health) => {
                states.judge(state, health, Why::new(Cause::Probe, Reason::Said), now);
                ledger.change(id, now, |entry| entry.health = health);
            }
            Operation::Eject(_, lasts) => {
                states.eject(state, now + lasts, Reason::Timeouts(5), now);
                ledger.change(id, now, |entry| entry.ejected_until = Some(now + lasts));
            }
            Operation::Readmit(_) => {
                states.readmit(state, now);
                ledger.change(id, now, |entry| entry.ejected_until = entry.ejected_until.filter(|until| *until > now));
            }
            Operation::Probed(_, latency) => {
                states.note_probe_answer(state, latency, 200, 100);
                states.publish_congestion();
            }
            Operation::Reported(_, report) => {
                states.report_load(state, report, now);
                ledger.change(id, now, |entry| entry.capacity = report.capacity.map(|capacity| (now, capacity)));
            }
            _ => {}
        }
    }

    fn after_agent(&mut self, index: usize) {
        let reporter = index.checked_sub(CALLERS).and_then(|index| self.setup.extras.reporters.get(index));
        for mut packet in self.agents[index].layer.out.drain(..) {
            if let Some(reporter) = reporter {
                packet.bytes = reporter.write(self.now, packet.bytes);
            }
            self.network.send(self.now, packet);
        }
        self.wakes[index] = self.agents[index].poll_timeout();
    }

    pub(crate) fn after_proxy(&mut self, shard: usize) {
        let Self { out, checks, policy, trace, network, now, .. } = self;
        checks.refused_full(self.proxies[shard].stats().refused_full);
        let mut wrong = None;
        for transmit in out.iter() {
            let from = checks.listen[usize::from(transmit.socket.0)].address;
            trace.add(*now, "out", from, transmit.destination, transmit.bytes);
            if let Err(why) = checks.sent(*now, &policy.table, &transmit) {
                wrong = Some(format!("{why}\n{}", String::from_utf8_lossy(transmit.bytes)));
                break;
            }
            let bytes = transmit.bytes.to_vec();
            network.send(*now, Packet { from, to: transmit.destination, bytes, shard: Some(shard) });
        }
        out.clear();
        let wrong = wrong.or_else(|| checks.settled().err());
        if let Some(why) = wrong {
            self.fail(&why);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { setup: Setup { seed, trouble, .. }, step, trace, .. } = self;
            eprintln!("SIM_SEED={seed} step {step} {trouble:?}; the last messages:\n{trace}");
        }
    }
}

pub(crate) fn policy(table: Table) -> Policy {
    Policy { table, rules: Vec::new(), default_set: Some(SetId(1)) }
}
