use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dispatcher::fixture::{Bench, destination, set, tally};
use crate::dispatcher::{Algorithm, DestinationSpec, FAILURE_COUNTS_AS, LoadToken, RESPONSE_HALF_LIFE, SetSpec};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn bench(specs: impl IntoIterator<Item = DestinationSpec>) -> Bench {
    Bench::of(set(1, Algorithm::Latency, specs.into_iter().collect()), 1)
}

fn equal(count: usize) -> Bench {
    bench((0..count).map(|number| destination(number, 1)))
}

fn state(bench: &Bench, position: usize) -> crate::dispatcher::StateIndex {
    bench.destination(position).state
}

/// So many probes answered after so long that estimate and average are that.
fn probed(bench: &Bench, position: usize, time_ms: u64) {
    bench.states().note_probe_answer(state(bench, position), ms(time_ms), 200, 100);
}

fn answered(bench: &Bench, position: usize, time_ms: u64) {
    bench.states().note_response_time(state(bench, position), ms(time_ms));
}

fn reserve(bench: &Bench, position: usize) -> LoadToken {
    bench.states().reserve(bench.destination(position), bench.now).unwrap()
}

#[test]
fn the_fastest_comes_first_and_the_whole_order_is_the_failover_order() {
    let mut bench = equal(4);
    for (position, time_ms) in [(0, 40), (1, 10), (2, 30), (3, 20)] {
        probed(&bench, position, time_ms);
    }
    assert_eq!(bench.select(b""), [1, 3, 2, 0]);
    bench.set_available(1, false);
    assert_eq!(bench.select(b""), [3, 2, 0]);
}

#[test]
fn the_worse_of_probes_and_calls_counts_and_either_alone_where_there_is_one() {
    let mut bench = equal(4);
    probed(&bench, 0, 10);
    answered(&bench, 0, 50);
    probed(&bench, 1, 40);
    answered(&bench, 1, 5);
    answered(&bench, 2, 20);
    probed(&bench, 3, 30);
    assert_eq!(bench.select(b""), [2, 3, 1, 0]);
}

#[test]
fn equal_ones_and_those_below_a_millisecond_take_turns() {
    let mut bench = equal(3);
    for (position, nanos) in [(0, 900_000), (1, 90_000), (2, 9_000)] {
        bench.states().note_response_time(state(&bench, position), Duration::from_nanos(nanos));
    }
    let firsts: Vec<_> = (0..300).map(|_| bench.select(b"")[0]).collect();
    assert_eq!(tally(&firsts, 3), [100; 3]);
}

#[test]
fn answers_that_are_still_out_count_and_calls_that_are_answered_do_not() {
    let mut bench = equal(2);
    answered(&bench, 0, 10);
    answered(&bench, 1, 25);
    let mut tokens: Vec<_> = (0..2).map(|_| reserve(&bench, 0)).collect();
    assert_eq!((bench.states().pending(state(&bench, 0)), bench.select(b"")[0]), (2, 1));
    tokens.iter_mut().for_each(|token| bench.states().note_response(token));
    assert_eq!((bench.states().pending(state(&bench, 0)), bench.states().load(state(&bench, 0))), (0, 2));
    assert_eq!(bench.select(b"")[0], 0);
    // A second response takes away nothing more, and a call that ends unanswered is not waited for either.
    tokens.iter_mut().for_each(|token| bench.states().note_response(token));
    tokens.push(reserve(&bench, 0));
    tokens.into_iter().for_each(|token| bench.states().release(token));
    assert_eq!((bench.states().pending(state(&bench, 0)), bench.states().total_load()), (0, 0));
}

#[test]
fn a_heavier_one_may_wait_for_more_answers() {
    let mut bench = bench([destination(0, 1), destination(1, 3)]);
    (0..2).for_each(|position| answered(&bench, position, 20));
    let mut tokens = Vec::new();
    for _ in 0..400 {
        let first = bench.select(b"")[0];
        tokens.push(reserve(&bench, first));
    }
    let pending = [0, 1].map(|position| bench.states().pending(state(&bench, position)));
    assert!(pending[0].abs_diff(100) <= 1 && pending[1].abs_diff(300) <= 1, "{pending:?}");
    tokens.into_iter().for_each(|token| bench.states().release(token));
}

