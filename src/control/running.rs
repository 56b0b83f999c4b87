//! What methods work on.

use super::EventLog;
use super::freshness::Freshness;
use super::in_force::InForce;
use super::publish::Retired;
use super::reloading::Reloading;
use super::state_file::StateFile;
use super::traces::Traces;
use crate::config::Config;
use crate::prober::ProbeSettings;
use crate::proxy::{Policy, Settings};
use crate::shard::{Drift, Grants, Inquiries, Lifecycle, Phase, ShardCounters, Snapshot, clock};
use crate::time::Instant;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::SystemTime;

/// The running process as the control side sees it.
#[derive(Debug)]
pub struct Control {
    plan: ControlPlan,
    started_at: SystemTime,
    pub(super) in_force: ArcSwap<InForce>,
    /// One change at a time; those that come meanwhile wait in turn.
    pub(super) changes: tokio::sync::Mutex<()>,
    pub(super) retired: Retired,
    pub(super) state_file: StateFile,
    traces: Traces,
    pub(super) freshness: Freshness,
    pub(super) reloading: Reloading,
}

/// What the control side is given at start.
#[derive(Debug)]
pub struct ControlPlan {
    /// The config that it starts with.
    pub config: Config,
    /// The published policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The published settings of probes.
    pub probing: Arc<ArcSwap<ProbeSettings>>,
    /// What each shard publishes.
    pub counters: Vec<Arc<ShardCounters>>,
    /// The way to ask the shards.
    pub inquiries: Inquiries,
    /// What the last audit found.
    pub drift: Arc<Drift>,
    /// Whether calls are taken.
    pub lifecycle: Arc<Lifecycle>,
    /// What has happened.
    pub events: Arc<EventLog>,
    /// What the kernel has granted; none where no shard runs.
    pub grants: Option<Grants>,
    /// Told true when a reload begins, false when none is under way any more; it must not wait.
    pub on_reload: fn(bool),
}

impl Control {
    /// The control side of a process that starts now.
    #[must_use]
    pub fn new(plan: ControlPlan) -> Self {
        let control = Self {
            started_at: SystemTime::now(),
            in_force: ArcSwap::from_pointee(InForce::at_start(plan.config.clone())),
            changes: tokio::sync::Mutex::new(()),
            retired: Retired::default(),
            state_file: StateFile::new(plan.config.control.state_file.clone()),
            traces: Traces::default(),
            freshness: Freshness::new(),
            reloading: Reloading::new(plan.on_reload),
            plan,
        };
        control.tell_table("started", "the process has started");
        control
    }

    /// How old what is in force is.
    #[must_use]
    pub const fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// When the process started.
    #[must_use]
    pub const fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// What is fixed while the process runs.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.plan.config.settings
    }

    /// The config in force.
    pub(super) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Where policies are published.
    pub(super) fn published(&self) -> &ArcSwap<Policy> {
        &self.plan.policy
    }

    /// Where the settings of probes are published.
    pub(super) fn probing(&self) -> &ArcSwap<ProbeSettings> {
        &self.plan.probing
    }

    /// What has happened.
    pub(super) fn events(&self) -> &Arc<EventLog> {
        &self.plan.events
    }

    /// The way to ask the shards.
    #[must_use]
    pub const fn inquiries(&self) -> &Inquiries {
        &self.plan.inquiries
    }

    /// The traces of calls.
    pub(super) const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The date of a time of the shards, seconds since 1970.
    #[must_use]
    pub fn unix_time(&self, at: Instant) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (now_ns, at_ns) = (i128::from(clock::now().as_nanos()), i128::from(at.as_nanos()));
        let unix_ns = since.as_nanos() as i128 + at_ns - now_ns;
        i64::try_from(unix_ns.div_euclid(1_000_000_000)).unwrap_or_default()
    }

    /// Whole seconds since a time of the shards.
    #[must_use]
    pub fn seconds_since(&self, at: Instant) -> i64 {
        i64::try_from(clock::now().saturating_since(at).as_secs()).unwrap_or(i64::MAX)
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.plan.policy.load_full()
    }

    /// The sum of what the shards have counted, at most 100 ms old, and the drift that the last audit found.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = ShardCounters::total(self.plan.counters.iter().map(Arc::as_ref));
        snapshot.levels.drift = self.plan.drift.load();
        snapshot
    }

    /// What each shard published last.
    pub fn shards(&self) -> impl Iterator<Item = Snapshot> {
        self.plan.counters.iter().map(|counters| counters.load())
    }

    /// Whether the process is there to take calls.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.plan.lifecycle
    }

    /// What the kernel has granted.
    #[must_use]
    pub const fn grants(&self) -> Option<&Grants> {
        self.plan.grants.as_ref()
    }

    /// Why new calls would find nothing here; none when they are welcome.
    #[must_use]
    pub fn why_not_ready(&self) -> Option<&'static str> {
        if self.plan.lifecycle.phase() != Phase::Running {
            return Some("stopping");
        }
        let policy = self.plan.policy.load();
        let (states, sets) = (policy.table.states(), policy.table.sets());
        let mut destinations = sets.iter().flat_map(|set| &set.destinations);
        (!destinations.any(|destination| states.is_available(destination.state)))
            .then_some("no destination is available")
    }
}
