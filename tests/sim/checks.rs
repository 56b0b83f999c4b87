//! What every datagram of the proxy must be, judged by what it received before: RFC 3261 §16, §17, RFC 6026, RFC 4320.
//!
//! The checks keep a record of each request received ([`Context`]) and of each branch sent ([`Branch`]); requests are
//! judged
//! in `check_request.rs`, responses in `check_response.rs`.

use crate::check_own::Own;
use crate::clock::{T1, TIMEOUT};
use crate::ledger::Ledger;
use crate::lines::{all_values, cseq_method, has_to_tag, popped, read, server_key, text};
use crate::message::reply_address;
use core::time::Duration;
use siplane::dispatcher::{Algorithm, Destination, DestinationId, Set, SetSpec, Table};
use siplane::proxy::{Listen, Proxy, SocketId, Transmit};
use siplane::sip::{Start, scan};
use siplane::time::Instant;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// A request that the proxy received.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) call_id: String,
    pub(crate) method: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: SocketAddr,
    pub(crate) socket: SocketId,
    /// Where responses to it, and to its retransmissions if they were requests of their own, go.
    pub(crate) paths: Vec<SocketAddr>,
    pub(crate) at: Instant,
    /// When it came for the first time, if its transaction ended meanwhile.
    pub(crate) first_at: Instant,
    /// Outside of a dialog: the dispatcher chooses its destination.
    pub(crate) is_new: bool,
    /// Targets that there were when it came.
    pub(crate) available: usize,
    /// Those of the first set among them.
    pub(crate) available_first: usize,
    /// Those of whom one has to get it first, where the algorithm says who.
    pub(crate) firsts: Option<Vec<DestinationId>>,
    /// Branch values of what was forwarded for it.
    pub(crate) branches: Vec<String>,
    /// Responses received on its branches, without their top Via.
    pub(crate) responses: HashSet<Vec<u8>>,
    pub(crate) cancelled: bool,
    /// A 2xx was received.
    pub(crate) answered: bool,
    /// A 6xx was received.
    pub(crate) declined: bool,
    pub(crate) final_sent: Option<(u16, Vec<u8>)>,
    pub(crate) success_sent: bool,
    /// The final response to the same request before, which was forgotten by then.
    pub(crate) said_before: Option<Vec<u8>>,
    /// It was answered for lack of room, without state.
    pub(crate) refused: bool,
    /// What had been left out for lack of room when it came.
    pub(crate) lapses_before: u64,
    /// The process that got it has died.
    pub(crate) past: bool,
}

impl Context {
    /// Whether the same request again is a new one: it was refused without a transaction, or RFC 4320 §4.2 ended its
    /// transaction.
    fn is_forgotten(&self, now: Instant) -> bool {
        let refused = self.branches.is_empty() && self.final_sent.is_some();
        let expired = self.method != "INVITE" && now.saturating_since(self.at) >= TIMEOUT;
        self.is_new && (refused || expired) || self.refused
    }
}

/// A request that the proxy sent.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) context: String,
    pub(crate) destination: SocketAddr,
    /// What the dispatcher chose; none within a dialog.
    pub(crate) target: Option<DestinationId>,
    pub(crate) socket: SocketId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) sent_at: Instant,
    pub(crate) resent_at: Instant,
    /// How often it was sent.
    pub(crate) sends: u32,
    pub(crate) heard_at: Option<Instant>,
    pub(crate) provisional: bool,
    pub(crate) final_code: Option<u16>,
    pub(crate) final_at: Option<Instant>,
    pub(crate) finals: u32,
    pub(crate) acks: u32,
    pub(crate) failed_to_send: bool,
    pub(crate) cancel: Option<(Instant, Vec<u8>)>,
}

impl Branch {
    /// Whether its client transaction is surely there.
    fn surely_lives(&self, now: Instant) -> bool {
        let undecided = self.final_code.is_none() && self.cancel.is_none() && !self.failed_to_send;
        undecided && now.saturating_since(self.sent_at) < TIMEOUT - T1
    }