#[test]
fn who_was_never_measured_is_tried_at_once_by_one_call_at_a_time() {
    let mut bench = equal(3);
    (0..2).for_each(|position| answered(&bench, position, 20));
    assert_eq!(bench.select(b"")[0], 2);
    let mut first = reserve(&bench, 2);
    let mut tokens = Vec::new();
    for _ in 0..30 {
        let next = bench.select(b"")[0];
        assert_ne!(next, 2);
        tokens.push(reserve(&bench, next));
    }
    answered(&bench, 2, 20);
    bench.states().note_response(&mut first);
    assert_eq!(bench.select(b"")[0], 2, "the others have answers out");
    tokens.push(first);
    tokens.into_iter().for_each(|token| bench.states().release(token));
}

#[test]
fn a_cold_set_shares_its_first_calls_evenly() {
    let mut bench = equal(4);
    let tokens: Vec<_> = (0..40)
        .map(|_| {
            let first = bench.select(b"")[0];
            reserve(&bench, first)
        })
        .collect();
    assert!((0..4).all(|position| bench.states().pending(state(&bench, position)) == 10));
    tokens.into_iter().for_each(|token| bench.states().release(token));
}

#[test]
fn who_gives_no_answer_counts_as_slow_and_is_tried_again_when_that_has_faded() {
    let mut bench = equal(2);
    answered(&bench, 0, 20);
    // Nothing known of it, and it does not answer: one call, not every call.
    bench.states().note_unreachable(state(&bench, 1));
    assert_eq!(bench.states().response_time(state(&bench, 1)), Some(FAILURE_COUNTS_AS));
    assert_eq!(bench.select(b"")[0], 0);
    let halves = (1..20).find(|_| {
        bench.states().fade_response_time(state(&bench, 1), RESPONSE_HALF_LIFE);
        bench.select(b"")[0] == 1
    });
    assert_eq!(halves, Some(6), "1000 ms halved until it is below 20 ms");
    bench.states().note_timeout(state(&bench, 1));
    assert_eq!(bench.select(b"")[0], 0);
}

#[test]
fn priorities_rank_by_kamailios_rule() {
    // rpriority = prio - (latency > prio > 0 ? latency / prio : 0), at least 1.
    for (priority, latency_ms, expected) in [
        (50, 50, 50),
        (50, 51, 49),
        (50, 149, 48),
        (50, 9_999, 1),
        (10, 95, 1),
        (10, 89, 2),
        (1, 2, 1),
        (0, 5_000, 0),
        (-3, 5_000, -3),
        (i32::MAX, i32::MAX, i32::MAX),
    ] {
        assert_eq!(rank(priority, latency_ms), expected, "{priority} {latency_ms}");
    }
}

#[test]
fn the_rank_follows_probes_alone_and_comes_before_all_that_calls_say() {
    let spec = |number, priority| DestinationSpec { priority, ..destination(number, 1) };
    let mut bench = bench([spec(0, 30), spec(1, 29), spec(2, 0), spec(3, i32::MIN), spec(4, i32::MAX)]);
    [(0, 20), (1, 5), (2, 1), (3, 1), (4, 60_000)].into_iter().for_each(|(at, time)| probed(&bench, at, time));
    let tokens: Vec<_> = (0..9).map(|_| reserve(&bench, 0)).collect();
    answered(&bench, 0, 500);
    assert_eq!(bench.select(b""), [4, 0, 1, 2, 3]);
    // 75 / 30 is 2: from 30 down to 28.
    (0..200).for_each(|_| probed(&bench, 0, 75));
    assert_eq!(bench.select(b""), [4, 1, 0, 2, 3]);
    tokens.into_iter().for_each(|token| bench.states().release(token));
}

proptest! {
    #[test]
    fn the_order_is_that_of_kamailios_ranks_and_of_costs_within_one(
        members in prop::collection::vec((0_i32..60, 1_u64..300, 0_usize..4, 1_u32..4), 1..128),
    ) {
        let spec = |(number, member): (usize, &(i32, u64, usize, u32))| {
            DestinationSpec { priority: member.0, ..destination(number, member.3) }
        };
        let mut bench = bench(members.iter().enumerate().map(spec));
        let mut tokens = Vec::new();
        for (position, member) in members.iter().enumerate() {
            probed(&bench, position, member.1);
            tokens.extend((0..member.2).map(|_| reserve(&bench, position)));
        }
        let targets = bench.select(b"");
        let place = |position: usize| {
            let (priority, latency, pending, weight) = members[position];
            let latency = latency as i64;
            let priority = i64::from(priority);
            let handicap = if latency > priority && priority > 0 { latency / priority } else { 0 };
            let rank = if priority > 0 { (priority - handicap).max(1) } else { priority };
            // 6 is a multiple of every weight.
            (-rank, latency * (pending as i64 + 1) * (6 / i64::from(weight)))
        };
        tokens.into_iter().for_each(|token| bench.states().release(token));
        prop_assert!(targets.windows(2).all(|pair| place(pair[0]) <= place(pair[1])));
        let last = *targets.last().unwrap();
        prop_assert!((0..members.len()).all(|other| targets.contains(&other) || place(last) <= place(other)));
    }
}

