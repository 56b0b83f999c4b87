//! What shards share without a lock, under loom: every order in which the atomic steps of several threads can happen, and every value
//! that each may see. The files are those of the library, with loom's atomics in the place of its own.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use loom::thread;

/// What the library has under this name.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    use std::collections::VecDeque;

    /// crossbeam's queue, as a lock makes one: what is proved is what we do with it.
    #[derive(Debug)]
    pub(crate) struct ArrayQueue<T> {
        items: loom::sync::Mutex<VecDeque<T>>,
        capacity: usize,
    }

    impl<T> ArrayQueue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self { items: loom::sync::Mutex::new(VecDeque::new()), capacity }
        }

        pub(crate) fn push(&self, item: T) -> Result<(), T> {
            let mut items = self.items.lock().unwrap();
            if items.len() == self.capacity {
                return Err(item);
            }
            items.push_back(item);
            Ok(())
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.items.lock().unwrap().pop_front()
        }

        pub(crate) fn len(&self) -> usize {
            self.items.lock().unwrap().len()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(crate) const fn capacity(&self) -> usize {
            self.capacity
        }
    }
}

#[path = "../src/shard/desk.rs"]
#[allow(dead_code, reason = "the file's place is in the library")]
mod desk;
#[path = "../src/dispatcher/publish.rs"]
#[allow(dead_code, reason = "the file's place is in the library")]
mod publish;
#[path = "../src/shard/sleep.rs"]
#[allow(dead_code, reason = "the file's place is in the library")]
mod sleep;
#[path = "../src/shard/tray.rs"]
#[allow(dead_code, reason = "the file's place is in the library")]
mod tray;

use desk::Desk;
use publish::{Holders, Published, epoch, standing};
use sleep::Sleep;
use tray::Tray;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Runs `other` beside `one`.
fn both<S: Send + Sync + 'static, A: Send + 'static, B>(
    shared: &Arc<S>,
    one: impl FnOnce(&S) -> A + Send + 'static,
    other: impl FnOnce(&S) -> B,
) -> (A, B) {
    let theirs = Arc::clone(shared);
    let thread = thread::spawn(move || one(&theirs));
    let other = other(shared);
    (thread.join().unwrap(), other)
}

/// A sleeper that looks for work in one place.
struct Bell {
    sleep: Sleep,
    work: AtomicBool,
}

impl Bell {
    /// Puts work there; whether the sleeper is woken.
    fn ring(&self) -> bool {
        self.work.store(true, Ordering::Relaxed);
        self.sleep.must_wake()
    }

    /// Whether the sleeper found nothing, and waits.
    fn waits(&self) -> bool {
        self.sleep.begin();
        !self.work.load(Ordering::Relaxed)
    }
}

#[test]
fn no_ring_is_lost_on_who_falls_asleep() {
    model(|| {
        let bell = Arc::new(Bell { sleep: Sleep::new(), work: AtomicBool::new(false) });
        let (rung, waits) = both(&bell, Bell::ring, Bell::waits);
        assert!(rung || !waits, "it waits, and nobody wakes it");
    });
}

#[test]
fn of_two_that_ring_one_wakes() {
    model(|| {
        let bell = Arc::new(Bell { sleep: Sleep::new(), work: AtomicBool::new(false) });
        bell.sleep.begin();
        let (one, other) = both(&bell, Bell::ring, Bell::ring);
        assert!(one != other, "{one} {other}");
    });
}

#[test]
fn what_is_posted_is_read_once_and_no_buffer_is_lost_or_one_too_many() {
    model(|| {
        let tray = Arc::new(Tray::new(1));
        let post = |writer: u8| move |tray: &Tray<u8>| tray.post(writer, &[writer]);
        let theirs = Arc::clone(&tray);
        let second = thread::spawn(move || post(2)(&theirs));
        let mut got = Vec::new();
        let (first, ()) = both(&tray, post(1), |tray| {
            tray.drain(2, |writer, bytes| got.push((writer, bytes[0])));
        });
        let posted = usize::from(first) + usize::from(second.join().unwrap());
        tray.drain(2, |writer, bytes| got.push((writer, bytes[0])));
        assert_eq!((got.len(), posted >= 1), (posted, true));
        assert!(got.iter().all(|(writer, byte)| writer == byte), "{got:?}");
        got.dedup();
        assert_eq!(got.len(), posted, "each once");
        let made = tray.made.load(Ordering::Relaxed);
        assert_eq!((made <= 1, tray.pool.len() + tray.ring.len()), (true, made));
    });
}

