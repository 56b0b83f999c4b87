//! How long the next table takes to build from the one in force: 1,000 and 10,000 destinations, in one set under each algorithm and in
//! 100 sets, of which every tenth destination is another one than before.
//!
//! `cargo bench --bench reload --no-default-features`, some seconds. Median of several builds, in ms on this machine, and how much more a
//! destination costs in the larger table: 1.0 when the time grows with the destinations and no faster. Nothing is asserted.

use siplane::dispatcher::{Algorithm, DestinationSpec, HashInput, HashKind, LoadChoice, SetId, SetSpec, Table};
use std::time::{Duration, Instant};

const BUILDS: usize = 9;

/// When the next table takes over; nothing is decided by it here.
const NOW: siplane::time::Instant = siplane::time::Instant::from_nanos(1);

const ALGORITHMS: [(&str, Algorithm); 8] = [
    ("round-robin", Algorithm::RoundRobin),
    ("priority", Algorithm::Priority),
    ("weight", Algorithm::Weight),
    ("relative-weight", Algorithm::RelativeWeight),
    ("call-load", Algorithm::CallLoad(LoadChoice::Exact)),
    ("latency", Algorithm::Latency),
    ("hash-call-id", Algorithm::Hash(HashInput::CallId, HashKind::Consistent)),
    ("legacy-hash-call-id", Algorithm::Hash(HashInput::CallId, HashKind::Legacy)),
];

/// `count` destinations in `sets` sets; those of another round differ in every tenth.
fn specs(count: usize, sets: usize, algorithm: Algorithm, round: usize) -> Vec<SetSpec> {
    let destination = |number: usize| {
        let port = if number.is_multiple_of(10) { 5060 + round as u16 } else { 5060 };
        let address = ([10, (number >> 16) as u8, (number >> 8) as u8, number as u8], port).into();
        let attrs = format!("duid=gw{number};weight={};region=eu", 1 + number % 100);
        let spec = DestinationSpec::new(format!("sip:{address}"), address);
        DestinationSpec { weight: 1 + number as u32 % 100, priority: number as i32 % 7, attrs, ..spec }
    };
    let set = |set: usize| {
        let destinations = (0..count).skip(set).step_by(sets).map(destination).collect();
        SetSpec::new(SetId(set as u32), algorithm, destinations)
    };
    (0..sets).map(set).collect()
}

/// The median of some reloads, each from the table before.
fn measure(count: usize, sets: usize, algorithm: Algorithm) -> Duration {
    let mut table = Table::build(specs(count, sets, algorithm, 0), None).expect("a table");
    let mut times: Vec<Duration> = (1..=BUILDS)
        .map(|round| {
            let specs = specs(count, sets, algorithm, round);
            let start = Instant::now();
            let next = Table::build(specs, Some((&table, NOW))).expect("the next table");
            let took = start.elapsed();
            table = next;
            took
        })
        .collect();
    times.sort_unstable();
    times[BUILDS / 2]
}

fn main() {
    println!("| the next table | 1,000 destinations, ms | 10,000, ms | a destination, ratio |");
    println!("|---|---|---|---|");
    let rows = ALGORITHMS.iter().map(|(name, algorithm)| (format!("one set, {name}"), 1, *algorithm));
    let rows = rows.chain([(String::from("100 sets, weight"), 100, Algorithm::Weight)]);
    for (name, sets, algorithm) in rows {
        let [small, large] = [1_000, 10_000].map(|count| measure(count, sets, algorithm).as_secs_f64() * 1e3);
        println!("| {name} | {small:.2} | {large:.2} | {:.1} |", large / small / 10.0);
    }
}