    /// Whether this response must be acknowledged at once: a 300-699 to an INVITE whose client transaction surely
    /// lives.
    fn wants_ack(&self, now: Instant, method: &str, status: u16) -> bool {
        let within = |since: Instant| now.saturating_since(since) < TIMEOUT - T1;
        let alive = self.final_at.map_or(self.provisional || within(self.sent_at), within);
        let cancelled = self.cancel.as_ref().is_none_or(|cancel| within(cancel.0));
        let refused = self.final_code.is_none_or(|code| code >= 300);
        method == "INVITE" && status >= 300 && refused && alive && cancelled && !self.failed_to_send
    }
}

/// What was received and sent so far.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) listen: Vec<Listen>,
    pub(crate) set: SetSpec,
    /// What an operator disables or a reload changes while calls run.
    pub(crate) table_changes: bool,
    pub(crate) contexts: HashMap<String, Context>,
    pub(crate) branches: HashMap<String, Branch>,
    /// The response that the proxy works on, without its top Via.
    pub(crate) cause: Option<Vec<u8>>,
    /// The branch whose final response must be acknowledged before anything else comes in.
    owes_ack: Option<String>,
    /// Whether the proxy sends requests of its own, and those that it sent, by branch.
    pub(crate) keeps_alive: bool,
    pub(crate) own: HashMap<String, Own>,
    pub(crate) ledger: Ledger,
    /// Timers that are due up to then have run; later than that they may be late.
    pub(crate) timers_until: Instant,
    /// There is room for next to nothing.
    pub(crate) is_tight: bool,
    /// What was counted as refused so far for lack of room by the shard whose turn it is, and what of it is not accounted for.
    refused_before: u64,
    pub(crate) refused: u64,
    /// Requests that were answered for lack of room, and what else was left out.
    pub(crate) refusals: u64,
    pub(crate) lapses: u64,
    /// CANCELs that went on without a transaction.
    pub(crate) stray_cancels: u64,
    /// Starts of the process before this one.
    pub(crate) life: u64,
    /// Whether a process knows the dialogs of the one before.
    pub(crate) remembers: bool,
    /// Datagrams judged.
    pub(crate) judged: u64,
}

/// Why a datagram is wrong.
pub(crate) type Verdict = Result<(), String>;

/// Fails with the message when `good` is false.
pub(crate) fn ensure(good: bool, why: impl FnOnce() -> String) -> Verdict {
    if good { Ok(()) } else { Err(why()) }
}

impl Checks {
    pub(crate) fn new(listen: Vec<Listen>, set: SetSpec, table_changes: bool, keeps_alive: bool) -> Self {
        Self {
            listen,
            set,
            table_changes,
            contexts: HashMap::new(),
            branches: HashMap::new(),
            cause: None,
            owes_ack: None,
            keeps_alive,
            own: HashMap::new(),
            ledger: Ledger::default(),
            timers_until: Instant::from_nanos(0),
            is_tight: false,
            refused_before: 0,
            refused: 0,
            refusals: 0,
            lapses: 0,
            stray_cancels: 0,
            life: 0,
            remembers: false,
            judged: 0,
        }
    }

    /// It is about to be `proxy`'s turn.
    pub(crate) fn begin(&mut self, now: Instant, proxy: &Proxy) {
        self.timers_until = proxy.poll_timeout().map_or(now, |due| due.min(now));
        self.refused_before = proxy.stats().refused_full;
    }

    /// So much was counted as refused for lack of room by now.
    pub(crate) fn refused_full(&mut self, count: u64) {
        self.refused = count - core::mem::replace(&mut self.refused_before, count);
    }

    /// Whether something may have been left out for `context` for lack of room.
    pub(crate) fn lapsed(&self, context: &Context) -> bool {
        self.lapses + self.refused > context.lapses_before
    }

