//! Bounds, slow start and last resort, which hold under every algorithm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::super::fixture::{ALGORITHMS, Bench, destination, set, tally};
use super::super::{Algorithm, DestinationSpec, Input, LoadChoice, Random, Refused, SetSpec, Targets};
use crate::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn with(algorithm: Algorithm, slow_start: Duration, destinations: Vec<DestinationSpec>) -> Bench {
    Bench::of(SetSpec { slow_start, ..set(1, algorithm, destinations) }, 1)
}

fn firsts(bench: &mut Bench, requests: u64) -> Vec<usize> {
    (0..requests).map(|request| bench.select(&request.to_le_bytes())[0]).collect()
}

fn is_hash(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Hash(..))
}

#[test]
fn who_is_at_maxload_is_no_target_until_a_call_ends() {
    for algorithm in ALGORITHMS {
        let spec = |number| DestinationSpec { maxload: 2, ..destination(number, 1) };
        let mut bench = with(algorithm, Duration::ZERO, (0..3).map(spec).collect());
        let one = bench.destination(1).clone();
        let token = bench.states().reserve(&one, bench.now).unwrap();
        assert_eq!(bench.select(b"call").len(), 3, "{algorithm:?}");
        let other = bench.states().reserve(&one, bench.now).unwrap();
        assert_eq!(bench.states().reserve(&one, bench.now).unwrap_err(), Refused::Load);
        for call in 0..20_u64 {
            let targets = bench.select(&call.to_le_bytes());
            assert!(targets.len() == 2 && !targets.contains(&1), "{algorithm:?}");
        }
        bench.states().release(token);
        assert_eq!(bench.select(b"call").len(), 3, "{algorithm:?}");
        bench.states().release(other);
    }
}

#[test]
fn who_has_got_its_calls_per_second_is_no_target_until_time_has_passed() {
    for algorithm in ALGORITHMS {
        let spec = |number| DestinationSpec { calls_per_second_max: 10, ..destination(number, 1) };
        let mut bench = with(algorithm, Duration::ZERO, (0..3).map(spec).collect());
        let one = bench.destination(1).clone();
        let taken: Vec<_> = (0..9).map_while(|_| bench.states().reserve(&one, bench.now).ok()).collect();
        assert_eq!(taken.len(), 2, "a burst of an eighth");
        assert_eq!(bench.states().reserve(&one, bench.now).unwrap_err(), Refused::Rate);
        assert_eq!(bench.states().load(one.state), 2);
        assert!(!bench.select(b"call").contains(&1), "{algorithm:?}");
        bench.now = bench.now + Duration::from_millis(112);
        assert!(bench.select(b"call").contains(&1), "{algorithm:?}");
        taken.into_iter().for_each(|token| bench.states().release(token));
    }
}

#[test]
fn eight_threads_never_take_the_load_above_maxload() {
    for algorithm in ALGORITHMS {
        let spec = |number: usize| DestinationSpec { maxload: 3 + number as u32, ..destination(number, 1) };
        let bench = with(algorithm, Duration::ZERO, (0..4).map(spec).collect());
        // Counted apart from the load itself: before a token is given back, after it was taken.
        let (held, most) = ([const { AtomicU64::new(0) }; 4], [const { AtomicU64::new(0) }; 4]);
        thread::scope(|scope| {
            for shard in 0..8 {
                let (bench, held, most) = (&bench, &held, &most);
                scope.spawn(move || churn(bench, shard, held, most));
            }
        });
        let maxima = most.each_ref().map(|most| most.load(Ordering::Relaxed));
        assert!(maxima.iter().zip(3..).all(|(most, maxload)| *most <= maxload), "{algorithm:?}: {maxima:?}");
        assert_eq!(bench.states().total_load(), 0);
    }
}

