//! The steering program in eBPF: it finds the Call-ID however its name is spelled, in the first 4,000 bytes, and selects the
//! socket of the shard that [`crate::proxy::owner_of`] names.
//!
//! The kernel must prove that it ends and touches nothing it may not, also for those who only have CAP_BPF: all stack offsets are
//! constants, the packet is only read by a helper into the stack, and what is read beyond the datagram's end reads as zero.
//! Where it cannot tell it selects nothing, and the kernel spreads by its own hash.

use super::asm::{Alu, Assembler, Jump, Label, Reg};
use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};

/// Helpers of the kernel (linux/bpf.h).
const SKB_LOAD_BYTES: i32 = 26;
const SK_SELECT_REUSEPORT: i32 = 82;
/// The program's result: go on with what was selected, or with the kernel's hash.
const SK_PASS: i32 = 1;

/// The datagram begins behind its UDP header.
const UDP_HEADER_BYTES: i32 = 8;
/// Bytes that are looked through at once.
const CHUNK_BYTES: i16 = 64;
/// How many times: a chunk is 63 new bytes, and each line that begins like a Call-ID costs one, too.
/// The kernel follows every turn of the loop, with every byte at which it may be left, before it takes the program: of so many turns
/// some 165,000 instructions, a tenth of a second (half a one on a busy machine) for each listen address, at the start.
const CHUNKS_MAX: i32 = 72;
/// Bytes of the value that count: as in [`crate::proxy::owner_of`].
const CALL_ID_BYTES: i16 = 32;

// The stack.
const CHUNK: i16 = -CHUNK_BYTES;
const WINDOW: i16 = CHUNK - 8;
const KEY: i16 = WINDOW - 8;

/// The registers that outlive calls.
const CONTEXT: Reg = R6;
/// Where the next chunk begins, or the line that is looked at.
const AT: Reg = R7;
/// Chunks so far; later the hash.
const CHUNKS: Reg = R8;
const HASH: Reg = R8;
/// How far the chunk reaches; later where the name or the value is.
const STEP: Reg = R9;
const CURSOR: Reg = R9;

struct Program {
    asm: Assembler,
    next_chunk: Label,
    check: Label,
    value: Label,
    hash: Label,
    done: Label,
    pass: Label,
}

/// The program for a group of `shards` sockets, in the order of their places in the map with this descriptor.
pub(super) fn program(shards: u32, map: i32) -> Vec<u64> {
    let mut asm = Assembler::default();
    let [next_chunk, check, value, hash, done, pass] = core::array::from_fn(|_| asm.label());
    let mut program = Program { asm, next_chunk, check, value, hash, done, pass };
    program.begin();
    program.find_line();
    program.check_name();
    program.find_value();
    program.hash_value();
    program.select(shards, map);
    program.asm.finish()
}

impl Program {
    fn begin(&mut self) {
        self.asm.alu_reg(Alu::Mov, CONTEXT, R1);
        self.asm.alu(Alu::Mov, AT, UDP_HEADER_BYTES);
        self.asm.alu(Alu::Mov, CHUNKS, 0);
    }

    /// `to` on the stack = `bytes` bytes of the packet from `at` on; on to `if_there` when it has so many, else they are zero.
    fn read(&mut self, at: Reg, to: i16, bytes: i16, if_there: Label) {
        let asm = &mut self.asm;
        asm.alu_reg(Alu::Mov, R1, CONTEXT);
        asm.alu_reg(Alu::Mov, R2, at);
        asm.alu_reg(Alu::Mov, R3, R10);
        asm.alu(Alu::Add, R3, i32::from(to));
        asm.alu(Alu::Mov, R4, i32::from(bytes));
        asm.call(SKB_LOAD_BYTES);
        asm.jump(Jump::Equal, R0, 0, if_there);
    }

