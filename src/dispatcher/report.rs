//! The load that destinations report of themselves: how it is written, what is kept of it, and how long it counts.
//!
//! # Policy
//!
//! - A report says what share of the destination's capacity is in use, or its capacity in calls, or both ([`Report::parse`]). What is
//!   written in any other way is counted and ignored: half a number is no number.
//! - [`States::report_load`] is the only way in, whoever brings the report.
//! - A report counts for [`ReportSpec::max_age`] and then no longer; nothing has to happen for that.
//! - It comes every few seconds, and calls come all the time: with a report the calls of that moment are kept, so that a reader can
//!   carry it on ([`super::reported_load`]). They are those of the moment when it was asked for, or of now where these are fewer: calls
//!   that began in between count twice rather than not at all.
//!
//! # Invariants
//!
//! - Share, capacity and calls of one report are one word: a reader never mixes two reports. Its time is another word, and may be that
//!   of the next report for a moment, which changes nothing but how old it is taken to be.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::spec::HeaderName;
use super::state::{StateIndex, States};
use crate::time::Instant;

/// All of a capacity, in the unit of [`Report::in_use_permille`].
const ALL: u16 = 1_000;

/// Largest capacity that can be reported, calls.
pub const REPORTED_CAPACITY_MAX: u32 = (1 << FIELD_BITS) - 1;

/// Longest report, bytes: more digits than these mean nothing.
const REPORT_BYTES_MAX: usize = 32;

/// Bits of the capacity and of the calls in a word; the share has the rest.
const FIELD_BITS: u32 = 26;
const FIELD: u64 = (1 << FIELD_BITS) - 1;
/// The share of a report that says none.
const NO_SHARE: u16 = (1 << (64 - 2 * FIELD_BITS)) - 1;

/// What a destination says of itself; at least one of both is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Share of its capacity that is in use, thousandths, 0 to 1000.
    pub in_use_permille: Option<u16>,
    /// Calls that it can have at once, 1 to [`REPORTED_CAPACITY_MAX`].
    pub capacity: Option<u32>,
}

impl Report {
    /// Reads `IN_USE`, `IN_USE/CAPACITY` or `/CAPACITY`; `None` for all else.
    ///
    /// `CAPACITY` is a whole number of calls, 1 to [`REPORTED_CAPACITY_MAX`]. `IN_USE` is a share, `0.00` to `1.00` with a point or `0%`
    /// to `100%`, or, before a capacity, a whole number of calls (more than the capacity is all of it). A whole number alone is
    /// nothing: 1 could be all or a hundredth. White space around it does not count.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text.trim_ascii()).ok().filter(|text| text.len() <= REPORT_BYTES_MAX)?;
        let Some((in_use, capacity)) = text.split_once('/') else {
            return Some(Self { in_use_permille: Some(share(text)?), capacity: None });
        };
        let capacity = whole(capacity).filter(|capacity| (1..=u64::from(REPORTED_CAPACITY_MAX)).contains(capacity))?;
        let in_use_permille = match whole(in_use) {
            // At most ALL, which fits.
            Some(calls) => Some((calls.min(capacity) * u64::from(ALL) / capacity) as u16),
            None if in_use.is_empty() => None,
            None => Some(share(in_use)?),
        };
        Some(Self { in_use_permille, capacity: Some(capacity as u32) })
    }
}

/// A share in thousandths, cut off behind them: `0.573`, `57.3%`.
fn share(text: &str) -> Option<u16> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent, 10),
        None => (text, ALL),
    };
    let (ones, fraction) = number.split_once('.').unwrap_or((number, if scale == ALL { "" } else { "0" }));
    whole(fraction)?;
    let digits = format!("{fraction:0<3}");
    let below_one = whole(&digits[..3])? * u64::from(scale) / 1_000;
    let permille = whole(ones)?.checked_mul(scale.into())?.checked_add(below_one)?;
    let beyond = permille == u64::from(ALL) && fraction.bytes().any(|digit| digit != b'0');
    u16::try_from(permille).ok().filter(|permille| *permille <= ALL && !beyond)
}

/// A number of digits alone: no sign, not nothing.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What call load goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LoadFrom {
    /// The calls that we sent there, relative to weight. Reports are kept and change no order.
    #[default]
    Calls,
    /// The reported share of capacity in use, carried on by our calls since; our calls relative to capacity where there is none.
    Reported,
    /// The higher one of both: the reported share, and our calls relative to capacity.
    Both,
}

