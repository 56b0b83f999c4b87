//! The sockets' error queues: which datagrams of ours drew an ICMP error.
//!
//! RFC 3261 §18.4: host, network, port or protocol unreachable and parameter problems are failures in sending; source quench and
//! time exceeded are not. Neither is "packet too big": the kernel lowers its path MTU, and the retransmission fits.

use super::counters::IoStats;
use super::name::{Name, empty_header};
use super::runs::Runs;
use crate::limits::ICMP_ERRORS;
use crate::proxy::{Outbox, SocketId};
use core::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of the returned datagram that are kept: what fits into the largest ICMPv6 error (RFC 4443 §2.4: 1,280 bytes).
const PREFIX_BYTES: usize = 1280;
/// Room for control messages: sock_extended_err with an address takes 64 bytes.
const CONTROL_WORDS: usize = 32;

// RFC 792 and RFC 4443 §2.1.
const ICMP_UNREACHABLE: u8 = 3;
const ICMP_FRAGMENTATION_NEEDED: u8 = 4;
const ICMP_PARAMETER_PROBLEM: u8 = 12;
const ICMPV6_UNREACHABLE: u8 = 1;
const ICMPV6_PARAMETER_PROBLEM: u8 = 4;

/// One datagram that did not arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undelivered<'a> {
    /// By which socket it was sent, or one of the same group.
    pub(super) socket: SocketId,
    /// Where it was sent.
    pub(super) destination: SocketAddr,
    /// How it begins.
    pub(super) sent: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    socket: SocketId,
    destination: SocketAddr,
    bytes: usize,
}

/// The errors that were read and not yet told.
#[derive(Debug)]
pub(super) struct Errors {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    control: [u64; CONTROL_WORDS],
    /// How many were already looked at by [`Errors::spread`].
    spread: usize,
}

impl Errors {
    pub(super) fn new() -> Self {
        let bytes = vec![0; ICMP_ERRORS * PREFIX_BYTES];
        Self { entries: Vec::with_capacity(ICMP_ERRORS), bytes, control: [0; CONTROL_WORDS], spread: 0 }
    }

    /// Reads the error queue of `socket`, as far as there is room.
    pub(super) fn drain(&mut self, id: SocketId, socket: BorrowedFd<'_>, counts: &mut IoStats) {
        // Ignored errors take no room: the bound holds for them too.
        for _ in 0..ICMP_ERRORS {
            if self.entries.len() == ICMP_ERRORS {
                return;
            }
            match self.next(id, socket) {
                None => return clear_pending(socket),
                Some(Some(entry)) => {
                    counts.icmp_errors += 1;
                    self.entries.push(entry);
                }
                Some(None) => counts.icmp_ignored += 1,
            }
        }
    }

    /// A receive call on `socket` failed: by an ICMP error that came after the wait, most likely, and then what was sent to us is
    /// still there in the next turn.
    pub(super) fn after_failure(&mut self, id: SocketId, socket: BorrowedFd<'_>, counts: &mut IoStats) {
        let before = counts.icmp_errors + counts.icmp_ignored;
        self.drain(id, socket, counts);
        counts.receive_errors += u64::from(counts.icmp_errors + counts.icmp_ignored == before);
    }

    /// Once for each error: the other messages of the runs of `out` that it is about, too, have failed.
    pub(super) fn spread(&mut self, out: &Outbox, runs: &Runs, failed: &mut Vec<usize>) {
        let fresh = self.iter().skip(self.spread);
        failed.extend(fresh.flat_map(|error| runs.behind(out, error.destination, error.sent)));
        self.spread = self.entries.len();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Undelivered<'_>> {
        self.entries.iter().zip(self.bytes.chunks_exact(PREFIX_BYTES)).map(|(entry, chunk)| Undelivered {
            socket: entry.socket,
            destination: entry.destination,
            sent: &chunk[..entry.bytes],
        })
    }

