//! One turn of a shard, and the loop of turns.
//!
//! A turn: wait (until a datagram, a rung bell or the next timer) → read the clock, once → hold the published policy → errors and one
//! batch from each ready socket → what other shards handed in → send → due timers → send → publish counters → yield if the executor
//! asks. Each step is bounded, so no socket, neighbour or timer starves another.
//!
//! A message whose Call-ID another shard owns takes one sideways hop and is not looked at again; an ICMP error as well, because the
//! kernel reports it to any socket of the group, not to the one that sent.

use super::clock;
use super::counters::{IoStats, PUBLISH_INTERVAL, ShardCounters, Snapshot};
use super::handoff::{Cause, Handoff, Inbox, Note};
use super::lifecycle::{Lifecycle, Phase};
use super::mmsg::{Errors, Receive, Send, Wait};
use super::probe::{self, ProbeAnswer, ProbeOutcome, ProbeSink};
use super::socket::ShardSockets;
use crate::limits::{self, BATCH_DATAGRAMS};
use crate::proxy::{Datagram, Outbox, Policy, Proxy, ShardId, SocketId, owner_of};
use crate::sip::find_call_id;
use crate::time::Instant;
use arc_swap::ArcSwap;
use core::mem::swap;
use core::time::Duration;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

/// What a shard has in common with the others and with the process.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) inboxes: Arc<[Inbox]>,
    pub(super) probe_answers: Arc<ProbeSink>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

/// One shard: the sockets, the loop, and the call path in it.
#[derive(Debug)]
pub(super) struct Shard {
    wait: Wait,
    receive: Receive,
    work: Work,
    policy: Arc<ArcSwap<Policy>>,
    inboxes: Arc<[Inbox]>,
    lifecycle: Arc<Lifecycle>,
    counters: Arc<ShardCounters>,
    published_at: Instant,
    /// When the last turn began.
    now: Instant,
}

/// What handles a message once it is in memory.
#[derive(Debug)]
struct Work {
    id: ShardId,
    proxy: Proxy,
    outbox: Outbox,
    /// The outbox that is being sent, while failures already lead to new messages in the other.
    sending: Outbox,
    sockets: ShardSockets,
    send: Send,
    errors: Errors,
    handoff: Handoff,
    probe_answers: Arc<ProbeSink>,
    io: IoStats,
}

/// The time and the policy of one turn.
#[derive(Clone, Copy)]
struct Turn<'a> {
    now: Instant,
    policy: &'a Policy,
}

impl Shard {
    pub(super) fn new(
        id: ShardId,
        proxy: Proxy,
        sockets: ShardSockets,
        shared: Shared,
        counters: Arc<ShardCounters>,
    ) -> Self {
        let now = clock::now();
        Self {
            wait: Wait::new(sockets.iter(), shared.inboxes[id.index as usize].bell().as_fd()),
            receive: Receive::new(),
            work: Work::new(id, proxy, sockets, &shared),
            policy: shared.policy,
            inboxes: shared.inboxes,
            lifecycle: shared.lifecycle,
            counters,
            published_at: now,
            now,
        }
    }

    /// Turns until the process is stopped, or has drained.
    pub(super) async fn run(mut self) {
        while self.turn() {
            let executor = glommio::executor();
            if executor.need_preempt() {
                executor.yield_task_queue_now().await;
            }
        }
        self.publish();
    }

    /// One turn; `false` when it was the last.
    pub(super) fn turn(&mut self) -> bool {
        self.wait();
        self.now = clock::now();
        self.counters.tokens().begin();
        let policy = self.policy.load();
        let turn = Turn { now: self.now, policy: &policy };
        self.work.io.turns += 1;
        for at in 0..self.wait.sockets() {
            self.serve_socket(turn, at);
        }
        self.work.tell_errors(turn);
        self.work.ring();
        self.read_inbox(turn);
        self.work.flush(turn);
        self.work.proxy.handle_timeout(turn.now, turn.policy, &mut self.work.outbox);
        self.work.flush(turn);
        self.counters.tokens().end(self.work.proxy.tokens() as u64);
        if self.now.saturating_since(self.published_at) >= PUBLISH_INTERVAL {
            self.publish();
        }
        !self.is_over()
    }

    /// What was counted so far, published or not.
    #[cfg(test)]
    pub(super) const fn io(&self) -> IoStats {
        self.work.io
    }

