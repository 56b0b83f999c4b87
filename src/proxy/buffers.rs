//! Memory for stored messages: what a transaction keeps to send again.
//!
//! Policy:
//! - A message lies in the smallest of eight classes that holds it, 512 bytes to 64 KiB.
//! - What is in use and what waits for reuse together never pass `bytes_max`: before memory of one class is allocated,
//!   idle memory of the others goes back to the system if need be. With a steady mix of sizes nothing is allocated.
//! - A [`Buffer`] does not know its pool; its owner must [`Buffers::give`] it back. One that is dropped instead frees
//!   its memory, yet stays counted: `in_use_bytes` does not return to zero, and that is how the fault shows.
//!
//! Invariant: `in_use_bytes + idle_bytes <= bytes_max`.

use std::fmt;
use std::ops::Deref;

/// Sizes of the classes in bytes, ascending. The last holds any UDP payload.
pub(crate) const CLASS_BYTES: [usize; 8] = [512, 768, 1024, 1536, 2048, 4096, 16_384, 65_536];

/// A stored message: its bytes, in memory of one class.
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    len: u32,
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[..self.len as usize]
    }
}

impl fmt::Debug for Buffer {
    /// Sizes only: messages carry people's numbers and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len, self.memory.len())
    }
}

/// A bounded pool of [`Buffer`]s.
#[derive(Debug)]
pub(crate) struct Buffers {
    idle: [Vec<Box<[u8]>>; CLASS_BYTES.len()],
    idle_bytes: usize,
    in_use_bytes: usize,
    bytes_max: usize,
}

impl Buffers {
    /// An empty pool that holds at most `bytes_max` bytes, counted in whole classes. Allocates nothing yet.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { idle: Default::default(), idle_bytes: 0, in_use_bytes: 0, bytes_max }
    }

    /// Copies `bytes` into a buffer. None when the pool is full or `bytes` is longer than the largest class; the caller
    /// counts it.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Option<Buffer> {
        let class = class_of(bytes.len())?;
        if CLASS_BYTES[class] > self.bytes_max.saturating_sub(self.in_use_bytes) {
            return None;
        }
        Some(self.fill(class, bytes))
    }

    /// Takes a buffer of this pool back for reuse.
    pub(crate) fn give(&mut self, buffer: Buffer) {
        let size = buffer.memory.len();
        debug_assert!(size <= self.in_use_bytes, "a buffer of another pool");
        self.in_use_bytes = self.in_use_bytes.saturating_sub(size);
        if let Some(class) = class_of(size) {
            self.idle_bytes += size;
            self.idle[class].push(buffer.memory);
        }
    }

    /// Stores `bytes` in place of `old`, in the same memory if the class is the same. When they do not fit (see
    /// [`Buffers::store`]), gives `old` back unchanged as the error.
    pub(crate) fn replace(&mut self, mut old: Buffer, bytes: &[u8]) -> Result<Buffer, Buffer> {
        let Some(class) = class_of(bytes.len()) else {
            return Err(old);
        };
        if CLASS_BYTES[class] == old.memory.len() {
            old.overwrite(bytes);
            return Ok(old);
        }
        let others_bytes = self.in_use_bytes.saturating_sub(old.memory.len());
        if CLASS_BYTES[class] > self.bytes_max.saturating_sub(others_bytes) {
            return Err(old);
        }
        // Given back first, so that its memory may make room for the new.
        self.give(old);
        Ok(self.fill(class, bytes))
    }

    /// Bytes of all buffers that were stored and not given back, counted in whole classes.
    pub(crate) fn in_use_bytes(&self) -> usize {
        self.in_use_bytes
    }

    /// Bytes kept for reuse, counted in whole classes.
    #[cfg(test)]
    pub(crate) fn idle_bytes(&self) -> usize {
        self.idle_bytes
    }

    /// A buffer of this class with these bytes; the caller has checked that there is room.
    fn fill(&mut self, class: usize, bytes: &[u8]) -> Buffer {
        let memory = self.take(class);
        self.in_use_bytes += memory.len();
        let mut buffer = Buffer { memory, len: 0 };
        buffer.overwrite(bytes);
        buffer
    }

    fn take(&mut self, class: usize) -> Box<[u8]> {
        let size = CLASS_BYTES[class];
        if let Some(memory) = self.idle[class].pop() {
            self.idle_bytes -= size;
            return memory;
        }
        self.release_idle(self.bytes_max.saturating_sub(self.in_use_bytes + size));
        vec![0; size].into_boxed_slice()
    }

    /// Gives idle memory back to the system, largest first, until no more than `keep_bytes` are idle.
    fn release_idle(&mut self, keep_bytes: usize) {
        for (idle, size) in self.idle.iter_mut().zip(CLASS_BYTES).rev() {
            while self.idle_bytes > keep_bytes && idle.pop().is_some() {
                self.idle_bytes -= size;
            }
        }
    }
}

