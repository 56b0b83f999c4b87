//! The order of call load where destinations report their load: how full each is by what it said last, carried on to now.
//!
//! # Policy
//!
//! - A report is seconds old, and thousands of calls may have come since. Going by reports alone would send all of them to whoever was
//!   freest, until its next report. So what counts is the reported share, plus our calls since then as shares of its capacity, with the
//!   new call in it: a freer destination gets calls until it is as full as the others, and then takes turns with them.
//! - The capacity is the reported one; else `maxload`; else what those with a `maxload` have for their weight; else a guess of
//!   [`CALLS_PER_WEIGHT`] calls for the mean weight, or less where what was reported says that a call takes more than that. A guess
//!   that is too small only makes shares move in smaller steps, from report to report.
//! - A destination without a fresh report is as full as our calls make it, by the same capacity. Weight is in the capacity and counts
//!   nowhere else, but for weight 0, which comes last as ever. What starts slowly is as full as if it had that part of its capacity.

use core::time::Duration;

use super::report::{LoadFrom, ReportSpec, Reported};
use super::select::{Draft, Place};
use super::set::Destination;

/// Calls that a destination of mean weight is taken to hold when nobody says.
const CALLS_PER_WEIGHT: f64 = 100.0;

/// How full destinations are, where call load goes by reports.
#[derive(Debug)]
pub(super) struct Fullness {
    both: bool,
    max_age: Duration,
    /// By position: calls that it holds unless it reports another number.
    capacities: Box<[f64]>,
}

impl Fullness {
    /// None where call load goes by calls.
    pub(super) fn new(destinations: &[Destination], spec: &ReportSpec) -> Option<Self> {
        let weighted = || destinations.iter().filter(|destination| destination.weight > 0);
        let sum = |of: fn(&Destination) -> u32, which: fn(&Destination) -> bool| {
            weighted().filter(|it| which(it)).map(|it| f64::from(of(it))).sum::<f64>()
        };
        let known = sum(|it| it.weight, |it| it.maxload > 0);
        let per_weight = if known > 0.0 {
            sum(|it| it.maxload, |it| it.maxload > 0) / known
        } else {
            CALLS_PER_WEIGHT * weighted().count() as f64 / sum(|it| it.weight, |_| true)
        };
        let capacity = |it: &Destination| match it.maxload {
            0 => f64::from(it.weight) * per_weight,
            maxload => f64::from(maxload),
        };
        (spec.load_from != LoadFrom::Calls).then(|| Self {
            both: spec.load_from == LoadFrom::Both,
            max_age: spec.max_age,
            capacities: destinations.iter().map(capacity).collect(),
        })
    }

    /// What orders destinations: how full one more call would make it, as the bits of a positive number; weight 0 comes last.
    #[inline(never)]
    pub(super) fn of(&self, draft: &Draft<'_>, position: usize) -> u64 {
        let Some(Place { destination, states, now }) = draft.place(position) else { return u64::MAX };
        let calls = states.load(destination.state) + 1;
        if destination.weight == 0 {
            return 1 << 63 | calls;
        }
        let reported = states.fresh_report(destination.state, self.max_age, now);
        let capacity = self.capacity(destination, position, reported);
        let by_calls = calls as f64 / capacity;
        let full = match reported.and_then(|it| Some((it, it.report.in_use_permille?))) {
            Some((reported, share)) => {
                let since = calls as f64 - reported.calls as f64;
                let carried_on = (f64::from(share) / 1_000.0 + since / capacity).max(0.0);
                if self.both { carried_on.max(by_calls) } else { carried_on }
            }
            None => by_calls,
        };
        // Positive floats are in the order of their bits.
        (full / states.part(destination, now).ratio()).to_bits()
    }

    fn capacity(&self, destination: &Destination, position: usize, reported: Option<Reported>) -> f64 {
        let known = self.capacities.get(position).copied().unwrap_or(CALLS_PER_WEIGHT);
        let Some(Reported { report, calls, .. }) = reported else { return known };
        match (report.capacity, report.in_use_permille) {
            (Some(capacity), _) => f64::from(capacity),
            (None, Some(share)) if destination.maxload == 0 && share > 0 && calls > 0 => {
                known.min(calls as f64 * 1_000.0 / f64::from(share))
            }
            _ => known,
        }
    }
}

#[cfg(test)]
#[path = "tests/reported_load.rs"]
mod tests;
