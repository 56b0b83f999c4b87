//! Instructions per message of the sans-IO core, counted by callgrind, and heap allocations per message.
//!
//! `cargo bench --bench instructions` runs this program under valgrind once per kind of message; only what happens inside
//! [`measured`] is counted: from the bytes of one datagram to the bytes that leave. Counts are repeatable on one machine and compiler;
//! seconds are not measured here. Whole calls run all the time, with timers, so tables have their usual sizes.

#[allow(dead_code, reason = "the memory benchmark uses the rest")]
mod calls;

use calls::{Calls, Step};
use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
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

/// The one function that callgrind looks into.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measured(calls: &mut Calls, step: Step) {
    calls.step(step);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--count") {
        Some(at) => count(&arguments[at + 1]),
        None => report(),
    }
}

/// Runs whole calls; the steps called `name` go through [`measured`].
fn count(name: &str) {
    let mut calls = Calls::new();
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
    println!("{:<34} {:>12} {:>12} {:>12}", "message", "instructions", "target", "allocations");
    for step in Step::CALL {
        let (instructions, allocations) = callgrind(step.name());
        let target = step.target().map_or_else(|| String::from("-"), |target| target.to_string());
        println!("{:<34} {instructions:>12} {target:>12} {allocations:>12}", step.name());
    }
}

/// Instructions and allocations per message.
fn callgrind(name: &str) -> (u64, String) {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=measured",
            "--collect-atstart=no",
        ])
        .arg(program)
        .args(["--count", name])
        .output()
        .expect("valgrind runs (Debian package valgrind)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1)).expect("callgrind's total");
    let total: u64 = collected.trim().parse().expect("a number");
    let allocations = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("allocations ").to_owned();
    let per_message = allocations.parse::<f64>().map_or(allocations, |all| format!("{}", all / f64::from(COUNTED)));
    (total / u64::from(COUNTED), per_message)
}
