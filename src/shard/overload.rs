//! What a shard does when more comes in than it keeps up with.
//!
//! A full receive buffer loses whatever comes next: of a call's six messages each one then needs several tries, every retransmission
//! adds to the load, and most of the work goes into calls that never complete. So before the buffer is full, or what waits there is
//! old, new calls are left out and those that have begun are served. A few of the new calls are refused, which costs an eighth of the
//! shard's work at most and tells their callers to come later ([`Shedding`]); the kernel drops the rest before it takes room, at next to
//! no cost, and the same INVITE comes again when there may be room.

use super::filter::{Filter, Sieve};
use super::socket::{Backlog, ShardSockets};
use crate::limits::{
    BATCH_DATAGRAMS, OVERLOAD_LOOK_INTERVAL, OVERLOAD_REPORT_MS, SHED_ABOVE, SHED_BELOW, SHED_OLDER, SHED_YOUNGER,
};
use crate::proxy::{Proxy, Shedding, Stats};
use crate::time::Instant;
use core::time::Duration;

/// Bytes of receive buffer that a datagram takes, at least: what waits is not older than this makes it.
const DATAGRAM_TAKES: f32 = 1_280.0;
/// Of so many datagrams of a turn one new call is refused at most.
const REFUSED_OF: u64 = 8;

/// Where datagrams come in.
pub(super) trait Inlet {
    /// A system call for each socket.
    fn backlog(&self) -> Backlog;

    /// Keeps new calls out but for those that the sieve lets through, or lets all in again; whether that is done.
    fn keep_out(&self, filter: &mut Filter, sieve: Option<Sieve>) -> bool;
}

impl Inlet for ShardSockets {
    fn backlog(&self) -> Backlog {
        Self::backlog(self)
    }

    fn keep_out(&self, filter: &mut Filter, sieve: Option<Sieve>) -> bool {
        let is_done = self.iter().all(|socket| filter.set(socket, sieve).is_ok());
        if sieve.is_some() && !is_done {
            self.iter().for_each(|socket| drop(filter.set(socket, None)));
        }
        is_done
    }
}

/// The call path, as far as new calls are concerned.
pub(super) trait Callers {
    fn stats(&self) -> &Stats;

    /// Whom one of those was addressed to that were left unanswered.
    fn left_out_host(&self) -> &[u8];
}

impl Callers for Proxy {
    fn stats(&self) -> &Stats {
        Self::stats(self)
    }

    fn left_out_host(&self) -> &[u8] {
        Self::left_out_host(self)
    }
}

/// New calls since the start: taken, and left out by the call path.
#[derive(Clone, Copy, Debug, Default)]
struct NewCalls {
    taken: u64,
    left_out: u64,
}

impl NewCalls {
    const fn of(stats: &Stats) -> Self {
        Self { taken: stats.calls, left_out: stats.refused_overload + stats.shed_unanswered }
    }

    /// Percent that were left out from `before` to `self`, with `shed` of which the kernel knows.
    fn loss_percent(self, before: Self, shed: u64) -> u32 {
        let left_out = self.left_out - before.left_out + shed;
        let all = left_out + self.taken - before.taken;
        (left_out * 100).checked_div(all).map_or(0, |percent| percent as u32)
    }
}

/// Counts at some moment.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    calls: NewCalls,
    received: u64,
    shed: u64,
}

/// Whether one shard leaves new calls out, and how.
#[derive(Debug)]
pub(super) struct Overload {
    filter: Filter,
    is_on: bool,
    /// The kernel does it.
    is_filtered: bool,
    sieve: Sieve,
    received_before: u64,
    drops_before: u64,
    /// When the sieve was last looked at, and the loss last reckoned.
    sieved: Mark,
    reckoned: Mark,
    loss_percent: u32,
    /// Datagrams that are read in a millisecond while there are more than are read in a turn; 0 until that was seen.
    per_ms: f32,
    /// When the last turn began, if it left something to the next.
    busy_since: Option<Instant>,
    /// Of the kernel's drops: what it kept out, and the rest.
    pub(super) shed: u64,
    pub(super) lost: u64,
}

impl Overload {
    pub(super) fn new(filter: Filter, now: Instant) -> Self {
        let mark = Mark { at: now, calls: NewCalls::default(), received: 0, shed: 0 };
        Self {
            filter,
            is_on: false,
            is_filtered: false,
            sieve: Sieve::default(),
            received_before: 0,
            drops_before: 0,
            sieved: mark,
            reckoned: mark,
            loss_percent: 0,
            per_ms: 0.0,
            busy_since: None,
            shed: 0,
            lost: 0,
        }
    }

