use core::time::Duration;

use crate::dispatcher::{Algorithm, Table};
use crate::dispatcher::{
    DestinationSpec, EventKind, HeaderName, PassiveSpec, ProbeSpec, Reason, Report, ReportCounts, ReportSpec, Set,
    SetId, SetSpec,
};
use crate::prober::ProbePolicy;
use crate::prober::world::{SECOND, World, destination, settings};

/// Two destinations, the second of which takes a 486 for an answer; probed every second.
fn world(header: Option<&str>) -> World {
    let report = ReportSpec { header: header.and_then(HeaderName::new), ..ReportSpec::default() };
    let own = ProbeSpec { reply_codes: Some(vec![486]), ..ProbeSpec::default() };
    let destinations = vec![destination(1), DestinationSpec { probe: own, ..destination(2) }];
    let set = SetSpec {
        report,
        passive: PassiveSpec::default(),
        ..SetSpec::new(SetId(1), Algorithm::RoundRobin, destinations)
    };
    World::new(settings(ProbePolicy::All), Table::build(vec![set], None).unwrap())
}

fn report(world: &World, place: usize) -> Option<Report> {
    world.states().reported(world.state(place)).map(|reported| reported.report)
}

fn counts(world: &World) -> ReportCounts {
    world.states().report_counts(world.state(0))
}

#[test]
fn the_header_of_an_answer_becomes_the_report_of_its_destination() {
    let mut world = world(Some("X-Load"));
    world.answer = Some("200 OK\r\nx-load:  37/100 ");
    world.run(SECOND * 3);
    let expected = Report { in_use_permille: Some(370), capacity: Some(100) };
    assert_eq!((report(&world, 0), report(&world, 1)), (Some(expected), Some(expected)));
    let reported = world.states().reported(world.state(0)).unwrap();
    assert!(world.now.saturating_since(reported.at) <= Duration::from_millis(1_100));
    assert!((2..=4).contains(&counts(&world).taken) && counts(&world).ignored == 0, "{:?}", counts(&world));
}

#[test]
fn what_cannot_be_read_is_ignored_counted_and_told_once_in_a_row() {
    let mut world = world(Some("X-Load"));
    world.answer = Some("200 OK\r\nX-Load: 37/100");
    world.run(SECOND * 2);
    let before = world.states().reported(world.state(0));
    for answer in ["200 OK\r\nX-Load: lots", "200 OK\r\nX-Load: 0.1\r\nX-Load: 0.1", "200 OK\r\nX-Load:"] {
        let ignored = counts(&world).ignored;
        world.answer = Some(answer);
        world.run(SECOND * 2);
        assert!(counts(&world).ignored > ignored, "{answer}");
        assert_eq!(world.states().reported(world.state(0)), before, "{answer}");
    }
    let told = |world: &World| {
        let of = |event: &&crate::dispatcher::Event| event.kind == EventKind::ReportIgnored;
        world.events.iter().filter(of).map(|event| (event.destination, event.why.reason)).collect::<Vec<_>>()
    };
    let of = |world: &World, place: usize| (Some(set(world).destinations[place].id), Reason::Unreadable);
    let mut seen = told(&world);
    seen.sort_by_key(|(destination, _)| *destination);
    assert_eq!(seen, [of(&world, 0), of(&world, 1)], "once for each of both");
    world.answer = Some("200 OK\r\nX-Load: 5%");
    world.run(SECOND * 2);
    world.answer = Some("200 OK\r\nX-Load: 5");
    world.run(SECOND * 2);
    assert_eq!(told(&world).len(), 4, "again, after a good one");
}

fn set(world: &World) -> &Set {
    &world.table.sets()[0]
}

#[test]
fn an_answer_without_the_header_changes_nothing_and_only_good_ones_are_looked_at() {
    let mut world = world(Some("X-Load"));
    world.answer = Some("200 OK");
    world.run(SECOND * 2);
    assert_eq!((report(&world, 0), counts(&world)), (None, ReportCounts::default()));
    world.answer = Some("486 Busy\r\nX-Load: 90%");
    world.run(SECOND * 2);
    let ninety = Report { in_use_permille: Some(900), capacity: None };
    assert_eq!(
        (report(&world, 0), report(&world, 1)),
        (None, Some(ninety)),
        "a 486 is a good answer of the second one alone"
    );
    world.answer = Some("100 Trying\r\nX-Load: 10%");
    world.run(SECOND * 2);
    assert_eq!(report(&world, 1), Some(ninety), "a provisional answer is none");
}

#[test]
fn nothing_is_read_where_the_set_names_no_header() {
    let mut world = world(None);
    world.answer = Some("200 OK\r\nX-Load: 37/100");
    world.run(SECOND * 2);
    assert_eq!((report(&world, 0), counts(&world)), (None, ReportCounts::default()));
}

#[test]
fn calls_that_begin_while_the_answer_is_on_its_way_are_not_in_the_report() {
    let mut world = world(Some("X-Load"));
    world.answer = Some("200 OK\r\nX-Load: 0/100");
    world.delay = Duration::from_millis(200);
    while world.probes.is_empty() {
        world.run(Duration::from_millis(10));
    }
    let state = if world.probes[0].1 == destination(1).address { world.state(0) } else { world.state(1) };
    let tokens: Vec<_> = (0..7).map(|_| world.states().take_load(state)).collect();
    world.run(Duration::from_millis(250));
    assert_eq!(world.states().reported(state).map(|reported| reported.calls), Some(0));
    world.run(SECOND * 2);
    assert_eq!(world.states().reported(state).map(|reported| reported.calls), Some(7), "they are in the next one");
    tokens.into_iter().for_each(|token| world.states().release(token));
}
