//! The load of a call as a token: what is taken must be given back, exactly once.
//!
//! # Invariants
//!
//! - The load of a destination is the number of its tokens that are out; nothing else changes it.
//! - A token cannot be copied, and giving it back consumes it. Dropping one any other way is a bug: a panic in debug
//!   builds, a count in [`leaked_tokens`] in all, which is exported and must read 0.
//! - A token that is reserved never takes the load above `maxload`. The bound may sink below the load (a reload, a
//!   report, a slow start that begins while calls are left): then none is reserved until enough have ended.
//! - A token knows whether its INVITE has a response yet ([`States::note_response`]), so those without one are counted as exactly.

use core::mem;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::gate::{Bounds, Refused, has_room, reserve};
use super::ramp::Part;
use super::set::Destination;
use super::state::{Slot, StateIndex, States};
use crate::limits::DESTINATIONS_MAX;
use crate::time::Instant;

static LEAKED: AtomicU64 = AtomicU64::new(0);

/// Tokens that were dropped instead of given back since the process began: 0, or there is a bug.
#[must_use]
pub fn leaked_tokens() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// The bit of a token whose INVITE has no response yet.
const PENDING: u32 = 1 << 31;

const _: () = assert!(DESTINATIONS_MAX < PENDING as usize);

/// One call's share of a destination's load; 4 bytes, also as `Option<LoadToken>`.
///
/// Give it back with [`States::release`] to the states that it was taken from.
#[must_use = "a token that is not given back counts as load for ever"]
#[derive(Debug)]
pub struct LoadToken {
    /// The slot's number plus one; with [`PENDING`] until its INVITE has a response.
    slot: NonZeroU32,
}

impl LoadToken {
    /// The destination whose load it is.
    #[must_use]
    pub const fn state(&self) -> StateIndex {
        StateIndex::new((self.slot.get() & !PENDING) - 1)
    }

    /// The token of a call whose INVITE is now sent, and counted.
    #[inline]
    fn begin(state: StateIndex, slot: &Slot) -> Self {
        slot.pending.fetch_add(1, Ordering::Relaxed);
        Self { slot: NonZeroU32::MIN.saturating_add(state.value()) | PENDING }
    }
}

impl Drop for LoadToken {
    fn drop(&mut self) {
        LEAKED.fetch_add(1, Ordering::Relaxed);
        // A panic that is already under way may drop tokens; a second one would hide it.
        debug_assert!(std::thread::panicking(), "a load token of slot {} was dropped", self.state().value());
    }
}

impl States {
    /// Takes one of load for a call sent at `now` to a destination of a table that the caller holds.
    ///
    /// # Errors
    ///
    /// Nothing is taken when the destination is at `maxload` or its reported capacity (of which slow start gives a part only), or at its
    /// calls per second.
    pub fn reserve(&self, destination: &Destination, now: Instant) -> Result<LoadToken, Refused> {
        if !destination.bounded {
            let slot = self.slot(destination.state);
            slot.load.fetch_add(1, Ordering::Relaxed);
            return Ok(LoadToken::begin(destination.state, slot));
        }
        let slot = self.slot(destination.state);
        reserve(&slot.load, &slot.arrival_ns, self.bounds(destination, now), now.as_nanos())?;
        Ok(LoadToken::begin(destination.state, slot))
    }

