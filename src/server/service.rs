//! What systemd is told (sd_notify(3)), when it has started the process and asks for it by `NOTIFY_SOCKET`; nothing otherwise.
//!
//! # Policy
//!
//! - `READY=1` when calls are taken, `STOPPING=1` when new ones are refused; `RELOADING=1` while the config is read anew, whoever asked for
//!   it, and `READY=1` after it, also when nothing came of it: what was in force still is.
//! - `WATCHDOG=1` twice in the time that `WatchdogSec` allows, but only while every shard begins new turns: a shard that is stuck takes its
//!   share of the calls with it, and a restart is what brings them back. The prober and the control side are not looked at: no call
//!   ends with them.
//! - `STATUS=` has what an operator looks for first, at most once a second, and only when it has changed.

use super::Server;
use super::liveness::{Change, Liveness};
use crate::proxy::Policy;
use crate::shard::{Lifecycle, Phase, ShardCounters, clock};
use crate::time::Instant;
use arc_swap::ArcSwap;
use core::time::Duration;
use sd_notify::NotifyState;
use std::sync::Arc;

/// Shortest time from one status to the next.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What a shutdown may take beyond its own bound, for threads to end.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(10);

/// The process as systemd sees it.
#[derive(Debug)]
pub struct Service {
    policy: Arc<ArcSwap<Policy>>,
    lifecycle: Arc<Lifecycle>,
    counters: Vec<Arc<ShardCounters>>,
    shutdown_timeout: Duration,
    liveness: Liveness,
    /// How often systemd wants to hear that all is well; none: never.
    ping_interval: Option<Duration>,
    pinged_at: Instant,
    status: String,
    status_at: Instant,
    /// Whether it has been told that systemd does not listen.
    is_unheard: bool,
}

impl Service {
    /// Tells that `server` takes calls.
    #[must_use]
    pub fn ready(server: &Server) -> Self {
        let now = clock::now();
        let mut service = Self {
            policy: Arc::clone(&server.policy),
            lifecycle: Arc::clone(&server.lifecycle),
            counters: server.counters.clone(),
            shutdown_timeout: server.shutdown_timeout,
            liveness: Liveness::new(server.counters.iter().map(|shard| shard.turn()), now),
            ping_interval: sd_notify::watchdog_enabled().map(|within| within / 2),
            pinged_at: now,
            status: String::new(),
            status_at: now,
            is_unheard: false,
        };
        service.status = service.summary();
        let status = service.status.clone();
        service.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        service
    }

    /// To be called some ten times a second: looks whether the shards get on, and tells what is due.
    pub fn look(&mut self) {
        let now = clock::now();
        self.liveness.look(self.counters.iter().map(|shard| shard.turn()), now, tell_of_shard);
        if self.ping_interval.is_some_and(|interval| now.saturating_since(self.pinged_at) >= interval)
            && self.liveness.is_well()
        {
            self.pinged_at = now;
            self.tell(&[NotifyState::Watchdog]);
        }
        if now.saturating_since(self.status_at) >= STATUS_INTERVAL {
            self.status_at = now;
            self.tell_status();
        }
    }

    /// Tells that new calls are refused, and how long the others may take.
    pub fn stopping(&mut self) {
        let within = (self.shutdown_timeout + SHUTDOWN_SLACK).as_micros();
        let within = u32::try_from(within).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)]);
    }

    fn tell_status(&mut self) {
        let status = self.summary();
        if status != self.status {
            self.status.clone_from(&status);
            self.tell(&[NotifyState::Status(&status)]);
        }
    }

    /// What `systemctl status` shows.
    fn summary(&self) -> String {
        let levels = ShardCounters::total(self.counters.iter().map(Arc::as_ref)).levels;
        if self.lifecycle.phase() != Phase::Running {
            return format!("stopping: {} transactions to finish", levels.pending_transactions);
        }
        let policy = self.policy.load();
        let (states, sets) = (policy.table.states(), policy.table.sets());
        let all = sets.iter().flat_map(|set| &set.destinations);
        let available = all.clone().filter(|destination| states.is_available(destination.state)).count();
        format!(
            "{} calls; {available} of {} destinations in {} sets available",
            levels.dialogs,
            all.count(),
            sets.len()
        )
    }

    /// Without `NOTIFY_SOCKET` nothing is sent, and nothing fails.
    fn tell(&mut self, news: &[NotifyState<'_>]) {
        match sd_notify::notify(news) {
            Ok(()) => self.is_unheard = false,
            Err(error) if !self.is_unheard => {
                self.is_unheard = true;
                tracing::warn!(%error, "systemd cannot be told how the process is");
            }
            Err(_) => {}
        }
    }
}

/// Tells that a reload begins, or that none is under way any more. What systemd does not hear is told by [`Service::tell`], which
/// says something all the time.
pub(super) fn reloading(begins: bool) {
    let news: Vec<NotifyState<'_>> = match begins {
        true => [NotifyState::Reloading].into_iter().chain(NotifyState::monotonic_usec_now()).collect(),
        false => vec![NotifyState::Ready],
    };
    let _ = sd_notify::notify(&news);
}

fn tell_of_shard(shard: usize, change: Change) {
    match change {
        Change::Stuck(still) => tracing::error!(shard, ?still, "a shard is stuck: systemd's watchdog is told no more"),
        Change::Moves => tracing::info!(shard, "the shard gets on again"),
    }
}
