use super::*;
use crate::dispatcher::{DestinationSpec, OutgoingSocket, PassiveSpec};
use crate::prober::ProbePolicy;
use crate::prober::world::{SECOND, World, destination, settings, table};

fn with(specs: Vec<ProbeSpec>, policy: ProbePolicy) -> World {
    let spec = |(number, probe)| DestinationSpec { probe, ..destination(number) };
    let destinations = (1..).zip(specs).map(spec).collect();
    World::new(settings(policy), table(destinations, PassiveSpec::default(), None))
}

fn world() -> World {
    with(vec![ProbeSpec::default()], ProbePolicy::All)
}

/// Which destinations were probed in the next `time`, by number.
fn probed(world: &mut World, time: Duration) -> Vec<u8> {
    world.probes.clear();
    world.run(time);
    let mut numbers: Vec<u8> = world.probes.iter().map(|(_, to, _)| number(*to)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn number(address: SocketAddr) -> u8 {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    }
}

#[test]
fn a_silent_destination_becomes_trying_then_inactive_and_comes_back_after_two_answers() {
    let mut world = world();
    assert_eq!(world.healths(SECOND * 5), [Health::Trying, Health::Inactive]);
    // RFC 3261 §17.1.2.2: each of about five probes is repeated once, after T1.
    assert!((8..=12).contains(&world.probes.len()), "{}", world.probes.len());
    world.answer = Some("200 OK");
    assert_eq!(world.healths(SECOND * 5), [Health::Active]);
    world.answer = Some("503 No");
    assert_eq!(world.healths(SECOND * 5), [Health::Trying, Health::Inactive]);
    world.answer = Some("404 Not Found");
    assert_eq!(world.healths(SECOND * 5), [Health::Active], "a configured code is as good as a 2xx");
}

#[test]
fn an_unreachable_destination_is_found_without_waiting() {
    // RFC 3261 §18.4
    let mut world = world();
    world.unreachable = true;
    assert_eq!(world.healths(SECOND * 5), [Health::Trying, Health::Inactive]);
    assert!((4..=6).contains(&world.probes.len()), "no probe is repeated: {}", world.probes.len());
    assert_eq!(world.states().last_reason(world.state(0)), Why::new(Cause::Probe, Reason::Unreachable));
}

#[test]
fn a_disabled_destination_is_not_probed_and_one_that_went_away_neither() {
    let mut world = world();
    world.states().set_admin(world.state(0), Admin::Disabled, world.now);
    world.run(SECOND * 5);
    assert_eq!(world.probes.len(), 0);
    world.states().set_admin(world.state(0), Admin::Enabled, world.now);
    world.run(SECOND * 2);
    assert!(!world.probes.is_empty());
    let empty = Table::build(vec![], Some((&world.table, world.now))).unwrap();
    world.publish(empty);
    assert_eq!(world.prober.poll_timeout(), None);
}

#[test]
fn each_change_is_told_with_its_reason_and_kept_in_the_state() {
    let mut world = world();
    world.answer = Some("480 No");
    world.run(SECOND * 3);
    let why = Why::new(Cause::Probe, Reason::Answer(480));
    let told: Vec<_> = world.events.iter().filter(|event| event.destination.is_some()).collect();
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    let known = EventKind::Known(Health::Trying, Admin::Enabled);
    assert_eq!(
        kinds,
        [EventKind::Trying, known, EventKind::Down],
        "the first state is told once, after the first probe"
    );
    assert!(told.iter().all(|event| event.why == why && event.destination.is_some()));
    assert_eq!(world.events[0].kind, EventKind::Published { sets: 1, destinations: 1 });
    assert_eq!(world.states().last_reason(world.state(0)), why);
    assert_eq!(world.states().last_change(world.state(0)), told[2].at);
}

#[test]
fn a_destination_is_probed_as_it_says_itself_and_the_others_as_all() {
    let own = ProbeSpec {
        interval: Some(SECOND * 4),
        timeout: Some(Duration::from_millis(300)),
        method: Some("INFO".into()),
        from: Some("sip:own@h".into()),
        reply_codes: Some(vec![503]),
        probing_threshold: Some(1),
        inactive_threshold: Some(1),
        ..ProbeSpec::default()
    };
    let mut world = with(vec![own, ProbeSpec::default()], ProbePolicy::All);
    world.answer = Some("503 No");
    let kinds = world.run(SECOND * 40);
    let count = |world: &World, which| world.probes.iter().filter(|(_, to, _)| number(*to) == which).count();
    assert!((9..=11).contains(&count(&world, 1)), "{}", count(&world, 1));
    assert!((37..=43).contains(&count(&world, 2)), "{}", count(&world, 2));
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Down).count(), 1);
    assert_eq!(world.states().health(world.state(0)), Health::Active, "503 is a success there");
    let from = |which| world.probes.iter().find(|(_, to, _)| number(*to) == which).unwrap().2.contains("<sip:own@h>");
    assert!(from(1) && !from(2));
    // RFC 3261 §17.1.2: any method but INVITE and ACK is a non-INVITE transaction.
    let by = |which, method| {
        world.probes.iter().filter(|(_, to, _)| number(*to) == which).all(|probe| probe.2.starts_with(method))
    };
    assert!(by(1, "INFO sip:") && by(2, "OPTIONS sip:"));
    world.answer = None;
    world.probes.clear();
    let down = world.healths(SECOND * 5);
    assert_eq!(down, [Health::Inactive], "one failure is enough there");
    assert!((1..=2).contains(&count(&world, 1)), "given up before T1, so never repeated: {}", count(&world, 1));
    world.answer = Some("200 OK");
    world.run(SECOND * 5);
    assert_eq!(world.states().health(world.state(0)), Health::Active, "one answer is enough there");
}

