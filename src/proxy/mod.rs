//! FLOOR 1b: the call path of one shard, sans-IO: `(now, datagram) -> bytes to send`.
//!
//! [`Proxy`] is one value per shard, `&mut self` all the way down. It is told what happened (`handle_*`) and appends what is to
//! be sent to an [`Outbox`]; [`Proxy::poll_timeout`] says when it wants to be called next. The loop around it:
//!
//! 1. read the clock once; hold the published [`Policy`] for the turn;
//! 2. each datagram of a call that this shard owns ([`owner_of`]): [`Proxy::handle_datagram`];
//! 3. each ICMP or send error: [`Proxy::handle_send_error`];
//! 4. due timers: [`Proxy::handle_timeout`]; then send the outbox and clear it.
//!
//! The rooms: `request` and `checks` (RFC 3261 §16.3), `route` (§16.4-16.5), `forward` (§16.6), `response` and `context`
//! (§16.7), `failover` (from target to target, set to set), `fork` (several at once), `server` and `client` (§17, driven by the
//! tables in `transaction`), `dialog` (§12: calls and their load), `keepalive` and `ends` (OPTIONS within calls), `evidence`
//! (what calls show about destinations), `overload` (RFC 7339, towards destinations), `admission` (our own
//! overload), `timeout` (§17 timers).
//!
//! Absent: sockets, a clock, seeds of its own, `Arc`, locks, async, DNS, and any allocation per message in the steady state.

mod ack;
mod admission;
pub(crate) mod branch;
mod buffers;
mod checks;
mod client;
mod context;
mod deadlines;
mod decisions;
mod dialog;
mod ends;
mod entry;
mod evidence;
mod explain;
mod failover;
mod fork;
mod forward;
mod hash_key;
mod index;
mod keepalive;
pub(crate) mod memory;
mod names;
mod outbox;
mod overload;
mod owner;
mod reject;
mod request;
mod response;
mod route;
mod rules;
mod server;
pub mod settings;
pub(crate) mod slab;
mod stateless;
mod stats;
mod timeout;
pub(crate) mod timer;
pub(crate) mod transaction;
mod view;

pub use admission::Shedding;
pub use branch::PROBE_BRANCH;
pub use decisions::Decided;
pub use explain::{Explanation, Outcome, SetStep};
pub use memory::Prepare;
pub use outbox::{Outbox, Transmit};
pub use owner::{ShardId, owner_of};
pub use rules::{DEFAULT_SET, Mismatch};
pub use settings::*;
pub use stats::{Defects, StatelessReplies, Stats};
pub use view::*;

use crate::dispatcher::{LoadToken, Random, StateIndex};
use crate::limits;
use crate::sip::{Splice, Start, scan};
use crate::time::Instant;
use branch::Keys;
use buffers::Buffers;
use deadlines::Owner;
use decisions::Decisions;
use dialog::Dialogs;
use ends::EndsTable;
use entry::{Client, Server};
use index::Index;
use names::Names;
use slab::Slab;
use std::net::SocketAddr;
use timer::Wheel;

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// By which listen address it came in.
    pub socket: SocketId,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What one turn works with: the time, the published policy, and where messages go.
struct Turn<'a> {
    now: Instant,
    policy: &'a Policy,
    out: &'a mut Outbox,
}

/// The transactions and dialogs of one shard.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    names: Names,
    keys: Keys,
    random: Random,
    servers: Slab<Server>,
    clients: Slab<Client>,
    dialogs: Dialogs,
    /// What keepalives know; empty while they are off.
    ends: EndsTable,
    /// Server transactions by the hash of what RFC 3261 §17.2.3 matches. The hash is keyed and 64 bits wide: two requests that
    /// share it are not to be expected in the life of a process, so it stands for the key itself.
    index: Index,
    wheel: Wheel<Owner>,
    buffers: Buffers,
    splice: Splice,
    /// Header lines of an answer in the making.
    scratch: Vec<u8>,
    /// Server transactions without a final response.
    unanswered: usize,
    /// Load tokens that client transactions hold.
    branch_tokens: usize,
    draining: bool,
    shedding: Option<Shedding>,
    /// Of a new call that was left unanswered.
    left_out_host: Vec<u8>,
    decisions: Decisions,
    stats: Stats,
    defects: Defects,
    stateless_replies: StatelessReplies,
}

impl Proxy {
    /// A shard without calls. `seed` keys its hashes, branches and random choices: it must be unpredictable from outside and
    /// differ from shard to shard and start to start.
    #[must_use]
    pub fn new(settings: Settings, shard: ShardId, seed: u64, now: Instant) -> Self {
        Self::in_memory(settings, shard, seed, now, memory::as_it_comes)
    }