    /// From a chunk to the next, until a line begins like a Call-ID: then `AT` is its first byte.
    fn find_line(&mut self) {
        self.asm.place(self.next_chunk);
        self.asm.alu(Alu::Add, CHUNKS, 1);
        self.asm.jump(Jump::Greater, CHUNKS, CHUNKS_MAX, self.pass);
        let scan = self.asm.label();
        // A line feed that ends a chunk is looked at again, as the first byte of the next.
        for bytes in [CHUNK_BYTES, 32, 16, 8, 4, 2] {
            self.asm.alu(Alu::Mov, STEP, i32::from(bytes) - 1);
            self.read(AT, CHUNK, bytes, scan);
        }
        self.asm.go(self.pass);
        self.asm.place(scan);
        self.asm.load_u64(R3, u64::from_ne_bytes([b'\n'; 8]));
        self.asm.load_u64(R4, u64::from_ne_bytes([0x01; 8]));
        self.asm.load_u64(R5, u64::from_ne_bytes([0x80; 8]));
        (0..CHUNK_BYTES / 8).for_each(|word| self.scan_word(word * 8));
        self.asm.alu_reg(Alu::Add, AT, STEP);
        self.asm.go(self.next_chunk);
    }

    /// Eight bytes of the chunk: a zero byte after the exclusive or is a line feed (Mycroft's test).
    fn scan_word(&mut self, at: i16) {
        let next_word = self.asm.label();
        self.asm.load_double(R1, CHUNK + at);
        self.asm.alu_reg(Alu::Xor, R1, R3);
        self.asm.alu_reg(Alu::Mov, R2, R1);
        self.asm.alu_reg(Alu::Sub, R2, R4);
        self.asm.alu(Alu::Xor, R1, -1);
        self.asm.alu_reg(Alu::And, R2, R1);
        self.asm.alu_reg(Alu::And, R2, R5);
        self.asm.jump(Jump::Equal, R2, 0, next_word);
        for byte in (at..at + 8).filter(|byte| *byte < CHUNK_BYTES - 1) {
            self.scan_byte(byte);
        }
        self.asm.place(next_word);
    }

    fn scan_byte(&mut self, at: i16) {
        let (next_byte, found) = (self.asm.label(), self.asm.label());
        self.asm.load_byte(R1, CHUNK + at);
        self.asm.jump(Jump::NotEqual, R1, i32::from(b'\n'), next_byte);
        self.asm.load_byte(R1, CHUNK + at + 1);
        // An empty line ends the head.
        self.asm.jump(Jump::Equal, R1, i32::from(b'\r'), self.pass);
        self.asm.jump(Jump::Equal, R1, i32::from(b'\n'), self.pass);
        self.asm.alu(Alu::Or, R1, 0x20);
        self.asm.jump(Jump::Equal, R1, i32::from(b'c'), found);
        self.asm.jump(Jump::NotEqual, R1, i32::from(b'i'), next_byte);
        self.asm.place(found);
        self.asm.alu(Alu::Add, AT, i32::from(at) + 1);
        self.asm.go(self.check);
        self.asm.place(next_byte);
    }