#[test]
fn probes_leave_by_the_ping_socket_else_by_the_destinations_else_by_the_first_of_the_family() {
    let by = |number, own: Option<u8>, ping| DestinationSpec {
        socket: own.map(|number| OutgoingSocket { number, name: String::new() }),
        probe: ProbeSpec { socket: ping, ..ProbeSpec::default() },
        ..destination(number)
    };
    let asked = |first: Option<u8>| {
        let others = [by(2, Some(1), None), by(3, Some(1), Some(0)), by(4, None, Some(1)), by(5, Some(7), None)];
        [vec![by(1, first, None)], others.to_vec()].concat()
    };
    let mut world = World::new(settings(ProbePolicy::All), table(asked(None), PassiveSpec::default(), None));
    world.answer = Some("200 OK");
    let ports = |world: &mut World| {
        world.probes.clear();
        world.run(SECOND * 3 / 2);
        let port = |which| {
            let mut sent = world.probes.iter().filter(|(_, to, _)| number(*to) == which);
            let via = sent.next().unwrap().2.split("Via: SIP/2.0/UDP 192.0.2.1:").nth(1).unwrap().to_owned();
            assert!(sent.all(|(_, _, text)| text.contains(&format!("192.0.2.1:{}", &via[..4]))));
            via[..4].to_owned()
        };
        [1, 2, 3, 4, 5].map(port)
    };
    assert_eq!(ports(&mut world), ["5060", "5070", "5060", "5070", "5060"]);
    // A reload moves it to another socket, with what is known of it: there is no probe of the old one any more.
    let moved = table(asked(Some(1)), PassiveSpec::default(), Some(&world.table));
    world.publish(moved);
    assert_eq!(ports(&mut world), ["5070", "5070", "5060", "5070", "5060"]);
    assert_eq!(world.states().health(world.state(0)), Health::Active);
}

#[test]
fn probes_of_one_destination_keep_their_interval_and_shift_by_a_tenth_at_most() {
    let mut world = with(vec![ProbeSpec::default(); 20], ProbePolicy::All);
    world.answer = Some("200 OK");
    world.run(SECOND * 30);
    let mut gaps = Vec::new();
    for which in 1..=20 {
        let times: Vec<_> = world.probes.iter().filter(|(_, to, _)| number(*to) == which).map(|(at, ..)| *at).collect();
        assert!(times[0] <= Instant::from_nanos(1) + SECOND * 11 / 10, "the first within an interval");
        gaps.extend(times.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_millis()));
    }
    assert!(gaps.iter().all(|gap| (890..=1_110).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().min().unwrap() + 100 < *gaps.iter().max().unwrap(), "they do shift");
}

#[test]
fn the_policy_says_who_is_probed() {
    let flagged = ProbeSpec { flagged: true, ..ProbeSpec::default() };
    let never = ProbeSpec { flagged: true, never: true, ..ProbeSpec::default() };
    let specs = vec![ProbeSpec::default(), flagged, never];
    for (policy, expected) in
        [(ProbePolicy::All, &[1, 2][..]), (ProbePolicy::Flagged, &[2]), (ProbePolicy::WhenInactive, &[])]
    {
        let mut world = with(specs.clone(), policy);
        assert_eq!(probed(&mut world, SECOND * 3), expected, "{policy:?}");
    }
}

