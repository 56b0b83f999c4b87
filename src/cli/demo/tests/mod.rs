//! The user agents against each other on real sockets: directly, through a record-routing relay, and as the whole demo.

mod relay;

use super::*;
use crate::sip::{self, Status};
use relay::{Relay, Sin};
use std::convert::Infallible;
use ua::Answer;

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn options(proxy: SocketAddr, record_routed: bool) -> LoadOptions {
    LoadOptions {
        source_ports: 3,
        ring: ms(0)..ms(30),
        talk: ms(0)..ms(60),
        callee_hangs_up_percent: 50,
        last_wait: Duration::from_secs(3),
        record_routed,
        ..LoadOptions::new(proxy, 60, 200)
    }
}

fn start(count: usize) -> Vec<Destination> {
    (0..count).map(|_| Destination::start(any()).unwrap()).collect()
}

fn addresses(destinations: &[Destination]) -> Vec<SocketAddr> {
    destinations.iter().map(Destination::address).collect()
}

#[test]
fn caller_and_destination_get_on_without_a_proxy() {
    let destination = Destination::start(any()).unwrap();
    assert!(is_ready(destination.address(), Duration::from_secs(5)));
    let report = load(&options(destination.address(), false)).unwrap();
    assert_eq!((report.placed, report.completed, report.lost()), (60, 60, 0), "{:?}", report.faults);
    assert_eq!((report.fault_count, report.retransmissions, report.repeats, report.moved), (0, 0, 0, 0));
    assert_eq!(report.answered_by[&destination.address()], 60);
    assert_eq!((report.ringing_us.len(), report.setup_us.len()), (60, 60));
    assert_eq!(destination.invites(), 60);
    destination.settle(Duration::from_secs(5));
    let expected = DestinationReport { invites: 60, answered: 60, ended: 60, repeats: 0, strays: 0 };
    assert_eq!(destination.stop(), expected);
}

/// A callee in the test's own hands.
struct Hand {
    port: Port,
    buffer: Vec<u8>,
}

impl Hand {
    /// The first line of the next datagram, all of it, and where it came from.
    fn next(&mut self) -> (String, Vec<u8>, SocketAddr) {
        let (length, source) = self.port.receive(&mut self.buffer, Duration::from_secs(5)).expect("a datagram");
        let bytes = self.buffer[..length].to_vec();
        (String::from_utf8_lossy(&bytes).split(' ').next().unwrap().to_owned(), bytes, source)
    }

    /// Answers `request`; the answer, to be sent again.
    fn answer(&self, (_, request, source): &(String, Vec<u8>, SocketAddr), status: u16) -> (Vec<u8>, SocketAddr) {
        let contact = format!("Contact: <sip:hand@{}>\r\n", self.port.address());
        let answer = Answer { status: Status::new(status).unwrap(), tag: "hand", headers: &contact, body: "" };
        let (bytes, to) = answer.write(&sip::scan(request), *source).unwrap();
        self.port.send(&bytes, to);
        (bytes, to)
    }
}

/// One call to a [`Hand`].
fn call_a_hand() -> (Hand, Load) {
    let hand = Hand { port: Port::bind(any()).unwrap(), buffer: vec![0; 65_535] };
    let options =
        LoadOptions { calls: 1, source_ports: 1, callee_hangs_up_percent: 0, ..options(hand.port.address(), false) };
    let load = Load::start(&options).unwrap();
    (hand, load)
}

#[test]
fn the_caller_repeats_what_is_not_answered_and_acknowledges_a_200_each_time() {
    // RFC 3261 §17.1.1.2, §17.1.2.2, §13.2.2.4
    let (mut hand, load) = call_a_hand();
    let (first, second) = (hand.next(), hand.next());
    assert_eq!((&*first.0, &first.1), ("INVITE", &second.1));
    let (ok, to) = hand.answer(&first, 200);
    let ack = hand.next();
    hand.port.send(&ok, to);
    let mut rest = [hand.next(), hand.next()];
    rest.sort();
    assert_eq!([&*rest[0].0, &*rest[1].0], ["ACK", "BYE"]);
    assert_eq!(ack, rest[0]);
    assert_eq!(hand.next(), rest[1]);
    hand.answer(&rest[1], 200);
    let report = load.wait().unwrap();
    assert_eq!((report.completed, report.retransmissions, report.repeats), (1, 2, 1), "{:?}", report.faults);
}

#[test]
fn a_refused_call_is_acknowledged_each_time_and_counts_as_lost() {
    // RFC 3261 §17.1.1.2, §17.1.1.3
    let (mut hand, load) = call_a_hand();
    let invite = hand.next();
    hand.answer(&invite, 486);
    assert_eq!(hand.next().0, "ACK");
    let report = load.wait().unwrap();
    assert_eq!((report.lost(), report.refused[&486], report.answered), (1, 1, 0));
}

