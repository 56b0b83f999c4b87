//! The headers by which runs pass to the kernel: each with its destination, its pieces, and how it is to be cut.

use super::name::{Name, empty_header};
use super::runs::Runs;
use crate::proxy::{Outbox, SocketId};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Words of the control message that says how long the datagrams of a run are.
const CONTROL_WORDS: usize = 4;

/// One header for each run of an outbox. Written anew for each outbox, so no pointer in it outlives that; the memory is reused.
#[derive(Debug, Default)]
pub(super) struct Passages {
    names: Vec<(Name, u32)>,
    iovecs: Vec<libc::iovec>,
    controls: Vec<[u64; CONTROL_WORDS]>,
    headers: Vec<libc::mmsghdr>,
    /// Which run each of them is.
    runs: Vec<usize>,
}

impl Passages {
    /// Writes those of the runs that leave by `socket`, or all.
    ///
    /// The headers hold until `out` changes, or the next call.
    pub(super) fn write(&mut self, out: &Outbox, runs: &Runs, socket: Option<SocketId>) {
        self.names.clear();
        self.iovecs.clear();
        self.headers.clear();
        self.runs.clear();
        for (at, run) in runs.iter().enumerate().filter(|(_, run)| socket.is_none_or(|socket| run.socket == socket)) {
            self.runs.push(at);
            self.names.push(Name::new(run.destination));
            let pieces = runs.places(run).filter_map(|place| out.get(place)).map(|message| libc::iovec {
                iov_base: message.bytes.as_ptr().cast_mut().cast(),
                iov_len: message.bytes.len(),
            });
            self.iovecs.extend(pieces);
            let mut msg_hdr = empty_header();
            msg_hdr.msg_iovlen = run.count;
            self.headers.push(libc::mmsghdr { msg_hdr, msg_len: 0 });
        }
        self.controls.resize(self.controls.len().max(self.headers.len()), [0; CONTROL_WORDS]);
        self.aim();
    }

    /// Nothing moves any more: the headers are pointed at what belongs to them.
    fn aim(&mut self) {
        let mut pieces = self.iovecs.iter_mut();
        let parts = self.headers.iter_mut().zip(&mut self.names).zip(&mut self.controls);
        for ((libc::mmsghdr { msg_hdr: header, .. }, (name, name_bytes)), control) in parts {
            header.msg_name = core::ptr::from_mut(name).cast();
            header.msg_namelen = *name_bytes;
            let count = header.msg_iovlen;
            // By way of the slice, so that the pointer is good for all of it.
            let (run, rest) = core::mem::take(&mut pieces).into_slice().split_at_mut(count);
            header.msg_iov = run.as_mut_ptr();
            if count > 1 {
                cut(header, control, run[0].iov_len);
            }
            pieces = rest.iter_mut();
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.headers.len()
    }

    /// Which run number `at` is.
    pub(super) fn run(&self, at: usize) -> usize {
        self.runs[at]
    }

    /// The destination of number `at`, and how many bytes of it count.
    pub(super) fn name(&self, at: usize) -> &(Name, u32) {
        &self.names[at]
    }

    /// The headers from number `at` on.
    pub(super) fn headers(&mut self, at: usize) -> &mut [libc::mmsghdr] {
        &mut self.headers[at..]
    }
}

/// Makes `header` ask for datagrams of so many bytes (`UDP_SEGMENT`, udp(7)), by this control message.
fn cut(header: &mut libc::msghdr, control: &mut [u64; CONTROL_WORDS], bytes: usize) {
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: the control block has room for one header and two bytes, and is aligned as a cmsghdr must be.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
        let message = libc::CMSG_FIRSTHDR(core::ptr::from_ref(header));
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(bytes as u16);
    }
}

/// Sends one datagram, with a system call of its own.
///
/// # Errors
/// Its own, or an ICMP error that another one drew.
pub(super) fn send_now(socket: BorrowedFd<'_>, bytes: &[u8], (name, name_bytes): &(Name, u32)) -> io::Result<()> {
    // SAFETY: the kernel reads `bytes` and the first `name_bytes` of `name`, which both live through the call.
    let sent = unsafe {
        let name = core::ptr::from_ref(name).cast();
        libc::sendto(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT, name, *name_bytes)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A full socket buffer or device queue says nothing about the destination: as good as lost on the way.
pub(super) fn is_lost(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM))
}
