//! What a destination says about its own overload, and which requests are kept from it for that (RFC 7339, RFC 7415).
//!
//! # Policy
//!
//! - A report counts until its validity ends, or until it is called off. A newer one has a higher sequence number; while one
//!   counts, an equal or lower number is a repetition or came late, and is not obeyed (RFC 7339 §5.4). Once nothing counts any
//!   more any number is taken: a destination that starts anew may count from the beginning.
//! - Loss: of each hundred requests that would go there as many are shed as the report says, in any window of a hundred, by a
//!   running debt and not by chance (RFC 7339 §7). A request that is shed goes only to destinations that shed nothing themselves
//!   (§5.10: who gets more must not be in overload), else it has no target in its set.
//! - Rate: a bucket like that of `calls_per_second_max`, of its own (RFC 7415 §3.5).
//! - Prioritized requests are admitted first and owed by the others, up to a bound: then they are shed as well (RFC 7339
//!   §5.10.1, RFC 7415 §3.5.2).
//!
//! # Invariant
//!
//! One shard at a time writes a report; one that comes at the same moment is left out, and heard when it is repeated. Readers
//! look at one word after the other: for the moment of a change they may see the new report with the old end.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use core::time::Duration;

use super::gate::{Rate, change};
use super::state::{StateIndex, States};
use crate::limits::OVERLOAD_VALIDITY_MAX;
use crate::time::Instant;

/// How long a report that ends overload keeps older ones out: T4, as long as a message stays in the network (RFC 3261 §17.1.2.2).
const OLDER_REPORTS: Duration = Duration::from_secs(5);

/// What prioritized requests may leave owing, in hundredths of a request: a hundred requests.
const DEBT_MAX: u64 = 100 * 100;

/// How far prioritized requests may be ahead of the rate.
const AHEAD_MAX_NS: u64 = 1_000_000_000;

/// The overload control algorithm that a destination chose of those that it was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverloadAlgorithm {
    /// The value is how many of a hundred requests it does not want (RFC 7339 §7).
    Loss,
    /// The value is how many requests it wants in a second at most (RFC 7415).
    Rate,
}

/// What a destination, or an operator in its place, says about its overload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverloadReport {
    /// What the value means.
    pub algorithm: OverloadAlgorithm,
    /// Percent, at most 100, or requests per second (`oc`).
    pub value: u32,
    /// How long it counts, at most [`OVERLOAD_VALIDITY_MAX`]; zero: overload is over (`oc-validity`).
    pub validity: Duration,
    /// Higher in each newer report: `oc-seq` times 100,000.
    pub sequence: u64,
}

/// What an operator says about the loss of one destination (Kamailio's attributes of these names); percent, 0 to 100.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverloadBounds {
    /// A report of less counts as this much.
    pub ocmin: u8,
    /// A report of more counts as this much, also where `ocmin` is larger.
    pub ocmax: u8,
    /// The loss while there is no report.
    pub ocrate: u8,
}

impl Default for OverloadBounds {
    fn default() -> Self {
        Self { ocmin: 0, ocmax: 100, ocrate: 0 }
    }
}

/// What is known about the overload of one destination, for people to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overload {
    /// What counts now, within the bounds: algorithm and value; none without a report and without `ocrate`.
    pub in_force: Option<(OverloadAlgorithm, u32)>,
    /// When the last report ends, or has ended.
    pub valid_until: Instant,
    /// Of the last report; 0 before the first one.
    pub sequence: u64,
    /// Requests that were kept from it so far.
    pub shed: u64,
}

/// How a request comes to a destination: [`States::admits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// It is the first target of its set, for which selection has drawn the loss already.
    pub is_first: bool,
    /// It goes before others (RFC 7339 §5.10.1).
    pub is_prioritized: bool,
}

/// The overload of one slot; all zero is a destination that never said anything.
#[derive(Default)]
pub(super) struct OverloadCells {
    /// Odd while somebody writes a report.
    version: AtomicU64,
    /// 0 for none, else the algorithm above bit 32 and the value.
    report: AtomicU64,
    /// Until when the report counts; without one, until when older reports are kept out.
    until_ns: AtomicU64,
    sequence: AtomicU64,
    /// `ocmin`, 100 - `ocmax` and `ocrate`, a byte each.
    bounds: AtomicU32,
    /// Loss that is owed, in hundredths of a request.
    debt: AtomicU64,
    /// When the next request is due by the rate.
    arrival_ns: AtomicU64,
    shed: AtomicU64,
}

