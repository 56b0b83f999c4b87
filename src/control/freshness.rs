//! How old what is in force is: when it was read, and whether the last try to read it anew failed.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

/// When the config in force was read, with the list or the table that it names.
#[derive(Debug)]
pub struct Freshness {
    /// Seconds since 1970.
    read_at: AtomicU64,
    failed: AtomicBool,
}

impl Freshness {
    /// Read right now.
    pub(super) fn new() -> Self {
        Self { read_at: AtomicU64::new(now_s()), failed: AtomicBool::new(false) }
    }

    /// It was read anew.
    pub(super) fn renew(&self) {
        self.read_at.store(now_s(), Ordering::Relaxed);
        self.failed.store(false, Ordering::Relaxed);
    }

    /// It could not be read anew.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// When it was read, since 1970.
    #[must_use]
    pub fn read_at(&self) -> Duration {
        Duration::from_secs(self.read_at.load(Ordering::Relaxed))
    }

    /// How long ago that is.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_secs(now_s()).saturating_sub(self.read_at())
    }

    /// Whether the last try to read it anew failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