    /// Loses one of its tokens: a bug that the audit must find.
    #[cfg(test)]
    pub(super) fn forget_a_token(&mut self) {
        self.work.proxy.forget_a_token();
    }

    fn inbox(&self) -> &Inbox {
        &self.inboxes[self.work.id.index as usize]
    }

    fn wait(&mut self) {
        let timeout = self.timeout();
        if timeout.is_zero() {
            // It does not sleep, so nobody need wake it.
            self.wait.wait(timeout);
        } else {
            self.inbox().bell().fall_asleep();
            let timeout = if self.inbox().is_empty() { timeout } else { Duration::ZERO };
            self.wait.wait(timeout);
            self.inbox().bell().wake_up();
        }
        if self.wait.bell_rang() {
            self.inbox().bell().silence();
        }
    }

    /// Until the next timer, measured from the last turn's time: late by no more than that turn took.
    fn timeout(&self) -> Duration {
        if !self.work.outbox.is_empty() || !self.inbox().is_empty() {
            return Duration::ZERO;
        }
        let until_timer = self.work.proxy.poll_timeout().map(|deadline| deadline.saturating_since(self.now));
        until_timer.map_or(limits::IDLE_WAIT_MAX, |until| until.min(limits::IDLE_WAIT_MAX))
    }

    /// Its errors first: a pending one would fail the receive call.
    fn serve_socket(&mut self, turn: Turn<'_>, at: usize) {
        let ready = self.wait.ready(at);
        if ready.error {
            self.work.read_errors(ready.socket, at);
        }
        if !ready.readable {
            return;
        }
        match self.receive.receive(self.work.sockets.get(at)) {
            Ok(0) => {}
            Ok(count) => self.take_batch(turn, ready.socket, count),
            Err(_) => self.work.receive_failed(ready.socket, at),
        }
    }

    fn take_batch(&mut self, turn: Turn<'_>, socket: SocketId, count: usize) {
        self.work.io.receive_batches += 1;
        self.work.io.received += count as u64;
        for at in 0..count {
            match self.receive.datagram(at) {
                Some((source, bytes)) => self.work.take(turn, Datagram { source, socket, bytes }),
                None => self.work.io.truncated += 1,
            }
        }
        self.work.ring();
    }

    /// As many as the sockets may bring in a turn.
    fn read_inbox(&mut self, turn: Turn<'_>) {
        let inbox = &self.inboxes[self.work.id.index as usize];
        let work = &mut self.work;
        let messages_max = BATCH_DATAGRAMS * self.wait.sockets();
        let count = inbox.drain(messages_max, |note, bytes| work.take_handed(turn, note, bytes));
        work.io.handed_in += count as u64;
    }

    fn publish(&mut self) {
        self.published_at = self.now;
        self.counters.store(&Snapshot::of(&self.work.io, &self.work.proxy));
    }

    fn is_over(&mut self) -> bool {
        match self.lifecycle.phase() {
            Phase::Running => false,
            Phase::Draining => {
                self.work.proxy.drain();
                let left = self.work.proxy.pending_transactions() + self.work.outbox.len();
                self.lifecycle.all_finished(self.work.id.index, left)
            }
            Phase::Stopped => true,
        }
    }
}

impl Work {
    fn new(id: ShardId, proxy: Proxy, sockets: ShardSockets, shared: &Shared) -> Self {
        Self {
            id,
            proxy,
            outbox: Outbox::new(),
            sending: Outbox::new(),
            sockets,
            send: Send::new(),
            errors: Errors::new(),
            handoff: Handoff::new(Arc::clone(&shared.inboxes)),
            probe_answers: Arc::clone(&shared.probe_answers),
            io: IoStats::default(),
        }
    }

    /// A received datagram: the prober's, another shard's, or ours.
    fn take(&mut self, turn: Turn<'_>, datagram: Datagram<'_>) {
        let Datagram { source: address, socket, bytes } = datagram;
        if probe::is_answer(bytes) {
            return self.tell_prober(turn, ProbeOutcome::Response, socket, address, bytes);
        }
        match self.other_owner(bytes) {
            Some(owner) => self.hand_off(owner, Note { cause: Cause::Received, socket, address }, bytes),
            None => self.handle_datagram(turn, datagram),
        }
    }

