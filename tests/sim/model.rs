//! What must hold when nothing is under way: loads are dialogs, and when all calls are over nothing of them is left
//! and both
//! sides of each tell the same story.

use crate::caller::{Call, Outcome};
use crate::checks::{Context, ensure};
use crate::clock::TIMEOUT;
use crate::dialog::{Dialog, Life};
use crate::process::Queue;
use crate::setup::CALLERS;
use crate::world::World;
use siplane::dispatcher::leaked_tokens;
use siplane::proxy::{Proxy, Stats};
use std::collections::HashSet;

impl World {
    /// After every step: what the shards say that they hold of load is the load.
    pub(crate) fn check_drift(&self) {
        // Also the load of destinations that the table has no more.
        let states = self.policy.table.states();
        let load: u64 = self.checks.ledger.hosts.keys().map(|state| states.load(*state)).sum();
        let tokens: usize = self.proxies.iter().map(Proxy::tokens).sum();
        if load != tokens as u64 {
            self.fail(&format!("drift: load {load} with {tokens} tokens"));
        }
    }

    /// The tokens that are found are those that were counted, and the load of their destination, in the table or not; gives the load
    /// of each host.
    fn check_tokens(&self) -> Vec<usize> {
        let found: Vec<_> = self.proxies.iter().flat_map(Proxy::live_tokens).collect();
        let states = self.policy.table.states();
        let mut loads = vec![0; self.setup.hosts.len()];
        for (state, host) in &self.checks.ledger.hosts {
            let tokens = found.iter().filter(|token| *token == state).count();
            let load = states.load(*state);
            if load != tokens as u64 {
                self.fail(&format!("drift: destination {host} has load {load} with {tokens} tokens"));
            }
            // Without transactions no INVITE waits for its first response.
            if states.pending(*state) > 0 {
                self.fail(&format!("destination {host} owes {} responses", states.pending(*state)));
            }
            loads[*host] += tokens;
        }
        if loads.iter().sum::<usize>() != found.len() {
            self.fail("tokens of unknown destinations");
        }
        loads
    }

    /// At moments without transactions: the load of all destinations is the number of dialogs.
    pub(crate) fn check_quiet(&mut self) {
        let quiet = self.proxies.iter().all(|proxy| proxy.transactions() == 0);
        if quiet && !self.was_quiet {
            let dialogs: usize = self.proxies.iter().map(Proxy::dialogs).sum();
            let load = self.policy.table.states().total_load();
            // Two destinations that both answered stay two for as long as there is no room for the BYE to one of them.
            let is_held_up = self.checks.is_tight && load > dialogs as u64;
            if load != dialogs as u64 && !is_held_up {
                self.fail(&format!("load {load} with {dialogs} dialogs"));
            }
            let loads = self.check_tokens();
            self.check_live_calls(dialogs, &loads);
        }
        self.was_quiet = quiet;
    }

    /// When nothing is on its way either: the proxy's dialogs are the calls that are up.
    fn check_live_calls(&mut self, dialogs: usize, loads: &[usize]) {
        let quiet = self.network.flying() == 0
            && self.queues.iter().all(Queue::is_empty)
            && self.agents.iter().all(|agent| agent.layer.is_idle());
        // What a keepalive has not noticed yet, and a BYE of ours that is still to arrive.
        let unnoticed =
            !self.setup.keepalive.interval.is_zero() && (self.outage || self.checks.is_hanging_up(self.now));
        let still = quiet && !unnoticed;
        let known = |dialog: &&Dialog| self.checks.is_known(dialog);
        let callees = || self.agents[CALLERS..].iter().flat_map(|agent| &agent.dialogs).filter(known);
        if !still || callees().any(|dialog| dialog.unacked.is_some()) {
            return;
        }
        let up: HashSet<_> =
            callees().filter(|dialog| dialog.life != Life::Ended).map(|dialog| &dialog.call_id).collect();
        if up.len() != dialogs {
            self.fail(&format!("{dialogs} dialogs, but calls are up: {up:?}"));
        }
        for (agent, load) in self.agents[CALLERS..].iter().zip(loads) {
            let live = agent.dialogs.iter().filter(known).filter(|dialog| dialog.life != Life::Ended);
            let calls = live.map(|dialog| &dialog.call_id).collect::<HashSet<_>>().len();
            if calls != *load {
                self.fail(&format!("load {load} with {calls} calls up"));
            }
        }
        self.quiet_moments += u64::from(dialogs > 0);
    }

    /// All calls are over and all timers have run out.
    pub(crate) fn check_end(&self) {
        for proxy in &self.proxies {
            let left = (proxy.transactions(), proxy.pending_transactions(), proxy.dialogs(), proxy.stored_bytes());
            if left != (0, 0, 0, 0) {
                self.fail(&format!("transactions, pending, dialogs, stored bytes left: {left:?}"));
            }
        }
        let load = self.policy.table.states().total_load();
        let verdict =
            ensure(load == 0 && leaked_tokens() == 0, || format!("load {load}, {} tokens lost", leaked_tokens()))
                .and_then(|()| self.present().try_for_each(|context| self.check_context(context)))
                .and_then(|()| self.calls().try_for_each(|call| self.check_call(call)))
                .and_then(|()| self.check_stats());
        if let Err(why) = verdict {
            self.fail(&why);
        }
    }

    /// What came to the process that runs.
    fn present(&self) -> impl Iterator<Item = &Context> {
        self.checks.contexts.values().filter(|context| !context.past)
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.agents[..CALLERS].iter().flat_map(|agent| &agent.calls)
    }

