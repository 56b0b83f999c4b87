//! Where bytes of a kind are, as masks with one bit for each byte: line ends and other control bytes, and the colon behind a name.
//!
//! A head has a line end every 40 bytes or so: a search of its own for each of them costs more to begin than to run.

/// Bytes of one block: as many as a mask has bits.
const BLOCK: usize = 64;

/// The control bytes of a message; asked from front to back, each block is looked at once.
pub(super) struct Controls<'a> {
    bytes: &'a [u8],
    /// The number of the block that `mask` is of.
    block: usize,
    mask: u64,
}

impl<'a> Controls<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, block: usize::MAX, mask: 0 }
    }

    /// The first byte from NUL to CR at `from` or behind it.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        while at < self.bytes.len() {
            if at / BLOCK != self.block {
                self.load(at / BLOCK);
            }
            let ahead = self.mask >> (at % BLOCK);
            if ahead != 0 {
                return Some(at + ahead.trailing_zeros() as usize);
            }
            at = (at / BLOCK + 1) * BLOCK;
        }
        None
    }

    #[inline(never)]
    fn load(&mut self, block: usize) {
        let rest = &self.bytes[block * BLOCK..];
        self.block = block;
        self.mask = match rest.first_chunk() {
            Some(block) => up_to_cr(block),
            None => {
                let mut last = [u8::MAX; BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                up_to_cr(&last)
            }
        };
    }
}

use arch::{delimiters, equal, up_to_cr};

/// The first `wanted` of 16 bytes.
#[inline]
pub(super) fn first_of(bytes: &[u8; 16], wanted: u8) -> Option<usize> {
    let mask = equal(bytes, wanted);
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

/// The first of 16 bytes that ends a parameter.
#[inline]
pub(super) fn first_delimiter(bytes: &[u8; 16]) -> Option<usize> {
    let mask = delimiters(bytes);
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

/// What ends a parameter: white space and separators (RFC 3261 §25.1 `generic-param`).
const DELIMITERS: [u8; 9] = *b" \t\r\n;,\"<>";

#[cfg(target_arch = "x86_64")]
mod arch {
    use super::{BLOCK, DELIMITERS};
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_setzero_si128,
    };

    /// Which of 64 bytes are NUL to CR.
    #[inline]
    pub(super) fn up_to_cr(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: SSE2 is part of x86-64: there is no processor of this architecture without it.
        unsafe { up_to_cr_sse2(block) }
    }

    /// Which of 16 bytes are `wanted`.
    #[inline]
    pub(super) fn equal(bytes: &[u8; 16], wanted: u8) -> u32 {
        // SAFETY: as above.
        unsafe { equal_sse2(bytes, wanted) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn up_to_cr_sse2(block: &[u8; BLOCK]) -> u64 {
        let (quarters, _) = block.as_chunks();
        quarters.iter().rev().fold(0, |mask, quarter| {
            let text = load(quarter);
            // What is no more than CR stays as it is.
            let low = _mm_min_epu8(text, _mm_set1_epi8(b'\r' as i8));
            mask << 16 | _mm_movemask_epi8(_mm_cmpeq_epi8(low, text)) as u64
        })
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn equal_sse2(bytes: &[u8; 16], wanted: u8) -> u32 {
        _mm_movemask_epi8(_mm_cmpeq_epi8(load(bytes), _mm_set1_epi8(wanted as i8))) as u32
    }

    /// Which of 16 bytes end a parameter.
    #[inline]
    pub(super) fn delimiters(bytes: &[u8; 16]) -> u32 {
        // SAFETY: as above.
        unsafe { delimiters_sse2(bytes) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn delimiters_sse2(bytes: &[u8; 16]) -> u32 {
        let text = load(bytes);
        let one = |wanted: u8| _mm_cmpeq_epi8(text, _mm_set1_epi8(wanted as i8));
        let any = DELIMITERS.iter().fold(_mm_setzero_si128(), |any, wanted| _mm_or_si128(any, one(*wanted)));
        _mm_movemask_epi8(any) as u32
    }

    /// The compiler makes one load of it.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn load(bytes: &[u8; 16]) -> __m128i {
        let text = u128::from_le_bytes(*bytes);
        _mm_set_epi64x((text >> 64) as i64, text as i64)
    }
}

#[cfg(not(target_arch = "x86_64"))]
use plain as arch;

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::{BLOCK, DELIMITERS};

    pub(super) fn up_to_cr(block: &[u8; BLOCK]) -> u64 {
        block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(*byte <= b'\r'))
    }

    pub(super) fn equal(bytes: &[u8; 16], wanted: u8) -> u32 {
        bytes.iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(*byte == wanted))
    }

    pub(super) fn delimiters(bytes: &[u8; 16]) -> u32 {
        bytes.iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(DELIMITERS.contains(byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_control_byte_is_found_wherever_it_is(bytes in proptest::collection::vec(0u8..40, 0..300), from in 0usize..320) {
            let mut controls = Controls::new(&bytes);
            let (mut at, mut found) = (from, Vec::new());
            while let Some(place) = controls.next(at) {
                found.push(place);
                at = place + 1;
            }
            let wanted: Vec<_> = (from..bytes.len()).filter(|at| bytes[*at] <= b'\r').collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn both_ways_to_make_a_mask_agree(block in proptest::array::uniform32(0u8..), other in proptest::array::uniform32(0u8..)) {
            let mut whole = [0; BLOCK];
            whole[..32].copy_from_slice(&block);
            whole[32..].copy_from_slice(&other);
            prop_assert_eq!(up_to_cr(&whole), plain::up_to_cr(&whole));
            let (quarters, _) = whole.as_chunks();
            for (quarter, wanted) in quarters.iter().flat_map(|quarter| quarter.map(|byte| (quarter, byte))) {
                prop_assert_eq!(equal(quarter, wanted), plain::equal(quarter, wanted));
                prop_assert_eq!(delimiters(quarter), plain::delimiters(quarter));
                prop_assert_eq!(first_of(quarter, wanted), quarter.iter().position(|byte| *byte == wanted));
                let first = quarter.iter().position(|byte| DELIMITERS.contains(byte));
                prop_assert_eq!(first_delimiter(quarter), first);
                prop_assert_eq!(first_of(quarter, !wanted), quarter.iter().position(|byte| *byte == !wanted));
            }
        }
    }
}