    /// At the end of a turn that began at `now`, after `received` datagrams since the start: what the next one does about new calls. The
    /// sockets are asked only after a turn that may have left something there.
    pub(super) fn note(
        &mut self,
        now: Instant,
        received: u64,
        calls: &impl Callers,
        inlet: &impl Inlet,
    ) -> Option<Shedding> {
        let in_turn = received - self.received_before;
        self.received_before = received;
        let is_busy = in_turn >= BATCH_DATAGRAMS as u64;
        // A turn that waited says nothing about how fast it reads.
        if let Some(before) = core::mem::replace(&mut self.busy_since, is_busy.then_some(now)).filter(|_| is_busy) {
            self.pace(in_turn, now.saturating_since(before));
        }
        if self.is_on || is_busy {
            self.look(inlet);
            let mark = Mark { at: now, calls: NewCalls::of(calls.stats()), received, shed: self.shed };
            self.reckon(mark);
            self.sift(mark, calls, inlet);
        }
        let refusals = (in_turn / REFUSED_OF).max(1) as u32;
        self.is_on.then_some(Shedding { refusals, loss_percent: self.loss_percent })
    }

    /// The kernel has dropped so many since the sockets were opened.
    pub(super) fn count(&mut self, drops: u64) {
        let sort = if self.is_filtered { &mut self.shed } else { &mut self.lost };
        *sort += drops.saturating_sub(self.drops_before);
        self.drops_before = drops.max(self.drops_before);
    }

    /// How fast datagrams are read, over some turns.
    fn pace(&mut self, in_turn: u64, elapsed: Duration) {
        let ms = elapsed.as_secs_f32() * 1_000.0;
        if ms > 0.0 {
            let per_ms = in_turn as f32 / ms;
            self.per_ms = if self.per_ms > 0.0 { self.per_ms + (per_ms - self.per_ms) / 8.0 } else { per_ms };
        }
    }

    fn look(&mut self, inlet: &impl Inlet) {
        let backlog = inlet.backlog();
        self.count(backlog.drops);
        let age = self.age(backlog.bytes);
        let is_late = backlog.share >= SHED_ABOVE || age >= SHED_OLDER;
        let is_early = backlog.share < SHED_BELOW && age < SHED_YOUNGER;
        match self.is_on {
            false if is_late => {
                (self.is_on, self.is_filtered) = (true, inlet.keep_out(&mut self.filter, Some(self.sieve)))
            }
            // What does not come off is tried again after the next turn.
            true if is_early => self.is_on = self.is_filtered && !inlet.keep_out(&mut self.filter, None),
            _ => {}
        }
        self.is_filtered &= self.is_on;
    }

    /// How long what comes in now will wait, at most.
    fn age(&self, bytes: f32) -> Duration {
        match self.per_ms > 0.0 {
            true => Duration::from_secs_f32(bytes / DATAGRAM_TAKES / self.per_ms / 1_000.0),
            false => Duration::ZERO,
        }
    }

    /// What share of the new calls was left out lately, over times with and without overload.
    fn reckon(&mut self, mark: Mark) {
        if mark.at.saturating_since(self.reckoned.at) >= Duration::from_millis(u64::from(OVERLOAD_REPORT_MS)) {
            self.loss_percent = mark.calls.loss_percent(self.reckoned.calls, mark.shed - self.reckoned.shed);
            self.reckoned = mark;
        }
    }

    /// A finer or a coarser sieve, so that about as many new calls come through as are refused.
    fn sift(&mut self, mark: Mark, calls: &impl Callers, inlet: &impl Inlet) {
        if !self.is_filtered || mark.at.saturating_since(self.sieved.at) < OVERLOAD_LOOK_INTERVAL {
            return;
        }
        let came = (mark.calls.left_out - self.sieved.calls.left_out) * REFUSED_OF;
        let all = mark.received - self.sieved.received;
        self.sieved = mark;
        let sieve = match () {
            () if came > all => self.sieve.finer(),
            () if came * 4 < all => self.sieve.coarser(),
            () => self.sieve,
        };
        let is_same = sieve == core::mem::replace(&mut self.sieve, sieve);
        // No sieve is fine enough: they are addressed to a name that it does not know.
        let is_learned = is_same && came > all && self.filter.learn(calls.left_out_host());
        if !is_same || is_learned {
            self.is_filtered = inlet.keep_out(&mut self.filter, Some(sieve));
        }
    }
}

#[cfg(test)]
mod tests;
