//! Where bytes of a kind are, as masks with one bit for each byte: line ends and other control bytes, the colon behind a name, what
//! ends a parameter, a host, a URI.
//!
//! A head has a line end every 40 bytes or so, and a value something that ends a part of it every ten: a search of its own for each
//! of them costs more to begin than to run.

/// Bytes of one block: as many as a mask has bits.
pub(super) const BLOCK: usize = 64;

/// The control bytes of a message; asked from front to back, each block is looked at once.
pub(super) struct Controls<'a> {
    bytes: &'a [u8],
    /// Where the block begins that `mask` is of.
    base: usize,
    mask: u64,
}

impl<'a> Controls<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        // So far away that no place is in its block.
        Self { bytes, base: usize::MAX / 2, mask: 0 }
    }

    /// The first byte from NUL to CR at `from` or behind it.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let place = at.wrapping_sub(self.base);
            if place < BLOCK {
                let ahead = self.mask >> place;
                if ahead != 0 {
                    return Some(at + ahead.trailing_zeros() as usize);
                }
                at = self.base + BLOCK;
            }
            self.base = at;
            self.mask = of_block(self.bytes.get(at..).filter(|rest| !rest.is_empty())?, up_to_cr);
        }
    }
}

/// The mask of the first 64 bytes of `rest`; no byte beyond its end is in it.
#[inline]
fn of_block(rest: &[u8], mask: impl Fn(&[u8; BLOCK]) -> u64) -> u64 {
    match rest.first_chunk() {
        Some(block) => mask(block),
        None => {
            let mut last = [u8::MAX; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            mask(&last)
        }
    }
}

/// Which of the first 64 bytes are LF.
#[inline]
pub(super) fn line_feeds(rest: &[u8]) -> u64 {
    of_block(rest, |block| {
        let (quarters, _) = block.as_chunks();
        quarters.iter().rev().fold(0, |mask, quarter| mask << 16 | u64::from(equal(quarter, b'\n')))
    })
}

pub(super) use arch::stops;
use arch::{equal, equal_either, not_host, not_uri, stops_of_16, up_to_cr};

/// The first `wanted` of 16 bytes.
#[inline]
pub(super) fn first_of(bytes: &[u8; 16], wanted: u8) -> Option<usize> {
    let mask = equal(bytes, wanted);
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

/// The first byte in `from..end` that `mask` shows among 16, and `is` says by itself; else `end`.
#[inline]
fn find(bytes: &[u8], from: usize, end: usize, mask: impl Fn(&[u8; 16]) -> u32, is: impl Fn(u8) -> bool) -> usize {
    let mut at = from;
    while at < end {
        let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
            // Too near to the end of the message.
            return bytes[at..end].iter().position(|byte| is(*byte)).map_or(end, |ahead| at + ahead);
        };
        let found = mask(chunk);
        if found != 0 {
            return end.min(at + found.trailing_zeros() as usize);
        }
        at += chunk.len();
    }
    end
}

/// The first `wanted` in `from..end`, else `end`, which is not behind the last byte: what follows the part is looked at, too. Parts
/// are short: a search that is made for long texts takes longer to begin.
#[inline]
pub(super) fn find_byte(bytes: &[u8], from: usize, end: usize, wanted: u8) -> usize {
    find(bytes, from, end, |chunk| equal(chunk, wanted), |byte| byte == wanted)
}

/// The first of two bytes.
#[inline]
pub(super) fn find_either(bytes: &[u8], from: usize, end: usize, wanted: [u8; 2]) -> usize {
    find(bytes, from, end, |chunk| equal_either(chunk, wanted), |byte| wanted.contains(&byte))
}

/// The first byte that stands in no host name or IPv4 address.
#[inline]
pub(super) fn host_end(bytes: &[u8], from: usize, end: usize) -> usize {
    find(bytes, from, end, not_host, |byte| !is_host(byte))
}

/// The first byte that stands in no Request-URI.
#[inline]
pub(super) fn uri_end(bytes: &[u8], from: usize, end: usize) -> usize {
    find(bytes, from, end, not_uri, |byte| !is_uri(byte))
}

/// The first byte that may end a name or a value: NUL to SP, and `"`, `,`, `;`, `<`, `=`, `>`.
#[inline]
pub(super) fn stop(bytes: &[u8], from: usize, end: usize) -> usize {
    find(bytes, from, end, stops_of_16, is_stop)
}

/// What may end a name or a value.
const fn is_stop(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b',' | b';'..=b'>')
}

/// What may stand in a host that is no IPv6 reference.
const fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || byte >= 0x80
}

