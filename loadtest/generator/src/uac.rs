//! The callers: they place calls by the schedule and see them through.
//!
//! What a real client would send again is sent again at RFC 3261's times. The ACK of any final response is made of that response, so
//! a repeated one is answered when the call is long forgotten, too.

mod responses;

use crate::check::Path;
use crate::io::{Address, Outbox};
use crate::mix::{Kind, Mix};
use crate::number::{Number, Run};
use crate::pace::{Random, Schedule};
use crate::pool::{Handle, Pool};
use crate::scan::Method;
use crate::stats::{CallerStats, Failure};
use crate::text::{Call, Dialog, Source};
use crate::timers::{T1, Timers, capped, doubled};
use std::collections::VecDeque;

/// Calls that are started in one turn at most: what comes in must be read, too.
const STARTS_PER_TURN: usize = 256;
/// Places in the table at first: a place is used again only after all others, so that what comes late meets no new call.
const SLOTS_AT_FIRST: u32 = 4096;

/// How callers behave.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) proxy: Address,
    pub(crate) mix: Mix,
    /// How long an answered call stays, nanoseconds.
    pub(crate) hold: u64,
    /// How long it may ring beyond the timeout, nanoseconds.
    pub(crate) ring: u64,
    /// How long a transaction waits for its final response, nanoseconds.
    pub(crate) timeout: u64,
    pub(crate) resend: bool,
    /// Every how many calls are looked at closely; 0: none.
    pub(crate) verify: u32,
    pub(crate) path: Path,
    /// Calls at once at most.
    pub(crate) active_max: u32,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    /// INVITE sent, nothing came.
    Inviting,
    /// A provisional response came.
    Ringing,
    /// CANCEL sent.
    Cancelling,
    /// The CANCEL was answered.
    Cancelled,
    Open,
    Reinviting,
    Byeing,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    generation: u32,
    state: State,
    kind: Kind,
    rang: bool,
    sends: u8,
    cseq: u8,
    source: u16,
    target_bytes: u16,
    routes_bytes: u16,
    /// Target, routes and To of the dialog.
    kept: Handle,
    hop: Address,
    /// When the call was meant to start.
    intended: u64,
    /// When the present transaction began.
    since: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The transaction's retransmission.
    Again(Method),
    /// The transaction's end, after its last retransmission.
    End(Method),
    /// The call was open long enough.
    Hold,
    /// It rang long enough for somebody who wants to cancel.
    GiveUp,
}

/// All callers of a run; their sockets begin at place 0.
#[derive(Debug)]
pub(crate) struct Callers {
    plan: Plan,
    run: Run,
    sources: Vec<Source>,
    records: Vec<Record>,
    free: VecDeque<u32>,
    timers: Timers<What>,
    pool: Pool,
    routes: Vec<u8>,
    random: Random,
    next_source: u16,
    active: u32,
    /// Intended times of the INVITEs that this turn sends.
    leaving: Vec<u64>,
    /// Calls that were set up to stay.
    pub(crate) held: u64,
    pub(crate) stats: CallerStats,
}

impl Callers {
    pub(crate) fn new(plan: Plan, run: Run, addresses: &[Address]) -> Self {
        let sources: Vec<_> = addresses.iter().map(|address| Source::new(*address, plan.proxy, run)).collect();
        let mut callers = Self {
            random: Random::new(plan.seed),
            plan,
            run,
            sources,
            records: Vec::new(),
            free: VecDeque::new(),
            timers: Timers::new(),
            pool: Pool::default(),
            routes: Vec::with_capacity(2048),
            next_source: 0,
            active: 0,
            leaving: Vec::with_capacity(STARTS_PER_TURN),
            held: 0,
            stats: CallerStats::new(),
        };
        callers.grow();
        callers
    }

    /// Calls that are not over; held ones are.
    pub(crate) const fn active(&self) -> u32 {
        self.active
    }

    /// Forgets what was counted so far: what follows is the measurement.
    pub(crate) fn reset_stats(&mut self) {
        self.stats = CallerStats { violations: core::mem::take(&mut self.stats.violations), ..CallerStats::new() };
    }

    /// Gives up what is open.
    pub(crate) fn abandon(&mut self) {
        let open = self.records.iter().filter(|record| record.state != State::Free).count() as u64;
        if open > 0 {
            *self.stats.failed.entry(Failure::Unfinished).or_default() += open;
        }
    }

