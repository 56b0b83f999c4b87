//! A walk to one of many destinations whose cost grows with the logarithm of their number.
//!
//! A binary trie over the destinations' digests. At every fork the key decides for one side with probability weight of
//! that side / weight of both, by a hash of its own for every fork: so each destination is reached in proportion to its
//! weight, and what is available does not matter to the way. Configuring another weight at one place moves keys to the
//! side that has gained and never to the other; a table with one destination more of n moves some log2(n)/2 times that
//! destination's share.

use super::random::{GOLDEN, mix};

/// Marks the number of a leaf.
const LEAF: u32 = 1 << 31;

/// Forks and leaves; at least one leaf.
#[derive(Debug)]
pub(super) struct Trie {
    forks: Vec<Fork>,
    root: u32,
}

#[derive(Debug)]
struct Fork {
    salt: u64,
    /// Hashes below go left.
    threshold: u64,
    sides: [u32; 2],
}

/// What a leaf is: its digest, its weight, its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) digest: u64,
    /// Not 0.
    pub(super) weight: u64,
    pub(super) number: u32,
}

impl Trie {
    /// A trie of `leaves`, of which there must be one at least.
    pub(super) fn new(mut leaves: Vec<Leaf>) -> Self {
        leaves.sort_unstable_by_key(|leaf| (leaf.digest, leaf.number));
        let mut trie = Self { forks: Vec::with_capacity(leaves.len()), root: 0 };
        trie.root = trie.add(&leaves);
        trie
    }

    /// The number of the leaf that `key` reaches.
    pub(super) fn walk(&self, key: u64) -> u32 {
        let mut at = self.root;
        while let Some(fork) = self.forks.get(at as usize) {
            at = fork.sides[usize::from(mix(key ^ fork.salt) >= fork.threshold)];
        }
        at & !LEAF
    }

    /// Adds the sorted `leaves`; their fork, or the only leaf.
    fn add(&mut self, leaves: &[Leaf]) -> u32 {
        let [first, .., last] = leaves else { return leaves.first().map_or(LEAF, |leaf| LEAF | leaf.number) };
        // The highest bit in which they differ parts them; equal digests are parted in the middle.
        let bit = (first.digest ^ last.digest).checked_ilog2();
        let middle = bit.map_or(leaves.len() / 2, |bit| leaves.partition_point(|leaf| leaf.digest >> bit & 1 == 0));
        let (left, right) = leaves.split_at(middle);
        let sides = [self.add(left), self.add(right)];
        let prefix = bit.map_or(first.digest, |bit| last.digest >> bit);
        self.forks.push(Fork {
            salt: mix(prefix.wrapping_mul(GOLDEN) ^ bit.map_or(leaves.len() as u64 + 64, u64::from)),
            threshold: part(weight(left), weight(right)),
            sides,
        });
        self.forks.len() as u32 - 1
    }
}

fn weight(leaves: &[Leaf]) -> u64 {
    leaves.iter().map(|leaf| leaf.weight).sum()
}

/// Left's part of both, as a part of 2^64.
fn part(left: u64, right: u64) -> u64 {
    ((u128::from(left) << 64) / u128::from(left + right)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: u32, weight: u64) -> Leaf {
        Leaf { digest: mix(u64::from(number) + 1), weight, number }
    }

    fn tally(trie: &Trie, leaves: usize, walks: u64) -> Vec<usize> {
        let mut counts = vec![0; leaves];
        (0..walks).for_each(|key| counts[trie.walk(mix(key)) as usize] += 1);
        counts
    }

    #[test]
    fn every_leaf_is_reached_in_proportion_to_its_weight() {
        let leaves: Vec<Leaf> = (0..200).map(|number| leaf(number, u64::from(number % 4) + 1)).collect();
        let counts = tally(&Trie::new(leaves), 200, 500_000);
        for (number, count) in counts.iter().enumerate() {
            let fair = 1_000 * (number % 4 + 1);
            assert!(count.abs_diff(fair) < fair / 5, "{number}: {count} of {fair}");
        }
    }

    #[test]
    fn equal_digests_and_a_single_leaf_are_no_trouble() {
        let same = [0, 1, 2].map(|number| Leaf { digest: 7, ..leaf(number, 1) });
        assert!(tally(&Trie::new(same.to_vec()), 3, 9_000).iter().all(|count| count.abs_diff(3_000) < 300));
        assert_eq!(Trie::new(vec![leaf(5, 1)]).walk(1), 5);
    }

    #[test]
    fn one_leaf_more_of_a_thousand_moves_few_keys() {
        let leaves: Vec<Leaf> = (0..1_001).map(|number| leaf(number, 1)).collect();
        let (before, after) = (Trie::new(leaves[..1_000].to_vec()), Trie::new(leaves));
        let moved = (0..100_000).filter(|key| before.walk(mix(*key)) != after.walk(mix(*key))).count();
        assert!((50..1_000).contains(&moved), "{moved}");
    }
}
