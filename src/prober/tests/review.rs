use super::*;
use crate::dispatcher::{DestinationSpec, Health, ProbeSpec};
use crate::prober::ProbePolicy;
use crate::prober::world::{SECOND, World, destination, settings, table};

fn destinations(count: u8) -> Vec<DestinationSpec> {
    let probe = ProbeSpec { never: true, ..ProbeSpec::default() };
    (1..=count).map(|number| DestinationSpec { probe: probe.clone(), ..destination(number) }).collect()
}

/// So many destinations that no probe speaks of; past their first words.
fn world(count: u8, passive: PassiveSpec) -> World {
    let mut world = World::new(settings(ProbePolicy::All), table(destinations(count), passive, None));
    world.run(SECOND * 3);
    world
}

/// So many calls that got no answer.
fn fail(world: &World, place: usize, times: u32) {
    (0..times).for_each(|_| world.states().note_timeout(world.state(place)));
}

fn available(world: &World) -> Vec<usize> {
    let count = world.table.sets()[0].destinations.len();
    (0..count).filter(|place| world.states().is_available(world.state(*place))).collect()
}

#[test]
fn timeouts_in_a_row_eject_and_an_answer_between_saves() {
    let mut world = world(2, PassiveSpec::default());
    fail(&world, 0, 4);
    world.run(SECOND);
    world.states().note_answer(world.state(0), 100);
    fail(&world, 0, 4);
    assert_eq!(world.run(SECOND), []);
    fail(&world, 0, 1);
    let at = world.now;
    let kinds = world.run(SECOND);
    assert!(matches!(kinds[..], [EventKind::Ejected(_)]), "{kinds:?}");
    let event = world.events.last().unwrap();
    assert_eq!(event.why, Why::new(Cause::Evidence, Reason::Timeouts(5)));
    assert!(event.at.saturating_since(at) <= PACE, "at the latest at the next look");
    assert_eq!(available(&world), [1]);
    assert_eq!(world.states().health(world.state(0)), Health::Active, "ejection is apart from health");
    assert_eq!(world.states().last_reason(world.state(0)), event.why);
}

#[test]
fn send_errors_in_a_row_eject_sooner() {
    // RFC 3261 §18.4
    let mut world = world(2, PassiveSpec::default());
    (0..3).for_each(|_| world.states().note_unreachable(world.state(0)));
    world.run(SECOND);
    assert_eq!(world.states().last_reason(world.state(0)).reason, Reason::Unreachables(3));
    assert_eq!(available(&world), [1]);
}

#[test]
fn an_ejection_lasts_longer_each_time_up_to_the_maximum_and_is_forgotten_after_good_times() {
    let passive = PassiveSpec { ejection_max: SECOND * 70, ..PassiveSpec::default() };
    let mut world = world(2, passive);
    for expected in [30, 60, 70, 70] {
        fail(&world, 0, 5);
        world.run(SECOND / 2);
        let since = world.events.last().unwrap().at;
        let until = world.states().outage(world.state(0)).ejected_until.unwrap();
        assert_eq!(until.saturating_since(since), SECOND * expected);
        assert_eq!(world.run(SECOND * expected + SECOND / 2), [EventKind::Returned]);
        assert_eq!(world.states().last_reason(world.state(0)).reason, Reason::TimePassed);
        assert_eq!(available(&world), [0, 1]);
    }
    world.run(SECOND * 71);
    assert_eq!(world.states().outage(world.state(0)).ejections, 0);
}

#[test]
fn failures_of_requests_from_before_do_not_eject_again_after_the_return() {
    let mut world = world(2, PassiveSpec::default());
    fail(&world, 0, 5);
    world.run(SECOND);
    fail(&world, 0, 50);
    assert_eq!(world.run(SECOND * 40), [EventKind::Returned]);
    world.states().set_health(world.state(0), Health::Inactive, world.now);
    fail(&world, 0, 50);
    world.run(SECOND);
    world.states().set_health(world.state(0), Health::Active, world.now);
    world.run(SECOND);
    assert_eq!(available(&world), [0, 1], "nor when it had been inactive");
}

