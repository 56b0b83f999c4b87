//! What is known of each destination from outside of the dispatcher: what operators, probes and reports said, and what was sent there.

use crate::check_overload::Overloaded;
use crate::checks::{Verdict, ensure};
use core::time::Duration;
use siplane::dispatcher::{Admin, Destination, DestinationId, Health, StateIndex, States, Table};
use siplane::time::Instant;
use std::collections::HashMap;

/// One destination from one publish to the one that leaves it out.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) admin: Admin,
    /// Whether the last table disables it.
    disabled: bool,
    pub(crate) health: Health,
    pub(crate) ejected_until: Option<Instant>,
    /// When it last came back; none: it was never away.
    since: Option<Instant>,
    /// The last reported capacity, and when it was reported.
    pub(crate) capacity: Option<(Instant, u32)>,
    /// When it got its new calls.
    calls: Vec<Instant>,
    pub(crate) overload: Overloaded,
}

impl Entry {
    fn new(destination: &Destination) -> Self {
        Self {
            admin: Admin::Enabled,
            disabled: false,
            health: if destination.inactive { Health::Inactive } else { Health::Active },
            ejected_until: None,
            since: None,
            capacity: None,
            calls: Vec::new(),
            overload: Overloaded::default(),
        }
    }

    /// Whether it may get new requests: evidence and operator both have to allow it.
    fn is_open(&self) -> bool {
        self.admin == Admin::Enabled && self.health != Health::Inactive && self.ejected_until.is_none()
    }

    /// The calls that it may have at `now`.
    fn calls_max(&self, destination: &Destination, report_age: Option<Duration>, now: Instant) -> Option<f64> {
        let fresh = |(at, _): &(Instant, u32)| report_age.is_some_and(|age| now.saturating_since(*at) <= age);
        let reported = self.capacity.filter(fresh).map(|(_, capacity)| capacity);
        let maxload = Some(destination.maxload).filter(|maxload| *maxload > 0);
        let whole = maxload.into_iter().chain(reported).min()?;
        let elapsed = self.since.map(|since| now.saturating_since(since));
        let slow = elapsed.filter(|elapsed| *elapsed < destination.slow_start);
        let part = slow.map_or(1.0, |elapsed| 0.1 + 0.9 * elapsed.div_duration_f64(destination.slow_start));
        Some((f64::from(whole) * part).ceil())
    }
}

/// How often what is judged here came up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Requests that were kept from a destination in overload.
    pub(crate) shed: u64,
    /// Calls that took the last place of a destination.
    pub(crate) last_places: u64,
    /// Requests that left by a destination's own socket, which they had not come in on.
    pub(crate) own_sockets: u64,
    /// Calls at destinations that a table left out.
    pub(crate) orphans: u64,
    /// Requests whose first destination was foretold.
    pub(crate) foretold: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.shed += other.shed;
        self.last_places += other.last_places;
        self.own_sockets += other.own_sockets;
        self.orphans += other.orphans;
        self.foretold += other.foretold;
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<DestinationId, Entry>,
    /// Whose load each slot is, by number of the destination: that of the last one that got the slot.
    pub(crate) hosts: HashMap<StateIndex, usize>,
    /// Destinations that report overload, by number.
    pub(crate) reporting: Vec<bool>,
    pub(crate) counts: Counts,
    /// Requests that may have been counted as sent, or as kept away, and had no room here.
    pub(crate) lapses: u64,
}

/// The number of a destination, which is in its duid.
pub(crate) fn host_of(destination: &Destination) -> usize {
    destination.duid[1..].parse().expect("a number behind the d")
}

