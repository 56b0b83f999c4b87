//! The buffers that the kernel takes for received datagrams, and the ring of those that it may take.

use crate::limits::{DATAGRAM_BYTES_MAX, RING_BUFFERS};
use crate::shard::name::Name;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::net::SocketAddr;

/// The group that receives take their buffers from.
pub(super) const GROUP: u16 = 0;

/// What the kernel puts before the datagram: four words (`struct io_uring_recvmsg_out`), then the name.
const PREFIX_BYTES: usize = 16 + Name::BYTES as usize;
/// Of each buffer: enough for the prefix and the longest datagram.
const BUFFER_BYTES: usize = PREFIX_BYTES + DATAGRAM_BYTES_MAX;
/// From one buffer's start to the next: odd cache lines spread them over a cache's sets. Only pages that were written to exist.
const STRIDE: usize = (BUFFER_BYTES.div_ceil(64) | 1) * 64;
/// The ring must begin a page.
const PAGE_BYTES: usize = 4096;

/// The memory of a shard's received datagrams.
#[derive(Debug)]
pub(super) struct Buffers {
    bytes: Vec<u8>,
    /// [`RING_BUFFERS`] entries, of which the kernel reads those up to the tail, which stands in the first one.
    ring: NonNull<BufRingEntry>,
    /// Entries written so far, published or not.
    tail: u16,
}

impl Buffers {
    /// Makes the buffers known to the kernel, all of them free.
    ///
    /// # Errors
    /// When the kernel has no provided buffers (Linux 5.19), or no memory.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        // SAFETY: the layout has a size that is not zero.
        let memory = unsafe { alloc_zeroed(layout()) };
        let Some(ring) = NonNull::new(memory.cast()) else { handle_alloc_error(layout()) };
        let mut buffers = Self { bytes: vec![0; STRIDE * RING_BUFFERS], ring, tail: 0 };
        (0..RING_BUFFERS as u16).for_each(|buffer| buffers.give(buffer));
        buffers.publish();
        // SAFETY: the ring's memory is a whole number of entries on a page of its own, and is freed only with this value, which
        // outlives the io_uring by the order of the fields of its owner.
        unsafe { submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, RING_BUFFERS as u16, GROUP, 0) }?;
        Ok(buffers)
    }

    /// The source and the bytes of the datagram in `buffer`, where the kernel put `bytes` bytes in all; `None` when it did not fit, or
    /// its source has no address.
    pub(super) fn datagram(&self, buffer: u16, bytes: usize) -> Option<(SocketAddr, &[u8])> {
        let start = usize::from(buffer) * STRIDE;
        let whole = self.bytes.get(start..start + bytes.min(BUFFER_BYTES))?;
        let (prefix, datagram) = whole.split_at_checked(PREFIX_BYTES)?;
        // `namelen`, `controllen`, `payloadlen`, `flags`: a payload longer than what follows was cut.
        let payload_bytes = u32::from_ne_bytes(prefix[8..12].try_into().ok()?);
        if payload_bytes as usize != datagram.len() {
            return None;
        }
        Some((Name::read(&prefix[16..])?.address()?, datagram))
    }

    /// `buffer` is free again, for the kernel with the next [`Buffers::publish`].
    pub(super) fn give(&mut self, buffer: u16) {
        let at = usize::from(self.tail) % RING_BUFFERS;
        let address = &raw mut self.bytes[usize::from(buffer) * STRIDE];
        // SAFETY: `at` is within the ring; the kernel does not read entries beyond the published tail. The tail itself shares the first
        // entry's memory, in a field that none of these three touches.
        unsafe {
            let entry = &mut *self.ring.as_ptr().add(at);
            entry.set_addr(address as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// The kernel may take what was given.
    pub(super) fn publish(&self) {
        // SAFETY: the tail is an aligned u16 in the ring's memory, which only this thread writes.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        // Release: the entries are written before the kernel sees the tail.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with the same layout, and nobody else has it.
        unsafe { dealloc(self.ring.as_ptr().cast(), layout()) };
    }
}

fn layout() -> Layout {
    // Invariant: a page is a power of two, and the ring far smaller than an address space.
    Layout::from_size_align(size_of::<BufRingEntry>() * RING_BUFFERS, PAGE_BYTES).expect("a small layout")
}
