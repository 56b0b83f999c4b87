//! The recvmmsg/sendmmsg engine: ppoll, then a batch from each ready socket; an outbox leaves at once, up to a batch of runs with one call.
//!
//! It runs on every kernel. Sockets are blocking and every call carries `MSG_DONTWAIT`, so the same descriptors also suit a ring.
//! Buffers, iovecs, names and headers are allocated once; pointers between them are written anew for each call, so none outlives a
//! borrow.

mod receive;
mod send;
mod wait;

pub(super) use wait::readable_within;

use super::counters::IoStats;
use super::engine::{Engine, Patience};
use super::errors::Errors;
use super::name::Name;
use super::socket::ShardSockets;
use crate::proxy::{Datagram, Outbox, SocketId, Transmit};
use core::mem::swap;
use receive::Receive;
use send::Send;
use std::os::fd::BorrowedFd;
use wait::Wait;

/// One shard's sockets and the memory of its calls.
#[derive(Debug)]
pub(super) struct Mmsg {
    sockets: ShardSockets,
    wait: Wait,
    receive: Receive,
    batch: Batch,
    send: Send,
    /// What was sent last: failures name its messages.
    sent: Outbox,
    errors: Errors,
    counts: IoStats,
}

/// How far the sockets were read since the last wait.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    /// The socket that comes next.
    next_socket: usize,
    socket: SocketId,
    next: usize,
    count: usize,
}

impl Mmsg {
    /// `bell` must stay open as long as this is used.
    pub(super) fn new(sockets: ShardSockets, bell: BorrowedFd<'_>) -> Self {
        let joins = sockets.joins_sends();
        Self {
            wait: Wait::new(sockets.iter(), bell),
            sockets,
            receive: Receive::new(),
            batch: Batch::default(),
            send: Send::new(joins),
            sent: Outbox::new(),
            errors: Errors::new(),
            counts: IoStats::default(),
        }
    }

    /// Reads a batch from the next socket that has one; `false` when none is left.
    fn begin_batch(&mut self) -> bool {
        while self.batch.next_socket < self.wait.sockets() {
            let at = self.batch.next_socket;
            self.batch.next_socket += 1;
            let ready = self.wait.ready(at);
            // Its errors first: a pending one would fail the receive call.
            if ready.error {
                self.errors.drain(ready.socket, self.sockets.get(at), &mut self.counts);
                self.send.spread(&self.sent, &mut self.errors);
            }
            if ready.readable && self.read(at, ready.socket) {
                return true;
            }
        }
        false
    }

    fn read(&mut self, at: usize, socket: SocketId) -> bool {
        match self.receive.receive(self.sockets.get(at)) {
            Ok(count) => {
                self.counts.receive_batches += u64::from(count > 0);
                self.counts.received += count as u64;
                (self.batch.socket, self.batch.next, self.batch.count) = (socket, 0, count);
                count > 0
            }
            Err(_) => {
                self.errors.after_failure(socket, self.sockets.get(at), &mut self.counts);
                self.send.spread(&self.sent, &mut self.errors);
                false
            }
        }
    }
}

impl Engine for Mmsg {
    fn wait(&mut self, patience: Patience) {
        self.wait.wait(patience);
        self.batch = Batch::default();
    }

    fn settle(&mut self, mut failed: impl FnMut(Transmit<'_>)) {
        self.send.failed(&self.sent).for_each(&mut failed);
        self.send.forget();
    }

    fn has_failed(&self) -> bool {
        self.send.has_failed()
    }

    fn queue(&mut self, out: &mut Outbox) {
        self.sent.clear();
        swap(out, &mut self.sent);
        self.send.send(self.sockets.iter(), &self.sent, &mut self.errors, &mut self.counts);
    }

    fn receive(&mut self, mut take: impl FnMut(Datagram<'_>) -> bool) -> bool {
        while self.batch.next < self.batch.count || self.begin_batch() {
            let at = self.batch.next;
            self.batch.next += 1;
            match self.receive.datagram(at) {
                Some((source, bytes)) if !take(Datagram { source, socket: self.batch.socket, bytes }) => return true,
                Some(_) => {}
                None => self.counts.truncated += 1,
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

/// Points each header at the name and the piece of data at its own place. Neither may be touched between this and the call.
fn aim(headers: &mut [libc::mmsghdr], names: &mut [Name], iovecs: &mut [libc::iovec]) {
    for ((header, name), iovec) in headers.iter_mut().zip(names).zip(iovecs) {
        header.msg_hdr.msg_name = core::ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = Name::BYTES;
        header.msg_hdr.msg_iov = iovec;
        header.msg_hdr.msg_iovlen = 1;
    }
}

#[cfg(test)]
mod tests;