    /// RFC 3261 §7.3.1, §7.3.3: `Call-ID` or `i`, in any case. Leaves the cursor behind the name.
    fn check_name(&mut self) {
        let (read, short, colon) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.place(self.check);
        self.read(AT, WINDOW, 8, read);
        self.read(AT, WINDOW, 2, read);
        self.asm.go(self.pass);
        self.asm.place(read);
        self.asm.load_double(R1, WINDOW);
        self.asm.load_u64(R2, u64::from_le_bytes([0x20; 8]).to_le());
        self.asm.alu_reg(Alu::Or, R1, R2);
        self.asm.load_u64(R2, u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]));
        self.asm.alu_reg(Alu::And, R1, R2);
        self.asm.load_u64(R2, u64::from_ne_bytes(*b"call-id\0"));
        self.asm.alu_reg(Alu::Mov, CURSOR, AT);
        self.asm.jump_reg(Jump::NotEqual, R1, R2, short);
        self.asm.alu(Alu::Add, CURSOR, 7);
        self.asm.go(colon);
        self.asm.place(short);
        self.asm.load_byte(R1, WINDOW);
        self.asm.alu(Alu::Or, R1, 0x20);
        self.asm.jump(Jump::NotEqual, R1, i32::from(b'i'), self.next_chunk);
        self.asm.alu(Alu::Add, CURSOR, 1);
        self.asm.place(colon);
        self.find_colon();
    }

    /// White space may stand before the colon; anything else there makes it another header.
    fn find_colon(&mut self) {
        self.window();
        for at in 0..8 {
            let (is_colon, next) = (self.asm.label(), self.asm.label());
            self.asm.load_byte(R1, WINDOW + at);
            self.asm.jump(Jump::Equal, R1, i32::from(b':'), is_colon);
            self.asm.jump(Jump::Equal, R1, i32::from(b' '), next);
            self.asm.jump(Jump::Equal, R1, i32::from(b'\t'), next);
            self.asm.go(self.next_chunk);
            self.asm.place(is_colon);
            self.asm.alu(Alu::Add, CURSOR, i32::from(at) + 1);
            self.asm.go(self.value);
            self.asm.place(next);
        }
        self.asm.go(self.next_chunk);
    }

    /// The eight bytes from the cursor on, or as many as there are.
    fn window(&mut self) {
        let read = self.asm.label();
        [8, 4, 2].into_iter().for_each(|bytes| self.read(CURSOR, WINDOW, bytes, read));
        self.asm.place(read);
    }

    /// White space before the value, folded line ends too.
    fn find_value(&mut self) {
        self.asm.place(self.value);
        for _ in 0..3 {
            self.window();
            for at in 0..8 {
                let (space, begins) = (self.asm.label(), self.asm.label());
                self.asm.load_byte(R1, WINDOW + at);
                self.asm.jump(Jump::Greater, R1, i32::from(b' '), begins);
                b" \t\r\n\x0c".iter().for_each(|byte| self.asm.jump(Jump::Equal, R1, i32::from(*byte), space));
                self.asm.place(begins);
                self.asm.alu(Alu::Add, CURSOR, i32::from(at));
                self.asm.go(self.hash);
                self.asm.place(space);
            }
            self.asm.alu(Alu::Add, CURSOR, 8);
        }
        self.asm.go(self.pass);
    }

    /// The hash of [`crate::proxy::owner_of`].
    fn hash_value(&mut self) {
        self.asm.place(self.hash);
        self.asm.alu(Alu::Mov, HASH, 0);
        for _ in 0..CALL_ID_BYTES / 8 {
            self.window();
            for at in 0..8 {
                self.asm.load_byte(R1, WINDOW + at);
                self.asm.jump(Jump::LessOrEqual, R1, i32::from(b' '), self.done);
                self.asm.alu32(Alu::Mul, HASH, 31);
                self.asm.alu32_reg(Alu::Add, HASH, R1);
            }
            self.asm.alu(Alu::Add, CURSOR, 8);
        }
        self.asm.place(self.done);
        self.mix(15);
        self.asm.alu32(Alu::Mul, HASH, 0x2c1b_3c6d);
        self.mix(12);
    }

    fn mix(&mut self, bits: i32) {
        self.asm.alu32_reg(Alu::Mov, R1, HASH);
        self.asm.alu32(Alu::Rsh, R1, bits);
        self.asm.alu32_reg(Alu::Xor, HASH, R1);
    }

    fn select(&mut self, shards: u32, map: i32) {
        self.asm.alu32(Alu::Mod, HASH, shards as i32);
        self.asm.store_word(KEY, HASH);
        self.asm.alu_reg(Alu::Mov, R1, CONTEXT);
        self.asm.load_map(R2, map);
        self.asm.alu_reg(Alu::Mov, R3, R10);
        self.asm.alu(Alu::Add, R3, i32::from(KEY));
        self.asm.alu(Alu::Mov, R4, 0);
        self.asm.call(SK_SELECT_REUSEPORT);
        self.asm.place(self.pass);
        self.asm.alu(Alu::Mov, R0, SK_PASS);
        self.asm.exit();
    }
}
