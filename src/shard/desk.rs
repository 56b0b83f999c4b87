//! Where questions to one shard wait, with a flag that spares the shard a look at the queue.
//!
//! Invariant, which `tests/shared_models.rs` proves: while the flag is down and nobody is in [`Desk::put`] or [`Desk::next`], nothing
//! waits.

use crate::sync::{ArrayQueue, AtomicBool, Ordering};
use core::fmt;
use crossbeam::utils::CachePadded;

/// Questions of the type `Q`.
pub(super) struct Desk<Q> {
    /// Whether there may be one; the shard looks at nothing else while it is false.
    is_asked: CachePadded<AtomicBool>,
    questions: ArrayQueue<Q>,
}

impl<Q> Desk<Q> {
    /// Room for so many questions.
    pub(super) fn new(room: usize) -> Self {
        Self { is_asked: CachePadded::new(AtomicBool::new(false)), questions: ArrayQueue::new(room) }
    }

    /// Whether a question may be there. A ringer's bell wakes who has looked too early.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Takes the next question.
    #[cold]
    pub(super) fn next(&self) -> Option<Q> {
        self.is_asked.swap(false, Ordering::AcqRel);
        let question = self.questions.pop();
        if !self.questions.is_empty() {
            self.is_asked.store(true, Ordering::Release);
        }
        question
    }

    /// Puts a question there; `false` when there is no room. The shard is to be woken then, whatever became of it.
    pub(super) fn put(&self, question: Q) -> bool {
        let has_room = self.questions.push(question).is_ok();
        // Also when it was refused: those before it are to be answered.
        self.is_asked.store(true, Ordering::Release);
        has_room
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        while self.questions.pop().is_some() {}
    }
}

impl<Q> fmt::Debug for Desk<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("waiting", &self.questions.len()).finish_non_exhaustive()
    }
}
