//! A small assembler for eBPF: instructions with labels, as the kernel wants them (RFC 9669).

/// A register. `R10` is the frame: the stack grows down from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// A place in the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(usize);

/// Arithmetic (RFC 9669 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Or = 0x40,
    And = 0x50,
    Rsh = 0x70,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
}

/// Conditions, unsigned (RFC 9669 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Jump {
    Equal = 0x10,
    Greater = 0x20,
    NotEqual = 0x50,
    LessOrEqual = 0xb0,
}

// Instruction classes and modes.
const ALU64: u8 = 0x07;
const ALU32: u8 = 0x04;
const JMP: u8 = 0x05;
const FROM_REGISTER: u8 = 0x08;
const LOAD_BYTE: u8 = 0x71;
const LOAD_DOUBLE: u8 = 0x79;
const STORE_WORD: u8 = 0x63;
const LOAD_IMMEDIATE: u8 = 0x18;
const ALWAYS: u8 = 0x00;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// The immediate of a 64-bit load is a map's descriptor.
const PSEUDO_MAP: u8 = 1;

/// A program in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<u64>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A label, to be placed once.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The next instruction is where `label` leads.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// `register = register op value`, 64 bits.
    pub(super) fn alu(&mut self, op: Alu, register: Reg, value: i32) {
        self.push(ALU64 | op as u8, register, Reg::R0, 0, value);
    }

    /// `register = register op from`, 64 bits.
    pub(super) fn alu_reg(&mut self, op: Alu, register: Reg, from: Reg) {
        self.push(ALU64 | FROM_REGISTER | op as u8, register, from, 0, 0);
    }

    /// The same in 32 bits.
    pub(super) fn alu32(&mut self, op: Alu, register: Reg, value: i32) {
        self.push(ALU32 | op as u8, register, Reg::R0, 0, value);
    }

    /// The same in 32 bits.
    pub(super) fn alu32_reg(&mut self, op: Alu, register: Reg, from: Reg) {
        self.push(ALU32 | FROM_REGISTER | op as u8, register, from, 0, 0);
    }

    /// `register = value`.
    pub(super) fn load_u64(&mut self, register: Reg, value: u64) {
        self.push(LOAD_IMMEDIATE, register, Reg::R0, 0, value as i32);
        self.push(0, Reg::R0, Reg::R0, 0, (value >> 32) as i32);
    }

    /// `register` = the map with this descriptor.
    pub(super) fn load_map(&mut self, register: Reg, descriptor: i32) {
        self.push_raw(LOAD_IMMEDIATE, register as u8 | PSEUDO_MAP << 4, 0, descriptor);
        self.push(0, Reg::R0, Reg::R0, 0, 0);
    }

    /// `register` = the byte of the stack at `offset`.
    pub(super) fn load_byte(&mut self, register: Reg, offset: i16) {
        self.push(LOAD_BYTE, register, Reg::R10, offset, 0);
    }

    /// `register` = the eight bytes of the stack at `offset`.
    pub(super) fn load_double(&mut self, register: Reg, offset: i16) {
        self.push(LOAD_DOUBLE, register, Reg::R10, offset, 0);
    }

    /// The four bytes of the stack at `offset` = `register`.
    pub(super) fn store_word(&mut self, offset: i16, register: Reg) {
        self.push(STORE_WORD, Reg::R10, register, offset, 0);
    }

    /// To `label` if `register` compares so with `value`.
    pub(super) fn jump(&mut self, condition: Jump, register: Reg, value: i32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JMP | condition as u8, register, Reg::R0, 0, value);
    }

    /// To `label` if the registers compare so.
    pub(super) fn jump_reg(&mut self, condition: Jump, register: Reg, with: Reg, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JMP | FROM_REGISTER | condition as u8, register, with, 0, 0);
    }

    /// To `label`.
    pub(super) fn go(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JMP | ALWAYS, Reg::R0, Reg::R0, 0, 0);
    }

    /// Calls a helper of the kernel: arguments in `R1` to `R5`, which are lost, the result in `R0`.
    pub(super) fn call(&mut self, helper: i32) {
        self.push(CALL, Reg::R0, Reg::R0, 0, helper);
    }

    /// Ends with the result in `R0`.
    pub(super) fn exit(&mut self) {
        self.push(EXIT, Reg::R0, Reg::R0, 0, 0);
    }

    /// The instructions, 8 bytes each.
    pub(super) fn finish(mut self) -> Vec<u64> {
        for (at, label) in &self.jumps {
            // Invariant: every label that is jumped to is placed, and programs are far below 32,768 instructions.
            let target = self.labels[label.0].expect("a placed label");
            let offset = target as i64 - *at as i64 - 1;
            self.code[*at] |= u64::from(offset as i16 as u16) << 16;
        }
        self.code
    }

    fn push(&mut self, opcode: u8, destination: Reg, source: Reg, offset: i16, immediate: i32) {
        self.push_raw(opcode, destination as u8 | (source as u8) << 4, offset, immediate);
    }

    fn push_raw(&mut self, opcode: u8, registers: u8, offset: i16, immediate: i32) {
        let (offset, immediate) = (offset as u16, immediate as u32);
        let words =
            u64::from(opcode) | u64::from(registers) << 8 | u64::from(offset) << 16 | u64::from(immediate) << 32;
        self.code.push(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_and_jumps_are_encoded_as_rfc_9669_says() {
        let mut asm = Assembler::default();
        let (end, top) = (asm.label(), asm.label());
        asm.place(top);
        asm.alu(Alu::Mov, Reg::R0, 1);
        asm.jump(Jump::Greater, Reg::R7, 5, end);
        asm.alu_reg(Alu::Mov, Reg::R6, Reg::R1);
        asm.go(top);
        asm.place(end);
        asm.exit();
        // opcode, registers, offset, immediate, little-endian
        assert_eq!(asm.finish(), [0x1_0000_00b7, 0x5_0002_0725, 0x16bf, 0xfffc_0005, 0x95]);
    }
}
