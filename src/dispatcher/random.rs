//! A small generator for choices that need no secrecy: SplitMix64, one per shard, seeded by the caller.
//!
//! Never for branches, tags or anything that a stranger must not guess.

/// The odd number nearest 2^64 divided by the golden ratio: steps of it spread evenly.
pub(super) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A sequence of evenly spread numbers; the same seed gives the same sequence.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that `seed` names; any value will do.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, uniform over all of `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`, each equally likely; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of bound * x is uniform but for the lowest `2^64 mod bound` products, which are drawn again.
        let (mut low, mut high) = widening_mul(self.next_u64(), bound);
        if low < bound {
            let biased = bound.wrapping_neg() % bound;
            while low < biased {
                (low, high) = widening_mul(self.next_u64(), bound);
            }
        }
        high
    }

    /// An index below `count`, each equally likely; 0 when `count` is 0.
    pub(super) fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }
}

/// Spreads every bit of `value` over all bits of the result; a bijection.
pub(super) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Low and high half of `a * b`.
const fn widening_mul(a: u64, b: u64) -> (u64, u64) {
    let product = a as u128 * b as u128;
    (product as u64, (product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let drawn = [random.next_u64(), random.next_u64(), random.next_u64()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_number_below_the_bound_is_equally_likely() {
        let mut random = Random::new(7);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.index(6)] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_bound_that_leaves_a_quarter_of_all_numbers_over_is_still_even() {
        // Without the second draw the lowest third of the results would come twice as often.
        let bound = 3 << 62;
        let mut random = Random::new(9);
        let low = (0..30_000).filter(|_| random.below(bound) < 1 << 62).count();
        assert!((9_500..10_500).contains(&low), "{low}");
    }

    #[test]
    fn a_bound_of_nothing_gives_zero() {
        assert_eq!(Random::new(1).below(0), 0);
        assert_eq!(Random::new(1).below(1), 0);
    }
}
