//! The timer wheel of a shard: every transaction, branch and dialog timer is filed here.
//!
//! A hashed hierarchical wheel: 4 levels of 256 slots, a tick of 4 ms. Level 0 resolves single ticks, each level above
//! counts in whole turns of the one below (1 s, 4 min, 18 h per slot), 197 days in all.
//!
//! ```text
//! tick (32 bits):   | level 3 | level 2 | level 1 | level 0 |     level of a timer = the highest byte in which
//!                       ↑ slot in that level                        its tick differs from the current tick
//! ```
//!
//! Policy:
//! - A timer never fires early: its deadline is rounded up to a whole tick, `now` is rounded down.
//! - Memory is 20 bytes per timer with an 8-byte payload, grows with use, is reused LIFO and bounded by `capacity_max`.
//! - Insert, re-arm and cancel are O(1). Empty spans are skipped by bitmap, so a jump of hours costs what it finds.
//! - A deadline out of range waits in the furthest slot and is filed again when that is reached.
//! - Timers fire in order of their ticks; within a tick the order is unspecified, but the same for the same history.
//!
//! Invariants:
//! - No timer is filed before `current`; those overdue when filed sit in the slot of `current` itself.
//! - All timers of a level come due before the first slot of the next level begins, so the first level that is not
//!   empty holds the earliest one.
//! - The bit of a slot is set if and only if its list is not empty.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::memory::{Prepare, as_it_comes, grow, make_room};
use crate::time::Instant;

/// Length of a tick in nanoseconds (4 ms): the most by which a timer may fire late on a punctual caller.
pub(crate) const TICK_NS: u64 = 4_000_000;

const LEVELS: usize = 4;
const LEVEL_BITS: u32 = 8;
const SLOTS_PER_LEVEL: usize = 1 << LEVEL_BITS;
const SLOTS: usize = LEVELS * SLOTS_PER_LEVEL;
const TOP: u32 = LEVELS as u32 - 1;
const TOP_SHIFT: u32 = TOP * LEVEL_BITS;
const WORDS_PER_LEVEL: usize = SLOTS_PER_LEVEL / 64;

/// Ends the free list.
const NONE: u32 = 0;
/// In `Link::prev`: this link is on the free list.
const FREE: u32 = u32::MAX;

/// Names a timer from `insert` until it is cancelled or popped; the number is used again after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimerId(NonZeroU32);

/// An element of a circular list. The first `SLOTS` links are the heads of the slots, the others are timers.
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    prev: u32,
    /// Low half of the tick; the timer is less than 2^32 ticks after `current`, which gives the rest.
    tick: u32,
}

/// A timer wheel with payloads `P`, which say what to do when the timer fires.
#[derive(Debug)]
pub(crate) struct Wheel<P> {
    /// Every tick before this one is done; timers due in this one may still wait to be popped.
    current: u64,
    occupied: [u64; LEVELS * WORDS_PER_LEVEL],
    links: Vec<Link>,
    /// Payload of link `SLOTS + i` at `i`; apart, because re-arming and cascading need only links.
    payloads: Vec<P>,
    free: u32,
    len: u32,
    capacity_max: u32,
    /// Real ticks of timers that are out of range: practically always empty.
    far: BTreeMap<u32, u64>,
    prepare: Prepare,
}

impl<P: Copy> Wheel<P> {
    /// An empty wheel that starts at `now` and holds at most `capacity_max` timers (and never more than 2^32 - 1,026).
    pub(crate) fn new(now: Instant, capacity_max: usize) -> Self {
        let room = FREE - SLOTS as u32 - 1;
        let head = |slot| Link { next: slot, prev: slot, tick: 0 };
        Self {
            current: now.as_nanos() / TICK_NS,
            occupied: [0; LEVELS * WORDS_PER_LEVEL],
            links: (0..SLOTS as u32).map(head).collect(),
            payloads: Vec::new(),
            free: NONE,
            len: 0,
            capacity_max: u32::try_from(capacity_max).map_or(room, |max| max.min(room)),
            far: BTreeMap::new(),
            prepare: as_it_comes,
        }
    }

    /// The same, whose memory is shown to `prepare`.
    pub(crate) fn prepared_by(self, prepare: Prepare) -> Self {
        Self { prepare, ..self }
    }

