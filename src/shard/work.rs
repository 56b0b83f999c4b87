//! Who gets a message: the call path of this shard, another shard, or the prober.
//!
//! A message whose Call-ID another shard owns takes one sideways hop and is not looked at again; an ICMP error as well, because the
//! kernel reports it to any socket of the group, not to the one that sent.

use super::counters::IoStats;
use super::errors::Undelivered;
use super::handoff::{Cause, Handoff, Note};
use super::probe::{self, ProbeAnswer, ProbeOutcome, ProbeSink};
use super::trace::Tracer;
use super::turn::Shared;
use crate::proxy::{Datagram, Outbox, Policy, Proxy, ShardId, SocketId, owner_of};
use crate::sip::find_call_id;
use crate::time::Instant;
use std::net::SocketAddr;
use std::sync::Arc;

/// The time and the policy of one turn.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) policy: &'a Policy,
}

/// What handles a message once it is in memory.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: ShardId,
    pub(super) proxy: Proxy,
    pub(super) outbox: Outbox,
    handoff: Handoff,
    probe_answers: Arc<ProbeSink>,
    /// Whether the prober got something since the last [`Work::ring`]. It mostly sleeps: a ring for nothing is two system calls and
    /// two changes of thread.
    prober_is_told: bool,
    pub(super) tracer: Tracer,
    /// What it did with the mailboxes; the engine counts the rest.
    pub(super) io: IoStats,
}

impl Work {
    pub(super) fn new(id: ShardId, proxy: Proxy, shared: &Shared) -> Self {
        Self {
            id,
            proxy,
            outbox: Outbox::new(),
            handoff: Handoff::new(Arc::clone(&shared.inboxes)),
            probe_answers: Arc::clone(&shared.probe_answers),
            prober_is_told: false,
            tracer: Tracer::new(id.index),
            io: IoStats::default(),
        }
    }

    /// A received datagram: the prober's, another shard's, or ours.
    pub(super) fn take(&mut self, turn: Turn<'_>, datagram: Datagram<'_>) {
        let Datagram { source: address, socket, bytes } = datagram;
        if probe::is_answer(bytes) {
            return self.tell_prober(turn, ProbeOutcome::Response, socket, address, bytes);
        }
        match self.other_owner(bytes) {
            Some(owner) => self.hand_off(owner, Note { cause: Cause::Received, socket, address }, bytes),
            None => {
                self.io.steered += u64::from(self.id.count > 1);
                self.handle_datagram(turn, datagram);
            }
        }
    }

    /// What another shard found to be ours.
    pub(super) fn take_handed(&mut self, turn: Turn<'_>, note: Note, bytes: &[u8]) {
        let Note { cause, socket, address } = note;
        match cause {
            Cause::Received => self.handle_datagram(turn, Datagram { source: address, socket, bytes }),
            Cause::SendError => {
                self.proxy.handle_send_error(turn.now, turn.policy, address, bytes, &mut self.outbox);
            }
        }
    }

    fn handle_datagram(&mut self, turn: Turn<'_>, datagram: Datagram<'_>) {
        if self.tracer.is_on() {
            self.tracer.received(turn.now, datagram);
        }
        self.proxy.handle_datagram(turn.now, turn.policy, datagram, &mut self.outbox);
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
            true => {
                self.io.probe_answers += 1;
                self.prober_is_told = true;
            }
            false => self.io.probe_full += 1,
        }
    }

    /// Wakes whoever got something since the last call.
    pub(super) fn ring(&mut self) {
        self.handoff.ring();
        if std::mem::take(&mut self.prober_is_told) {
            self.probe_answers.ring();
        }
    }

    /// An ICMP error, to whom it concerns.
    pub(super) fn tell_error(&mut self, turn: Turn<'_>, error: &Undelivered<'_>) {
        let Undelivered { socket, destination: address, sent } = *error;
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
