//! When calls are to start: open loop (a schedule that waits for nobody) or closed loop (a number of calls at once).

/// A small generator of random numbers (xorshift64*), seeded: runs can be repeated.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// How calls follow each other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Pace {
    /// So many calls a second at equal distances.
    Uniform(f64),
    /// So many calls a second, independent of each other.
    Poisson(f64),
    /// So many calls at once.
    Closed(u32),
}

/// The starts that are still to come.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    /// When the next call was meant to start, nanoseconds; fractions are kept, or the rate would be off.
    next: f64,
    calls_left: u64,
    end: u64,
}

impl Schedule {
    /// From `start` on: at most `calls`, and none at or after `end`.
    pub(crate) const fn new(pace: Pace, start: u64, calls: u64, end: u64) -> Self {
        Self { pace, next: start as f64, calls_left: calls, end }
    }

    /// The intended time of a call that is due now, with `active` calls open. It is counted as started.
    pub(crate) fn take(&mut self, now: u64, active: u32, random: &mut Random) -> Option<u64> {
        let due = self.due(now, active)?;
        if due > now {
            return None;
        }
        self.calls_left -= 1;
        self.next += match self.pace {
            Pace::Uniform(rate) => 1e9 / rate,
            Pace::Poisson(rate) => -random.unit().ln() * 1e9 / rate,
            Pace::Closed(_) => 0.0,
        };
        Some(due)
    }

    /// When the next call is due; `None` when there is none, or when one has to end first.
    pub(crate) fn due(&self, now: u64, active: u32) -> Option<u64> {
        let due = match self.pace {
            Pace::Closed(at_once) => (active < at_once).then_some(now)?,
            Pace::Uniform(_) | Pace::Poisson(_) => self.next as u64,
        };
        (self.calls_left > 0 && due < self.end).then_some(due)
    }

    /// Whether no call will start any more.
    pub(crate) const fn is_over(&self, now: u64) -> bool {
        self.calls_left == 0
            || match self.pace {
                Pace::Closed(_) => now >= self.end,
                Pace::Uniform(_) | Pace::Poisson(_) => self.next as u64 >= self.end,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(pace: Pace, end: u64) -> Vec<u64> {
        let (mut schedule, mut random) = (Schedule::new(pace, 0, u64::MAX, end), Random::new(1));
        core::iter::from_fn(|| schedule.take(u64::MAX, 0, &mut random)).collect()
    }

    #[test]
    fn a_uniform_schedule_keeps_its_rate_and_waits_for_nobody() {
        let at = starts(Pace::Uniform(3000.0), 1_000_000_000);
        assert_eq!(at.len(), 3000);
        assert_eq!(at[..4], [0, 333_333, 666_666, 1_000_000]);
    }

    #[test]
    fn a_poisson_schedule_keeps_its_rate_and_is_not_uniform() {
        let at = starts(Pace::Poisson(10_000.0), 10_000_000_000);
        assert!((99_000..101_000).contains(&at.len()), "{}", at.len());
        let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 100_000.0).collect();
        let variance = gaps.iter().map(|gap| (gap - 1.0).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.9..1.1).contains(&variance), "{variance}");
    }

    #[test]
    fn a_closed_loop_waits_for_calls_to_end() {
        let (mut schedule, mut random) = (Schedule::new(Pace::Closed(2), 0, 3, 100), Random::new(1));
        assert_eq!(schedule.take(5, 1, &mut random), Some(5));
        assert_eq!(schedule.take(5, 2, &mut random), None);
        assert!(!schedule.is_over(99) && schedule.is_over(100));
        assert_eq!(schedule.take(9, 0, &mut random), Some(9));
        assert_eq!(schedule.take(9, 0, &mut random), Some(9));
        assert!(schedule.is_over(9) && schedule.due(9, 0).is_none());
    }
}
