//! The drift audit of a running process: the load of all destinations is the tokens that the shards hold, or there is a bug.
//!
//! Both move while calls come and go, and nobody is stopped for the audit. It waits for a moment at which every shard is between two
//! turns, where nothing changes, and looks then: a shard says with an odd number that it is in a turn, and with an even one, beside
//! its tokens, that it is not. When all numbers are even, and the same behind the look at the load as before it, nobody has taken
//! or given anything meanwhile, and the difference is exact: 0 when there is no drift, under any traffic. A busy process has
//! few such moments, so the audit tries often, for a while, and otherwise says nothing until the next time.
//!
//! It costs a shard three plain stores to a cache line of its own in each turn.

use super::counters::ShardCounters;
use crate::dispatcher::States;
use crate::limits::{AUDIT_INTERVAL, AUDIT_PASSES, AUDIT_TRIES};
use crate::time::Instant;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::Arc;

/// What one shard says of its tokens: one writer, any readers.
#[derive(Debug, Default)]
pub(super) struct TokenCount {
    /// Odd in a turn, even between two.
    turn: AtomicU64,
    /// At the end of the last turn.
    tokens: AtomicU64,
}

impl TokenCount {
    /// A turn begins: tokens may be taken and given back from here on.
    pub(super) fn begin(&self) {
        self.turn.store(self.turn.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
        // Who sees a load that this turn changed sees the odd number as well.
        fence(Ordering::Release);
    }

    /// The turn is over, with so many tokens.
    pub(super) fn end(&self, tokens: u64) {
        self.tokens.store(tokens, Ordering::Relaxed);
        // Who sees the even number sees all that the turn did.
        self.turn.store((self.turn.load(Ordering::Relaxed) | 1) + 1, Ordering::Release);
    }

    /// The number of the last turn, and the tokens at its end; `None` in a turn.
    fn read(&self) -> Option<(u64, u64)> {
        let turn = self.turn.load(Ordering::Acquire);
        turn.is_multiple_of(2).then(|| (turn, self.tokens.load(Ordering::Relaxed)))
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }
}

/// The drift that the last audit found: 0, or there is a bug.
#[derive(Debug, Default)]
pub struct Drift(AtomicU64);

impl Drift {
    /// Load without a token, or tokens without load: how many.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Compares loads with tokens, at a slow pace.
#[derive(Debug)]
pub struct Audit {
    shards: Vec<Arc<ShardCounters>>,
    drift: Arc<Drift>,
    due_at: Instant,
    /// Passes of this audit that found no moment to look.
    passes: u32,
}

impl Audit {
    /// An audit of these shards, which are all there are, due at `now` and every [`AUDIT_INTERVAL`] from then on.
    #[must_use]
    pub const fn new(shards: Vec<Arc<ShardCounters>>, drift: Arc<Drift>, now: Instant) -> Self {
        Self { shards, drift, due_at: now, passes: 0 }
    }

    /// Looks when it is time to. Called often; takes some milliseconds at most.
    pub fn pass(&mut self, now: Instant, states: &States) {
        if now < self.due_at {
            return;
        }
        let found = (0..AUDIT_TRIES).find_map(|_| self.look(|| states.total_load()).or_else(pause));
        self.passes += 1;
        if found.is_none() && self.passes < AUDIT_PASSES {
            return;
        }
        (self.due_at, self.passes) = (now + AUDIT_INTERVAL, 0);
        match found {
            Some((load, tokens)) => self.tell(load, tokens),
            None => tracing::debug!("the shards are too busy for an audit of their load"),
        }
    }

    fn tell(&self, load: u64, tokens: u64) {
        let drift = load.abs_diff(tokens);
        let before = self.drift.0.swap(drift, Ordering::Relaxed);
        if drift > 0 {
            tracing::error!(load, tokens, "the call load has drifted: a bug");
        } else if before > 0 {
            tracing::info!("the call load has no drift any more");
        }
    }

    /// Load, which `read` sums up, and tokens at one moment; `None` when a shard is in a turn, or was meanwhile.
    fn look(&self, read: impl FnOnce() -> u64) -> Option<(u64, u64)> {
        let (mut tokens, mut turns) = (0, 0_u64);
        for shard in &self.shards {
            let (turn, held) = shard.tokens().read()?;
            tokens += held;
            turns = turns.wrapping_add(turn);
        }
        let load = read();
        fence(Ordering::Acquire);
        // Numbers only grow: their sum is the same only when each of them is.
        let after = self.shards.iter().fold(0_u64, |sum, shard| sum.wrapping_add(shard.tokens().turn()));
        (turns == after).then_some((load, tokens))
    }
}

/// Some microseconds, in which turns begin and end.
fn pause<T>() -> Option<T> {
    (0..64).for_each(|_| core::hint::spin_loop());
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{Algorithm, DestinationSpec, LoadToken, SetId, SetSpec, StateIndex, Table};
    use std::sync::atomic::AtomicBool;
    use std::thread;

    const SHARDS: usize = 4;
    /// So far each shard must have got before the looks are enough.
    const TURNS_LEAST: u64 = 4_000;
    const START: Instant = Instant::from_nanos(0);

    fn table() -> Table {
        let destination = |port: u16| DestinationSpec::new(format!("sip:h:{port}"), ([192, 0, 2, 1], port).into());
        let spec = SetSpec::new(SetId(1), Algorithm::Priority, (1..=3).map(destination).collect());
        Table::build(vec![spec], None).unwrap()
    }

    fn places(table: &Table) -> Vec<StateIndex> {
        table.sets()[0].destinations.iter().map(|destination| destination.state).collect()
    }

    fn shards(count: usize) -> Vec<Arc<ShardCounters>> {
        (0..count).map(|_| Arc::default()).collect()
    }

    /// A shard at work: in each turn it takes a few tokens and gives a few back, at no moment as many as before.
    fn work(table: &Table, counters: &ShardCounters, seed: usize, stop: &AtomicBool) {
        let (places, mut held): (_, Vec<LoadToken>) = (places(table), Vec::new());
        for turn in seed.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            counters.tokens().begin();
            for step in 0..turn % 7 {
                if (turn + step) % 3 == 0 && !held.is_empty() {
                    table.states().release(held.swap_remove(turn % held.len()));
                } else if held.len() < 500 {
                    held.push(table.states().take_load(places[(turn + step) % places.len()]));
                }
            }
            counters.tokens().end(held.len() as u64);
            thread::yield_now();
        }
        counters.tokens().begin();
        held.into_iter().for_each(|token| table.states().release(token));
        counters.tokens().end(0);
    }

