//! Random: every order of the available destinations is equally likely.
//!
//! In a set that is large beside its limit, positions are drawn until an open one turns up: O(limit) while most are
//! available. If that takes too long, and in small sets at once, one pass over the set samples what is still missing.

use super::random::Random;
use super::select::Draft;

/// A set this many times as large as its limit is worth drawing from.
const DRAW_FACTOR: usize = 4;

/// Draws per target before the pass over the set.
const DRAWS_PER_TARGET: usize = 8;

/// Offers destinations in random order.
pub(super) fn draft(draft: &mut Draft<'_>, random: &mut Random) {
    if draft.destinations() > DRAW_FACTOR * draft.room() {
        draw(draft, random);
    }
    if draft.room() > 0 {
        sample(draft, random);
    }
}

/// Each accepted draw is uniform over the open destinations; that draws may run out depends on none in particular.
fn draw(draft: &mut Draft<'_>, random: &mut Random) {
    for _ in 0..DRAWS_PER_TARGET * draft.room() {
        if draft.room() == 0 {
            return;
        }
        draft.offer(random.index(draft.destinations()));
    }
}

/// Reservoir sampling: the n-th open destination gets a place with probability places/n, then places are shuffled.
fn sample(draft: &mut Draft<'_>, random: &mut Random) {
    let (kept, places) = (draft.len(), draft.room());
    let mut seen = 0;
    for position in 0..draft.destinations() {
        if !draft.is_open(position) {
            continue;
        }
        seen += 1;
        if draft.room() > 0 {
            // Refused only when it has gone since it was looked at.
            draft.offer(position);
            continue;
        }
        let place = random.index(seen);
        if place < places {
            draft.replace(kept + place, position);
        }
    }
    let kept = kept.min(draft.len());
    shuffle(&mut draft.targets()[kept..], random);
}

/// Fisher-Yates.
fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.index(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::dispatcher::Algorithm;
    use crate::dispatcher::fixture::Bench;

    /// How often each ordered target set of `limit` came up among `missing` fewer than `count`.
    fn orders(count: usize, available: &[usize], limit: usize, requests: usize) -> BTreeMap<Vec<usize>, usize> {
        let mut bench = Bench::with_limit(Algorithm::Random, &vec![1; count], limit, 11);
        (0..count).for_each(|position| bench.set_available(position, available.contains(&position)));
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            *counts.entry(bench.select(b"")).or_default() += 1;
        }
        counts
    }

    #[track_caller]
    fn assert_even(counts: &BTreeMap<Vec<usize>, usize>, kinds: usize, each: usize) {
        assert_eq!(counts.len(), kinds);
        let tolerance = each / 10;
        assert!(counts.values().all(|count| count.abs_diff(each) < tolerance), "{counts:?}");
    }

    #[test]
    fn all_orders_of_a_small_set_are_equally_likely() {
        assert_even(&orders(4, &[0, 1, 2, 3], 4, 48_000), 24, 2_000);
    }

    #[test]
    fn all_choices_from_a_small_set_are_equally_likely() {
        assert_even(&orders(5, &[0, 1, 2, 4], 2, 24_000), 12, 2_000);
    }

    #[test]
    fn all_pairs_of_a_large_set_are_equally_likely() {
        let all: Vec<usize> = (0..9).collect();
        assert_even(&orders(9, &all, 2, 144_000), 72, 2_000);
    }

    #[test]
    fn the_few_that_are_left_of_a_large_set_are_equally_likely() {
        assert_even(&orders(1_000, &[17, 18, 500, 999], 2, 24_000), 12, 2_000);
    }
}
