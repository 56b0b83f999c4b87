use proptest::prelude::*;

use super::*;
use crate::dispatcher::fixture::{Bench, destination, set, tally};
use crate::dispatcher::{Admin, Algorithm, DestinationSpec, LoadChoice, LoadToken, Refused, Report, SetSpec};

const EXACT: Algorithm = Algorithm::CallLoad(LoadChoice::Exact);
const TWO: Algorithm = Algorithm::CallLoad(LoadChoice::TwoChoices);
const SECOND: Duration = Duration::from_secs(1);

fn spec(load_from: LoadFrom) -> ReportSpec {
    ReportSpec { load_from, ..ReportSpec::default() }
}

fn bench(algorithm: Algorithm, report: ReportSpec, destinations: Vec<DestinationSpec>) -> Bench {
    Bench::of(SetSpec { report, ..set(1, algorithm, destinations) }, 1)
}

/// One destination for each weight.
fn of_weights(algorithm: Algorithm, report: ReportSpec, weights: &[u32]) -> Bench {
    bench(algorithm, report, weights.iter().enumerate().map(|(number, weight)| destination(number, *weight)).collect())
}

fn say(bench: &Bench, position: usize, text: &str) {
    let report = Report::parse(text.as_bytes()).unwrap();
    bench.states().report_load(bench.destination(position).state, report, bench.now);
}

/// Calls that are up, with where they are.
struct Calls(Vec<(usize, LoadToken)>);

impl Calls {
    fn none() -> Self {
        Self(Vec::new())
    }

    /// Places `count` calls, and gives back where.
    fn place(&mut self, bench: &mut Bench, count: usize) -> Vec<usize> {
        let place = |_| {
            let first = bench.select(b"")[0];
            self.0.push((first, bench.states().reserve(bench.destination(first), bench.now).unwrap()));
            first
        };
        (0..count).map(place).collect()
    }

    /// Puts `count` calls there, whatever the order says.
    fn put(&mut self, bench: &Bench, position: usize, count: usize) {
        let state = bench.destination(position).state;
        self.0.extend((0..count).map(|_| (position, bench.states().take_load(state))));
    }

    fn at(&self, position: usize) -> usize {
        self.0.iter().filter(|call| call.0 == position).count()
    }

    fn end(self, bench: &Bench) {
        self.0.into_iter().for_each(|(_, token)| bench.states().release(token));
    }
}

#[test]
fn the_freer_one_gets_calls_until_it_is_as_full_as_the_others_and_then_they_take_turns() {
    let mut bench = of_weights(EXACT, spec(LoadFrom::Reported), &[1, 1, 1]);
    for (position, text) in ["80%/100", "50%/100", "20%/100"].iter().enumerate() {
        say(&bench, position, text);
    }
    let mut calls = Calls::none();
    assert_eq!(tally(&calls.place(&mut bench, 30), 3), [0, 0, 30], "the freest alone");
    assert_eq!(tally(&calls.place(&mut bench, 60), 3), [0, 30, 30], "two are as full, at 80% in the end");
    assert_eq!(tally(&calls.place(&mut bench, 30), 3), [10, 10, 10], "now all");
    calls.end(&bench);
}

#[test]
fn shares_follow_the_capacities_that_are_reported() {
    let mut bench = of_weights(EXACT, spec(LoadFrom::Reported), &[1, 1]);
    say(&bench, 0, "0/300");
    say(&bench, 1, "0/100");
    let mut calls = Calls::none();
    assert_eq!(tally(&calls.place(&mut bench, 200), 2), [150, 50]);
    calls.end(&bench);
}

#[test]
fn weight_zero_comes_last_whatever_it_reports_and_an_unavailable_one_not_at_all() {
    for algorithm in [EXACT, TWO] {
        let mut bench = of_weights(algorithm, spec(LoadFrom::Reported), &[0, 1, 1]);
        say(&bench, 0, "0%/100");
        say(&bench, 1, "99%/100");
        say(&bench, 2, "1%/100");
        bench.set_admin(2, Admin::Draining);
        assert_eq!(bench.select(b""), [1, 0]);
    }
}

#[test]
fn a_stale_report_no_longer_counts_and_calls_do() {
    let mut bench = of_weights(EXACT, spec(LoadFrom::Reported), &[1, 1]);
    let mut calls = Calls::none();
    calls.put(&bench, 1, 5);
    say(&bench, 0, "90%/100");
    say(&bench, 1, "10%/100");
    assert_eq!(bench.select(b"")[0], 1, "by report");
    bench.now = bench.now + 15 * SECOND;
    assert_eq!(bench.select(b"")[0], 1, "it counts for fifteen seconds");
    bench.now = bench.now + SECOND;
    assert_eq!(bench.select(b"")[0], 0, "by calls");
    calls.end(&bench);
}

#[test]
fn one_that_does_not_report_is_as_full_as_its_calls_make_it() {
    let with_maxload = |number| DestinationSpec { maxload: 100, ..destination(number, 1) };
    let mut bench = bench(EXACT, spec(LoadFrom::Reported), (0..2).map(with_maxload).collect());
    say(&bench, 0, "40%");
    let mut calls = Calls::none();
    assert_eq!(tally(&calls.place(&mut bench, 40), 2), [0, 40]);
    assert_eq!(tally(&calls.place(&mut bench, 40), 2), [20, 20]);
    calls.end(&bench);
}

