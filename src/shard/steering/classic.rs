//! The steering program in classic BPF, for those without the privilege that eBPF asks for.
//!
//! Classic BPF has no loops, one index register and at most 4,096 instructions, so the head is searched word by word, unrolled: each
//! aligned word is compared with the four ways in which `\r\nCall-ID:` can lie on it, in any case. It finds that spelling alone, with
//! at most two spaces behind the colon; everything else goes by the kernel's hash, and the handoff mends it. A load beyond the
//! datagram's end ends the program with 0, the first shard: no harm either.

use libc::sock_filter;

/// How deep to look, bytes: the deepest first. Shorter programs are for kernels with a small `net.core.optmem_max`.
pub(super) const DEPTHS: [u32; 3] = [1408, 512, 256];

/// Bytes between two places where a hit is looked at more closely: conditional jumps reach 255 instructions.
const BLOCK_BYTES: u32 = 128;
/// Bytes between two looks at the datagram's length.
const CHECK_BYTES: u32 = 16;
/// Bytes of the value that count: as in [`crate::proxy::owner_of`].
const CALL_ID_BYTES: u32 = 32;
/// No socket of the group: the kernel's hash decides.
const NONE: u32 = u32::MAX;

/// Of each byte the bit that tells lower case letters from upper case ones.
const LOWER: u32 = 0x2020_2020;
/// How `\r\nCall-ID:` can lie on an aligned word, with [`LOWER`] set.
const PATTERNS: [[u8; 4]; 4] = [*b"\r\nca", *b"\ncal", *b"call", *b"all-"];

// Scratch memory: the hash so far, and where the value begins.
const HASH: u32 = 0;
const VALUE: u32 = 1;

/// The program for `shards` sockets, bound in shard order, that looks at the first `depth_bytes`.
pub(super) fn program(shards: u32, depth_bytes: u32) -> Vec<sock_filter> {
    let mut code = Vec::with_capacity(libc::BPF_MAXINSNS as usize);
    let mut to_hash = Vec::new();
    for block in (0..depth_bytes).step_by(BLOCK_BYTES as usize) {
        search(&mut code, block, &mut to_hash);
    }
    code.push(op(libc::BPF_RET | libc::BPF_K, NONE));
    let hash = code.len();
    to_hash.into_iter().for_each(|at| code[at].k = (hash - at - 1) as u32);
    hash_value(&mut code, shards);
    code
}

/// Searches one block; `to_hash` gets the jumps that have found the value, with where it begins in the index register.
fn search(code: &mut Vec<sock_filter>, block: u32, to_hash: &mut Vec<usize>) {
    let mut to_verify = Vec::new();
    for word in (block..block + BLOCK_BYTES).step_by(4) {
        if word % CHECK_BYTES == 0 {
            code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0));
            code.push(jump(libc::BPF_JGE, word + CHECK_BYTES, 1, 0));
            code.push(op(libc::BPF_RET | libc::BPF_K, NONE));
        }
        // The first word belongs to the start line, and a hit there would look before the datagram.
        if word > 0 {
            code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, word));
            code.push(op(libc::BPF_ALU | libc::BPF_OR | libc::BPF_K, LOWER));
            for (at, pattern) in PATTERNS.into_iter().enumerate() {
                code.push(jump(libc::BPF_JEQ, lower(pattern), 3 - at as u8, if at == 3 { 2 } else { 0 }));
            }
            code.push(op(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, word - 4));
            to_verify.push(code.len());
            code.push(op(libc::BPF_JMP | libc::BPF_JA, 0));
        }
    }
    let over = code.len();
    code.push(op(libc::BPF_JMP | libc::BPF_JA, 0));
    let verify = code.len();
    to_verify.into_iter().for_each(|at| code[at].k = (verify - at - 1) as u32);
    verify_hit(code, to_hash);
    code[over].k = (code.len() - over - 1) as u32;
}

/// What stands around one of the [`PATTERNS`].
struct Way {
    /// The word behind it, with the mask's bits set.
    mask: u32,
    next: [u8; 4],
    /// What else stands where, of which size.
    size: u32,
    place: u32,
    rest: u32,
    /// Where the value begins.
    value: u32,
}

