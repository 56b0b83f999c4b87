//! Nothing on the call path allocates per message in the steady state.

#[path = "../benches/instructions/calls.rs"]
#[allow(dead_code, reason = "the benchmark uses all of it")]
mod calls;

#[path = "allocations/forks.rs"]
mod forks;

use calls::{Calls, Step};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_whole_call_allocates_nothing_once_the_tables_have_their_size() {
    allocates_nothing(Calls::new());
}

#[test]
fn what_is_remembered_of_a_calls_ends_takes_no_allocation_either() {
    allocates_nothing(Calls::detailed(true));
}

fn allocates_nothing(mut calls: Calls) {
    let mut counted = 0;
    for number in 0..3_000 {
        for step in Step::CALL {
            calls.prepare(step);
            let before = ALLOCATIONS.get();
            calls.step(step);
            let allocations = ALLOCATIONS.get() - before;
            calls.finish(step);
            if number >= 2_000 {
                assert_eq!(allocations, 0, "call {number}: {}", step.name());
                counted += 1;
            }
        }
    }
    assert_eq!(counted, 1_000 * Step::CALL.len());
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1, "the counter counts");
}

/// What `work` allocates.
fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}
