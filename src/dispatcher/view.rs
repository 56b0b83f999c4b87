//! Whose turn it is among the available ones: a small table that any shard makes anew when availability has changed.
//!
//! # Invariants
//!
//! - One shard at a time writes ([`View::refresh`] takes the version from even to odd); nobody waits for it. A reader that
//!   meets a writer, or finds afterwards that there was one, gets nothing and helps itself otherwise.
//! - What a reader gets was all written for one epoch: the version is the same before and after.
//! - The memory is there from the beginning; nothing is allocated later.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// The turns of a cycle, and to whom each belongs.
#[derive(Debug)]
pub(super) struct View {
    /// Odd while somebody writes.
    version: AtomicU64,
    /// The availability epoch that it was written for.
    epoch: AtomicU64,
    turns: AtomicU64,
    /// Every turn goes this far among the points 0..turns; 0 when every turn has an entry of its own.
    stride: AtomicU64,
    count: AtomicU64,
    owners: Box<[AtomicU32]>,
    /// First point that no longer belongs to the owner; only with a stride.
    ends: Box<[AtomicU64]>,
}

/// What a view is written with.
pub(super) struct Writer<'a> {
    view: &'a View,
    count: usize,
}

impl View {
    /// Room for `owners` entries, with ends of their points or without.
    pub(super) fn new(owners: usize, with_ends: bool) -> Self {
        let ends = if with_ends { owners } else { 0 };
        Self {
            version: AtomicU64::new(0),
            epoch: AtomicU64::new(u64::MAX),
            turns: AtomicU64::new(0),
            stride: AtomicU64::new(0),
            count: AtomicU64::new(0),
            owners: (0..owners).map(|_| AtomicU32::new(0)).collect(),
            ends: (0..ends).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Has `write` make the view for `epoch` unless that is done or somebody else is at it. `write` gives turns and stride.
    pub(super) fn refresh(&self, epoch: u64, write: impl FnOnce(&mut Writer<'_>) -> (u64, u64)) {
        if self.epoch.load(Ordering::Relaxed) == epoch {
            return;
        }
        let version = self.version.load(Ordering::Relaxed);
        let taken = |from| self.version.compare_exchange(from, from + 1, Ordering::Acquire, Ordering::Relaxed);
        if version % 2 == 1 || taken(version).is_err() {
            return;
        }
        fence(Ordering::Release);
        let mut writer = Writer { view: self, count: 0 };
        let (turns, stride) = write(&mut writer);
        self.count.store(writer.count as u64, Ordering::Relaxed);
        self.turns.store(turns, Ordering::Relaxed);
        self.stride.store(stride, Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// Whether there are no turns, as far as one look can tell.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.load(Ordering::Relaxed) == 0
    }

    /// Whose turn the one is that `choose` picks, given how many turns there are; none when there are none, or when the view
    /// was being written.
    pub(super) fn owner(&self, choose: impl FnOnce(u64) -> u64) -> Option<usize> {
        let version = self.version.load(Ordering::Acquire);
        let turns = self.turns.load(Ordering::Relaxed);
        if version % 2 == 1 || turns == 0 {
            return None;
        }
        let turn = choose(turns) % turns;
        let index = match self.stride.load(Ordering::Relaxed) {
            0 => usize::try_from(turn).ok()?,
            stride => self.at_point(mul_mod(turn, stride, turns)),
        };
        let owner = self.owners.get(index)?.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == version).then_some(owner as usize)
    }

    /// The entry whose points include `point`, by binary search in those that are filled.
    fn at_point(&self, point: u64) -> usize {
        let (mut low, mut high) = (0, (self.count.load(Ordering::Relaxed) as usize).min(self.ends.len()));
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.ends[middle].load(Ordering::Relaxed) <= point { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Writer<'_> {
    /// Adds an entry, with the end of its points where there are points; those beyond the room are left out.
    pub(super) fn push(&mut self, owner: usize, end: u64) {
        let Some(place) = self.view.owners.get(self.count) else { return };
        place.store(owner as u32, Ordering::Relaxed);
        if let Some(place) = self.view.ends.get(self.count) {
            place.store(end, Ordering::Relaxed);
        }
        self.count += 1;
    }

    /// Entries so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// `a * b % modulus`, without overflow; the modulus must not be 0.
pub(super) fn mul_mod(a: u64, b: u64, modulus: u64) -> u64 {
    match a.checked_mul(b) {
        Some(product) => product % modulus,
        None => (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn products_beyond_64_bits_are_right() {
        let modulus = (1 << 48) - 59;
        assert_eq!(mul_mod(modulus - 1, modulus - 1, modulus), 1);
        assert_eq!(mul_mod(3, 5, 7), 1);
    }

    #[test]
    fn readers_see_one_epoch_or_nothing() {
        // Epoch e has e % 7 + 1 turns, all of which belong to e.
        let view = View::new(8, false);
        let write = |epoch: u64| {
            view.refresh(epoch, |writer| {
                let turns = epoch % 7 + 1;
                (0..turns).for_each(|_| writer.push(epoch as usize, 0));
                (turns, 0)
            });
        };
        write(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..40_000).for_each(|_| read_once(&view)));
            }
            (1..40_000).for_each(write);
        });
        assert_eq!(view.owner(|turns| turns - 1), Some(39_999));
    }

    fn read_once(view: &View) {
        let mut seen = 0;
        let owner = view.owner(|turns| {
            seen = turns;
            turns - 1
        });
        assert!(owner.is_none_or(|owner| owner as u64 % 7 + 1 == seen));
    }
}
