//! What is known about each destination while calls flow: a slab of atomics that outlives every table.
//!
//! # Policy
//!
//! - Every shard reads a destination's standing (health and admin) for each request and hardly anybody writes it, so
//!   standings lie packed, one byte each. Load and counters are written with every call, so each slot has cache lines of
//!   its own, away from the standings.
//! - A destination is available when its admin is enabled, its health is not inactive, and it is neither ejected nor held off; or
//!   enabled while its set panics. Trying still gets traffic: one lost probe must not move calls (as Kamailio has it).
//! - Memory comes in chunks, when first needed, and stays until the process ends.
//!
//! # Invariants
//!
//! - The availability epoch grows at least once after every change of availability; a reader that sees an epoch also
//!   sees every change that it stands for.
//! - A slot is claimed only when no table holds it and its load is 0 ([`States::claim`]).

use core::array;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::OnceLock;

use crossbeam::utils::CachePadded;

use super::congestion::CongestionEpoch;
use super::events::{Cause, Event, EventKind, Events, Reason, Why};
use super::publish::{self, Holders, Published};
use super::standing::{Admin, Health, Standing};
use super::vitals::Vitals;
use crate::limits::DESTINATIONS_MAX;
use crate::time::Instant;

/// Slots whose memory comes at once.
const CHUNK_SLOTS: usize = 256;

const _: () = assert!(DESTINATIONS_MAX.is_multiple_of(CHUNK_SLOTS));
// A `DestinationId` keeps its slot in 16 bits.
const _: () = assert!(DESTINATIONS_MAX <= 1 << 16);

/// The place of a destination's state in [`States`], below [`DESTINATIONS_MAX`].
///
/// Good for as long as a table that holds the destination is held, or a [`super::LoadToken`] of it is out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StateIndex(u32);

impl StateIndex {
    /// The number of the slot.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// `value` must be below [`DESTINATIONS_MAX`].
    pub(super) const fn new(value: u32) -> Self {
        Self(value)
    }
}

/// One destination of one set, over all reloads: 4 bytes that may be kept for as long as anybody likes.
///
/// When the destination has gone, [`super::Table::destination`] finds nothing, even if its slot is in use again. (The
/// generation has 16 bits: an id would have to be kept over 65,536 reloads that each reuse the slot to err.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DestinationId {
    slot: u16,
    generation: u16,
}

impl DestinationId {
    /// An id that fills unused places; only slots that were never claimed have generation 0, so it names nothing.
    pub(super) const NONE: Self = Self { slot: 0, generation: 0 };

    /// Where the destination's state is.
    #[must_use]
    pub const fn state(self) -> StateIndex {
        StateIndex(self.slot as u32)
    }
}

/// What was counted for one destination since it got its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests sent to it, as first target or as failover.
    pub selected: u64,
    /// 2xx responses to INVITE.
    pub answered: u64,
    /// Attempts that failed: a failover code, a time-out or a send error.
    pub failed: u64,
    /// Requests that went on to another target.
    pub failovers: u64,
    /// Requests that came from another target, which had failed.
    pub taken_over: u64,
}

/// The states of all destinations; shared by every shard, the prober and the control side.
pub struct States {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
    epoch: CachePadded<AtomicU64>,
    events: Events,
    pub(super) congestion: CongestionEpoch,
}

impl States {
    /// An empty slab; it takes memory as destinations come.
    #[must_use]
    pub fn new() -> Self {
        let chunks = (0..DESTINATIONS_MAX / CHUNK_SLOTS).map(|_| OnceLock::new()).collect();
        Self {
            chunks,
            epoch: CachePadded::new(AtomicU64::new(0)),
            events: Events::new(),
            congestion: CongestionEpoch::default(),
        }
    }

    /// Whether new requests may go there: enabled, and not inactive, ejected or held off, unless its set panics. One load.
    #[must_use]
    #[inline]
    pub fn is_available(&self, index: StateIndex) -> bool {
        self.standing_now(index).is_available()
    }

    /// What evidence says.
    #[must_use]
    pub fn health(&self, index: StateIndex) -> Health {
        self.standing_now(index).health()
    }

    /// What an operator said.
    #[must_use]
    pub fn admin(&self, index: StateIndex) -> Admin {
        self.standing_now(index).admin()
    }

