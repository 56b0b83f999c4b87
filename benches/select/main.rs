//! Instructions per selection, by algorithm and size of the set, counted by callgrind.
//!
//! `cargo bench --no-default-features --bench select` runs this program under valgrind once per line and size; only what
//! happens inside [`measured`] is counted: one [`Set::select`](siplane::dispatcher::Set::select) with up to 4 targets and,
//! under call load, one reservation with a call that ends elsewhere. `up`: all destinations are available; `half`: every
//! second one is. Counts are repeatable on one machine and compiler; seconds are not measured here.

#[path = "../callgrind.rs"]
mod callgrind;

use siplane::dispatcher::{
    Algorithm, DestinationSpec, HashInput, HashKind, Health, Input, LoadChoice, LoadToken, Random, SetId, SetSpec,
    Table, Targets,
};
use siplane::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddr;

const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("round-robin", Algorithm::RoundRobin),
    ("random", Algorithm::Random),
    ("priority", Algorithm::Priority),
    ("weight", Algorithm::Weight),
    ("relative-weight", Algorithm::RelativeWeight),
    ("hash", Algorithm::Hash(HashInput::CallId, HashKind::Consistent)),
    ("hash-legacy", Algorithm::Hash(HashInput::CallId, HashKind::Legacy)),
    ("call-load", Algorithm::CallLoad(LoadChoice::Exact)),
    ("call-load-two", Algorithm::CallLoad(LoadChoice::TwoChoices)),
    ("latency", Algorithm::Latency),
    ("rr-or-priority", Algorithm::RoundRobinOrPriority),
    ("srv", Algorithm::Srv),
];

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

/// Selections before and while counting.
const WARM_UP: u64 = 200;
const COUNTED: u64 = 500;

/// The largest factor from 100 to 10,000 destinations that is no growth with the set: linear would be 100.
const GROWTH_MAX: f64 = 5.0;

struct Bench {
    table: Table,
    random: Random,
    targets: Targets,
    tokens: VecDeque<LoadToken>,
    number: u64,
}

impl Bench {
    fn new(algorithm: Algorithm, size: usize, half: bool) -> Self {
        let set = SetSpec::new(SetId(1), algorithm, (0..size).map(destination).collect());
        let table = Table::build(vec![set], None).expect("a good table");
        for destination in table.sets()[0].destinations.iter().step_by(2).filter(|_| half) {
            table.states().set_health(destination.state, Health::Inactive, Instant::from_nanos(1));
        }
        Self { table, random: Random::new(1), targets: Targets::new(), tokens: VecDeque::with_capacity(256), number: 0 }
    }

    fn select(&mut self) {
        self.number += 1;
        let now = Instant::from_nanos(self.number * 1_000_000);
        let hash_key = self.number.to_le_bytes();
        let input = Input { hash_key: &hash_key, ..Input::at(now) };
        self.table.sets()[0].select(self.table.states(), &input, &mut self.random, &mut self.targets);
        if let Algorithm::CallLoad(_) = self.table.sets()[0].algorithm {
            let first = self.table.destination(self.targets[0]).expect("a target");
            self.tokens.extend(self.table.states().reserve(first, now));
            if self.tokens.len() > 200 {
                self.tokens.pop_front().into_iter().for_each(|token| self.table.states().release(token));
            }
        }
    }
}

/// Weights of 1 to 5; equal priorities, which is where SRV has most to choose from.
fn destination(number: usize) -> DestinationSpec {
    let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 5060));
    let weight = number as u32 % 5 + 1;
    DestinationSpec { weight, rweight: weight, ..DestinationSpec::new(format!("sip:{address}"), address) }
}

/// The one function that callgrind looks into.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured(bench: &mut Bench) {
    bench.select();
}

fn main() {
    match callgrind::counted() {
        Some(what) => {
            let words: Vec<&str> = what.split(' ').collect();
            count(words[0], words[1], words[2]);
        }
        None => report(),
    }
}

fn count(name: &str, size: &str, available: &str) {
    let (_, algorithm) = ALGORITHMS.iter().find(|(known, _)| *known == name).expect("an algorithm");
    let mut bench = Bench::new(*algorithm, size.parse().expect("a size"), available == "half");
    (0..WARM_UP).for_each(|_| bench.select());
    (0..COUNTED).for_each(|_| measured(&mut bench));
    bench.tokens.drain(..).for_each(|token| bench.table.states().release(token));
}

fn report() {
    println!("{:<24} {:>8} {:>8} {:>8} {:>8} {:>10}", "instructions", "10", "100", "1,000", "10,000", "10,000/100");
    let mut linear = Vec::new();
    for available in ["up", "half"] {
        for (name, _) in ALGORITHMS {
            let counts = SIZES.map(|size| per_selection(name, size, available));
            let growth = counts[3] as f64 / counts[1] as f64;
            let name = format!("{name} ({available})");
            println!("{name:<24} {:>8} {:>8} {:>8} {:>8} {growth:>10.2}", counts[0], counts[1], counts[2], counts[3]);
            if growth > GROWTH_MAX {
                linear.push(name);
            }
        }
    }
    assert!(linear.is_empty(), "cost grows with the set: {linear:?}");
}

/// Instructions per selection.
fn per_selection(name: &str, size: usize, available: &str) -> u64 {
    callgrind::run(&format!("{name} {size} {available}")).0 / COUNTED
}
