//! Legacy hash: Kamailio's function and Kamailio's order, so that calls stay where they were while one replaces the other.
//!
//! The hash modulo the number of destinations, available or not, names one; when that is not available the next one in
//! order takes its calls, as Kamailio has it, and failover goes on round the same list. The order is the one that Kamailio
//! has after a start: highest priority first, and equal priorities in *reverse* file order. Weights do not count.

use core::cmp::Reverse;

use super::select::{Draft, around};
use super::set::Destination;

/// Positions in Kamailio's order, without those of last resort (its `use_default`).
#[derive(Debug)]
pub(super) struct Legacy(Vec<usize>);

impl Legacy {
    pub(super) fn new(destinations: &[Destination]) -> Self {
        let regular = (0..destinations.len()).filter(|position| !destinations[*position].last_resort);
        let mut positions: Vec<usize> = regular.collect();
        positions.sort_by_key(|position| (Reverse(destinations[*position].priority), Reverse(*position)));
        Self(positions)
    }

    /// Offers the destination that the hash names and those that follow it.
    pub(super) fn draft(&self, draft: &mut Draft<'_>, key: &[u8], host: &[u8]) {
        if let Some(start) = (hash(key, host) as usize).checked_rem(self.0.len()) {
            draft.offer_all(around(start, self.0.len()).map(|index| self.0[index]));
        }
    }
}

/// Kamailio's hash of one or two strings, bit by bit; never 0.
#[must_use]
pub fn hash(first: &[u8], second: &[u8]) -> u32 {
    let hash = second.chunks(4).fold(first.chunks(4).fold(0, add), add);
    match hash.wrapping_add(hash >> 11).wrapping_add(hash >> 13).wrapping_add(hash >> 23) {
        0 => 1,
        hash => hash,
    }
}

/// Adds up to four bytes, the first one highest; bytes from 128 on count as negative, as `char` does there.
fn add(hash: u32, chunk: &[u8]) -> u32 {
    let word = chunk.iter().fold(0_u32, |word, byte| (word << 8).wrapping_add(i32::from(*byte as i8) as u32));
    hash.wrapping_add(word ^ (word >> 3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::fixture::{Bench, tally};
    use crate::dispatcher::{Algorithm, HashInput, HashKind};

    const LEGACY: Algorithm = Algorithm::Hash(HashInput::CallId, HashKind::Legacy);

    #[test]
    fn the_hash_is_kamailios() {
        // Values of a live Kamailio's `dispatcher.hash`.
        assert_eq!(hash(b"bob", b"server.com"), 3_883_463_682);
        assert_eq!(hash(b"bob", b""), 7_222_211);
        assert_eq!(hash(b"x", b""), 119);
        assert_eq!(hash(b"", b""), 1);
    }

    #[test]
    fn equal_priorities_are_in_reverse_file_order_as_kamailio_has_them() {
        // 119 % 6 is 5: the last of six in Kamailio's order, which is the first of the file.
        let mut bench = Bench::new(LEGACY, &[1; 6]);
        assert_eq!(bench.select(b"x"), [0, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn calls_spread_over_all_and_the_next_takes_those_of_a_lost_one() {
        let mut bench = Bench::new(LEGACY, &[1, 9, 0, 1, 1]);
        let keys: Vec<String> = (0..20_000).map(|call| format!("{call}-a84b4c@pc33.example.com")).collect();
        let mut firsts = || keys.iter().map(|key| bench.select(key.as_bytes())[0]).collect::<Vec<_>>();
        let before = firsts();
        assert!(tally(&before, 5).iter().all(|count| (3_400..4_600).contains(count)), "{:?}", tally(&before, 5));
        bench.set_available(2, false);
        let mut firsts = || keys.iter().map(|key| bench.select(key.as_bytes())[0]).collect::<Vec<_>>();
        let after = firsts();
        let kept = |(before, after): (&usize, &usize)| *after == if *before == 2 { 1 } else { *before };
        assert!(before.iter().zip(&after).all(kept));
    }

    proptest! {
        #[test]
        fn the_first_target_is_the_hash_modulo_the_count_in_kamailios_order(
            priorities in prop::collection::vec(-2..3_i32, 1..30), key in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let mut order: Vec<usize> = (0..priorities.len()).rev().collect();
            order.sort_by_key(|position| -priorities[*position]);
            let mut bench = Bench::with_priorities(LEGACY, &priorities);
            prop_assert_eq!(bench.select(&key)[0], order[hash(&key, b"") as usize % order.len()]);
        }
    }
}
