//! What calls said becomes ejection, hold-off, return and panic; and draining is found to be done.
//!
//! Every [`PACE`] each destination is looked at once: a few loads where nothing happened. Nothing here depends on probes: it goes on where
//! none are sent.

use super::schedule::Prober;
use crate::dispatcher::{
    Admin, Cause, Destination, DestinationId, Event, EventKind, Evidence, PanicRule, PassiveSpec, Reason, Set, States,
    Table, Why,
};
use crate::time::Instant;
use core::time::Duration;

/// From one look at the evidence to the next: how late an ejection, a return, or the end of draining may come.
pub(super) const PACE: Duration = Duration::from_millis(250);

/// Looks in a row that must find no load on a draining destination: a request may have chosen it just before, and takes its token now.
const DRAINED_AFTER: u8 = 2;

/// What the review remembers of one destination.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// When the window of 5xx began, with the answers and faults up to then.
    window: (Instant, u64, u64),
    /// Live response times at the last look.
    responses: u64,
    /// Looks in a row at it draining and without load.
    empty: u8,
}

impl Prober {
    /// Judges what calls said of every destination of `table`.
    pub(super) fn review(&mut self, now: Instant, table: &Table) {
        let states = table.states();
        states.publish_congestion();
        for set in table.sets() {
            for destination in &set.destinations {
                self.settle(now, set, destination, states);
            }
            let mut out = count(set, |destination| is_enabled(states, destination) && states.is_out(destination.state));
            let enabled = count(set, |destination| is_enabled(states, destination));
            for destination in set.destinations.iter().filter(|destination| is_enabled(states, destination)) {
                let Some(reason) = self.fault_of(now, destination, &set.passive, states) else { continue };
                if (out + 1) * 100 <= enabled * usize::from(set.passive.out_percent_max) {
                    out += 1;
                    let times = states.outage(destination.state).ejections + 1;
                    let time = set.passive.ejection_base.saturating_mul(times).min(set.passive.ejection_max);
                    states.eject(destination.state, now + time, reason, now);
                }
            }
            self.panic(now, set, states, enabled > 0 && out == enabled);
        }
        self.panicking.retain(|id| table.set(*id).is_some());
    }

    /// What time and the destination itself bring about.
    fn settle(&mut self, now: Instant, set: &Set, destination: &Destination, states: &States) {
        let (state, passive) = (destination.state, &set.passive);
        states.readmit(state, now);
        if let Some(wish) = states.take_hold_off(state) {
            // RFC 3261 §20.33, within the bound that the configuration sets to the wishes of others.
            let until = wish.min(now + passive.hold_off_max);
            if until > now {
                states.hold(state, until, now);
            }
        }
        let outage = states.outage(state);
        let in_for = now.saturating_since(outage.last_ejected_until);
        if outage.ejections > 0 && outage.ejected_until.is_none() && in_for >= passive.ejection_max {
            states.forget_ejections(state);
        }
        let Some(watch) = self.watch(destination.id) else { return };
        let responses = states.responses(state);
        if core::mem::replace(&mut watch.responses, responses) == responses {
            states.fade_response_time(state, PACE);
        }
        let empty = states.admin(state) == Admin::Draining && states.load(state) == 0;
        watch.empty = if empty { watch.empty.saturating_add(1).min(DRAINED_AFTER + 1) } else { 0 };
        if watch.empty == DRAINED_AFTER {
            let why = Why::new(Cause::Operator, Reason::NoLoad);
            states.push_event(Event { at: now, destination: Some(destination.id), kind: EventKind::Drained, why });
        }
    }

    /// Why evidence speaks for ejection now, if it does.
    fn fault_of(
        &mut self,
        now: Instant,
        destination: &Destination,
        passive: &PassiveSpec,
        states: &States,
    ) -> Option<Reason> {
        let evidence = states.evidence(destination.state);
        let watch = self.watch(destination.id)?;
        let percent = watch.faults_percent(now, evidence, passive);
        if states.is_out(destination.state) {
            states.forget_failures(destination.state);
            return None;
        }
        let reached = |count: u32, limit: u32| limit > 0 && count >= limit;
        let reason = if reached(evidence.timeouts_in_row, passive.timeouts_in_row) {
            Reason::Timeouts(evidence.timeouts_in_row)
        } else if reached(evidence.unreachables_in_row, passive.unreachables_in_row) {
            Reason::Unreachables(evidence.unreachables_in_row)
        } else {
            Reason::FaultsPercent(percent.filter(|percent| reached(*percent, passive.faults_percent.into()))?)
        };
        Some(reason)
    }

    fn panic(&mut self, now: Instant, set: &Set, states: &States, all_out: bool) {
        let panic = all_out && set.passive.panic == PanicRule::Everybody;
        set.destinations.iter().for_each(|destination| states.set_panic(destination.state, panic));
        let news = if panic { self.panicking.insert(set.id) } else { self.panicking.remove(&set.id) };
        if news {
            let kind = if panic { EventKind::PanicBegan(set.id) } else { EventKind::PanicEnded(set.id) };
            let why = Why::new(Cause::Evidence, Reason::SetOut);
            states.push_event(Event { at: now, destination: None, kind, why });
        }
    }

    fn watch(&mut self, id: DestinationId) -> Option<&mut Watch> {
        let entry = *self.known.get(&id)?;
        self.entries.get_mut(entry).map(|entry| &mut entry.watch)
    }
}

impl Watch {
    /// The share of faults in the window so far; none while there are too few answers.
    fn faults_percent(&mut self, now: Instant, evidence: Evidence, passive: &PassiveSpec) -> Option<u32> {
        let (since, answers, faults) = self.window;
        let (answers, faults) = (evidence.total().saturating_sub(answers), evidence.faults.saturating_sub(faults));
        let enough = answers > 0 && answers >= u64::from(passive.faults_answers_min);
        if now.saturating_since(since) >= passive.faults_window {
            self.window = (now, evidence.total(), evidence.faults);
        }
        enough.then(|| (faults * 100 / answers) as u32)
    }
}

fn is_enabled(states: &States, destination: &Destination) -> bool {
    states.admin(destination.state) == Admin::Enabled
}

fn count(set: &Set, which: impl Fn(&Destination) -> bool) -> usize {
    set.destinations.iter().filter(|destination| which(destination)).count()
}

#[cfg(test)]
#[path = "tests/review.rs"]
mod tests;
