//! Hash: consistent, by weighted rendezvous.
//!
//! Every destination scores for every key, and the highest score is the first target, the next highest the second, and
//! so on. A score depends on nothing but the key, the destination's duid and its weight: a destination that comes, goes or
//! changes weight moves only the keys that it gains or loses, and a lost one's keys spread over all others by weight.
//!
//! With u uniform in (0, 1), the score weight / -ln(u) makes shares proportional to weights; with equal weights the order
//! is that of u itself and the logarithm is saved. Weight 0 comes last, in the order of u among themselves.
//!
//! That cost grows with the set. In a set of more than [`SCORED_MAX`] each key has a sequence of walks down a trie instead
//! ([`Trie`]), each of which reaches a destination in proportion to its weight, available or not: the first available one is
//! the first target, the next other one the second. So a destination that is lost or comes back moves only its own keys,
//! spread over all others by weight. After [`WALKS_MAX`] walks scores decide. (A reload that changes the destinations of such
//! a set moves some times more keys than those gained or lost: the trie says how many.)
//!
//! The hash has no secret: all shards, restarts and instances of siplane agree. A caller who picks Call-IDs to hit one
//! destination can do so.

use super::random::{GOLDEN, mix};
use super::select::Draft;
use super::set::Destination;
use super::trie::{Leaf, Trie};
use crate::limits::TARGETS_MAX;

/// Destinations with a weight up to which every one of them is scored for every key.
const SCORED_MAX: usize = 64;

/// Walks for one key in a larger set.
const WALKS_MAX: u64 = 64;

/// What scoring needs to know of a set's destinations.
#[derive(Debug)]
pub(super) struct Rendezvous {
    weighted: Vec<Member>,
    /// Those of weight 0.
    reserve: Vec<Member>,
    equal_weights: bool,
    /// Only of a set that is too large to score all.
    trie: Option<Trie>,
}

#[derive(Debug)]
struct Member {
    digest: u64,
    weight: f64,
    position: usize,
}

impl Rendezvous {
    pub(super) fn new(destinations: &[Destination]) -> Self {
        let regular = destinations.iter().enumerate().filter(|(_, destination)| !destination.last_resort);
        let members = regular.map(|(position, destination)| Member {
            digest: digest(destination.duid.as_bytes()),
            weight: f64::from(destination.weight),
            position,
        });
        let (weighted, reserve): (Vec<Member>, Vec<Member>) = members.partition(|member| member.weight > 0.0);
        let equal_weights = weighted.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let trie = (weighted.len() > SCORED_MAX).then(|| Trie::new(weighted.iter().map(Member::leaf).collect()));
        Self { weighted, reserve, equal_weights, trie }
    }

    /// Offers destinations from the one where the key belongs down.
    pub(super) fn draft(&self, draft: &mut Draft<'_>, key: &[u8], host: &[u8]) {
        let key = if host.is_empty() { digest(key) } else { mix(digest(key).wrapping_add(GOLDEN)) ^ digest(host) };
        if let Some(trie) = &self.trie {
            walk(draft, trie, key);
        }
        if draft.room() > 0 && self.equal_weights {
            rank(draft, &self.weighted, |member| member.even_score(key));
        } else if draft.room() > 0 {
            rank(draft, &self.weighted, |member| member.score(key));
        }
        if draft.room() > 0 {
            rank(draft, &self.reserve, |member| member.even_score(key));
        }
    }
}

/// Offers whoever the walks reach.
fn walk(draft: &mut Draft<'_>, trie: &Trie, key: u64) {
    for number in 0..WALKS_MAX {
        if draft.room() == 0 {
            return;
        }
        draft.offer(trie.walk(mix(key.wrapping_add(number.wrapping_mul(GOLDEN)))) as usize);
    }
}

impl Member {
    fn leaf(&self) -> Leaf {
        Leaf { digest: self.digest, weight: self.weight as u64, number: self.position as u32 }
    }

    /// Uniform over all of `u64`.
    fn even_score(&self, key: u64) -> u64 {
        mix(self.digest ^ key)
    }