impl Buffer {
    fn overwrite(&mut self, bytes: &[u8]) {
        self.memory[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len() as u32;
    }
}

/// The smallest class that holds `len` bytes.
#[inline]
fn class_of(len: usize) -> Option<usize> {
    CLASS_BYTES.iter().position(|size| len <= *size)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_buffer_takes_at_most_24_bytes() {
        assert!(size_of::<Buffer>() <= 24 && size_of::<Option<Buffer>>() <= 24);
    }

    #[test]
    fn a_message_lies_in_the_smallest_class_that_holds_it() {
        for (len, class) in [
            (0, 512),
            (512, 512),
            (513, 768),
            (769, 1024),
            (1025, 1536),
            (1537, 2048),
            (4097, 16_384),
            (65_536, 65_536),
        ] {
            let mut buffers = Buffers::new(1 << 20);
            let message = vec![7; len];
            assert_eq!(*buffers.store(&message).unwrap(), message[..]);
            assert_eq!(buffers.in_use_bytes(), class);
        }
        assert!(Buffers::new(1 << 20).store(&[0; 65_537]).is_none());
    }

    #[test]
    fn memory_given_back_is_used_again() {
        let mut buffers = Buffers::new(4096);
        let first = buffers.store(b"INVITE").unwrap();
        let address = first.as_ptr();
        buffers.give(first);
        assert_eq!((buffers.in_use_bytes(), buffers.idle_bytes()), (0, 512));
        let second = buffers.store(b"BYE").unwrap();
        assert_eq!((second.as_ptr(), &*second), (address, &b"BYE"[..]));
        assert_eq!((buffers.in_use_bytes(), buffers.idle_bytes()), (512, 0));
    }

    #[test]
    fn a_full_pool_refuses_until_something_is_given_back() {
        let mut buffers = Buffers::new(1024);
        let first = buffers.store(b"a").unwrap();
        let _second = buffers.store(b"b").unwrap();
        assert!(buffers.store(b"c").is_none());
        buffers.give(first);
        assert!(buffers.store(b"c").is_some());
    }

    #[test]
    fn idle_memory_of_one_class_makes_room_for_another() {
        let mut buffers = Buffers::new(2048);
        let small: Vec<_> = (0..4).map(|_| buffers.store(b"a").unwrap()).collect();
        small.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(buffers.idle_bytes(), 2048);
        let _large = buffers.store(&[1; 1000]).unwrap();
        assert_eq!((buffers.in_use_bytes(), buffers.idle_bytes()), (1024, 1024));
    }

    #[test]
    fn a_buffer_dropped_instead_of_given_back_stays_counted() {
        let mut buffers = Buffers::new(1024);
        drop(buffers.store(b"a").unwrap());
        assert_eq!((buffers.in_use_bytes(), buffers.idle_bytes()), (512, 0));
    }

    #[test]
    fn replacing_within_a_class_keeps_the_memory() {
        let mut buffers = Buffers::new(512);
        let ringing = buffers.store(b"180").unwrap();
        let address = ringing.as_ptr();
        let ok = buffers.replace(ringing, b"200 OK").unwrap();
        assert_eq!((ok.as_ptr(), &*ok), (address, &b"200 OK"[..]));
    }

    #[test]
    fn replacing_counts_the_old_bytes_as_free_and_keeps_the_old_on_failure() {
        let mut buffers = Buffers::new(1024);
        let old = buffers.store(b"180").unwrap();
        let new = buffers.replace(old, &[2; 1000]).unwrap();
        assert_eq!((new.len(), buffers.in_use_bytes(), buffers.idle_bytes()), (1000, 1024, 0));
        let kept = buffers.replace(new, &[3; 1025]).unwrap_err();
        assert_eq!(*kept, [2; 1000]);
        let kept = buffers.replace(kept, &[3; 70_000]).unwrap_err();
        assert_eq!(*kept, [2; 1000]);
        assert_eq!(buffers.in_use_bytes(), 1024);
    }

    #[test]
    fn the_debug_form_does_not_show_the_message() {
        let buffer = Buffers::new(512).store(b"sip:alice").unwrap();
        assert_eq!(format!("{buffer:?}"), "Buffer(9 of 512 bytes)");
    }

    #[derive(Clone, Debug)]
    enum Op {
        Store(u8, usize),
        Give(usize),
        Replace(usize, u8, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let len = || prop_oneof![0_usize..1100, 0_usize..5000, 0_usize..66_000];
        prop_oneof![
            (any::<u8>(), len()).prop_map(|(fill, len)| Op::Store(fill, len)),
            any::<usize>().prop_map(Op::Give),
            (any::<usize>(), any::<u8>(), len()).prop_map(|(which, fill, len)| Op::Replace(which, fill, len)),
        ]
    }

    /// What a message of this length must take of the pool, written apart from the code.
    fn model_bytes(len: usize) -> usize {
        match len {
            0..=512 => 512,
            513..=768 | 1025..=1536 => len.next_power_of_two() / 4 * 3,
            769..=4096 => len.next_power_of_two(),
            4097..=16_384 => 16_384,
            _ => 65_536,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_history_keeps_every_message_and_the_bound(bytes_max in 0_usize..200_000, ops in vec(op(), 0..120)) {
            let mut buffers = Buffers::new(bytes_max);
            let mut stored: Vec<(Buffer, Vec<u8>)> = Vec::new();
            let in_use = |stored: &[(Buffer, Vec<u8>)]| stored.iter().map(|(_, m)| model_bytes(m.len())).sum::<usize>();
            for op in ops {
                match op {
                    Op::Store(fill, len) => {
                        let message = vec![fill; len];
                        let fits = len <= 65_536 && in_use(&stored) + model_bytes(len) <= bytes_max;
                        let buffer = buffers.store(&message);
                        prop_assert_eq!(buffer.is_some(), fits);
                        stored.extend(buffer.map(|buffer| (buffer, message)));
                    }
                    Op::Give(which) if !stored.is_empty() => {
                        buffers.give(stored.swap_remove(which % stored.len()).0);
                    }
                    Op::Replace(which, fill, len) if !stored.is_empty() => {
                        let (old, before) = stored.swap_remove(which % stored.len());
                        let fits = len <= 65_536 && in_use(&stored) + model_bytes(len) <= bytes_max;
                        let after = vec![fill; len];
                        let result = buffers.replace(old, &after);
                        prop_assert_eq!(result.is_ok(), fits);
                        stored.push(result.map_or_else(|old| (old, before), |new| (new, after)));
                    }
                    Op::Give(_) | Op::Replace(..) => {}
                }
                prop_assert_eq!(buffers.in_use_bytes(), in_use(&stored));
                let idle: usize = buffers.idle.iter().flatten().map(|memory| memory.len()).sum();
                prop_assert_eq!(buffers.idle_bytes(), idle);
                prop_assert!(buffers.in_use_bytes() + idle <= bytes_max);
                prop_assert!(stored.iter().all(|(buffer, message)| **buffer == message[..]));
            }
        }
    }
}
