use proptest::prelude::*;

use super::*;
use crate::dispatcher::fixture::{Bench, destination, set, tally};
use crate::dispatcher::{Algorithm, DestinationSpec, SetSpec};
use crate::limits::TARGETS_MAX;
use crate::time::Instant;

const NOW: Instant = Instant::from_nanos(1);

/// What probes are taken to have measured; nothing that a test adds moves the average by a millisecond.
const USUAL: Duration = Duration::from_millis(20);

/// Under relative weight, with (weight, rweight, cc).
fn bench(members: &[(u32, u32, bool)]) -> Bench {
    let spec = |(number, &(weight, rweight, cc)): (usize, &(u32, u32, bool))| DestinationSpec {
        rweight,
        cc,
        latency: USUAL,
        ..destination(number, weight)
    };
    Bench::of(set(1, Algorithm::RelativeWeight, members.iter().enumerate().map(spec).collect()), 1)
}

/// Has the probes find a congestion of `congestion_ms`, to the millisecond, and the prober publish it.
fn congest(bench: &Bench, position: usize, congestion_ms: u64) {
    let state = bench.destination(position).state;
    let aim = Duration::from_millis(congestion_ms) + Duration::from_micros(500);
    // With a weight of all but a thousandth the estimate is all but the last answer.
    let step = |extra: Duration| bench.states().note_probe_answer(state, USUAL + extra, 200, 999);
    (0..3).for_each(|_| step(aim));
    for _ in 0..20 {
        let now = bench.states().congestion(state);
        if now.as_millis() == u128::from(congestion_ms) {
            break;
        }
        step(aim + aim.saturating_sub(now));
    }
    assert_eq!(bench.states().congestion(state).as_millis(), u128::from(congestion_ms));
    bench.states().publish_congestion();
}

fn shares(bench: &mut Bench, requests: usize) -> Vec<usize> {
    let firsts: Vec<_> = (0..requests).map(|_| bench.select(b"")[0]).collect();
    tally(&firsts, bench.set().destinations.len())
}

#[test]
fn a_share_is_the_weight_less_the_congestion_in_milliseconds() {
    let mut bench = bench(&[(50, 7, true), (7, 30, false), (40, 7, true)]);
    assert_eq!(shares(&mut bench, 240), [100, 60, 80], "weight with cc, rweight without");
    congest(&bench, 0, 20);
    assert_eq!(shares(&mut bench, 200), [60, 60, 80]);
    congest(&bench, 2, 40);
    assert_eq!(shares(&mut bench, 120), [60, 60, 0]);
    congest(&bench, 0, 0);
    congest(&bench, 2, 39);
    assert_eq!(shares(&mut bench, 162), [100, 60, 2]);
    bench.set_available(1, false);
    assert_eq!(shares(&mut bench, 102), [100, 0, 2]);
}

#[test]
fn when_all_are_congested_shares_are_in_inverse_relation_to_congestion() {
    let mut bench = bench(&[(10, 1, true), (10, 1, true), (10, 1, true)]);
    for (position, congestion_ms) in [(0, 10), (1, 20), (2, 40)] {
        congest(&bench, position, congestion_ms);
    }
    // (70 * 16) / own: 112, 56, 28.
    assert_eq!(shares(&mut bench, 196), [112, 56, 28]);
    // Of those that are available: (60 * 16) / own is 48 and 24.
    bench.set_available(0, false);
    assert_eq!(shares(&mut bench, 72), [0, 48, 24]);
}

#[test]
fn shares_change_when_the_prober_publishes_and_not_before() {
    let mut bench = bench(&[(10, 1, true), (10, 1, true)]);
    assert_eq!(shares(&mut bench, 20), [10, 10]);
    let state = bench.destination(0).state;
    (0..3).for_each(|_| bench.states().note_probe_answer(state, Duration::from_secs(1), 200, 900));
    assert_eq!(shares(&mut bench, 20), [10, 10]);
    bench.states().publish_congestion();
    assert_eq!(shares(&mut bench, 20), [0, 20]);
    let epoch = bench.states().congestion.epoch.load(Ordering::Relaxed);
    bench.states().publish_congestion();
    bench.states().note_probe_answer(bench.destination(1).state, USUAL, 200, 100);
    bench.states().publish_congestion();
    assert_eq!(bench.states().congestion.epoch.load(Ordering::Relaxed), epoch, "no news, no new view");
}

#[test]
fn who_has_nothing_left_is_still_a_target_when_others_fail_and_weight_zero_is_behind_it() {
    let mut bench = bench(&[(0, 9, true), (5, 1, true), (5, 1, true)]);
    congest(&bench, 1, 300);
    for _ in 0..20 {
        assert_eq!(bench.select(b""), [2, 1, 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_that_are_available_are_targets_and_shares_are_exact_whatever_the_congestions(
        members in prop::collection::vec((0_u32..40, 0_u32..40, any::<bool>(), 0_u64..60, any::<bool>()), 1..9),
    ) {
        let specs: Vec<_> = members.iter().map(|member| (member.0, member.1, member.2)).collect();
        let mut bench = bench(&specs);
        for (position, member) in members.iter().enumerate() {
            congest(&bench, position, member.3);
            bench.set_available(position, member.4);
        }
        let up: Vec<usize> = (0..members.len()).filter(|position| members[*position].4).collect();
        let mut targets = bench.select(b"");
        targets.sort_unstable();
        prop_assert_eq!(&targets, &up);
        let (weight, congestion) = (
            |at: usize| u64::from(if members[at].2 { members[at].0 } else { members[at].1 }),
            |at: usize| if members[at].2 { members[at].3 } else { 0 },
        );
        let weighted = || up.iter().copied().filter(|at| weight(*at) > 0);
        let left = weighted().any(|at| weight(at) > congestion(at));
        let total: u64 = weighted().map(congestion).sum();
        let fair = |at: usize| match (members[at].4 && weight(at) > 0, left) {
            (false, _) => 0,
            (true, true) => weight(at).saturating_sub(congestion(at)),
            (true, false) => total * 16 / congestion(at),
        };
        let fair: Vec<usize> = (0..members.len()).map(|at| fair(at) as usize).collect();
        let sum = fair.iter().sum();
        prop_assume!(sum > 0 && sum < 20_000);
        prop_assert_eq!(shares(&mut bench, sum), fair);
    }
}

#[test]
fn a_new_destination_begins_with_the_latency_that_the_config_says_and_keeps_what_it_learns() {
    let bench = bench(&[(1, 1, true)]);
    let latency = bench.states().latency(bench.destination(0).state);
    assert_eq!((latency.count, latency.estimate, latency.average), (10_000, USUAL, USUAL));
    assert_eq!((latency.deviation, latency.last_code), (Duration::ZERO, None));
    let table = |latency, previous: Option<&crate::dispatcher::Table>| {
        let specs = vec![DestinationSpec { latency, ..destination(0, 1) }];
        let set = SetSpec { failover_limit: TARGETS_MAX, ..set(1, Algorithm::Latency, specs) };
        crate::dispatcher::Table::build(vec![set], previous.map(|table| (table, NOW))).unwrap()
    };
    let first = table(USUAL, None);
    let state = first.sets()[0].destinations[0].state;
    first.states().note_probe_answer(state, Duration::from_millis(30), 200, 100);
    let second = table(Duration::from_millis(500), Some(&first));
    let latency = second.states().latency(state);
    assert_eq!((latency.count, latency.estimate), (10_001, Duration::from_millis(21)));
}
