//! Traces of single calls, on demand: what a shard receives and sends of them goes as short lines into a bounded queue.
//!
//! While no trace runs, that costs a message one look at an empty list. A trace names a Call-ID, or an address: then the calls are meant
//! of which a message came from there since, as many as [`limits::TRACE_CALLS`] at a time, and both sides of them are shown. It ends at
//! its time or with its last message, whichever comes first; who reads the lines is beside the shards, and when nobody does in time
//! lines are lost, counted.

use crate::limits;
use crate::proxy::{Datagram, Outbox};
use crate::sip::find_call_id;
use crate::time::Instant;
use core::hash::BuildHasher;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crossbeam::queue::ArrayQueue;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Which calls a trace is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TraceOf {
    /// The one with this Call-ID.
    CallId(Box<[u8]>),
    /// Those of which a message comes from here; from any port of the address when none is given.
    Source(IpAddr, Option<u16>),
}

/// One trace, common to all shards.
#[derive(Debug)]
pub struct Trace {
    /// Its number.
    pub id: u64,
    /// Which calls.
    pub of: TraceOf,
    /// When it ends at the latest.
    pub until: Instant,
    /// Messages that it may still show.
    left: AtomicU64,
    stopped: AtomicBool,
    shown: AtomicU64,
    lost: AtomicU64,
    lines: Arc<TraceLines>,
}

impl Trace {
    /// A trace of `messages` messages at most, whose lines go to `lines`.
    #[must_use]
    pub const fn new(id: u64, of: TraceOf, until: Instant, messages: u64, lines: Arc<TraceLines>) -> Self {
        let (shown, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { id, of, until, left: AtomicU64::new(messages), stopped: AtomicBool::new(false), shown, lost, lines }
    }

    /// Ends it.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it shows nothing any more at `now`.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.left.load(Ordering::Relaxed) == 0 || now >= self.until
    }

    /// Messages shown so far.
    #[must_use]
    pub fn shown(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }

    /// Messages that it may still show.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Messages that were not shown because nobody read the lines in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn show(&self, line: TraceLine) {
        let one_less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return;
        }
        match self.lines.0.push(line) {
            Ok(()) => self.shown.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.lost.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Lines of traces that wait to be written.
#[derive(Debug)]
pub struct TraceLines(ArrayQueue<TraceLine>);

impl Default for TraceLines {
    fn default() -> Self {
        Self(ArrayQueue::new(limits::TRACE_LINES))
    }
}

impl TraceLines {
    /// The next line.
    #[must_use]
    pub fn next(&self) -> Option<TraceLine> {
        self.0.pop()
    }
}

/// How a message begins, without memory of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beginning<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Beginning<N> {
    fn of(text: &[u8]) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        let len = text.len().min(N);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&text[..len]);
        Self { bytes, len: len as u8 }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..usize::from(self.len)]).into_owned()
    }
}

/// One message of a traced call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceLine {
    /// Of which trace.
    pub trace: u64,
    /// Which shard had it.
    pub shard: u32,
    /// When its turn began.
    pub at: Instant,
    /// Whether it came in; else it leaves.
    pub is_received: bool,
    /// Where from, or where to.
    pub address: SocketAddr,
    /// Its bytes in all.
    pub length: usize,
    /// How its Call-ID begins.
    pub call_id: Beginning<64>,
    /// Its first line, or how that begins.
    pub first_line: Beginning<120>,
}

/// The traces that one shard knows of.
#[derive(Debug)]
pub struct Tracer {
    shard: u32,
    traces: Vec<Followed>,
    hashes: std::hash::RandomState,
}

/// A trace, and the calls that it has met by its address.
#[derive(Debug)]
struct Followed {
    trace: Arc<Trace>,
    calls: Vec<u64>,
    /// Which of the calls the next one replaces.
    oldest: usize,
}

impl Tracer {
    pub(super) fn new(shard: u32) -> Self {
        Self { shard, traces: Vec::new(), hashes: std::hash::RandomState::new() }
    }

    /// Whether any trace runs here.
    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        !self.traces.is_empty()
    }

    /// Follows one more trace; those that are over are let go.
    pub fn follow(&mut self, trace: Arc<Trace>, now: Instant) {
        self.traces.retain(|followed| !followed.trace.is_over(now));
        self.traces.push(Followed { trace, calls: Vec::with_capacity(limits::TRACE_CALLS), oldest: 0 });
    }

    /// Shows a message that came in for a call of this shard.
    #[cold]
    pub(super) fn received(&mut self, now: Instant, datagram: Datagram<'_>) {
        self.message(now, datagram.source, datagram.bytes, true);
    }

    /// Shows what leaves.
    #[cold]
    pub(super) fn sent(&mut self, now: Instant, out: &Outbox) {
        out.iter().for_each(|message| self.message(now, message.destination, message.bytes, false));
    }

    fn message(&mut self, now: Instant, address: SocketAddr, bytes: &[u8], is_received: bool) {
        let call_id = find_call_id(bytes).unwrap_or_default();
        let hash = self.hashes.hash_one(call_id);
        let Self { shard, traces, .. } = self;
        traces.retain(|followed| !followed.trace.is_over(now));
        for followed in traces.iter_mut() {
            if followed.is_of(call_id, hash, address, is_received) {
                let first_line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
                followed.trace.show(TraceLine {
                    trace: followed.trace.id,
                    shard: *shard,
                    at: now,
                    is_received,
                    address,
                    length: bytes.len(),
                    call_id: Beginning::of(call_id),
                    first_line: Beginning::of(first_line),
                });
            }
        }
    }
}

