//! Receiving a batch with one call.

use super::{Address, BATCH, Socket, empty_header};
use core::ptr::null_mut;

/// The longest datagram that is read, bytes.
const DATAGRAM_BYTES: usize = 8 << 10;
/// From one buffer to the next; odd cache lines spread the beginnings over a cache's sets.
const STRIDE: usize = DATAGRAM_BYTES + 17 * 64;

/// Room for a batch.
#[derive(Debug)]
pub(crate) struct Receive {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_in>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Receive {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; STRIDE * BATCH],
            names: vec![Address::default().name(); BATCH],
            iovecs: vec![libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH],
            headers: vec![libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH],
        }
    }

    /// Takes what is there, at most [`BATCH`] datagrams; how many.
    pub(crate) fn receive(&mut self, socket: &Socket) -> usize {
        for at in 0..BATCH {
            let iov_base = self.bytes[at * STRIDE..].as_mut_ptr().cast();
            self.iovecs[at] = libc::iovec { iov_base, iov_len: DATAGRAM_BYTES };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = (&raw mut self.names[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut self.iovecs[at];
            header.msg_iovlen = 1;
        }
        // SAFETY: each header was pointed above at a name and an iovec of this value, each iovec at bytes of its own.
        let got = unsafe {
            libc::recvmmsg(socket.fd(), self.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, null_mut())
        };
        usize::try_from(got).unwrap_or(0)
    }

    /// Source and bytes of one datagram of the last batch.
    pub(crate) fn datagram(&self, at: usize) -> (Address, &[u8]) {
        let start = at * STRIDE;
        (Address::of_name(&self.names[at]), &self.bytes[start..start + self.headers[at].msg_len as usize])
    }
}
