//! Which destination is probed when, and what its answers mean.

use super::message::Template;
use super::review::{PACE, Watch};
use super::settings::{Effective, ProbeSettings};
use crate::dispatcher::{
    Admin, Cause, Destination, DestinationId, Event, EventKind, Health, ProbeSpec, Random, Reason,
};
use crate::dispatcher::{SetId, Table, Why};
use crate::limits;
use crate::proxy::branch::Keys;
use crate::proxy::slab::{Id, Slab};
use crate::proxy::timer::{TimerId, Wheel};
use crate::proxy::transaction::non_invite_client::{State, step};
use crate::proxy::transaction::{Actions, ClientEvent};
use crate::proxy::{Listen, Outbox, SocketId, Timers};
use crate::sip::{Status, Via, scan};
use crate::time::Instant;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: DestinationId,
    uri: String,
    address: SocketAddr,
    /// The listen address that it asks for.
    socket: Option<u8>,
    pub(super) spec: ProbeSpec,
    /// The transaction under way.
    probe: Option<Probe>,
    next_at: Instant,
    failures: u32,
    successes: u32,
    /// Whether its first state was told.
    told: bool,
    /// Whether it is not active because of probes.
    blamed: bool,
    /// Whether the last load that it reported could not be read.
    pub(super) misreports: bool,
    timer: Option<TimerId>,
    pub(super) watch: Watch,
}

#[derive(Debug)]
struct Probe {
    state: State,
    branch: Id,
    sent_at: Instant,
    retransmit_at: Instant,
    interval: Duration,
    timeout_at: Instant,
}

/// How a probe ended.
#[derive(Clone, Copy)]
enum Outcome {
    Answered(Status),
    TimedOut,
    Unreachable,
}

impl Outcome {
    const fn reason(self) -> Reason {
        match self {
            Self::Answered(status) => Reason::Answer(status.code()),
            Self::TimedOut => Reason::NoAnswer,
            Self::Unreachable => Reason::Unreachable,
        }
    }
}

/// The schedule of all probes.
#[derive(Debug)]
pub struct Prober {
    pub(super) settings: ProbeSettings,
    template: Template,
    timers: Timers,
    listen: Vec<Listen>,
    keys: Keys,
    random: Random,
    pub(super) entries: Slab<Entry>,
    pub(super) known: HashMap<DestinationId, Id>,
    wheel: Wheel<u32>,
    sequence: u32,
    /// When the evidence of calls is looked at next.
    review_at: Instant,
    /// The sets all of whose destinations are out, and which let calls through all the same.
    pub(super) panicking: HashSet<SetId>,
}

impl Prober {
    /// A prober that knows no destination yet: [`Prober::set_table`] tells it. `seed` as for [`crate::proxy::Proxy::new`].
    #[must_use]
    pub fn new(settings: ProbeSettings, timers: Timers, listen: Vec<Listen>, seed: u64, now: Instant) -> Self {
        let keys = Keys::new(seed);
        let template = Template { user_agent: settings.user_agent.clone() };
        Self {
            template,
            timers,
            listen,
            random: Random::new(keys.hash(b"random")),
            sequence: keys.hash(b"sequence") as u32,
            entries: Slab::with_capacity_max(limits::DESTINATIONS_MAX, 0),
            known: HashMap::new(),
            wheel: Wheel::new(now, limits::DESTINATIONS_MAX),
            review_at: now,
            panicking: HashSet::new(),
            keys,
            settings,
        }
    }

    /// Another table is in force: new destinations get their first probe within an interval, gone ones no more, those that stay keep what
    /// is known of them and are probed as the table now says.
    pub fn set_table(&mut self, now: Instant, table: &Table) {
        let mut seen = HashMap::with_capacity(self.known.len());
        for destination in table.sets().iter().flat_map(|set| &set.destinations) {
            let entry = match self.known.remove(&destination.id) {
                Some(entry) => Some(entry),
                None => self.entries.insert(Entry::new(destination)),
            };
            if let Some(entry) = entry {
                seen.insert(destination.id, entry);
                self.renew(now, entry, destination);
                self.file(entry);
            }
        }
        let gone = core::mem::replace(&mut self.known, seen);
        for entry in gone.into_values() {
            if let Some(timer) = self.entries.remove(entry).and_then(|entry| entry.timer) {
                self.wheel.cancel(timer);
            }
        }
        let (sets, destinations) = (table.sets().len() as u32, self.known.len() as u32);
        let (kind, why) = (EventKind::Published { sets, destinations }, Why::new(Cause::Config, Reason::Said));
        table.states().push_event(Event { at: now, destination: None, kind, why });
    }

    /// Other settings are in force: everything is probed by them from its next probe on, which comes within their interval.
    pub fn set_settings(&mut self, now: Instant, settings: ProbeSettings) {
        self.template = Template { user_agent: settings.user_agent.clone() };
        self.settings = settings;
        for id in self.known.values().copied().collect::<Vec<_>>() {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let pace = Effective { settings: &self.settings, spec: &entry.spec }.pace();
            let spread = Duration::from_nanos(self.random.below(pace.as_nanos() as u64));
            entry.next_at = entry.next_at.min(now + spread);
            self.file(id);
        }
    }