    /// Starts what is due: with `held` calls that stay. Whether some are still due.
    pub(crate) fn start(&mut self, schedule: &mut Schedule, held: bool, now: u64, out: &mut Outbox) -> bool {
        for _ in 0..STARTS_PER_TURN {
            let Some(intended) = schedule.take(now, self.active, &mut self.random) else { return false };
            self.stats.offered += 1;
            if self.active < self.plan.active_max {
                let kind = if held { Kind::Held } else { self.plan.mix.pick(self.random.next() >> 8) };
                self.place(kind, intended, now, out);
            }
        }
        true
    }

    /// What this turn has written has left.
    pub(crate) fn left(&mut self, now: u64) {
        self.leaving.drain(..).for_each(|intended| self.stats.lag.record(now.saturating_sub(intended)));
    }

    /// When there is something to send again, or to end.
    pub(crate) fn next(&self) -> Option<u64> {
        self.timers.next()
    }

    fn grow(&mut self) {
        let (first, count) = (self.records.len() as u32, (self.records.len() as u32).max(SLOTS_AT_FIRST));
        let free = Record {
            generation: 0,
            state: State::Free,
            kind: Kind::Ok,
            rang: false,
            sends: 0,
            cseq: 0,
            source: 0,
            target_bytes: 0,
            routes_bytes: 0,
            kept: Handle::NONE,
            hop: Address::NONE,
            intended: 0,
            since: 0,
        };
        self.records.resize((first + count) as usize, free);
        self.free.extend(first..first + count);
    }

    fn place(&mut self, kind: Kind, intended: u64, now: u64, out: &mut Outbox) {
        if self.free.is_empty() {
            self.grow();
        }
        // Invariant: `grow` has put places there.
        let Some(slot) = self.free.pop_front() else { return };
        let source = self.next_source;
        self.next_source = if usize::from(source) + 1 < self.sources.len() { source + 1 } else { 0 };
        let record = &mut self.records[slot as usize];
        let generation = record.generation.wrapping_add(1);
        *record = Record { generation, state: State::Inviting, kind, source, intended, since: now, ..*record };
        (record.rang, record.sends, record.cseq) = (false, 1, 1);
        (record.target_bytes, record.routes_bytes) = (0, 0);
        self.active += 1;
        self.stats.started += 1;
        self.leaving.push(intended);
        self.send_invite(slot, out);
        self.timers.set(now, T1, slot, generation, What::Again(Method::Invite));
    }

    fn call(&self, slot: u32) -> Call {
        let record = &self.records[slot as usize];
        Call { number: Number { slot, generation: record.generation }, kind: record.kind }
    }

    fn send_invite(&mut self, slot: u32, out: &mut Outbox) {
        let (call, source) = (self.call(slot), self.records[slot as usize].source);
        out.begin();
        self.sources[usize::from(source)].invite(call, out);
        out.end(source, self.plan.proxy);
    }

    fn send_cancel(&self, slot: u32, out: &mut Outbox) {
        let index = self.records[slot as usize].source;
        let source = &self.sources[usize::from(index)];
        out.begin();
        source.beside(self.call(slot), b"CANCEL", source.to(), out);
        out.end(index, self.plan.proxy);
    }

    fn cancel(&mut self, number: Number, now: u64, out: &mut Outbox) {
        let record = &mut self.records[number.slot as usize];
        (record.state, record.since, record.sends) = (State::Cancelling, now, 1);
        self.send_cancel(number.slot, out);
        self.timers.set(now, T1, number.slot, number.generation, What::Again(Method::Cancel));
    }

    /// The request that the call's state wants: BYE, or INVITE inside the dialog.
    fn send_next(&self, slot: u32, out: &mut Outbox) {
        let record = &self.records[slot as usize];
        let method: &[u8] = if record.state == State::Reinviting { b"INVITE" } else { b"BYE" };
        self.send_inside(slot, method, record.cseq, out);
    }

    /// A request inside the dialog, along its route set.
    fn send_inside(&self, slot: u32, method: &[u8], cseq: u8, out: &mut Outbox) {
        let record = &self.records[slot as usize];
        if record.kept == Handle::NONE {
            return;
        }
        let (target, rest) = self.pool.get(record.kept).split_at(record.target_bytes.into());
        let (routes, to) = rest.split_at(record.routes_bytes.into());
        let (source, dialog) = (&self.sources[usize::from(record.source)], Dialog { target, routes, to });
        out.begin();
        if method == b"INVITE" {
            source.offer(self.call(slot), cseq, dialog, out);
        } else {
            source.inside(self.call(slot), method, cseq, dialog, out);
        }
        out.end(record.source, record.hop);
    }

