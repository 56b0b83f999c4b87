//! A bounded ring of messages with buffers that are used again and again: any number of writers, one reader.
//!
//! Invariants, which `tests/shared_models.rs` proves: `made` buffers exist, each is in the ring, in the pool, or in the hands of exactly
//! one caller of [`Tray::post`] or [`Tray::drain`]; `made` never exceeds the ring's capacity, so a buffer that was got always finds
//! room. As many buffers are made as were under way at the same time, so the ones in use stay warm, and in the steady state nothing is
//! allocated.

use crate::sync::{ArrayQueue, AtomicUsize, Ordering};

/// What a new buffer holds; nearly every SIP message over UDP does (RFC 3261 §18.1.1: 1,300 bytes).
const BUFFER_BYTES: usize = 2048;
/// A buffer that grew beyond this is given back to the allocator, so that a few giants do not stay for ever.
const BUFFER_BYTES_KEPT: usize = 8192;

/// Messages that wait.
#[derive(Debug)]
pub(super) struct Tray<T> {
    pub(super) ring: ArrayQueue<(T, Vec<u8>)>,
    pub(super) pool: ArrayQueue<Vec<u8>>,
    pub(super) made: AtomicUsize,
}

impl<T: Copy> Tray<T> {
    pub(super) fn new(messages: usize) -> Self {
        Self { ring: ArrayQueue::new(messages), pool: ArrayQueue::new(messages), made: AtomicUsize::new(0) }
    }

    /// Copies a message in; `false` when there is no room.
    #[must_use]
    pub(super) fn post(&self, note: T, bytes: &[u8]) -> bool {
        let Some(mut buffer) = self.pool.pop().or_else(|| self.make()) else { return false };
        buffer.extend_from_slice(bytes);
        match self.ring.push((note, buffer)) {
            Ok(()) => true,
            Err((_, buffer)) => {
                self.give_back(buffer);
                false
            }
        }
    }

    /// Shows the reader up to `messages_max` messages in order; how many there were.
    pub(super) fn drain(&self, messages_max: usize, mut read: impl FnMut(T, &[u8])) -> usize {
        for count in 0..messages_max {
            let Some((note, buffer)) = self.ring.pop() else { return count };
            read(note, &buffer);
            self.give_back(buffer);
        }
        messages_max
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    fn make(&self) -> Option<Vec<u8>> {
        let one_more = |made| (made < self.ring.capacity()).then_some(made + 1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Vec::with_capacity(BUFFER_BYTES))
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() > BUFFER_BYTES_KEPT {
            buffer = Vec::new();
        }
        // As many places as buffers: there is room. Were there none, the buffer is one that no longer exists.
        if self.pool.push(buffer).is_err() {
            self.made.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