#[test]
fn without_any_report_the_order_is_that_of_calls_relative_to_weight() {
    for from in [LoadFrom::Reported, LoadFrom::Both] {
        let mut bench = of_weights(EXACT, spec(from), &[10, 30, 20, 40]);
        let mut calls = Calls::none();
        calls.place(&mut bench, 400);
        assert_eq!([0, 1, 2, 3].map(|position| calls.at(position)), [40, 120, 80, 160]);
        calls.end(&bench);
    }
}

#[test]
fn by_calls_alone_reports_change_no_order() {
    let mut bench = of_weights(EXACT, spec(LoadFrom::Calls), &[1, 1]);
    say(&bench, 0, "100%/1");
    let mut calls = Calls::none();
    assert_eq!(tally(&calls.place(&mut bench, 100), 2), [50, 50]);
    calls.end(&bench);
}

#[test]
fn by_both_the_higher_one_of_report_and_calls_counts() {
    let with_maxload = |number| DestinationSpec { maxload: 100, ..destination(number, 1) };
    let first = |from| {
        let mut bench = bench(EXACT, spec(from), (0..2).map(with_maxload).collect());
        let mut calls = Calls::none();
        calls.put(&bench, 0, 80);
        say(&bench, 0, "10%");
        say(&bench, 1, "50%");
        let first = bench.select(b"")[0];
        calls.end(&bench);
        first
    };
    assert_eq!((first(LoadFrom::Reported), first(LoadFrom::Both)), (0, 1));
}

#[test]
fn a_capacity_that_nobody_knows_is_no_larger_than_the_calls_that_were_reported_make_it() {
    let mut bench = of_weights(EXACT, spec(LoadFrom::Reported), &[1, 1]);
    let mut calls = Calls::none();
    calls.put(&bench, 0, 5);
    calls.put(&bench, 1, 5);
    // Five calls are half of what it can do: it gets five more, and not the forty that a guess of a hundred would give it.
    say(&bench, 0, "50%");
    say(&bench, 1, "90%");
    assert_eq!(tally(&calls.place(&mut bench, 6), 2), [5, 1]);
    calls.end(&bench);
}

#[test]
fn what_starts_slowly_is_as_full_as_if_it_had_a_part_of_its_capacity() {
    let destinations = (0..2).map(|number| destination(number, 1)).collect();
    let report = spec(LoadFrom::Reported);
    let mut bench = Bench::of(SetSpec { slow_start: 10 * SECOND, report, ..set(1, EXACT, destinations) }, 1);
    bench.set_available(0, false);
    bench.set_available(0, true);
    say(&bench, 0, "0/100");
    say(&bench, 1, "0/100");
    let mut calls = Calls::none();
    assert_eq!(tally(&calls.place(&mut bench, 55), 2), [5, 50]);
    calls.end(&bench);
}

#[test]
fn a_reported_capacity_is_a_bound_when_it_shall_be_one_and_the_smaller_one_holds() {
    for algorithm in [EXACT, TWO, Algorithm::RoundRobin, Algorithm::Weight] {
        for (maxload, text, bounds, room) in
            [(0, "/3", true, 3), (2, "/3", true, 2), (5, "/3", true, 3), (5, "/3", false, 5), (5, "30%", true, 5)]
        {
            let only = DestinationSpec { maxload, ..destination(0, 1) };
            let mut bench = bench(algorithm, ReportSpec { bounds, ..ReportSpec::default() }, vec![only]);
            say(&bench, 0, text);
            let mut calls = Calls::none();
            calls.place(&mut bench, room);
            assert_eq!(bench.select(b""), Vec::<usize>::new(), "{algorithm:?} {maxload} {text}");
            assert_eq!(bench.states().reserve(bench.destination(0), bench.now).unwrap_err(), Refused::Load);
            calls.end(&bench);
        }
    }
}

#[test]
fn a_stale_capacity_bounds_nothing() {
    let mut bench = of_weights(EXACT, ReportSpec { bounds: true, ..ReportSpec::default() }, &[1]);
    say(&bench, 0, "/1");
    let mut calls = Calls::none();
    calls.place(&mut bench, 1);
    assert_eq!(bench.select(b""), Vec::<usize>::new());
    bench.now = bench.now + 16 * SECOND;
    assert_eq!(bench.select(b""), [0]);
    calls.end(&bench);
}

/// Destinations whose load is truly theirs: what others put on them, plus our calls over their capacity.
#[derive(Clone, Debug)]
struct Model {
    /// Capacity in calls, and what of it others use.
    machines: Vec<(usize, usize)>,
}

impl Model {
    fn used(&self, position: usize, calls: &Calls) -> usize {
        self.machines[position].1 + calls.at(position)
    }