fn churn(bench: &Bench, shard: u64, held: &[AtomicU64; 4], most: &[AtomicU64; 4]) {
    let (mut random, mut targets, mut tokens) = (Random::new(shard), Targets::new(), Vec::new());
    for call in 0..3_000_u64 {
        let key = (call << 8 | shard).to_le_bytes();
        let input = Input { hash_key: &key, ..Input::at(bench.now) };
        bench.set().select(bench.states(), &input, &mut random, &mut targets);
        let positions = targets.iter().map(|target| bench.position(*target));
        let reserve = |position| Some((position, bench.states().reserve(bench.destination(position), bench.now).ok()?));
        if let Some((position, token)) = positions.filter_map(reserve).next() {
            most[position].fetch_max(held[position].fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokens.push((position, token));
        }
        if tokens.len() > 2 || targets.is_empty() {
            tokens.drain(..).for_each(|(position, token)| {
                held[position].fetch_sub(1, Ordering::SeqCst);
                bench.states().release(token);
            });
        }
    }
    // Other shards go on: what is not counted out here would count as held there.
    tokens.into_iter().for_each(|(position, token)| {
        held[position].fetch_sub(1, Ordering::SeqCst);
        bench.states().release(token);
    });
}

#[test]
fn eight_threads_never_exceed_the_calls_per_second() {
    let spec = DestinationSpec { calls_per_second_max: 80, ..destination(0, 1) };
    let bench = with(Algorithm::RoundRobin, Duration::ZERO, vec![spec]);
    let taken: usize = thread::scope(|scope| {
        // Every shard's clock goes from 0 to 1 s.
        let shard = || {
            let now = |step: u64| Instant::from_nanos(step * 1_000_000);
            let tokens: Vec<_> =
                (1..=1_000).filter_map(|step| bench.states().reserve(bench.destination(0), now(step)).ok()).collect();
            let count = tokens.len();
            tokens.into_iter().for_each(|token| bench.states().release(token));
            count
        };
        let shards: Vec<_> = (0..8).map(|_| scope.spawn(shard)).collect();
        shards.into_iter().map(|shard| shard.join().unwrap()).sum()
    });
    assert!((70..=80).contains(&taken), "{taken}");
}

#[test]
fn the_last_resort_is_a_target_only_when_there_is_no_other() {
    for algorithm in ALGORITHMS {
        let spec =
            |number| DestinationSpec { last_resort: number != 1 && number != 3, maxload: 1, ..destination(number, 5) };
        let mut bench = with(algorithm, Duration::ZERO, (0..5).map(spec).collect());
        for call in 0..40_u64 {
            let mut targets = bench.select(&call.to_le_bytes());
            targets.sort_unstable();
            assert_eq!(targets, [1, 3], "{algorithm:?}");
        }
        bench.set_available(1, false);
        let token = bench.states().reserve(bench.destination(3), bench.now).unwrap();
        assert_eq!(bench.select(b"call"), [0, 2, 4], "{algorithm:?}");
        bench.set_available(2, false);
        let other = bench.states().reserve(bench.destination(0), bench.now).unwrap();
        assert_eq!(bench.select(b"call"), [4], "{algorithm:?}");
        [token, other].into_iter().for_each(|token| bench.states().release(token));
    }
}

/// Destination 1 of four goes at 1 s and comes back at 2 s; slow start takes 10 s.
fn recovered(algorithm: Algorithm) -> Bench {
    let spec = |number| DestinationSpec { maxload: 200, priority: 0, ..destination(number, 1) };
    let mut bench = with(algorithm, Duration::from_secs(10), (0..4).map(spec).collect());
    bench.now = Instant::from_nanos(1_000_000_000);
    bench.set_available(1, false);
    bench.now = Instant::from_nanos(2_000_000_000);
    bench.set_available(1, true);
    bench
}

#[test]
fn slow_start_ramps_the_share_from_a_tenth_to_all_under_every_weighing_algorithm() {
    let ramped = |algorithm: &&Algorithm| {
        let by_priority = matches!(**algorithm, Algorithm::Priority | Algorithm::Parallel);
        !is_hash(**algorithm) && !by_priority && !matches!(**algorithm, Algorithm::CallLoad(_))
    };
    for algorithm in ALGORITHMS.iter().filter(ramped) {
        let mut bench = recovered(*algorithm);
        let start = bench.now;
        // Its part p of its turns, and the others share what is left: p / 4 of all when passed-over turns go on to others.
        for (after_ms, least, most) in
            [(0, 0.02, 0.04), (5_000, 0.11, 0.175), (9_000, 0.2, 0.245), (10_000, 0.249, 0.251)]
        {
            bench.now = start + Duration::from_millis(after_ms);
            let counts = tally(&firsts(&mut bench, 20_000), 4);
            let share = counts[1] as f64 / 20_000.0;
            let within = if *algorithm == Algorithm::Random {
                (least - 0.01..most + 0.01).contains(&share)
            } else {
                (least..=most).contains(&share)
            };
            assert!(within, "{algorithm:?} after {after_ms} ms: {share}");
        }
    }
}

#[test]
fn slow_start_holds_calls_back_from_the_first_priority_in_proportion() {
    for algorithm in [Algorithm::Priority, Algorithm::Parallel] {
        let mut bench = recovered(algorithm);
        bench.set_available(0, false);
        let start = bench.now;
        for (after_ms, fair) in [(0, 1_000), (5_000, 5_500), (10_000, 10_000)] {
            bench.now = start + Duration::from_millis(after_ms);
            let counts = tally(&firsts(&mut bench, 10_000), 4);
            assert!(counts[1].abs_diff(fair) < 200 && counts[1] + counts[2] == 10_000, "{algorithm:?}: {counts:?}");
        }
    }
}

#[test]
fn under_call_load_a_destination_that_comes_back_fills_up_to_its_part_and_not_at_once() {
    for choice in [LoadChoice::Exact, LoadChoice::TwoChoices] {
        let mut bench = recovered(Algorithm::CallLoad(choice));
        let mut tokens = Vec::new();
        for position in [0, 2, 3] {
            tokens.extend((0..100).map(|_| bench.states().take_load(bench.destination(position).state)));
        }
        let start = bench.now;
        for (after_ms, part) in [(0, 10), (5_000, 55)] {
            bench.now = start + Duration::from_millis(after_ms);
            for _ in 0..300 {
                let first = bench.select(b"")[0];
                tokens.push(bench.states().reserve(bench.destination(first), bench.now).unwrap());
                // As many end elsewhere as begin: the others stay at some 100.
                let ended = tokens.iter().position(|token| token.state() != bench.destination(1).state).unwrap();
                bench.states().release(tokens.remove(ended));
            }
            let load = bench.states().load(bench.destination(1).state);
            assert!(load <= part * 5 / 4 + 2 && load + 4 >= part * 8 / 10, "{choice:?} after {after_ms} ms: {load}");
        }
        tokens.into_iter().for_each(|token| bench.states().release(token));
    }
}

#[test]
fn slow_start_ramps_maxload_under_every_algorithm() {
    for algorithm in ALGORITHMS {
        let mut bench = recovered(algorithm);
        let start = bench.now;
        let mut tokens = Vec::new();
        for (after_ms, bound) in [(0, 20), (5_000, 110), (10_000, 200)] {
            bench.now = start + Duration::from_millis(after_ms);
            let one = bench.destination(1).clone();
            tokens.extend(std::iter::from_fn(|| bench.states().reserve(&one, bench.now).ok()));
            assert_eq!(tokens.len(), bound, "{algorithm:?} after {after_ms} ms");
            assert!(!bench.select(b"call").contains(&1));
        }
        tokens.into_iter().for_each(|token| bench.states().release(token));
    }
}

#[test]
fn a_whole_set_that_comes_back_takes_every_request_and_falls_on_nobody() {
    let spreads =
        |algorithm: &Algorithm| !is_hash(*algorithm) && !matches!(algorithm, Algorithm::Priority | Algorithm::Parallel);
    for algorithm in ALGORITHMS.into_iter().filter(spreads) {
        let mut bench = recovered(algorithm);
        (0..4).for_each(|position| bench.set_available(position, false));
        (0..4).for_each(|position| bench.set_available(position, true));
        let counts = tally(&firsts(&mut bench, 8_000), 4);
        assert!(counts.iter().all(|count| (1_700..2_300).contains(count)), "{algorithm:?}: {counts:?}");
    }
}

#[test]
fn a_destination_that_one_reload_disables_and_another_enables_starts_slowly() {
    let spec = |disabled| {
        let destinations =
            (0..4).map(|number| DestinationSpec { disabled: disabled && number == 1, ..destination(number, 1) });
        SetSpec { slow_start: 10 * SECOND, ..set(1, Algorithm::RoundRobin, destinations.collect()) }
    };
    let mut bench = Bench::of(spec(false), 1);
    for (at, disabled) in [(2, true), (7, false)] {
        bench.now = Instant::from_nanos(0) + at * SECOND;
        bench.reload(spec(disabled));
    }
    let start = bench.now;
    for (after, least, most) in [(Duration::ZERO, 0.02, 0.04), (5 * SECOND, 0.11, 0.175), (10 * SECOND, 0.249, 0.251)] {
        bench.now = start + after;
        let share = tally(&firsts(&mut bench, 4_000), 4)[1] as f64 / 4_000.0;
        assert!((least..=most).contains(&share), "after {after:?}: {share}");
    }
}

#[test]
fn who_was_never_away_or_only_trying_does_not_start_slowly() {
    let mut bench = recovered(Algorithm::RoundRobin);
    bench.set_health(2, super::super::Health::Trying);
    bench.set_health(2, super::super::Health::Active);
    bench.now = bench.now + Duration::from_secs(10);
    assert_eq!(tally(&firsts(&mut bench, 400), 4), [100; 4]);
}