    /// When [`Prober::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let review = (!self.known.is_empty()).then_some(self.review_at);
        self.wheel.next_deadline().into_iter().chain(review).min()
    }

    /// Sends, repeats and gives up what is due by `now`, and judges what calls said. `table` must be that of the last
    /// [`Prober::set_table`].
    pub fn handle_timeout(&mut self, now: Instant, table: &Table, out: &mut Outbox) {
        if self.review_at <= now {
            self.review(now, table);
            self.review_at = now + PACE;
        }
        while !out.is_full() {
            let Some((_, index)) = self.wheel.pop_due(now) else { return };
            let Some(id) = self.entries.id_at(index) else { continue };
            if let Some(entry) = self.entries.get_mut(id) {
                entry.timer = None;
            }
            self.due(now, id, table, out);
            self.file(id);
        }
    }

    /// A response with a probe's branch came to some shard, at `now`.
    pub fn handle_answer(&mut self, now: Instant, table: &Table, bytes: &[u8]) {
        let answer = scan(bytes);
        let Some(status) = answer.status() else { return };
        let event = if status.is_provisional() { ClientEvent::Provisional } else { ClientEvent::Success };
        let Some((id, actions)) = self.probe_event(bytes, event) else { return };
        if actions.has(Actions::STOP_RETRANSMIT) {
            self.take_report(now, id, table, &answer, status);
            self.finished(now, id, table, Outcome::Answered(status));
            self.file(id);
        }
    }

    /// An ICMP error came for `probe`, or for what the error quotes of it (RFC 3261 §18.4): it fails at once.
    pub fn handle_unreachable(&mut self, now: Instant, table: &Table, probe: &[u8]) {
        let Some((id, actions)) = self.probe_event(probe, ClientEvent::TransportError) else { return };
        if actions.has(Actions::FAIL) {
            self.finished(now, id, table, Outcome::Unreachable);
            self.file(id);
        }
    }

    /// The step of the probe that the top Via of `bytes` names, when it is still under way.
    fn probe_event(&mut self, bytes: &[u8], event: ClientEvent) -> Option<(Id, Actions)> {
        let via = Via::parse(bytes, scan(bytes).head.via.value)?;
        let branch = self.keys.probe(via.branch.of(bytes))?;
        let id = self.entries.id_at(branch.index)?;
        let probe = self.entries.get_mut(id)?.probe.as_mut().filter(|probe| probe.branch == branch)?;
        let (state, actions) = step(probe.state, event)?;
        probe.state = state;
        Some((id, actions))
    }

    /// Takes over what the table says of a destination. A probe to an address that it no longer has, or by a socket, decides nothing.
    fn renew(&mut self, now: Instant, id: Id, destination: &Destination) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let socket = asked_socket(destination);
        if entry.address != destination.address || entry.socket != socket {
            (entry.probe, entry.failures, entry.successes) = (None, 0, 0);
            (entry.address, entry.socket) = (destination.address, socket);
        }
        let fresh = entry.next_at == NEVER;
        if fresh || entry.spec != destination.probe {
            entry.spec.clone_from(&destination.probe);
            let pace = Effective { settings: &self.settings, spec: &entry.spec }.pace();
            let spread = Duration::from_nanos(self.random.below(pace.as_nanos() as u64));
            entry.next_at = entry.next_at.min(now + spread);
        }
        if entry.uri != destination.uri {
            entry.uri.clone_from(&destination.uri);
        }
    }

    fn due(&mut self, now: Instant, id: Id, table: &Table, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        match &mut entry.probe {
            None if entry.next_at <= now => self.start(now, id, table, out),
            Some(probe) if probe.timeout_at <= now => self.finished(now, id, table, Outcome::TimedOut),
            Some(probe) if probe.retransmit_at <= now => {
                // RFC 3261 §17.1.2.2: Timer E.
                let Some((state, actions)) = step(probe.state, ClientEvent::Retransmit) else { return };
                probe.state = state;
                let doubled = if actions.has(Actions::SLOW) { self.timers.t2 } else { probe.interval * 2 };
                probe.interval = doubled.min(self.timers.t2);
                probe.retransmit_at = now + probe.interval;
                self.send(id, out);
            }
            _ => {}
        }
    }

    fn start(&mut self, now: Instant, id: Id, table: &Table, out: &mut Outbox) {
        self.sequence = self.sequence.wrapping_add(1);
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(destination) = table.destination(entry.id) else { return };
        let effective = Effective { settings: &self.settings, spec: &entry.spec };
        entry.next_at = now + jittered(effective.pace(), &mut self.random);
        if !self.settings.active {
            return entry.tell_first(now, table);
        }
        let never = effective.never();
        let disabled = table.states().admin(destination.state) == Admin::Disabled;
        if never || disabled || !effective.wanted(destination, table.states()) {
            return entry.leave_alone(now, table, never);
        }
        table.states().ask_report(destination.state);
        entry.probe = Some(Probe {
            state: State::Trying,
            branch: Id { index: id.index, generation: self.sequence },
            sent_at: now,
            retransmit_at: now + self.timers.t1,
            interval: self.timers.t1,
            timeout_at: now + effective.timeout(),
        });
        self.send(id, out);
    }

    fn send(&mut self, id: Id, out: &mut Outbox) {
        let Some(entry) = self.entries.get(id) else { return };
        let Some(probe) = &entry.probe else { return };
        let same_family = |listen: &Listen| listen.address.is_ipv4() == entry.address.is_ipv4();
        let asked = entry.socket.map(usize::from).filter(|asked| self.listen.get(*asked).is_some_and(same_family));
        // A destination that no socket reaches gets no probe out, and fails by time.
        let Some(socket) = asked.or_else(|| self.listen.iter().position(same_family)) else { return };
        let branch = self.keys.probe_branch(probe.branch);
        let sent_by = &self.listen[socket].advertised;
        let effective = Effective { settings: &self.settings, spec: &entry.spec };
        let (method, from) = (effective.method(), effective.from());
        out.push(SocketId(socket as u8), entry.address, |arena| {
            self.template.write(method, &entry.uri, from, sent_by, &branch, arena)
        });
    }

    fn finished(&mut self, now: Instant, id: Id, table: &Table, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(probe) = entry.probe.take() else { return };
        if table.destination(entry.id).is_none() {
            return;
        }
        let (states, state) = (table.states(), entry.id.state());
        let effective = Effective { settings: &self.settings, spec: &entry.spec };
        let good = match outcome {
            Outcome::Answered(status) => {
                let (latency, weight) = (now.saturating_since(probe.sent_at), self.settings.latency_weight_permille);
                states.note_probe_answer(state, latency, status.code(), weight);
                effective.is_good(status)
            }
            Outcome::TimedOut | Outcome::Unreachable => {
                states.note_probe_timeout(state);
                false
            }
        };
        let health = states.health(state);
        (entry.failures, entry.successes) = if good { (0, entry.successes + 1) } else { (entry.failures + 1, 0) };
        let next = match (good, health) {
            (true, Health::Inactive) if entry.successes < effective.up_after() => Health::Inactive,
            (true, _) => Health::Active,
            (false, Health::Inactive) => Health::Inactive,
            (false, _) if entry.failures < effective.down_after() => Health::Trying,
            (false, _) => Health::Inactive,
        };
        entry.blamed = next != Health::Active;
        if good && entry.successes >= effective.up_after() {
            states.answers_again(state, now);
        }
        states.judge(state, next, Why::new(Cause::Probe, outcome.reason()), now);
        entry.tell_first(now, table);
    }

    fn file(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let at = entry.probe.as_ref().map_or(entry.next_at, |probe| probe.timeout_at.min(probe.retransmit_at));
        match entry.timer {
            Some(timer) => self.wheel.rearm(timer, at),
            None => entry.timer = self.wheel.insert(at, id.index),
        }
    }
}