/// Whether a byte can stand in a Request-URI as far as the request line is concerned.
const fn is_uri(byte: u8) -> bool {
    byte > b' ' && !matches!(byte, b'<' | b'>' | b'"')
}
#[cfg(target_arch = "x86_64")]
mod arch {
    use super::BLOCK;
    use core::arch::x86_64::{
        __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8, _mm_sub_epi8,
    };

    /// Which of 64 bytes are NUL to CR.
    #[inline]
    pub(super) fn up_to_cr(block: &[u8; BLOCK]) -> u64 {
        // SAFETY: SSE2 is part of x86-64: there is no processor of this architecture without it.
        unsafe { up_to_cr_sse2(block) }
    }

    /// Which of 32 bytes are NUL to SP or one of `",;<=>`.
    #[inline]
    pub(in super::super) fn stops(bytes: &[u8; 32]) -> u32 {
        let (halves, _) = bytes.as_chunks();
        stops_of_16(&halves[0]) | stops_of_16(&halves[1]) << 16
    }

    /// Which of 16 bytes are.
    #[inline]
    pub(super) fn stops_of_16(bytes: &[u8; 16]) -> u32 {
        // SAFETY: as above.
        unsafe { stops_sse2(bytes) }
    }

    /// Which of 16 bytes are `wanted`.
    #[inline]
    pub(super) fn equal(bytes: &[u8; 16], wanted: u8) -> u32 {
        // SAFETY: as above.
        unsafe { equal_sse2(bytes, wanted) }
    }

    /// Which of 16 bytes are one of two.
    #[inline]
    pub(super) fn equal_either(bytes: &[u8; 16], wanted: [u8; 2]) -> u32 {
        // SAFETY: as above.
        unsafe { equal_either_sse2(bytes, wanted) }
    }

    /// Which of 16 bytes stand in no host.
    #[inline]
    pub(super) fn not_host(bytes: &[u8; 16]) -> u32 {
        // SAFETY: as above.
        unsafe { not_host_sse2(bytes) }
    }