    /// In the order of weight / -ln(u).
    fn score(&self, key: u64) -> u64 {
        // 52 bits and a half: never 0 and never 1, so the logarithm is finite and negative.
        let u = ((self.even_score(key) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        // Positive floats are in the order of their bits.
        (self.weight / -u.ln()).to_bits()
    }
}

/// Offers the available members with the highest scores, as many as there is room for.
fn rank(draft: &mut Draft<'_>, members: &[Member], score: impl Fn(&Member) -> u64) {
    let mut best = Best { entries: [(0, 0); TARGETS_MAX], len: 0, room: draft.room().min(TARGETS_MAX) };
    for member in members {
        let score = score(member);
        // Most scores are too low: availability, which lies elsewhere in memory, is looked at for the others only.
        if best.admits(score) && draft.is_open(member.position) {
            best.insert(score, member.position);
        }
    }
    draft.offer_all(best.entries[..best.len].iter().map(|(_, position)| *position));
}

/// The highest scores so far with their positions, highest first; of equal ones the first to come.
struct Best {
    entries: [(u64, usize); TARGETS_MAX],
    len: usize,
    room: usize,
}

impl Best {
    fn admits(&self, score: u64) -> bool {
        self.len < self.room || (self.len > 0 && score > self.entries[self.len - 1].0)
    }

    /// Only for a score that was admitted.
    fn insert(&mut self, score: u64, position: usize) {
        let place = self.entries[..self.len].partition_point(|entry| entry.0 >= score);
        self.len = (self.len + 1).min(self.room);
        self.entries[place..self.len].rotate_right(1);
        self.entries[place] = (score, position);
    }
}

/// 64 bits of `bytes`, the same on every machine and in every version: pinned by a test.
fn digest(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix((hash ^ u64::from_le_bytes(word)).wrapping_add(GOLDEN))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dispatcher::fixture::{Bench, tally};
    use crate::dispatcher::{Algorithm, HashInput, HashKind};

    const HASH: Algorithm = Algorithm::Hash(HashInput::CallId, HashKind::Consistent);
    const CALLS: usize = 24_000;

    fn bench(weights: &[u32]) -> Bench {
        Bench::with_limit(HASH, weights, 3, 1)
    }

    fn call_id(call: usize) -> Vec<u8> {
        format!("{call}-a84b4c76e66710@pc33.example.com").into_bytes()
    }

    fn firsts(bench: &mut Bench) -> Vec<usize> {
        (0..CALLS).map(|call| bench.select(&call_id(call))[0]).collect()
    }

    /// Fails unless every count is within a quarter of its fair share.
    #[track_caller]
    fn assert_fair(counts: &[usize], weights: &[u32]) {
        let (calls, sum) = (counts.iter().sum::<usize>() as f64, weights.iter().copied().map(f64::from).sum::<f64>());
        for (count, weight) in counts.iter().zip(weights) {
            let ratio = *count as f64 * sum / (calls * f64::from(*weight));
            assert!((0.8..=1.25).contains(&ratio), "{counts:?} for {weights:?}");
        }
    }

    #[test]
    fn digests_are_the_same_in_every_version() {
        let digests = [&b""[..], b"a", b"abcdefgh", b"abcdefghi", b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"].map(digest);
        assert_eq!(digests, DIGESTS);
    }

    const DIGESTS: [u64; 5] = [
        0,
        7_075_883_509_774_426_401,
        2_224_918_062_305_857_188,
        14_722_577_295_138_244_838,
        16_158_044_074_742_264_613,
    ];

    #[test]
    fn zero_bytes_at_the_end_count() {
        assert_ne!(digest(b"a"), digest(b"a\0"));
        assert_ne!(digest(b""), digest(&[0; 8]));
    }

    #[test]
    fn calls_spread_by_weight() {
        for weights in [&[1, 1, 1, 1, 1, 1][..], &[1, 2, 3], &[100, 50, 50, 200], &[4_000_000_000, 1_000_000_000]] {
            let counts = tally(&firsts(&mut bench(weights)), weights.len());
            assert_fair(&counts, weights);
        }
    }

    #[test]
    fn a_lost_destination_moves_only_its_own_calls_and_spreads_them_fairly() {
        for weights in [[1; 6], [3, 1, 2, 2, 1, 3]] {
            let mut bench = bench(&weights);
            let before = firsts(&mut bench);
            bench.set_available(2, false);
            let after = firsts(&mut bench);
            let moved: Vec<usize> =
                before.iter().zip(&after).filter(|(before, _)| **before == 2).map(|(_, after)| *after).collect();
            let others = |counts: &[usize]| [counts[0], counts[1], counts[3], counts[4], counts[5]];
            assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 2));
            assert_fair(&others(&tally(&moved, 6)), &[weights[0], weights[1], weights[3], weights[4], weights[5]]);
            assert_fair(&others(&tally(&after, 6)), &[weights[0], weights[1], weights[3], weights[4], weights[5]]);
        }
    }

    #[test]
    fn in_a_large_set_a_lost_destination_moves_only_its_own_calls_and_nobody_gets_many() {
        for weights in [vec![1; 200], (0..200).map(|number| number % 3 + 1).collect()] {
            let mut bench = bench(&weights);
            let before = firsts(&mut bench);
            let fair =
                |position: usize| CALLS as f64 * f64::from(weights[position]) / f64::from(weights.iter().sum::<u32>());
            let counts = tally(&before, 200);
            assert!((0..200).all(|position| (counts[position] as f64) < 1.5 * fair(position)), "{counts:?}");
            (50..100).for_each(|position| bench.set_available(position, false));
            let after = firsts(&mut bench);
            assert!(before.iter().zip(&after).all(|(before, after)| before == after || (50..100).contains(before)));
            let counts = tally(&after, 200);
            assert!((0..200).all(|position| (counts[position] as f64) < 1.9 * fair(position)), "{counts:?}");
            (0..200).for_each(|position| bench.set_available(position, position == 7 || position == 9));
            assert!(firsts(&mut bench).iter().all(|position| [7, 9].contains(position)));
        }
    }

    #[test]
    fn user_and_host_of_a_uri_both_count() {
        let mut bench = bench(&[1; 20]);
        let firsts = |bench: &mut Bench, keys: [(&str, &str); 4]| {
            keys.map(|(key, host)| bench.select_uri(key.as_bytes(), host.as_bytes())[0])
        };
        let hosts = firsts(&mut bench, [("bob", "a.example"), ("bob", "b.example"), ("bob", "c.example"), ("bob", "")]);
        let users = firsts(&mut bench, [("bob", "x"), ("eve", "x"), ("", "x"), ("x", "")]);
        assert!(hosts.windows(2).any(|pair| pair[0] != pair[1]) && users.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_destination_that_comes_takes_a_fair_share_and_moves_nothing_else() {
        for weights in [[1; 6], [3, 1, 2, 2, 1, 3]] {
            let before = firsts(&mut bench(&weights[..5]));
            let after = firsts(&mut bench(&weights));
            assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == 5));
            assert_fair(&tally(&after, 6), &weights);
        }
    }

    #[test]
    fn a_destination_that_gains_weight_only_gains_calls() {
        let before = firsts(&mut bench(&[2, 2, 2]));
        let after = firsts(&mut bench(&[2, 3, 2]));
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == 1));
        assert_ne!(before, after);
    }

    #[test]
    fn weight_zero_gets_calls_only_when_no_other_is_left_and_then_shares_them() {
        let mut bench = Bench::new(HASH, &[0, 1, 0, 2]);
        for call in 0..200 {
            assert!(bench.select(&call_id(call))[..2].iter().all(|position| [1, 3].contains(position)));
        }
        bench.set_available(1, false);
        bench.set_available(3, false);
        let counts = tally(&firsts(&mut bench), 4);
        assert_fair(&[counts[0], counts[2]], &[1, 1]);
    }

    proptest! {
        #[test]
        fn failover_goes_to_whom_the_call_would_go_if_those_before_were_lost(
            weights in prop::collection::vec(1_u32..9, 1..150), key in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let mut bench = Bench::with_limit(HASH, &weights, TARGETS_MAX, 1);
            for target in bench.select(&key) {
                prop_assert_eq!(bench.select(&key)[0], target);
                bench.set_available(target, false);
            }
        }
    }
}
