//! Sending an outbox: per socket in order, up to a batch of runs with one call, no message's failure in the way of the next.
//!
//! A failed call says why its *first* message failed. Such a reason may be an ICMP error that an *earlier* datagram drew: the kernel
//! shows it on the next send of the same socket, whatever its destination. So the error queue is read first and the message is tried
//! once more; what fails then failed by itself. A full socket buffer or device queue says nothing about the destination.

use crate::limits::BATCH_DATAGRAMS;
use crate::proxy::{Outbox, SocketId, Transmit};
use crate::shard::counters::IoStats;
use crate::shard::errors::Errors;
use crate::shard::passages::{Passages, is_lost, send_now};
use crate::shard::runs::{Run, Runs};
use core::ops::Range;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Messages that an outbox is expected to hold at most; more only make the list of failures grow once.
const FAILED_EXPECTED: usize = 2048;

/// The headers of one socket's runs, and which messages of the last outbox failed.
#[derive(Debug)]
pub(super) struct Send {
    runs: Runs,
    passages: Passages,
    failed: Vec<usize>,
}

/// What a socket said about the first run of a call.
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
    /// When it `joins`, messages of one size to one destination leave as one run.
    pub(super) fn new(joins: bool) -> Self {
        let failed = Vec::with_capacity(FAILED_EXPECTED);
        Self { runs: Runs::new(joins), passages: Passages::default(), failed }
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
        self.runs.make(out);
        for (id, socket) in (0u8..).map(SocketId).zip(sockets) {
            self.passages.write(out, &self.runs, Some(id));
            self.send_by(id, socket, out, errors, counts);
        }
        self.spread(out, errors);
    }

    /// ICMP errors were read: of the last outbox they may tell of whole runs.
    pub(super) fn spread(&mut self, out: &Outbox, errors: &mut Errors) {
        errors.spread(out, &self.runs, &mut self.failed);
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

    fn send_by(
        &mut self,
        id: SocketId,
        socket: BorrowedFd<'_>,
        out: &Outbox,
        errors: &mut Errors,
        counts: &mut IoStats,
    ) {
        let (mut at, mut tried_twice) = (0, false);
        while at < self.passages.len() {
            let done = match self.send_from(at, socket) {
                Ok(sent) => {
                    self.count(at..at + sent, counts);
                    sent
                }
                Err(Verdict::Interrupted) => 0,
                Err(Verdict::Lost) => {
                    counts.send_lost += self.run(at).count as u64;
                    1
                }
                Err(Verdict::Failed) if !tried_twice => {
                    errors.drain(id, socket, counts);
                    tried_twice = true;
                    continue;
                }
                Err(Verdict::Failed) => {
                    self.split(at, socket, out, errors, counts);
                    1
                }
            };
            at += done;
            tried_twice &= done == 0;
        }
    }

    fn run(&self, at: usize) -> Run {
        // Invariant: the passages were written for these runs.
        *self.runs.get(self.passages.run(at)).expect("a run")
    }

    fn count(&self, sent: Range<usize>, counts: &mut IoStats) {
        counts.send_batches += 1;
        for at in sent {
            let count = self.run(at).count;
            counts.sent += count as u64;
            counts.send_runs += u64::from(count > 1);
        }
    }

    /// A run failed: each of its messages by itself. A message that left alone has failed.
    fn split(&mut self, at: usize, socket: BorrowedFd<'_>, out: &Outbox, errors: &mut Errors, counts: &mut IoStats) {
        let run = self.run(at);
        if run.count == 1 {
            counts.send_errors += 1;
            return self.failed.push(run.first);
        }
        counts.send_runs_split += 1;
        for (place, message) in self.runs.places(&run).filter_map(|place| Some((place, out.get(place)?))) {
            let mut sent = send_now(socket, message.bytes, self.passages.name(at));
            if sent.as_ref().is_err_and(|error| !is_lost(error)) {
                errors.drain(run.socket, socket, counts);
                sent = send_now(socket, message.bytes, self.passages.name(at));
            }
            match sent {
                Ok(()) => counts.sent += 1,
                Err(error) if is_lost(&error) => counts.send_lost += 1,
                Err(_) => {
                    counts.send_errors += 1;
                    self.failed.push(place);
                }
            }
        }
    }

    /// Sends from header number `at` on; how many were sent, at least one.
    fn send_from(&mut self, at: usize, socket: BorrowedFd<'_>) -> Result<usize, Verdict> {
        let headers = self.passages.headers(at);
        let count = headers.len().min(BATCH_DATAGRAMS) as u32;
        // SAFETY: `Passages::write` pointed these headers at what it keeps, which nobody touched since, and at bytes of the outbox that
        // `send` borrows throughout; the kernel only reads them.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
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
        _ if is_lost(error) => Verdict::Lost,
        _ => Verdict::Failed,
    }
}
