//! The io_uring engine: one ring per shard, waited in by the shard itself; sends and the wait are one system call.
//!
//! Every socket has one multishot receive that takes its buffers from a ring of provided ones; the bell is read in the ring too.
//! What is queued becomes one submission for each run (see `runs`), with `MSG_DONTWAIT`: each send ends within the call that submits it,
//! so the bytes may be forgotten after that call. Completions of sends that went well are suppressed; what failed is heard of in the
//! next wait.
//!
//! # Invariants
//!
//! - The ring is made and used by one thread (`SINGLE_ISSUER`), and completions are made only while that thread waits
//!   (`DEFER_TASKRUN`).
//! - Memory that the kernel writes to (`Buffers`, `rings`, the receive header) lives on the heap, is never moved, and outlives the ring:
//!   the ring is the first field, so it is dropped first.

mod buffers;

use super::counters::IoStats;
use super::engine::{Engine, Patience};
use super::errors::Errors;
use super::name::{Name, empty_header};
use super::passages::{Passages, is_lost, send_now};
use super::runs::Runs;
use super::socket::ShardSockets;
use crate::limits::{RING_COMPLETIONS, RING_SUBMISSIONS};
use crate::proxy::{Datagram, Outbox, SocketId, Transmit};
use buffers::{Buffers, GROUP};
use core::mem::swap;
use core::time::Duration;
use io_uring::squeue::Flags;
use io_uring::types::{CancelBuilder, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// How many datagrams end a gathering early.
const GATHERED: usize = 64;

/// How long the receives may take to end with their ring.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);

/// What a completion is of: the upper half of its user data; the lower half says which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Receive,
    Bell,
    Send,
}

/// One shard's ring, sockets and the memory between them and the kernel.
pub(super) struct Ring {
    ring: IoUring,
    sockets: ShardSockets,
    bell: RawFd,
    /// Where the kernel puts the bell's count.
    rings: Box<u64>,
    /// What a receive asks for: a name, and no control data.
    header: Box<libc::msghdr>,
    buffers: Buffers,
    /// Which receives, by socket, must be asked for again, and whether the bell must.
    idle_sockets: Vec<bool>,
    is_bell_idle: bool,
    arrived: VecDeque<Arrival>,
    /// What is queued or was sent last: failures name its messages.
    sent: Outbox,
    runs: Runs,
    passages: Passages,
    failed: Vec<usize>,
    /// Messages queued whose fate is not counted yet.
    unsettled: usize,
    has_min_wait: bool,
    errors: Errors,
    counts: IoStats,
}

/// A datagram in a buffer.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    socket: SocketId,
    buffer: u16,
    bytes: usize,
}

impl Ring {
    /// A ring for these sockets; `bell` must stay open as long as it is used. To be made by the thread that uses it.
    ///
    /// # Errors
    /// What the kernel refuses: io_uring itself, one of the flags (Linux 6.1), or the memory (`RLIMIT_MEMLOCK`). The sockets come back.
    pub(super) fn new(sockets: ShardSockets, bell: BorrowedFd<'_>) -> Result<Self, (io::Error, ShardSockets)> {
        match open(&sockets) {
            Ok((ring, buffers)) => Ok(Self::with(ring, buffers, sockets, bell)),
            Err(error) => Err((error, sockets)),
        }
    }

    /// Whether the kernel can let datagrams gather while it waits (Linux 6.12).
    pub(super) const fn can_gather(&self) -> bool {
        self.has_min_wait
    }

    fn with(ring: IoUring, buffers: Buffers, sockets: ShardSockets, bell: BorrowedFd<'_>) -> Self {
        let mut header = Box::new(empty_header());
        header.msg_namelen = Name::BYTES;
        let joins = sockets.joins_sends();
        Self {
            has_min_wait: ring.params().is_feature_min_timeout(),
            ring,
            idle_sockets: vec![true; sockets.iter().count()],
            sockets,
            bell: bell.as_raw_fd(),
            rings: Box::new(0),
            header,
            buffers,
            is_bell_idle: true,
            arrived: VecDeque::with_capacity(RING_COMPLETIONS as usize),
            sent: Outbox::new(),
            runs: Runs::new(joins),
            passages: Passages::default(),
            failed: Vec::with_capacity(2048),
            unsettled: 0,
            errors: Errors::new(),
            counts: IoStats::default(),
        }
    }

