//! The reservation of one call at one destination: two words, changed by compare-and-exchange alone.
//!
//! # Invariants
//!
//! - The load word counts calls; [`reserve`] raises it only from below the bound, so it is never above it, however many
//!   shards reserve at once. Who is refused by the rate gives its place back.
//! - The rate word is the theoretical arrival time of the generic cell rate algorithm, ns. With a burst of b = ⌈N/8⌉ and
//!   1/(N - b + 1) of a second from call to call, no half-open second ever sees more than N calls. A steady stream gets
//!   N - b + 1 of them; strict spacing would give it N, and would refuse every second call of an ordinary Poisson stream.
//!
//! The words are a trait so that `tests/reservation_model.rs` can run this file under loom.

use core::sync::atomic::{AtomicU64, Ordering};

/// One atomic number of 64 bits.
pub(super) trait Word {
    /// The number now.
    fn get(&self) -> u64;

    /// Puts `new` in the place of `old`; the number that is there when it is not `old`.
    fn exchange(&self, old: u64, new: u64) -> Result<(), u64>;

    /// Takes one away.
    fn decrement(&self);
}

/// Why a destination takes no further call now: [`super::States::reserve`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It has as many calls as it may have (`maxload`, or the part of it that slow start has reached).
    Load,
    /// It has got as many calls as it may get in a second (`calls_per_second_max`).
    Rate,
}

/// How fast calls may come; all zero: as fast as they like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Rate {
    pub(super) interval_ns: u64,
    /// How far calls may be ahead of that.
    pub(super) tolerance_ns: u64,
}

impl Rate {
    /// At most `calls` in any second; 0: no bound.
    pub(super) const fn per_second(calls: u32) -> Self {
        if calls == 0 {
            return Self { interval_ns: 0, tolerance_ns: 0 };
        }
        let burst = calls.div_ceil(8) as u64;
        let interval_ns = 1_000_000_000_u64.div_ceil(calls as u64 - burst + 1);
        Self { interval_ns, tolerance_ns: interval_ns * (burst - 1) }
    }

    const fn is_bound(self) -> bool {
        self.interval_ns > 0
    }

    /// The arrival time after a call at `now_ns`; none when that call is one too many.
    pub(super) fn advance(self, arrival_ns: u64, now_ns: u64) -> Option<u64> {
        let due = arrival_ns.max(now_ns);
        (due - now_ns <= self.tolerance_ns).then(|| due.saturating_add(self.interval_ns))
    }
}

/// What one destination may take at most at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    /// Calls at once; `u64::MAX`: no bound.
    pub(super) load: u64,
    pub(super) rate: Rate,
}

/// Whether a call would be taken now: a look, which promises nothing.
pub(super) fn has_room<W: Word>(load: &W, arrival: &W, bounds: Bounds, now_ns: u64) -> bool {
    let below = bounds.load == u64::MAX || load.get() < bounds.load;
    below && (!bounds.rate.is_bound() || bounds.rate.advance(arrival.get(), now_ns).is_some())
}

/// Takes a place for one call: one more in `load`.
pub(super) fn reserve<W: Word>(load: &W, arrival: &W, bounds: Bounds, now_ns: u64) -> Result<(), Refused> {
    change(load, |calls| (calls < bounds.load).then_some(calls + 1)).ok_or(Refused::Load)?;
    if !bounds.rate.is_bound() || change(arrival, |arrival| bounds.rate.advance(arrival, now_ns)).is_some() {
        return Ok(());
    }
    load.decrement();
    Err(Refused::Rate)
}

/// Changes the word to what `to` makes of it, unless that is nothing. A shard tries again only when another has got on.
pub(super) fn change<W: Word>(word: &W, to: impl Fn(u64) -> Option<u64>) -> Option<()> {
    let mut old = word.get();
    loop {
        match word.exchange(old, to(old)?) {
            Ok(()) => return Some(()),
            Err(now) => old = now,
        }
    }
}

impl Word for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        self.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed).map(drop)
    }

    fn decrement(&self) {
        self.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn accepted(calls: u32, arrivals: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (load, arrival) = (AtomicU64::new(0), AtomicU64::new(0));
        let bounds = Bounds { load: u64::MAX, rate: Rate::per_second(calls) };
        arrivals.into_iter().filter(|now| reserve(&load, &arrival, bounds, *now).is_ok()).collect()
    }

    proptest! {
        #[test]
        fn no_second_ever_sees_more_calls_than_the_bound(
            calls in 1_u32..60, gaps in prop::collection::vec(0_u64..60_000_000, 1..400),
        ) {
            let mut now = SECOND;
            let arrivals: Vec<u64> = gaps.iter().map(|gap| { now += gap; now }).collect();
            let accepted = accepted(calls, arrivals);
            for (first, start) in accepted.iter().enumerate() {
                let within = accepted[first..].iter().take_while(|time| **time < start + SECOND).count();
                prop_assert!(within <= calls as usize, "{} of {}", within, calls);
            }
        }
    }

    #[test]
    fn a_steady_stream_above_the_bound_gets_at_least_seven_eighths_of_it() {
        for calls in [1, 2, 8, 10, 100, 1_000, 5_000] {
            let stream = (0..200_000).map(|number| SECOND + number * 50_000);
            let taken = accepted(calls, stream).len() as u64;
            let bound = u64::from(calls) * 10;
            assert!(taken <= bound + u64::from(calls) && taken >= bound * 7 / 8, "{taken} at {calls}/s");
        }
    }

    #[test]
    fn a_burst_of_an_eighth_of_a_second_passes_at_once() {
        assert_eq!(accepted(80, [SECOND; 30]).len(), 10);
        assert_eq!(accepted(1, [SECOND; 30]).len(), 1);
    }

    #[test]
    fn who_is_refused_by_the_rate_leaves_no_load() {
        let (load, arrival) = (AtomicU64::new(0), AtomicU64::new(0));
        let bounds = Bounds { load: 2, rate: Rate::per_second(1) };
        assert_eq!(reserve(&load, &arrival, bounds, SECOND), Ok(()));
        assert!(!has_room(&load, &arrival, bounds, SECOND));
        assert_eq!(reserve(&load, &arrival, bounds, SECOND), Err(Refused::Rate));
        assert_eq!(load.get(), 1);
        assert_eq!(reserve(&load, &arrival, bounds, 2 * SECOND), Ok(()));
        assert_eq!(reserve(&load, &arrival, bounds, 3 * SECOND), Err(Refused::Load));
        assert_eq!(load.get(), 2);
    }
}
