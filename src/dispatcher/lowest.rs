//! The destinations with the lowest keys, found in one pass: what call load and latency have in common.

use core::sync::atomic::{AtomicU64, Ordering};

use super::select::{Draft, around};
use crate::limits::TARGETS_MAX;

/// Sets up to this size are looked at whole; larger ones are sampled.
pub(super) const LOOKS_MAX: usize = 128;

/// Offers the available ones of a set of up to [`LOOKS_MAX`] in the order of their keys; equal ones from another beginning each time,
/// counted among the available ones.
pub(super) fn best_of_all<'a>(draft: &mut Draft<'a>, turns: &AtomicU64, rank: impl Fn(&Draft<'a>, usize) -> u64) {
    let mut available = [0_u8; LOOKS_MAX];
    let mut count = 0;
    for position in (0..draft.destinations()).filter(|position| draft.is_available(*position)) {
        available[count] = position as u8;
        count += 1;
    }
    let turn = turns.fetch_add(1, Ordering::Relaxed);
    let Some(start) = turn.checked_rem(count as u64) else { return };
    let mut best = Lowest::new(draft.room());
    for index in around(start as usize, count) {
        let position = usize::from(available[index]);
        let key = rank(draft, position);
        if best.admits(key, position) {
            best.insert(key, position);
        }
    }
    draft.offer_all(best.positions());
}

/// The lowest keys so far with their positions, lowest first; of equal ones the first to come.
pub(super) struct Lowest {
    entries: [(u64, usize); TARGETS_MAX],
    len: usize,
    room: usize,
}

impl Lowest {
    pub(super) fn new(room: usize) -> Self {
        Self { entries: [(0, 0); TARGETS_MAX], len: 0, room: room.min(TARGETS_MAX) }
    }

    /// Whether it is low enough and not there yet.
    pub(super) fn admits(&self, key: u64, position: usize) -> bool {
        let low = self.len < self.room || (self.len > 0 && key < self.entries[self.len - 1].0);
        low && self.positions().all(|known| known != position)
    }

    /// Only for what was admitted.
    pub(super) fn insert(&mut self, key: u64, position: usize) {
        let place = self.entries[..self.len].partition_point(|entry| entry.0 <= key);
        self.len = (self.len + 1).min(self.room);
        self.entries[place..self.len].rotate_right(1);
        self.entries[place] = (key, position);
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.entries[..self.len].iter().map(|entry| entry.1)
    }
}

const _: () = assert!(LOOKS_MAX <= 1 << 8);
