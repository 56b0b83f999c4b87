//! One turn of a shard, and the loop of turns.
//!
//! A turn: wait (until a datagram, a rung bell or the next timer) → read the clock, once → hold the published policy → what became of
//! what was sent → errors and one batch from each ready socket → what other shards handed in → due timers → send → one question →
//! publish counters.
//! Each step is bounded, so no socket, neighbour or timer starves another.

use super::clock;
use super::counters::{IoStats, PUBLISH_INTERVAL, ShardCounters, Snapshot};
use super::engine::{Engine, Patience};
use super::filter::Filter;
use super::flow::Flow;
use super::handoff::Inbox;
use super::inquiry::{Asked, Inquiries};
use super::lifecycle::{Lifecycle, Phase};
use super::overload::Overload;
use super::pace::{Pace, Waiting};
use super::probe::ProbeSink;
use super::turn_times::Timing;
use super::work::{Turn, Work};
use crate::limits;
use crate::proxy::{Policy, Proxy, ShardId};
use crate::time::Instant;
use arc_swap::ArcSwap;
use core::time::Duration;
use std::sync::Arc;

/// What a shard has in common with the others and with the process.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) inboxes: Arc<[Inbox]>,
    pub(super) inquiries: Inquiries,
    pub(super) probe_answers: Arc<ProbeSink>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

/// One shard: the sockets, the loop, and the call path in it.
#[derive(Debug)]
pub(super) struct Shard<E> {
    flow: Flow<E>,
    pace: Pace,
    overload: Overload,
    /// Listen addresses: each may bring a batch in a turn.
    sockets: usize,
    policy: Arc<ArcSwap<Policy>>,
    inboxes: Arc<[Inbox]>,
    inquiries: Inquiries,
    lifecycle: Arc<Lifecycle>,
    counters: Arc<ShardCounters>,
    timing: Timing,
    published_at: Instant,
    /// When the last turn began.
    now: Instant,
}

impl<E: Engine> Shard<E> {
    /// `engine` has the sockets of `sockets` listen addresses, and wakes by the bell of the shard's own inbox.
    pub(super) fn new(
        id: ShardId,
        proxy: Proxy,
        (engine, sockets): (E, usize),
        waiting: Waiting,
        shared: Shared,
        counters: Arc<ShardCounters>,
    ) -> Self {
        let now = clock::now();
        let filter = Filter::new(proxy.spellings());
        Self {
            flow: Flow { engine, work: Work::new(id, proxy, &shared) },
            pace: Pace::new(waiting, now),
            overload: Overload::new(filter, now),
            sockets,
            policy: shared.policy,
            inboxes: shared.inboxes,
            inquiries: shared.inquiries,
            lifecycle: shared.lifecycle,
            counters,
            timing: Timing::default(),
            published_at: now,
            now,
        }
    }

    /// Turns until the process is stopped, or has drained.
    ///
    /// It never yields: it is the executor's only task, and glommio 0.9 parks for good an executor whose preemption timer fires between
    /// its look at I/O and its look at the task that has just yielded. Control is on threads of its own.
    pub(super) fn run(mut self) {
        while self.turn() {}
        // What is queued leaves; nobody is left to be told of what cannot.
        self.flow.engine.settle(|_| {});
        self.publish();
        self.inquiries.close(self.flow.work.id.index);
    }

    /// One turn; `false` when it was the last.
    pub(super) fn turn(&mut self) -> bool {
        self.wait();
        let before = core::mem::replace(&mut self.now, clock::now());
        self.counters.tokens().begin();
        let policy = self.policy.load();
        let turn = Turn { now: self.now, policy: &policy };
        self.flow.work.io.turns += 1;
        self.timing.begin(self.flow.work.io.turns, before, self.now);
        let flow = &mut self.flow;
        flow.hear(turn);
        flow.receive(turn);
        flow.read_inbox(turn, &self.inboxes[flow.work.id.index as usize], self.sockets);
        flow.work.proxy.handle_timeout(turn.now, turn.policy, &mut flow.work.outbox);
        flow.flush(turn);
        self.answer();
        let flow = &mut self.flow;
        self.counters.tokens().end(flow.work.proxy.tokens() as u64);
        let received = flow.engine.counts().received;
        self.pace.note(self.now, received);
        let shedding = self.overload.note(self.now, received, &flow.work.proxy, flow.engine.sockets());
        flow.work.proxy.shed(shedding);
        if self.now.saturating_since(self.published_at) >= PUBLISH_INTERVAL {
            self.publish();
        }
        !self.is_over()
    }

    /// What was counted so far, published or not.
    pub(super) fn io(&mut self) -> IoStats {
        self.flow.engine.look_at_drops();
        let mut io = self.flow.work.io.plus(self.flow.engine.counts());
        self.overload.count(io.kernel_drops);
        (io.kernel_drops, io.shed) = (self.overload.lost, self.overload.shed);
        io
    }

    /// Loses one of its tokens: a bug that the audit must find.
    #[cfg(test)]
    pub(super) fn forget_a_token(&mut self) {
        self.flow.work.proxy.forget_a_token();
    }

    /// One question of those that wait.
    #[inline]
    fn answer(&mut self) {
        let Work { id, proxy, tracer, .. } = &mut self.flow.work;
        let desk = self.inquiries.desk(id.index);
        if desk.is_asked()
            && let Some(question) = desk.next()
        {
            question(&mut Asked { now: self.now, proxy, tracer });
        }
    }

    fn is_asked(&self) -> bool {
        self.inquiries.desk(self.flow.work.id.index).is_asked()
    }

    fn inbox(&self) -> &Inbox {
        &self.inboxes[self.flow.work.id.index as usize]
    }

    fn wait(&mut self) {
        let patience = self.pace.patience(self.timeout());
        if patience.may_sleep() {
            self.inbox().bell().fall_asleep();
            let has_work = !self.inbox().is_empty() || self.is_asked();
            let patience = if has_work { Patience::Look } else { patience };
            self.flow.engine.wait(patience);
            self.inbox().bell().wake_up();
        } else {
            // It does not sleep, so nobody need wake it.
            self.flow.engine.wait(patience);
        }
    }

    /// Until the next timer, measured from the last turn's time: late by no more than that turn took.
    fn timeout(&self) -> Duration {
        let has_work = !self.flow.work.outbox.is_empty() || !self.inbox().is_empty() || self.is_asked();
        if has_work || self.timing.is_timed() || self.flow.engine.has_failed() {
            return Duration::ZERO;
        }
        let until_timer = self.flow.work.proxy.poll_timeout().map(|deadline| deadline.saturating_since(self.now));
        until_timer.map_or(limits::IDLE_WAIT_MAX, |until| until.min(limits::IDLE_WAIT_MAX))
    }

    fn publish(&mut self) {
        self.published_at = self.now;
        let io = self.io();
        self.counters.store(&Snapshot::of(&io, self.timing.times, &self.flow.work.proxy));
    }

    fn is_over(&mut self) -> bool {
        match self.lifecycle.phase() {
            Phase::Running => false,
            Phase::Draining => {
                let Work { id, proxy, outbox, .. } = &mut self.flow.work;
                proxy.drain();
                self.lifecycle.all_finished(id.index, proxy.pending_transactions() + outbox.len())
            }
            Phase::Stopped => true,
        }
    }
}
