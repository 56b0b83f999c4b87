//! What an engine does for a shard: wait, receive, send, and hear of ICMP errors. Two have it: [`super::mmsg`] and [`super::ring`].
//!
//! A turn asks in this order: [`Engine::wait`], [`Engine::settle`], [`Engine::errors`], [`Engine::receive`] until nothing is left of the
//! wait's batch, and [`Engine::queue`]. What is queued leaves at once or with the next wait, as the engine likes; so a failure to send is
//! the next turn's input.

use super::counters::IoStats;
use super::errors::Errors;
use super::socket::ShardSockets;
use crate::proxy::{Datagram, Outbox, Transmit};
use core::time::Duration;

/// How long a shard may wait for datagrams, or for its bell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// Not at all: there is work already.
    Look,
    /// Until something is there, at most this long.
    Sleep(Duration),
    /// Much comes in: let it gather for `gather`, so that one wake-up serves many; then as `Sleep` of `timeout`.
    Gather {
        /// At most this long although something is there.
        gather: Duration,
        /// At most this long in all.
        timeout: Duration,
    },
}

impl Patience {
    /// Whether somebody who wants the shard to look must ring its bell.
    pub(super) const fn may_sleep(self) -> bool {
        !matches!(self, Self::Look)
    }
}

/// A shard's way to the kernel.
pub(super) trait Engine {
    /// What is queued leaves, then the shard waits. A ring of the bell ends the wait, and is taken back.
    fn wait(&mut self, patience: Patience);

    /// Everything that was queued is with the kernel after this; shows the messages that could not be sent and forgets them.
    fn settle(&mut self, failed: impl FnMut(Transmit<'_>));

    /// Whether [`Engine::settle`] has failures to show.
    fn has_failed(&self) -> bool;

    /// Takes the messages of `out`, which is then empty. Only after [`Engine::settle`]: what was queued before is forgotten.
    fn queue(&mut self, out: &mut Outbox);

    /// Shows what the wait brought, until `take` says stop with `false`; whether more may be left.
    fn receive(&mut self, take: impl FnMut(Datagram<'_>) -> bool) -> bool;

    /// The ICMP errors that were heard of. Whoever tells them clears them.
    fn errors(&mut self) -> &mut Errors;

    /// What it received and sent.
    fn counts(&self) -> &IoStats;

    /// Counts what the kernel dropped because a receive buffer was full: a system call for each socket.
    fn look_at_drops(&mut self);

    /// Where datagrams come in.
    fn sockets(&self) -> &ShardSockets;
}

#[cfg(test)]
#[path = "tests/engine.rs"]
mod tests;
