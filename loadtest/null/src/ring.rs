//! The engine of io_uring: one multishot receive per socket into provided buffers, sends from the same buffers, one system call per
//! turn for sends and wait.

use crate::rule::Rule;
use crate::socket::{NAME_BYTES, Sides, empty_header, trying};
use io_uring::types::{BufRingEntry, Fixed, RecvMsgOut, SubmitArgs};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Buffers, a power of two, and the room of each: the kernel's header, the source, the datagram and what it gains.
const BUFFERS: u16 = 1024;
const ROOM: usize = 4096;
const STRIDE: usize = ROOM + 17 * 64;
/// Submissions that wait at most, and completions that are taken in one turn.
const ENTRIES: u32 = 512;
const TURN: usize = 128;
/// Completions that end a gathering wait.
const WANTED: usize = 16;
const GROUP: u16 = 0;
const PAGE: usize = 4096;

/// The buffers, and the ring by which the kernel is given them. Never freed: the kernel may hold them until the process ends.
struct Buffers {
    bytes: *mut u8,
    ring: *mut BufRingEntry,
    tail: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> io::Result<Self> {
        let allocate = |bytes: usize| {
            // Invariant: page-aligned sizes of a few megabytes are layouts.
            let layout = Layout::from_size_align(bytes, PAGE).expect("layout");
            // SAFETY: the size is not zero.
            let memory = unsafe { alloc_zeroed(layout) };
            if memory.is_null() { handle_alloc_error(layout) } else { memory }
        };
        let entries = allocate(usize::from(BUFFERS) * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        let mut buffers = Self { bytes: allocate(usize::from(BUFFERS) * STRIDE), ring: entries, tail: 0 };
        // SAFETY: the ring's memory is page-aligned, has BUFFERS entries, and is never freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, GROUP, 0)? };
        (0..BUFFERS).for_each(|id| buffers.give(id));
        buffers.publish();
        Ok(buffers)
    }

    /// Gives a buffer to the kernel, which sees it with the next [`Buffers::publish`].
    fn give(&mut self, id: u16) {
        // SAFETY: masked, the place is below BUFFERS; nobody else writes entries beyond the published tail.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail & (BUFFERS - 1))) };
        entry.set_addr(self.start(id) as u64);
        entry.set_len(ROOM as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: the tail stands within the first entry of the ring, aligned, and both sides use it as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn start(&self, id: u16) -> *mut u8 {
        // SAFETY: ids are below BUFFERS, and there are as many strides.
        unsafe { self.bytes.add(usize::from(id) * STRIDE) }
    }

    /// What the kernel has filled.
    fn filled(&self, id: u16, bytes: usize) -> &[u8] {
        // SAFETY: the kernel wrote `bytes` ≤ ROOM bytes of this buffer and leaves it alone until it is given again.
        unsafe { std::slice::from_raw_parts(self.start(id), bytes.min(ROOM)) }
    }
}

/// Forwards until the process ends.
///
/// # Errors
/// When the kernel refuses a ring, or an entry of it.
pub(crate) fn run(sides: Sides, rule: Rule, gather: Duration) -> io::Result<()> {
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(4 * ENTRIES).build(ENTRIES)?;
    ring.submitter().register_files(&sides.sockets.each_ref().map(AsRawFd::as_raw_fd))?;
    let mut buffers = Buffers::new(&ring)?;
    let mut template = empty_header();
    template.msg_namelen = NAME_BYTES;
    let trying = trying(rule.trying_bytes);
    let mut caller = Box::new(sides.callee);
    let callee = Box::new(sides.callee);
    let (mut used, mut rearm) = (Vec::with_capacity(TURN), vec![0u32, 1]);
    let mut taken: Vec<cqueue::Entry> = Vec::with_capacity(TURN);
    loop {
        for side in rearm.drain(..) {
            let entry =
                opcode::RecvMsgMulti::new(Fixed(side), &raw const template, GROUP).build().user_data(side.into());
            push(&mut ring, &entry)?;
        }
        wait(&ring, gather)?;
        // Every send carried MSG_DONTWAIT: it was finished or refused when the submission returned.
        used.drain(..).for_each(|id| buffers.give(id));
        buffers.publish();
        taken.extend(ring.completion().take(TURN));
        for entry in taken.drain(..) {
            let side = entry.user_data();
            if side > 1 {
                continue;
            }
            if !cqueue::more(entry.flags()) {
                rearm.push(side as u32);
            }
            let (Some(id), Ok(bytes)) = (cqueue::buffer_select(entry.flags()), usize::try_from(entry.result())) else {
                continue;
            };
            used.push(id);
            let Ok(message) = RecvMsgOut::parse(buffers.filled(id, bytes), &template) else { continue };
            let payload = message.payload_data();
            if side == 0 {
                read_name(message.name_data(), &mut caller);
                if rule.draws_trying(payload.len()) {
                    push(&mut ring, &send(0, trying.as_ptr(), trying.len(), &caller))?;
                }
                let room = ROOM - (payload.as_ptr() as usize - buffers.start(id) as usize);
                push(&mut ring, &send(1, payload.as_ptr(), rule.request(payload.len(), room), &callee))?;
            } else {
                push(&mut ring, &send(0, payload.as_ptr(), rule.response(payload.len()), &caller))?;
            }
        }
    }
}

fn wait(ring: &IoUring, gather: Duration) -> io::Result<()> {
    let waited = if gather.is_zero() {
        ring.submitter().submit_and_wait(1)
    } else {
        let arguments = SubmitArgs::new().min_wait_usec(gather.as_micros() as u32);
        ring.submitter().submit_with_args(WANTED, &arguments)
    };
    match waited.map_err(|error| (error.raw_os_error(), error)) {
        Ok(_) | Err((Some(libc::EINTR | libc::ETIME | libc::EBUSY), _)) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

fn send(side: u32, bytes: *const u8, count: usize, to: &libc::sockaddr_in) -> squeue::Entry {
    opcode::Send::new(Fixed(side), bytes, count as u32)
        .flags(libc::MSG_DONTWAIT)
        .dest_addr((&raw const *to).cast())
        .dest_addr_len(NAME_BYTES)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS)
        .user_data(2)
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: what an entry points at is a buffer that is not given back before the next submission has returned, or lives as long as
    // the ring.
    while unsafe { ring.submission().push(entry) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}

fn read_name(bytes: &[u8], name: &mut libc::sockaddr_in) {
    if bytes.len() == NAME_BYTES as usize {
        // SAFETY: as many bytes as a sockaddr_in has, all of whose values are valid, read without regard to alignment.
        *name = unsafe { bytes.as_ptr().cast::<libc::sockaddr_in>().read_unaligned() };
    }
}
