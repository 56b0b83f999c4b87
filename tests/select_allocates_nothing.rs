//! Selection must not touch the heap: an allocator that counts watches every algorithm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use siplane::dispatcher::{
    Algorithm, DestinationSpec, Exhausted, FailoverCodes, HashInput, Health, Input, Random, SetId, SetSpec, Table,
    Targets,
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
        uri: String::from("sip:192.0.2.1"),
        address: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 5060)),
        weight: u32::from(number % 5),
        priority: i32::from(number % 3),
        disabled: false,
    }
}

fn table(algorithm: Algorithm, destinations: u16) -> Table {
    let set = SetSpec {
        id: SetId(1),
        name: String::new(),
        algorithm,
        destinations: (0..destinations).map(destination).collect(),
        failover_codes: FailoverCodes::standard(),
        failover_limit: TARGETS_MAX,
        answer_timeout: Duration::from_secs(2),
        exhausted: Exhausted::BestResponse,
        retry_after_s: 0,
    };
    Table::build(vec![set], None).expect("a good table")
}

/// Allocations during 1,000 selections.
fn allocations(table: &Table) -> u64 {
    let set = table.set(SetId(1)).expect("set 1");
    let (mut random, mut targets) = (Random::new(1), Targets::new());
    let before = ALLOCATIONS.get();
    for call in 0..1_000_u64 {
        let hash_key = call.to_le_bytes();
        set.select(table.states(), &Input { hash_key: &hash_key }, &mut random, &mut targets);
        let load = black_box(&targets).first().map(|target| table.states().take_load(target.state()));
        load.into_iter().for_each(|token| table.states().release(token));
    }
    ALLOCATIONS.get() - before
}

#[test]
fn selecting_and_taking_load_allocate_nothing_whatever_is_available() {
    let hash = Algorithm::Hash(HashInput::CallId);
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random, Algorithm::Priority, Algorithm::Weight, hash] {
        for destinations in [0, 1, 6, 700] {
            let table = table(algorithm, destinations);
            assert_eq!(allocations(&table), 0, "{algorithm:?} of {destinations}");
            for destination in table.sets()[0].destinations.iter().skip(3) {
                table.states().set_health(destination.state, Health::Inactive, Instant::from_nanos(1));
            }
            assert_eq!(allocations(&table), 0, "{algorithm:?} of 3 left of {destinations}");
        }
    }
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(black_box(Box::new(1_u8)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
