//! Instructions per message of the sans-IO core, counted by callgrind, and heap allocations per message.
//!
//! `cargo bench --bench instructions` runs this program under valgrind once per kind of message; only what happens inside
//! [`measured`] is counted: from the bytes of one datagram to the bytes that leave. Counts are repeatable on one machine and compiler;
//! seconds are not measured here. Whole calls run all the time, with timers, so tables have their usual sizes.

#[path = "../callgrind.rs"]
mod callgrind;
#[allow(dead_code, reason = "the memory benchmark uses the rest")]
mod calls;

use calls::{Calls, Step};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls before and while counting.
const WARM_UP: u32 = 2_000;
const COUNTED: u32 = 500;

/// Ends the name of what is counted while the ends of answered calls are remembered.
const DETAILED: &str = " with details";

/// The one function that callgrind looks into.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured(calls: &mut Calls, step: Step) {
    calls.step(step);
}

fn main() {
    match callgrind::counted() {
        Some(name) => count(&name),
        None => report(),
    }
}

/// Runs whole calls; the steps called `name` go through [`measured`].
fn count(name: &str) {
    let plain = name.strip_suffix(DETAILED);
    let (mut calls, name) = (Calls::detailed(plain.is_some()), plain.unwrap_or(name));
    let mut allocations = 0;
    for number in 0..WARM_UP + COUNTED {
        for step in Step::CALL {
            calls.prepare(step);
            if step.name() == name && number >= WARM_UP {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                measured(&mut calls, step);
                allocations += ALLOCATIONS.load(Ordering::Relaxed) - before;
            } else {
                calls.step(step);
            }
            calls.finish(step);
        }
    }
    println!("allocations {allocations}");
}

fn report() {
    println!("{:<34} {:>12} {:>12} {:>12} {:>14}", "message", "instructions", "target", "allocations", "with details");
    let mut whole = [0; 2];
    for step in Step::CALL {
        let (instructions, allocations) = per_message(step.name());
        let (detailed, more) = per_message(&format!("{}{DETAILED}", step.name()));
        assert!(more <= allocations, "{} allocates for the details", step.name());
        let target = step.target().map_or_else(|| String::from("-"), |target| target.to_string());
        println!("{:<34} {instructions:>12} {target:>12} {allocations:>12} {detailed:>14}", step.name());
        if step != Step::Scan {
            whole = [whole[0] + instructions, whole[1] + detailed];
        }
    }
    println!("{:<34} {:>12} {:>12} {:>12} {:>14}", "a whole call", whole[0], "-", "-", whole[1]);
}

/// Instructions and allocations per message.
fn per_message(name: &str) -> (u64, f64) {
    let (instructions, printed) = callgrind::run(name);
    let allocations: f64 = printed.trim().trim_start_matches("allocations ").parse().expect("a number");
    (instructions / u64::from(COUNTED), allocations / f64::from(COUNTED))
}
