//! Sending what a turn has written, in batches.
//!
//! With UDP_SEGMENT, messages of one size from one socket to one destination go through the kernel as one: half its cost is per
//! passage. They are sorted for that, so messages of different sizes may change places within a turn; equal ones keep theirs.

use super::{Address, BATCH, Socket, empty_header};
use crate::number::Lengths;
use core::ptr::null_mut;
use std::io;
use std::os::fd::RawFd;

/// What a turn is expected to write at most; more only makes memory grow once.
const EXPECTED_BYTES: usize = 1 << 20;
/// Segments and bytes of one passage (`UDP_MAX_SEGMENTS` is 64 on older kernels).
const SEGMENTS_MAX: usize = 64;
const PASSAGE_BYTES_MAX: usize = 60_000;
/// Words of the control message that says how large segments are.
const CONTROL_WORDS: usize = 4;

/// One message: by which socket, where to, how long it is and where it begins in the arena. As one number, in this order, so that
/// sorting is cheap and puts what may leave together side by side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry(u128);

impl Entry {
    fn new(socket: u16, to: Address, bytes: u32, at: u32) -> Self {
        let head = u64::from(socket) << 48 | u64::from(to.ip) << 16 | u64::from(to.port);
        Self(u128::from(head) << 64 | u128::from(bytes) << 32 | u128::from(at))
    }

    const fn socket(self) -> u16 {
        (self.0 >> 112) as u16
    }

    const fn to(self) -> Address {
        Address { ip: (self.0 >> 80) as u32, port: (self.0 >> 64) as u16 }
    }

    const fn bytes(self) -> usize {
        (self.0 >> 32) as u32 as usize
    }

    const fn at(self) -> usize {
        self.0 as u32 as usize
    }

    /// Whether both may leave as one.
    const fn is_like(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }
}

