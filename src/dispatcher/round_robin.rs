//! Round robin: each destination in turn, over all shards together.
//!
//! All shards count on one counter, and every number of it belongs to one request. A number that falls on an unavailable
//! destination is passed over together with those up to the next available one, so the round gets shorter: the others
//! still get one request each per round, and no neighbour inherits the share of the lost one.
//!
//! Failover goes on in file order.

use core::sync::atomic::{AtomicU64, Ordering};

use super::select::{Draft, around};

/// Attempts to pass over unavailable destinations while other shards count on. The last attempt stands even if another
/// shard may have got the same turn: an uneven request rather than a loop without a bound.
const CLAIMS_MAX: usize = 16;

/// Offers the destination whose turn it is and those that follow it.
pub(super) fn draft(draft: &mut Draft<'_>, counter: &AtomicU64) {
    if let Some(first) = claim(draft, counter) {
        draft.begin_with(first);
        draft.offer_all(around(first, draft.destinations()).skip(1));
    }
}

/// The available destination whose turn it is; none when there is none.
fn claim(draft: &Draft<'_>, counter: &AtomicU64) -> Option<usize> {
    let count = draft.destinations();
    let mut claimed = None;
    for _ in 0..CLAIMS_MAX {
        let turn = counter.fetch_add(1, Ordering::Relaxed);
        let start = usize::try_from(turn.checked_rem(count as u64)?).ok()?;
        let passed_over = around(start, count).position(|position| draft.is_available(position))?;
        claimed = Some((start + passed_over) % count);
        if passed_over == 0 || pass_over(counter, turn + 1, passed_over as u64) {
            break;
        }
    }
    claimed
}

/// Takes the next `turns` turns as well; false when another shard has taken the first of them.
fn pass_over(counter: &AtomicU64, next: u64, turns: u64) -> bool {
    counter.compare_exchange(next, next + turns, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use crate::dispatcher::fixture::{Bench, tally};
    use crate::dispatcher::{Algorithm, Input, Random, Targets};

    #[test]
    fn targets_start_at_the_next_destination_and_go_on_in_file_order() {
        let mut bench = Bench::with_limit(Algorithm::RoundRobin, &[1; 4], 3, 1);
        let drawn: Vec<_> = (0..5).map(|_| bench.select(b"")).collect();
        assert_eq!(drawn, [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1], [0, 1, 2]]);
    }

    #[test]
    fn the_share_of_a_lost_destination_is_spread_over_all_others_exactly() {
        let mut bench = Bench::new(Algorithm::RoundRobin, &[1; 6]);
        bench.set_available(2, false);
        bench.set_available(3, false);
        let drawn: Vec<_> = (0..8).map(|_| bench.select(b"")[0]).collect();
        assert_eq!(drawn, [0, 1, 4, 5, 0, 1, 4, 5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn shards_together_give_each_destination_the_same_number_of_requests(
            count in 1_usize..20, shards in 1_usize..6, rounds in 1_usize..60,
        ) {
            let bench = Bench::new(Algorithm::RoundRobin, &vec![1; count]);
            let drawn: Vec<usize> = thread::scope(|scope| {
                let run = |_| scope.spawn(|| shard(&bench, count * rounds));
                let shards: Vec<_> = (0..shards).map(run).collect();
                shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect()
            });
            prop_assert_eq!(tally(&drawn, count), vec![rounds * shards; count]);
        }
    }

    fn shard(bench: &Bench, requests: usize) -> Vec<usize> {
        let (mut random, mut targets) = (Random::new(1), Targets::new());
        let mut request = |_| {
            bench.set().select(bench.states(), &Input::at(bench.now), &mut random, &mut targets);
            bench.position(targets[0])
        };
        (0..requests).map(&mut request).collect()
    }

    #[test]
    fn shards_together_stay_even_while_destinations_are_missing() {
        let bench = Bench::new(Algorithm::RoundRobin, &[1; 10]);
        [1, 2, 7].iter().for_each(|position| bench.set_available(*position, false));
        let drawn: Vec<usize> = thread::scope(|scope| {
            let shards: Vec<_> = (0..4).map(|_| scope.spawn(|| shard(&bench, 7_000))).collect();
            shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect()
        });
        let counts = tally(&drawn, 10);
        let of_available = |position: &usize| ![1, 2, 7].contains(position);
        assert!((0..10).filter(of_available).all(|position| counts[position].abs_diff(4_000) <= 40), "{counts:?}");
    }
}