    /// Asks anew for what stopped: a receive ends with each error and when no buffer is left.
    fn arm(&mut self) {
        for at in 0..self.idle_sockets.len() {
            if core::mem::replace(&mut self.idle_sockets[at], false) {
                let header = core::ptr::from_ref(&*self.header);
                let receive = opcode::RecvMsgMulti::new(Fixed(at as u32), header, GROUP).build();
                self.push(&receive.user_data(user_data(Kind::Receive, at)));
            }
        }
        if core::mem::replace(&mut self.is_bell_idle, false) {
            let rings = core::ptr::from_mut(&mut *self.rings).cast();
            let read = opcode::Read::new(Fd(self.bell), rings, 8).build();
            self.push(&read.user_data(user_data(Kind::Bell, 0)));
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to lives in boxes of this value that outlive the ring, or, for a send, in `sent` and `passages`,
        // which nobody touches before the call that submits it has returned.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // Full: whatever waits there leaves now.
            self.enter(0, None, Duration::ZERO);
            self.reap();
        }
    }

    /// One system call: submits, then waits for `wanted` completions, at most `timeout`; after `min_wait` one is enough.
    fn enter(&mut self, wanted: usize, timeout: Option<Duration>, min_wait: Duration) {
        let timespec = Timespec::from(timeout.unwrap_or_default());
        let mut args = SubmitArgs::new();
        if timeout.is_some() {
            args = args.timespec(&timespec).min_wait_usec(min_wait.as_micros() as u32);
        }
        // Time-out, signal, or a full completion queue, which the caller empties next: nothing is lost by any.
        let _ = self.ring.submitter().submit_with_args(wanted, &args);
    }

    /// What was queued is with the kernel, and what failed of it is known: sends end within the call that submits them.
    fn conclude(&mut self) {
        while !self.ring.submission().is_empty() {
            // The last call ended early, for lack of memory: sooner or later it takes the rest.
            self.enter(0, None, Duration::ZERO);
        }
        self.reap();
        self.counts.sent += core::mem::take(&mut self.unsettled) as u64;
    }

    /// Sorts the completions that are there.
    fn reap(&mut self) {
        loop {
            let Some(entry) = self.ring.completion().next() else { break };
            let (kind, at) = kind_of(entry.user_data());
            match kind {
                Kind::Receive => self.reap_receive(at, &entry),
                Kind::Bell => self.is_bell_idle = true,
                Kind::Send => self.reap_send(at, entry.result()),
            }
        }
        self.errors.spread(&self.sent, &self.runs, &mut self.failed);
    }

    fn reap_receive(&mut self, at: usize, entry: &cqueue::Entry) {
        let socket = SocketId(at as u8);
        self.idle_sockets[at] |= !cqueue::more(entry.flags());
        match (entry.result(), cqueue::buffer_select(entry.flags())) {
            (bytes @ 0.., Some(buffer)) => self.arrived.push_back(Arrival { socket, buffer, bytes: bytes as usize }),
            (result, buffer) => {
                buffer.into_iter().for_each(|buffer| self.buffers.give(buffer));
                match -result {
                    libc::ENOBUFS => self.counts.ring_full += 1,
                    0 | libc::EINTR | libc::EAGAIN | libc::ECANCELED => {}
                    _ => self.errors.after_failure(socket, self.sockets.get(at), &mut self.counts),
                }
            }
        }
    }

    /// A run that failed, or an earlier message whose ICMP error the kernel showed to this one: that is read, and each message is tried
    /// once more, by itself.
    fn reap_send(&mut self, at: usize, result: i32) {
        let Some(run) = self.runs.get(at).copied().filter(|_| result < 0) else { return };
        self.unsettled -= run.count;
        if is_lost(&io::Error::from_raw_os_error(-result)) {
            self.counts.send_lost += run.count as u64;
            return;
        }
        self.errors.drain(run.socket, self.sockets.get(usize::from(run.socket.0)), &mut self.counts);
        self.counts.send_runs_split += u64::from(run.count > 1);
        let mut next = Some(run.first);
        while let Some(place) = next {
            self.send_again(place, at);
            next = self.runs.after(place);
        }
    }

    /// One message of run number `at` by itself: what fails after the error queue was read failed by itself.
    fn send_again(&mut self, place: usize, at: usize) {
        let Some(message) = self.sent.get(place) else { return };
        let socket = self.sockets.get(usize::from(message.socket.0));
        let mut sent = send_now(socket, message.bytes, self.passages.name(at));
        if sent.as_ref().is_err_and(|error| !is_lost(error)) {
            self.errors.drain(message.socket, socket, &mut self.counts);
            sent = send_now(socket, message.bytes, self.passages.name(at));
        }
        match sent {
            Ok(()) => self.counts.sent += 1,
            Err(error) if is_lost(&error) => self.counts.send_lost += 1,
            Err(_) => {
                self.counts.send_errors += 1;
                self.failed.push(place);
            }
        }
    }
}