    /// The INVITE of the call has its first response, whatever it says: it is not waited for any more. Later ones change nothing.
    pub fn note_response(&self, token: &mut LoadToken) {
        if token.slot.get() & PENDING != 0 {
            let slot = token.state();
            token.slot = NonZeroU32::MIN.saturating_add(slot.value());
            self.slot(slot).pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Live tokens of one destination whose INVITE has no response yet.
    #[must_use]
    pub fn pending(&self, index: StateIndex) -> u64 {
        self.slot(index).pending.load(Ordering::Relaxed)
    }

    /// Whether [`States::reserve`] would say yes now; a look, which promises nothing.
    #[must_use]
    pub fn has_room(&self, destination: &Destination, now: Instant) -> bool {
        if !destination.bounded {
            return true;
        }
        let slot = self.slot(destination.state);
        has_room(&slot.load, &slot.arrival_ns, self.bounds(destination, now), now.as_nanos())
    }

    /// What slow start gives the destination at `now`.
    pub(super) fn part(&self, destination: &Destination, now: Instant) -> Part {
        if destination.slow_start.is_zero() {
            return Part::WHOLE;
        }
        Part::at(now, self.available_since(destination.state), destination.slow_start)
    }

    fn bounds(&self, destination: &Destination, now: Instant) -> Bounds {
        let load = match self.calls_max(destination, now) {
            0 => u64::MAX,
            maxload => u64::from(self.part(destination, now).of(maxload)),
        };
        Bounds { load, rate: destination.rate }
    }

    /// The calls that it may have now, `maxload` or fewer by its report; 0: no bound.
    fn calls_max(&self, destination: &Destination, now: Instant) -> u32 {
        match destination.reported_bound {
            None => destination.maxload,
            Some(max_age) => self.reported_max(destination, max_age, now),
        }
    }

    /// The smaller one of `maxload` and a fresh reported capacity. Apart, so that who asks for no reports carries no code for them.
    #[inline(never)]
    fn reported_max(&self, destination: &Destination, max_age: Duration, now: Instant) -> u32 {
        let report = self.fresh_report(destination.state, max_age, now);
        match (destination.maxload, report.and_then(|reported| reported.report.capacity)) {
            (0, Some(capacity)) => capacity,
            (maxload, Some(capacity)) => maxload.min(capacity),
            (maxload, None) => maxload,
        }
    }

    /// Adds one to the load of a destination whose table the caller holds, whatever its bounds.
    pub fn take_load(&self, index: StateIndex) -> LoadToken {
        self.slot(index).load.fetch_add(1, Ordering::Relaxed);
        LoadToken { slot: NonZeroU32::MIN.saturating_add(index.value()) }
    }

    /// Takes back one token and its one of load.
    pub fn release(&self, mut token: LoadToken) {
        self.note_response(&mut token);
        let load_before = self.slot(token.state()).load.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(load_before > 0, "a token of other states");
        mem::forget(token);
    }

    /// Live tokens of one destination.
    #[must_use]
    #[inline]
    pub fn load(&self, index: StateIndex) -> u64 {
        self.slot(index).load.load(Ordering::Relaxed)
    }

    /// Live tokens of all destinations, also of those that no table holds any more: what an audit compares with the
    /// tokens that it finds. Exact when nobody takes or gives meanwhile.
    #[must_use]
    pub fn total_load(&self) -> u64 {
        self.slots().map(|slot| slot.load.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "tests that look at a count of the whole process take turns")]
mod tests {
    use std::panic;
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    /// Leaks are counted for the whole process, so the tests that look at the count take turns.
    static TURN: Mutex<()> = Mutex::new(());

    #[test]
    fn a_token_takes_four_bytes_also_when_optional() {
        assert_eq!(size_of::<LoadToken>(), 4);
        assert_eq!(size_of::<Option<LoadToken>>(), 4);
    }

    #[test]
    fn the_load_is_the_number_of_tokens_that_are_out() {
        let _turn = TURN.lock();
        let leaked = leaked_tokens();
        let states = States::new();
        let (one, other) = (StateIndex::new(0), StateIndex::new(65_535));
        let tokens = [states.take_load(one), states.take_load(one), states.take_load(other)];
        assert_eq!(tokens.each_ref().map(LoadToken::state), [one, one, other]);
        assert_eq!((states.load(one), states.load(other), states.total_load()), (2, 1, 3));
        tokens.into_iter().for_each(|token| states.release(token));
        assert_eq!((states.load(one), states.load(other), states.total_load()), (0, 0, 0));
        assert_eq!(leaked_tokens(), leaked);
    }

    #[test]
    fn eight_threads_that_take_and_release_leave_no_load() {
        let states = States::new();
        thread::scope(|scope| {
            for shard in 0..8 {
                let states = &states;
                scope.spawn(move || churn(states, shard));
            }
        });
        assert_eq!(states.total_load(), 0);
    }

    fn churn(states: &States, shard: u32) {
        let mut held = Vec::new();
        for step in 0..20_000_u32 {
            held.push(states.take_load(StateIndex::new((step + shard) % 5)));
            if held.len() > 16 {
                states.release(held.swap_remove(step as usize % 16));
            }
        }
        assert!(states.total_load() >= held.len() as u64);
        held.into_iter().for_each(|token| states.release(token));
    }

    #[test]
    fn a_token_that_is_dropped_is_a_counted_leak_and_a_panic_in_debug_builds() {
        let _turn = TURN.lock();
        let leaked = leaked_tokens();
        let states = States::new();
        let token = states.take_load(StateIndex::new(3));
        let dropped = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(token)));
        assert_eq!(dropped.is_err(), cfg!(debug_assertions));
        assert_eq!(leaked_tokens(), leaked + 1);
        assert_eq!(states.load(StateIndex::new(3)), 1);
    }
}
