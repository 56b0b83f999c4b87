//! Selection must not touch the heap: an allocator that counts watches every algorithm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use siplane::dispatcher::{
    Algorithm, Attempt, DestinationSpec, HashInput, HashKind, Health, Input, LoadChoice, LoadFrom, OverloadBounds,
    Random, Report, ReportSpec, SetId, SetSpec, Table, Targets,
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
        overload: OverloadBounds { ocrate: (number % 4) as u8 * 20, ..OverloadBounds::default() },
        ..DestinationSpec::new("sip:192.0.2.1", SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 5060)))
    }
}

fn table(algorithm: Algorithm, destinations: u16, overload_control: bool) -> Table {
    table_by(algorithm, destinations, overload_control, ReportSpec::default())
}

fn table_by(algorithm: Algorithm, destinations: u16, overload_control: bool, report: ReportSpec) -> Table {
    let destinations = (0..destinations).map(destination).collect();
    let slow_start = Duration::from_millis(2);
    let spec = SetSpec::new(SetId(1), algorithm, destinations);
    let set = SetSpec { failover_limit: TARGETS_MAX, slow_start, overload_control, report, ..spec };
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
        let attempt = Attempt { is_first: call % 2 == 0, is_prioritized: call % 5 == 0 };
        let admitted = first.filter(|destination| table.states().admits(destination.state, attempt, now));
        let token = admitted.and_then(|destination| table.states().reserve(destination, now).ok());
        token.into_iter().for_each(|token| table.states().release(token));
    }
    ALLOCATIONS.get() - before
}

#[test]
fn selecting_and_taking_load_allocate_nothing_whatever_is_available() {
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::RoundRobinOverload,
        Algorithm::Random,
        Algorithm::Priority,
        Algorithm::Parallel,
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
        for (destinations, overload_control) in [(0, true), (1, false), (6, true), (700, false), (700, true)] {
            let table = table(algorithm, destinations, overload_control);
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
fn selecting_by_reported_load_and_reporting_it_allocate_nothing() {
    for load_from in [LoadFrom::Reported, LoadFrom::Both] {
        for choice in [LoadChoice::Exact, LoadChoice::TwoChoices] {
            let report = ReportSpec { load_from, bounds: true, ..ReportSpec::default() };
            for destinations in [1, 6, 700] {
                let table = table_by(Algorithm::CallLoad(choice), destinations, false, report);
                let before = ALLOCATIONS.get();
                for (number, destination) in (0..).zip(&table.sets()[0].destinations) {
                    // A third of them says both, a third one of both, a third nothing.
                    let said = Report { in_use_permille: Some(number), capacity: (number % 3 == 0).then_some(50) };
                    if number % 3 < 2 {
                        table.states().report_load(destination.state, said, Instant::from_nanos(1));
                    }
                }
                assert_eq!(ALLOCATIONS.get() - before, 0, "reports of {destinations}");
                assert_eq!(allocations(&table), 0, "{load_from:?} {choice:?} of {destinations}");
            }
        }
    }
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(black_box(Box::new(1_u8)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
