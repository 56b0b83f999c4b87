//! Questions to a running shard, from beside it: a bounded queue for each, of which a turn answers one.
//!
//! Nobody on the data path waits for anybody here: a shard looks once per turn whether it is asked, which is one load of a flag of its
//! own while it is not, and a question is a closure that looks at a bounded part of what the shard has and carries its answer away by a
//! channel of its own. Whoever wants more asks again, from where the last answer ended. A full queue refuses: the asker says so.

use super::bell::Bell;
use super::handoff::Inbox;
use super::trace::Tracer;
use crate::limits;
use crate::proxy::Proxy;
use crate::time::Instant;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use std::sync::Arc;

/// What a question may look at. It is answered within a turn of the shard: it must not block, and visits at most
/// [`limits::INQUIRY_SLOTS`] slots of one table.
#[derive(Debug)]
pub struct Asked<'a> {
    /// When the turn began.
    pub now: Instant,
    /// The call path.
    pub proxy: &'a Proxy,
    /// The traces that run.
    pub tracer: &'a mut Tracer,
}

/// One question with the way back of its answer.
type Question = Box<dyn FnOnce(&mut Asked<'_>) + Send>;

/// As many questions wait for the shard as may: [`limits::INQUIRIES_WAITING`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy {
    /// Which shard.
    pub shard: u32,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} is busy: {} questions wait for it already", self.shard, limits::INQUIRIES_WAITING)
    }
}

/// Where questions to one shard wait.
pub(super) struct Desk {
    /// Whether there may be one; the shard looks at nothing else while it is false.
    is_asked: CachePadded<AtomicBool>,
    questions: ArrayQueue<Question>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let questions = ArrayQueue::new(limits::INQUIRIES_WAITING);
        Self { is_asked: CachePadded::new(AtomicBool::new(false)), questions }
    }

    /// Whether a question may be there. A ringer's bell wakes who has looked too early.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Takes the next question.
    #[cold]
    pub(super) fn next(&self) -> Option<Question> {
        self.is_asked.swap(false, Ordering::AcqRel);
        let question = self.questions.pop();
        if !self.questions.is_empty() {
            self.is_asked.store(true, Ordering::Release);
        }
        question
    }

    fn put(&self, question: Question, bell: &Bell) -> bool {
        let has_room = self.questions.push(question).is_ok();
        // Also when it was refused: those before it are to be answered.
        self.is_asked.store(true, Ordering::Release);
        bell.ring();
        has_room
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("waiting", &self.questions.len()).finish_non_exhaustive()
    }
}

/// The way to ask the shards of a process.
#[derive(Clone, Debug)]
pub struct Inquiries {
    desks: Arc<[Desk]>,
    /// Their bells wake the shards.
    inboxes: Arc<[Inbox]>,
}

impl Inquiries {
    pub(super) fn new(inboxes: Arc<[Inbox]>) -> Self {
        Self { desks: inboxes.iter().map(|_| Desk::new()).collect(), inboxes }
    }

    /// No shards at all.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self::new(Arc::default())
    }

    /// Shards that never answer.
    #[cfg(test)]
    pub(crate) fn unanswered(shards: usize) -> Self {
        Self::new(super::handoff::inboxes(&vec![0; shards]).unwrap())
    }

    pub(super) fn desk(&self, shard: u32) -> &Desk {
        &self.desks[shard as usize]
    }

    /// Shards that may be asked, numbered from 0.
    #[must_use]
    pub fn shards(&self) -> u32 {
        // At most limits::SHARDS_MAX.
        self.desks.len() as u32
    }

    /// Has `shard` answer `question` in one of its next turns, and wakes it if it sleeps. A shard that has ended drops the question.
    ///
    /// # Errors
    /// [`Busy`], and the question is dropped, when as many wait already as may, or there is no such shard.
    pub fn ask(&self, shard: u32, question: impl FnOnce(&mut Asked<'_>) + Send + 'static) -> Result<(), Busy> {
        let busy = Busy { shard };
        let (desk, inbox) = self.desks.get(shard as usize).zip(self.inboxes.get(shard as usize)).ok_or(busy)?;
        if desk.put(Box::new(question), inbox.bell()) { Ok(()) } else { Err(busy) }
    }

    /// Drops what waits for a shard that has ended: whoever asked hears that there is no answer.
    pub(super) fn close(&self, shard: u32) {
        while self.desk(shard).questions.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::handoff::inboxes;

    #[test]
    fn a_full_desk_refuses_and_has_room_again_for_each_answer() {
        let inquiries = Inquiries::new(inboxes(&[0]).unwrap());
        for _ in 0..limits::INQUIRIES_WAITING {
            assert_eq!(inquiries.ask(0, |_| {}), Ok(()));
        }
        assert_eq!(inquiries.ask(0, |_| {}), Err(Busy { shard: 0 }));
        assert!(inquiries.desk(0).next().is_some());
        assert_eq!((inquiries.ask(0, |_| {}), inquiries.ask(0, |_| {})), (Ok(()), Err(Busy { shard: 0 })));
        assert_eq!(inquiries.ask(1, |_| {}), Err(Busy { shard: 1 }), "there is no such shard");
    }

    #[test]
    fn the_flag_stands_while_questions_wait_and_falls_with_the_last() {
        let inquiries = Inquiries::new(inboxes(&[0]).unwrap());
        let desk = inquiries.desk(0);
        assert!(!desk.is_asked());
        inquiries.ask(0, |_| {}).unwrap();
        inquiries.ask(0, |_| {}).unwrap();
        assert!(desk.is_asked() && desk.next().is_some());
        assert!(desk.is_asked() && desk.next().is_some());
        assert!(!desk.is_asked() && desk.next().is_none());
    }

    #[test]
    fn who_asked_a_shard_that_ends_hears_that_there_is_no_answer() {
        let inquiries = Inquiries::new(inboxes(&[0]).unwrap());
        let (answer, answers) = std::sync::mpsc::channel::<()>();
        inquiries.ask(0, move |_| answer.send(()).unwrap()).unwrap();
        inquiries.close(0);
        assert!(answers.recv().is_err());
    }
}
