//! What goes wrong in a world besides its network and its destinations: the shards' process dies and begins anew, turns come late,
//! inboxes are full, there is room for next to nothing, tables change at any moment, probes find things out too late, new calls are
//! kept out, and CANCELs come for nothing. Each from a sequence of its own.

use crate::callee::Reply;
use crate::clock::ms;
use crate::rng::Rng;
use crate::setup::Setup;
use crate::world::{Operation, World};
use core::time::Duration;
use siplane::dispatcher::Health;
use siplane::proxy::{Outbox, Settings};
use siplane::time::Instant;

/// Room that a shard has, where it has next to none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tight {
    transactions: usize,
    dialogs: usize,
    stored_bytes: usize,
    keepalives: usize,
    timers: usize,
    outbox_bytes: usize,
}

/// What is wrong with a world. The default is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) tight: Option<Tight>,
    /// Messages that an inbox holds, when each message comes in at the shard that its source's hash says, and not at its owner.
    pub(crate) inbox_max: Option<usize>,
    /// A table is published behind so many of a hundred messages.
    pub(crate) publish_percent: u64,
    /// While INVITEs are kept out: so many of a hundred.
    pub(crate) shed_percent: u64,
    /// The process dies so often.
    crashes: u64,
    stalls: u64,
    sheds: u64,
    /// What probes find out too late.
    late_probes: u64,
    /// CANCELs of INVITEs that nobody sent.
    cancels: u64,
}

/// How often trouble came up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) crashes: u64,
    pub(crate) stalls: u64,
    pub(crate) handed_off: u64,
    /// Messages that found an inbox full.
    pub(crate) inbox_full: u64,
    pub(crate) shed: u64,
    pub(crate) published: u64,
    /// Findings of probes about destinations that were gone.
    pub(crate) late_findings: u64,
    /// CANCELs that went on without a transaction.
    pub(crate) stray_cancels: u64,
    /// Requests that were answered for lack of room.
    pub(crate) refused: u64,
    /// Other things that were left out for lack of room.
    pub(crate) lapses: u64,
}

impl Met {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { crashes, stalls, handed_off, inbox_full, shed, .. } = other;
        self.crashes += crashes;
        self.stalls += stalls;
        self.handed_off += handed_off;
        self.inbox_full += inbox_full;
        self.shed += shed;
        self.published += other.published;
        self.late_findings += other.late_findings;
        self.stray_cancels += other.stray_cancels;
        self.refused += other.refused;
        self.lapses += other.lapses;
    }

    pub(crate) const fn all(&self) -> [u64; 10] {
        let Self { crashes, stalls, handed_off, inbox_full, shed, .. } = *self;
        let Self { published, late_findings, stray_cancels, refused, lapses, .. } = *self;
        [crashes, stalls, handed_off, inbox_full, shed, published, late_findings, stray_cancels, refused, lapses]
    }
}

impl Tight {
    fn random(rng: &mut Rng) -> Self {
        let few = |rng: &mut Rng, most: u64, plenty: u64| {
            (if rng.chance(50) { rng.between(1, most) } else { plenty }) as usize
        };
        Self {
            transactions: few(rng, 24, 4096),
            dialogs: few(rng, 8, 4096),
            stored_bytes: few(rng, 40_000, 1 << 24),
            keepalives: few(rng, 2, 100),
            timers: few(rng, 4, 512),
            outbox_bytes: few(rng, 3000, 1 << 19),
        }
    }

    pub(crate) fn apply(&self, settings: &mut Settings) {
        settings.transactions_max = self.transactions;
        settings.dialogs_max = self.dialogs;
        settings.stored_bytes_max = self.stored_bytes;
        settings.keepalives_unanswered_max = self.keepalives;
        settings.timers_per_turn = self.timers;
    }

    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::full_at(self.outbox_bytes)
    }
}

/// Gives the world of `setup` trouble.
pub(crate) fn add(setup: &mut Setup) {
    let mut rng = Rng::new(setup.seed ^ 0x7472_6f75);
    let rng = &mut rng;
    let some = |rng: &mut Rng, percent: u64, most: u64| if rng.chance(percent) { rng.between(1, most) } else { 0 };
    setup.trouble = Trouble {
        tight: rng.chance(35).then(|| Tight::random(rng)),
        inbox_max: rng.chance(35).then(|| rng.between(1, 5) as usize),
        publish_percent: if rng.chance(25) { rng.between(1, 30) } else { 0 },
        crashes: some(rng, 30, 3),
        stalls: some(rng, 35, 6),
        shed_percent: rng.between(20, 100),
        sheds: some(rng, 25, 3),
        late_probes: some(rng, 25, 20),
        cancels: some(rng, 40, 8),
    };
    setup.table_changes |= setup.trouble.publish_percent + setup.trouble.late_probes > 0;
}

/// Plans when it comes, and places the CANCELs that come for nothing; how many there are.
pub(crate) fn plan(world: &mut World, from: usize) -> usize {
    let mut rng = Rng::new(world.setup.seed ^ 0x7768_656e);
    let rng = &mut rng;
    let trouble = world.setup.trouble.clone();
    let hosts = world.setup.hosts.len() as u64;
    for _ in 0..trouble.crashes {
        push(world, ms(rng.below(60_000)), Operation::Crash(ms(rng.between(1, 4000))));
    }
    for _ in 0..trouble.stalls {
        let shard = rng.chance(60).then(|| rng.below(world.setup.shards.into()) as usize);
        push(world, ms(rng.below(60_000)), Operation::Stall(shard, ms(rng.pick(&[20, 300, 2500, 6000]))));
    }
    for _ in 0..trouble.sheds {
        let at = ms(rng.below(25_000));
        push(world, at, Operation::Shed(true));
        push(world, at + ms(rng.between(100, 6000)), Operation::Shed(false));
    }
    for _ in 0..trouble.late_probes {
        let health = rng.pick(&[Health::Active, Health::Active, Health::Trying, Health::Inactive]);
        let (index, late) = (rng.below(hosts) as usize, ms(rng.between(500, 12_000)));
        push(world, ms(rng.below(30_000)), Operation::Probe(index, health, late));
    }
    world.operations.sort_by_key(|operation| operation.0);
    for number in from..from + trouble.cancels as usize {
        let mut plan = world.call(number, ms(rng.below(40_000)), Reply::Silent);
        (plan.method, plan.edge, plan.compact) = ("CANCEL", rng.chance(30), rng.chance(30));
        world.place(number, plan);
    }
    if trouble.is_any() {
        // Who is out of reach for a while hears nothing for as long.
        world.outage = true;
    }
    trouble.cancels as usize
}

impl Trouble {
    /// Whether messages get lost in the process itself.
    const fn is_any(&self) -> bool {
        self.inbox_max.is_some() || self.crashes + self.stalls + self.sheds > 0
    }
}

fn push(world: &mut World, after: Duration, operation: Operation) {
    world.operations.push((Instant::from_nanos(0) + after, operation));
}
