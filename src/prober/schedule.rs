//! Which destination is probed when, and what its answers mean.

use super::message::Template;
use crate::dispatcher::{Admin, DestinationId, Health, Random, Table};
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
use std::collections::HashMap;
use std::net::SocketAddr;

/// How destinations are probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeSettings {
    /// From one probe of a destination to the next, each time shifted by up to a tenth; never zero.
    pub interval: Duration,
    /// Longest wait for a final answer: Timer F of a probe.
    pub timeout: Duration,
    /// Method on the wire.
    pub method: String,
    /// From URI.
    pub from: String,
    /// User-Agent; none when empty.
    pub user_agent: String,
    /// Failures in a row that make a destination inactive.
    pub probing_threshold: u32,
    /// Successes in a row that make it active again.
    pub inactive_threshold: u32,
    /// Final codes beyond 2xx that are a success.
    pub reply_codes: Vec<u16>,
}

/// A destination changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its URI.
    pub uri: String,
    /// The set that it belongs to.
    pub set: u32,
    /// What it is now.
    pub health: Health,
    /// The answer that decided; `None`: there was none in time.
    pub code: Option<u16>,
}

#[derive(Debug)]
struct Entry {
    id: DestinationId,
    uri: String,
    set: u32,
    address: SocketAddr,
    /// The transaction under way.
    probe: Option<Probe>,
    next_at: Instant,
    failures: u32,
    successes: u32,
    timer: Option<TimerId>,
}

#[derive(Debug)]
struct Probe {
    state: State,
    branch: Id,
    retransmit_at: Instant,
    interval: Duration,
    timeout_at: Instant,
}

/// The schedule of all probes.
#[derive(Debug)]
pub struct Prober {
    settings: ProbeSettings,
    template: Template,
    timers: Timers,
    listen: Vec<Listen>,
    keys: Keys,
    random: Random,
    entries: Slab<Entry>,
    known: HashMap<DestinationId, Id>,
    wheel: Wheel<u32>,
    sequence: u32,
    changes: Vec<Change>,
}

impl Prober {
    /// A prober that knows no destination yet: [`Prober::set_table`] tells it. `seed` as for [`crate::proxy::Proxy::new`].
    #[must_use]
    pub fn new(settings: ProbeSettings, timers: Timers, listen: Vec<Listen>, seed: u64, now: Instant) -> Self {
        let keys = Keys::new(seed);
        let template = Template {
            method: settings.method.clone(),
            from: settings.from.clone(),
            user_agent: settings.user_agent.clone(),
        };
        Self {
            template,
            timers,
            listen,
            random: Random::new(keys.hash(b"random")),
            sequence: keys.hash(b"sequence") as u32,
            entries: Slab::with_capacity_max(limits::DESTINATIONS_MAX, 0),
            known: HashMap::new(),
            wheel: Wheel::new(now, limits::DESTINATIONS_MAX),
            changes: Vec::new(),
            keys,
            settings,
        }
    }

    /// Another table is in force: new destinations get their first probe within an interval, gone ones no more.
    pub fn set_table(&mut self, now: Instant, table: &Table) {
        let mut seen = HashMap::with_capacity(self.known.len());
        for destination in table.sets().iter().flat_map(|set| &set.destinations) {
            let entry = self.known.remove(&destination.id).or_else(|| {
                let spread = self.random.below(self.settings.interval.as_nanos() as u64);
                self.entries.insert(Entry {
                    id: destination.id,
                    uri: destination.uri.clone(),
                    set: destination.set.0,
                    address: destination.address,
                    probe: None,
                    next_at: now + Duration::from_nanos(spread),
                    failures: 0,
                    successes: 0,
                    timer: None,
                })
            });
            if let Some(entry) = entry {
                seen.insert(destination.id, entry);
                self.file(entry);
            }
        }
        let gone = core::mem::replace(&mut self.known, seen);
        for entry in gone.into_values() {
            if let Some(timer) = self.entries.remove(entry).and_then(|entry| entry.timer) {
                self.wheel.cancel(timer);
            }
        }
    }

