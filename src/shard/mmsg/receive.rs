//! Receiving a batch of datagrams with one call, into memory that is allocated once.

use super::aim;
use crate::limits::{BATCH_DATAGRAMS, DATAGRAM_BYTES_MAX};
use crate::shard::name::{Name, empty_header};
use core::ptr::null_mut;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// From one buffer's start to the next. The 17 odd cache lines spread the buffers over a cache's sets: at a multiple of a page
/// all of them would begin in the same few sets. Only pages that were written to exist.
const STRIDE: usize = DATAGRAM_BYTES_MAX + 1 + 17 * 64;

/// Room for [`BATCH_DATAGRAMS`] datagrams of up to [`DATAGRAM_BYTES_MAX`] bytes, and what the last call put there.
#[derive(Debug)]
pub(super) struct Receive {
    bytes: Vec<u8>,
    names: Vec<Name>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Receive {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; STRIDE * BATCH_DATAGRAMS],
            names: vec![Name::empty(); BATCH_DATAGRAMS],
            iovecs: vec![libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH_DATAGRAMS],
            headers: vec![libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH_DATAGRAMS],
        }
    }

    /// Takes what is there, up to a batch; how many datagrams. Zero: nothing is there.
    ///
    /// # Errors
    /// A pending ICMP error of an earlier send (it is then no longer pending, but stays in the error queue), or a socket's own.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for (iovec, chunk) in self.iovecs.iter_mut().zip(self.bytes.chunks_exact_mut(STRIDE)) {
            *iovec = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: DATAGRAM_BYTES_MAX };
        }
        aim(&mut self.headers, &mut self.names, &mut self.iovecs);
        let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        // SAFETY: each of the `count` headers was pointed above at a name and an iovec of this value, each iovec at
        // DATAGRAM_BYTES_MAX bytes of a chunk of its own, and nothing refers to any of them during the call.
        let got = unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, null_mut()) };
        usize::try_from(got).or_else(|_| match io::Error::last_os_error() {
            error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            error => Err(error),
        })
    }

    /// The source and the bytes of datagram number `at` of the last batch; `None` when it did not fit, or its source has no address.
    pub(super) fn datagram(&self, at: usize) -> Option<(SocketAddr, &[u8])> {
        let header = &self.headers[at];
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let start = at * STRIDE;
        Some((self.names[at].address()?, &self.bytes[start..start + header.msg_len as usize]))
    }
}
