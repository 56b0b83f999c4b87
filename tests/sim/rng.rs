//! A small seeded generator (splitmix64): the same seed gives the same run on every machine. While there is a tape, its bytes choose
//! instead.

use std::cell::RefCell;
use std::vec::IntoIter;

thread_local! {
    static TAPE: RefCell<IntoIter<u8>> = RefCell::new(Vec::new().into_iter());
}

/// From now on these bytes make the choices of this thread, as many as there are, in the order in which they come up.
pub(crate) fn play(tape: Vec<u8>) {
    TAPE.set(tape.into_iter());
}

/// As many bytes as it takes to choose among `n`.
fn from_tape(n: u64) -> Option<u64> {
    TAPE.with_borrow_mut(|tape| {
        let first = u64::from(tape.next()?);
        Some(if n > 256 { first << 8 | u64::from(tape.next()?) } else { first })
    })
}

/// Pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        from_tape(n).unwrap_or_else(|| self.next()) % n
    }

    /// A number from `low` to `high`, both possible.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
