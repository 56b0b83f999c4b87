//! `events.*`: what has happened.

use super::Method;
use crate::control::events::Page;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::limits;

/// Events that are listed unless told.
const LISTED: usize = 100;

const AFTER: Param = Param::optional("after", Kind::Int);

/// The method that turns a connection into one that brings events; the door of the unix stream socket takes it in hand itself.
pub(in crate::control) const FOLLOW: &Method = &METHODS[1];

pub(super) const METHODS: &[Method] = &[
    Method::look(
        "events.list",
        "What has happened: the events after a number, at most so many of them, or else the last ones.",
        &[AFTER, Param::optional("limit", Kind::Int)],
        list,
    ),
    Method::look(
        "events.follow",
        "From now on this connection brings each event as a notification events.event, first those after a number, if one is given.",
        &[AFTER],
        follow,
    ),
];

fn list(control: &Control, arguments: &Arguments) -> Answer {
    let limit = arguments.int_in(1, "limit", 1..=limits::EVENTS_KEPT as i64)?.map_or(LISTED, |limit| limit as usize);
    let page = match arguments.int_in(0, "after", 0..=i64::MAX)? {
        Some(after) => control.events().page(after as u64, limit),
        None => {
            let last = control.events().page(u64::MAX, 0).last;
            Page { missed: 0, ..control.events().page(last.saturating_sub(limit as u64), limit) }
        }
    };
    Ok(Value::of([
        ("events", Value::Array(page.records.iter().map(|record| record.value()).collect())),
        ("missed", Value::from(page.missed)),
        ("last", Value::from(page.last)),
    ]))
}

/// Behind all doors but one.
fn follow(_: &Control, arguments: &Arguments) -> Answer {
    arguments.int_in(0, "after", 0..=i64::MAX)?;
    let detail = "events are followed with a request of its own over the unix stream socket alone; elsewhere events.list tells what \
                  came after a number";
    Err(Fault::refused(detail, "Not Here"))
}
