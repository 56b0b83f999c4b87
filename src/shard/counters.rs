//! What a shard publishes about itself: a copy of its counters, at most every [`PUBLISH_INTERVAL`], one writer, any readers.
//!
//! A shard counts in plain integers and stores all of them at once; readers sum over shards. A reader may see counters of two
//! neighbouring moments; none ever runs backwards.

use super::audit::TokenCount;
use super::turn_times::{self, TurnTimes};
use crate::proxy::{Defects, Proxy, StatelessReplies, Stats};
use crate::sip::Defect;
use crate::stats::counters;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use crossbeam::utils::CachePadded;

/// How old what a busy shard has published may be.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

counters! {
    /// What one shard did with its sockets and its mailboxes. These only grow.
    pub struct IoStats {
        /// Turns of the loop.
        turns,
        /// Datagrams received.
        received,
        /// Batches received: those of one socket in one turn.
        receive_batches,
        /// Receive calls that failed for another reason than a pending ICMP error.
        receive_errors,
        /// Datagrams longer than `limits::DATAGRAM_BYTES_MAX`: dropped.
        truncated,
        /// Datagrams that the kernel dropped because a socket's receive buffer was full.
        kernel_drops,
        /// New calls that the kernel kept out because more came in than the shard keeps up with; retransmission brings them again.
        shed,
        /// Times that the ring had no buffer left for a datagram, which then waited in its socket.
        ring_full,
        /// Datagrams sent.
        sent,
        /// Batches sent, each with one system call.
        send_batches,
        /// Runs sent: several datagrams to one destination for which the kernel was asked once.
        send_runs,
        /// Runs that failed as a whole: their datagrams were sent once more one by one, and each then failed or not by itself.
        send_runs_split,
        /// Datagrams that could not be sent, told to the proxy as send errors.
        send_errors,
        /// Datagrams lost because the socket or the device was full; retransmission heals them.
        send_lost,
        /// ICMP errors that say that a datagram of ours did not arrive (RFC 3261 §18.4).
        icmp_errors,
        /// ICMP errors that say less: time exceeded, packet too big.
        icmp_ignored,
        /// Messages received by the very shard, of several, that owns their call.
        steered,
        /// Messages handed to the shard that owns their call.
        handed_off,
        /// Messages got from other shards.
        handed_in,
        /// Messages dropped because their owner's mailbox was full.
        handoff_full,
        /// Probe answers passed to the prober.
        probe_answers,
        /// Probe answers dropped because the prober's mailbox was full.
        probe_full,
    }
}

impl IoStats {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self::from_array(sums(self.as_array(), other.as_array()))
    }
}

counters! {
    /// How much one shard holds now.
    pub struct Levels {
        /// Server transactions.
        transactions,
        /// Server transactions without a final response.
        pending_transactions,
        /// Dialogs.
        dialogs,
        /// Load tokens: over all shards, the load of all destinations, or there is drift.
        tokens,
        /// What the last audit found to be the difference between the two: 0, or there is a bug. Only in the sum over shards.
        drift,
        /// Bytes of stored messages.
        stored_bytes,
    }
}

/// Everything that a shard publishes, or the sum over shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Sockets and mailboxes.
    pub io: IoStats,
    /// What is held now.
    pub levels: Levels,
    /// How long turns took.
    pub turns: TurnTimes,
    /// The call path.
    pub proxy: Stats,
    /// What was wrong with messages.
    pub defects: Defects,
    /// Requests answered without a transaction, by code.
    pub stateless_replies: StatelessReplies,
}

impl Snapshot {
    pub(super) fn of(io: &IoStats, turns: TurnTimes, proxy: &Proxy) -> Self {
        let levels = Levels {
            transactions: proxy.transactions() as u64,
            pending_transactions: proxy.pending_transactions() as u64,
            dialogs: proxy.dialogs() as u64,
            tokens: proxy.tokens() as u64,
            drift: 0,
            stored_bytes: proxy.stored_bytes() as u64,
        };
        Self {
            io: *io,
            levels,
            turns,
            proxy: *proxy.stats(),
            defects: *proxy.defects(),
            stateless_replies: *proxy.stateless_replies(),
        }
    }