#[test]
fn calls_go_along_the_record_route_both_ways() {
    // RFC 3261 §12.2.1.1, §16.12
    let destinations = start(3);
    let relay = Relay::start(any(), addresses(&destinations), Sin::None);
    let report = load(&options(relay.address, true)).unwrap();
    destinations.iter().for_each(|destination| destination.settle(Duration::from_secs(5)));
    relay.stop();
    assert_eq!((report.completed, report.fault_count), (60, 0), "{:?}", report.faults);
    assert_eq!(report.answered_by.values().collect::<Vec<_>>(), [&20, &20, &20]);
    for destination in destinations {
        let expected = DestinationReport { invites: 20, answered: 20, ended: 20, repeats: 0, strays: 0 };
        assert_eq!(destination.stop(), expected);
    }
}

#[test]
fn a_proxy_that_does_not_record_route_is_found_out() {
    let destinations = start(1);
    let relay = Relay::start(any(), addresses(&destinations), Sin::OffTheRoute);
    let report = load(&options(relay.address, true)).unwrap();
    relay.stop();
    assert_eq!(report.lost(), 60);
    assert!(report.faults.iter().any(|fault| fault.contains("route set")), "{:?}", report.faults);
    let [destination] = <[_; 1]>::try_from(destinations).unwrap_or_else(|_| panic!("one"));
    assert!(destination.stop().strays >= 60);
}

#[test]
fn a_proxy_that_leaves_its_via_or_route_in_is_found_out() {
    let destinations = start(1);
    let short = |proxy| LoadOptions { last_wait: ms(500), calls: 3, ..options(proxy, true) };
    let relay = Relay::start(any(), addresses(&destinations), Sin::ViaLeft);
    let report = load(&short(relay.address)).unwrap();
    relay.stop();
    assert_eq!(report.lost(), 3);
    assert!(report.faults.iter().any(|fault| fault.contains("not exactly one Via")), "{:?}", report.faults);
    let relay = Relay::start(any(), addresses(&destinations), Sin::RouteLeft);
    let options = LoadOptions { callee_hangs_up_percent: 100, ..short(relay.address) };
    let report = load(&options).unwrap();
    relay.stop();
    assert!(report.faults.iter().any(|fault| fault.contains("a Route is left")), "{:?}", report.faults);
    assert!(destinations.into_iter().map(|destination| destination.stop().strays).sum::<u64>() >= 3);
}

#[test]
fn the_demo_loses_no_call_while_a_destination_fails_and_comes_back() {
    // Every address has to be known before anything starts; nobody else takes ports of these hosts.
    let free = [1, 2, 3, 4].map(|host| Port::bind(SocketAddr::from(([127, 60, 1, host], 0))).unwrap().address());
    let plan = Plan {
        proxy: free[0],
        destinations: free[1..].to_vec(),
        calls_per_second: 100,
        placing: ms(2_000),
        // Some ten calls ring at the failing destination at any time: some of them are moved.
        ring: ms(200)..ms(400),
        talk: ms(100)..ms(300),
        ..Plan::default()
    };
    let mut out = Vec::new();
    let relay = || Ok::<_, Infallible>(Relay::start(plan.proxy, plan.destinations.clone(), Sin::None));
    let outcome = play(&plan, relay, &mut out, false).unwrap();
    let (report, text) = (&outcome.report, String::from_utf8(out).unwrap());
    assert_eq!((report.placed, report.lost(), report.fault_count), (200, 0, 0), "{:?}", report.faults);
    assert!(outcome.snapshot.failovers > 0 && report.moved > 0);
    assert_eq!(outcome.destinations.iter().map(|seen| seen.answered).sum::<u64>(), 200);
    assert_eq!(outcome.destinations.iter().map(|seen| seen.ended).sum::<u64>(), 200);
    assert_eq!(outcome.destinations.iter().map(|seen| seen.strays).sum::<u64>(), 0);
    assert!(text.contains("calls placed 200, answered 200, failed over ") && text.contains(", lost 0\n"), "{text}");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = Port::bind(any()).unwrap();
    let plan = Plan { proxy: taken.address(), ..Plan::default() };
    let never = || -> Result<Relay, Infallible> { unreachable!("the server is not started") };
    let error = play(&plan, never, Vec::new(), false).unwrap_err().to_string();
    assert!(error.starts_with(&format!("udp:{} is in use", taken.address())), "{error}");
}

#[test]
fn a_server_that_does_not_start_is_named_and_its_destinations_end() {
    let [proxy, destination] =
        [1, 2].map(|host| Port::bind(SocketAddr::from(([127, 60, 2, host], 0))).unwrap().address());
    let plan = Plan { proxy, destinations: vec![destination], ..Plan::default() };
    let error = play(&plan, || Err::<Relay, _>("no core"), Vec::new(), false).unwrap_err();
    assert_eq!(error.to_string(), "siplane does not start: no core");
    assert!(Port::bind(destination).is_ok());
}
