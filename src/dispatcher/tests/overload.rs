//! Reports of overload, what they keep away, and where that goes.

use std::thread;

use proptest::prelude::*;

use super::super::fixture::{ALGORITHMS, Bench, destination, set, tally};
use super::super::{Algorithm, DestinationSpec, Input, Random, SetSpec, States, Table, Targets};
use super::*;

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const FIRST_ATTEMPT: Attempt = Attempt { is_first: true, is_prioritized: false };
const LATER_ATTEMPT: Attempt = Attempt { is_first: false, is_prioritized: false };

fn loss(value: u32, sequence: u64) -> OverloadReport {
    let validity = Duration::from_millis(500);
    OverloadReport { algorithm: OverloadAlgorithm::Loss, value, validity, sequence }
}

fn rate(value: u32, sequence: u64) -> OverloadReport {
    OverloadReport { algorithm: OverloadAlgorithm::Rate, ..loss(value, sequence) }
}

fn over(sequence: u64) -> OverloadReport {
    OverloadReport { validity: Duration::ZERO, ..loss(0, sequence) }
}

/// A set with overload control of `count` destinations that get their calls at [`NOW`].
fn controlled(algorithm: Algorithm, count: usize, bounds: OverloadBounds) -> Bench {
    let spec = |number| DestinationSpec { overload: bounds, ..destination(number, 1) };
    let spec = SetSpec { overload_control: true, ..set(1, algorithm, (0..count).map(spec).collect()) };
    let mut bench = Bench::of(spec, 1);
    bench.now = NOW;
    bench
}

fn report(bench: &Bench, position: usize, report: &OverloadReport) -> bool {
    bench.states().set_overload(bench.destination(position).state, report, bench.now)
}

fn in_force(bench: &Bench, position: usize) -> Option<(OverloadAlgorithm, u32)> {
    bench.states().overload(bench.destination(position).state, bench.now).in_force
}

