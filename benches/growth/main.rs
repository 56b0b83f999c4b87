//! Whether a call costs more in a larger proxy: instructions per whole call, steering and timers included, with few and with many open
//! dialogs, destinations and shards.
//!
//! `cargo bench --bench growth --no-default-features`, some minutes. Counted by callgrind; ends in failure when something grows by
//! more than it may. Cache misses do not show in instructions: those of callgrind's model of a 32 KiB first and a 32 MiB last level are
//! printed beside them, as information.

#[path = "../callgrind.rs"]
mod callgrind;
#[path = "../instructions/calls.rs"]
#[allow(dead_code, reason = "the other benchmarks use the rest")]
mod calls;

use calls::{Calls, Step};
use siplane::proxy::ShardId;
use std::time::Duration;

/// Whole calls before and while counting.
const WARM_UP: u32 = 600;
const COUNTED: u32 = 300;

/// How long after its INVITE an answered call has no timer any more but that of its lifetime: that of an early dialog runs longest.
const SETTLED: Duration = Duration::from_secs(600);

/// How large a proxy is.
#[derive(Clone, Copy)]
struct Size {
    dialogs: u32,
    destinations: u32,
    shards: u32,
}

const SMALL: Size = Size { dialogs: 100, destinations: 3, shards: 1 };

/// A way to be large, and by how much a call may cost more for it, percent.
struct Growth {
    name: &'static str,
    size: Size,
    allowed: u64,
}

const GROWTHS: [Growth; 4] = [
    Growth { name: "100 dialogs, 3 destinations, 1 shard", size: SMALL, allowed: 0 },
    Growth { name: "1,000,000 dialogs", size: Size { dialogs: 1_000_000, ..SMALL }, allowed: 10 },
    Growth { name: "10,000 destinations", size: Size { destinations: 10_000, ..SMALL }, allowed: 5 },
    Growth { name: "shard 8 of 8", size: Size { shards: 8, ..SMALL }, allowed: 5 },
];

/// The caches of the model: bytes, ways, bytes of a line.
const FIRST_LEVEL: &str = "--D1=32768,8,64";
const LAST_LEVEL: &str = "--LL=33554432,16,64";

/// The one function that callgrind looks into.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured(calls: &mut Calls, step: Step, shards: u32) {
    one(calls, step, shards);
}

/// One datagram as a shard treats it: is it mine, and then what.
fn one(calls: &mut Calls, step: Step, shards: u32) {
    if step != Step::Timers {
        assert_eq!(calls.owner(shards), Some(shards - 1));
    }
    calls.step(step);
}

fn main() {
    match callgrind::counted() {
        Some(name) => GROWTHS.iter().filter(|growth| growth.name == name).for_each(|growth| count(growth.size)),
        None => report(),
    }
}

fn count(size: Size) {
    let shard = ShardId { index: size.shards - 1, count: size.shards };
    let mut calls = Calls::of(size.destinations, shard);
    for _ in 0..size.dialogs {
        calls.skip_foreign(shard);
        for step in [Step::Invite, Step::Ok, Step::Ack] {
            calls.prepare(step);
            calls.step(step);
            calls.finish(step);
        }
        calls.next_call(Duration::from_millis(10));
    }
    // Timers of their beginning are part of what they cost, not of what the counted calls do.
    calls.pass(SETTLED);
    assert_eq!(calls.dialogs(), size.dialogs as usize);
    start_instrumentation();
    for number in 0..WARM_UP + COUNTED {
        calls.skip_foreign(shard);
        // All but the scan alone.
        for step in Step::CALL.into_iter().skip(1) {
            calls.prepare(step);
            let run = if number < WARM_UP { one } else { |calls: &mut _, step, shards| measured(calls, step, shards) };
            run(&mut calls, step, size.shards);
            calls.finish(step);
        }
    }
}

/// Callgrind counts from here on: what comes before takes minutes when it watches. Without valgrind this does nothing.
fn start_instrumentation() {
    #[cfg(target_arch = "x86_64")]
    {
        // valgrind/callgrind.h: CALLGRIND_START_INSTRUMENTATION, number 4 of the tool 'C' 'T', and no arguments.
        let request = [0x4354_0004_u64, 0, 0, 0, 0, 0];
        // SAFETY: valgrind/valgrind.h: four rotations by 128 bits in all and an exchange of a register with itself change nothing but
        // flags and, under valgrind, rdx; the six words are only read.
        unsafe {
            core::arch::asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                in("rax") request.as_ptr(), inout("rdx") 0_u64 => _, inout("rdi") 0_u64 => _,
            );
        }
    }
}

fn report() {
    println!(
        "{:<38} {:>12} {:>8} {:>8} {:>10} {:>10}",
        "a call with", "instructions", "growth", "allowed", "D1 misses", "LL misses"
    );
    let mut first = None;
    let mut too_much = vec![];
    for growth in &GROWTHS {
        let counts = per_call(growth.name);
        let base = *first.get_or_insert(counts.instructions);
        let percent = (counts.instructions as f64 / base as f64 - 1.0) * 100.0;
        let Counts { instructions, first_level, last_level } = counts;
        println!(
            "{:<38} {instructions:>12} {percent:>7.1}% {:>7}% {first_level:>10.1} {last_level:>10.1}",
            growth.name, growth.allowed
        );
        too_much.extend((percent > growth.allowed as f64).then_some(growth.name));
    }
    assert!(too_much.is_empty(), "a call costs too much more with {too_much:?}");
}

/// What one call costs: instructions, and data accesses that miss the first and the last level of cache.
struct Counts {
    instructions: u64,
    first_level: f64,
    last_level: f64,
}

fn per_call(name: &str) -> Counts {
    let (counts, _) = callgrind::run_with(&["--instr-atstart=no", "--cache-sim=yes", FIRST_LEVEL, LAST_LEVEL], name);
    // Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw; zeros at the end are left out.
    let count = |at: usize| counts.get(at).copied().unwrap_or_default();
    let calls = f64::from(COUNTED);
    Counts {
        instructions: count(0) / u64::from(COUNTED),
        first_level: (count(4) + count(5)) as f64 / calls,
        last_level: (count(7) + count(8)) as f64 / calls,
    }
}
