//! Starting the shards: one pinned thread each.

use super::birth::on_core;
use super::clock;
use super::counters::ShardCounters;
use super::handoff::inboxes;
use super::inquiry::Inquiries;
use super::lifecycle::{Lifecycle, Phase};
use super::mmsg::Mmsg;
use super::pace::Waiting;
use super::pages;
use super::probe::ProbeSink;
use super::ring::Ring;
use super::socket::ShardSockets;
use super::thread::{Thread, try_executor};
use super::turn::{Shard, Shared};
use crate::proxy::{Policy, Proxy, Settings, ShardId};
use arc_swap::ArcSwap;
use core::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// On which core each shard runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardsPlan {
    /// One entry per shard, in shard order. A core may carry several shards, which then share its time.
    pub cores: Vec<usize>,
}

impl ShardsPlan {
    /// `shards` shards in turn over the cores that this process may use.
    #[must_use]
    pub fn spread(shards: usize) -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let cores = cores.iter().map(|core| core.id).cycle().take(shards).collect();
        Self { cores }
    }

    fn most_on_one_core(&self) -> usize {
        self.cores.iter().map(|core| self.cores.iter().filter(|other| *other == core).count()).max().unwrap_or(0)
    }
}

/// How shards are to reach the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EngineChoice {
    /// io_uring where the kernel allows it, else recvmmsg and sendmmsg; which one it is, the log says.
    #[default]
    Auto,
    /// This one; if it cannot be had, the shards do not start.
    Only(EngineKind),
}

/// A way to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// An io_uring per shard (Linux 6.1).
    IoUring,
    /// recvmmsg, sendmmsg and ppoll.
    Mmsg,
}

impl EngineKind {
    /// As the config spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Mmsg => "mmsg",
        }
    }
}

/// What the shards work with.
#[derive(Debug)]
pub struct ShardsInput {
    /// What is fixed while the process runs.
    pub settings: Settings,
    /// Where a reload publishes its policy; each shard looks once per turn.
    pub policy: Arc<ArcSwap<Policy>>,
    /// From [`super::open_all`], for as many shards as the plan has.
    pub sockets: Vec<ShardSockets>,
    /// The prober's mailbox.
    pub probe_answers: Arc<ProbeSink>,
    /// Made for as many shards as the plan has.
    pub lifecycle: Arc<Lifecycle>,
    /// How they reach the kernel.
    pub engine: EngineChoice,
    /// How they wait.
    pub waiting: Waiting,
}

/// A running shard.
#[derive(Debug)]
pub struct ShardHandle {
    index: u32,
    engine: EngineKind,
    counters: Arc<ShardCounters>,
    inquiries: Inquiries,
    thread: Thread<()>,
}

impl ShardHandle {
    /// Its number, from 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// How it reaches the kernel.
    #[must_use]
    pub const fn engine(&self) -> EngineKind {
        self.engine
    }

    /// What it publishes; readable after its end too.
    #[must_use]
    pub const fn counters(&self) -> &Arc<ShardCounters> {
        &self.counters
    }

    /// The way to ask it, and the shards that were started with it.
    #[must_use]
    pub const fn inquiries(&self) -> &Inquiries {
        &self.inquiries
    }

    /// Waits for its end, which [`Lifecycle::advance`] brings about.
    ///
    /// # Errors
    /// When its thread ended otherwise.
    pub fn join(self) -> Result<(), StartError> {
        self.thread.join().map_err(|error| StartError::Executor { shard: self.index, error })
    }
}