    /// They were told.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.spread = 0;
    }

    /// One error off the queue: `None` when it is empty, `Some(None)` when the error does not matter.
    fn next(&mut self, id: SocketId, socket: BorrowedFd<'_>) -> Option<Option<Entry>> {
        let start = self.entries.len() * PREFIX_BYTES;
        let prefix = &mut self.bytes[start..start + PREFIX_BYTES];
        let mut name = Name::empty();
        let mut iovec = libc::iovec { iov_base: prefix.as_mut_ptr().cast(), iov_len: prefix.len() };
        let mut header = empty_header();
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = Name::BYTES;
        header.msg_iov = &raw mut iovec;
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>() as _;
        // SAFETY: name, iovec with its prefix, and control block live through the call and are as long as the header says.
        let got =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
        let bytes = usize::try_from(got).ok()?;
        // SAFETY: the kernel filled the header and the control block in the call above; both are still alive and unchanged.
        let matters = unsafe { extended_error(&header) }.is_some_and(|error| is_failure(&error));
        // The kernel gives the address that the datagram was sent to as the name.
        let destination = name.address().filter(|_| matters);
        Some(destination.map(|destination| Entry { socket: id, destination, bytes }))
    }
}

/// The error in a received header's control block.
///
/// # Safety
/// `header` must be as recvmsg filled it, its control block alive and aligned for `cmsghdr`.
// SAFETY: a contract for its callers, stated above.
unsafe fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: by this function's contract the macros walk inside the control block; the kernel wrote a whole sock_extended_err
    // behind each header of these two kinds, which may stand unaligned.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = at.as_ref() {
            match (control.cmsg_level, control.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                    return Some(libc::CMSG_DATA(at).cast::<libc::sock_extended_err>().read_unaligned());
                }
                _ => at = libc::CMSG_NXTHDR(header, at),
            }
        }
    }
    None
}

/// RFC 3261 §18.4.
const fn is_failure(error: &libc::sock_extended_err) -> bool {
    match (error.ee_origin, error.ee_type) {
        (libc::SO_EE_ORIGIN_ICMP, ICMP_UNREACHABLE) => error.ee_code != ICMP_FRAGMENTATION_NEEDED,
        (libc::SO_EE_ORIGIN_ICMP, ICMP_PARAMETER_PROBLEM) => true,
        (libc::SO_EE_ORIGIN_ICMP6, ICMPV6_UNREACHABLE | ICMPV6_PARAMETER_PROBLEM) => true,
        _ => false,
    }
}

/// An error may be pending without standing in the queue (it was full): unless it is taken, poll would report it for ever.
fn clear_pending(socket: BorrowedFd<'_>) {
    let mut error: libc::c_int = 0;
    let mut bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: writes at most `bytes` bytes into `error`. The value says nothing that the queue did not say.
    unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn error(ee_origin: u8, ee_type: u8, ee_code: u8) -> libc::sock_extended_err {
        libc::sock_extended_err { ee_errno: 0, ee_origin, ee_type, ee_code, ee_pad: 0, ee_info: 0, ee_data: 0 }
    }

    #[test]
    fn rfc_3261_18_4_unreachable_and_parameter_problem_are_failures_and_nothing_else_is() {
        const V4: u8 = libc::SO_EE_ORIGIN_ICMP;
        const V6: u8 = libc::SO_EE_ORIGIN_ICMP6;
        for (origin, kind, code) in
            [(V4, 3, 0), (V4, 3, 1), (V4, 3, 2), (V4, 3, 3), (V4, 12, 0), (V6, 1, 4), (V6, 4, 0)]
        {
            assert!(is_failure(&error(origin, kind, code)), "{origin} {kind} {code}");
        }
        // Too big, source quench, time exceeded; for IPv6 too big, time exceeded; a local error.
        for (origin, kind, code) in [(V4, 3, 4), (V4, 4, 0), (V4, 11, 0), (V6, 2, 0), (V6, 3, 0), (1, 3, 3), (0, 0, 0)]
        {
            assert!(!is_failure(&error(origin, kind, code)), "{origin} {kind} {code}");
        }
    }
}