fn open(sockets: &ShardSockets) -> io::Result<(IoUring, Buffers)> {
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(RING_COMPLETIONS)
        .build(RING_SUBMISSIONS)?;
    let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
    ring.submitter().register_files(&descriptors)?;
    let buffers = Buffers::register(&ring.submitter())?;
    Ok((ring, buffers))
}

impl Engine for Ring {
    fn wait(&mut self, patience: Patience) {
        self.buffers.publish();
        self.arm();
        let is_there = !self.arrived.is_empty();
        match patience {
            Patience::Gather { gather, timeout } if !is_there && self.has_min_wait => {
                self.enter(GATHERED, Some(timeout), gather);
            }
            Patience::Sleep(timeout) | Patience::Gather { timeout, .. } if !is_there => {
                self.enter(1, Some(timeout), Duration::ZERO);
            }
            // Completions are only made in a call that waits for one, be it for no time at all.
            _ => self.enter(1, Some(Duration::ZERO), Duration::ZERO),
        }
        self.conclude();
    }

    fn settle(&mut self, mut failed: impl FnMut(Transmit<'_>)) {
        if self.unsettled > 0 {
            self.conclude();
        }
        self.failed.drain(..).filter_map(|place| self.sent.get(place)).for_each(&mut failed);
        // What was sent stays until the next outbox: an ICMP error may still tell of a whole run.
    }

    fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    fn queue(&mut self, out: &mut Outbox) {
        self.sent.clear();
        swap(out, &mut self.sent);
        self.unsettled = self.sent.len();
        self.runs.make(&self.sent);
        self.passages.write(&self.sent, &self.runs, None);
        for at in 0..self.passages.len() {
            let Some(run) = self.runs.get(at) else { break };
            let Some(message) = self.sent.get(run.first) else { break };
            let send = if run.count > 1 {
                self.counts.send_runs += 1;
                send_run(message.socket, &self.passages.headers(at)[0].msg_hdr)
            } else {
                send_one(message, self.passages.name(at))
            };
            self.push(&send.flags(Flags::SKIP_SUCCESS).user_data(user_data(Kind::Send, at)));
        }
        self.counts.send_batches += 1;
    }

    fn receive(&mut self, mut take: impl FnMut(Datagram<'_>) -> bool) -> bool {
        while let Some(Arrival { socket, buffer, bytes }) = self.arrived.pop_front() {
            self.counts.received += 1;
            let goes_on = match self.buffers.datagram(buffer, bytes) {
                Some((source, bytes)) => take(Datagram { source, socket, bytes }),
                None => {
                    self.counts.truncated += 1;
                    true
                }
            };
            self.buffers.give(buffer);
            if !goes_on {
                return true;
            }
        }
        false
    }

    fn errors(&mut self) -> &mut Errors {
        &mut self.errors
    }

    fn counts(&self) -> &IoStats {
        &self.counts
    }

    fn look_at_drops(&mut self) {
        self.counts.kernel_drops = self.sockets.drops();
    }

    fn sockets(&self) -> &ShardSockets {
        &self.sockets
    }
}

/// The kernel takes a ring apart some time after its last descriptor is closed. Until then it would hold the sockets, and who starts next
/// would find the addresses in use.
impl Drop for Ring {
    fn drop(&mut self) {
        // What cannot be had (Linux 6.0) happens later by itself.
        let _ = self.ring.submitter().register_sync_cancel(Some(CANCEL_WITHIN.into()), CancelBuilder::any());
        // A cancelled receive lets go of its socket when its completion is made, which is in a call that waits for one.
        self.enter(1, Some(Duration::ZERO), Duration::ZERO);
        let _ = self.ring.submitter().unregister_files();
    }
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ring").field("sockets", &self.sockets).field("counts", &self.counts).finish_non_exhaustive()
    }
}

const fn user_data(kind: Kind, at: usize) -> u64 {
    (kind as u64) << 32 | at as u64
}

const fn kind_of(user_data: u64) -> (Kind, usize) {
    let kind = match user_data >> 32 {
        0 => Kind::Receive,
        1 => Kind::Bell,
        _ => Kind::Send,
    };
    (kind, user_data as u32 as usize)
}

fn send_one(message: Transmit<'_>, (name, name_bytes): &(Name, u32)) -> squeue::Entry {
    opcode::Send::new(Fixed(message.socket.0.into()), message.bytes.as_ptr(), message.bytes.len() as u32)
        .flags(libc::MSG_DONTWAIT)
        .dest_addr(core::ptr::from_ref(name).cast())
        .dest_addr_len(*name_bytes)
        .build()
}

fn send_run(socket: SocketId, header: &libc::msghdr) -> squeue::Entry {
    opcode::SendMsg::new(Fixed(socket.0.into()), header).flags(libc::MSG_DONTWAIT as u32).build()
}
