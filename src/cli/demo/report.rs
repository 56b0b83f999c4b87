//! What came of the caller's calls: numbers to watch while they run ([`Tally`]), the account at the end ([`Report`]).

use crate::limits;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Numbers that grow while calls run.
#[derive(Debug, Default)]
pub struct Tally {
    answered: AtomicU64,
    unanswered: AtomicU64,
}

impl Tally {
    /// Calls that got a 200.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Calls that ended without a 200.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    pub(super) fn count_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_unanswered(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The account of all calls of a run.
#[derive(Debug)]
pub struct Report {
    /// INVITEs that began a call.
    pub placed: u64,
    /// Calls that got a 200.
    pub answered: u64,
    /// Calls that went by the book from the INVITE to the 200 to the BYE.
    pub completed: u64,
    /// Final answers other than 2xx to INVITEs, by code.
    pub refused: BTreeMap<u16, u64>,
    /// Requests that the caller had to send again.
    pub retransmissions: u64,
    /// Final answers and BYEs that came once more.
    pub repeats: u64,
    /// Calls whose tag in To changed between 180 and 200: they were failed over while ringing.
    pub moved: u64,
    /// How many things were wrong with messages that came: see [`Report::faults`].
    pub fault_count: u64,
    /// The first [`limits::DEMO_FAULTS_KEPT`] of them, with their Call-IDs.
    pub faults: Vec<String>,
    /// Calls by the address in the Contact of their 200.
    pub answered_by: BTreeMap<SocketAddr, u64>,
    /// From the INVITE to its 180, µs.
    pub ringing_us: Histogram<u64>,
    /// From the INVITE to its 200, µs; the callee's ringing is part of it.
    pub setup_us: Histogram<u64>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            placed: 0,
            answered: 0,
            completed: 0,
            refused: BTreeMap::new(),
            retransmissions: 0,
            repeats: 0,
            moved: 0,
            fault_count: 0,
            faults: Vec::new(),
            answered_by: BTreeMap::new(),
            ringing_us: histogram(),
            setup_us: histogram(),
        }
    }

    /// Calls that did not go by the book, whatever the reason.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.placed - self.completed
    }

    pub(super) fn fault(&mut self, text: String) {
        self.fault_count += 1;
        if self.faults.len() < limits::DEMO_FAULTS_KEPT {
            self.faults.push(text);
        }
    }

    /// Adds another caller's account.
    pub(super) fn merge(&mut self, other: Self) {
        self.placed += other.placed;
        self.answered += other.answered;
        self.completed += other.completed;
        self.retransmissions += other.retransmissions;
        self.repeats += other.repeats;
        self.moved += other.moved;
        other.refused.into_iter().for_each(|(code, count)| *self.refused.entry(code).or_default() += count);
        other.answered_by.into_iter().for_each(|(by, count)| *self.answered_by.entry(by).or_default() += count);
        let kept = other.faults.len() as u64;
        other.faults.into_iter().for_each(|text| self.fault(text));
        self.fault_count += other.fault_count - kept;
        merge(&mut self.ringing_us, &other.ringing_us);
        merge(&mut self.setup_us, &other.setup_us);
    }
}

/// Longest time that is told apart, µs.
const LONGEST_US: u64 = 600_000_000;

fn histogram() -> Histogram<u64> {
    // Invariant: the bounds and 3 digits are what the type accepts.
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds")
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    // Invariant: both have the bounds of `histogram`, so that nothing is out of range.
    let _ = into.add(from);
}

/// Counts `time` in `histogram`, what is too long as the longest.
pub(super) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_accounts_add_up_and_keep_few_faults() {
        let mut one = Report::new();
        let mut other = Report::new();
        (one.placed, one.completed, other.placed, other.completed) = (3, 2, 5, 5);
        other.refused.insert(503, 2);
        (0..2 * limits::DEMO_FAULTS_KEPT).for_each(|number| other.fault(number.to_string()));
        record(&mut other.setup_us, Duration::from_millis(200));
        record(&mut other.setup_us, Duration::MAX);
        one.merge(other);
        assert_eq!((one.placed, one.lost(), one.refused[&503]), (8, 1, 2));
        assert_eq!(
            (one.fault_count, one.faults.len()),
            (2 * limits::DEMO_FAULTS_KEPT as u64, limits::DEMO_FAULTS_KEPT)
        );
        assert_eq!(one.setup_us.len(), 2);
    }
}