    /// When [`Prober::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Sends, repeats and gives up what is due by `now`.
    pub fn handle_timeout(&mut self, now: Instant, table: &Table, out: &mut Outbox) {
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

    /// A response with a probe's branch came to some shard.
    pub fn handle_answer(&mut self, now: Instant, table: &Table, bytes: &[u8]) {
        let Some(status) = scan(bytes).status() else { return };
        let event = if status.is_provisional() { ClientEvent::Provisional } else { ClientEvent::Success };
        let Some((id, actions)) = self.probe_event(bytes, event) else { return };
        if actions.has(Actions::STOP_RETRANSMIT) {
            self.finished(now, id, table, Some(status));
            self.file(id);
        }
    }

    /// An ICMP error came for `probe`, or for what the error quotes of it (RFC 3261 §18.4): it fails at once.
    pub fn handle_unreachable(&mut self, now: Instant, table: &Table, probe: &[u8]) {
        let Some((id, actions)) = self.probe_event(probe, ClientEvent::TransportError) else { return };
        if actions.has(Actions::FAIL) {
            self.finished(now, id, table, None);
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

    /// What has changed since it was last asked.
    pub fn take_changes(&mut self) -> Vec<Change> {
        core::mem::take(&mut self.changes)
    }

    fn due(&mut self, now: Instant, id: Id, table: &Table, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        match &mut entry.probe {
            None if entry.next_at <= now => self.start(now, id, table, out),
            Some(probe) if probe.timeout_at <= now => self.finished(now, id, table, None),
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
        let next_at = now + self.jittered();
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.next_at = next_at;
        if table.states().admin(entry.id.state()) == Admin::Disabled {
            return;
        }
        entry.probe = Some(Probe {
            state: State::Trying,
            branch: Id { index: id.index, generation: self.sequence },
            retransmit_at: now + self.timers.t1,
            interval: self.timers.t1,
            timeout_at: now + self.settings.timeout,
        });
        self.send(id, out);
    }

    /// The interval, shifted by up to a tenth either way, so that destinations do not answer all at once.
    fn jittered(&mut self) -> Duration {
        let interval = self.settings.interval.as_nanos() as u64;
        Duration::from_nanos(interval - interval / 10 + self.random.below(interval / 5 + 1))
    }

    fn send(&mut self, id: Id, out: &mut Outbox) {
        let Some(entry) = self.entries.get(id) else { return };
        let Some(probe) = &entry.probe else { return };
        let same_family = |listen: &Listen| listen.address.is_ipv4() == entry.address.is_ipv4();
        // A destination that no socket reaches gets no probe out, and fails by time.
        let Some(socket) = self.listen.iter().position(same_family) else { return };
        let branch = self.keys.probe_branch(probe.branch);
        let sent_by = &self.listen[socket].advertised;
        out.push(SocketId(socket as u8), entry.address, |arena| {
            self.template.write(&entry.uri, sent_by, &branch, arena)
        });
    }

    fn finished(&mut self, now: Instant, id: Id, table: &Table, status: Option<Status>) {
        let code = status.map(Status::code);
        let good = status.is_some_and(Status::is_success)
            || code.is_some_and(|code| self.settings.reply_codes.contains(&code));
        let (down_after, up_after) = (self.settings.probing_threshold, self.settings.inactive_threshold);
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.probe = None;
        let states = table.states();
        let health = states.health(entry.id.state());
        (entry.failures, entry.successes) = if good { (0, entry.successes + 1) } else { (entry.failures + 1, 0) };
        let next = match (good, health) {
            (true, Health::Inactive) if entry.successes < up_after => Health::Inactive,
            (true, _) => Health::Active,
            (false, Health::Inactive) => Health::Inactive,
            (false, _) if entry.failures < down_after => Health::Trying,
            (false, _) => Health::Inactive,
        };
        if next != health && table.destination(entry.id).is_some() {
            states.set_health(entry.id.state(), next, now);
            self.changes.push(Change { uri: entry.uri.clone(), set: entry.set, health: next, code });
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{Algorithm, DestinationSpec, Exhausted, FailoverCodes, SetId, SetSpec};
    use crate::proxy::Transport;

    fn table() -> Table {
        let destination = |address: &str| DestinationSpec {
            duid: String::new(),
            uri: format!("sip:{address}"),
            address: address.parse().unwrap(),
            weight: 1,
            priority: 0,
            disabled: false,
        };
        let set = SetSpec {
            id: SetId(1),
            name: String::new(),
            algorithm: Algorithm::RoundRobin,
            destinations: vec![destination("203.0.113.1:5060")],
            failover_codes: FailoverCodes::standard(),
            failover_limit: 2,
            answer_timeout: Duration::from_secs(2),
            exhausted: Exhausted::BestResponse,
            retry_after_s: 0,
        };
        Table::build(vec![set], None).unwrap()
    }

    struct World {
        prober: Prober,
        table: Table,
        now: Instant,
        out: Outbox,
        answer: Option<&'static str>,
        probes: u32,
        unreachable: bool,
    }

    impl World {
        fn new() -> Self {
            let settings = ProbeSettings {
                interval: Duration::from_secs(1),
                timeout: Duration::from_millis(800),
                method: "OPTIONS".into(),
                from: "sip:p@h".into(),
                user_agent: String::new(),
                probing_threshold: 2,
                inactive_threshold: 2,
                reply_codes: vec![404],
            };
            let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
            let listen = Listen { transport: Transport::Udp, address, advertised: address.to_string() };
            let (table, now) = (table(), Instant::from_nanos(1));
            let mut prober = Prober::new(settings, Timers::default(), vec![listen], 3, now);
            prober.set_table(now, &table);
            Self { prober, table, now, out: Outbox::new(), answer: None, probes: 0, unreachable: false }
        }

        fn run(&mut self, time: Duration) -> Vec<Health> {
            let end = self.now + time;
            while let Some(due) = self.prober.poll_timeout().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                self.prober.handle_timeout(self.now, &self.table, &mut self.out);
                let sent: Vec<_> =
                    self.out.iter().map(|transmit| String::from_utf8_lossy(transmit.bytes).into_owned()).collect();
                self.out.clear();
                self.probes += sent.len() as u32;
                for request in sent.iter().filter(|_| self.unreachable) {
                    self.prober.handle_unreachable(
                        self.now,
                        &self.table,
                        &request.as_bytes()[..request.len().min(200)],
                    );
                }
                for request in sent.iter().filter(|_| self.answer.is_some()) {
                    let line = request.lines().next().unwrap();
                    let answer = request.replacen(line, &format!("SIP/2.0 {}", self.answer.unwrap()), 1);
                    self.prober.handle_answer(self.now, &self.table, answer.as_bytes());
                }
            }
            self.now = end;
            self.prober.take_changes().into_iter().map(|change| change.health).collect()
        }
    }

    #[test]
    fn a_silent_destination_becomes_trying_then_inactive_and_comes_back_after_two_answers() {
        let mut world = World::new();
        assert_eq!(world.run(Duration::from_secs(5)), [Health::Trying, Health::Inactive]);
        // RFC 3261 §17.1.2.2: each of about five probes is repeated once, after T1.
        assert!((8..=12).contains(&world.probes), "{}", world.probes);
        world.answer = Some("200 OK");
        assert_eq!(world.run(Duration::from_secs(5)), [Health::Active]);
        world.answer = Some("503 No");
        assert_eq!(world.run(Duration::from_secs(5)), [Health::Trying, Health::Inactive]);
        world.answer = Some("404 Not Found");
        assert_eq!(world.run(Duration::from_secs(5)), [Health::Active], "a configured code is as good as a 2xx");
    }

    #[test]
    fn an_unreachable_destination_is_found_without_waiting() {
        // RFC 3261 §18.4
        let mut world = World::new();
        world.unreachable = true;
        assert_eq!(world.run(Duration::from_secs(5)), [Health::Trying, Health::Inactive]);
        assert!((4..=6).contains(&world.probes), "no probe is repeated: {}", world.probes);
    }

    #[test]
    fn a_disabled_destination_is_not_probed_and_one_that_went_away_neither() {
        let mut world = World::new();
        let state = world.table.sets()[0].destinations[0].state;
        world.table.states().set_admin(state, Admin::Disabled, world.now);
        world.run(Duration::from_secs(5));
        assert_eq!(world.probes, 0);
        world.table.states().set_admin(state, Admin::Enabled, world.now);
        world.run(Duration::from_secs(2));
        assert!(world.probes > 0);
        world.prober.set_table(world.now, &Table::build(vec![], Some(&world.table)).unwrap());
        assert_eq!(world.prober.poll_timeout(), None);
    }
}
