//! Tests of the timer wheel: its promises one by one, then random histories against a sorted map.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const MS: u64 = 1_000_000;
const DAY: Duration = Duration::from_secs(86_400);

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * MS)
}

#[test]
fn an_optional_id_takes_four_bytes_and_a_link_twelve() {
    assert_eq!(size_of::<Option<TimerId>>(), 4);
    assert_eq!(size_of::<Link>(), 12);
}

#[test]
fn a_timer_fires_at_its_tick_and_not_before() {
    let mut wheel = Wheel::new(at_ms(1), 8);
    let id = wheel.insert(at_ms(501), 'a').unwrap();
    assert_eq!(wheel.pop_due(at_ms(501)), None, "the deadline has come, its tick has not");
    assert_eq!(wheel.next_deadline(), Some(at_ms(504)));
    assert_eq!(wheel.pop_due(Instant::from_nanos(504 * MS - 1)), None);
    assert_eq!(wheel.pop_due(at_ms(504)), Some((id, 'a')));
    assert_eq!(wheel.pop_due(at_ms(504)), None);
    assert!(wheel.is_empty() && wheel.next_deadline().is_none());
}

#[test]
fn a_past_deadline_is_due_at_once() {
    let mut wheel = Wheel::new(at_ms(10_000), 8);
    wheel.insert(at_ms(3), 'a').unwrap();
    assert!(wheel.next_deadline().unwrap() <= at_ms(10_000));
    assert_eq!(wheel.pop_due(at_ms(10_000)).unwrap().1, 'a');
}

#[test]
fn a_timer_armed_or_cancelled_between_two_pops_is_respected() {
    let mut wheel = Wheel::new(at_ms(0), 8);
    let ids: Vec<_> = "abc".chars().map(|c| wheel.insert(at_ms(8), c).unwrap()).collect();
    let now = at_ms(2_000);
    assert_eq!(wheel.pop_due(now), Some((ids[0], 'a')));
    assert_eq!(wheel.cancel(ids[1]), 'b');
    wheel.insert(at_ms(4), 'd').unwrap();
    wheel.insert(at_ms(2_400), 'e').unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| wheel.pop_due(now)).map(|(_, c)| c).collect();
    assert_eq!(rest, ['c', 'd']);
    assert_eq!(wheel.pop_due(at_ms(2_400)).unwrap().1, 'e');
}

#[test]
fn a_full_wheel_refuses_and_takes_again_after_a_cancel() {
    let mut wheel = Wheel::new(at_ms(0), 2);
    let first = wheel.insert(at_ms(4), 1).unwrap();
    wheel.insert(at_ms(4), 2).unwrap();
    assert_eq!(wheel.insert(at_ms(4), 3), None);
    assert_eq!((wheel.len(), wheel.capacity_max()), (2, 2));
    assert_eq!(wheel.cancel(first), 1);
    assert_eq!(wheel.insert(at_ms(4), 4), Some(first), "the id freed last is used first");
    assert_eq!(wheel.links.len(), SLOTS + 2);
}

#[test]
fn the_bit_of_a_slot_is_set_exactly_while_its_list_holds_a_timer() {
    let mut wheel = Wheel::new(at_ms(0), 64);
    let ids: Vec<_> = (0..36).map(|bits| wheel.insert(at_ms(1 << bits), bits).unwrap()).collect();
    for id in ids {
        assert_bits_match_lists(&wheel);
        wheel.rearm(id, at_ms(1 << 20));
        assert_bits_match_lists(&wheel);
        wheel.cancel(id);
    }
    assert_bits_match_lists(&wheel);
}

#[test]
fn time_that_runs_backwards_fires_nothing() {
    let mut wheel = Wheel::new(at_ms(0), 2);
    assert_eq!(wheel.pop_due(at_ms(1_000)), None);
    wheel.insert(at_ms(800), 'a').unwrap();
    assert_eq!(wheel.pop_due(at_ms(700)), None);
    assert_eq!(wheel.pop_due(at_ms(1_000)).unwrap().1, 'a');
}

