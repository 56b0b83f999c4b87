//! Questions to a running shard, from beside it: a bounded queue for each, of which a turn answers one.
//!
//! Nobody on the data path waits for anybody here: a shard looks once per turn whether it is asked, which is one load of a flag of its
//! own while it is not, and a question is a closure that looks at a bounded part of what the shard has and carries its answer away by a
//! channel of its own. Whoever wants more asks again, from where the last answer ended. A full queue refuses: the asker says so.

use super::desk::Desk;
use super::handoff::Inbox;
use super::trace::Tracer;
use crate::limits;
use crate::proxy::Proxy;
use crate::time::Instant;
use core::fmt;
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
pub(super) type Question = Box<dyn FnOnce(&mut Asked<'_>) + Send>;

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

/// The way to ask the shards of a process.
#[derive(Clone, Debug)]
pub struct Inquiries {
    desks: Arc<[Desk<Question>]>,
    /// Their bells wake the shards.
    inboxes: Arc<[Inbox]>,
}

impl Inquiries {
    pub(super) fn new(inboxes: Arc<[Inbox]>) -> Self {
        Self { desks: inboxes.iter().map(|_| Desk::new(limits::INQUIRIES_WAITING)).collect(), inboxes }
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

    pub(super) fn desk(&self, shard: u32) -> &Desk<Question> {
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
        let has_room = desk.put(Box::new(question));
        inbox.bell().ring();
        has_room.then_some(()).ok_or(busy)
    }

    /// Drops what waits for a shard that has ended: whoever asked hears that there is no answer.
    pub(super) fn close(&self, shard: u32) {
        self.desk(shard).clear();
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
