//! The reservation of a call, under loom: every order in which the atomic steps of several shards can happen.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use gate::{Bounds, Rate, Refused, Word, has_room, reserve};

#[path = "../src/dispatcher/gate.rs"]
#[allow(unreachable_pub, reason = "the file's place is in the library")]
mod gate;

impl Word for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        self.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).map(drop)
    }

    fn decrement(&self) {
        self.fetch_sub(1, Ordering::Relaxed);
    }
}

const NOW_NS: u64 = 1_000_000_000;

/// One destination: the two words, and its calls counted apart from them.
#[derive(Default)]
struct Destination {
    load: AtomicU64,
    arrival: AtomicU64,
    held: std::sync::atomic::AtomicU64,
}

impl Destination {
    /// Reserves; the calls that are held then, this one included.
    fn take(&self, bounds: Bounds) -> Result<u64, Refused> {
        reserve(&self.load, &self.arrival, bounds, NOW_NS)?;
        Ok(self.held.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn give_back(&self) {
        self.held.fetch_sub(1, Ordering::SeqCst);
        self.load.decrement();
    }
}

/// Runs `shard` on three threads and looks at what they got, in every order.
fn model<T: 'static>(shard: fn(&Destination) -> T, check: fn(&Destination, Vec<T>)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let destination = Arc::new(Destination::default());
        let shards: Vec<_> = (0..2)
            .map(|_| {
                let destination = Arc::clone(&destination);
                thread::spawn(move || shard(&destination))
            })
            .collect();
        let mut got = vec![shard(&destination)];
        got.extend(shards.into_iter().map(|shard| shard.join().unwrap()));
        check(&destination, got);
    });
}

#[test]
fn of_three_shards_at_once_exactly_as_many_get_a_place_as_there_are() {
    const BOUNDS: Bounds = Bounds { load: 2, rate: Rate::per_second(0) };
    model(
        |destination| destination.take(BOUNDS),
        |destination, got| {
            assert_eq!(got.iter().filter(|got| got.is_ok()).count(), 2);
            assert!(got.contains(&Err(Refused::Load)));
            assert_eq!(destination.load.get(), 2);
            assert!(!has_room(&destination.load, &destination.arrival, BOUNDS, NOW_NS));
        },
    );
}

#[test]
fn the_bound_holds_while_places_are_given_back() {
    const BOUNDS: Bounds = Bounds { load: 1, rate: Rate::per_second(0) };
    model(
        |destination| {
            if let Ok(held) = destination.take(BOUNDS) {
                assert!(held <= 1, "{held} calls held");
                destination.give_back();
            }
        },
        |destination, _| assert_eq!(destination.load.get(), 0),
    );
}

#[test]
fn of_three_shards_at_once_one_passes_a_rate_of_one_and_the_others_leave_no_load() {
    const BOUNDS: Bounds = Bounds { load: 3, rate: Rate::per_second(1) };
    model(
        |destination| destination.take(BOUNDS),
        |destination, got| {
            assert_eq!(got.iter().filter(|got| got.is_ok()).count(), 1);
            assert_eq!(got.iter().filter(|got| **got == Err(Refused::Rate)).count(), 2);
            assert_eq!(destination.load.get(), 1);
        },
    );
}