    /// All counters by name; those of defects by the label of each.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let io = IoStats::NAMES.into_iter().zip(self.io.as_array());
        let proxy = Stats::NAMES.into_iter().zip(self.proxy.as_array());
        let defects = Defect::ALL.into_iter().map(Defect::label).zip(self.defects.0);
        io.chain(proxy).chain(defects)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            io: self.io.plus(&other.io),
            levels: Levels::from_array(sums(self.levels.as_array(), other.levels.as_array())),
            turns: TurnTimes::from_array(sums(self.turns.as_array(), other.turns.as_array())),
            proxy: Stats::from_array(sums(self.proxy.as_array(), other.proxy.as_array())),
            defects: Defects(sums(self.defects.0, other.defects.0)),
            stateless_replies: StatelessReplies(sums(self.stateless_replies.0, other.stateless_replies.0)),
        }
    }
}

fn sums<const N: usize>(a: [u64; N], b: [u64; N]) -> [u64; N] {
    core::array::from_fn(|at| a[at].wrapping_add(b[at]))
}

/// One shard's published counters, on cache lines of their own.
#[derive(Debug)]
pub struct ShardCounters {
    io: CachePadded<[AtomicU64; IoStats::COUNT]>,
    levels: CachePadded<[AtomicU64; Levels::COUNT]>,
    turns: CachePadded<[AtomicU64; turn_times::COUNT]>,
    proxy: CachePadded<[AtomicU64; Stats::COUNT]>,
    defects: CachePadded<[AtomicU64; Defect::COUNT]>,
    stateless_replies: CachePadded<[AtomicU64; StatelessReplies::COUNT]>,
    tokens: CachePadded<TokenCount>,
}

impl Default for ShardCounters {
    fn default() -> Self {
        Self {
            io: zeros(),
            levels: zeros(),
            turns: zeros(),
            proxy: zeros(),
            defects: zeros(),
            stateless_replies: zeros(),
            tokens: CachePadded::default(),
        }
    }
}

impl ShardCounters {
    /// What the shard published last.
    #[must_use]
    pub fn load(&self) -> Snapshot {
        Snapshot {
            io: IoStats::from_array(values(&self.io)),
            levels: Levels::from_array(values(&self.levels)),
            turns: TurnTimes::from_array(values(&self.turns)),
            proxy: Stats::from_array(values(&self.proxy)),
            defects: Defects(values(&self.defects)),
            stateless_replies: StatelessReplies(values(&self.stateless_replies)),
        }
    }

    /// The sum of what these shards published last.
    #[must_use]
    pub fn total<'a>(shards: impl IntoIterator<Item = &'a Self>) -> Snapshot {
        shards.into_iter().fold(Snapshot::default(), |sum, shard| sum.plus(&shard.load()))
    }

    /// A number that grows when a turn of the shard begins and when it ends: it stands still when the shard is stuck in a turn, or
    /// sleeps for longer than `limits::IDLE_WAIT_MAX`.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.tokens.turn()
    }

    /// What the shard says of its tokens turn by turn.
    pub(super) fn tokens(&self) -> &TokenCount {
        &self.tokens
    }

    pub(super) fn store(&self, snapshot: &Snapshot) {
        publish(&self.io, snapshot.io.as_array());
        publish(&self.levels, snapshot.levels.as_array());
        publish(&self.turns, snapshot.turns.as_array());
        publish(&self.proxy, snapshot.proxy.as_array());
        publish(&self.defects, snapshot.defects.0);
        publish(&self.stateless_replies, snapshot.stateless_replies.0);
    }
}

fn zeros<const N: usize>() -> CachePadded<[AtomicU64; N]> {
    CachePadded::new([const { AtomicU64::new(0) }; N])
}

fn values<const N: usize>(cells: &[AtomicU64; N]) -> [u64; N] {
    core::array::from_fn(|at| cells[at].load(Ordering::Relaxed))
}

fn publish<const N: usize>(cells: &[AtomicU64; N], values: [u64; N]) {
    cells.iter().zip(values).for_each(|(cell, value)| cell.store(value, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_and_shards_are_summed() {
        let one = Snapshot {
            io: IoStats::from_array(core::array::from_fn(|at| at as u64 + 1)),
            levels: Levels::from_array(core::array::from_fn(|at| at as u64 + 100)),
            turns: TurnTimes::from_array(core::array::from_fn(|at| at as u64 + 200)),
            proxy: Stats::from_array(core::array::from_fn(|at| at as u64 + 1000)),
            defects: Defects(core::array::from_fn(|at| at as u64 + 10_000)),
            stateless_replies: StatelessReplies(core::array::from_fn(|at| at as u64 + 20_000)),
        };
        let (a, b) = (ShardCounters::default(), ShardCounters::default());
        a.store(&one);
        b.store(&one);
        assert_eq!(a.load(), one);
        assert_eq!(ShardCounters::total([&a, &b]), one.plus(&one));
        assert_eq!(one.plus(&one).io.turns, 2);
    }
}
