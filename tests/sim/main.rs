//! The simulation: real [`siplane::proxy::Proxy`] values, user agents by the book and otherwise, a lossy virtual
//! network and a
//! virtual clock. One seed is one whole run; every datagram that the proxy sends is judged against RFC 3261.
//!
//! There are plain worlds, and worlds with trouble (`trouble.rs`): the same ones, whose process dies and begins anew, comes late,
//! has room for nothing, and so on.
//!
//! `SIM_SEED=n cargo test --test sim` runs one seed, `SIM_SEEDS=n` says how many are run and `SIM_FIRST=n` from which one on,
//! `SIM_TRACE=n` how many of the last messages a failure prints (60 unless told).
#![cfg_attr(fuzzing, no_main)]
#![cfg_attr(not(test), allow(dead_code, unused_imports, reason = "the fuzzer runs random worlds alone"))]

mod agent;
mod callee;
mod caller;
mod check_order;
mod check_overload;
mod check_own;
mod check_request;
mod check_response;
mod check_target;
mod checks;
mod clock;
mod crash;
mod dialog;
mod extras;
mod fuzzed;
mod ledger;
mod lines;
mod message;
mod model;
mod network;
mod process;
mod reporter;
mod rng;
mod scenario_breadth;
mod scenario_calls;
mod scenario_failover;
mod scenario_keepalive;
mod seeds;
mod setup;
mod trace;
mod transaction;
mod trouble;
mod world;

use ledger::Counts;
use seeds::Tally;
use std::panic::catch_unwind;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs `world` with the seeds that are asked for, `count` of them unless told; what came of all of them together.
fn run_all(world: fn(u64) -> Tally, count: u64) -> Option<Tally> {
    if let Some(seed) = number("SIM_SEED") {
        println!("{:?}", world(seed));
        return None;
    }
    let (mut all, mut failed) = (Tally::default(), Vec::new());
    let first = number("SIM_FIRST").unwrap_or(0);
    for seed in first..first + number("SIM_SEEDS").unwrap_or(count) {
        match catch_unwind(|| world(seed)) {
            Ok(tally) => all.add(&tally),
            Err(_) => failed.push(seed),
        }
    }
    println!("{all:?}");
    assert!(failed.is_empty(), "these seeds failed, see above: {failed:?}");
    // The worlds try what they are for.
    number("SIM_SEEDS").is_none().then_some(all)
}

#[test]
fn random_worlds_keep_every_rule_and_lose_no_call() {
    let Some(all) = run_all(seeds::run, 300) else { return };
    assert!(all.answered > all.calls / 4 && all.failovers > all.calls / 10, "{all:?}");
    assert!(all.keepalives > 500 && all.dead > 10, "{all:?}");
    assert!(all.timer_c > 0 && all.fallbacks > 100 && all.forks > 500 && all.quiet_moments > 20, "{all:?}");
    let Counts { shed, last_places, own_sockets, orphans, foretold } = all.counts;
    assert!([shed, last_places, own_sockets, orphans, foretold].iter().all(|count| *count > 100), "{all:?}");
}

#[test]
fn random_worlds_with_trouble_keep_every_rule_and_leak_nothing() {
    let Some(all) = run_all(seeds::run_with_trouble, 150) else { return };
    assert!(all.answered > all.calls / 8 && all.keepalives > 100 && all.quiet_moments > 5, "{all:?}");
    assert!(all.met.all().iter().all(|count| *count > 5), "{all:?}");
}
