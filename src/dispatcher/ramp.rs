//! Slow start: a destination that has come back gets a tenth of its share at first and all of it after `slow_start`.
//!
//! The part grows in a straight line with time since the destination became available again. A destination that never
//! was away has all of its share. Where the algorithm weighs (call load) the weight is scaled; elsewhere a request in turn
//! is admitted or passed on in that proportion, decided by a count of requests and not by chance. Hashes ignore it: a key
//! that changed its destination for a while would gain nothing.

use core::time::Duration;

use super::random::mix;
use super::state::StateIndex;
use crate::time::Instant;

/// A part of a whole, in 65,536ths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Part(u32);

impl Part {
    pub(super) const WHOLE: Self = Self(1 << 16);
    /// What a destination starts with: a tenth.
    const FIRST: Self = Self((1 << 16) / 10);

    /// What a destination gets at `now` that is available since `since`; none means always.
    pub(super) fn at(now: Instant, since: Option<Instant>, slow_start: Duration) -> Self {
        let Some(since) = since else { return Self::WHOLE };
        let elapsed = now.saturating_since(since);
        if elapsed >= slow_start {
            return Self::WHOLE;
        }
        let rest = u128::from(Self::WHOLE.0 - Self::FIRST.0);
        // Less than `rest`: elapsed is less than slow_start, which is not zero.
        Self(Self::FIRST.0 + (rest * elapsed.as_nanos() / slow_start.as_nanos()) as u32)
    }

    /// This part of `whole`, rounded up: of one call, one.
    pub(super) fn of(self, whole: u32) -> u32 {
        (u64::from(whole) * u64::from(self.0)).div_ceil(u64::from(Self::WHOLE.0)) as u32
    }

    pub(super) fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE.0)
    }

    /// Whether request number `request` of a set goes to a destination with this part.
    pub(super) fn admits(self, request: u64, state: StateIndex) -> bool {
        let lot = mix(request ^ u64::from(state.value()) << 40) >> 48;
        lot < u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(10);

    fn part(after_ms: u64) -> Part {
        let since = Instant::from_nanos(5);
        Part::at(since + Duration::from_millis(after_ms), Some(since), SLOW)
    }

    #[test]
    fn the_part_grows_in_a_straight_line_from_a_tenth_to_all() {
        for (after_ms, percent) in [(0, 10.0), (2_500, 32.5), (5_000, 55.0), (9_999, 99.991), (10_000, 100.0)] {
            assert!((part(after_ms).ratio() * 100.0 - percent).abs() < 0.01, "{after_ms} ms");
        }
        assert_eq!(part(60_000), Part::WHOLE);
        assert_eq!(Part::at(Instant::from_nanos(5), None, SLOW), Part::WHOLE);
        assert_eq!(Part::at(Instant::from_nanos(5), Some(Instant::from_nanos(5)), Duration::ZERO), Part::WHOLE);
    }

    #[test]
    fn a_part_of_a_bound_is_rounded_up() {
        assert_eq!([1, 10, 95, 100].map(|whole| part(0).of(whole)), [1, 1, 10, 10]);
        assert_eq!(Part::WHOLE.of(u32::MAX), u32::MAX);
    }

    #[test]
    fn requests_are_admitted_in_proportion() {
        for after_ms in [0, 2_500, 5_000, 10_000] {
            let part = part(after_ms);
            let admitted = (0..40_000).filter(|request| part.admits(*request, StateIndex::new(7))).count();
            assert!(admitted.abs_diff((40_000.0 * part.ratio()) as usize) < 400, "{after_ms} ms: {admitted}");
        }
    }
}