    /// What another shard found to be ours.
    fn take_handed(&mut self, turn: Turn<'_>, note: Note, bytes: &[u8]) {
        let Note { cause, socket, address } = note;
        match cause {
            Cause::Received => self.handle_datagram(turn, Datagram { source: address, socket, bytes }),
            Cause::SendError => {
                self.proxy.handle_send_error(turn.now, turn.policy, address, bytes, &mut self.outbox);
            }
        }
    }

    fn handle_datagram(&mut self, turn: Turn<'_>, datagram: Datagram<'_>) {
        self.proxy.handle_datagram(turn.now, turn.policy, datagram, &mut self.outbox);
        if self.outbox.is_full() {
            self.flush(turn);
        }
    }

    /// Which other shard owns the call; `None` when we do, or nobody can tell.
    fn other_owner(&self, bytes: &[u8]) -> Option<u32> {
        if self.id.count == 1 {
            return None;
        }
        let owner = owner_of(find_call_id(bytes)?, self.id.count);
        (owner != self.id.index).then_some(owner)
    }

    fn hand_off(&mut self, owner: u32, note: Note, bytes: &[u8]) {
        match self.handoff.post(owner, note, bytes) {
            true => self.io.handed_off += 1,
            false => self.io.handoff_full += 1,
        }
    }

    fn tell_prober(
        &mut self,
        turn: Turn<'_>,
        outcome: ProbeOutcome,
        socket: SocketId,
        address: SocketAddr,
        bytes: &[u8],
    ) {
        let answer = ProbeAnswer { outcome, address, socket, received_at: turn.now };
        match self.probe_answers.post(answer, bytes) {
            true => self.io.probe_answers += 1,
            false => self.io.probe_full += 1,
        }
    }

    /// Wakes whoever got something since the last call.
    fn ring(&mut self) {
        self.handoff.ring();
        self.probe_answers.ring();
    }

    fn read_errors(&mut self, socket: SocketId, at: usize) {
        self.errors.drain(socket, self.sockets.get(at), &mut self.io);
    }

    /// An ICMP error that came after poll, most likely: then the datagrams are still there in the next turn.
    fn receive_failed(&mut self, socket: SocketId, at: usize) {
        let before = self.io.icmp_errors + self.io.icmp_ignored;
        self.read_errors(socket, at);
        if self.io.icmp_errors + self.io.icmp_ignored == before {
            self.io.receive_errors += 1;
        }
    }

    /// Sends what is there, and what the failures of that lead to: each round a request's next target, so rounds are few.
    fn flush(&mut self, turn: Turn<'_>) {
        for _ in 0..limits::TARGETS_MAX {
            if self.outbox.is_empty() {
                break;
            }
            swap(&mut self.outbox, &mut self.sending);
            self.send.send(self.sockets.iter(), &self.sending, &mut self.errors, &mut self.io);
            for message in self.send.failed(&self.sending) {
                self.proxy.handle_send_error(
                    turn.now,
                    turn.policy,
                    message.destination,
                    message.bytes,
                    &mut self.outbox,
                );
            }
            self.sending.clear();
            self.tell_errors(turn);
        }
        self.ring();
    }

    /// Tells each ICMP error to whom it concerns.
    fn tell_errors(&mut self, turn: Turn<'_>) {
        if self.errors.is_empty() {
            return;
        }
        let mut errors = core::mem::replace(&mut self.errors, Errors::none());
        for error in errors.iter() {
            self.tell_error(turn, error.socket, error.destination, error.sent);
        }
        errors.clear();
        self.errors = errors;
    }

    fn tell_error(&mut self, turn: Turn<'_>, socket: SocketId, address: SocketAddr, sent: &[u8]) {
        if probe::is_probe(sent) {
            return self.tell_prober(turn, ProbeOutcome::Unreachable, socket, address, sent);
        }
        let note = Note { cause: Cause::SendError, socket, address };
        match find_call_id(sent).map(|call_id| owner_of(call_id, self.id.count)) {
            Some(owner) if owner != self.id.index => self.hand_off(owner, note, sent),
            // The Call-ID stands beyond what came back. Only the request's owner knows its branch: ask all.
            None if !probe::is_response(sent) => {
                let ShardId { index, count } = self.id;
                (0..count).filter(|owner| *owner != index).for_each(|owner| self.hand_off(owner, note, sent));
                self.take_handed(turn, note, sent);
            }
            _ => self.take_handed(turn, note, sent),
        }
    }
}
