//! Starting the shards: one pinned executor with one task each.

use super::clock;
use super::counters::ShardCounters;
use super::handoff::inboxes;
use super::lifecycle::{Lifecycle, Phase};
use super::probe::ProbeSink;
use super::socket::ShardSockets;
use super::turn::{Shard, Shared};
use crate::proxy::{Policy, Proxy, Settings, ShardId};
use arc_swap::ArcSwap;
use core::fmt;
use core::time::Duration;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// How often the executor asks the shard to let its other tasks run.
const PREEMPT_INTERVAL: Duration = Duration::from_millis(5);
/// Registered I/O memory of an executor, bytes: no task of ours uses it, and memlock is 8 MiB on stock systems.
const EXECUTOR_IO_MEMORY_BYTES: usize = 64 << 10;

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
}

/// A running shard.
#[derive(Debug)]
pub struct ShardHandle {
    index: u32,
    counters: Arc<ShardCounters>,
    thread: ExecutorJoinHandle<()>,
}

impl ShardHandle {
    /// Its number, from 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// What it publishes; readable after its end too.
    #[must_use]
    pub const fn counters(&self) -> &Arc<ShardCounters> {
        &self.counters
    }

    /// Waits for its end, which [`Lifecycle::advance`] brings about.
    ///
    /// # Errors
    /// When its thread ended otherwise.
    pub fn join(self) -> Result<(), StartError> {
        self.thread.join().map_err(|error| StartError::Executor { shard: self.index, error: error.to_string() })
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
    /// The executor of this shard: its core does not exist, or the kernel refuses io_uring.
    Executor {
        /// Which shard.
        shard: u32,
        /// What the executor says.
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
            Self::Executor { shard, error } => write!(f, "executor of shard {shard}: {error}"),
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
    let ShardsInput { settings, policy, sockets, probe_answers, lifecycle } = input;
    let inboxes = inboxes(sockets.len()).map_err(StartError::System)?;
    let shared = Shared { policy, inboxes, probe_answers, lifecycle };
    let count = sockets.len() as u32;
    let mut running = Vec::with_capacity(sockets.len());
    for ((index, sockets), core) in (0..count).zip(sockets).zip(&plan.cores) {
        match start_one(ShardId { index, count }, *core, settings.clone(), sockets, shared.clone()) {
            Ok(handle) => running.push(handle),
            Err(error) => {
                shared.lifecycle.advance(Phase::Stopped);
                running.into_iter().for_each(|handle| drop(handle.join()));
                return Err(error);
            }
        }
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

fn start_one(
    id: ShardId,
    core: usize,
    settings: Settings,
    sockets: ShardSockets,
    shared: Shared,
) -> Result<ShardHandle, StartError> {
    let failed = |error: glommio::GlommioError<()>| StartError::Executor { shard: id.index, error: error.to_string() };
    let seed = clock::seed().map_err(StartError::System)?;
    let counters = Arc::new(ShardCounters::default());
    let published = Arc::clone(&counters);
    let (runs, is_running) = sync_channel(1);
    let thread = LocalExecutorBuilder::new(Placement::Fixed(core))
        .name(&format!("shard-{}", id.index))
        .preempt_timer(PREEMPT_INTERVAL)
        .io_memory(EXECUTOR_IO_MEMORY_BYTES)
        .spawn(move || run(id, seed, settings, sockets, shared, published, runs))
        .map_err(failed)?;
    let handle = ShardHandle { index: id.index, counters, thread };
    match is_running.recv() {
        Ok(()) => Ok(handle),
        // The thread ended before its task began: joining says why.
        Err(_) => handle.join().and(Err(failed(io::Error::from(io::ErrorKind::BrokenPipe).into()))),
    }
}

/// The one task of a shard's executor. Its memory is first touched here, on its own core.
async fn run(
    id: ShardId,
    seed: u64,
    settings: Settings,
    sockets: ShardSockets,
    shared: Shared,
    counters: Arc<ShardCounters>,
    runs: SyncSender<()>,
) {
    name_thread(id.index);
    let proxy = Proxy::new(settings, id, seed, clock::now());
    let shard = Shard::new(id, proxy, sockets, shared, counters);
    // Nobody waits for it any more only when the start was given up.
    let _ = runs.send(());
    shard.run().await;
}

/// The executor appends a number of its own to the name that it gets.
fn name_thread(shard: u32) {
    let name = format!("shard-{shard}\0");
    // SAFETY: PR_SET_NAME reads a string that ends with a zero byte; this one does, and lives through the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
