//! A prober in a world with a clock of its own: destinations that answer, or not, as the test says.

use super::schedule::Prober;
use super::settings::{ProbePolicy, ProbeSettings};
use crate::dispatcher::{
    Algorithm, DestinationSpec, Event, EventKind, Health, PassiveSpec, SetId, SetSpec, StateIndex, States, Table,
};
use crate::proxy::{Listen, Outbox, Timers, Transport};
use crate::time::Instant;
use core::time::Duration;
use std::net::SocketAddr;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Probes every second, given up after 800 ms; two failures are too many, two answers enough.
pub(super) fn settings(policy: ProbePolicy) -> ProbeSettings {
    ProbeSettings {
        active: true,
        policy,
        interval: SECOND,
        timeout: Duration::from_millis(800),
        method: "OPTIONS".into(),
        from: "sip:p@h".into(),
        user_agent: String::new(),
        probing_threshold: 2,
        inactive_threshold: 2,
        reply_codes: vec![404],
        latency_weight_permille: 100,
    }
}

/// Destination number `number`, which is at 203.0.113.`number`.
pub(super) fn destination(number: u8) -> DestinationSpec {
    let address = SocketAddr::from(([203, 0, 113, number], 5060));
    DestinationSpec::new(format!("sip:{address}"), address)
}

/// A table of one set with these destinations.
pub(super) fn table(destinations: Vec<DestinationSpec>, passive: PassiveSpec, previous: Option<&Table>) -> Table {
    let set = SetSpec { passive, ..SetSpec::new(SetId(1), Algorithm::RoundRobin, destinations) };
    Table::build(vec![set], previous.map(|table| (table, Instant::from_nanos(1)))).unwrap()
}

pub(super) struct World {
    pub(super) prober: Prober,
    pub(super) table: Table,
    pub(super) now: Instant,
    pub(super) answer: Option<&'static str>,
    /// How long an answer takes.
    pub(super) delay: Duration,
    pub(super) unreachable: bool,
    /// When each probe was sent, retransmissions included, and what it was.
    pub(super) probes: Vec<(Instant, SocketAddr, String)>,
    /// Everything that happened.
    pub(super) events: Vec<Event>,
    out: Outbox,
    late: Vec<(Instant, String)>,
}

impl World {
    pub(super) fn new(settings: ProbeSettings, table: Table) -> Self {
        let listen = [5060, 5070].map(|port| {
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            Listen { transport: Transport::Udp, address, name: String::new(), advertised: address.to_string() }
        });
        let now = Instant::from_nanos(1);
        let mut prober = Prober::new(settings, Timers::default(), listen.to_vec(), 3, now);
        prober.set_table(now, &table);
        Self {
            prober,
            table,
            now,
            answer: None,
            delay: Duration::ZERO,
            unreachable: false,
            probes: Vec::new(),
            events: Vec::new(),
            out: Outbox::new(),
            late: Vec::new(),
        }
    }

    pub(super) fn states(&self) -> &States {
        self.table.states()
    }

    /// The state of the destination at this place in the set.
    pub(super) fn state(&self, place: usize) -> StateIndex {
        self.table.sets()[0].destinations[place].state
    }

    pub(super) fn publish(&mut self, table: Table) {
        self.prober.set_table(self.now, &table);
        self.table = table;
    }

    /// Lets `time` pass; what happened.
    pub(super) fn run(&mut self, time: Duration) -> Vec<EventKind> {
        let end = self.now + time;
        loop {
            let late = self.late.iter().map(|(at, _)| *at).min();
            let due = self.prober.poll_timeout().into_iter().chain(late).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.prober.handle_timeout(self.now, &self.table, &mut self.out);
            self.take_sent();
            self.answer_late();
        }
        self.now = end;
        let before = self.events.len();
        self.events.extend(core::iter::from_fn(|| self.table.states().next_event()));
        self.events[before..].iter().map(|event| event.kind).collect()
    }

    /// The same; only what became of health.
    pub(super) fn healths(&mut self, time: Duration) -> Vec<Health> {
        let health = |kind| match kind {
            EventKind::Up => Some(Health::Active),
            EventKind::Trying => Some(Health::Trying),
            EventKind::Down => Some(Health::Inactive),
            _ => None,
        };
        self.run(time).into_iter().filter_map(health).collect()
    }

    fn take_sent(&mut self) {
        for transmit in self.out.iter() {
            let request = String::from_utf8_lossy(transmit.bytes).into_owned();
            if self.unreachable {
                let quoted = &transmit.bytes[..transmit.bytes.len().min(200)];
                self.prober.handle_unreachable(self.now, &self.table, quoted);
            }
            if let Some(answer) = self.answer {
                let line = request.lines().next().unwrap();
                self.late.push((self.now + self.delay, request.replacen(line, &format!("SIP/2.0 {answer}"), 1)));
            }
            self.probes.push((self.now, transmit.destination, request));
        }
        self.out.clear();
    }

    fn answer_late(&mut self) {
        let now = self.now;
        let (due, late) = core::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = late;
        for (_, answer) in due {
            self.prober.handle_answer(now, &self.table, answer.as_bytes());
        }
    }
}
