//! A destination that dies under load: no call is lost, probes find it, and it comes back.

use super::program::Siplane;
use siplane::cli::demo::{Destination, Load, LoadOptions};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const CALLS: usize = 4_000;
const CALLS_PER_SECOND: u32 = 500;

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 62, 4, host], 0))
}

fn config(address: SocketAddr, destinations: &[Destination]) -> String {
    let uris: Vec<_> = destinations.iter().map(|destination| format!("\"sip:{}\"", destination.address())).collect();
    format!(
        "listen = [\"udp:{address}\"]\nshards = 2\n\n[prober]\ninterval_ms = 1000\ntimeout_ms = 500\n\
         probing_threshold = 2\ninactive_threshold = 2\n\n[[set]]\nid = 1\ndestinations = [{}]\n",
        uris.join(", ")
    )
}

/// Waits until the log says `what`, for no longer than probing may take; how long it took.
fn wait_for(siplane: &Siplane, what: &str) -> Duration {
    let start = Instant::now();
    // Two probes, each at most 1.1 intervals after the one before, and the last one's time-out.
    let most = Duration::from_millis(2 * 1100 + 500 + 1000);
    while !siplane.log().contains(what) {
        assert!(start.elapsed() < most, "no {what} within {most:?}:\n{}", siplane.log());
        thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

#[test]
fn a_destination_that_dies_under_500_calls_a_second_costs_no_call_and_is_inactive_within_two_probes() {
    let destinations: Vec<_> = (11..15).map(|host| Destination::start(address(host)).unwrap()).collect();
    let siplane = Siplane::start(address(1), |address| config(address, &destinations));
    let options = LoadOptions { source_ports: 8, ..LoadOptions::new(siplane.address, CALLS, CALLS_PER_SECOND) };
    let load = Load::start(&options).unwrap();
    thread::sleep(Duration::from_secs(2));
    assert!(!siplane.log().contains("event=trying"), "{}", siplane.log());
    destinations[3].fail();
    let down = wait_for(&siplane, "event=down");
    destinations[3].recover();
    let up = wait_for(&siplane, "event=up");
    let report = load.wait().unwrap();
    println!("inactive after {} ms, active again after {} ms", down.as_millis(), up.as_millis());
    assert_eq!((report.placed, report.lost()), (CALLS as u64, 0), "{:?} {:?}", report.refused, report.faults);
    // Most of its share went to the others while it was away, and it got calls again afterwards.
    let share = report.answered_by.get(&destinations[3].address()).copied().unwrap_or_default();
    assert!((1..CALLS as u64 / 4).contains(&share), "{share} of {CALLS} calls by the one that was away");
    assert_eq!(siplane.terminate().code(), Some(0));
}
