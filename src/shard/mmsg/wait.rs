//! Waiting for any socket, the mailbox's bell, or the next timer.

use crate::proxy::SocketId;
use crate::shard::engine::Patience;
use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// What poll said about one socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ready {
    pub(super) socket: SocketId,
    /// A datagram can be read.
    pub(super) readable: bool,
    /// An error is pending: the error queue must be read, or poll says so again at once.
    pub(super) error: bool,
}

/// One poll set: the listen sockets in order, then the bell.
#[derive(Debug)]
pub(super) struct Wait {
    fds: Vec<libc::pollfd>,
}

impl Wait {
    /// The descriptors must stay open as long as this is used.
    pub(super) fn new<'a>(sockets: impl IntoIterator<Item = BorrowedFd<'a>>, bell: BorrowedFd<'a>) -> Self {
        Self { fds: sockets.into_iter().chain([bell]).map(|fd| pollfd(fd.as_raw_fd())).collect() }
    }

    /// Waits as said; how many descriptors are ready. A ring of the bell is taken back.
    pub(super) fn wait(&mut self, patience: Patience) -> usize {
        let ready = match patience {
            Patience::Look => poll(&mut self.fds, Duration::ZERO),
            Patience::Sleep(timeout) => poll(&mut self.fds, timeout),
            Patience::Gather { gather, timeout } => {
                std::thread::sleep(gather);
                match poll(&mut self.fds, Duration::ZERO) {
                    0 => poll(&mut self.fds, timeout.saturating_sub(gather)),
                    ready => ready,
                }
            }
        };
        if self.bell_rang() {
            self.silence();
        }
        ready
    }

    /// What the last wait said about socket number `at`.
    pub(super) fn ready(&self, at: usize) -> Ready {
        let events = self.fds[at].revents;
        // Invariant: there are at most limits::LISTEN_MAX sockets.
        let socket = SocketId(at as u8);
        Ready { socket, readable: events & libc::POLLIN != 0, error: events & libc::POLLERR != 0 }
    }

    /// Whether the last wait found the bell rung.
    fn bell_rang(&self) -> bool {
        self.fds.last().is_some_and(|bell| bell.revents & libc::POLLIN != 0)
    }

    fn silence(&self) {
        let mut rings = 0u64;
        let Some(bell) = self.fds.last() else { return };
        // SAFETY: writes at most 8 bytes into `rings`. poll said that the bell can be read, and only this thread reads it.
        unsafe { libc::read(bell.fd, (&raw mut rings).cast(), 8) };
    }

    /// How many sockets are waited for.
    pub(super) const fn sockets(&self) -> usize {
        self.fds.len() - 1
    }
}

/// Whether `fd` can be read at once, or within `timeout`.
pub(in crate::shard) fn readable_within(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let mut fds = [pollfd(fd.as_raw_fd())];
    poll(&mut fds, timeout) > 0
}

const fn pollfd(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

fn poll(fds: &mut [libc::pollfd], timeout: Duration) -> usize {
    let seconds = libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX);
    let timeout = libc::timespec { tv_sec: seconds, tv_nsec: timeout.subsec_nanos().into() };
    // SAFETY: `fds` is as long as said, the timeout lives through the call, and a null mask leaves the signal mask alone.
    let ready =
        unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, &raw const timeout, core::ptr::null()) };
    usize::try_from(ready).unwrap_or_else(|_| {
        // Interrupted by a signal: as if the time were up, and what stands in revents is of the wait before.
        fds.iter_mut().for_each(|fd| fd.revents = 0);
        0
    })
}
