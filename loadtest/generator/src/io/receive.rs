//! Receiving a batch with one call.
//!
//! With UDP_GRO, datagrams that their sender gave to the kernel as one (UDP_SEGMENT, udp(7)) come as one where nothing on the way had
//! to cut them: one passage, and its datagrams are all of one size but for the last.

use super::{Address, BATCH, Socket, empty_header};
use core::ptr::null_mut;

/// The longest datagram that is read, bytes, and the longest passage of several.
const DATAGRAM_BYTES: usize = 8 << 10;
const JOINED_BYTES: usize = 64 << 10;
/// Odd cache lines between buffers spread the beginnings over a cache's sets.
const GAP_BYTES: usize = 17 * 64;
/// Words of the control message that says how long the datagrams of a passage are.
const CONTROL_WORDS: usize = 4;

/// Room for a batch.
#[derive(Debug)]
pub(crate) struct Receive {
    /// Bytes of one buffer.
    room: usize,
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_in>,
    iovecs: Vec<libc::iovec>,
    /// Empty when datagrams come one by one.
    controls: Vec<[u64; CONTROL_WORDS]>,
    headers: Vec<libc::mmsghdr>,
}

impl Receive {
    /// Where `joined`, for sockets that [`Socket::join`] was asked of.
    pub(crate) fn new(joined: bool) -> Self {
        let room = if joined { JOINED_BYTES } else { DATAGRAM_BYTES };
        Self {
            room,
            bytes: vec![0; (room + GAP_BYTES) * BATCH],
            names: vec![Address::default().name(); BATCH],
            iovecs: vec![libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH],
            controls: vec![[0; CONTROL_WORDS]; if joined { BATCH } else { 0 }],
            headers: vec![libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH],
        }
    }

    /// Takes what is there, at most [`BATCH`] passages; how many.
    pub(crate) fn receive(&mut self, socket: &Socket) -> usize {
        let stride = self.room + GAP_BYTES;
        for at in 0..BATCH {
            let iov_base = self.bytes[at * stride..].as_mut_ptr().cast();
            self.iovecs[at] = libc::iovec { iov_base, iov_len: self.room };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = (&raw mut self.names[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut self.iovecs[at];
            header.msg_iovlen = 1;
            if let Some(control) = self.controls.get_mut(at) {
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = size_of_val(control);
            }
        }
        // SAFETY: each header was pointed above at a name, an iovec and a control block of this value, each iovec at bytes of its own.
        let got = unsafe {
            libc::recvmmsg(socket.fd(), self.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, null_mut())
        };
        usize::try_from(got).unwrap_or(0)
    }

    /// Source and datagrams of one passage of the last batch.
    pub(crate) fn passage(&self, at: usize) -> (Address, impl Iterator<Item = &[u8]>) {
        let start = at * (self.room + GAP_BYTES);
        let bytes = &self.bytes[start..start + self.headers[at].msg_len as usize];
        (Address::of_name(&self.names[at]), bytes.chunks(self.cut(at).unwrap_or(self.room)))
    }

    /// Bytes of each datagram of a passage, where there is more than one.
    fn cut(&self, at: usize) -> Option<usize> {
        let header = &raw const self.headers[at].msg_hdr;
        // SAFETY: the header is the one that the kernel filled; it names this value's control block, or none, and how much of it holds
        // messages; one of UDP_GRO has an int behind it.
        unsafe {
            let message = libc::CMSG_FIRSTHDR(header).as_ref()?;
            let is_cut = message.cmsg_level == libc::SOL_UDP && message.cmsg_type == libc::UDP_GRO;
            let bytes = is_cut.then(|| libc::CMSG_DATA(message).cast::<libc::c_int>().read_unaligned())?;
            usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)
        }
    }
}