/// Why the shards could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The plan has no shards, or sockets or lifecycle are for another number of them.
    Mismatch {
        /// Shards in the plan.
        planned: usize,
        /// Sets of sockets.
        sockets: usize,
        /// Shards that the lifecycle was made for.
        lifecycle: usize,
    },
    /// No descriptor for a mailbox, or no random numbers.
    System(io::Error),
    /// The engine of this shard, which the config insists on.
    Engine {
        /// Which shard.
        shard: u32,
        /// Why not.
        error: io::Error,
    },
    /// The thread of this shard: its core does not exist, or there can be no more threads.
    Executor {
        /// Which shard.
        shard: u32,
        /// Why not.
        error: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { planned, sockets, lifecycle } => {
                write!(f, "{planned} shards planned, but sockets for {sockets} and a lifecycle for {lifecycle}")
            }
            Self::System(error) => write!(f, "cannot start the shards: {error}"),
            Self::Engine { shard, error } => write!(f, "shard {shard} cannot have an io_uring: {error}"),
            Self::Executor { shard, error } => write!(f, "thread of shard {shard}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts one thread per entry of `plan`, named `shard-0`, `shard-1`, …; every one of them runs when this returns.
///
/// # Errors
/// The first shard that cannot run, and why; those before it have ended again.
pub fn start(plan: &ShardsPlan, input: ShardsInput) -> Result<Vec<ShardHandle>, StartError> {
    check(plan, &input)?;
    let ShardsInput { settings, policy, sockets, probe_answers, lifecycle, engine, waiting } = input;
    let inboxes = inboxes(&plan.cores).map_err(StartError::System)?;
    let inquiries = Inquiries::new(Arc::clone(&inboxes));
    let shared = Shared { policy, inboxes, inquiries, probe_answers, lifecycle };
    let has_executor = has_executor(engine)?;
    let count = sockets.len() as u32;
    let mut running = Vec::with_capacity(sockets.len());
    for ((index, sockets), core) in (0..count).zip(sockets).zip(&plan.cores) {
        let id = ShardId { index, count };
        let settings = settings.clone();
        let birth = Birth { id, settings, sockets, engine, waiting, has_executor, shared: shared.clone() };
        match on_core(*core, || start_one(*core, birth)).map_err(StartError::System).flatten() {
            Ok(handle) => running.push(handle),
            Err(error) => {
                shared.lifecycle.advance(Phase::Stopped);
                running.into_iter().for_each(|handle| drop(handle.join()));
                return Err(error);
            }
        }
    }
    if let Some(engine) = running.first().map(ShardHandle::engine) {
        tracing::info!(engine = engine.name(), shards = running.len(), "shards run");
    }
    Ok(running)
}

fn check(plan: &ShardsPlan, input: &ShardsInput) -> Result<(), StartError> {
    let (planned, sockets, lifecycle) = (plan.cores.len(), input.sockets.len(), input.lifecycle.shards());
    if planned == 0 || planned != sockets || planned != lifecycle {
        return Err(StartError::Mismatch { planned, sockets, lifecycle });
    }
    let crowd = plan.most_on_one_core();
    if crowd > 1 {
        tracing::warn!(shards = planned, on_one_core = crowd, "several shards share a core");
    }
    Ok(())
}

/// What one shard begins with.
struct Birth {
    id: ShardId,
    settings: Settings,
    sockets: ShardSockets,
    engine: EngineChoice,
    waiting: Waiting,
    has_executor: bool,
    shared: Shared,
}

/// Where io_uring is forbidden shards begin without an executor, unless the config insists on a ring.
fn has_executor(engine: EngineChoice) -> Result<bool, StartError> {
    match try_executor() {
        Ok(()) => Ok(true),
        Err(error) if engine == EngineChoice::Only(EngineKind::IoUring) => {
            Err(StartError::Engine { shard: 0, error: io::Error::other(error) })
        }
        Err(error) => {
            tracing::warn!(%error, "no executor: shards run in plain threads");
            Ok(false)
        }
    }
}

fn start_one(core: usize, birth: Birth) -> Result<ShardHandle, StartError> {
    let (index, birth_has_executor) = (birth.id.index, birth.has_executor);
    let failed = |error: String| StartError::Executor { shard: index, error };
    let seed = clock::seed().map_err(StartError::System)?;
    let counters = Arc::new(ShardCounters::default());
    let (published, inquiries) = (Arc::clone(&counters), birth.shared.inquiries.clone());
    let (runs, is_running) = sync_channel(1);
    let work = move || run(seed, birth, published, &runs);
    let thread = Thread::spawn(birth_has_executor, core, &format!("shard-{index}"), work);
    let thread = thread.map_err(|error| failed(error.to_string()))?;
    match is_running.recv() {
        Ok(Ok(engine)) => Ok(ShardHandle { index, engine, counters, inquiries, thread }),
        Ok(Err(error)) => Err(StartError::Engine { shard: index, error }),
        // The thread ended before its task began: joining says why.
        Err(_) => Err(failed(thread.join().err().unwrap_or_else(|| String::from("ended before it began")))),
    }
}

/// The one task of a shard's thread. All memory of the shard (tables, outboxes, receive buffers, the ring) is first touched here or
/// later by the same thread, on its own core: where memory has nodes, the kernel takes it from the core's. See [`super::birth`].
fn run(seed: u64, birth: Birth, counters: Arc<ShardCounters>, runs: &SyncSender<io::Result<EngineKind>>) {
    let Birth { id, settings, sockets, engine, waiting, shared, .. } = birth;
    name_thread(id.index);
    wake_on_time();
    let transactions_ready = settings.transactions_ready;
    let mut proxy = Proxy::in_memory(settings, id, seed, clock::now(), pages::huge);
    proxy.make_room(transactions_ready, pages::provide);
    let listen = sockets.addresses().len();
    let inboxes = Arc::clone(&shared.inboxes);
    let bell = inboxes[id.index as usize].as_fd();
    // Nobody waits for the news any more only when the start was given up.
    match choose(engine, sockets, bell) {
        Ok(Chosen::Ring(ring)) => {
            let shard = Shard::new(id, proxy, (*ring, listen), waiting, shared, counters);
            let _ = runs.send(Ok(EngineKind::IoUring));
            shard.run();
        }
        Ok(Chosen::Mmsg(mmsg)) => {
            let shard = Shard::new(id, proxy, (*mmsg, listen), waiting, shared, counters);
            let _ = runs.send(Ok(EngineKind::Mmsg));
            shard.run();
        }
        Err(error) => drop(runs.send(Err(error))),
    }
}

/// An engine that can be had.
pub(super) enum Chosen {
    Ring(Box<Ring>),
    Mmsg(Box<Mmsg>),
}

pub(super) fn choose(engine: EngineChoice, sockets: ShardSockets, bell: BorrowedFd<'_>) -> io::Result<Chosen> {
    if engine == EngineChoice::Only(EngineKind::Mmsg) {
        return Ok(Chosen::Mmsg(Box::new(Mmsg::new(sockets, bell))));
    }
    match Ring::new(sockets, bell) {
        Ok(ring) => Ok(Chosen::Ring(Box::new(ring))),
        Err((error, sockets)) if engine == EngineChoice::Auto => {
            tracing::warn!(%error, "no io_uring for the sockets: recvmmsg and sendmmsg are used");
            Ok(Chosen::Mmsg(Box::new(Mmsg::new(sockets, bell))))
        }
        Err((error, _)) => Err(error),
    }
}

/// The kernel may wake a thread up to its timer slack late, by default 50 us: as long as a gathering takes.
fn wake_on_time() {
    // SAFETY: PR_SET_TIMERSLACK takes a number of nanoseconds and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000) };
}

/// The executor appends a number of its own to the name that it gets.
fn name_thread(shard: u32) {
    let name = format!("shard-{shard}\0");
    // SAFETY: PR_SET_NAME reads a string that ends with a zero byte; this one does, and lives through the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