    fn hold_is_over(&mut self, number: Number, now: u64, out: &mut Outbox) {
        let record = &mut self.records[number.slot as usize];
        if record.kind != Kind::Reinvite {
            return self.say_goodbye(number, now, out);
        }
        (record.state, record.since, record.sends, record.cseq) = (State::Reinviting, now, 1, record.cseq + 1);
        self.send_next(number.slot, out);
        self.timers.set(now, T1, number.slot, number.generation, What::Again(Method::Other));
    }

    fn say_goodbye(&mut self, number: Number, now: u64, out: &mut Outbox) {
        let record = &mut self.records[number.slot as usize];
        (record.state, record.since, record.sends, record.cseq) = (State::Byeing, now, 1, record.cseq + 1);
        self.send_next(number.slot, out);
        self.timers.set(now, T1, number.slot, number.generation, What::Again(Method::Bye));
    }

    fn end(&mut self, call: Call, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => {
                self.stats.completed += 1;
                self.stats.by_kind[call.kind as usize] += 1;
            }
            Err(failure) => *self.stats.failed.entry(failure).or_default() += 1,
        }
        let record = &mut self.records[call.number.slot as usize];
        record.state = State::Free;
        self.pool.release(&mut record.kept);
        self.free.push_back(call.number.slot);
        self.active -= 1;
    }

    /// Sends again, and ends, what is due.
    pub(crate) fn on_time(&mut self, now: u64, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop(now) {
            let record = &self.records[timer.slot as usize];
            if record.generation != timer.generation || record.state == State::Free {
                continue;
            }
            let number = Number { slot: timer.slot, generation: timer.generation };
            match (timer.what, record.state) {
                (What::GiveUp, State::Ringing) => self.cancel(number, now, out),
                (What::Hold, State::Open) => self.hold_is_over(number, now, out),
                (What::Again(of), state) if of_transaction(of, state) => self.again(number, of, true, now, out),
                (What::End(of), state) if of_transaction(of, state) => self.again(number, of, false, now, out),
                _ => {}
            }
        }
    }

    /// RFC 3261 §17.1.1.2 for INVITE (timers A and B), §17.1.2.2 for others (E and F).
    fn again(&mut self, number: Number, of: Method, resend: bool, now: u64, out: &mut Outbox) {
        let record = &mut self.records[number.slot as usize];
        let waiting = matches!(record.state, State::Ringing | State::Cancelled);
        let timeout = self.plan.timeout + if waiting { self.plan.ring } else { 0 };
        let elapsed = now - record.since;
        if elapsed >= timeout {
            let failure = match of {
                Method::Invite => Failure::InviteTimeout,
                Method::Bye => Failure::ByeTimeout,
                Method::Cancel => Failure::CancelTimeout,
                Method::Ack | Method::Other => Failure::ReinviteTimeout,
            };
            return self.end(self.call(number.slot), Err(failure));
        }
        record.sends = record.sends.saturating_add(u8::from(resend));
        let wait =
            if matches!(of, Method::Invite | Method::Other) { doubled(record.sends) } else { capped(record.sends) };
        if resend && self.plan.resend && !waiting {
            self.stats.resent += 1;
            match of {
                Method::Invite => self.send_invite(number.slot, out),
                Method::Cancel => self.send_cancel(number.slot, out),
                Method::Bye | Method::Ack | Method::Other => self.send_next(number.slot, out),
            }
        }
        // Where the next retransmission would come too late, only the end is waited for, in steps of T1.
        let last = !resend || elapsed + wait > timeout;
        let (wait, what) = if last { (T1, What::End(of)) } else { (wait, What::Again(of)) };
        self.timers.set(now, wait, number.slot, number.generation, what);
    }
}

/// Whether a timer that was set for a transaction still means it.
const fn of_transaction(of: Method, state: State) -> bool {
    match of {
        Method::Invite => matches!(state, State::Inviting | State::Ringing),
        Method::Cancel => matches!(state, State::Cancelling | State::Cancelled),
        Method::Other => matches!(state, State::Reinviting),
        Method::Bye => matches!(state, State::Byeing),
        Method::Ack => false,
    }
}
