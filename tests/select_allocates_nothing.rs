//! Selection must not touch the heap: an allocator that counts watches every algorithm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use siplane::dispatcher::{
    Algorithm, DestinationSpec, HashInput, HashKind, Health, Input, LoadChoice, Random, SetId, SetSpec, Table, Targets,
};
use siplane::limits::TARGETS_MAX;
use siplane::time::Instant;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator; the count is a plain thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; `block` came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn destination(number: u16) -> DestinationSpec {
    DestinationSpec {
        duid: format!("d{number}"),
        weight: u32::from(number % 5),
        rweight: u32::from(number % 5),
        priority: i32::from(number % 3),
        maxload: u32::from(number % 2) * 40,
        calls_per_second_max: u32::from(number % 7) * 10,
        cc: number % 4 == 1,
        last_resort: number % 11 == 10,
        ..DestinationSpec::new("sip:192.0.2.1", SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 5060)))
    }
}

fn table(algorithm: Algorithm, destinations: u16) -> Table {
    let destinations = (0..destinations).map(destination).collect();
    let slow_start = Duration::from_millis(2);
    let set = SetSpec { failover_limit: TARGETS_MAX, slow_start, ..SetSpec::new(SetId(1), algorithm, destinations) };
    Table::build(vec![set], None).expect("a good table")
}

/// Allocations during 1,000 selections.
fn allocations(table: &Table) -> u64 {
    let set = table.set(SetId(1)).expect("set 1");
    let (mut random, mut targets) = (Random::new(1), Targets::new());
    let before = ALLOCATIONS.get();
    for call in 0..1_000_u64 {
        let hash_key = call.to_le_bytes();
        let now = Instant::from_nanos(1 + call * 5_000);
        let input = Input { hash_key: &hash_key, ..Input::at(now) };
        set.select(table.states(), &input, &mut random, &mut targets);
        let first = black_box(&targets).first().and_then(|target| table.destination(*target));
        let token = first.and_then(|destination| table.states().reserve(destination, now).ok());
        token.into_iter().for_each(|token| table.states().release(token));
    }
    ALLOCATIONS.get() - before
}

#[test]
fn selecting_and_taking_load_allocate_nothing_whatever_is_available() {
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::Random,
        Algorithm::Priority,
        Algorithm::Weight,
        Algorithm::RelativeWeight,
        Algorithm::CallLoad(LoadChoice::Exact),
        Algorithm::CallLoad(LoadChoice::TwoChoices),
        Algorithm::Latency,
        Algorithm::RoundRobinOrPriority,
        Algorithm::Srv,
        Algorithm::Hash(HashInput::CallId, HashKind::Consistent),
        Algorithm::Hash(HashInput::CallId, HashKind::Legacy),
    ] {
        for destinations in [0, 1, 6, 700] {
            let table = table(algorithm, destinations);
            assert_eq!(allocations(&table), 0, "{algorithm:?} of {destinations}");
            for destination in table.sets()[0].destinations.iter().skip(3) {
                table.states().set_health(destination.state, Health::Inactive, Instant::from_nanos(1));
            }
            assert_eq!(allocations(&table), 0, "{algorithm:?} of 3 left of {destinations}");
            for destination in &table.sets()[0].destinations {
                table.states().set_health(destination.state, Health::Active, Instant::from_nanos(1));
            }
            assert_eq!(allocations(&table), 0, "{algorithm:?} of {destinations} that come back");
        }
    }
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(black_box(Box::new(1_u8)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