const LOSS: u64 = 1 << 32;
const RATE: u64 = 2 << 32;

impl OverloadCells {
    pub(super) fn reset(&self) {
        let words = [&self.report, &self.until_ns, &self.sequence, &self.debt, &self.arrival_ns, &self.shed];
        words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.bounds.store(0, Ordering::Relaxed);
    }

    fn bounds(&self) -> OverloadBounds {
        let [ocmin, below, ocrate, _] = self.bounds.load(Ordering::Relaxed).to_le_bytes();
        OverloadBounds { ocmin, ocmax: 100 - below.min(100), ocrate }
    }

    /// The report that counts at `now`.
    fn report(&self, now: Instant) -> Option<(OverloadAlgorithm, u32)> {
        let report = self.report.load(Ordering::Acquire);
        if report == 0 || self.until_ns.load(Ordering::Acquire) <= now.as_nanos() {
            return None;
        }
        let algorithm = if report & RATE == 0 { OverloadAlgorithm::Loss } else { OverloadAlgorithm::Rate };
        Some((algorithm, report as u32))
    }

    fn loss_percent(&self, now: Instant) -> u32 {
        match self.report(now) {
            Some((OverloadAlgorithm::Loss, percent)) => percent,
            Some((OverloadAlgorithm::Rate, _)) => 0,
            None => self.bounds().ocrate.into(),
        }
    }

    /// The bucket of the rate that counts at `now`: none without a rate, and nothing in it for a rate of 0.
    fn rate(&self, is_prioritized: bool, now: Instant) -> Option<Option<Rate>> {
        let Some((OverloadAlgorithm::Rate, calls)) = self.report(now) else { return None };
        let rate = Rate::per_second(calls);
        // RFC 7415 §3.5.2: a higher threshold for those that go first.
        Some((calls > 0).then_some(if is_prioritized { Rate { tolerance_ns: AHEAD_MAX_NS, ..rate } } else { rate }))
    }

    /// RFC 7339 §5.4: only a higher number is news while another report counts.
    fn is_news(&self, report: &OverloadReport, now: Instant) -> bool {
        self.until_ns.load(Ordering::Relaxed) <= now.as_nanos()
            || report.sequence > self.sequence.load(Ordering::Relaxed)
    }

    fn take(&self, report: &OverloadReport, now: Instant) -> bool {
        // Most responses repeat what the last one said: they cost two looks.
        if !self.is_news(report, now) {
            return false;
        }
        let version = self.version.load(Ordering::Relaxed);
        let taken = |from| self.version.compare_exchange(from, from + 1, Ordering::Acquire, Ordering::Relaxed);
        if version % 2 == 1 || taken(version).is_err() {
            return false;
        }
        fence(Ordering::Release);
        let is_news = self.is_news(report, now);
        if is_news {
            self.write(report, now);
        }
        self.version.store(version + 2, Ordering::Release);
        is_news
    }

    fn write(&self, report: &OverloadReport, now: Instant) {
        let OverloadBounds { ocmin, ocmax, .. } = self.bounds();
        let word = match report.algorithm {
            // RFC 7339 §5.7: without validity the value is disregarded.
            _ if report.validity.is_zero() => 0,
            OverloadAlgorithm::Loss => LOSS | u64::from(report.value.max(ocmin.into()).min(ocmax.into())),
            OverloadAlgorithm::Rate => RATE | u64::from(report.value),
        };
        if self.report(now).is_none() {
            self.debt.store(0, Ordering::Relaxed);
        }
        let lasts = if word == 0 { OLDER_REPORTS } else { report.validity.min(OVERLOAD_VALIDITY_MAX) };
        self.sequence.store(report.sequence, Ordering::Relaxed);
        self.report.store(word, Ordering::Release);
        self.until_ns.store((now + lasts).as_nanos(), Ordering::Release);
    }