    /// The differences that so many looks find while shards work.
    fn found_at_work(table: &Table, audit: &Audit, looks: usize) -> Vec<i64> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for (seed, counters) in audit.shards.iter().enumerate() {
                let stop = &stop;
                scope.spawn(move || work(table, counters, seed * 1000, stop));
            }
            let mut found = Vec::new();
            let is_early = || audit.shards.iter().any(|shard| shard.tokens().turn() < TURNS_LEAST);
            while found.len() < looks || is_early() {
                match audit.look(|| table.states().total_load()) {
                    Some((load, tokens)) => found.push(load as i64 - tokens as i64),
                    None => thread::yield_now(),
                }
            }
            stop.store(true, Ordering::Relaxed);
            found
        })
    }

    #[test]
    fn while_shards_take_and_give_every_look_finds_exactly_no_drift() {
        let table = table();
        let audit = Audit::new(shards(SHARDS), Arc::default(), START);
        assert!(found_at_work(&table, &audit, 300).iter().all(|drift| *drift == 0));
        assert_eq!(audit.look(|| table.states().total_load()), Some((0, 0)));
    }

    #[test]
    fn while_shards_take_and_give_every_look_finds_exactly_the_leak() {
        let table = table();
        let audit = Audit::new(shards(SHARDS), Arc::default(), START);
        (0..3).for_each(|_| core::mem::forget(table.states().take_load(places(&table)[0])));
        assert!(found_at_work(&table, &audit, 300).iter().all(|drift| *drift == 3));
    }

    #[test]
    fn a_shard_in_its_turn_is_not_looked_at() {
        let table = table();
        let audit = Audit::new(shards(2), Arc::default(), START);
        let shard = Arc::clone(&audit.shards[1]);
        shard.tokens().begin();
        let token = table.states().take_load(places(&table)[0]);
        assert_eq!(audit.look(|| table.states().total_load()), None);
        shard.tokens().end(1);
        assert_eq!(audit.look(|| table.states().total_load()), Some((1, 1)));
        // Nor one that has had a turn, or begun one, while the load was read.
        let turn = |tokens| {
            shard.tokens().begin();
            shard.tokens().end(tokens);
            table.states().total_load()
        };
        assert_eq!(audit.look(|| turn(1)), None);
        shard.tokens().begin();
        table.states().release(token);
        shard.tokens().end(0);
        let begun = || {
            shard.tokens().begin();
            7
        };
        assert_eq!(audit.look(begun), None);
    }

    #[test]
    fn what_is_found_is_published_at_a_slow_pace() {
        let (table, drift) = (table(), Arc::<Drift>::default());
        let mut audit = Audit::new(shards(2), Arc::clone(&drift), START);
        audit.pass(START, table.states());
        core::mem::forget(table.states().take_load(places(&table)[2]));
        audit.pass(START + AUDIT_INTERVAL / 2, table.states());
        assert_eq!(drift.load(), 0, "it is not due");
        audit.pass(START + AUDIT_INTERVAL, table.states());
        assert_eq!(drift.load(), 1);
        // Tokens without load count as well.
        audit.shards[0].tokens().end(5);
        audit.pass(START + AUDIT_INTERVAL * 2, table.states());
        assert_eq!(drift.load(), 4);
        audit.shards[0].tokens().end(1);
        audit.pass(START + AUDIT_INTERVAL * 3, table.states());
        assert_eq!(drift.load(), 0);
    }

    #[test]
    fn an_audit_that_finds_no_moment_is_given_up_until_the_next_time() {
        let (table, drift) = (table(), Arc::<Drift>::default());
        let mut audit = Audit::new(shards(1), Arc::clone(&drift), START);
        core::mem::forget(table.states().take_load(places(&table)[0]));
        let shard = Arc::clone(&audit.shards[0]);
        shard.tokens().begin();
        (0..AUDIT_PASSES).for_each(|_| audit.pass(START, table.states()));
        shard.tokens().end(0);
        audit.pass(START, table.states());
        assert_eq!(drift.load(), 0, "not before its time");
        audit.pass(START + AUDIT_INTERVAL, table.states());
        assert_eq!(drift.load(), 1);
    }
}
