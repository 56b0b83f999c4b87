//! Memory per transaction and per dialog: really opened through the call path, read from the process's own resident set.
//!
//! `cargo bench --bench memory`. Calls are spread over virtual time, so that only dialogs pile up and not their transactions.

#[path = "../instructions/calls.rs"]
#[allow(dead_code, reason = "the other benchmark uses all of it")]
mod calls;

use calls::{Calls, Step};
use std::time::Duration;

const DIALOGS: u64 = 1_000_000;
const RINGING: u64 = 100_000;
const ENDED: u64 = 100_000;
const WHOLE: [Step; 6] = [Step::Invite, Step::Ringing, Step::Ok, Step::Ack, Step::Bye, Step::ByeOk];

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let resident: u64 = pages.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    resident * 4096
}

fn open(calls: &mut Calls, steps: &[Step], every: Duration) {
    for step in steps {
        calls.prepare(*step);
        calls.step(*step);
        calls.finish(*step);
    }
    calls.next_call(every);
}

fn report(what: &str, count: u64, before: u64) {
    let bytes = resident_bytes().saturating_sub(before);
    println!("{what:<44} {count:>9} {:>8} MiB {:>7} bytes each", bytes >> 20, bytes / count);
}

/// Established dialogs; `details`: with what is remembered of their ends.
fn established(what: &str, details: bool) {
    let before = resident_bytes();
    let mut calls = Calls::detailed(details);
    for _ in 0..DIALOGS {
        // 10 ms apart: some 3,200 transactions are in their last 32 s at any time.
        open(&mut calls, &[Step::Invite, Step::Ringing, Step::Ok, Step::Ack], Duration::from_millis(10));
    }
    calls.pass(Duration::from_secs(60));
    assert_eq!((calls.dialogs(), calls.transactions()), (DIALOGS as usize, 0));
    report(what, DIALOGS, before);
}

fn main() {
    // `cargo bench` passes flags that a test harness would read.
    established("established dialogs", false);
    established("established dialogs with details", true);

    let before = resident_bytes();
    let mut calls = Calls::new();
    for _ in 0..RINGING {
        open(&mut calls, &[Step::Invite, Step::Ringing], Duration::ZERO);
    }
    assert_eq!(calls.transactions(), RINGING as usize);
    report("ringing INVITEs, both sides and the dialog", RINGING, before);
    drop(calls);

    let before = resident_bytes();
    let mut calls = Calls::new();
    for _ in 0..ENDED {
        open(&mut calls, &WHOLE, Duration::ZERO);
    }
    assert_eq!(calls.transactions(), 2 * ENDED as usize);
    report("calls that ended less than 5 s ago", ENDED, before);
}