    /// Whether the loss sheds a request: one of those that it counts.
    fn draws(&self, is_prioritized: bool, now: Instant) -> bool {
        let percent = u64::from(self.loss_percent(now));
        if percent == 0 {
            return false;
        }
        let after = |debt: u64| debt + percent - if is_due(debt + percent, is_prioritized) { 100 } else { 0 };
        let step = self.debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |debt| Some(after(debt)));
        let (Ok(debt) | Err(debt)) = step;
        is_due(debt + percent, is_prioritized)
    }

    /// What [`OverloadCells::draws`] would say: a look.
    fn would_draw(&self, is_prioritized: bool, now: Instant) -> bool {
        let percent = u64::from(self.loss_percent(now));
        percent > 0 && is_due(self.debt.load(Ordering::Relaxed) + percent, is_prioritized)
    }

    /// Takes a place in the bucket of the rate; false when there is none.
    fn takes_turn(&self, is_prioritized: bool, now: Instant) -> bool {
        self.rate(is_prioritized, now).is_none_or(|rate| {
            rate.is_some_and(|rate| change(&self.arrival_ns, |due| rate.advance(due, now.as_nanos())).is_some())
        })
    }
}

/// Whether what is `owed`, in hundredths of a request, is to be paid by this one.
const fn is_due(owed: u64, is_prioritized: bool) -> bool {
    if is_prioritized { owed > DEBT_MAX } else { owed >= 100 }
}

impl States {
    /// Obeys a report of the destination, or of an operator, that comes at `now`; true when it is news. A loss is brought within
    /// the destination's [`OverloadBounds`]. It counts where the set has overload control.
    pub fn set_overload(&self, index: StateIndex, report: &OverloadReport, now: Instant) -> bool {
        self.slot(index).vitals.overload.take(report, now)
    }

    /// What is known of its overload at `now`; each part is exact, together they may be a report apart.
    #[must_use]
    pub fn overload(&self, index: StateIndex, now: Instant) -> Overload {
        let cells = &self.slot(index).vitals.overload;
        let fixed = || Some(u32::from(cells.bounds().ocrate)).filter(|percent| *percent > 0);
        Overload {
            in_force: cells.report(now).or_else(|| fixed().map(|percent| (OverloadAlgorithm::Loss, percent))),
            valid_until: Instant::from_nanos(cells.until_ns.load(Ordering::Relaxed)),
            sequence: cells.sequence.load(Ordering::Relaxed),
            shed: cells.shed.load(Ordering::Relaxed),
        }
    }

    /// Whether a request may be sent there at `now`; decided once for each request, when its turn comes. To be asked only where
    /// the set has overload control.
    #[must_use]
    pub fn admits(&self, index: StateIndex, attempt: Attempt, now: Instant) -> bool {
        let cells = &self.slot(index).vitals.overload;
        let is_shed = !attempt.is_first && cells.draws(attempt.is_prioritized, now);
        let admitted = !is_shed && cells.takes_turn(attempt.is_prioritized, now);
        cells.shed.fetch_add(u64::from(!admitted), Ordering::Relaxed);
        admitted
    }

    /// Whether its loss sheds the request that would go there first: a draw.
    pub(super) fn sheds(&self, index: StateIndex, is_prioritized: bool, now: Instant) -> bool {
        let cells = &self.slot(index).vitals.overload;
        let is_shed = cells.draws(is_prioritized, now);
        cells.shed.fetch_add(u64::from(is_shed), Ordering::Relaxed);
        is_shed
    }

    /// What [`States::sheds`] would say: a look.
    pub(super) fn would_shed(&self, index: StateIndex, is_prioritized: bool, now: Instant) -> bool {
        self.slot(index).vitals.overload.would_draw(is_prioritized, now)
    }

    /// Whether it sheds a part of its requests.
    pub(super) fn has_loss(&self, index: StateIndex, now: Instant) -> bool {
        self.slot(index).vitals.overload.loss_percent(now) > 0
    }

    /// Whether the rate that it wants has room for a request: a look, which promises nothing.
    pub(super) fn has_turn(&self, index: StateIndex, is_prioritized: bool, now: Instant) -> bool {
        let cells = &self.slot(index).vitals.overload;
        let due = || cells.arrival_ns.load(Ordering::Relaxed);
        cells
            .rate(is_prioritized, now)
            .is_none_or(|rate| rate.is_some_and(|rate| rate.advance(due(), now.as_nanos()).is_some()))
    }

    /// Records what the config says; reports that come from now on are brought within it.
    pub(super) fn bound_overload(&self, index: StateIndex, bounds: OverloadBounds) {
        let OverloadBounds { ocmin, ocmax, ocrate } = bounds;
        let packed = [ocmin.min(100), 100 - ocmax.min(100), ocrate.min(100), 0];
        self.slot(index).vitals.overload.bounds.store(u32::from_le_bytes(packed), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "tests/overload.rs"]
mod tests;
