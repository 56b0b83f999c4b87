//! What is counted on each side, and how long things took.

use crate::check::Violations;
use crate::mix::Kind;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Longest time that is told from longer ones, µs.
const LONGEST_US: u64 = 120_000_000;

/// How long something took, µs, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        // Invariant: 1 ≤ 1 × 2 ≤ LONGEST_US and three digits are bounds that the constructor takes.
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("constant bounds"))
    }

    /// Adds a time in nanoseconds.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record((nanoseconds / 1000).max(1));
    }

    /// A quantile, µs; 0 when there is nothing.
    pub(crate) fn us(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.0.max()
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

/// How a call ended that did not become what its kind wants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Failure {
    /// This final response instead of the right one.
    Status(u16),
    /// No final response to its INVITE, BYE, CANCEL or INVITE inside the dialog in time.
    InviteTimeout,
    ByeTimeout,
    CancelTimeout,
    ReinviteTimeout,
    /// A 2xx without a usable Contact or route, or one too long to be kept.
    Dialog,
    /// The run ended before the call did.
    Unfinished,
}

impl Failure {
    /// Its name in reports.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Status(status) => format!("status_{status}"),
            Self::InviteTimeout => "invite_timeout".into(),
            Self::ByeTimeout => "bye_timeout".into(),
            Self::CancelTimeout => "cancel_timeout".into(),
            Self::ReinviteTimeout => "reinvite_timeout".into(),
            Self::Dialog => "dialog".into(),
            Self::Unfinished => "unfinished".into(),
        }
    }
}

/// The callers' side.
#[derive(Debug)]
pub(crate) struct CallerStats {
    /// Calls that the schedule wanted.
    pub(crate) offered: u64,
    /// Calls whose INVITE was sent: those that found no room in our tables are missing.
    pub(crate) started: u64,
    /// Calls that became what their kind wants.
    pub(crate) completed: u64,
    pub(crate) by_kind: [u64; Kind::ALL.len()],
    pub(crate) failed: BTreeMap<Failure, u64>,
    /// Requests sent again.
    pub(crate) resent: u64,
    /// Responses that came again.
    pub(crate) repeated: u64,
    /// Datagrams that were no message of this run.
    pub(crate) foreign: u64,
    /// INVITE to 200, from the intended start.
    pub(crate) setup: Times,
    /// INVITE to 180, from the intended start.
    pub(crate) ringing: Times,
    /// How late INVITEs left.
    pub(crate) lag: Times,
    pub(crate) violations: Violations,
}

impl CallerStats {
    pub(crate) fn new() -> Self {
        Self {
            offered: 0,
            started: 0,
            completed: 0,
            by_kind: [0; Kind::ALL.len()],
            failed: BTreeMap::new(),
            resent: 0,
            repeated: 0,
            foreign: 0,
            setup: Times::new(),
            ringing: Times::new(),
            lag: Times::new(),
            violations: Violations::default(),
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// The callees' side.
#[derive(Debug, Default)]
pub(crate) struct CalleeStats {
    /// INVITEs that began a call, by callee.
    pub(crate) calls: Vec<u64>,
    /// 2xx to INVITEs, each counted once, and how many of them had their ACK.
    pub(crate) answered: u64,
    pub(crate) acked: u64,
    pub(crate) byes: u64,
    pub(crate) cancels: u64,
    /// INVITEs that moved to another callee.
    pub(crate) moved: u64,
    /// Final responses to INVITEs sent again.
    pub(crate) resent: u64,
    /// Requests that came again.
    pub(crate) repeated: u64,
    pub(crate) foreign: u64,
    pub(crate) violations: Violations,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_microseconds_and_the_longest_are_not_lost() {
        let mut times = Times::new();
        (1..=1000).for_each(|us| times.record(us * 1000));
        times.record(1);
        times.record(u64::MAX);
        assert!((499..=502).contains(&times.us(0.5)), "{}", times.us(0.5));
        assert_eq!(times.count(), 1002);
        assert!(times.max_us() >= LONGEST_US);
        assert_eq!(Times::new().us(0.99), 0);
    }
}
