//! Sending an outbox: per socket in order, up to a batch with one call, no message's failure in the way of the next.
//!
//! A failed call says why its *first* message failed. Such a reason may be an ICMP error that an *earlier* datagram drew: the kernel
//! shows it on the next send of the same socket, whatever its destination. So the error queue is read first and the message is tried
//! once more; what fails then failed by itself. A full socket buffer or device queue says nothing about the destination.

use super::aim;
use crate::limits::BATCH_DATAGRAMS;
use crate::proxy::{Outbox, SocketId, Transmit};
use crate::shard::counters::IoStats;
use crate::shard::errors::Errors;
use crate::shard::name::{Name, empty_header};
use core::ptr::null_mut;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Messages that an outbox is expected to hold at most; more only make the list of failures grow once.
const FAILED_EXPECTED: usize = 2048;

/// Room for the headers of one batch, and which messages of the last outbox failed.
#[derive(Debug)]
pub(super) struct Send {
    names: Vec<Name>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    name_bytes: [u32; BATCH_DATAGRAMS],
    /// Of each header, which message of the outbox it is.
    places: Vec<usize>,
    failed: Vec<usize>,
}

/// What a socket said about the first message of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Try again.
    Interrupted,
    /// No room: as good as lost on the way.
    Lost,
    /// It fails, or an earlier one did.
    Failed,
}

impl Send {
    pub(super) fn new() -> Self {
        Self {
            names: vec![Name::empty(); BATCH_DATAGRAMS],
            iovecs: vec![libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH_DATAGRAMS],
            headers: vec![libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH_DATAGRAMS],
            name_bytes: [0; BATCH_DATAGRAMS],
            places: Vec::with_capacity(BATCH_DATAGRAMS),
            failed: Vec::with_capacity(FAILED_EXPECTED),
        }
    }

    /// Sends all of `out`. `sockets` are in the order of [`SocketId`]. ICMP errors met on the way land in `errors`.
    pub(super) fn send<'a>(
        &mut self,
        sockets: impl IntoIterator<Item = BorrowedFd<'a>>,
        out: &Outbox,
        errors: &mut Errors,
        counts: &mut IoStats,
    ) {
        self.failed.clear();
        for (id, socket) in (0u8..).map(SocketId).zip(sockets) {
            let mut messages = out.iter().enumerate().filter(|(_, message)| message.socket == id);
            while self.fill(&mut messages) > 0 {
                self.send_batch(id, socket, errors, counts);
            }
        }
        self.failed.sort_unstable();
    }

    /// The messages of the last outbox that could not be sent, in order.
    pub(super) fn failed<'a>(&'a self, out: &'a Outbox) -> impl Iterator<Item = Transmit<'a>> {
        let mut failed = self.failed.iter().copied().peekable();
        out.iter().enumerate().filter_map(move |(place, message)| failed.next_if_eq(&place).map(|_| message))
    }

    /// Whether a message of the last outbox could not be sent.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// The failures were told.
    pub(super) fn forget(&mut self) {
        self.failed.clear();
    }

    /// Points the headers at the next messages; how many.
    fn fill<'a>(&mut self, messages: &mut impl Iterator<Item = (usize, Transmit<'a>)>) -> usize {
        self.places.clear();
        for (at, (place, message)) in messages.take(BATCH_DATAGRAMS).enumerate() {
            (self.names[at], self.name_bytes[at]) = Name::new(message.destination);
            let iov_base = message.bytes.as_ptr().cast_mut().cast();
            self.iovecs[at] = libc::iovec { iov_base, iov_len: message.bytes.len() };
            self.places.push(place);
        }
        let headers = &mut self.headers[..self.places.len()];
        aim(headers, &mut self.names, &mut self.iovecs);
        headers.iter_mut().zip(&self.name_bytes).for_each(|(header, bytes)| header.msg_hdr.msg_namelen = *bytes);
        self.places.len()
    }

    fn send_batch(&mut self, id: SocketId, socket: BorrowedFd<'_>, errors: &mut Errors, counts: &mut IoStats) {
        let (mut at, mut tried_twice) = (0, false);
        while at < self.places.len() {
            let done = match self.send_from(at, socket) {
                Ok(sent) => {
                    counts.sent += sent as u64;
                    counts.send_batches += 1;
                    sent
                }
                Err(Verdict::Interrupted) => 0,
                Err(Verdict::Lost) => {
                    counts.send_lost += 1;
                    1
                }
                Err(Verdict::Failed) if !tried_twice => {
                    errors.drain(id, socket, counts);
                    tried_twice = true;
                    continue;
                }
                Err(Verdict::Failed) => {
                    counts.send_errors += 1;
                    self.failed.push(self.places[at]);
                    1
                }
            };
            at += done;
            tried_twice &= done == 0;
        }
    }

    /// Sends from header number `at` on; how many were sent, at least one.
    fn send_from(&mut self, at: usize, socket: BorrowedFd<'_>) -> Result<usize, Verdict> {
        let headers = &mut self.headers[at..self.places.len()];
        // SAFETY: `fill` pointed these headers at names and iovecs of this value, which nobody touched since, and the iovecs at bytes
        // of the outbox that `send` borrows throughout; the kernel only reads them.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32, libc::MSG_DONTWAIT)
        };
        match usize::try_from(sent) {
            Ok(0) => Err(Verdict::Lost),
            Ok(sent) => Ok(sent),
            Err(_) => Err(verdict(&io::Error::last_os_error())),
        }
    }
}

fn verdict(error: &io::Error) -> Verdict {
    match error.raw_os_error() {
        Some(libc::EINTR) => Verdict::Interrupted,
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Verdict::Lost,
        _ => Verdict::Failed,
    }
}
