//! Destinations that report their load in answers to OPTIONS: calls go to those that are freer, and follow when that changes.

use super::program::Siplane;
use siplane::cli::demo::{Destination, LoadOptions, Report, load};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const CALLS: usize = 300;

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 62, 5, host], 0))
}

fn config(address: SocketAddr, destinations: &[Destination]) -> String {
    let uris: Vec<_> = destinations.iter().map(|destination| format!("\"sip:{}\"", destination.address())).collect();
    format!(
        "listen = [\"udp:{address}\"]\nshards = 2\n\n[log]\nlevel = \"debug\"\n\n[prober]\ninterval_ms = 500\ntimeout_ms = 400\n\n\
         [[set]]\nid = 1\nalgorithm = \"call-load\"\nload_header = \"X-Load\"\nload_from = \"reported\"\nload_max_age_s = 60\n\
         destinations = [{}]\n",
        uris.join(", ")
    )
}

/// Waits until the log says `what` so many times.
fn wait_for(siplane: &Siplane, what: &str, times: usize) {
    let end = Instant::now() + Duration::from_secs(10);
    while siplane.log().matches(what).count() < times {
        assert!(Instant::now() < end, "not {times} times {what}:\n{}", siplane.log());
        thread::sleep(Duration::from_millis(10));
    }
}

fn place(siplane: &Siplane) -> Report {
    let report = load(&LoadOptions { source_ports: 4, ..LoadOptions::new(siplane.address, CALLS, 150) }).unwrap();
    assert_eq!((report.placed, report.lost()), (CALLS as u64, 0), "{:?} {:?}", report.refused, report.faults);
    report
}

#[test]
fn calls_go_to_whoever_reports_to_be_free_and_follow_when_that_changes() {
    let destinations: Vec<_> = (11..15).map(|host| Destination::start(address(host)).unwrap()).collect();
    // One call is a ten-thousandth of each: what the calls of this test add is far less than what lies between the reports.
    for (destination, load) in destinations.iter().zip(["90%/10000", "10%/10000", "10%/10000", "fairly busy"]) {
        destination.report("X-Load", load);
    }
    let siplane = Siplane::start(address(1), |address| config(address, &destinations));
    // Everybody's first probe is over, and with it everybody's first report.
    wait_for(&siplane, "event=known", destinations.len());
    wait_for(&siplane, "event=load report ignored", 1);
    let share = |report: &Report, place: usize| {
        report.answered_by.get(&destinations[place].address()).copied().unwrap_or_default()
    };
    let shares = |report: &Report| [0, 1, 2, 3].map(|place| share(report, place));
    // Who reports nothing that can be read is as full as its calls make it: of a guess of a hundred, so it gets some.
    let first = place(&siplane);
    assert_eq!(shares(&first)[0], 0, "none to the full one: {:?}", shares(&first));
    assert!(shares(&first)[1..].iter().all(|share| *share > 0), "{:?}", shares(&first));
    // It now reports to be full, in another spelling, and the first one to be empty.
    destinations[3].report("x-LOAD", "10000/10000");
    destinations[0].report("X-Load", "0.00/10000");
    thread::sleep(Duration::from_millis(1_500));
    let second = place(&siplane);
    assert_eq!(shares(&second), [CALLS as u64, 0, 0, 0], "all to the empty one");
    // All alike, and small enough that calls count: they are shared.
    destinations.iter().for_each(|destination| destination.report("X-Load", "50%/100"));
    thread::sleep(Duration::from_millis(1_500));
    let third = place(&siplane);
    assert!(shares(&third).iter().all(|share| (20..=200).contains(share)), "{:?}", shares(&third));
    assert_eq!(siplane.log().matches("event=load report ignored").count(), 1, "told once: {}", siplane.log());
    assert_eq!(siplane.terminate().code(), Some(0));
}
