//! Congestion: how much slower than on average a destination answers its probes, and shares that shrink with it (Kamailio's `cc`).
//!
//! # Policy
//!
//! - Congestion is estimate − average, never negative. Kamailio's shares know whole milliseconds only, and so do these.
//! - Under relative weight a destination with `cc` has max(0, `weight` − congestion in ms) in the place of its `rweight`. When nothing
//!   of that is left to anybody, shares are (sum of all congestions × 16) / own congestion.
//! - Probes say when a congestion has changed; the prober turns what they said into a new epoch at its own pace, and whoever shares by
//!   congestion writes its view anew then: a few times a second at most, however many probes there are.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use super::select::{Draft, weights};
use super::set::Destination;
use super::state::{StateIndex, States};
use super::weight::Shares;

/// When congestions changed.
#[derive(Default)]
pub(super) struct CongestionEpoch {
    epoch: AtomicU64,
    news: AtomicBool,
}

impl CongestionEpoch {
    /// A congestion has another whole number of milliseconds.
    pub(super) fn tell(&self) {
        self.news.store(true, Ordering::Release);
    }
}

/// Who takes part, with how much, when nobody is congested.
pub(super) fn shares(destinations: &[Destination]) -> Shares {
    if destinations.iter().any(|destination| destination.cc) {
        return Shares::congestible(weights(destinations, |it| if it.cc { it.weight } else { it.rweight }));
    }
    Shares::new(weights(destinations, |it| it.rweight))
}

/// How congestion makes weights smaller in one set at one moment.
pub(super) struct Scale {
    /// The sum of congestions when that leaves nothing to anybody.
    total: Option<u64>,
}

impl Scale {
    /// The scale of those with these weights and congestions, ms.
    pub(super) fn new(members: impl Iterator<Item = (u64, u64)>) -> Self {
        let (mut total, mut left) = (0, false);
        for (weight, congestion) in members {
            total += congestion;
            left |= weight > congestion;
        }
        Self { total: (!left).then_some(total) }
    }

    /// What is left of `weight`.
    pub(super) fn weight(&self, weight: u64, congestion: u64) -> u64 {
        match self.total {
            None => weight.saturating_sub(congestion),
            // It may have ended since the total was taken.
            Some(total) => (total << 4) / congestion.max(1),
        }
    }
}

impl Draft<'_> {
    /// Whole milliseconds; 0 without `cc`.
    pub(super) fn congestion_ms(&self, position: usize) -> u64 {
        let known = self.known(position).filter(|(destination, _)| destination.cc);
        known.map_or(0, |(destination, states)| states.congestion(destination.state).as_millis() as u64)
    }

    /// A number that grows with [`Draft::epoch`] and when congestions have changed.
    pub(super) fn congestion_epoch(&self) -> u64 {
        // Both only grow, so their sum is the same only while both are.
        self.known(0).map_or(0, |(_, states)| states.congestion.epoch.load(Ordering::Acquire)) + self.epoch()
    }
}

impl States {
    /// How much slower its probes were answered of late than on average; zero when they were not.
    #[must_use]
    pub fn congestion(&self, index: StateIndex) -> Duration {
        self.probed(index).map_or(Duration::ZERO, |probed| Duration::from_nanos(probed.congestion_ns() as u64))
    }

    /// Has shares follow the congestions that changed since the last time. For the prober alone, a few times a second.
    pub fn publish_congestion(&self) {
        if self.congestion.news.swap(false, Ordering::Acquire) {
            self.congestion.epoch.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
#[path = "tests/congestion.rs"]
mod tests;
