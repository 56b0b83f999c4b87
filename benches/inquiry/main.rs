//! How long a question of the control side keeps a shard: what a list of calls looks at in one turn, `limits::INQUIRY_SLOTS` slots of a
//! table that is full, and copies of them.
//!
//! `cargo bench --bench inquiry --no-default-features`. The copies are those of `control::rows`; the largest of the three kinds counts.

#[path = "../instructions/calls.rs"]
#[allow(dead_code, reason = "another benchmark uses all of it")]
mod calls;

use calls::{Calls, Step};
use siplane::limits::INQUIRY_SLOTS;
use siplane::proxy::{DialogView, Proxy};
use std::time::{Duration, Instant};

/// Far more than a core's caches hold.
const CALLS: u32 = 100_000;

fn open(steps: &[Step], details: bool) -> Calls {
    let mut calls = Calls::detailed(details);
    for _ in 0..CALLS {
        for step in steps {
            calls.prepare(*step);
            calls.step(*step);
            calls.finish(*step);
        }
        calls.next_call(Duration::ZERO);
    }
    calls
}

/// What is copied of a dialog, as long as the list is put together beside the shard.
fn copy(dialog: &DialogView<'_>) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    if let Some(ends) = dialog.legs().find_map(|leg| leg.ends()) {
        texts.push(ends.call_id().to_vec());
        for party in [ends.caller(), ends.callee()] {
            texts.extend([party.name, party.contact, party.route_set].map(<[u8]>::to_vec));
        }
    } else if let Some(invite) = dialog.invite() {
        texts.push(invite.bytes.to_vec());
    }
    texts
}

/// Each question goes on where the one before ended: nothing of it is in a cache.
fn ask(proxy: &Proxy) -> Vec<Duration> {
    let starts = (0..proxy.dialog_slots()).step_by(INQUIRY_SLOTS as usize);
    let question = |start| {
        let asked = Instant::now();
        let rows: Vec<_> = proxy.dialogs_in(start..start + INQUIRY_SLOTS).map(|dialog| copy(&dialog)).collect();
        let took = asked.elapsed();
        (rows.len() == INQUIRY_SLOTS as usize).then_some(took)
    };
    starts.filter_map(question).collect()
}

fn main() {
    let ringing = [Step::Invite, Step::Ringing];
    let answered = [Step::Invite, Step::Ringing, Step::Ok, Step::Ack];
    println!("{INQUIRY_SLOTS} slots of {CALLS} calls, microseconds: {:>8} {:>8} {:>8}", "median", "99 %", "longest");
    for (what, calls) in [
        ("ringing", open(&ringing, false)),
        ("answered, no details", open(&answered, false)),
        ("answered, with details", open(&answered, true)),
    ] {
        let mut times = ask(calls.proxy());
        times.sort_unstable();
        let at = |permille: usize| times[(times.len() - 1) * permille / 1_000].as_nanos() as f64 / 1e3;
        println!("{what:<45} {:>8.1} {:>8.1} {:>8.1}", at(500), at(990), at(1_000));
    }
}
