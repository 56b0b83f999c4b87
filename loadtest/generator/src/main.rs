//! siplane-load: a load generator for SIP proxies, cheap enough to sit beside what it measures.
//!
//! Callers and callees are one process: callers place record-routed calls through a proxy, callees take them, and both look at what
//! the proxy made of every message. IPv4 and UDP only.
//!
//! ```text
//! siplane run --config two.toml &                 # its destinations: sip:127.0.0.1:6060, sip:127.0.0.1:6061
//! siplane-load --proxy 127.0.0.1:5060 --uas 127.0.0.1:6060 --destinations 2 --rate 5000 --duration 10 --pid $!
//! siplane-load … --concurrency 100 --calls 100000 --mix ok=90,busy=5,cancel=3,reinvite=2 --json
//! siplane-load … --hold-open 1000000 --rate 5000 --poisson --duration 60          # load beside a million open calls
//! siplane-load … --rate 20000 --duration 10 --segment --join --gather-us 1000     # the cheapest, for a proxy with one socket
//! ```
//!
//! A proxy remembers a transaction for 64*T1 after its end, so a few minutes at a high rate need room: with siplane some
//! `rate × 32 × 4` of `transactions_max`, or it answers 503, as it should. A core that anybody else uses, too, makes no clean runs.
//!
//! - An **open loop** (`--rate`) places calls by a schedule that waits for nobody; times are counted from when a call was *meant* to
//!   start, so a proxy that stops for a second shows it in every call of that second. A **closed loop** (`--concurrency`) places a
//!   call when another ends: it finds the highest rate, and says nothing about waiting times.
//! - Retransmissions are those of RFC 3261 (timers A, E, G, and of a 2xx without ACK), unless `--no-retransmit`.
//! - `--gather-us` lets a thread's turns gather messages, `--segment` sends equal ones as one datagram for the kernel to cut, `--join`
//!   takes as one what was sent as one, `--connect` saves the kernel the way: they make the generator cheaper, and the load a little less
//!   even, which makes the proxy cheaper, too; `--join` besides spares a proxy on this machine that sends runs their cutting. PERF.md
//!   has what each costs. Use the same for everything that is compared.
//! - `--vary-sizes`: each call's names, Call-ID and bodies are of another length, so that few messages are of one size.
//! - What it cannot do: IPv6, TCP, answers to digest challenges, names in Route or Contact, more than one proxy on the way. Callees
//!   do not add `received` and `rport` to the top Via.
//!
//! # Clean
//!
//! A run is **clean** (exit status 0) when its figures are those of the program under test. It is not, and says why, when a call did
//! not become what its kind wants, or a message was changed as no proxy may (1); or when the generator left later than
//! `--lag-ms` at the 99th percentile, its own sockets dropped or did not take something, the sockets of the program under test
//! dropped something, an answered call had no ACK, or calls were not placed (3). A usage error is 2.
//!
//! # What is looked at
//!
//! At the caller: only our Via is left and it is ours, From, To and its tag, CSeq, Record-Route, the answer's body byte for byte, the
//! source that called. At the callee: one Via more, Max-Forwards lower by one, From, no Route left, Contact as Request-URI,
//! Record-Route, the offer's body byte for byte; that ACK and BYE reached the callee that answered, and that each answer had its ACK.
//!
//! # How it is built
//!
//! Messages are prepared text ([`text`]) with the call's number patched in ([`number`]); the number in the Call-ID is the place in both
//! sides' tables, so nobody searches. One pass over the lines ([`scan`]) finds what is looked at. Sockets are read and written in batches
//! ([`io`]); nothing is allocated per message once tables and buffers have their size.

mod check;
mod cli;
mod cpu;
mod ends;
mod io;
mod mix;
mod number;
mod pace;
mod pool;
mod report;
mod run;
mod scan;
mod stats;
#[cfg(test)]
mod tests;
mod text;
mod timers;
mod uac;
mod uas;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    if let Some(problem) = arguments.problem() {
        eprintln!("siplane-load: {problem}");
        return ExitCode::from(2);
    }
    match run::run(&arguments) {
        Ok(outcome) => outcome.tell(&arguments),
        Err(error) => {
            eprintln!("siplane-load: {error}");
            ExitCode::from(2)
        }
    }
}