#[test]
fn deadlines_out_of_range_fire_when_they_come_and_can_be_moved_until_then() {
    let mut wheel = Wheel::new(at_ms(0), 8);
    let start = at_ms(0);
    wheel.insert(start + 1_000 * DAY, 'a').unwrap();
    let moved = wheel.insert(start + 2_000 * DAY, 'b').unwrap();
    let cancelled = wheel.insert(start + 2_000 * DAY, 'c').unwrap();
    wheel.insert(Instant::from_nanos(u64::MAX), 'd').unwrap();
    assert_eq!(wheel.far.len(), 4);
    wheel.rearm(moved, start + DAY);
    assert_eq!(wheel.cancel(cancelled), 'c');
    assert_eq!(wheel.pop_due(start + DAY).unwrap().1, 'b');
    assert_eq!(wheel.pop_due(start + 999 * DAY), None);
    assert_eq!(wheel.pop_due(start + 1_000 * DAY).unwrap().1, 'a');
    assert_eq!((wheel.pop_due(start + 10_000 * DAY), wheel.far.len()), (None, 1));
}

#[test]
fn a_caller_that_sleeps_until_each_next_deadline_meets_every_timer_in_few_wakeups() {
    let mut wheel = Wheel::new(at_ms(123), 64);
    let mut wakeups = 0;
    for exponent in 0..40 {
        let start = wheel.current;
        wheel.insert(Instant::from_nanos((start + (1 << exponent)) * TICK_NS), exponent).unwrap();
        let fired_at = loop {
            let now = wheel.next_deadline().unwrap();
            wakeups += 1;
            if let Some((_, payload)) = wheel.pop_due(now) {
                assert_eq!(payload, exponent);
                break now;
            }
        };
        assert_eq!(fired_at.as_nanos(), (start + (1 << exponent)) * TICK_NS);
    }
    // One per level, and one per turn of the wheel for the eight out of range: 2^32 to 2^39 ticks are 257 turns.
    assert!(wakeups < 32 * 4 + 8 * 4 + 257 + 16, "{wakeups} wake-ups");
}

#[test]
fn timers_fire_in_order_of_their_ticks_across_all_levels() {
    let mut random = Random(9);
    let mut wheel = Wheel::new(at_ms(0), 10_000);
    for _ in 0..10_000 {
        let bits = random.below(34);
        let tick = random.below(1 << bits);
        wheel.insert(Instant::from_nanos(tick * TICK_NS), tick).unwrap();
    }
    let fired: Vec<_> = std::iter::from_fn(|| wheel.pop_due(Instant::from_nanos(u64::MAX))).map(|(_, t)| t).collect();
    assert_eq!(fired.len(), 10_000);
    assert!(fired.is_sorted());
}

#[test]
fn random_histories_agree_with_a_sorted_map() {
    for seed in 0..12 {
        let mut run = Run::new(seed);
        for step in 0..20_000 {
            run.step(step);
        }
        run.finish();
    }
}

fn assert_bits_match_lists<P>(wheel: &Wheel<P>) {
    for slot in 0..SLOTS {
        let marked = wheel.occupied[slot / 64] >> (slot % 64) & 1 == 1;
        assert_eq!(marked, wheel.links[slot].next as usize != slot, "slot {slot}");
    }
}

/// The wheel beside a model of it: armed timers by id, with the tick at which they fire and their payload.
struct Run {
    seed: u64,
    random: Random,
    now: u64,
    wheel: Wheel<u64>,
    armed: BTreeMap<u32, (u64, u64)>,
    ids: Vec<TimerId>,
    fired: usize,
}

