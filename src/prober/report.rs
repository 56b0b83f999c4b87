//! The load that an answer to a probe reports.

use super::schedule::Prober;
use super::settings::Effective;
use crate::dispatcher::{Cause, Event, EventKind, HeaderName, Reason, Report, Table, Why};
use crate::proxy::slab::Id;
use crate::sip::{Message, Status, fields, header_is};
use crate::time::Instant;

impl Prober {
    /// Takes the report out of the final answer of entry `id`, where its set has a header for it and the answer is a good one. What
    /// cannot be read is counted each time, and told when it was not so before.
    pub(super) fn take_report(&mut self, now: Instant, id: Id, table: &Table, answer: &Message<'_>, status: Status) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let destination = table.destination(entry.id);
        let header = destination.and_then(|it| table.set(it.set)?.report.header);
        let (Some(destination), Some(header)) = (destination, header) else { return };
        if !(Effective { settings: &self.settings, spec: &entry.spec }).is_good(status) {
            return;
        }
        let (states, state) = (table.states(), destination.state);
        match report_in(answer, header) {
            None => {}
            Some(Some(report)) => {
                states.report_load(state, report, now);
                entry.misreports = false;
            }
            Some(None) => {
                states.ignore_report(state);
                if !core::mem::replace(&mut entry.misreports, true) {
                    let why = Why::new(Cause::Probe, Reason::Unreadable);
                    let (at, kind) = (now, EventKind::ReportIgnored);
                    states.push_event(Event { at, destination: Some(destination.id), kind, why });
                }
            }
        }
    }
}

/// The report in the header called `name`; `None` without that header, `Some(None)` when it is no report or comes twice.
fn report_in(answer: &Message<'_>, name: HeaderName) -> Option<Option<Report>> {
    let mut named = fields(answer).filter(|field| header_is(answer.text(field.name), name.as_bytes()));
    let first = named.next()?;
    // RFC 3261 §7.3.1: two lines are one list, and no list is a report.
    Some(if named.next().is_some() { None } else { Report::parse(answer.text(first.value)) })
}

#[cfg(test)]
#[path = "tests/report.rs"]
mod tests;
