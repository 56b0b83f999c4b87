//! The timer wheel with a million timers: instructions per operation, counted by callgrind.
//!
//! `cargo bench --bench timer` runs this program under valgrind once per operation; only what happens inside [`measured`] is counted.

#[path = "../callgrind.rs"]
mod callgrind;
#[path = "../../src/proxy/memory.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the tables use all of it")]
mod memory;
#[path = "../../src/time.rs"]
#[allow(dead_code, unused_imports, reason = "the wheel needs a part of it")]
mod time;
#[path = "../../src/proxy/timer.rs"]
#[allow(dead_code, unused_imports, reason = "the core uses all of it")]
mod timer;

use std::time::Duration;
use time::Instant;
use timer::{TimerId, Wheel};

const TIMERS: usize = 1_000_000;
const OPERATIONS: [&str; 4] = ["insert", "re-arm", "cancel", "expire"];

/// Deadlines as transactions have them: 0.5 to 32 s ahead.
fn ahead(random: &mut u64) -> Duration {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    Duration::from_millis(500 + (*random >> 33) % 31_500)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn measured(operation: &mut dyn FnMut()) {
    operation();
}

fn count(name: &str) {
    let start = Instant::from_nanos(0);
    let mut wheel: Wheel<u32> = Wheel::new(start, TIMERS * 2);
    let mut random = 1;
    let mut timers: Vec<Option<TimerId>> = Vec::with_capacity(TIMERS * 2);
    for number in 0..TIMERS {
        timers.push(wheel.insert(start + ahead(&mut random), number as u32));
    }
    match name {
        "insert" => measured(&mut || {
            for number in 0..TIMERS {
                timers.push(wheel.insert(start + ahead(&mut random), number as u32));
            }
        }),
        "re-arm" => {
            measured(&mut || timers.iter().flatten().for_each(|id| wheel.rearm(*id, start + ahead(&mut random))))
        }
        "cancel" => measured(&mut || timers.iter().flatten().for_each(|id| assert!(wheel.cancel(*id) < TIMERS as u32))),
        _ => measured(&mut || {
            let end = start + Duration::from_secs(40);
            let fired = std::iter::from_fn(|| wheel.pop_due(end)).count();
            assert_eq!(fired, TIMERS);
        }),
    }
}

fn main() {
    if let Some(name) = callgrind::counted() {
        return count(&name);
    }
    println!("{:<10} {:>28}", "operation", "instructions at 1 M timers");
    for name in OPERATIONS {
        println!("{name:<10} {:>28}", callgrind::run(name).0 / TIMERS as u64);
    }
}
