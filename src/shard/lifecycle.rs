//! From running to gone: one word that the process writes and every shard reads once per turn.
//!
//! While draining, a shard that has nothing left stays until *all* have nothing left: it goes on to hand off what it receives for
//! others, and its place in the socket group is not given up while calls are being finished.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crossbeam::utils::CachePadded;

/// What the shards are to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Everything.
    Running,
    /// Refuse new calls, finish what runs, then end.
    Draining,
    /// End now.
    Stopped,
}

/// The phase, and how much each shard has left.
#[derive(Debug)]
pub struct Lifecycle {
    phase: AtomicU8,
    /// Transactions each shard has to finish; `usize::MAX` until it drains.
    left: Box<[CachePadded<AtomicUsize>]>,
}

impl Lifecycle {
    /// Running, for this many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let left = (0..shards).map(|_| CachePadded::new(AtomicUsize::new(usize::MAX))).collect();
        Self { phase: AtomicU8::new(Phase::Running as u8), left }
    }

    /// What the shards are to do.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Goes on to `phase`; there is no way back. Shards see it within [`crate::limits::IDLE_WAIT_MAX`].
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// For how many shards it was made.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.left.len()
    }

    /// A draining shard says what it has left; whether all shards may end.
    pub(super) fn all_finished(&self, shard: u32, left: usize) -> bool {
        self.left[shard as usize].store(left, Ordering::Release);
        self.left.iter().all(|left| left.load(Ordering::Acquire) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_only_goes_on() {
        let lifecycle = Lifecycle::new(1);
        assert_eq!(lifecycle.phase(), Phase::Running);
        lifecycle.advance(Phase::Stopped);
        lifecycle.advance(Phase::Draining);
        assert_eq!(lifecycle.phase(), Phase::Stopped);
    }

    #[test]
    fn nobody_is_finished_before_all_are() {
        let lifecycle = Lifecycle::new(2);
        assert!(!lifecycle.all_finished(0, 0));
        assert!(!lifecycle.all_finished(1, 3));
        assert!(!lifecycle.all_finished(0, 0));
        assert!(lifecycle.all_finished(1, 0));
        assert!(lifecycle.all_finished(0, 0));
    }
}