    pub(crate) fn callee_dialogs(&self) -> impl Iterator<Item = &Dialog> {
        self.agents[CALLERS..].iter().flat_map(|agent| &agent.dialogs)
    }

    /// Every request that wants an answer got one, and a 2xx that came in time went on.
    fn check_context(&self, context: &Context) -> Result<(), String> {
        let answered = context.success_sent || context.final_sent.is_some();
        match context.method.as_str() {
            "ACK" => return self.checks.goes_on(context),
            // Who has no room for the answer does not repeat it.
            "INVITE" => ensure(answered || context.said_before.is_some() && self.checks.is_tight, || {
                format!("INVITE of {} was never answered", context.call_id)
            })?,
            "CANCEL" => {
                let answered = answered || self.checks.went_on_each_time(context);
                ensure(answered, || format!("CANCEL of {} was neither answered nor passed on", context.call_id))?
            }
            _ => {}
        }
        self.checks.goes_on(context)?;
        for branch in
            context.branches.iter().filter(|_| context.method == "INVITE").map(|branch| &self.checks.branches[branch])
        {
            // RFC 3261 §16.7 item 10, §16.8: whatever is pending when a call is decided, or rings too long, is
            // cancelled.
            let pending = branch.provisional && branch.final_code.is_none() && !branch.failed_to_send;
            let cancelled = branch.cancel.is_some();
            ensure(!pending || cancelled, || {
                format!("{} was left ringing at {}", context.call_id, branch.destination)
            })?;
        }
        let in_time = context.branches.iter().all(|branch| {
            let branch = &self.checks.branches[branch];
            branch.heard_at.is_none_or(|at| at.saturating_since(context.at) < TIMEOUT)
        });
        let lost = context.answered && !answered && in_time;
        ensure(!lost, || format!("2xx to {} of {} was lost", context.method, context.call_id))
    }

    /// Both sides of a call tell the same story.
    fn check_call(&self, call: &Call) -> Result<(), String> {
        let id = &call.plan.call_id;
        let outcome = call.outcome.ok_or_else(|| format!("{id} has no outcome"))?;
        let lossless = self.setup.weather.loss == 0 && !self.outage;
        let silent = outcome == Outcome::TimedOut && call.plan.method == "INVITE";
        ensure(!silent || !lossless, || format!("{id} got no response at all"))?;
        let callers: Vec<_> =
            self.agents[..CALLERS].iter().flat_map(|agent| &agent.dialogs).filter(|d| d.call_id == *id).collect();
        let callees: Vec<_> = self.callee_dialogs().filter(|dialog| dialog.call_id == *id).collect();
        for dialog in &callers {
            let known = callees.iter().any(|other| other.local_tag() == dialog.remote_tag());
            ensure(known, || format!("{id}: no callee has tag {}", dialog.remote_tag()))?;
        }
        for dialog in callees.iter().filter(|dialog| dialog.acked) {
            let known = callers.iter().any(|other| other.remote_tag() == dialog.local_tag());
            ensure(known, || format!("{id}: the caller knows nothing of tag {}", dialog.local_tag()))?;
        }
        if call.plan.method != "INVITE" {
            return Ok(());
        }
        let answered = outcome == Outcome::Answered;
        ensure(!answered || !callees.is_empty(), || format!("{id} was answered by nobody"))?;
        ensure(!answered || call.plan.no_ack || !callers.is_empty(), || format!("{id} was answered without a dialog"))?;
        let context = self.present().find(|c| c.call_id == *id && c.is_new && c.method == "INVITE");
        let relayed = context.is_some_and(|context| context.success_sent && context.final_sent.is_none());
        let gone = matches!(outcome, Outcome::GaveUp | Outcome::TimedOut) && !lossless;
        // A 503 that said that no destination is there leaves no state: a retransmission that crosses it is a new call when one has
        // come back meanwhile, and the caller takes no 2xx any more.
        let crossed = outcome == Outcome::Refused(503);
        ensure(!relayed || answered || gone || crossed, || {
            format!("{id} ended with {outcome:?}, but a 2xx was relayed")
        })
    }

    fn check_stats(&self) -> Result<(), String> {
        let sum = |field: fn(&Stats) -> u64| self.proxies.iter().map(|proxy| field(proxy.stats())).sum::<u64>();
        let calls = self.checks.calls_counted(sum(|s| s.calls))?;
        let (answered, failed) = (self.checks.answers_counted(sum(|s| s.calls_answered))?, sum(|s| s.calls_failed));
        ensure(calls == answered + failed, || {
            format!("{calls} calls are not {answered} answered and {failed} failed")
        })?;
        let branches = self.checks.invites().map(|context| context.branches.len() as u64 - 1).sum::<u64>();
        let further = sum(|s| s.failovers) + sum(|s| s.forks);
        ensure(further >= branches, || format!("{further} failovers and forks of {branches}"))?;
        ensure(sum(|s| s.bugs) == 0, || String::from("a bug was counted"))?;
        ensure(sum(|s| s.dialogs_expired) == 0, || String::from("a dialog expired"))?;
        let (confirmed, ended) = (
            sum(|s| s.dialogs_confirmed),
            sum(|s| s.dialogs_ended) + sum(|s| s.dialogs_unacked) + sum(|s| s.dialogs_dead),
        );
        ensure(confirmed == ended, || format!("{confirmed} dialogs confirmed, {ended} ended"))?;
        ensure(sum(|s| s.foreign_responses) == 0, || String::from("a response was taken for a foreign one"))
    }
}