    /// Records the health that an operator marks at `now`; true when it is news. Admin stays as it is.
    pub fn set_health(&self, index: StateIndex, health: Health, now: Instant) -> bool {
        self.judge(index, health, Why::new(Cause::Operator, Reason::Said), now)
    }

    /// Records what evidence says at `now`, and why; true when it is news, which is then an event. Admin stays as it is.
    pub fn judge(&self, index: StateIndex, health: Health, why: Why, now: Instant) -> bool {
        self.change_because(index, now, why, EventKind::from(health), |standing| standing.with_health(health))
    }

    /// Records what an operator said at `now`; true when it is news, which is then an event. Health stays as it is.
    pub fn set_admin(&self, index: StateIndex, admin: Admin, now: Instant) -> bool {
        let why = Why::new(Cause::Operator, Reason::Said);
        self.change_because(index, now, why, EventKind::Admin(admin), |standing| standing.with_admin(admin))
    }

    /// When health or admin last changed; the process's start when they never did.
    #[must_use]
    pub fn last_change(&self, index: StateIndex) -> Instant {
        Instant::from_nanos(self.slot(index).changed_at_ns.load(Ordering::Relaxed))
    }

    /// Since when it is available again; none when it always was.
    pub(super) fn available_since(&self, index: StateIndex) -> Option<Instant> {
        let since_ns = self.slot(index).available_since_ns.load(Ordering::Relaxed);
        (since_ns > 0).then(|| Instant::from_nanos(since_ns))
    }

    /// A number that grows whenever the availability of any destination changes: while it stays the same, what was
    /// computed from availability stays right.
    #[must_use]
    pub fn availability_epoch(&self) -> u64 {
        publish::epoch(&self.epoch)
    }