impl Ledger {
    /// The process has died, with all that it knew.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.hosts.clear();
    }

    /// A table is published.
    pub(crate) fn publish(&mut self, table: &Table, now: Instant) {
        for destination in table.sets().iter().flat_map(|set| &set.destinations) {
            let entry = self.entries.entry(destination.id).or_insert_with(|| Entry::new(destination));
            if destination.disabled != entry.disabled {
                // The config has the newer word than the operator.
                entry.disabled = destination.disabled;
                let admin = if destination.disabled { Admin::Disabled } else { Admin::Enabled };
                self.change(destination.id, now, |entry| entry.admin = admin);
            }
            self.hosts.insert(destination.state, host_of(destination));
        }
        let load = |destination: &Destination| table.states().load(destination.state);
        let held: u64 = table.sets().iter().flat_map(|set| &set.destinations).map(load).sum();
        self.counts.orphans += table.states().total_load() - held;
    }

    pub(crate) fn get_mut(&mut self, id: DestinationId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    /// Something is said about a destination.
    pub(crate) fn change(&mut self, id: DestinationId, now: Instant, to: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let was_open = entry.is_open();
        to(entry);
        if entry.is_open() && !was_open {
            entry.since = Some(now);
        }
    }

    /// Whether something but its standing may keep a new request from the destination.
    pub(crate) fn is_limited(&self, table: &Table, destination: &Destination) -> bool {
        let reported = || table.set(destination.set).is_some_and(|set| set.report.bounds);
        let sheds = || {
            let reports = self.reporting.get(host_of(destination)).is_some_and(|reports| *reports);
            destination.overload_control && (reports || destination.overload.ocrate > 0)
        };
        destination.maxload > 0 || destination.calls_per_second_max > 0 || reported() || sheds()
    }

    /// Whether the destination is back for less than its slow start.
    pub(crate) fn starts_slowly(&self, destination: &Destination, now: Instant) -> bool {
        let since = self.entries.get(&destination.id).and_then(|entry| entry.since);
        since.is_some_and(|since| now.saturating_since(since) < destination.slow_start)
    }

    /// A new request went to the destination.
    pub(crate) fn placed(&mut self, now: Instant, table: &Table, destination: &Destination, is_call: bool) -> Verdict {
        let entry = self.entries.get_mut(&destination.id).ok_or("a destination that was never published")?;
        let uri = &destination.uri;
        ensure(entry.is_open(), || {
            format!("{uri} is {:?}, {:?}, {:?}", entry.admin, entry.health, entry.ejected_until)
        })?;
        entry.overload.placed += 1;
        if !is_call {
            return Ok(());
        }
        let report = table.set(destination.set).map(|set| set.report).filter(|report| report.bounds);
        if let Some(most) = entry.calls_max(destination, report.map(|report| report.max_age), now) {
            let load = table.states().load(destination.state);
            ensure(load as f64 <= most, || format!("{uri} has {load} calls, of which it may have {most}"))?;
            self.counts.last_places += u64::from(load as f64 == most);
        }
        entry.calls.push(now);
        let second = entry.calls.iter().filter(|at| now.saturating_since(**at) < Duration::from_secs(1)).count();
        let most = destination.calls_per_second_max as usize;
        ensure(most == 0 || second <= most, || format!("{uri} got {second} calls in a second, not {most}"))
    }

    /// After every step: the dispatcher's view of every destination is that of this ledger.
    pub(crate) fn observe(&mut self, now: Instant, table: &Table) -> Verdict {
        let states: &States = table.states();
        for destination in table.sets().iter().flat_map(|set| &set.destinations) {
            let Some(entry) = self.entries.get_mut(&destination.id) else { continue };
            let (is, open) = (states.is_available(destination.state), entry.is_open());
            ensure(is == open, || format!("{} is available: {is}, not {open}", destination.uri))?;
            if destination.overload_control {
                let seen = states.overload(destination.state, now);
                self.counts.shed += entry.overload.shed_since(&seen);
                entry
                    .overload
                    .observe(now, destination.overload, &seen, self.lapses)
                    .map_err(|why| format!("{}: {why}", destination.uri))?;
            }
        }
        Ok(())
    }
}