#[test]
fn no_question_waits_while_the_flag_is_down() {
    model(|| {
        let desk = Arc::new(Desk::new(2));
        let ask = |question: u8| move |desk: &Desk<u8>| desk.put(question);
        let theirs = Arc::clone(&desk);
        let second = thread::spawn(move || ask(2)(&theirs));
        let (put, mut answered) = both(&desk, ask(1), |desk| u32::from(desk.is_asked() && desk.next().is_some()));
        assert!(put && second.join().unwrap());
        // The bell has rung for each by now.
        while desk.is_asked() {
            answered += u32::from(desk.next().is_some());
        }
        assert_eq!(answered, 2);
    });
}

/// Away is 0, there is 1.
#[derive(Default)]
struct Destination {
    standing: AtomicU8,
    since_ns: AtomicU64,
    epoch: AtomicU64,
}

impl Destination {
    fn set(&self, to: u8, now_ns: u64) {
        let published = Published { standing: &self.standing, since_ns: &self.since_ns, epoch: &self.epoch };
        published.change(now_ns, |_| to, |standing| standing == 1);
    }
}

#[test]
fn who_sees_an_epoch_sees_the_change_that_it_stands_for() {
    model(|| {
        let (_, (epoch, standing)) =
            both(&Arc::new(Destination::default()), |it| it.set(1, 7), |it| (epoch(&it.epoch), standing(&it.standing)));
        assert!(epoch == 0 || standing == 1, "epoch {epoch} without its change");
    });
}

#[test]
fn who_sees_a_destination_available_sees_since_when() {
    model(|| {
        let (_, (standing, since_ns)) = both(
            &Arc::new(Destination::default()),
            |it| it.set(1, 7),
            |it| (standing(&it.standing), it.since_ns.load(Ordering::Relaxed)),
        );
        assert!(standing == 0 || since_ns == 7, "available since {since_ns}");
    });
}

#[test]
fn each_change_of_availability_has_its_epoch_whoever_makes_it() {
    model(|| {
        let it = Arc::new(Destination::default());
        both(&it, |it| it.set(1, 7), |it| it.set(1, 8));
        assert_eq!((epoch(&it.epoch), standing(&it.standing)), (1, 1), "one of the two was news");
    });
}

/// A slot that one table holds.
struct Slot {
    holders: Holders,
    load: AtomicU64,
}

impl Slot {
    fn held() -> Arc<Self> {
        let slot = Self { holders: Holders::default(), load: AtomicU64::new(0) };
        slot.holders.join();
        Arc::new(slot)
    }

    fn claim(&self) -> bool {
        self.holders.claim(&self.load)
    }
}

#[test]
fn a_slot_whose_last_table_gave_out_a_token_is_not_claimed_before_it_is_back() {
    model(|| {
        let slot = Slot::held();
        let call = |slot: &Slot| {
            slot.load.fetch_add(1, Ordering::Relaxed);
            slot.holders.leave();
        };
        let (_, claimed) = both(&slot, call, Slot::claim);
        assert!(!claimed, "claimed with a call on it");
        slot.load.fetch_sub(1, Ordering::Relaxed);
        assert!(slot.claim());
    });
}

#[test]
fn of_two_tables_one_gets_a_free_slot_and_a_joined_one_stays_taken() {
    model(|| {
        let slot = Slot::held();
        let (one, other) = both(&slot, Slot::claim, |slot| {
            slot.holders.leave();
            slot.claim()
        });
        assert!(one != other, "{one} {other}");
        slot.holders.join();
        slot.holders.leave();
        assert!(!slot.claim());
    });
}