#[test]
fn with_congestion_control_it_is_the_congestion_that_counts() {
    let spec = |number, cc| DestinationSpec { cc, latency: ms(80), ..destination(number, 1) };
    let mut bench = bench([spec(0, true), spec(1, false), spec(2, true)]);
    let order = |bench: &mut Bench| bench.select(b"");
    // Far, but no slower than ever: as fast as can be.
    assert_eq!(order(&mut bench)[2], 1);
    answered(&bench, 0, 500);
    assert_eq!(order(&mut bench)[2], 1, "live response time is distance, too");
    // Estimate 80 * 0.9 + 880 * 0.1 = 160, average hardly above 80: a congestion of 80 ms less that little.
    probed(&bench, 2, 880);
    let congestion = bench.states().congestion(state(&bench, 2));
    assert!((ms(79)..ms(80)).contains(&congestion), "{congestion:?}");
    assert_eq!(order(&mut bench), [0, 2, 1]);
    probed(&bench, 2, 880);
    assert_eq!(order(&mut bench), [0, 1, 2]);
    // Faster than on average is no congestion.
    (0..60).for_each(|_| probed(&bench, 2, 1));
    assert_eq!(bench.states().congestion(state(&bench, 2)), Duration::ZERO);
}

#[test]
fn without_a_probe_there_is_no_congestion_and_the_first_call_is_alone_all_the_same() {
    let spec = |number| DestinationSpec { cc: true, ..destination(number, 1) };
    let mut bench = bench([spec(0), spec(1)]);
    answered(&bench, 0, 300);
    let token = reserve(&bench, 1);
    assert_eq!(bench.select(b"")[0], 0);
    bench.states().release(token);
}

#[test]
fn weight_zero_comes_last_whatever_its_speed_and_priority() {
    let spec = |number, weight, priority| DestinationSpec { priority, ..destination(number, weight) };
    let mut bench = bench([spec(0, 0, 9), spec(1, 1, 0), spec(2, 1, 0)]);
    [(0, 1), (1, 300), (2, 200)].into_iter().for_each(|(position, time_ms)| answered(&bench, position, time_ms));
    assert_eq!(bench.select(b""), [2, 1, 0]);
    (1..3).for_each(|position| bench.set_available(position, false));
    assert_eq!(bench.select(b""), [0]);
}

#[test]
fn a_large_set_takes_good_ones_and_its_highest_priorities() {
    // Every tenth is fast: best of 32 drawn is one of them but for 0.9^32 of the time, 3 %.
    let mut bench = equal(1_000);
    (0..1_000).for_each(|position| probed(&bench, position, if position % 10 == 0 { 10 } else { 100 }));
    let fast = (0..2_000).filter(|_| bench.select(b"")[0].is_multiple_of(10)).count();
    assert!((1_880..2_000).contains(&fast), "{fast}");
    // Two of a thousand have a higher priority, and are not missed.
    let spec =
        |number| DestinationSpec { priority: i32::from(number == 77 || number == 700), ..destination(number, 1) };
    let limited = SetSpec { failover_limit: 3, ..set(1, Algorithm::Latency, (0..1_000).map(spec).collect()) };
    let mut bench = Bench::of(limited, 1);
    (0..1_000).for_each(|position| answered(&bench, position, 10));
    for _ in 0..200 {
        let mut high = bench.select(b"")[..2].to_vec();
        high.sort_unstable();
        assert_eq!(high, [77, 700]);
    }
    bench.set_available(77, false);
    assert!((0..200).all(|_| bench.select(b"")[0] == 700));
}

#[test]
fn a_large_set_in_which_every_priority_is_another_begins_at_the_top() {
    let spec = |number: usize| DestinationSpec { priority: 5_000 - number as i32, ..destination(number, 1) };
    let mut bench = bench((0..1_000).map(spec));
    (0..8).for_each(|position| bench.set_available(position, false));
    assert_eq!(bench.select(b""), (8..24).collect::<Vec<_>>());
}