/// When an entry is probed that nobody has given a time yet.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Entry {
    fn new(destination: &Destination) -> Self {
        Self {
            id: destination.id,
            uri: destination.uri.clone(),
            address: destination.address,
            socket: asked_socket(destination),
            spec: destination.probe.clone(),
            probe: None,
            next_at: NEVER,
            failures: 0,
            successes: 0,
            told: false,
            blamed: false,
            misreports: false,
            timer: None,
            watch: Watch::default(),
        }
    }

    /// It is not probed now; when it never is, what probes once said of it holds no longer.
    fn leave_alone(&mut self, now: Instant, table: &Table, never: bool) {
        if never && core::mem::take(&mut self.blamed) {
            let why = Why::new(Cause::Config, Reason::Unprobed);
            table.states().judge(self.id.state(), Health::Active, why, now);
        }
        (self.failures, self.successes) = (0, 0);
        self.tell_first(now, table);
    }

    /// Tells its state, once: when the first probe is over, so that thousands do not all speak at the start.
    fn tell_first(&mut self, now: Instant, table: &Table) {
        if !core::mem::replace(&mut self.told, true) {
            let (states, state) = (table.states(), self.id.state());
            let kind = EventKind::Known(states.health(state), states.admin(state));
            let why = states.last_reason(state);
            states.push_event(Event { at: now, destination: Some(self.id), kind, why });
        }
    }
}

/// Kamailio's order: `ping_socket`, then the socket of calls; the config has put its defaults into both.
fn asked_socket(destination: &Destination) -> Option<u8> {
    destination.probe.socket.or(destination.socket)
}

/// The interval, shifted by up to a tenth either way, so that destinations do not answer all at once.
fn jittered(interval: Duration, random: &mut Random) -> Duration {
    let interval = interval.as_nanos() as u64;
    Duration::from_nanos(interval - interval / 10 + random.below(interval / 5 + 1))
}

#[cfg(test)]
#[path = "tests/schedule.rs"]
mod tests;
