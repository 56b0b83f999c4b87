//! The engine of recvmmsg and sendmmsg: wait, take a batch, send it, again.

use crate::rule::Rule;
use crate::socket::{BATCH, NAME_BYTES, Sides, empty_header, trying};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};
use std::time::Duration;

/// Room of one datagram with what it gains, and from one to the next.
const ROOM: usize = 4096;
const STRIDE: usize = ROOM + 17 * 64;

struct Engine {
    sides: Sides,
    rule: Rule,
    trying: Vec<u8>,
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_in>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    caller: libc::sockaddr_in,
}

/// Forwards until the process ends.
///
/// # Errors
/// Only when the kernel can no longer wait.
pub(crate) fn run(sides: Sides, rule: Rule, gather: Duration) -> io::Result<()> {
    let mut engine = Engine {
        trying: trying(rule.trying_bytes),
        bytes: vec![b' '; STRIDE * BATCH],
        names: vec![sides.callee; BATCH],
        iovecs: vec![libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH],
        headers: vec![libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH],
        caller: sides.callee,
        sides,
        rule,
    };
    let mut fds = [0, 1].map(|side| libc::pollfd { fd: engine.fd(side), events: libc::POLLIN, revents: 0 });
    loop {
        // SAFETY: two descriptors, no time limit, no signal mask.
        if unsafe { libc::ppoll(fds.as_mut_ptr(), 2, null(), null()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        for (side, fd) in fds.iter().enumerate() {
            if fd.revents != 0 {
                engine.forward(side);
            }
        }
        if !gather.is_zero() {
            std::thread::sleep(gather);
        }
    }
}

impl Engine {
    fn fd(&self, side: usize) -> i32 {
        self.sides.sockets[side].as_raw_fd()
    }

    /// One batch from `side` to the other.
    fn forward(&mut self, side: usize) {
        let count = self.receive(side);
        let mut invites = 0;
        for at in 0..count {
            let bytes = self.headers[at].msg_len as usize;
            invites += usize::from(side == 0 && self.rule.draws_trying(bytes));
            let bytes = if side == 0 { self.rule.request(bytes, ROOM) } else { self.rule.response(bytes) };
            self.iovecs[at].iov_len = bytes;
        }
        if side == 0 && count > 0 {
            self.caller = self.names[0];
        }
        self.answer(invites);
        let name = if side == 0 { self.sides.callee } else { self.caller };
        for at in 0..count {
            let iov_base = self.bytes[at * STRIDE..].as_mut_ptr().cast();
            self.aim(at, libc::iovec { iov_base, ..self.iovecs[at] }, name);
        }
        self.send(1 - side, count);
    }

    /// Sends so many 100s to the caller, through headers and addresses that are free again: the iovecs' lengths are kept.
    fn answer(&mut self, count: usize) {
        let mut iovec = libc::iovec { iov_base: self.trying.as_mut_ptr().cast(), iov_len: self.trying.len() };
        let mut name = self.caller;
        for header in &mut self.headers[..count] {
            header.msg_hdr.msg_name = (&raw mut name).cast();
            header.msg_hdr.msg_namelen = NAME_BYTES;
            header.msg_hdr.msg_iov = &raw mut iovec;
            header.msg_hdr.msg_iovlen = 1;
        }
        self.send(0, count);
    }

    fn aim(&mut self, at: usize, iovec: libc::iovec, name: libc::sockaddr_in) {
        (self.iovecs[at], self.names[at]) = (iovec, name);
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = (&raw mut self.names[at]).cast();
        header.msg_namelen = NAME_BYTES;
        header.msg_iov = &raw mut self.iovecs[at];
        header.msg_iovlen = 1;
    }

    fn receive(&mut self, side: usize) -> usize {
        for at in 0..BATCH {
            let iov_base = self.bytes[at * STRIDE..].as_mut_ptr().cast();
            self.aim(at, libc::iovec { iov_base, iov_len: ROOM }, self.caller);
        }
        let headers = self.headers.as_mut_ptr();
        // SAFETY: `aim` pointed each header at a name and an iovec of this value, and each iovec at ROOM bytes of its own.
        let got = unsafe { libc::recvmmsg(self.fd(side), headers, BATCH as u32, libc::MSG_DONTWAIT, null_mut()) };
        usize::try_from(got).unwrap_or(0)
    }

    fn send(&mut self, side: usize, count: usize) {
        let mut at = 0;
        while at < count {
            let headers = self.headers[at..count].as_mut_ptr();
            // SAFETY: the headers point at names, iovecs and bytes that live through the call, which only reads them.
            let sent = unsafe { libc::sendmmsg(self.fd(side), headers, (count - at) as u32, libc::MSG_DONTWAIT) };
            // What is not taken is lost, as anywhere on a network.
            at += usize::try_from(sent).unwrap_or(1).max(1);
        }
    }
}