fn firsts(bench: &mut Bench, calls: u64) -> Vec<Option<usize>> {
    (0..calls).map(|call| bench.select(&call.to_le_bytes()).first().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn of_any_hundred_calls_as_many_are_shed_as_the_loss_says(percent in 0_u32..=100, before in 0_u32..=100) {
        // RFC 7339 §7
        let mut bench = controlled(Algorithm::RoundRobinOverload, 1, OverloadBounds::default());
        report(&bench, 0, &loss(before, 1));
        firsts(&mut bench, 37);
        report(&bench, 0, &loss(percent, 2));
        let shed: Vec<usize> = firsts(&mut bench, 400).iter().map(|first| usize::from(first.is_none())).collect();
        for window in shed.windows(100) {
            prop_assert_eq!(window.iter().sum::<usize>(), percent as usize);
        }
    }

    #[test]
    fn no_second_ever_sees_more_requests_than_the_rate(
        calls in 0_u32..60, gaps in prop::collection::vec(0_u64..60_000_000, 1..300),
    ) {
        // RFC 7415 §3.5
        let bench = controlled(Algorithm::RoundRobinOverload, 1, OverloadBounds::default());
        let state = bench.destination(0).state;
        let long = OverloadReport { validity: Duration::from_secs(60), ..rate(calls, 1) };
        report(&bench, 0, &long);
        let mut now = NOW;
        let mut times = Vec::new();
        for gap in gaps {
            now = now + Duration::from_nanos(gap);
            let looked = bench.states().has_turn(state, false, now);
            let admitted = bench.states().admits(state, FIRST_ATTEMPT, now);
            prop_assert_eq!(looked, admitted);
            times.extend(admitted.then_some(now));
        }
        for (first, start) in times.iter().enumerate() {
            let within = times[first..].iter().take_while(|time| **time < *start + Duration::from_secs(1)).count();
            prop_assert!(within <= calls as usize, "{} of {}", within, calls);
        }
    }
}

#[test]
fn loss_and_rate_hold_under_every_algorithm() {
    for algorithm in ALGORITHMS {
        let mut bench = controlled(algorithm, 1, OverloadBounds::default());
        report(&bench, 0, &loss(20, 1));
        let shed = firsts(&mut bench, 1_000).iter().filter(|first| first.is_none()).count();
        assert_eq!(shed, 200, "{algorithm:?}");
        report(&bench, 0, &rate(10, 2));
        let state = bench.destination(0).state;
        let mut admitted = 0;
        while !bench.select(b"call").is_empty() {
            assert!(bench.states().admits(state, FIRST_ATTEMPT, bench.now), "{algorithm:?}");
            admitted += 1;
        }
        assert_eq!(admitted, 2, "{algorithm:?}: a burst of an eighth");
        report(&bench, 0, &rate(0, 3));
        bench.now = bench.now + Duration::from_millis(400);
        assert_eq!(bench.select(b"call"), Vec::<usize>::new(), "{algorithm:?}: a rate of none");
        assert!(!bench.states().admits(state, FIRST_ATTEMPT, bench.now));
    }
}

#[test]
fn a_set_without_overload_control_does_not_look_at_reports() {
    for algorithm in ALGORITHMS.into_iter().filter(|algorithm| *algorithm != Algorithm::RoundRobinOverload) {
        let mut bench = Bench::new(algorithm, &[1]);
        bench.now = NOW;
        report(&bench, 0, &loss(100, 1));
        assert_eq!(bench.select(b"call"), [0], "{algorithm:?}");
        assert!(bench.destination(0).is_plain() && !bench.set().overload_control);
    }
    let mut by_algorithm = Bench::new(Algorithm::RoundRobinOverload, &[1]);
    by_algorithm.now = NOW;
    report(&by_algorithm, 0, &loss(100, 1));
    assert_eq!(by_algorithm.select(b"call"), Vec::<usize>::new());
}

#[test]
fn what_one_destination_sheds_is_spread_over_the_others_evenly() {
    let mut bench = controlled(Algorithm::RoundRobinOverload, 5, OverloadBounds::default());
    report(&bench, 2, &loss(50, 1));
    let first: Vec<usize> = firsts(&mut bench, 4_500).into_iter().map(Option::unwrap).collect();
    let counts = tally(&first, 5);
    // A round is five turns and one call is placed in each but every tenth, which takes the next turn as well.
    assert_eq!(counts[2], 500, "{counts:?}");
    assert!([0, 1, 3, 4].iter().all(|position| counts[*position].abs_diff(1_000) <= 2), "{counts:?}");
    let shed = bench.states().overload(bench.destination(2).state, NOW).shed;
    assert_eq!(shed, 500);
}

#[test]
fn what_is_shed_goes_on_under_every_algorithm_also_when_one_target_is_the_limit() {
    for algorithm in ALGORITHMS {
        let spec = SetSpec {
            overload_control: true,
            failover_limit: 1,
            ..set(1, algorithm, (0..3).map(|number| destination(number, 1)).collect())
        };
        let mut bench = Bench::of(spec, 1);
        bench.now = NOW;
        report(&bench, 0, &loss(100, 1));
        let first = firsts(&mut bench, 60);
        assert!(first.iter().all(|first| matches!(first, Some(1 | 2))), "{algorithm:?} {first:?}");
    }
}

#[test]
fn what_is_shed_does_not_go_to_another_destination_in_overload() {
    // RFC 7339 §5.10: the load of a set whose destinations all ask for a fifth less becomes a fifth less.
    for algorithm in ALGORITHMS {
        let mut bench = controlled(algorithm, 3, OverloadBounds::default());
        (0..3).for_each(|position| assert!(report(&bench, position, &loss(20, 1))));
        let shed = firsts(&mut bench, 3_000).iter().filter(|first| first.is_none()).count();
        assert!(shed.abs_diff(600) <= 3, "{algorithm:?}: {shed}");
    }
}

#[test]
fn a_later_attempt_is_drawn_when_its_turn_comes() {
    let bench = controlled(Algorithm::Priority, 1, OverloadBounds::default());
    let state = bench.destination(0).state;
    report(&bench, 0, &loss(25, 1));
    let admitted = |attempt| (0..400).filter(|_| bench.states().admits(state, attempt, NOW)).count();
    assert_eq!((admitted(LATER_ATTEMPT), admitted(FIRST_ATTEMPT)), (300, 400), "the first was drawn by selection");
}

#[test]
fn prioritized_requests_go_first_and_the_others_pay() {
    // RFC 7339 §5.10.1
    let bench = controlled(Algorithm::Priority, 1, OverloadBounds::default());
    let (states, state) = (bench.states(), bench.destination(0).state);
    let select = |prioritized| {
        let mut targets = Targets::new();
        let input = Input { prioritized, ..Input::at(NOW) };
        bench.set().select(states, &input, &mut Random::new(1), &mut targets);
        !targets.is_empty()
    };
    report(&bench, 0, &loss(50, 1));
    assert!((0..20).all(|_| select(true)), "20 prioritized ones leave 10 owing");
    assert_eq!((0..20).filter(|_| select(false)).count(), 0, "which the others pay with their own 10");
    assert_eq!((0..100).filter(|_| select(false)).count(), 50);
    // When nearly all are prioritized they pay themselves.
    let taken = (0..1_000).filter(|_| select(true)).count();
    assert!((595..=605).contains(&taken), "half, and a hundred on credit: {taken}");

    // RFC 7415 §3.5.2: a second's worth ahead, and no more.
    report(&bench, 0, &rate(10, 2));
    let first = Attempt { is_first: true, is_prioritized: true };
    let ahead = (0..100).filter(|_| states.admits(state, first, NOW)).count();
    assert!((9..=11).contains(&ahead), "{ahead}");
    assert!(!states.admits(state, FIRST_ATTEMPT, NOW + Duration::from_millis(400)));
}

#[test]
fn a_report_counts_until_its_validity_ends() {
    // RFC 7339 §4.3, §5.4
    let mut bench = controlled(Algorithm::Priority, 1, OverloadBounds::default());
    assert_eq!(in_force(&bench, 0), None);
    assert!(report(&bench, 0, &loss(30, 7)));
    bench.now = NOW + Duration::from_millis(499);
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Loss, 30)));
    bench.now = NOW + Duration::from_millis(500);
    assert_eq!(in_force(&bench, 0), None);
    assert_eq!(bench.select(b"call"), [0]);
    let long = OverloadReport { validity: Duration::from_secs(1_000_000), ..loss(30, 8) };
    assert!(report(&bench, 0, &long));
    let valid_until = bench.states().overload(bench.destination(0).state, bench.now).valid_until;
    assert_eq!(valid_until, bench.now + OVERLOAD_VALIDITY_MAX, "the bound on it");
}

