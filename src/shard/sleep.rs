//! Whether a thread sleeps, so that others know whether to wake it.
//!
//! Protocol, one sleeper and any number of ringers:
//! - the sleeper says that it sleeps, passes a full fence, *then* looks whether work is there, and only then waits;
//! - a ringer puts its work where it is looked for, passes a full fence, *then* looks whether somebody sleeps.
//!
//! One of the two sees the other in every order: `tests/shared_models.rs` proves it.

use crate::sync::{AtomicBool, Ordering, fence};
use crossbeam::utils::CachePadded;

/// The sleep of one thread.
#[derive(Debug)]
pub(super) struct Sleep(CachePadded<AtomicBool>);

impl Sleep {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(AtomicBool::new(false)))
    }

    /// For a ringer whose work is in place: whether it must wake the sleeper. Of several one is told so.
    pub(super) fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        // The load spares the cache line a write when nobody sleeps.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }

    /// From here on a ringer wakes. The caller looks for work once more before it waits.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is up, whatever woke it.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
