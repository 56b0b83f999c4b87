//! The process dies, and a supervisor starts it again: all transactions and dialogs are gone, with the keys by which branches and
//! cookies are known, with health, load, and what waited in its sockets. Everybody else goes on: callers repeat what nobody
//! answered, requests within calls route by the Route that they carry.

use crate::checks::{Checks, Context, Verdict, ensure};
use crate::dialog::Dialog;
use crate::process::Queue;
use crate::setup::Setup;
use crate::world::{Operation, World, policy};
use core::time::Duration;
use siplane::dispatcher::Table;
use siplane::proxy::{Policy, Proxy, ShardId, Stats};
use siplane::time::Instant;

/// The shards of one start of the process; `life` counts the starts.
pub(crate) fn shards(setup: &Setup, life: u64, now: Instant) -> Vec<Proxy> {
    let (settings, count) = (setup.settings(), setup.shards);
    // Keys differ from start to start.
    let seed = setup.seed ^ life.rotate_left(40);
    // A journal of dialogs would be read here; then [`Checks::remembers`] is true.
    (0..count).map(|index| Proxy::new(settings.clone(), ShardId { index, count }, seed, now)).collect()
}

/// The first table of a process.
fn fresh(setup: &Setup, table: usize) -> Policy {
    policy(Table::build(setup.sets(table), None).expect("good sets"))
}

impl World {
    /// It is down for `time`.
    pub(crate) fn crash(&mut self, time: Duration) {
        if self.proxies.is_empty() {
            return;
        }
        let stats: Vec<_> = self.proxies.drain(..).map(|proxy| *proxy.stats()).collect();
        if let Err(why) = self.checks.die(&stats) {
            self.fail(&why);
        }
        self.met.crashes += 1;
        self.queues.iter_mut().for_each(|queue| *queue = Queue::default());
        self.policy = fresh(&self.setup, self.table);
        self.checks.ledger.forget();
        self.checks.ledger.publish(&self.policy.table, self.now);
        self.operations.retain(|operation| !matches!(operation.1, Operation::Found(..)));
        self.plan(self.now + time, Operation::Start);
    }

    /// It runs again.
    pub(crate) fn start(&mut self) {
        self.proxies = shards(&self.setup, self.checks.life, self.now);
        self.was_quiet = true;
    }

    /// Whether the process is gone, stands still, or will.
    pub(crate) fn trouble_ahead(&self) -> bool {
        let ahead = |operation: &Operation| {
            matches!(operation, Operation::Crash(_) | Operation::Start | Operation::Stall(..) | Operation::Shed(_))
        };
        self.proxies.is_empty()
            || self.operations.iter().any(|operation| ahead(&operation.1))
            || self.queues.iter().any(|queue| !queue.is_empty())
    }
}

impl Checks {
    /// The process is gone: what it had under way is over, and nothing of it may be heard of again.
    fn die(&mut self, stats: &[Stats]) -> Verdict {
        let sum = |field: fn(&Stats) -> u64| stats.iter().map(field).sum::<u64>();
        let calls = self.calls_counted(sum(|s| s.calls))?;
        let answered = self.answers_counted(sum(|s| s.calls_answered))?;
        let failed = sum(|s| s.calls_failed);
        ensure(answered + failed <= calls, || format!("{answered} answered and {failed} failed of {calls} calls"))?;
        ensure(sum(|s| s.bugs) == 0, || String::from("a bug was counted"))?;
        let contexts = core::mem::take(&mut self.contexts);
        for (mut key, mut context) in contexts {
            if !context.past {
                context.past = true;
                key = format!("{key} in life {}", self.life);
                for branch in &context.branches {
                    self.branches.entry(branch.clone()).and_modify(|branch| branch.context.clone_from(&key));
                }
            }
            self.contexts.insert(key, context);
        }
        self.own.clear();
        self.life += 1;
        Ok(())
    }

    /// Whether the process that runs knows of this dialog of a callee: its INVITE went through it.
    pub(crate) fn is_known(&self, dialog: &Dialog) -> bool {
        let branch = self.branches.get(&dialog.branch);
        let context = branch.and_then(|branch| self.contexts.get(&branch.context));
        self.remembers || context.is_some_and(|context| !context.past)
    }

    /// The INVITEs of this life that went to a destination.
    pub(crate) fn invites(&self) -> impl Iterator<Item = &Context> {
        let all = self.contexts.values().filter(|context| !context.past);
        all.filter(|c| c.is_new && c.method == "INVITE" && !c.branches.is_empty())
    }

    /// `calls` were counted in this life.
    pub(crate) fn calls_counted(&self, calls: u64) -> Result<u64, String> {
        let invites = self.invites().count() as u64;
        // Who had no room for any branch had a transaction all the same.
        let all = calls >= invites && calls - invites <= self.lapses;
        ensure(all, || format!("{calls} calls counted of {invites}, with {} lapses", self.lapses))?;
        Ok(calls)
    }

    /// So many of them were answered.
    pub(crate) fn answers_counted(&self, answered: u64) -> Result<u64, String> {
        let relayed =
            self.invites().filter(|context| context.success_sent && context.final_sent.is_none()).count() as u64;
        ensure(answered == relayed, || format!("{answered} answered calls counted of {relayed}"))?;
        Ok(answered)
    }
}
