//! Traces of single calls: which run, and how their lines come into the log.

use super::Control;
use crate::limits;
use crate::shard::{Trace, TraceLine, TraceLines, clock};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long lines gather before they are written.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);

/// The traces of the process.
#[derive(Debug, Default)]
pub(super) struct Traces {
    known: Mutex<Known>,
    lines: Arc<TraceLines>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Known {
    traces: Vec<Arc<Trace>>,
    /// The number of the last one.
    last: u64,
}

impl Traces {
    /// One more, made by `make` from its number and the queue for its lines; none when there are as many as may be.
    pub(super) fn add(&self, make: impl FnOnce(u64, Arc<TraceLines>) -> Trace) -> Option<Arc<Trace>> {
        let mut known = self.known();
        let now = clock::now();
        // What is over stays to be looked at until another takes its place.
        if known.traces.len() >= limits::TRACES_MAX {
            let over = known.traces.iter().position(|trace| trace.is_over(now))?;
            known.traces.remove(over);
        }
        known.last += 1;
        let trace = Arc::new(make(known.last, Arc::clone(&self.lines)));
        known.traces.push(Arc::clone(&trace));
        self.news.notify_one();
        Some(trace)
    }

    /// All that are known, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Trace>> {
        self.known().traces.clone()
    }

    fn runs(&self) -> bool {
        let now = clock::now();
        self.known().traces.iter().any(|trace| !trace.is_over(now))
    }

    fn write_all(&self) {
        while let Some(line) = self.lines.next() {
            write_line(&line);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the lines of all traces into the log, for as long as the control side runs.
pub(super) async fn write(control: Arc<Control>) {
    let traces = control.traces();
    loop {
        traces.news.notified().await;
        while traces.runs() {
            sleep(WRITE_INTERVAL).await;
            traces.write_all();
        }
        // What the shards wrote while the last one ended.
        sleep(WRITE_INTERVAL).await;
        traces.write_all();
    }
}

fn write_line(line: &TraceLine) {
    let direction = if line.is_received { "in" } else { "out" };
    tracing::info!(
        trace = line.trace,
        direction,
        address = %line.address,
        shard = line.shard,
        at_us = line.at.as_nanos() / 1_000,
        bytes = line.length,
        call_id = line.call_id.text(),
        first_line = line.first_line.text(),
        "traced message"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::TraceOf;
    use crate::time::Instant;

    fn trace(until: Instant) -> impl FnOnce(u64, Arc<TraceLines>) -> Trace {
        move |id, lines| Trace::new(id, TraceOf::CallId((*b"x").into()), until, 1, lines)
    }

    #[test]
    fn there_are_so_many_traces_and_one_that_is_over_makes_room() {
        let (traces, later) = (Traces::default(), clock::now() + Duration::from_secs(600));
        for number in 1..=limits::TRACES_MAX as u64 {
            assert_eq!(traces.add(trace(later)).unwrap().id, number);
        }
        assert!(traces.add(trace(later)).is_none() && traces.runs());
        traces.all()[3].stop();
        assert_eq!(traces.add(trace(later)).unwrap().id, limits::TRACES_MAX as u64 + 1);
        let ids: Vec<_> = traces.all().iter().map(|trace| trace.id).collect();
        assert_eq!((ids.len(), ids.contains(&4)), (limits::TRACES_MAX, false));
    }
}
