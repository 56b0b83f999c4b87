//! Where lines end: 64 bytes are looked at together.

/// Bytes of one block: as many as a mask has bits.
const BLOCK: usize = 64;

/// The line feeds of a message, from the front.
#[derive(Debug)]
pub(crate) struct LineEnds<'a> {
    rest: &'a [u8],
    /// Where the block of `mask` begins, and where `rest` does.
    base: usize,
    next: usize,
    mask: u64,
}

impl<'a> LineEnds<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, base: 0, next: 0, mask: 0 }
    }
}

impl Iterator for LineEnds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.base = self.next;
            if let Some((block, rest)) = self.rest.split_first_chunk::<BLOCK>() {
                (self.mask, self.rest) = (line_feeds(block), rest);
            } else if self.rest.is_empty() {
                return None;
            } else {
                let mut last = [0; BLOCK];
                last[..self.rest.len()].copy_from_slice(self.rest);
                (self.mask, self.rest) = (line_feeds(&last), &[]);
            }
            self.next += BLOCK;
        }
        let at = self.base + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(at)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line_feeds(block: &[u8; BLOCK]) -> u64 {
    // SAFETY: SSE2 is part of x86-64: there is no processor of this architecture without it.
    unsafe { line_feeds_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn line_feeds_sse2(block: &[u8; BLOCK]) -> u64 {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    let (quarters, _) = block.as_chunks::<16>();
    quarters.iter().rev().fold(0, |mask, quarter| {
        // SAFETY: 16 bytes are read, as many as there are, without regard to alignment.
        let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        mask << 16 | _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\n' as i8))) as u64
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn line_feeds(block: &[u8; BLOCK]) -> u64 {
    block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(*byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_feed_is_found_wherever_blocks_end() {
        for length in [0, 1, 63, 64, 65, 127, 128, 200] {
            for step in [1, 3, 7, 64, 100] {
                let bytes: Vec<u8> = (0..length).map(|at| if at % step == 0 { b'\n' } else { b'x' }).collect();
                let found: Vec<_> = LineEnds::new(&bytes).collect();
                assert_eq!(found, (0..length).step_by(step).collect::<Vec<_>>(), "{length}, {step}");
            }
        }
    }
}