    /// The same; `prepare` is shown the memory of its tables and stored messages before anything lies there.
    #[must_use]
    pub fn in_memory(settings: Settings, shard: ShardId, seed: u64, now: Instant, prepare: Prepare) -> Self {
        let keys = Keys::new(seed ^ u64::from(shard.index).rotate_left(32));
        let first_generation = keys.hash(b"generation") as u32;
        let clients_max = settings.transactions_max * limits::BRANCHES_PER_TRANSACTION;
        Self {
            names: Names::new(&settings),
            random: Random::new(keys.hash(b"random")),
            keys,
            servers: Slab::with_capacity_max(settings.transactions_max, first_generation).prepared_by(prepare),
            clients: Slab::with_capacity_max(clients_max, first_generation).prepared_by(prepare),
            dialogs: Dialogs::new(settings.dialogs_max, first_generation, prepare),
            ends: EndsTable::new(settings.dialogs_max, first_generation, prepare),
            index: Index::new(settings.transactions_max, prepare),
            wheel: Wheel::new(now, settings.transactions_max + clients_max + settings.dialogs_max).prepared_by(prepare),
            buffers: Buffers::new(settings.stored_bytes_max).prepared_by(prepare),
            splice: Splice::new(),
            scratch: Vec::with_capacity(limits::DATAGRAM_BYTES_MAX),
            unanswered: 0,
            branch_tokens: 0,
            draining: false,
            shedding: None,
            left_out_host: Vec::new(),
            decisions: Decisions::new(settings.decisions_every),
            stats: Stats::default(),
            defects: Defects::default(),
            stateless_replies: StatelessReplies::default(),
            settings,
        }
    }

    /// Makes room for `transactions` server transactions, within the bounds, with what calls have beside them, before the first one
    /// comes: `touch` is shown where they will lie.
    pub fn make_room(&mut self, transactions: usize, touch: Prepare) {
        let transactions = transactions.min(self.settings.transactions_max);
        self.servers.make_room(transactions, touch);
        self.clients.make_room(transactions, touch);
        // A call has two transactions, and as many branches; each has a timer.
        self.dialogs.make_room(transactions / 2, touch);
        self.wheel.make_room(transactions * 2 + transactions / 2, touch);
        self.index.make_room(transactions, touch);
        self.buffers.make_room(transactions * limits::STORED_BYTES_PER_TRANSACTION, touch);
    }

    /// A datagram of a call that this shard owns, or one whose Call-ID nobody can read.
    pub fn handle_datagram(&mut self, now: Instant, policy: &Policy, datagram: Datagram<'_>, out: &mut Outbox) {
        let message = scan(datagram.bytes);
        let mut turn = Turn { now, policy, out };
        if let Some(defect) = message.defect {
            return self.reject_defect(&mut turn, &message, datagram, defect);
        }
        match message.head.start {
            Start::Request(method) => self.request(&mut turn, &message, method, datagram),
            Start::Response(status) => self.response(&mut turn, &message, status, datagram.source),
            // A message without defect has a start line; the defect table has the others.
            Start::Noise => {}
        }
    }

    /// When [`Proxy::handle_timeout`] is wanted next; `None` while nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How often each defect was met so far.
    #[must_use]
    pub const fn defects(&self) -> &Defects {
        &self.defects
    }

    /// How many requests were answered without a transaction so far, by code.
    #[must_use]
    pub const fn stateless_replies(&self) -> &StatelessReplies {
        &self.stateless_replies
    }

    /// Server transactions, finished ones that still absorb retransmissions included.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.servers.len()
    }

    /// Server transactions without a final response.
    #[must_use]
    pub const fn pending_transactions(&self) -> usize {
        self.unanswered
    }

    /// Dialog slots in use.
    #[must_use]
    pub fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// Load tokens that this shard holds: over all shards, the load of all destinations ([`States::total_load`]), or there is
    /// drift. Counted, not looked up.
    ///
    /// [`States::total_load`]: crate::dispatcher::States::total_load
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.branch_tokens + self.dialogs.tokens()
    }

    /// Whose load this shard holds, token by token, found where they are. For an audit: it visits every slot of every table.
    pub fn live_tokens(&self) -> impl Iterator<Item = StateIndex> {
        let branches = self.clients.iter().filter_map(|(_, client)| client.token.as_ref());
        branches.map(LoadToken::state).chain(self.dialogs.live_tokens())
    }

    /// Loses one load token: a bug, for the test that it is found.
    #[cfg(all(test, feature = "io"))]
    pub(crate) fn forget_a_token(&mut self) {
        let ids: Vec<_> = self.clients.iter().map(|(id, _)| id).collect();
        let token = ids.into_iter().find_map(|id| self.take_token(id));
        core::mem::forget(token);
    }

    /// Bytes of stored messages.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.buffers.in_use_bytes()
    }

    /// How a Request-URI spells that it means us: `host` and `host:port`, of listen addresses and aliases.
    #[must_use]
    pub fn spellings(&self) -> Vec<Vec<u8>> {
        self.names.spellings()
    }

    /// From now on new requests outside dialogs are refused with 503 and Retry-After; everything that runs goes on.
    pub const fn drain(&mut self) {
        self.draining = true;
    }
}

impl Drop for Proxy {
    /// The process, or a test's world, ends with calls in it: their load ends with them.
    fn drop(&mut self) {
        let clients: Vec<_> = self.clients.iter().map(|(id, _)| id).collect();
        for id in clients {
            core::mem::forget(self.clients.get_mut(id).and_then(|client| client.token.take()));
        }
        self.dialogs.forget_tokens();
    }
}