/// Destinations that serve one call after the other, each in its own time: what waits makes answers slow.
struct Queues {
    bench: Bench,
    service_us: Vec<u64>,
    /// When each has served all that it has.
    free_at_us: Vec<u64>,
    /// Answers under way: when, from whom, since when.
    answers: std::collections::BTreeMap<(u64, u64), (usize, u64, LoadToken)>,
    number: u64,
    random: Random,
}

impl Queues {
    fn new(service_ms: &[u64]) -> Self {
        Self {
            bench: Bench::of(
                set(1, Algorithm::Latency, (0..service_ms.len()).map(|number| destination(number, 1)).collect()),
                1,
            ),
            service_us: service_ms.iter().map(|ms| ms * 1_000).collect(),
            free_at_us: vec![0; service_ms.len()],
            answers: std::collections::BTreeMap::new(),
            number: 0,
            random: Random::new(7),
        }
    }

    fn answer(&mut self, (at, number): (u64, u64)) -> u64 {
        let (position, since, mut token) = self.answers.remove(&(at, number)).unwrap();
        self.bench.states().note_response_time(state(&self.bench, position), Duration::from_micros(at - since));
        self.bench.states().note_response(&mut token);
        self.bench.states().release(token);
        at - since
    }

    /// Calls from `from_s` to `to_s` at random, so many per second: how many each destination got, and the longest wait for an
    /// answer in ms.
    fn run(&mut self, from_s: u64, to_s: u64, per_second: u64) -> (Vec<usize>, u64) {
        let mut chosen = Vec::new();
        let (mut now, mut longest, mut seen) = (from_s * 1_000_000, 0, vec![0; self.service_us.len()]);
        let mut review = now;
        while now < to_s * 1_000_000 {
            // Uniform from 0 to twice the mean.
            now += self.random.below(2_000_000 / per_second);
            while let Some((due, _)) = self.answers.first_key_value().filter(|((at, _), _)| *at <= now) {
                let due = *due;
                longest = longest.max(self.answer(due));
            }
            while review + 250_000 <= now {
                review += 250_000;
                for (position, seen) in seen.iter_mut().enumerate() {
                    let responses = self.bench.states().responses(state(&self.bench, position));
                    if core::mem::replace(seen, responses) == responses {
                        self.bench.states().fade_response_time(state(&self.bench, position), ms(250));
                    }
                }
            }
            let first = self.bench.select(b"")[0];
            chosen.push(first);
            self.free_at_us[first] = self.free_at_us[first].max(now) + self.service_us[first];
            self.number += 1;
            let token = reserve(&self.bench, first);
            self.answers.insert((self.free_at_us[first], self.number), (first, now, token));
        }
        (tally(&chosen, self.service_us.len()), longest / 1_000)
    }

    fn end(mut self) {
        while let Some((due, _)) = self.answers.first_key_value() {
            let due = *due;
            self.answer(due);
        }
        assert_eq!(self.bench.states().total_load(), 0);
    }
}

#[test]
fn shares_settle_by_speed_and_nobody_is_flooded_or_forgotten() {
    // They could serve 100, 100 and 20 calls per second; 150 come.
    let mut queues = Queues::new(&[10, 10, 50]);
    queues.run(0, 5, 150);
    for second in (5..60).step_by(5) {
        let (counts, longest_ms) = queues.run(second, second + 5, 150);
        let total: usize = counts.iter().sum();
        // The fast ones get about half each in every window, none goes from nothing to all and back.
        assert!(counts[..2].iter().all(|count| (40..=55).contains(&(count * 100 / total))), "{counts:?}");
        assert!((1..=total * 12 / 100).contains(&counts[2]), "{counts:?}");
        assert!(longest_ms < 250, "{longest_ms} ms, {counts:?}");
    }
    queues.end();
}

#[test]
fn who_becomes_slow_loses_its_share_at_once_and_who_becomes_fast_gets_it_back() {
    let mut queues = Queues::new(&[10, 10, 10]);
    queues.run(0, 10, 150);
    queues.service_us[0] = 200_000;
    queues.run(10, 12, 150);
    let (slow, longest_ms) = queues.run(12, 30, 150);
    assert!(slow[0] * 100 / slow.iter().sum::<usize>() <= 3 && slow[0] > 0, "{slow:?}");
    assert!(longest_ms < 800, "{longest_ms}");
    queues.service_us[0] = 10_000;
    queues.run(30, 90, 150);
    let (again, _) = queues.run(90, 100, 150);
    let total: usize = again.iter().sum();
    assert!(again.iter().all(|count| (25..=42).contains(&(count * 100 / total))), "{again:?}");
    queues.end();
}
