//! The real program on real sockets: `siplane run --config FILE` between a by-the-book caller and three destinations.
//!
//! 300 calls from one source port (one trunk) and 300 from 100, with 1, 2, 4 and 8 shards: every call must go by the book,
//! without one retransmission, in exactly equal shares; then SIGTERM must end the process in time, with status 0.

mod forbidden;
mod probing;
mod program;
mod reporting;
mod slow_start;
mod sockets;

use program::{SHUTDOWN_TIMEOUT, Siplane};
use siplane::cli::demo::{Destination, DestinationReport, LoadOptions, Report, load};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const CALLS: usize = 300;
const DESTINATIONS: usize = 3;

#[test]
fn one_shard_completes_every_call_and_ends_in_time() {
    all_calls_complete(1);
}

#[test]
fn two_shards_complete_every_call_and_end_in_time() {
    all_calls_complete(2);
}

#[test]
fn four_shards_complete_every_call_and_end_in_time() {
    all_calls_complete(4);
}

#[test]
fn eight_shards_complete_every_call_and_end_in_time() {
    all_calls_complete(8);
}

/// IPv4 in, IPv6 out: another socket, so a Record-Route value for each side (RFC 3261 §16.6 item 4).
#[test]
fn calls_between_address_families_complete() {
    let v6 = |port| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
    let destinations: Vec<_> = (0..DESTINATIONS).map(|_| Destination::start(v6(0)).unwrap()).collect();
    let own_v6 = UdpSocket::bind(v6(0)).unwrap().local_addr().unwrap();
    let siplane = Siplane::start(address(9, 1), |address| {
        let both = format!("listen = [\"udp:{address}\", \"udp:{own_v6}\"]");
        config(address, 2, &destinations).replace(&format!("listen = [\"udp:{address}\"]"), &both)
    });
    let report = load(&options(siplane.address, 10)).unwrap();
    check_caller(&report, &destinations, "IPv4 to IPv6");
    assert_eq!(siplane.terminate().code(), Some(0));
}

fn all_calls_complete(shards: u8) {
    let destinations: Vec<Destination> =
        (0..DESTINATIONS as u8).map(|number| Destination::start(address(shards, 11 + number)).unwrap()).collect();
    let siplane = Siplane::start(address(shards, 1), |address| config(address, shards, &destinations));
    for source_ports in [1, 100] {
        let report = load(&options(siplane.address, source_ports)).unwrap();
        check_caller(&report, &destinations, &format!("{shards} shards, {source_ports} source ports"));
    }
    let status = siplane.terminate();
    assert_eq!(status.code(), Some(0), "{shards} shards: {status}");
    let calls = (2 * CALLS / DESTINATIONS) as u64;
    let expected = DestinationReport { invites: calls, answered: calls, ended: calls, repeats: 0, strays: 0 };
    for destination in destinations {
        destination.settle(Duration::from_secs(5));
        assert_eq!(destination.stop(), expected, "{shards} shards");
    }
}

fn check_caller(report: &Report, destinations: &[Destination], run: &str) {
    assert_eq!((report.placed, report.lost()), (CALLS as u64, 0), "{run}: {:?} {:?}", report.refused, report.faults);
    assert_eq!(report.fault_count, 0, "{run}: {:?}", report.faults);
    assert_eq!((report.retransmissions, report.repeats, report.moved), (0, 0, 0), "{run}");
    for destination in destinations {
        let share = report.answered_by.get(&destination.address()).copied();
        assert_eq!(share, Some((CALLS / DESTINATIONS) as u64), "{run}: {:?}", report.answered_by);
    }
}

const fn options(proxy: SocketAddr, source_ports: usize) -> LoadOptions {
    LoadOptions { source_ports, ..LoadOptions::new(proxy, CALLS, 150) }
}

/// A host of this test alone, so that several run at once; the port is a free one.
fn address(shards: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([127, 61, shards, host], 0))
}

fn config(address: SocketAddr, shards: u8, destinations: &[Destination]) -> String {
    let uris: Vec<String> =
        destinations.iter().map(|destination| format!("\"sip:{}\"", destination.address())).collect();
    format!(
        "listen = [\"udp:{address}\"]\nshards = {shards}\nshutdown_timeout_s = {}\n\n[log]\nlevel = \"warn\"\n\n\
        [[set]]\nid = 1\nalgorithm = \"round-robin\"\ndestinations = [{}]\n",
        SHUTDOWN_TIMEOUT.as_secs(),
        uris.join(", ")
    )
}