/// How a set takes the reports of its destinations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportSpec {
    /// The header that carries the report in answers to probes; none: nothing is read.
    pub header: Option<HeaderName>,
    /// What call load goes by.
    pub load_from: LoadFrom,
    /// How long a report counts.
    pub max_age: Duration,
    /// Whether a reported capacity bounds the calls of a destination as `maxload` does; of two bounds the smaller one holds.
    pub bounds: bool,
}

impl Default for ReportSpec {
    fn default() -> Self {
        Self { header: None, load_from: LoadFrom::Calls, max_age: Duration::from_secs(15), bounds: false }
    }
}

/// What is known from the reports of one destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    /// The last report.
    pub report: Report,
    /// When it came.
    pub at: Instant,
    /// Calls of ours that it stands for.
    pub calls: u64,
}

/// How many reports came from one destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportCounts {
    /// Those that could be read.
    pub taken: u64,
    /// Those that could not, and were ignored.
    pub ignored: u64,
}

/// The atomics of one slot; all zero is a destination that never reported.
#[derive(Default)]
pub(super) struct ReportCells {
    /// Share, capacity and calls of the last report.
    word: AtomicU64,
    /// 0: there is none.
    at_ns: AtomicU64,
    /// Calls when the next report was asked for, plus one; 0: it was not.
    asked: AtomicU64,
    taken: AtomicU64,
    ignored: AtomicU64,
}

impl ReportCells {
    pub(super) fn reset(&self) {
        // The time first: without it nobody looks at the rest.
        let cells = [&self.at_ns, &self.word, &self.asked, &self.taken, &self.ignored];
        cells.into_iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }

    fn read(&self) -> Option<Reported> {
        let at_ns = self.at_ns.load(Ordering::Acquire);
        (at_ns > 0).then(|| unpacked(self.word.load(Ordering::Relaxed), Instant::from_nanos(at_ns)))
    }
}

impl States {
    /// A report came at `now`. It replaces the one before; wait-free.
    pub fn report_load(&self, index: StateIndex, report: Report, now: Instant) {
        let cells = &self.slot(index).vitals.report;
        let calls = self.load(index);
        let calls = match cells.asked.swap(0, Ordering::Relaxed) {
            0 => calls,
            asked => calls.min(asked - 1),
        };
        cells.word.store(packed(report, calls), Ordering::Relaxed);
        cells.at_ns.store(now.as_nanos(), Ordering::Release);
        cells.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// A report came that cannot be read: it changes nothing but the count.
    pub fn ignore_report(&self, index: StateIndex) {
        self.slot(index).vitals.report.ignored.fetch_add(1, Ordering::Relaxed);
    }

    /// A report is asked for, which will come later: it will not stand for calls that begin from now on.
    pub fn ask_report(&self, index: StateIndex) {
        let calls = self.load(index);
        self.slot(index).vitals.report.asked.store(calls.saturating_add(1), Ordering::Relaxed);
    }

    /// The last report, however old; none before the first.
    #[must_use]
    pub fn reported(&self, index: StateIndex) -> Option<Reported> {
        self.slot(index).vitals.report.read()
    }

    /// The last report, unless it is older than `max_age` at `now`. Two loads.
    #[must_use]
    pub fn fresh_report(&self, index: StateIndex, max_age: Duration, now: Instant) -> Option<Reported> {
        self.reported(index).filter(|reported| now.saturating_since(reported.at) <= max_age)
    }

    /// How many reports came.
    #[must_use]
    pub fn report_counts(&self, index: StateIndex) -> ReportCounts {
        let cells = &self.slot(index).vitals.report;
        ReportCounts { taken: cells.taken.load(Ordering::Relaxed), ignored: cells.ignored.load(Ordering::Relaxed) }
    }
}

fn packed(report: Report, calls: u64) -> u64 {
    let share = report.in_use_permille.map_or(NO_SHARE, |share| share.min(ALL));
    let capacity = u64::from(report.capacity.unwrap_or(0)).min(FIELD);
    u64::from(share) << (2 * FIELD_BITS) | capacity << FIELD_BITS | calls.min(FIELD)
}

fn unpacked(word: u64, at: Instant) -> Reported {
    let share = (word >> (2 * FIELD_BITS)) as u16;
    let capacity = (word >> FIELD_BITS & FIELD) as u32;
    let in_use_permille = (share != NO_SHARE).then_some(share);
    Reported {
        report: Report { in_use_permille, capacity: (capacity > 0).then_some(capacity) },
        at,
        calls: word & FIELD,
    }
}

#[cfg(test)]
#[path = "tests/report.rs"]
mod tests;