    /// Shows `touch` the memory of the first `count` timers, which it makes now; for a wheel that never had one.
    pub(crate) fn make_room(&mut self, count: usize, touch: Prepare) {
        let max = self.capacity_max as usize;
        make_room(&mut self.links, count + SLOTS, max + SLOTS, self.prepare, touch);
        make_room(&mut self.payloads, count, max, self.prepare, touch);
    }

    /// Arms a timer; one whose deadline is past is due at once. None when the wheel is at capacity.
    pub(crate) fn insert(&mut self, deadline: Instant, payload: P) -> Option<TimerId> {
        if self.len == self.capacity_max {
            return None;
        }
        let link = self.take_link(payload);
        self.len += 1;
        self.file(link, tick_of(deadline));
        NonZeroU32::new(link).map(TimerId)
    }

    /// Moves an armed timer to a new deadline. `id` must be armed; one that is not is left alone.
    pub(crate) fn rearm(&mut self, id: TimerId, deadline: Instant) {
        let link = id.0.get();
        debug_assert!(self.is_armed(link), "re-armed a timer that is not armed");
        if self.is_armed(link) {
            self.unlink(link);
            self.forget_far(link);
            self.file(link, tick_of(deadline));
        }
    }

    /// Disarms a timer and frees its id. `id` must be armed; one that is not is left alone and gives its last payload.
    pub(crate) fn cancel(&mut self, id: TimerId) -> P {
        let link = id.0.get();
        debug_assert!(self.is_armed(link), "cancelled a timer that is not armed");
        if self.is_armed(link) {
            self.unlink(link);
            self.forget_far(link);
            self.give_link(link);
        }
        self.payloads[link as usize - SLOTS]
    }

