//! Which messages of an outbox leave together: a run goes to one destination by one socket, its messages are of one size, and the kernel
//! (or the network card) cuts it into the datagrams that it is made of (`UDP_SEGMENT`, udp(7)). Most of a send's cost is per run.
//!
//! Messages of one call keep their order, whatever their sizes; those of different calls may pass each other within a turn, as they may
//! on any network. A message without a Call-ID leaves alone, and nothing passes it.

use crate::limits::{RUN_BYTES_MAX, RUN_MESSAGES_MAX, RUN_SEGMENT_BYTES_MAX};
use crate::proxy::{Outbox, SocketId, Transmit};
use crate::sip::find_call_id;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Fewer messages than this leave one by one: what would be saved is less than what looking at them costs.
const MESSAGES_MIN: usize = 8;
/// Runs that may grow at once; of two in one place only the younger one does. A power of two.
const OPEN: usize = 256;
/// Places for calls; two calls in one place keep their order, too. A power of two.
const CALLS: usize = 1024;
/// Bytes of a Call-ID that tell calls apart well enough.
const CALL_ID_BYTES: usize = 64;
/// What ends the list of a run's messages.
const END: u32 = u32::MAX;

/// Messages of one size to one destination, by one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Their places in the outbox are a list that begins here.
    pub(super) first: usize,
    last: usize,
    /// How many there are, at least one.
    pub(super) count: usize,
    /// Bytes of each.
    segment: usize,
    /// By which socket.
    pub(super) socket: SocketId,
    /// Where to.
    pub(super) destination: SocketAddr,
}

/// The runs of one outbox, in the order in which they are to be sent.
#[derive(Debug)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// For each message of the outbox the next one of its run.
    next: Vec<u32>,
    /// The number of the outbox's first run: runs are numbered on from outbox to outbox, so the tables need no clearing.
    base: u64,
    /// Runs with lower numbers grow no more.
    barrier: u64,
    /// By destination, socket and size: the number of the last run.
    open: Box<[u64; OPEN]>,
    /// By call: the number of the last run that has a message of it.
    calls: Box<[u64; CALLS]>,
    is_on: bool,
}

impl Runs {
    /// When not `is_on`, every message is a run.
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            runs: Vec::with_capacity(2048),
            next: Vec::with_capacity(2048),
            base: 1,
            barrier: 1,
            open: Box::new([0; OPEN]),
            calls: Box::new([0; CALLS]),
            is_on,
        }
    }

    /// Makes the runs of `out`, and forgets those before.
    pub(super) fn make(&mut self, out: &Outbox) {
        self.base += self.runs.len() as u64;
        self.barrier = self.base;
        self.runs.clear();
        self.next.clear();
        self.next.resize(out.len(), END);
        let join = self.is_on && out.len() >= MESSAGES_MIN;
        for (place, message) in out.iter().enumerate() {
            if !join || !self.joined(place, &message) {
                self.begin(place, &message);
            }
        }
    }

    /// The runs, in order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.runs.iter()
    }

    /// Run number `at`.
    pub(super) fn get(&self, at: usize) -> Option<&Run> {
        self.runs.get(at)
    }

    /// Where in the outbox the messages of `run` are, in order.
    pub(super) fn places(&self, run: &Run) -> impl Iterator<Item = usize> + use<'_> {
        core::iter::successors(Some(run.first), |place| self.after(*place))
    }

    /// Where the message behind this one is, in the same run.
    pub(super) fn after(&self, place: usize) -> Option<usize> {
        self.next.get(place).filter(|next| **next != END).map(|next| *next as usize)
    }

    /// The other messages of runs that an error is about. A destination on this very machine gets a run whole: when nobody listens there,
    /// one error comes back for all of it, which shows how the first message begins.
    pub(super) fn behind<'a>(
        &'a self,
        out: &'a Outbox,
        destination: SocketAddr,
        sent: &'a [u8],
    ) -> impl Iterator<Item = usize> + 'a {
        let is_meant = move |run: &&Run| {
            // What came back may end before the first message does, or show some of the second.
            let first =
                out.get(run.first).map_or(&[][..], |message| &message.bytes[..message.bytes.len().min(sent.len())]);
            run.count > 1 && run.destination == destination && !first.is_empty() && sent.starts_with(first)
        };
        self.runs.iter().filter(is_meant).flat_map(|run| self.places(run).skip(1))
    }

    fn begin(&mut self, place: usize, message: &Transmit<'_>) -> u64 {
        let Transmit { socket, destination, bytes } = *message;
        let number = self.base + self.runs.len() as u64;
        self.runs.push(Run { first: place, last: place, count: 1, segment: bytes.len(), socket, destination });
        number
    }

    /// Whether the message was put into a run that is already there, or into a new one that may grow; not when it must leave alone.
    fn joined(&mut self, place: usize, message: &Transmit<'_>) -> bool {
        let Some(call) = find_call_id(message.bytes).map(call_slot) else {
            self.barrier = self.base + self.runs.len() as u64 + 1;
            return false;
        };
        let slot = run_slot(message);
        let number = self.open[slot];
        let number = match number.checked_sub(self.base).and_then(|at| self.runs.get_mut(at as usize)) {
            Some(run) if number >= self.barrier.max(self.calls[call]) && run.takes(message) => {
                self.next[run.last] = place as u32;
                run.last = place;
                run.count += 1;
                number
            }
            _ => self.begin(place, message),
        };
        (self.open[slot], self.calls[call]) = (number, number);
        true
    }
}

impl Run {
    fn takes(&self, message: &Transmit<'_>) -> bool {
        let Transmit { socket, destination, bytes } = *message;
        bytes.len() == self.segment
            && destination == self.destination
            && socket == self.socket
            && self.segment <= RUN_SEGMENT_BYTES_MAX
            && self.count < RUN_MESSAGES_MAX
            && self.segment * (self.count + 1) <= RUN_BYTES_MAX
    }
}

/// Whether the kernel cuts runs (Linux 4.18). Where it does not know how, it must not be asked to: it would send the run as one datagram.
pub(super) fn can_segment(socket: BorrowedFd<'_>) -> bool {
    let (mut value, mut bytes): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: writes at most `bytes` bytes into `value`.
    let got = unsafe {
        let value = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, &raw mut bytes)
    };
    got == 0
}

fn run_slot(message: &Transmit<'_>) -> usize {
    let Transmit { socket, destination, bytes } = *message;
    let address = match destination.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    slot(address ^ u64::from(destination.port()) << 32 ^ u64::from(socket.0) << 48 ^ (bytes.len() as u64) << 52, OPEN)
}

fn call_slot(call_id: &[u8]) -> usize {
    let words = call_id[..call_id.len().min(CALL_ID_BYTES)].chunks(8);
    let hash = words.fold(0u64, |hash, word| {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        (hash.rotate_left(23) ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    slot(hash, CALLS)
}

/// One of `count` places, a power of two.
const fn slot(key: u64, count: usize) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - count.trailing_zeros())) as usize
}

#[cfg(test)]
#[path = "tests/runs.rs"]
mod tests;
