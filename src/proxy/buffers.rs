//! Memory for stored messages: what a transaction keeps to send again.
//!
//! Policy:
//! - A message lies in the smallest of twelve classes that holds it, 256 bytes to 64 KiB.
//! - Memory comes in blocks of 2 MiB, each of 32 spans; a span is cut into buffers of one class. One that is empty again may
//!   become another class's, so with any mix of sizes nothing is allocated once there are as many spans as it needs.
//! - What is in use never passes `bytes_max`. Spans that hold only little can need more: an eighth, and one for each class; beyond
//!   that a message is refused as well.
//! - A [`Buffer`] does not know its pool; its owner must [`Buffers::give`] it back. One that is dropped instead stays counted:
//!   `in_use_bytes` does not return to zero, and that is how the fault shows.
//!
//! Invariants:
//! - A slot of a span is idle if and only if its bit is set; a [`Buffer`] is the only one that may touch the bytes of its slot.
//! - In the list of a class are exactly its spans that have an idle slot, at most one of them without a message; all other spans
//!   without one are in `empty`.

use super::memory::{Prepare, as_it_comes};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

/// Sizes of the classes in bytes, ascending. The last holds any UDP payload.
pub(crate) const CLASS_BYTES: [usize; 12] = [256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 4096, 16_384, SPAN_BYTES];

const SPAN_BYTES: usize = 65_536;
const SPANS_PER_BLOCK: usize = 32;
/// A block is as large as a huge page and lies like one.
// SAFETY: a power of two is its own multiple, and this one is far from the end of the address space.
const BLOCK: Layout =
    unsafe { Layout::from_size_align_unchecked(SPAN_BYTES * SPANS_PER_BLOCK, SPAN_BYTES * SPANS_PER_BLOCK) };
const WORDS: usize = SPAN_BYTES / CLASS_BYTES[0] / 64;
/// Ends a list of spans.
const NONE: u32 = u32::MAX;

/// A stored message: its bytes, in one slot of a span.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    span: u32,
    len: u16,
    slot: u8,
}

// SAFETY: nobody else touches the bytes of its slot, and it may do so in any thread.
unsafe impl Send for Buffer {}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `fill` has written these bytes, and only who has the buffer mutably writes there again. The block is freed only with
        // a pool that has none of its bytes in use (`Buffers::drop`).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len.into()) }
    }
}

impl fmt::Debug for Buffer {
    /// Sizes only: messages carry people's numbers and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

/// A block of spans.
#[derive(Debug)]
struct Block(NonNull<u8>);

// SAFETY: it only owns memory.
unsafe impl Send for Block {}

impl Block {
    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(BLOCK) };
        NonNull::new(start).map_or_else(|| handle_alloc_error(BLOCK), Self)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and no buffer in it is left (`Buffers::drop`).
        unsafe { dealloc(self.0.as_ptr(), BLOCK) };
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.in_use_bytes > 0 {
            core::mem::forget(core::mem::take(&mut self.blocks));
        }
    }
}

/// What is known of a span.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// One bit for each slot, set while that is idle.
    idle: [u64; WORDS],
    class: u8,
    in_use: u16,
    /// Neighbours in the list of its class.
    next: u32,
    prev: u32,
}

/// A bounded pool of [`Buffer`]s.
///
/// One that goes before its buffers leaves their memory behind for good, so that they stay what they are: a fault of ours that costs
/// memory, and nothing else.
#[derive(Debug)]
pub(crate) struct Buffers {
    blocks: Vec<Block>,
    spans: Vec<Span>,
    /// Spans without a message; the last one is the next that is used.
    empty: Vec<u32>,
    /// The first span of each class that has an idle slot.
    first: [u32; CLASS_BYTES.len()],
    in_use_bytes: usize,
    bytes_max: usize,
    spans_max: usize,
    prepare: Prepare,
}

