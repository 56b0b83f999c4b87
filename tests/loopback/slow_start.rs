//! A destination comes back under load: with slow start its calls climb along the ramp, without it they are there at once.
//!
//! Three sets at once in one siplane, each with three destinations, a load of its own and a destination that dies and comes
//! back. Shares are of the calls that arrived in the same second, so that a busy machine changes nothing.

use super::program::Siplane;
use siplane::cli::demo::{Destination, Load, LoadOptions};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

const SLOW_START_S: u64 = 5;
const CALLS_PER_SECOND: u32 = 250;
const CALLS: usize = 2_600;
/// What a second's share may be beside the ramp's, of all calls of that second. Each turn of the destination is admitted or
/// not, some 100 of 250 calls: one standard deviation is at most 2 %.
const TOLERANCE: f64 = 0.09;

/// Set, algorithm, seconds of slow start.
const SETS: [(u8, &str, u64); 3] =
    [(1, "round-robin", SLOW_START_S), (2, "call-load", SLOW_START_S), (3, "round-robin", 0)];

fn address(set: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([127, 62, 50 + set, host], 0))
}

/// Where the calls of a set come from, by which a rule finds it.
fn source(set: u8) -> IpAddr {
    address(set, 2).ip()
}

fn config(address: SocketAddr, destinations: &[Vec<Destination>]) -> String {
    // Only probes take out and bring back: nothing else says when.
    let mut text = format!(
        "listen = [\"udp:{address}\"]\nshards = 2\n\n[prober]\ninterval_ms = 200\ntimeout_ms = 150\nprobing_threshold = 1\n\
         inactive_threshold = 1\n"
    );
    for ((set, algorithm, slow_start_s), destinations) in SETS.iter().zip(destinations) {
        let uris: Vec<_> = destinations.iter().map(|it| format!("\"sip:{}\"", it.address())).collect();
        text += &format!(
            "\n[[set]]\nid = {set}\nalgorithm = \"{algorithm}\"\nslow_start_s = {slow_start_s}\ndestinations = [{}]\n\
             [set.passive]\ntimeouts_in_row = 0\nunreachables_in_row = 0\n",
            uris.join(", ")
        );
    }
    let rule = |(set, ..): &(u8, &str, u64)| format!("\n[[rule]]\nsource = \"{}\"\nset = {set}\n", source(*set));
    text + &SETS.iter().map(rule).collect::<String>()
}

fn load(proxy: SocketAddr, set: u8) -> Load {
    let options = LoadOptions {
        source: source(set),
        source_ports: 8,
        talk: Duration::from_millis(50)..Duration::from_millis(250),
        ..LoadOptions::new(proxy, CALLS, CALLS_PER_SECOND)
    };
    Load::start(&options).unwrap()
}

/// Waits until a destination of the set goes `what`, and when that was seen.
fn wait_for(siplane: &Siplane, set: u8, what: &str) -> Instant {
    let end = Instant::now() + Duration::from_secs(5);
    let (set, what) = (format!("set={set} "), format!("event={what} "));
    while !siplane.log().lines().any(|line| line.contains(&set) && line.contains(&what)) {
        assert!(Instant::now() < end, "no {set}{what}in\n{}", siplane.log());
        thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

/// INVITEs of the last destination, and of all.
fn invites(destinations: &[Destination]) -> (u64, u64) {
    (destinations[2].invites(), destinations.iter().map(Destination::invites).sum())
}

/// The last destination's share of each of the next `seconds`.
fn shares(since: Instant, seconds: u64, destinations: &[Destination]) -> Vec<f64> {
    let mut before = invites(destinations);
    let mut share = |second| {
        thread::sleep((since + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        let now = invites(destinations);
        let share = (now.0 - before.0) as f64 / (now.1 - before.1) as f64;
        before = now;
        share
    };
    (1..=seconds).map(&mut share).collect()
}

/// The share of one of three that gets the part p of its turns is p/(2+p), in the mean over a second.
fn ramp(second: usize) -> f64 {
    let part = |at: f64| (0.1 + 0.9 * at / SLOW_START_S as f64).min(1.0);
    (0..100)
        .map(|step| part(second as f64 + f64::from(step) / 100.0 + 0.005))
        .map(|part| part / (2.0 + part) / 100.0)
        .sum()
}

/// One set: its destination dies and comes back; the shares afterwards.
fn die_and_come_back(siplane: &Siplane, set: u8, destinations: &[Destination]) -> Vec<f64> {
    thread::sleep(Duration::from_secs(1));
    destinations[2].fail();
    wait_for(siplane, set, "down");
    destinations[2].recover();
    let up = wait_for(siplane, set, "up");
    shares(up, SLOW_START_S + 1, destinations)
}

#[test]
fn a_destination_that_comes_back_climbs_along_its_slow_start_and_without_one_has_its_share_at_once() {
    let three = |set| (11..14).map(|host| Destination::start(address(set, host)).unwrap()).collect();
    let destinations: Vec<Vec<Destination>> = SETS.iter().map(|(set, ..)| three(*set)).collect();
    let siplane = Siplane::start(address(1, 1), |address| config(address, &destinations));
    let loads: Vec<_> = SETS.iter().map(|(set, ..)| load(siplane.address, *set)).collect();
    let shares: Vec<Vec<f64>> = thread::scope(|scope| {
        let mut threads = Vec::new();
        for ((set, ..), destinations) in SETS.iter().zip(&destinations) {
            let siplane = &siplane;
            threads.push(scope.spawn(move || die_and_come_back(siplane, *set, destinations)));
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((_, algorithm, slow_start_s), shares) in SETS.iter().zip(&shares) {
        let due: Vec<f64> = (0..shares.len()).map(|at| if *slow_start_s > 0 { ramp(at) } else { 1.0 / 3.0 }).collect();
        println!("{algorithm}, slow_start_s = {slow_start_s}: {shares:.3?}, due {due:.3?}");
        let far = shares.iter().zip(&due).any(|(share, due)| (share - due).abs() > TOLERANCE);
        assert!(!far, "{algorithm}, slow_start_s = {slow_start_s}: shares {shares:.3?}, due {due:.3?}");
    }
    for load in loads {
        let report = load.wait().unwrap();
        assert_eq!((report.placed, report.lost()), (CALLS as u64, 0), "{:?} {:?}", report.refused, report.faults);
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}