    fn report_all(&self, bench: &Bench, calls: &Calls) {
        for (position, (capacity, _)) in self.machines.iter().enumerate() {
            say(bench, position, &format!("{}/{capacity}", self.used(position, calls)));
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    let machine = (20_usize..150).prop_flat_map(|capacity| (Just(capacity), 0..capacity));
    prop::collection::vec(machine, 2..12).prop_map(|machines| Model { machines })
}

proptest! {
    /// Between two reports thousands of calls may come; they fill what is free, and nobody beyond the level of all.
    #[test]
    fn within_a_report_interval_nobody_gets_more_than_its_headroom_and_the_freer_ones_get_more(
        model in model(), percent in 1_usize..=90, rounds in 1_usize..4,
    ) {
        let mut bench = of_weights(EXACT, spec(LoadFrom::Reported), &vec![1; model.machines.len()]);
        let mut calls = Calls::none();
        let headroom = |position: usize, calls: &Calls| model.machines[position].0 - model.used(position, calls);
        let positions = || 0..model.machines.len();
        let mut herded = Vec::new();
        for _ in 0..rounds {
            model.report_all(&bench, &calls);
            let before: Vec<usize> = positions().map(|position| calls.at(position)).collect();
            let free: Vec<usize> = positions().map(|position| headroom(position, &calls)).collect();
            calls.place(&mut bench, free.iter().sum::<usize>() * percent / 100);
            // Who got a call is no fuller than anybody else would be with one more, but for a thousandth, as reports are cut off there.
            let full = |position: usize, more: usize| {
                (model.used(position, &calls) + more) as f64 / model.machines[position].0 as f64
            };
            let wrong = |one: &usize| {
                calls.at(*one) - before[*one] > free[*one] || positions().any(|other| full(*one, 0) > full(other, 1) + 0.0011)
            };
            herded.extend(positions().filter(|one| calls.at(*one) > before[*one]).filter(wrong));
            bench.now = bench.now + 5 * SECOND;
        }
        calls.end(&bench);
        prop_assert_eq!(herded, Vec::<usize>::new());
    }

    #[test]
    fn two_choices_keep_everybody_within_the_headroom_that_is_reported_too(model in model(), seed: u64) {
        let destinations = (0..model.machines.len()).map(|number| destination(number, 1)).collect();
        let report = ReportSpec { bounds: true, ..spec(LoadFrom::Reported) };
        let mut bench = Bench::of(SetSpec { report, ..set(1, TWO, destinations) }, seed);
        let mut calls = Calls::none();
        let idle = Model { machines: model.machines.iter().map(|machine| (machine.0, 0)).collect() };
        idle.report_all(&bench, &calls);
        let all: usize = idle.machines.iter().map(|machine| machine.0).sum();
        calls.place(&mut bench, all);
        let (placed, left) = ((0..idle.machines.len()).map(|it| calls.at(it)).collect::<Vec<_>>(), bench.select(b""));
        calls.end(&bench);
        prop_assert_eq!(placed, idle.machines.iter().map(|machine| machine.0).collect::<Vec<_>>());
        prop_assert_eq!(left, Vec::<usize>::new());
    }

    /// Every report is what the destination says: none makes selection panic, or lose a destination that is available.
    #[test]
    fn whatever_is_reported_every_available_destination_stays_a_target(
        reports in prop::collection::vec(prop::option::of((prop::option::of(0_u16..=1_000), prop::option::of(1_u32..1 << 26))), 1..16),
        put in prop::collection::vec(0_usize..30, 16),
        from in prop::sample::select(vec![LoadFrom::Reported, LoadFrom::Both]),
        algorithm in prop::sample::select(vec![EXACT, TWO]),
    ) {
        let mut bench = of_weights(algorithm, spec(from), &vec![1; reports.len()]);
        let mut calls = Calls::none();
        for (position, report) in reports.iter().enumerate() {
            calls.put(&bench, position, put[position]);
            if let Some((in_use_permille, capacity)) = *report {
                bench.states().report_load(bench.destination(position).state, Report { in_use_permille, capacity }, bench.now);
            }
        }
        let targets = bench.select(b"").len();
        calls.end(&bench);
        prop_assert_eq!(targets, reports.len());
    }
}

#[test]
fn going_by_reports_alone_would_herd_where_carrying_on_does_not() {
    // Ten machines of a hundred calls each, half full but one that is a little freer; 200 calls come before the next report.
    let model = Model { machines: (0..10).map(|number| (100, if number == 3 { 40 } else { 50 })).collect() };
    let mut bench = of_weights(EXACT, spec(LoadFrom::Reported), &[1; 10]);
    let mut calls = Calls::none();
    model.report_all(&bench, &calls);
    // Who is freest by the report is the same one for all of the interval.
    let freest = (0..10).min_by_key(|position| model.used(*position, &calls));
    assert_eq!(freest, Some(3));
    let placed = tally(&calls.place(&mut bench, 200), 10);
    assert_eq!((placed[3], placed.iter().max()), (29, Some(&29)), "ten more than the others, and not 200: {placed:?}");
    assert!(placed.iter().enumerate().all(|(number, count)| number == 3 || *count == 19), "{placed:?}");
    calls.end(&bench);
}