#[test]
fn only_a_higher_sequence_number_is_news_while_a_report_counts() {
    // RFC 7339 §4.4, §5.4
    let mut bench = controlled(Algorithm::Priority, 1, OverloadBounds::default());
    assert!(report(&bench, 0, &loss(30, 7)));
    assert!(!report(&bench, 0, &loss(90, 7)) && !report(&bench, 0, &loss(90, 6)) && !report(&bench, 0, &over(3)));
    bench.now = NOW + Duration::from_millis(400);
    assert!(!report(&bench, 0, &loss(30, 7)), "a repetition does not make it last");
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Loss, 30)));
    assert!(report(&bench, 0, &rate(5, 8)));
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Rate, 5)));
    assert_eq!(bench.states().overload(bench.destination(0).state, bench.now).sequence, 8);
    bench.now = NOW + Duration::from_millis(900);
    assert!(report(&bench, 0, &loss(40, 1)), "nothing counts any more: a destination that starts anew");
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Loss, 40)));
}

#[test]
fn a_report_without_validity_ends_overload_and_keeps_older_ones_out() {
    // RFC 7339 §5.7
    let mut bench = controlled(Algorithm::Priority, 1, OverloadBounds::default());
    report(&bench, 0, &loss(100, 7));
    assert!(report(&bench, 0, &over(8)));
    assert_eq!((in_force(&bench, 0), bench.select(b"call")), (None, vec![0]));
    bench.now = NOW + Duration::from_millis(4_999);
    assert!(!report(&bench, 0, &loss(100, 7)), "it was on its way for long");
    assert!(report(&bench, 0, &loss(10, 9)) && report(&bench, 0, &over(10)));
    bench.now = bench.now + OLDER_REPORTS;
    assert!(report(&bench, 0, &loss(100, 1)));
}

