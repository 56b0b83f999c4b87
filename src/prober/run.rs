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

/// A response to a probe, as a shard received it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The message.
    pub bytes: Vec<u8>,
}

/// What the prober's thread needs.
pub struct ProberPlan {
    /// The schedule.
    pub prober: Prober,
    /// The published policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Duplicates of the listen sockets, in the order of the listen addresses.
    pub sockets: Vec<UdpSocket>,
    /// The core to run on; `None`: any.
    pub core: Option<usize>,
    /// Set when the thread shall end.
    pub stop: Arc<AtomicBool>,
}

/// Probes until it is told to stop. `now` reads the clock, `next_answer` takes a response from the shards' queue; a shard that puts
/// one there unparks this thread.
pub fn run(plan: ProberPlan, now: impl Fn() -> Instant, mut next_answer: impl FnMut() -> Option<Answer>) {
    let ProberPlan { mut prober, policy, sockets, core, stop } = plan;
    if let Some(core) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
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
        while let Some(answer) = next_answer() {
            prober.handle_answer(at, &current.table, &answer.bytes);
        }
        prober.handle_timeout(at, &current.table, &mut out);
        send(&sockets, &mut out);
        tell(&mut prober);
        let due = prober.poll_timeout().map_or(limits::IDLE_WAIT_MAX, |due| due.saturating_since(now()));
        std::thread::park_timeout(due.clamp(Duration::from_micros(100), limits::IDLE_WAIT_MAX));
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