    /// When to call `pop_due` next: never later than the earliest timer, perhaps earlier, when only timers further off
    /// have to be moved closer. After `pop_due` returned None it lies after the `now` given there.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let (_, tick) = self.next_slot()?;
        Some(Instant::from_nanos(tick.saturating_mul(TICK_NS)))
    }

    /// Removes one timer that is due at `now` and frees its id; None when no other is due. Timers may be armed and
    /// disarmed between calls; one armed with a past deadline is popped by the same run of calls. A `now` before that
    /// of an earlier call pops nothing.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(TimerId, P)> {
        let now_tick = now.as_nanos() / TICK_NS;
        if now_tick < self.current {
            return None;
        }
        loop {
            let slot = self.current as usize % SLOTS_PER_LEVEL;
            let link = self.links[slot].next;
            if link as usize != slot {
                self.unlink(link);
                if let Some(tick) = self.forget_far(link) {
                    self.file(link, tick);
                    continue;
                }
                self.give_link(link);
                return NonZeroU32::new(link).map(|id| (TimerId(id), self.payloads[link as usize - SLOTS]));
            }
            if !self.advance(now_tick) {
                return None;
            }
        }
    }

    /// Number of armed timers.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no timer is armed.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most timers that may be armed at once.
    #[cfg(test)]
    pub(crate) fn capacity_max(&self) -> usize {
        self.capacity_max as usize
    }

    /// Steps to the next occupied slot, or to `now_tick` if that comes first; tells whether a slot was reached.
    fn advance(&mut self, now_tick: u64) -> bool {
        match self.next_slot() {
            Some((slot, start)) if start <= now_tick => {
                self.current = start;
                if slot >= SLOTS_PER_LEVEL {
                    self.cascade(slot);
                }
                true
            }
            _ => {
                self.current = now_tick;
                false
            }
        }
    }

    /// Files the timers of a slot that has been reached into the levels below, in their order.
    fn cascade(&mut self, slot: usize) {
        let mut link = self.links[slot].next;
        self.links[slot] = Link { next: slot as u32, prev: slot as u32, tick: 0 };
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        while link as usize != slot {
            let Link { next, tick, .. } = self.links[link as usize];
            let ahead = tick.wrapping_sub(self.current as u32);
            self.append(link, self.current + u64::from(ahead));
            link = next;
        }
    }

    /// The first occupied slot and the tick at which it begins.
    #[inline]
    fn next_slot(&self) -> Option<(usize, u64)> {
        for level in 0..TOP {
            if let Some(index) = self.first_occupied(level, 0) {
                let shift = level * LEVEL_BITS;
                let turn = self.current >> (shift + LEVEL_BITS) << LEVEL_BITS;
                return Some((slot_at(level, index), (turn + index) << shift));
            }
        }
        // Only the top level wraps around: its slots before the one of `current` are those of the next turn.
        let top = self.current >> TOP_SHIFT;
        let index = self.first_occupied(TOP, top % SLOTS_PER_LEVEL as u64).or_else(|| self.first_occupied(TOP, 0))?;
        let ahead = index.wrapping_sub(top) % SLOTS_PER_LEVEL as u64;
        Some((slot_at(TOP, index), (top + ahead) << TOP_SHIFT))
    }

    /// The first occupied slot of a level at or after `from`, by its index within the level.
    #[inline]
    fn first_occupied(&self, level: u32, from: u64) -> Option<u64> {
        let words = &self.occupied[level as usize * WORDS_PER_LEVEL..][..WORDS_PER_LEVEL];
        let first = from as usize / 64;
        let mut mask = u64::MAX << (from % 64);
        for (i, word) in words.iter().enumerate().skip(first) {
            if word & mask != 0 {
                return Some(i as u64 * 64 + u64::from((word & mask).trailing_zeros()));
            }
            mask = u64::MAX;
        }
        None
    }

    /// Files a timer that is in no list; overdue ones into the slot of `current`, those out of range into the furthest.
    #[inline]
    fn file(&mut self, link: u32, tick: u64) {
        let furthest = ((self.current >> TOP_SHIFT) + SLOTS_PER_LEVEL as u64 - 1) << TOP_SHIFT;
        if tick >> TOP_SHIFT > furthest >> TOP_SHIFT {
            self.far.insert(link, tick);
            self.append(link, furthest);
        } else {
            self.append(link, tick.max(self.current));
        }
    }

    /// Appends a timer to the list of its slot; `tick` must be in range.
    #[inline]
    fn append(&mut self, link: u32, tick: u64) {
        let differing_bits = 63 - ((tick ^ self.current) | 1).leading_zeros();
        let level = (differing_bits / LEVEL_BITS).min(TOP);
        let slot = slot_at(level, (tick >> (level * LEVEL_BITS)) % SLOTS_PER_LEVEL as u64);
        let prev = self.links[slot].prev;
        self.links[link as usize] = Link { next: slot as u32, prev, tick: tick as u32 };
        self.links[prev as usize].next = link;
        self.links[slot].prev = link;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Takes a timer out of its list.
    #[inline]
    fn unlink(&mut self, link: u32) {
        let Link { next, prev, .. } = self.links[link as usize];
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
        // Both neighbours are one only when that is the head of a list now empty.
        let slot = next as usize;
        if next == prev && slot < SLOTS {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Drops the real tick of a timer that was out of range, and returns it.
    #[inline]
    fn forget_far(&mut self, link: u32) -> Option<u64> {
        if self.far.is_empty() { None } else { self.far.remove(&link) }
    }

    #[inline]
    fn take_link(&mut self, payload: P) -> u32 {
        if self.free == NONE {
            let link = self.links.len() as u32;
            if self.links.len() == self.links.capacity() {
                grow(&mut self.links, self.capacity_max as usize + SLOTS, self.prepare);
            }
            if self.payloads.len() == self.payloads.capacity() {
                grow(&mut self.payloads, self.capacity_max as usize, self.prepare);
            }
            self.links.push(Link { next: NONE, prev: FREE, tick: 0 });
            self.payloads.push(payload);
            return link;
        }
        let link = self.free;
        self.free = self.links[link as usize].next;
        self.payloads[link as usize - SLOTS] = payload;
        link
    }

    #[inline]
    fn give_link(&mut self, link: u32) {
        self.links[link as usize] = Link { next: self.free, prev: FREE, tick: 0 };
        self.free = link;
        self.len -= 1;
    }

    #[inline]
    fn is_armed(&self, link: u32) -> bool {
        self.links[link as usize].prev != FREE
    }
}

/// The first tick that does not begin before `deadline`.
#[inline]
fn tick_of(deadline: Instant) -> u64 {
    deadline.as_nanos().div_ceil(TICK_NS)
}

/// The slot with this index in this level.
#[inline]
fn slot_at(level: u32, index: u64) -> usize {
    level as usize * SLOTS_PER_LEVEL + index as usize
}

#[cfg(test)]
#[path = "timer/tests.rs"]
mod tests;