/// Messages that are to be sent.
#[derive(Debug)]
pub(crate) struct Outbox {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    begun: usize,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { arena: Vec::with_capacity(EXPECTED_BYTES), entries: Vec::with_capacity(4096), begun: 0 }
    }

    /// Begins a message.
    pub(crate) fn begin(&mut self) {
        self.begun = self.arena.len();
    }

    /// Adds to the message; what was added may still be changed.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut [u8] {
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        &mut self.arena[at..]
    }

    /// Adds a number in decimal.
    pub(crate) fn put_number(&mut self, number: usize) {
        let (mut digits, mut at, mut left) = ([0u8; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }

    /// Ends a message with the length of its body, and the body.
    pub(crate) fn put_body(&mut self, usual: &[u8], lengths: Lengths) {
        let more = lengths.body();
        self.put_number(usual.len() + more.iter().map(|part| part.len()).sum::<usize>());
        self.put(b"\r\n\r\n");
        self.put(usual);
        for part in more {
            self.put(part);
        }
    }

    /// Ends the message: from the socket at this place, to this address.
    pub(crate) fn end(&mut self, socket: u16, to: Address) {
        let bytes = (self.arena.len() - self.begun) as u32;
        self.entries.push(Entry::new(socket, to, bytes, self.begun as u32));
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(crate) fn message(&self, at: usize) -> &[u8] {
        let entry = self.entries[at];
        &self.arena[entry.at()..][..entry.bytes()]
    }

    #[cfg(test)]
    pub(crate) fn socket(&self, at: usize) -> u16 {
        self.entries[at].socket()
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}

/// Room for the headers of one batch.
#[derive(Debug)]
pub(crate) struct Send {
    segment: bool,
    /// The sockets know where everything goes.
    connected: bool,
    names: Vec<libc::sockaddr_in>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    controls: Vec<[u64; CONTROL_WORDS]>,
    /// Messages that the kernel did not take: as good as lost.
    pub(crate) failed: u64,
}

impl Send {
    pub(crate) fn new(segment: bool, connected: bool) -> Self {
        Self {
            segment,
            connected,
            names: vec![Address::default().name(); BATCH],
            iovecs: Vec::with_capacity(BATCH * SEGMENTS_MAX),
            headers: vec![libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH],
            controls: vec![[0; CONTROL_WORDS]; BATCH],
            failed: 0,
        }
    }

    /// Sends everything and empties the outbox.
    pub(crate) fn send(&mut self, sockets: &[Socket], out: &mut Outbox) {
        if self.segment {
            // Equal ones stay in order.
            out.entries.sort_unstable();
        } else if sockets.len() > 1 {
            out.entries.sort_unstable_by_key(|entry| (entry.socket(), entry.at()));
        }
        let mut at = 0;
        while at < out.entries.len() {
            let socket = out.entries[at].socket();
            let (passages, end) = self.fill(&out.arena, &out.entries, at);
            self.pass(sockets[usize::from(socket)].fd(), passages);
            at = end;
        }
        out.clear();
    }

    /// Fills headers with messages of one socket from `start` on; how many headers, and where the rest begins.
    fn fill(&mut self, arena: &[u8], entries: &[Entry], start: usize) -> (usize, usize) {
        self.iovecs.clear();
        let (mut header, mut at) = (0, start);
        while header < BATCH && at < entries.len() && entries[at].socket() == entries[start].socket() {
            let first = entries[at];
            let most = if self.segment { SEGMENTS_MAX.min(PASSAGE_BYTES_MAX / first.bytes().max(1)).max(1) } else { 1 };
            let run = entries[at..].iter().take(most).take_while(|entry| entry.is_like(first)).count().max(1);
            let from = self.iovecs.len();
            self.iovecs.extend(entries[at..at + run].iter().map(|entry| libc::iovec {
                iov_base: arena[entry.at()..].as_ptr().cast_mut().cast(),
                iov_len: entry.bytes(),
            }));
            self.names[header] = first.to().name();
            self.head(header, from, run, first.bytes());
            header += 1;
            at += run;
        }
        (header, at)
    }

    fn head(&mut self, at: usize, iovec: usize, run: usize, bytes: usize) {
        let control = &mut self.controls[at];
        let header = &mut self.headers[at].msg_hdr;
        (header.msg_name, header.msg_namelen) = (null_mut(), 0);
        if !self.connected {
            header.msg_name = (&raw mut self.names[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        }
        // The iovecs never move: `fill` stays within the room they were made with.
        header.msg_iov = &raw mut self.iovecs[iovec];
        header.msg_iovlen = run;
        (header.msg_control, header.msg_controllen) = (null_mut(), 0);
        if run > 1 {
            header.msg_control = control.as_mut_ptr().cast();
            // SAFETY: the control block has room for one header and two bytes, and is aligned as a cmsghdr must be.
            unsafe {
                header.msg_controllen = libc::CMSG_SPACE(2) as usize;
                let message = libc::CMSG_FIRSTHDR(&raw const *header);
                (*message).cmsg_level = libc::SOL_UDP;
                (*message).cmsg_type = libc::UDP_SEGMENT;
                (*message).cmsg_len = libc::CMSG_LEN(2) as usize;
                libc::CMSG_DATA(message).cast::<u16>().write_unaligned(bytes as u16);
            }
        }
    }

    fn pass(&mut self, socket: RawFd, count: usize) {
        let (mut at, mut again) = (0, false);
        while at < count {
            let headers = &mut self.headers[at..count];
            // SAFETY: `head` pointed these headers at names, iovecs and control blocks of this value, and the iovecs at bytes of
            // the outbox, which `send` borrows throughout; the kernel only reads them.
            let sent =
                unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), headers.len() as u32, libc::MSG_DONTWAIT) };
            let refused = sent < 0 && io::Error::last_os_error().kind() == io::ErrorKind::ConnectionRefused;
            if refused && !again {
                // An ICMP error that an earlier message drew: told once, by the next send.
                again = true;
                continue;
            }
            again = false;
            if let Ok(sent) = usize::try_from(sent) {
                at += sent.max(1);
            } else {
                self.failed += self.headers[at].msg_hdr.msg_iovlen as u64;
                at += 1;
            }
        }
    }
}
