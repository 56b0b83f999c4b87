//! The prober's thread.

use super::schedule::Prober;
use super::settings::ProbeSettings;
use crate::dispatcher::{Event, EventKind, Table};
use crate::limits;
use crate::proxy::{Outbox, Policy};
use crate::time::Instant;
use arc_swap::ArcSwap;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News<'a> {
    /// This response came to a shard at this time.
    Response(&'a [u8], Instant),
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

/// Work that is neither a probe nor in a hurry: it gets the time and the table in force.
pub type Chore = Box<dyn FnMut(Instant, &Table) + Send>;

/// What happened, for those who want to know besides the log.
#[derive(Debug)]
pub enum Told<'a> {
    /// This, to what is or was in this table.
    Event(&'a Event, &'a Table),
    /// So many events found no place in the queue.
    Lost(u64),
}

/// Who gets all events; it must not wait for anything.
pub type Listener = Box<dyn FnMut(Told<'_>) + Send>;

/// What the prober's thread needs.
pub struct ProberPlan {
    /// The schedule.
    pub prober: Prober,
    /// The published settings, which it was made with.
    pub settings: Arc<ArcSwap<ProbeSettings>>,
    /// The published policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Duplicates of the listen sockets, in the order of the listen addresses.
    pub sockets: Vec<UdpSocket>,
    /// The core to run on.
    pub core: usize,
    /// Set when the thread shall end.
    pub stop: Arc<AtomicBool>,
    /// What else is looked at between probes, at least every [`limits::IDLE_WAIT_MAX`].
    pub also: Chore,
    /// Who gets the events, when they have been logged.
    pub listener: Listener,
}

/// Probes until it is told to stop. `now` reads the clock.
pub fn run(plan: ProberPlan, now: impl Fn() -> Instant, news: &impl NewsSource) {
    let ProberPlan { mut prober, settings, policy, sockets, core, stop, mut also, mut listener } = plan;
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        tracing::warn!(core, "the prober cannot be pinned to its core");
    }
    let mut out = Outbox::new();
    let mut current = policy.load_full();
    let mut probing = settings.load_full();
    let mut events_lost = 0;
    prober.set_table(now(), &current.table);
    while !stop.load(Ordering::Acquire) {
        let at = now();
        if !Arc::ptr_eq(&current, &policy.load()) {
            current = policy.load_full();
            prober.set_table(at, &current.table);
        }
        if !Arc::ptr_eq(&probing, &settings.load()) {
            probing = settings.load_full();
            prober.set_settings(at, ProbeSettings::clone(&probing));
        }
        news.drain(&mut |one| match one {
            News::Response(bytes, at) => prober.handle_answer(at, &current.table, bytes),
            News::Unreachable(probe) => prober.handle_unreachable(at, &current.table, probe),
        });
        prober.handle_timeout(at, &current.table, &mut out);
        send(&sockets, &mut out);
        tell(&current.table, &mut events_lost, &mut listener);
        also(at, &current.table);
        let due = prober.poll_timeout().map_or(limits::IDLE_WAIT_MAX, |due| due.saturating_since(now()));
        news.wait(due.min(limits::IDLE_WAIT_MAX));
    }
}

/// A probe that cannot be sent is lost like any datagram: it is repeated, and fails by time.
fn send(sockets: &[UdpSocket], out: &mut Outbox) {
    for transmit in out.iter() {
        if let Some(socket) = sockets.get(usize::from(transmit.socket.0))
            && let Err(error) = twice(|| socket.send_to(transmit.bytes, transmit.destination))
        {
            tracing::debug!(destination = %transmit.destination, %error, "probe not sent");
        }
    }
    out.clear();
}

/// Tries once more after an error: the socket is shared, and the first try may have brought the ICMP error of another's datagram.
fn twice(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    send().or_else(|_| send())
}

/// Logs the events that wait, and hands them on.
fn tell(table: &Table, lost_before: &mut u64, listener: &mut Listener) {
    let states = table.states();
    while let Some(event) = states.next_event() {
        log(&event, table);
        listener(Told::Event(&event, table));
    }
    let lost = states.events_lost();
    if lost > *lost_before {
        tracing::warn!(lost = lost - *lost_before, "events lost: more came than were read");
        listener(Told::Lost(lost - *lost_before));
        *lost_before = lost;
    }
}

fn log(event: &Event, table: &Table) {
    let (states, kind, why) = (table.states(), event.kind, event.why);
    match event.destination.map(|id| table.destination(id)) {
        Some(Some(known)) if matches!(kind, EventKind::Known(..)) => {
            let (set, destination, duid) = (known.set.0, &known.uri, &known.duid);
            tracing::debug!(set, %destination, duid, event = %kind, why = %why, "destination");
        }
        Some(Some(known)) => {
            let (latency, response) = (states.latency(known.state).estimate, states.response_time(known.state));
            let (set, destination, duid) = (known.set.0, &known.uri, &known.duid);
            // Left out where nothing was reported.
            let report = states.reported(known.state).map(|reported| reported.report);
            let in_use_permille = report.and_then(|report| report.in_use_permille);
            let capacity = report.and_then(|report| report.capacity);
            tracing::info!(
                set, %destination, duid, event = %kind, why = %why, ?latency, ?response, in_use_permille, capacity, "destination"
            );
        }
        Some(None) => tracing::debug!(event = %kind, why = %why, "a destination that is gone"),
        None => tracing::info!(event = %kind, why = %why, "sets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_meets_the_error_of_another_datagram_is_sent_once_more_and_not_for_ever() {
        for (errors, tries, sent) in [(0, 1, true), (1, 2, true), (2, 2, false), (9, 2, false)] {
            let mut tried = 0;
            let result = twice(|| {
                tried += 1;
                if tried <= errors { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(1) }
            });
            assert_eq!((tried, result.is_ok()), (tries, sent), "{errors} errors");
        }
    }
}