#[test]
fn a_flag_is_configuration_that_no_probe_takes_away() {
    // Kamailio's modes 0 and 2 lose it: a flagged destination that does not answer is given up for ever.
    let flagged = ProbeSpec { flagged: true, ..ProbeSpec::default() };
    let mut world = with(vec![flagged], ProbePolicy::Flagged);
    assert_eq!(world.healths(SECOND * 5), [Health::Trying, Health::Inactive]);
    world.answer = Some("200 OK");
    assert_eq!(world.healths(SECOND * 5), [Health::Active]);
    assert_eq!(probed(&mut world, SECOND * 2), [1]);
}

#[test]
fn when_inactive_probes_only_what_is_out_until_it_is_back() {
    let mut world = with(vec![ProbeSpec::default(); 2], ProbePolicy::WhenInactive);
    world.answer = Some("200 OK");
    world.states().set_health(world.state(1), Health::Inactive, world.now);
    assert_eq!(probed(&mut world, SECOND * 5), [2]);
    assert_eq!(world.states().health(world.state(1)), Health::Active);
    assert!(probed(&mut world, SECOND * 5).is_empty());
    world.states().eject(world.state(0), world.now + SECOND * 60, Reason::Timeouts(5), world.now);
    assert_eq!(probed(&mut world, SECOND * 3), [1]);
}

#[test]
fn what_probes_said_is_forgotten_when_a_destination_is_never_probed_any_more() {
    let mut world = world();
    world.run(SECOND * 5);
    assert_eq!(world.states().health(world.state(0)), Health::Inactive);
    let never = ProbeSpec { never: true, ..ProbeSpec::default() };
    let destinations = vec![DestinationSpec { probe: never, ..destination(1) }];
    let next = table(destinations, PassiveSpec::default(), Some(&world.table));
    world.publish(next);
    assert_eq!(world.healths(SECOND * 3), [Health::Active]);
    assert_eq!(world.states().last_reason(world.state(0)), Why::new(Cause::Config, Reason::Unprobed));
    world.states().set_health(world.state(0), Health::Inactive, world.now);
    world.run(SECOND * 3);
    assert_eq!(world.states().health(world.state(0)), Health::Inactive, "an operator's mark stays");
}

#[test]
fn latency_is_measured_from_the_first_send_and_survives_a_reload() {
    let mut world = world();
    world.answer = Some("200 OK");
    world.delay = Duration::from_millis(30);
    world.run(SECOND * 10);
    world.answer = None;
    world.run(SECOND * 3);
    let next = table(vec![destination(2), destination(1)], PassiveSpec::default(), Some(&world.table));
    world.publish(next);
    let latency = world.states().latency(world.state(1));
    let delay = world.delay;
    assert!((8..=11).contains(&latency.count) && (2..=4).contains(&latency.timeouts), "{latency:?}");
    assert_eq!((latency.estimate, latency.average, latency.maximum), (delay, delay, delay));
    assert_eq!((latency.deviation, latency.last_code), (Duration::ZERO, None));
    assert_eq!(world.states().latency(world.state(0)).count, 0);
}

#[test]
fn a_reload_moves_probes_to_the_new_address_and_the_new_interval() {
    let named = |number, interval| {
        let probe = ProbeSpec { interval: Some(interval), ..ProbeSpec::default() };
        vec![DestinationSpec { duid: "a".into(), probe, ..destination(number) }]
    };
    let first = table(named(1, SECOND * 600), PassiveSpec::default(), None);
    let mut world = World::new(settings(ProbePolicy::All), first);
    world.run(SECOND * 700);
    let next = table(named(2, SECOND), PassiveSpec::default(), Some(&world.table));
    world.publish(next);
    assert_eq!(probed(&mut world, SECOND * 3), [2]);
    assert!(world.probes.len() >= 2 && world.probes.iter().all(|(_, _, text)| text.contains("203.0.113.2")));
}

#[test]
fn an_interval_of_zero_probes_only_those_with_one_of_their_own() {
    let own = ProbeSpec { interval: Some(SECOND), ..ProbeSpec::default() };
    let destinations = vec![destination(1), DestinationSpec { probe: own, ..destination(2) }];
    let none = ProbeSettings { interval: Duration::ZERO, ..settings(ProbePolicy::All) };
    let mut world = World::new(none, table(destinations, PassiveSpec::default(), None));
    assert_eq!(probed(&mut world, SECOND * 4), [2]);
}
