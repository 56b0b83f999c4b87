//! The simulation: real [`siplane::proxy::Proxy`] values, user agents by the book and otherwise, a lossy virtual
//! network and a
//! virtual clock. One seed is one whole run; every datagram that the proxy sends is judged against RFC 3261.
//!
//! `SIM_SEED=n cargo test --test sim` runs one seed, `SIM_SEEDS=n` says how many are run (300 unless told),
//! `SIM_TRACE=n`
//! how many of the last messages a failure prints (60 unless told).

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
mod dialog;
mod extras;
mod ledger;
mod lines;
mod message;
mod model;
mod network;
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
mod world;

use ledger::Counts;
use seeds::Tally;
use std::panic::catch_unwind;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn random_worlds_keep_every_rule_and_lose_no_call() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{:?}", seeds::run(seed));
        return;
    }
    let (mut all, mut failed) = (Tally::default(), Vec::new());
    for seed in 0..number("SIM_SEEDS").unwrap_or(300) {
        let Ok(tally) = catch_unwind(|| seeds::run(seed)) else {
            failed.push(seed);
            continue;
        };
        all.calls += tally.calls;
        all.judged += tally.judged;
        all.answered += tally.answered;
        all.failovers += tally.failovers;
        all.fallbacks += tally.fallbacks;
        all.forks += tally.forks;
        all.timer_c += tally.timer_c;
        all.keepalives += tally.keepalives;
        all.dead += tally.dead;
        all.quiet_moments += tally.quiet_moments;
        all.counts.add(&tally.counts);
    }
    println!("{all:?}");
    assert!(failed.is_empty(), "these seeds failed, see above: {failed:?}");
    // The worlds try what they are for.
    if number("SIM_SEEDS").is_none() {
        assert!(all.answered > all.calls / 4 && all.failovers > all.calls / 10, "{all:?}");
        assert!(all.keepalives > 500 && all.dead > 10, "{all:?}");
        assert!(all.timer_c > 0 && all.fallbacks > 100 && all.forks > 500 && all.quiet_moments > 20, "{all:?}");
        let Counts { shed, last_places, own_sockets, orphans, foretold } = all.counts;
        assert!([shed, last_places, own_sockets, orphans, foretold].iter().all(|count| *count > 100), "{all:?}");
    }
}
