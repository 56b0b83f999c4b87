//! What one thread publishes of a destination and all others read without a lock: its standing with the epoch, and who holds its slot.
//!
//! # Invariants, which `tests/shared_models.rs` proves
//!
//! - A reader that sees an epoch also sees every change that it stands for; one that sees a destination available also sees since when.
//! - A slot is taken only when no table holds it and its load is 0, and stays 0: only a table gives out tokens.

use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Whether a standing lets new requests through.
pub(super) type IsAvailable = fn(u8) -> bool;

/// Where one destination's standing is, and what goes with it.
pub(super) struct Published<'a> {
    pub(super) standing: &'a AtomicU8,
    /// Since when it is available again, ns; 0: it always was.
    pub(super) since_ns: &'a AtomicU64,
    /// Grows with every change of availability of any destination.
    pub(super) epoch: &'a AtomicU64,
}

impl Published<'_> {
    /// Changes the standing to what `to` makes of it, at `now_ns`; whether that is news.
    pub(super) fn change(&self, now_ns: u64, to: impl Fn(u8) -> u8, is_available: IsAvailable) -> bool {
        let changed = self.standing.fetch_update(Ordering::Release, Ordering::Relaxed, |old| {
            let new = to(old);
            if is_available(new) && !is_available(old) {
                // Before the standing says so: whoever sees it available sees since when. Nobody looks until then.
                self.since_ns.store(now_ns, Ordering::Relaxed);
            }
            (new != old).then_some(new)
        });
        let Ok(old) = changed else { return false };
        if is_available(to(old)) != is_available(old) {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        true
    }
}

/// The standing now.
#[inline]
pub(super) fn standing(word: &AtomicU8) -> u8 {
    word.load(Ordering::Acquire)
}

/// The epoch now.
#[inline]
pub(super) fn epoch(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}

/// How many living tables hold a slot.
#[derive(Default)]
pub(super) struct Holders(AtomicU32);

impl Holders {
    /// One more, beside one that does already.
    pub(super) fn join(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer.
    pub(super) fn leave(&self) {
        // Release: what was done through that table happens before the slot is claimed again.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Takes the slot, whose load is `load`, for one table; `false` when it is not free.
    pub(super) fn claim(&self, load: &AtomicU64) -> bool {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // Only a table gives out tokens, and none holds the slot: its load can only fall, and 0 stays 0.
        let is_free = load.load(Ordering::Relaxed) == 0;
        if !is_free {
            self.leave();
        }
        is_free
    }
}
