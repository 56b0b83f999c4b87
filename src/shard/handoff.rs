//! Bounded mailboxes between threads: lock-free, with buffers that are used again and again.
//!
//! A [`Tray`] with a bell. A full mailbox refuses: the caller counts it, and retransmission heals it (RFC 3261 §17).

use super::bell::Bell;
use super::birth::on_core;
use super::tray::Tray;
use crate::limits;
use crate::proxy::SocketId;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Why a message lies in another shard's mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// It was received from this address.
    Received,
    /// We sent it to this address and an ICMP error came back; the bytes are how it begins.
    SendError,
}

/// What goes with the bytes of a message that is handed off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Note {
    pub(super) cause: Cause,
    pub(super) socket: SocketId,
    pub(super) address: SocketAddr,
}

/// Messages for one reader, from any number of writers.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    tray: Tray<T>,
    bell: Bell,
}

impl<T: Copy> Mailbox<T> {
    pub(super) fn new(messages: usize) -> io::Result<Self> {
        Ok(Self { tray: Tray::new(messages), bell: Bell::new()? })
    }

    /// Copies a message in; `false` when the mailbox is full. The reader hears of it at the next [`Mailbox::ring`].
    #[must_use]
    pub(super) fn post(&self, note: T, bytes: &[u8]) -> bool {
        self.tray.post(note, bytes)
    }

    /// Tells the reader, if it sleeps, that messages are there. Once per batch.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Shows the reader up to `messages_max` messages in order; how many there were.
    pub(super) fn drain(&self, messages_max: usize, read: impl FnMut(T, &[u8])) -> usize {
        self.tray.drain(messages_max, read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tray.is_empty()
    }

    pub(super) const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Sleeps until messages are there, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.bell.sleep(timeout, || !self.is_empty());
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The mailbox in which a shard finds what others received for it.
pub(super) type Inbox = Mailbox<Note>;

/// One inbox per shard, in shard order; each is read on one of `cores`, and made there: its ring is near to its reader.
///
/// # Errors
/// When the process may open no more descriptors, or have no more threads.
pub(super) fn inboxes(cores: &[usize]) -> io::Result<Arc<[Inbox]>> {
    cores.iter().map(|core| on_core(*core, || Inbox::new(limits::HANDOFF_MESSAGES))?).collect()
}

/// One shard's way to the others.
#[derive(Debug)]
pub(super) struct Handoff {
    inboxes: Arc<[Inbox]>,
    /// Who got something since the last [`Handoff::ring`].
    told: Vec<u32>,
    is_told: Vec<bool>,
}

impl Handoff {
    pub(super) fn new(inboxes: Arc<[Inbox]>) -> Self {
        Self { told: Vec::with_capacity(inboxes.len()), is_told: vec![false; inboxes.len()], inboxes }
    }

    /// Copies a message into the inbox of shard `owner`; `false` when that is full.
    #[must_use]
    pub(super) fn post(&mut self, owner: u32, note: Note, bytes: &[u8]) -> bool {
        let index = owner as usize;
        if !self.inboxes[index].post(note, bytes) {
            return false;
        }
        if !std::mem::replace(&mut self.is_told[index], true) {
            self.told.push(owner);
        }
        true
    }

    /// Wakes those that got something and sleep.
    pub(super) fn ring(&mut self) {
        for owner in self.told.drain(..) {
            self.is_told[owner as usize] = false;
            self.inboxes[owner as usize].ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    fn in_pool_and_ring(mailbox: &Mailbox<u32>) -> usize {
        mailbox.tray.pool.len() + mailbox.tray.ring.len()
    }

    #[test]
    fn a_full_mailbox_refuses_and_has_room_again_after_it_was_read() {
        let mailbox = Mailbox::new(2).unwrap();
        assert!(mailbox.post(1, b"one") && mailbox.post(2, b"two"));
        assert!(!mailbox.post(3, b"three"));
        let mut got = Vec::new();
        assert_eq!(mailbox.drain(9, |note, bytes| got.push((note, bytes.to_vec()))), 2);
        assert_eq!(got, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
        assert!(mailbox.post(4, b"four") && !mailbox.is_empty());
    }

    #[test]
    fn only_as_many_buffers_are_made_as_are_under_way_at_once() {
        let mailbox = Mailbox::new(1024).unwrap();
        for round in 0..1000 {
            assert!(mailbox.post(round, &[7; 700]) && mailbox.post(round, &[8; 700]));
            assert_eq!(mailbox.drain(9, |_, bytes| assert_eq!(bytes.len(), 700)), 2);
        }
        assert_eq!(mailbox.tray.made.load(Ordering::Relaxed), 2);
        assert_eq!(in_pool_and_ring(&mailbox), 2);
    }

    #[test]
    fn a_giant_buffer_does_not_stay() {
        let mailbox = Mailbox::new(4).unwrap();
        assert!(mailbox.post(1, &[1; 60_000]));
        mailbox.drain(1, |_, bytes| assert_eq!(bytes.len(), 60_000));
        assert_eq!(mailbox.tray.pool.pop().map(|buffer| buffer.capacity()), Some(0));
    }

    #[test]
    fn writers_on_many_threads_lose_no_buffer_and_the_reader_sees_each_message_once() {
        const EACH: u32 = 20_000;
        let mailbox = Mailbox::new(64).unwrap();
        let read = std::thread::scope(|scope| {
            for writer in 0..3u32 {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    for n in 0..EACH {
                        while !mailbox.post(writer, &n.to_ne_bytes()) {
                            std::thread::yield_now();
                        }
                        mailbox.ring();
                    }
                });
            }
            let mut next = [0u32; 3];
            while next.iter().sum::<u32>() < 3 * EACH {
                mailbox.wait(Duration::from_secs(5));
                mailbox.drain(16, |writer, bytes| {
                    assert_eq!(bytes, next[writer as usize].to_ne_bytes());
                    next[writer as usize] += 1;
                });
            }
            next
        });
        assert_eq!(read, [EACH; 3]);
        assert_eq!(in_pool_and_ring(&mailbox), mailbox.tray.made.load(Ordering::Relaxed));
    }
}
