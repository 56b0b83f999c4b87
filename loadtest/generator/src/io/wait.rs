//! One wait for all sockets of a thread, however many.

use super::socket::timespec;
use super::{BATCH, Socket};
use core::ptr::null;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An epoll set; sockets are named by their place.
#[derive(Debug)]
pub(crate) struct Wait {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

impl Wait {
    /// # Errors
    /// When the process may have no more descriptors.
    pub(crate) fn new(sockets: &[Socket]) -> io::Result<Self> {
        // SAFETY: takes a number; a descriptor that it returns is nobody else's.
        let epoll = unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        for (at, socket) in sockets.iter().enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: at as u64 };
            // SAFETY: the event lives through the call.
            if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.fd(), &raw mut event) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH], ready: 0 })
    }

    /// Waits until a socket can be read, at most so many nanoseconds.
    pub(crate) fn wait(&mut self, nanoseconds: u64) {
        let time = timespec(nanoseconds);
        let (events, count) = (self.events.as_mut_ptr(), self.events.len() as libc::c_int);
        // SAFETY: `events` has room for `count` of them, the time lives through the call, no signal mask is given.
        let got = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                events,
                count,
                &raw const time,
                null::<libc::sigset_t>(),
                0usize,
            )
        };
        self.ready = usize::try_from(got).unwrap_or(0);
    }

    /// The sockets that the last wait found.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// The place of the socket that was found as number `at`.
    pub(crate) fn place(&self, at: usize) -> usize {
        self.events[at].u64 as usize
    }
}