    /// The proxy is about to get this datagram.
    pub(crate) fn received(&mut self, now: Instant, table: &Table, source: SocketAddr, socket: SocketId, bytes: &[u8]) {
        self.cause = None;
        match scan(bytes).head.start {
            Start::Request(_) => self.request_received(now, table, source, socket, bytes),
            Start::Response(status) => self.response_received(now, table, status.code(), bytes),
            Start::Noise => {}
        }
    }

    fn request_received(&mut self, now: Instant, table: &Table, source: SocketAddr, socket: SocketId, bytes: &[u8]) {
        let message = scan(bytes);
        let (method, via) = (text(message.text(message.head.method)), all_values(&message, "via").swap_remove(0));
        if method == "CANCEL"
            && let Some(invite) = self.contexts.get_mut(&server_key(&via, "INVITE"))
        {
            invite.cancelled = true;
        }
        let (key, reply_to) = (server_key(&via, &method), reply_address(&via, source));
        if let Some(known) = self.contexts.get_mut(&key)
            && !known.is_forgotten(self.timers_until)
        {
            known.paths.push(reply_to);
            return;
        }
        let said_before = self.contexts.get(&key).and_then(|known| known.final_sent.clone());
        let context = Context {
            call_id: text(message.call_id()),
            is_new: !has_to_tag(&message) && method != "CANCEL",
            method,
            bytes: bytes.to_vec(),
            source,
            socket,
            paths: vec![reply_to],
            at: now,
            first_at: self.contexts.get(&key).map_or(now, |known| known.first_at),
            available: self.available(table.sets(), table),
            available_first: self.available(&table.sets()[..1], table),
            firsts: self.firsts(now, table),
            branches: Vec::new(),
            responses: HashSet::new(),
            cancelled: false,
            answered: false,
            declined: false,
            final_sent: None,
            success_sent: false,
            said_before: said_before.map(|said| said.1),
            refused: false,
            lapses_before: self.lapses,
            past: false,
        };
        self.contexts.insert(key, context);
    }

    fn response_received(&mut self, now: Instant, table: &Table, status: u16, bytes: &[u8]) {
        let message = scan(bytes);
        let Ok(via) = message.top_via() else { return };
        self.own_answered(&text(via.branch.of(bytes)), status);
        let Some(branch) = self.branches.get_mut(&text(via.branch.of(bytes))) else { return };
        let Some(context) = self.contexts.get_mut(&branch.context) else { return };
        if context.past || cseq_method(&message) != context.method {
            return;
        }
        // A report is for a destination that is still there.
        if let Some(target) = branch.target.and_then(|id| table.destination(id))
            && let Some(entry) = self.ledger.get_mut(target.id)
        {
            let via = all_values(&message, "via").swap_remove(0);
            entry.overload.heard(now, &via, target.overload, branch.surely_lives(now));
        }
        branch.heard_at.get_or_insert(now);
        if status < 200 {
            branch.provisional = true;
        } else {
            if branch.wants_ack(now, &context.method, status) {
                self.owes_ack = Some(text(via.branch.of(bytes)));
            }
            branch.final_code.get_or_insert(status);
            branch.final_at.get_or_insert(now);
            branch.finals += u32::from(status >= 300);
            context.answered |= status < 300;
            context.declined |= status >= 600;
        }
        let response = popped(&message);
        context.responses.insert(response.clone());
        self.cause = Some(response);
    }

    /// The proxy is about to hear that it could not send this.
    pub(crate) fn send_failed(&mut self, sent: &[u8]) {
        self.cause = None;
        let message = scan(sent);
        let is_hop = message.text(message.head.method) == b"ACK" || message.text(message.head.method) == b"CANCEL";
        if let Ok(via) = message.top_via()
            && let Some(branch) = self.branches.get_mut(&text(via.branch.of(sent)))
        {
            branch.failed_to_send |= !is_hop;
        }
    }