impl Run {
    const CAPACITY: usize = 300;

    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        // Some start right before the 32-bit tick wraps, where a start-relative or truncated tick would show.
        let now =
            if seed.is_multiple_of(2) { random.below(1 << 50) } else { (1 << 32) * TICK_NS - random.below(1 << 34) };
        let wheel = Wheel::new(Instant::from_nanos(now), Self::CAPACITY);
        Self { seed, random, now, wheel, armed: BTreeMap::new(), ids: Vec::new(), fired: 0 }
    }

    fn step(&mut self, step: u64) {
        match self.random.below(10) {
            0..4 => self.insert(step),
            4..6 => self.rearm(),
            6 => self.cancel(),
            7 => _ = self.pop(),
            _ => self.advance(step),
        }
        self.check(step);
    }

    /// A deadline at any scale from nanoseconds to years ahead, or a little in the past.
    fn deadline(&mut self) -> u64 {
        if self.random.below(16) == 0 {
            return self.now.saturating_sub(self.random.below(1 << 33));
        }
        let scale = if self.random.below(50) == 0 { 58 } else { 48 };
        let bits = self.random.below(scale);
        self.now + self.random.below(1 << bits)
    }

    fn insert(&mut self, payload: u64) {
        let deadline = self.deadline();
        match self.wheel.insert(Instant::from_nanos(deadline), payload) {
            Some(id) => {
                self.ids.push(id);
                assert!(self.armed.insert(id.0.get(), (deadline.div_ceil(TICK_NS), payload)).is_none(), "id in use");
            }
            None => assert_eq!(self.armed.len(), Self::CAPACITY),
        }
    }

    fn rearm(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let id = self.ids[self.random.below(self.ids.len() as u64) as usize];
        let deadline = self.deadline();
        self.wheel.rearm(id, Instant::from_nanos(deadline));
        self.armed.get_mut(&id.0.get()).unwrap().0 = deadline.div_ceil(TICK_NS);
    }

    fn cancel(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let index = self.random.below(self.ids.len() as u64) as usize;
        let id = self.ids.swap_remove(index);
        assert_eq!(self.wheel.cancel(id), self.armed.remove(&id.0.get()).unwrap().1);
    }

    /// Pops at most one timer; tells whether one was due.
    fn pop(&mut self) -> bool {
        let Some((id, payload)) = self.wheel.pop_due(Instant::from_nanos(self.now)) else {
            let early = self.armed.values().find(|(tick, _)| *tick <= self.now / TICK_NS);
            assert_eq!(early, None, "seed {}: a due timer was missed", self.seed);
            let next = self.wheel.next_deadline().map_or(u64::MAX, Instant::as_nanos);
            assert!(next > self.now, "seed {}: nothing is due, yet the next deadline is past", self.seed);
            return false;
        };
        let (tick, expected) = self.armed.remove(&id.0.get()).unwrap();
        assert_eq!(payload, expected);
        assert!(tick <= self.now / TICK_NS, "seed {}: fired early", self.seed);
        self.ids.retain(|other| *other != id);
        self.fired += 1;
        true
    }

    /// Lets time pass, now and then by days, and fires what is due, sometimes not all of it.
    fn advance(&mut self, step: u64) {
        let scale = if self.random.below(40) == 0 { 52 } else { 38 };
        let bits = self.random.below(scale);
        self.now += self.random.below(1 << bits);
        while self.pop() {
            match self.random.below(12) {
                0 => return,
                1 => self.insert(step),
                2 => self.cancel(),
                _ => {}
            }
        }
    }

    fn check(&self, step: u64) {
        if step.is_multiple_of(64) {
            assert_bits_match_lists(&self.wheel);
        }
        assert_eq!(self.wheel.len(), self.armed.len());
        let earliest = self.armed.values().map(|(tick, _)| (*tick).max(self.now / TICK_NS)).min();
        let next = self.wheel.next_deadline().map(|at| at.as_nanos() / TICK_NS);
        assert_eq!(next.is_some(), earliest.is_some());
        assert!(next <= earliest, "seed {} step {step}: next deadline {next:?} after {earliest:?}", self.seed);
        let far = |id: &&u32| self.armed.contains_key(id);
        assert_eq!(self.wheel.far.keys().filter(far).count(), self.wheel.far.len(), "a far tick outlived its timer");
    }

    fn finish(mut self) {
        assert!(self.fired > 1_000, "seed {}: only {} timers fired", self.seed, self.fired);
        self.now += 1 << 60;
        while self.pop() {}
        assert!(self.armed.is_empty() && self.wheel.far.is_empty());
        assert_eq!(self.wheel.occupied, [0; LEVELS * WORDS_PER_LEVEL]);
    }
}

/// SplitMix64: a seed is a whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