#[test]
fn no_more_than_the_share_of_a_set_is_ejected() {
    let mut world = world(5, PassiveSpec::default());
    (0..5).for_each(|place| fail(&world, place, 5));
    world.run(SECOND);
    assert_eq!(available(&world).len(), 3, "two of five are at most half");
    let passive = PassiveSpec { out_percent_max: 80, ..PassiveSpec::default() };
    let wider = table(destinations(5), passive, Some(&world.table));
    world.publish(wider);
    world.run(SECOND);
    assert_eq!(available(&world).len(), 1, "what was known of the others was not lost");
}

#[test]
fn what_is_out_for_other_reasons_counts_and_the_only_one_is_never_ejected() {
    let mut world = world(4, PassiveSpec::default());
    world.states().set_health(world.state(0), Health::Inactive, world.now);
    world.states().set_admin(world.state(1), Admin::Disabled, world.now);
    // One of three enabled is out: a second one would be two thirds.
    fail(&world, 2, 5);
    world.run(SECOND);
    assert_eq!(available(&world), [2, 3]);
}

#[test]
fn the_share_of_faults_ejects_when_it_is_asked_for_and_enough_answers_came() {
    let passive = PassiveSpec { faults_percent: 50, faults_answers_min: 10, ..PassiveSpec::default() };
    let mut world = world(4, passive);
    let answer = |world: &World, place, code, times| {
        (0..times).for_each(|_| world.states().note_answer(world.state(place), code));
    };
    answer(&world, 0, 500, 9);
    answer(&world, 1, 486, 100);
    answer(&world, 2, 200, 5);
    assert_eq!(world.run(SECOND), [], "nine answers are too few, 486 is no fault");
    answer(&world, 2, 503, 5);
    world.run(SECOND);
    assert_eq!(world.states().last_reason(world.state(2)).reason, Reason::FaultsPercent(50));
    assert_eq!(available(&world), [0, 1, 3]);
    world.run(SECOND * 11);
    answer(&world, 0, 200, 9);
    assert_eq!(world.run(SECOND), [], "the nine faults are outside the window by now");
}

#[test]
fn retry_after_holds_off_for_its_time_within_the_maximum_and_beyond_the_share() {
    // RFC 3261 §20.33
    let passive = PassiveSpec { hold_off_max: SECOND * 20, ..PassiveSpec::default() };
    let mut world = world(2, passive);
    for (place, seconds) in [(0, 5), (1, 3_600)] {
        world.states().hold_off(world.state(place), world.now + SECOND * seconds);
    }
    let kinds = world.run(SECOND);
    assert!(matches!(kinds[..], [EventKind::HeldOff(_), EventKind::HeldOff(_)]), "{kinds:?}");
    assert_eq!(available(&world), [0; 0]);
    assert_eq!(world.run(SECOND * 5), [EventKind::Returned]);
    assert_eq!(available(&world), [0]);
    assert_eq!(world.run(SECOND * 15), [EventKind::Returned]);
    let none = table(
        destinations(2),
        PassiveSpec { hold_off_max: Duration::ZERO, ..PassiveSpec::default() },
        Some(&world.table),
    );
    world.publish(none);
    world.states().hold_off(world.state(0), world.now + SECOND * 5);
    world.run(SECOND);
    assert_eq!(available(&world), [0, 1], "a set may be told not to listen");
}