    /// Which of 16 bytes stand in no Request-URI.
    #[inline]
    pub(super) fn not_uri(bytes: &[u8; 16]) -> u32 {
        // SAFETY: as above.
        unsafe { not_uri_sse2(bytes) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn up_to_cr_sse2(block: &[u8; BLOCK]) -> u64 {
        let (quarters, _) = block.as_chunks();
        quarters.iter().rev().fold(0, |mask, quarter| {
            let low = in_range(load(quarter), 0, b'\r');
            mask << 16 | _mm_movemask_epi8(low) as u64
        })
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn stops_sse2(bytes: &[u8; 16]) -> u32 {
        let text = load(bytes);
        let white_or_middle = _mm_or_si128(in_range(text, 0, b' '), in_range(text, b';', b'>'));
        let others = _mm_or_si128(is(text, b'"'), is(text, b','));
        _mm_movemask_epi8(_mm_or_si128(white_or_middle, others)) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn equal_sse2(bytes: &[u8; 16], wanted: u8) -> u32 {
        _mm_movemask_epi8(is(load(bytes), wanted)) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn equal_either_sse2(bytes: &[u8; 16], [one, other]: [u8; 2]) -> u32 {
        let text = load(bytes);
        _mm_movemask_epi8(_mm_or_si128(is(text, one), is(text, other))) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn not_host_sse2(bytes: &[u8; 16]) -> u32 {
        let text = load(bytes);
        let letters = in_range(_mm_or_si128(text, _mm_set1_epi8(0x20)), b'a', b'z');
        // From `-` to `9` there is one more, the slash.
        let digits = _mm_andnot_si128(is(text, b'/'), in_range(text, b'-', b'9'));
        // What is beyond ASCII has its highest bit, which is the one that counts.
        let others = _mm_or_si128(is(text, b'_'), text);
        !_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letters, digits), others)) as u32 & 0xffff
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn not_uri_sse2(bytes: &[u8; 16]) -> u32 {
        let text = load(bytes);
        let brackets = _mm_or_si128(is(text, b'<'), is(text, b'>'));
        let others = _mm_or_si128(is(text, b'"'), in_range(text, 0, b' '));
        _mm_movemask_epi8(_mm_or_si128(brackets, others)) as u32
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn is(text: __m128i, wanted: u8) -> __m128i {
        _mm_cmpeq_epi8(text, _mm_set1_epi8(wanted as i8))
    }

    /// Which bytes are `first` to `last`: those that, less `first`, stay as they are when cut to the length of the range.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn in_range(text: __m128i, first: u8, last: u8) -> __m128i {
        let from_first = _mm_sub_epi8(text, _mm_set1_epi8(first as i8));
        _mm_cmpeq_epi8(_mm_min_epu8(from_first, _mm_set1_epi8((last - first) as i8)), from_first)
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
    use super::{BLOCK, is_host, is_stop, is_uri};

    pub(super) fn up_to_cr(block: &[u8; BLOCK]) -> u64 {
        block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(*byte <= b'\r'))
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(in super::super) fn stops(bytes: &[u8; 32]) -> u32 {
        let (halves, _) = bytes.as_chunks();
        stops_of_16(&halves[0]) | stops_of_16(&halves[1]) << 16
    }

    pub(super) fn stops_of_16(bytes: &[u8; 16]) -> u32 {
        mask(bytes, is_stop)
    }

    pub(super) fn equal(bytes: &[u8; 16], wanted: u8) -> u32 {
        mask(bytes, |byte| byte == wanted)
    }

    pub(super) fn equal_either(bytes: &[u8; 16], wanted: [u8; 2]) -> u32 {
        mask(bytes, |byte| wanted.contains(&byte))
    }

    pub(super) fn not_host(bytes: &[u8; 16]) -> u32 {
        mask(bytes, |byte| !is_host(byte))
    }

    pub(super) fn not_uri(bytes: &[u8; 16]) -> u32 {
        mask(bytes, |byte| !is_uri(byte))
    }

    fn mask(bytes: &[u8; 16], is: impl Fn(u8) -> bool) -> u32 {
        bytes.iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(is(*byte)))
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
        fn the_first_byte_of_a_kind_is_found_near_the_end_of_the_message_too(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            from in 0usize..80,
            end in 0usize..80,
            wanted in any::<u8>(),
        ) {
            let end = end.min(bytes.len());
            let first = |is: &dyn Fn(u8) -> bool| (from..end).find(|at| is(bytes[*at])).unwrap_or(end);
            prop_assert_eq!(find_byte(&bytes, from, end, wanted), first(&|byte| byte == wanted));
            let two = [wanted, wanted ^ 7];
            prop_assert_eq!(find_either(&bytes, from, end, two), first(&|byte| two.contains(&byte)));
            prop_assert_eq!(host_end(&bytes, from, end), first(&|byte| !is_host(byte)));
            prop_assert_eq!(uri_end(&bytes, from, end), first(&|byte| !is_uri(byte)));
            prop_assert_eq!(stop(&bytes, from, end), first(&is_stop));
        }

        #[test]
        fn both_ways_to_make_a_mask_agree(block in proptest::array::uniform32(0u8..), other in proptest::array::uniform32(0u8..)) {
            let mut whole = [0; BLOCK];
            whole[..32].copy_from_slice(&block);
            whole[32..].copy_from_slice(&other);
            prop_assert_eq!(up_to_cr(&whole), plain::up_to_cr(&whole));
            prop_assert_eq!(stops(&block) as usize, (0..32).filter(|at| is_stop(block[*at])).map(|at| 1 << at).sum::<usize>());
            let (quarters, _) = whole.as_chunks();
            for (quarter, wanted) in quarters.iter().flat_map(|quarter| quarter.map(|byte| (quarter, byte))) {
                prop_assert_eq!(equal(quarter, wanted), plain::equal(quarter, wanted));
                prop_assert_eq!(equal_either(quarter, [wanted, !wanted]), plain::equal_either(quarter, [wanted, !wanted]));
                prop_assert_eq!(stops_of_16(quarter), plain::stops_of_16(quarter));
                prop_assert_eq!(not_host(quarter), plain::not_host(quarter));
                prop_assert_eq!(not_uri(quarter), plain::not_uri(quarter));
                prop_assert_eq!(first_of(quarter, wanted), quarter.iter().position(|byte| *byte == wanted));
                prop_assert_eq!(first_of(quarter, !wanted), quarter.iter().position(|byte| *byte == !wanted));
            }
        }
    }

    #[test]
    fn every_byte_is_of_its_kind_in_both_ways() {
        for byte in 0..=u8::MAX {
            let (block, chunk) = ([byte; BLOCK], [byte; 16]);
            assert_eq!(up_to_cr(&block), plain::up_to_cr(&block), "{byte}");
            assert_eq!(stops_of_16(&chunk), plain::stops_of_16(&chunk), "{byte}");
            assert_eq!(
                (not_host(&chunk), not_uri(&chunk)),
                (plain::not_host(&chunk), plain::not_uri(&chunk)),
                "{byte}"
            );
        }
    }
}