#[test]
fn the_operator_bounds_what_a_reported_loss_counts_for() {
    let bench = controlled(Algorithm::Priority, 1, OverloadBounds { ocmin: 10, ocmax: 60, ocrate: 5 });
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Loss, 5)), "ocrate, while there is no report");
    for (number, (reported, counts)) in [(0, 10), (9, 10), (40, 40), (100, 60)].into_iter().enumerate() {
        report(&bench, 0, &loss(reported, number as u64 + 1));
        assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Loss, counts)), "{reported}");
    }
    report(&bench, 0, &rate(3, 9));
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Rate, 3)), "a rate is taken as it is");
    report(&bench, 0, &over(10));
    assert_eq!(in_force(&bench, 0), Some((OverloadAlgorithm::Loss, 5)));
    let mut fixed = controlled(Algorithm::Priority, 1, OverloadBounds { ocrate: 30, ..OverloadBounds::default() });
    assert_eq!(firsts(&mut fixed, 100).iter().filter(|first| first.is_none()).count(), 30);
}

#[test]
fn a_report_outlives_a_reload_and_not_its_destination() {
    let spec = |ocmax, count| SetSpec {
        overload_control: true,
        destinations: (0..count)
            .map(|number| DestinationSpec {
                overload: OverloadBounds { ocmax, ..OverloadBounds::default() },
                ..destination(number, 1)
            })
            .collect(),
        ..set(1, Algorithm::RoundRobin, Vec::new())
    };
    let old = Table::build(vec![spec(100, 2)], None).unwrap();
    let state = old.sets()[0].destinations[1].state;
    old.states().set_overload(state, &loss(80, 5), NOW);
    let new = Table::build(vec![spec(50, 2)], Some((&old, NOW))).unwrap();
    let kept = new.states().overload(new.sets()[0].destinations[1].state, NOW);
    assert_eq!((kept.in_force, kept.sequence), (Some((OverloadAlgorithm::Loss, 80)), 5));
    new.states().set_overload(state, &loss(90, 6), NOW);
    assert_eq!(new.states().overload(state, NOW).in_force, Some((OverloadAlgorithm::Loss, 50)), "the new bound");
    let states = Table::build(vec![spec(50, 1)], Some((&new, NOW))).unwrap();
    drop((old, new));
    let again = Table::build(vec![spec(50, 2)], Some((&states, NOW))).unwrap();
    let fresh = again.states().overload(again.sets()[0].destinations[1].state, NOW);
    assert_eq!((fresh.in_force, fresh.sequence, fresh.shed), (None, 0, 0));
}

#[test]
fn shards_share_one_loss_and_hear_the_newest_report() {
    let states = States::new();
    let state = states.claim(0).unwrap().state();
    states.set_overload(state, &loss(20, 1), NOW);
    let shard = || (0..5_000).filter(|_| states.sheds(state, false, NOW)).count();
    let shed: usize = thread::scope(|scope| {
        let shards: Vec<_> = (0..4).map(|_| scope.spawn(shard)).collect();
        shards.into_iter().map(|shard| shard.join().unwrap()).sum()
    });
    assert_eq!(shed, 4_000);
    thread::scope(|scope| {
        for shard in 0..4 {
            let states = &states;
            scope.spawn(move || {
                (0..2_000).for_each(|number| {
                    states.set_overload(state, &loss((number % 100) as u32, 2 + number * 4 + shard), NOW);
                });
            });
        }
    });
    // One that met another is left out and repeated; what is there is whole and of one report.
    let last = 2 + 2_000 * 4;
    assert!(states.set_overload(state, &loss(77, last), NOW) && !states.set_overload(state, &loss(78, last), NOW));
    assert_eq!(states.overload(state, NOW).in_force, Some((OverloadAlgorithm::Loss, 77)));
}
