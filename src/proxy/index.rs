//! Finds the server transaction of a request by the hash of what RFC 3261 §17.2.3 matches.
//!
//! Policy:
//! - Linear hashing (Litwin 1980): when there are as many values as chains, the next insertion cuts one chain in two. The table grows
//!   in steps of a chain: no call waits while a million entries are filed anew, and a chain has one value on average.
//! - A link of a chain lies at the number of its transaction's slot, and has 32 bits of the hash; the owner compares all 64.
//! - Memory is 12 bytes for each transaction slot that was ever used, and is never given back.
//!
//! Invariant: a value is in the chain that [`Index::chain_of`] names for its hash.

use super::memory::{Prepare, grow, make_room};

/// Ends a chain.
const NONE: u32 = u32::MAX;
/// Chains of an empty index.
const FIRST_CHAINS: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Link {
    hash: u32,
    next: u32,
}

/// Slots by hash.
#[derive(Debug)]
pub(crate) struct Index {
    chains: Vec<u32>,
    links: Vec<Link>,
    /// One less than the power of two that the chains grow to.
    mask: usize,
    len: usize,
    /// As many chains as the bound on values asks for.
    max: usize,
    prepare: Prepare,
}

impl Index {
    /// For slots below `max`; its memory is shown to `prepare`. Allocates nothing yet.
    pub(crate) const fn new(max: usize, prepare: Prepare) -> Self {
        Self { chains: Vec::new(), links: Vec::new(), mask: 0, len: 0, max, prepare }
    }

    /// Shows `touch` the memory of the first `count` slots, which it makes now; for an empty index.
    pub(crate) fn make_room(&mut self, count: usize, touch: Prepare) {
        make_room(&mut self.chains, count, self.max.max(FIRST_CHAINS), self.prepare, touch);
        make_room(&mut self.links, count, self.max, self.prepare, touch);
    }

    /// Files `slot`, which is in no chain, under `hash`.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        let at = slot as usize;
        while self.links.len() <= at {
            if self.links.len() == self.links.capacity() {
                grow(&mut self.links, self.max.max(at + 1), self.prepare);
            }
            self.links.push(Link { hash: 0, next: NONE });
        }
        if self.len >= self.chains.len() {
            self.add_chain();
        }
        let hash = hash as u32;
        let chain = self.chain_of(hash);
        self.links[at] = Link { hash, next: self.chains[chain] };
        self.chains[chain] = slot;
        self.len += 1;
    }

    /// The slot under `hash` of which `is_it` says that it is the one.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let mut slot = self.chains[self.chain_of(hash as u32)];
        while let Some(link) = self.links.get(slot as usize) {
            if link.hash == hash as u32 && is_it(slot) {
                return Some(slot);
            }
            slot = link.next;
        }
        None
    }

    /// Takes `slot`, which is filed under `hash`, out; whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) -> bool {
        if self.len == 0 {
            return false;
        }
        let chain = self.chain_of(hash as u32);
        let (mut before, mut at) = (NONE, self.chains[chain]);
        while let Some(Link { next, .. }) = self.links.get(at as usize).copied() {
            if at == slot {
                match self.links.get_mut(before as usize) {
                    Some(before) => before.next = next,
                    None => self.chains[chain] = next,
                }
                self.len -= 1;
                return true;
            }
            (before, at) = (at, next);
        }
        false
    }

    /// The chain of a hash: of twice as many chains as have all been cut, or before it was cut.
    #[inline]
    fn chain_of(&self, hash: u32) -> usize {
        let chain = hash as usize & self.mask;
        if chain < self.chains.len() { chain } else { chain & (self.mask >> 1) }
    }

    /// One more chain, with those values of another that belong into it.
    fn add_chain(&mut self) {
        if self.chains.len() == self.chains.capacity() {
            grow(&mut self.chains, self.max.max(FIRST_CHAINS), self.prepare);
        }
        let added = self.chains.len();
        if added == 0 {
            self.mask = FIRST_CHAINS - 1;
            return self.chains.resize(FIRST_CHAINS, NONE);
        }
        // The chain that had the hashes of the new one: the same number without its highest bit.
        let cut = added & !(1 << added.ilog2());
        let mut slot = std::mem::replace(&mut self.chains[cut], NONE);
        self.chains.push(NONE);
        self.mask = self.chains.len().next_power_of_two() - 1;
        while let Some(Link { hash, next }) = self.links.get(slot as usize).copied() {
            let chain = self.chain_of(hash);
            self.links[slot as usize].next = self.chains[chain];
            self.chains[chain] = slot;
            slot = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::as_it_comes;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The longest chain.
    fn longest(index: &Index) -> usize {
        let length = |chain: &u32| {
            let next = |slot: &u32| index.links.get(*slot as usize).map(|link| link.next);
            core::iter::successors(Some(*chain), next).count() - 1
        };
        index.chains.iter().map(length).max().unwrap_or(0)
    }

    #[test]
    fn chains_are_as_many_as_values_and_stay_short() {
        let mut index = Index::new(100_000, as_it_comes);
        let hash = |slot: u32| u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        for slot in 0..100_000 {
            let before = index.chains.len();
            index.insert(hash(slot), slot);
            assert!(index.chains.len() <= before + FIRST_CHAINS, "it grows by one at a time");
        }
        assert_eq!(index.chains.len(), 100_000);
        assert!(longest(&index) < 16, "{}", longest(&index));
        assert!((0..100_000).all(|slot| index.find(hash(slot), |found| found == slot) == Some(slot)));
        assert!((0..100_000).all(|slot| index.remove(hash(slot), slot)));
        assert_eq!((index.len, index.find(hash(7), |_| true)), (0, None));
    }

    #[test]
    fn values_with_one_hash_are_told_apart() {
        let mut index = Index::new(4, as_it_comes);
        (0..4).for_each(|slot| index.insert(5, slot));
        assert_eq!(index.find(5, |slot| slot == 2), Some(2));
        assert!(index.remove(5, 2) && !index.remove(5, 2));
        assert_eq!((index.find(5, |slot| slot == 2), index.find(5, |slot| slot == 1)), (None, Some(1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_history_agrees_with_a_map(ops in vec((any::<bool>(), 0..200_u32, 0..50_u64), 0..600)) {
            let mut index = Index::new(200, as_it_comes);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (insert, slot, hash) in ops {
                // Hashes that differ in high bits, in low ones, and not at all.
                let hash = hash | hash << 33;
                match model.remove(&slot) {
                    Some(old) => prop_assert!(index.remove(old, slot)),
                    None => prop_assert!(!index.remove(hash, slot)),
                }
                if insert {
                    index.insert(hash, slot);
                    model.insert(slot, hash);
                }
                prop_assert_eq!(index.len, model.len());
                for slot in 0..200 {
                    let found = model.get(&slot).and_then(|hash| index.find(*hash, |found| found == slot));
                    prop_assert_eq!(found, model.contains_key(&slot).then_some(slot));
                }
            }
        }
    }
}
