//! The prober's thread.

use super::schedule::Prober;
use crate::limits;
use crate::proxy::{Outbox, Policy};
use crate::time::Instant;
use arc_swap::ArcSwap;
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News<'a> {
    /// This response came.
    Response(&'a [u8]),
    /// An ICMP error came for this probe, or for what the error quotes of it.
    Unreachable(&'a [u8]),
}

/// Where news comes from: the shards receive it, since probes leave by their sockets.
pub trait NewsSource: Send + 'static {
    /// Sleeps until there is news, at most `timeout`.
    fn wait(&self, timeout: Duration);
    /// Gives all news that is there.
    fn drain(&self, read: &mut dyn FnMut(News<'_>));
}

/// What the prober's thread needs.
pub struct ProberPlan {
    /// The schedule.
    pub prober: Prober,
    /// The published policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Duplicates of the listen sockets, in the order of the listen addresses.
    pub sockets: Vec<UdpSocket>,
    /// The core to run on.
    pub core: usize,
    /// Set when the thread shall end.
    pub stop: Arc<AtomicBool>,
}

/// Probes until it is told to stop. `now` reads the clock.
pub fn run(plan: ProberPlan, now: impl Fn() -> Instant, news: &impl NewsSource) {
    let ProberPlan { mut prober, policy, sockets, core, stop } = plan;
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        tracing::warn!(core, "the prober cannot be pinned to its core");
    }
    let mut out = Outbox::new();
    let mut current = policy.load_full();
    prober.set_table(now(), &current.table);
    while !stop.load(Ordering::Acquire) {
        let at = now();
        if !Arc::ptr_eq(&current, &policy.load()) {
            current = policy.load_full();
            prober.set_table(at, &current.table);
        }
        news.drain(&mut |one| match one {
            News::Response(bytes) => prober.handle_answer(at, &current.table, bytes),
            News::Unreachable(probe) => prober.handle_unreachable(at, &current.table, probe),
        });
        prober.handle_timeout(at, &current.table, &mut out);
        send(&sockets, &mut out);
        tell(&mut prober);
        let due = prober.poll_timeout().map_or(limits::IDLE_WAIT_MAX, |due| due.saturating_since(now()));
        news.wait(due.min(limits::IDLE_WAIT_MAX));
    }
}

/// A probe that cannot be sent is lost like any datagram: it is repeated, and fails by time.
fn send(sockets: &[UdpSocket], out: &mut Outbox) {
    for transmit in out.iter() {
        if let Some(socket) = sockets.get(usize::from(transmit.socket.0))
            && let Err(error) = socket.send_to(transmit.bytes, transmit.destination)
        {
            tracing::debug!(destination = %transmit.destination, %error, "probe not sent");
        }
    }
    out.clear();
}

fn tell(prober: &mut Prober) {
    for change in prober.take_changes() {
        let code = change.code.map_or_else(|| String::from("no answer"), |code| code.to_string());
        tracing::info!(set = change.set, uri = %change.uri, health = ?change.health, probe = %code, "destination changed");
    }
}