/// A word matched, four bytes behind the index: is the rest of `\r\nCall-ID:` around it? If not, the block is given up.
fn verify_hit(code: &mut Vec<sock_filter>, to_hash: &mut Vec<usize>) {
    let [half, byte] = [libc::BPF_H, libc::BPF_B];
    let ways = [
        Way {
            mask: LOWER,
            next: *b"ll-i",
            size: half,
            place: 12,
            rest: u32::from_be_bytes([0, 0, b'd', b':']),
            value: 14,
        },
        Way { mask: LOWER, next: *b"l-id", size: byte, place: 12, rest: b':'.into(), value: 13 },
        Way { mask: LOWER, next: *b"-id:", size: byte, place: 3, rest: u32::from(b'\n') | 0x20, value: 12 },
        Way {
            mask: LOWER | 0xff,
            next: [b'i', b'd', b':', 0xff],
            size: half,
            place: 2,
            rest: u32::from_be_bytes([0, 0, b'\n' | 0x20, b'c']),
            value: 11,
        },
    ];
    for (pattern, Way { mask, next, size, place, rest, value }) in PATTERNS.into_iter().zip(ways) {
        // This way's own instructions, which another pattern jumps over.
        const WAY: u8 = 9;
        code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, 4));
        code.push(op(libc::BPF_ALU | libc::BPF_OR | libc::BPF_K, LOWER));
        code.push(jump(libc::BPF_JEQ, lower(pattern), 0, WAY + 1));
        code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, 8));
        code.push(op(libc::BPF_ALU | libc::BPF_OR | libc::BPF_K, mask));
        code.push(jump(libc::BPF_JEQ, u32::from_be_bytes(next), 0, WAY - 2));
        code.push(op(libc::BPF_LD | size | libc::BPF_IND, place));
        code.push(op(libc::BPF_ALU | libc::BPF_OR | libc::BPF_K, LOWER & if size == half { 0xffff } else { 0xff }));
        code.push(jump(libc::BPF_JEQ, rest, 0, WAY - 5));
        code.push(op(libc::BPF_MISC | libc::BPF_TXA, 0));
        code.push(op(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, value));
        code.push(op(libc::BPF_MISC | libc::BPF_TAX, 0));
        to_hash.push(code.len());
        code.push(op(libc::BPF_JMP | libc::BPF_JA, 0));
    }
}

/// The hash of [`crate::proxy::owner_of`] over the value that begins at the index or up to two spaces behind it.
fn hash_value(code: &mut Vec<sock_filter>, shards: u32) {
    for _ in 0..2 {
        code.push(op(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, 0));
        code.push(jump(libc::BPF_JEQ, b' '.into(), 0, 3));
        code.push(op(libc::BPF_MISC | libc::BPF_TXA, 0));
        code.push(op(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, 1));
        code.push(op(libc::BPF_MISC | libc::BPF_TAX, 0));
    }
    code.push(op(libc::BPF_STX, VALUE));
    code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_IMM, 0));
    code.push(op(libc::BPF_ST, HASH));
    let mut to_done = Vec::new();
    for at in 0..CALL_ID_BYTES {
        code.push(op(libc::BPF_LDX | libc::BPF_W | libc::BPF_MEM, VALUE));
        code.push(op(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, at));
        code.push(jump(libc::BPF_JGT, b' '.into(), 1, 0));
        to_done.push(code.len());
        code.push(op(libc::BPF_JMP | libc::BPF_JA, 0));
        code.push(op(libc::BPF_MISC | libc::BPF_TAX, 0));
        code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_MEM, HASH));
        code.push(op(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, 31));
        code.push(op(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X, 0));
        code.push(op(libc::BPF_ST, HASH));
    }
    let done = code.len();
    to_done.into_iter().for_each(|at| code[at].k = (done - at - 1) as u32);
    mix(code, 15);
    code.push(op(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, 0x2c1b_3c6d));
    code.push(op(libc::BPF_ST, HASH));
    mix(code, 12);
    code.push(op(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, shards));
    code.push(op(libc::BPF_RET | libc::BPF_A, 0));
}

/// The accumulator = hash ^ hash >> bits.
fn mix(code: &mut Vec<sock_filter>, bits: u32) {
    code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_MEM, HASH));
    code.push(op(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, bits));
    code.push(op(libc::BPF_MISC | libc::BPF_TAX, 0));
    code.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_MEM, HASH));
    code.push(op(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X, 0));
}

const fn lower(word: [u8; 4]) -> u32 {
    u32::from_be_bytes(word) | LOWER
}

const fn op(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | condition | libc::BPF_K) as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_as_short_as_the_kernel_asks() {
        for depth_bytes in DEPTHS {
            let length = program(256, depth_bytes).len();
            assert!(length <= libc::BPF_MAXINSNS as usize, "{depth_bytes} bytes take {length} instructions");
        }
    }
}