impl Buffers {
    /// An empty pool that holds at most `bytes_max` bytes, counted in whole classes. Allocates nothing yet.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let spans_max = (bytes_max / SPAN_BYTES).saturating_add(bytes_max / SPAN_BYTES / 8 + CLASS_BYTES.len());
        let first = [NONE; CLASS_BYTES.len()];
        let (blocks, spans, empty) = (Vec::new(), Vec::new(), Vec::new());
        Self { blocks, spans, empty, first, in_use_bytes: 0, bytes_max, spans_max, prepare: as_it_comes }
    }

    /// The same, whose memory is shown to `prepare`.
    pub(crate) fn prepared_by(self, prepare: Prepare) -> Self {
        let mut pool = self;
        pool.prepare = prepare;
        pool
    }

    /// Allocates blocks for `bytes` bytes, no more than the bound, and shows them to `touch`.
    pub(crate) fn make_room(&mut self, bytes: usize, touch: Prepare) {
        while self.spans.len() * SPAN_BYTES < bytes && self.add_block().is_some() {
            self.blocks.last().into_iter().for_each(|block| touch(block.0.as_ptr(), BLOCK.size()));
        }
    }

    /// Copies `bytes` into a buffer. None when the pool is full or `bytes` is longer than any datagram; the caller counts it.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Option<Buffer> {
        let class = class_of(bytes.len())?;
        if CLASS_BYTES[class] > self.bytes_max.saturating_sub(self.in_use_bytes) {
            return None;
        }
        self.fill(class, bytes)
    }

    /// Takes a buffer of this pool back for reuse.
    pub(crate) fn give(&mut self, buffer: Buffer) {
        let Buffer { span: number, slot, .. } = buffer;
        let Some(span) = self.spans.get_mut(number as usize) else { return };
        let (word, bit, class) = (usize::from(slot) / 64, 1 << (slot % 64), usize::from(span.class));
        debug_assert!(span.idle[word] & bit == 0, "a buffer of another pool");
        if span.in_use == SLOTS[class] {
            self.link(number);
        }
        let span = &mut self.spans[number as usize];
        span.idle[word] |= bit;
        span.in_use -= 1;
        self.in_use_bytes -= CLASS_BYTES[class];
        // A span that is the only one of its list stays there: the next message of the class goes into it.
        if span.in_use == 0 && (span.next, span.prev) != (NONE, NONE) {
            self.unlink(number);
            self.empty.push(number);
        }
    }

    /// Stores `bytes` in place of `old`, in the same memory if the class is the same. When they do not fit (see
    /// [`Buffers::store`]), gives `old` back unchanged as the error.
    pub(crate) fn replace(&mut self, mut old: Buffer, bytes: &[u8]) -> Result<Buffer, Buffer> {
        let Some(class) = class_of(bytes.len()) else {
            return Err(old);
        };
        let old_bytes = self.class_bytes(&old);
        if CLASS_BYTES[class] == old_bytes {
            old.overwrite(bytes);
            return Ok(old);
        }
        if CLASS_BYTES[class] > self.bytes_max.saturating_sub(self.in_use_bytes - old_bytes) {
            return Err(old);
        }
        match self.fill(class, bytes) {
            Some(new) => {
                self.give(old);
                Ok(new)
            }
            None => Err(old),
        }
    }

    /// Bytes of all buffers that were stored and not given back, counted in whole classes.
    pub(crate) fn in_use_bytes(&self) -> usize {
        self.in_use_bytes
    }

    fn class_bytes(&self, buffer: &Buffer) -> usize {
        self.spans.get(buffer.span as usize).map_or(0, |span| CLASS_BYTES[usize::from(span.class)])
    }

    /// A buffer of this class with these bytes; the caller has checked that they are within the bound. None without a span for it.
    #[inline]
    fn fill(&mut self, class: usize, bytes: &[u8]) -> Option<Buffer> {
        if self.first[class] == NONE {
            self.begin_span(class)?;
        }
        let number = self.first[class];
        let span = self.spans.get_mut(number as usize)?;
        let word = span.idle.iter().position(|word| *word != 0)?;
        let slot = word * 64 + span.idle[word].trailing_zeros() as usize;
        span.idle[word] &= span.idle[word] - 1;
        span.in_use += 1;
        if span.in_use == SLOTS[class] {
            self.unlink(number);
        }
        self.in_use_bytes += CLASS_BYTES[class];
        let block = self.blocks.get(number as usize / SPANS_PER_BLOCK)?;
        let offset = number as usize % SPANS_PER_BLOCK * SPAN_BYTES + slot * CLASS_BYTES[class];
        // SAFETY: the span is one of this block, and the slot one of those that lie within the span.
        let start = unsafe { block.0.add(offset) };
        let mut buffer = Buffer { start, span: number, len: 0, slot: slot as u8 };
        buffer.overwrite(bytes);
        Some(buffer)
    }

    /// Puts an empty span into the list of a class that has none. None when there is none left.
    #[cold]
    fn begin_span(&mut self, class: usize) -> Option<()> {
        if self.empty.is_empty() {
            self.add_block()?;
        }
        let number = self.empty.pop()?;
        let count = usize::from(SLOTS[class]);
        let span = self.spans.get_mut(number as usize)?;
        (span.class, span.in_use, span.idle) = (class as u8, 0, [0; WORDS]);
        for (at, word) in span.idle.iter_mut().enumerate() {
            let rest = count.saturating_sub(at * 64);
            *word = if rest >= 64 { u64::MAX } else { (1 << rest) - 1 };
        }
        self.link(number);
        Some(())
    }

    /// A block more, or as much of it as the bound allows. None at the bound.
    fn add_block(&mut self) -> Option<()> {
        let (from, to) = (self.spans.len(), self.spans_max.min(self.spans.len() + SPANS_PER_BLOCK));
        if from == to {
            return None;
        }
        let block = Block::new();
        (self.prepare)(block.0.as_ptr(), BLOCK.size());
        self.blocks.push(block);
        self.spans.resize(to, Span { idle: [0; WORDS], class: 0, in_use: 0, next: NONE, prev: NONE });
        self.empty.extend((from as u32..to as u32).rev());
        // Room for all of them now, so that none is made when one comes back.
        self.empty.reserve_exact(to - self.empty.len());
        Some(())
    }

    /// Puts a span at the head of the list of its class.
    fn link(&mut self, number: u32) {
        let class = usize::from(self.spans[number as usize].class);
        let next = std::mem::replace(&mut self.first[class], number);
        (self.spans[number as usize].next, self.spans[number as usize].prev) = (next, NONE);
        if let Some(next) = self.spans.get_mut(next as usize) {
            next.prev = number;
        }
    }

    /// Takes a span out of the list of its class.
    fn unlink(&mut self, number: u32) {
        let Span { class, next, prev, .. } = self.spans[number as usize];
        match self.spans.get_mut(prev as usize) {
            Some(prev) => prev.next = next,
            None => self.first[usize::from(class)] = next,
        }
        if let Some(next) = self.spans.get_mut(next as usize) {
            next.prev = prev;
        }
    }
}

