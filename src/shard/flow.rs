//! Between engine and call path: what was received goes in, what is to be sent comes out, and what failed goes in again.

use super::engine::Engine;
use super::handoff::Inbox;
use super::work::{Turn, Work};
use crate::limits::BATCH_DATAGRAMS;
use crate::proxy::Transmit;

/// One shard's engine and the work that it feeds.
#[derive(Debug)]
pub(super) struct Flow<E> {
    pub(super) engine: E,
    pub(super) work: Work,
}

impl<E: Engine> Flow<E> {
    /// What became of what was sent.
    pub(super) fn hear(&mut self, turn: Turn<'_>) {
        let Work { proxy, outbox, .. } = &mut self.work;
        self.engine.settle(|Transmit { destination, bytes, .. }| {
            proxy.handle_send_error(turn.now, turn.policy, destination, bytes, outbox);
        });
        self.tell_errors(turn);
    }

    /// Everything that the wait brought; an outbox that fills up on the way is sent in between.
    pub(super) fn receive(&mut self, turn: Turn<'_>) {
        while self.receive_some(turn) {
            self.flush(turn);
        }
        self.work.ring();
    }

    /// Whether more is left.
    fn receive_some(&mut self, turn: Turn<'_>) -> bool {
        let Self { engine, work } = self;
        let is_left = engine.receive(|datagram| {
            work.take(turn, datagram);
            !work.outbox.is_full()
        });
        self.tell_errors(turn);
        is_left
    }

    /// What other shards found to be ours: as many as the sockets of `sockets` listen addresses may bring in a turn.
    pub(super) fn read_inbox(&mut self, turn: Turn<'_>, inbox: &Inbox, sockets: usize) {
        let count = inbox.drain(BATCH_DATAGRAMS * sockets, |note, bytes| {
            self.work.take_handed(turn, note, bytes);
            if self.work.outbox.is_full() {
                self.flush(turn);
            }
        });
        self.work.io.handed_in += count as u64;
    }

    /// Sends what is there; what earlier failures lead to goes with it.
    pub(super) fn flush(&mut self, turn: Turn<'_>) {
        if !self.work.outbox.is_empty() {
            self.hear(turn);
            if self.work.tracer.is_on() {
                self.work.tracer.sent(turn.now, &self.work.outbox);
            }
            self.engine.queue(&mut self.work.outbox);
            self.tell_errors(turn);
        }
        self.work.ring();
    }

    /// Tells each ICMP error to whom it concerns.
    fn tell_errors(&mut self, turn: Turn<'_>) {
        let errors = self.engine.errors();
        errors.iter().for_each(|error| self.work.tell_error(turn, &error));
        errors.clear();
    }
}