    /// Only a timer is behind what the proxy sends next.
    pub(crate) fn timer(&mut self) {
        self.cause = None;
    }

    /// The proxy sent this.
    pub(crate) fn sent(&mut self, now: Instant, table: &Table, transmit: &Transmit<'_>) -> Verdict {
        self.judged += 1;
        let message = read(transmit.bytes)?;
        match message.head.start {
            Start::Request(_) => self.request_sent(now, table, transmit, &message),
            Start::Response(status) => self.response_sent(now, transmit, &message, status.code()),
            Start::Noise => Err(String::from("neither request nor response")),
        }
    }

    /// An ACK went out on its hop.
    pub(crate) fn acknowledged(&mut self, branch: &str) {
        self.owes_ack.take_if(|owing| owing == branch);
    }

    /// The proxy has done all that it wants to about what it got.
    pub(crate) fn settled(&mut self) -> Verdict {
        let left_out = core::mem::take(&mut self.refused);
        self.lapses += left_out;
        self.ledger.lapses = self.lapses + self.refusals;
        ensure(self.is_tight || left_out == 0, || format!("{left_out} things had no room, and there is plenty"))?;
        // RFC 3261 §17.1.1.2
        self.owes_ack.take().map_or(Ok(()), |branch| Err(format!("a final response on {branch} was not acknowledged")))
    }

    /// How many branches of one request the sets have at once.
    pub(crate) fn at_once(&self) -> usize {
        if self.set.algorithm == Algorithm::Parallel { self.set.branches_max } else { 1 }
    }

    /// Whether `branch` was given up for the set's answer time-out before it said anything.
    pub(crate) fn is_given_up(&self, branch: &Branch) -> bool {
        branch.heard_at.is_some_and(|at| at.saturating_since(branch.sent_at) >= self.set.answer_timeout)
    }

    /// Whether `branch` may still decide its request.
    pub(crate) fn runs(&self, now: Instant, branch: &Branch) -> bool {
        !self.is_over(now, branch) && !self.is_given_up(branch)
    }

    /// Whether `branch` cannot bring an answer any more, or was given up for the set's answer time-out.
    pub(crate) fn is_over(&self, now: Instant, branch: &Branch) -> bool {
        let waited = now.saturating_since(branch.sent_at);
        let context = self.contexts.get(&branch.context);
        let invite = context.is_some_and(|context| context.method == "INVITE");
        let limit = if !branch.provisional && branch.heard_at.is_none() && context.is_some_and(|context| context.is_new)
        {
            self.set.answer_timeout
        } else if invite {
            // RFC 3261 §16.6 item 11: Timer C is more than 3 minutes.
            Duration::from_secs(180)
        } else {
            TIMEOUT
        };
        // RFC 3261 §9.1: 64*T1 behind its CANCEL a branch counts as cancelled.
        let cancelled = branch.cancel.as_ref().is_some_and(|cancel| now.saturating_since(cancel.0) >= TIMEOUT);
        branch.failed_to_send || branch.final_code.is_some() || cancelled || waited >= limit
    }

    /// Destinations of these sets that a new request tries before it fails, at least: those that are open, of each set as many as its
    /// limit admits; who may have no room counts as one that has none.
    fn available(&self, sets: &[Set], table: &Table) -> usize {
        let open = |set: &Set| {
            let of = |last_resort: bool| {
                let is_open = |it: &&Destination| table.states().is_available(it.state);
                set.destinations.iter().filter(is_open).filter(|it| it.last_resort == last_resort).collect::<Vec<_>>()
            };
            let regular = of(false);
            let open = if regular.is_empty() { of(true) } else { regular };
            let limited = open.iter().filter(|destination| self.ledger.is_limited(table, destination)).count();
            open.len().min(self.set.failover_limit).saturating_sub(limited)
        };
        sets.iter().map(open).sum()
    }
}