    /// Counts a request sent there.
    pub fn count_selected(&self, index: StateIndex) {
        self.slot(index).selected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a 2xx response to an INVITE.
    pub fn count_answered(&self, index: StateIndex) {
        self.slot(index).answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed attempt.
    pub fn count_failed(&self, index: StateIndex) {
        self.slot(index).failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that went on from there to another target.
    pub fn count_failover(&self, index: StateIndex) {
        self.slot(index).failovers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that came from another target.
    pub fn count_taken_over(&self, index: StateIndex) {
        self.slot(index).taken_over.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters; each is exact, together they may be some calls apart.
    #[must_use]
    pub fn counters(&self, index: StateIndex) -> Counters {
        let slot = self.slot(index);
        Counters {
            selected: slot.selected.load(Ordering::Relaxed),
            answered: slot.answered.load(Ordering::Relaxed),
            failed: slot.failed.load(Ordering::Relaxed),
            failovers: slot.failovers.load(Ordering::Relaxed),
            taken_over: slot.taken_over.load(Ordering::Relaxed),
        }
    }

    /// Claims a free slot at or after `from` for one table, with everything in it reset; none when all are in use.
    pub(super) fn claim(&self, from: u32) -> Option<DestinationId> {
        (from..DESTINATIONS_MAX as u32).find_map(|index| self.try_claim(StateIndex(index)))
    }

    /// One more table holds the slot of `id`, which a living table holds already.
    pub(super) fn join(&self, id: DestinationId) {
        self.slot(id.state()).tables.join();
    }

    /// A table that held the slot of `id` is gone.
    pub(super) fn leave(&self, id: DestinationId) {
        self.slot(id.state()).tables.leave();
    }

    /// Records what the config says about a destination from `now` on.
    pub(super) fn configure(&self, index: StateIndex, admin: Admin, now: Instant) {
        let why = Why::new(Cause::Config, Reason::Said);
        self.change_because(index, now, why, EventKind::Admin(admin), |standing| standing.with_admin(admin));
    }

    /// Records that the config lets it begin inactive at `now`.
    pub(super) fn begin_inactive(&self, index: StateIndex, now: Instant) {
        let why = Why::new(Cause::Config, Reason::Said);
        self.change_because(index, now, why, EventKind::Down, |standing| standing.with_health(Health::Inactive));
    }

    #[inline]
    pub(super) fn slot(&self, index: StateIndex) -> &Slot {
        &self.chunk(index).slots[index.0 as usize % CHUNK_SLOTS]
    }

    pub(super) const fn events(&self) -> &Events {
        &self.events
    }

    /// Changes a standing; when that is news, why it changed is kept and told as an event.
    pub(super) fn change_because(
        &self,
        index: StateIndex,
        now: Instant,
        why: Why,
        kind: EventKind,
        to: impl Fn(Standing) -> Standing,
    ) -> bool {
        let news = self.change(index, now, to);
        if news {
            let slot = self.slot(index);
            slot.vitals.set_why(why);
            let generation = slot.generation.load(Ordering::Relaxed);
            let destination = Some(DestinationId { slot: index.0 as u16, generation });
            self.push_event(Event { at: now, destination, kind, why });
        }
        news
    }

    /// Every slot whose memory exists.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().filter_map(OnceLock::get).flat_map(|chunk| chunk.slots.iter().map(|slot| &**slot))
    }

    fn try_claim(&self, index: StateIndex) -> Option<DestinationId> {
        let slot = self.slot(index);
        if !slot.tables.claim(&slot.load) {
            return None;
        }
        let generation = slot.reset();
        self.standing(index).store(0, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Release);
        Some(DestinationId { slot: index.0 as u16, generation })
    }

    pub(super) fn change(&self, index: StateIndex, now: Instant, to: impl Fn(Standing) -> Standing) -> bool {
        let slot = self.slot(index);
        let published =
            Published { standing: self.standing(index), since_ns: &slot.available_since_ns, epoch: &self.epoch };
        let is_available = |standing| Standing(standing).is_available();
        let news = published.change(now.as_nanos(), |old| to(Standing(old)).0, is_available);
        if news {
            slot.changed_at_ns.store(now.as_nanos(), Ordering::Relaxed);
        }
        news
    }

    #[inline]
    pub(super) fn standing_now(&self, index: StateIndex) -> Standing {
        Standing(publish::standing(self.standing(index)))
    }

    #[inline]
    fn standing(&self, index: StateIndex) -> &AtomicU8 {
        &self.chunk(index).standings[index.0 as usize % CHUNK_SLOTS]
    }

    /// One load and a branch once the chunk is there, which claiming a slot has seen to.
    #[inline]
    fn chunk(&self, index: StateIndex) -> &Chunk {
        self.chunks[index.0 as usize / CHUNK_SLOTS].get_or_init(Box::default)
    }
}

impl Default for States {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for States {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("States").field("epoch", &self.availability_epoch()).finish_non_exhaustive()
    }
}

struct Chunk {
    standings: CachePadded<[AtomicU8; CHUNK_SLOTS]>,
    slots: [CachePadded<Slot>; CHUNK_SLOTS],
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            standings: CachePadded::new([const { AtomicU8::new(0) }; CHUNK_SLOTS]),
            slots: array::from_fn(|_| CachePadded::default()),
        }
    }
}

/// What is written with every call.
#[derive(Default)]
pub(super) struct Slot {
    /// Live tokens.
    pub(super) load: AtomicU64,
    /// Those of them whose INVITE has no response yet.
    pub(super) pending: AtomicU64,
    selected: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    failovers: AtomicU64,
    taken_over: AtomicU64,
    changed_at_ns: AtomicU64,
    pub(super) vitals: Vitals,
    /// 0: it never came back.
    available_since_ns: AtomicU64,
    /// When the next call is due by the rate bound.
    pub(super) arrival_ns: AtomicU64,
    /// Living tables that hold the slot.
    tables: Holders,
    generation: AtomicU16,
}

impl Slot {
    /// Forgets what was counted for the last destination here; the generation of the next one.
    fn reset(&self) -> u16 {
        let times = [&self.changed_at_ns, &self.available_since_ns, &self.arrival_ns];
        for counter in
            [&self.selected, &self.answered, &self.failed, &self.failovers, &self.taken_over].into_iter().chain(times)
        {
            counter.store(0, Ordering::Relaxed);
        }
        self.vitals.reset();
        // Generation 0 is skipped: it belongs to `DestinationId::NONE`.
        let generation = self.generation.load(Ordering::Relaxed).checked_add(1).unwrap_or(1);
        self.generation.store(generation, Ordering::Relaxed);
        generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHS: [Health; 3] = [Health::Active, Health::Trying, Health::Inactive];
    const ADMINS: [Admin; 3] = [Admin::Enabled, Admin::Draining, Admin::Disabled];
    const LATER: Instant = Instant::from_nanos(9);

    #[test]
    fn only_an_enabled_destination_that_is_not_inactive_is_available() {
        let states = States::new();
        let index = StateIndex(300);
        for health in HEALTHS {
            for admin in ADMINS {
                states.set_health(index, health, LATER);
                states.set_admin(index, admin, LATER);
                assert_eq!((states.health(index), states.admin(index)), (health, admin));
                let expected = health != Health::Inactive && admin == Admin::Enabled;
                assert_eq!(states.is_available(index), expected, "{health:?} {admin:?}");
            }
        }
    }

    #[test]
    fn evidence_never_undoes_an_operator() {
        let states = States::new();
        let index = StateIndex(0);
        assert!(states.set_admin(index, Admin::Draining, LATER));
        assert!(states.set_health(index, Health::Inactive, LATER));
        assert!(states.set_health(index, Health::Active, LATER));
        assert_eq!(states.admin(index), Admin::Draining);
        assert!(!states.is_available(index));
    }

    #[test]
    fn the_epoch_grows_with_changes_of_availability_and_with_nothing_else() {
        let states = States::new();
        let index = StateIndex(1);
        let steps: [(&dyn Fn() -> bool, bool, u64); 6] = [
            (&|| states.set_health(index, Health::Active, LATER), false, 0),
            (&|| states.set_health(index, Health::Trying, LATER), true, 0),
            (&|| states.set_health(index, Health::Inactive, LATER), true, 1),
            (&|| states.set_admin(index, Admin::Disabled, LATER), true, 1),
            (&|| states.set_health(index, Health::Active, LATER), true, 1),
            (&|| states.set_admin(index, Admin::Enabled, LATER), true, 2),
        ];
        for (number, (step, news, epoch)) in steps.iter().enumerate() {
            assert_eq!((step(), states.availability_epoch()), (*news, *epoch), "step {number}");
        }
    }

    #[test]
    fn the_last_change_is_that_of_the_last_news() {
        let states = States::new();
        let index = StateIndex(2);
        states.set_health(index, Health::Inactive, Instant::from_nanos(5));
        states.set_health(index, Health::Inactive, Instant::from_nanos(8));
        assert_eq!(states.last_change(index), Instant::from_nanos(5));
    }

    #[test]
    fn a_slot_is_claimed_again_only_when_no_table_holds_it_and_then_as_another_generation() {
        let states = States::new();
        let first = states.claim(0).unwrap();
        let second = states.claim(0).unwrap();
        assert_ne!(first.state(), second.state());
        states.count_failed(first.state());
        states.set_health(first.state(), Health::Inactive, LATER);
        states.join(first);
        states.leave(first);
        assert_ne!(states.claim(0).unwrap().state(), first.state());
        states.leave(first);
        let again = states.claim(0).unwrap();
        assert_eq!(again.state(), first.state());
        assert_ne!(again, first);
        assert_eq!(states.counters(again.state()), Counters::default());
        assert!(states.is_available(again.state()));
    }

    #[test]
    fn a_slot_with_a_token_out_is_not_claimed() {
        let states = States::new();
        let first = states.claim(0).unwrap();
        let token = states.take_load(first.state());
        states.leave(first);
        assert_ne!(states.claim(0).unwrap().state(), first.state());
        states.release(token);
        assert_eq!(states.claim(0).unwrap().state(), first.state());
    }

    #[test]
    fn all_slots_can_be_claimed_and_no_more() {
        let states = States::new();
        let mut from = 0;
        for _ in 0..DESTINATIONS_MAX {
            from = states.claim(from).unwrap().state().value();
        }
        assert_eq!(states.claim(0), None);
    }

    #[test]
    fn the_generation_that_names_nothing_is_skipped_when_generations_wrap() {
        let states = States::new();
        states.slot(StateIndex(0)).generation.store(u16::MAX, Ordering::Relaxed);
        assert_eq!(states.claim(0), Some(DestinationId { slot: 0, generation: 1 }));
    }
}