impl Followed {
    fn is_of(&mut self, call_id: &[u8], hash: u64, address: SocketAddr, is_received: bool) -> bool {
        match &self.trace.of {
            TraceOf::CallId(wanted) => **wanted == *call_id,
            TraceOf::Source(ip, port) => {
                let is_from = is_received
                    && address.ip().to_canonical() == ip.to_canonical()
                    && port.is_none_or(|port| port == address.port());
                let is_known = self.calls.contains(&hash);
                if is_from && !is_known {
                    self.note(hash);
                }
                is_from || is_known
            }
        }
    }

    fn note(&mut self, hash: u64) {
        if self.calls.len() < limits::TRACE_CALLS {
            self.calls.push(hash);
        } else {
            self.calls[self.oldest] = hash;
            self.oldest = (self.oldest + 1) % limits::TRACE_CALLS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::SocketId;

    const NOW: Instant = Instant::from_nanos(7);
    const LATER: Instant = Instant::from_nanos(70);

    struct World {
        tracer: Tracer,
        lines: Arc<TraceLines>,
    }

    impl World {
        fn new(of: TraceOf, messages: u64) -> (Self, Arc<Trace>) {
            let lines = Arc::new(TraceLines::default());
            let trace = Arc::new(Trace::new(3, of, LATER, messages, Arc::clone(&lines)));
            let mut tracer = Tracer::new(1);
            assert!(!tracer.is_on());
            tracer.follow(Arc::clone(&trace), NOW);
            (Self { tracer, lines }, trace)
        }

        fn receive(&mut self, now: Instant, source: &str, call_id: &str) {
            let text = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n");
            let datagram = Datagram { source: source.parse().unwrap(), socket: SocketId(0), bytes: text.as_bytes() };
            self.tracer.received(now, datagram);
        }

        fn shown(&self) -> Vec<(String, String)> {
            core::iter::from_fn(|| self.lines.next())
                .map(|line| (line.call_id.text(), line.first_line.text()))
                .collect()
        }
    }

    #[test]
    fn a_trace_by_call_id_shows_that_call_and_no_other() {
        let (mut world, trace) = World::new(TraceOf::CallId((*b"one").into()), 9);
        world.receive(NOW, "192.0.2.1:5060", "one");
        world.receive(NOW, "192.0.2.1:5060", "two");
        assert_eq!(world.shown(), [("one".into(), "OPTIONS sip:a SIP/2.0".into())]);
        assert_eq!((trace.shown(), trace.left(), trace.lost()), (1, 8, 0));
    }

    #[test]
    fn a_trace_by_address_shows_both_sides_of_the_calls_that_came_from_there() {
        let (mut world, _) = World::new(TraceOf::Source("192.0.2.1".parse().unwrap(), Some(5060)), 9);
        world.receive(NOW, "192.0.2.9:5060", "one");
        world.receive(NOW, "192.0.2.1:5061", "one");
        assert_eq!(world.shown(), []);
        world.receive(NOW, "192.0.2.1:5060", "one");
        world.receive(NOW, "192.0.2.9:5060", "one");
        world.receive(NOW, "192.0.2.9:5060", "two");
        assert_eq!(world.shown().len(), 2);
    }

    #[test]
    fn of_more_calls_than_are_remembered_the_oldest_is_forgotten() {
        let (mut world, _) = World::new(TraceOf::Source("192.0.2.1".parse().unwrap(), None), 1_000_000);
        for call in 0..=limits::TRACE_CALLS {
            world.receive(NOW, "192.0.2.1:5060", &format!("call-{call}"));
        }
        world.shown();
        world.receive(NOW, "192.0.2.9:5060", "call-0");
        assert_eq!(world.shown(), []);
        world.receive(NOW, "192.0.2.9:5060", "call-1");
        assert_eq!(world.shown().len(), 1);
    }

    #[test]
    fn a_trace_ends_with_its_last_message_at_its_time_and_when_it_is_stopped() {
        let (mut world, trace) = World::new(TraceOf::CallId((*b"one").into()), 2);
        (0..3).for_each(|_| world.receive(NOW, "192.0.2.1:5060", "one"));
        assert_eq!((world.shown().len(), trace.is_over(NOW), world.tracer.is_on()), (2, true, false));
        let (mut world, trace) = World::new(TraceOf::CallId((*b"one").into()), 2);
        world.receive(LATER, "192.0.2.1:5060", "one");
        assert_eq!((world.shown().len(), trace.is_over(LATER), world.tracer.is_on()), (0, true, false));
        let (mut world, trace) = World::new(TraceOf::CallId((*b"one").into()), 2);
        trace.stop();
        world.receive(NOW, "192.0.2.1:5060", "one");
        assert_eq!((world.shown().len(), world.tracer.is_on()), (0, false));
    }

    #[test]
    fn lines_that_nobody_reads_are_lost_and_counted() {
        let (mut world, trace) = World::new(TraceOf::CallId((*b"one").into()), 1 << 20);
        (0..limits::TRACE_LINES + 5).for_each(|_| world.receive(NOW, "192.0.2.1:5060", "one"));
        assert_eq!((trace.shown(), trace.lost()), (limits::TRACE_LINES as u64, 5));
        assert_eq!(world.shown().len(), limits::TRACE_LINES);
    }
}