#[test]
fn with_all_out_everybody_or_nobody_is_tried_as_the_set_says() {
    for (panic, expected) in [(PanicRule::Nobody, &[][..]), (PanicRule::Everybody, &[0, 1])] {
        let mut world = world(3, PassiveSpec { panic, ..PassiveSpec::default() });
        world.states().set_admin(world.state(2), Admin::Disabled, world.now);
        (0..2).for_each(|place| {
            world.states().set_health(world.state(place), Health::Inactive, world.now);
        });
        let began = world.run(SECOND).contains(&EventKind::PanicBegan(world.table.sets()[0].id));
        assert_eq!(began, panic == PanicRule::Everybody);
        assert_eq!(available(&world), expected, "{panic:?}");
        world.states().set_health(world.state(0), Health::Active, world.now);
        let ended = world.run(SECOND).contains(&EventKind::PanicEnded(world.table.sets()[0].id));
        assert_eq!(ended, panic == PanicRule::Everybody);
        assert_eq!(available(&world), [0]);
    }
}

#[test]
fn draining_is_done_when_the_last_call_has_ended_and_is_told_once() {
    let mut world = world(1, PassiveSpec::default());
    let token = world.states().take_load(world.state(0));
    world.states().set_admin(world.state(0), Admin::Draining, world.now);
    assert_eq!(world.run(SECOND), [EventKind::Admin(Admin::Draining)]);
    world.states().release(token);
    assert_eq!(world.run(SECOND * 2), [EventKind::Drained]);
    assert_eq!(world.states().admin(world.state(0)), Admin::Draining, "what an operator said stays");
    world.states().set_admin(world.state(0), Admin::Enabled, world.now);
    world.run(SECOND);
    world.states().set_admin(world.state(0), Admin::Draining, world.now);
    assert!(world.run(SECOND * 2).contains(&EventKind::Drained), "another draining ends with an event of its own");
}

#[test]
fn an_ejection_survives_a_reload() {
    let mut world = world(2, PassiveSpec::default());
    fail(&world, 0, 5);
    world.run(SECOND);
    let swapped = destinations(2).into_iter().rev().collect();
    let next = table(swapped, PassiveSpec::default(), Some(&world.table));
    world.publish(next);
    world.run(SECOND);
    assert_eq!(available(&world), [0]);
    assert!(world.run(SECOND * 30).contains(&EventKind::Returned));
}

#[test]
fn the_response_time_of_a_destination_without_calls_fades_and_that_of_a_busy_one_does_not() {
    let mut world = world(2, PassiveSpec::default());
    for _ in 0..40 {
        world.states().note_response_time(world.state(0), SECOND);
        if world.states().response_time(world.state(1)).is_none() {
            world.states().note_response_time(world.state(1), SECOND);
        }
        world.run(PACE);
    }
    assert_eq!(world.states().response_time(world.state(0)), Some(SECOND));
    let idle = world.states().response_time(world.state(1)).unwrap();
    assert!((450..=550).contains(&idle.as_millis()), "ten seconds halve it: {idle:?}");
}

#[test]
fn shares_follow_a_congestion_at_the_next_look() {
    let cc = |spec| DestinationSpec { cc: true, weight: 30, latency: SECOND / 10, ..spec };
    let set = crate::dispatcher::SetSpec::new(
        crate::dispatcher::SetId(1),
        crate::dispatcher::Algorithm::RelativeWeight,
        destinations(2).into_iter().map(cc).collect(),
    );
    let mut world = World::new(settings(ProbePolicy::All), Table::build(vec![set], None).unwrap());
    let firsts = |world: &World| {
        let (mut targets, mut random) = (crate::dispatcher::Targets::new(), crate::dispatcher::Random::new(1));
        let input = crate::dispatcher::Input::at(world.now);
        let mut first = || {
            world.table.sets()[0].select(world.states(), &input, &mut random, &mut targets);
            usize::from(targets[0].state() == world.state(0))
        };
        (0..600).map(|_| first()).sum::<usize>()
    };
    assert_eq!(firsts(&world), 300);
    // Estimate 100 * 0.9 + 255 * 0.1: some 15 ms of the 30 that are borne.
    world.states().note_probe_answer(world.state(0), Duration::from_millis(255), 200, 100);
    world.run(PACE);
    assert_eq!(firsts(&world), 200, "15 of 45");
}