impl Buffer {
    /// Writes `bytes`, which are of the class of its slot, into it.
    #[inline]
    fn overwrite(&mut self, bytes: &[u8]) {
        // SAFETY: the slot is as long as its class, which holds them; it is ours alone, and `bytes` are not in it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), bytes.len()) };
        self.len = bytes.len() as u16;
    }
}

/// How many buffers of each class lie in a span.
const SLOTS: [u16; CLASS_BYTES.len()] = {
    let mut slots = [0; CLASS_BYTES.len()];
    let mut class = 0;
    while class < slots.len() {
        slots[class] = (SPAN_BYTES / CLASS_BYTES[class]) as u16;
        class += 1;
    }
    slots
};

/// The class of messages up to 2,048 bytes, nearly all, by their length in units of 128 bytes, rounded up.
const CLASS_OF_UNITS: [u8; 17] = {
    let mut classes = [0; 17];
    let (mut units, mut class) = (0, 0);
    while units < classes.len() {
        while CLASS_BYTES[class] < units * 128 {
            class += 1;
        }
        classes[units] = class as u8;
        units += 1;
    }
    classes
};

/// The smallest class that holds `len` bytes.
#[inline]
fn class_of(len: usize) -> Option<usize> {
    match CLASS_OF_UNITS.get(len.div_ceil(128)) {
        Some(class) => Some((*class).into()),
        None if len > u16::MAX.into() => None,
        None => CLASS_BYTES.iter().position(|size| len <= *size),
    }
}

#[cfg(test)]
#[path = "buffers/tests.rs"]
mod tests;
