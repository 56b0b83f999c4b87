//! BINRPC, Kamailio's binary protocol: packets and their records.
//!
//! A packet is `0xA1`, a byte `type<<4 | (bytes of the length - 1)<<2 | (bytes of the cookie - 1)`, the length of the body, the cookie,
//! the body; numbers are big-endian. A record is a byte `S<<7 | size<<4 | type` and its value: with S the size is that of a length that
//! comes first.

use crate::control::Value;
use crate::limits;
use core::fmt;
use std::borrow::Cow;

/// What every packet begins with: magic 10, version 1.
pub(in crate::control::doors) const FIRST_BYTE: u8 = 0xA1;

/// What Kamailio writes for a text that is not there.
pub(super) const NULL_TEXT: &str = "<null string>";

const INT: u8 = 0;
const TEXT: u8 = 1;
const DOUBLE: u8 = 2;
const STRUCT: u8 = 3;
const ARRAY: u8 = 4;
const NAME: u8 = 5;
const BYTES: u8 = 6;
const STRUCT_END: u8 = 0x80 | STRUCT;
const ARRAY_END: u8 = 0x80 | ARRAY;

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PacketKind {
    Request = 0,
    Reply = 1,
    Fault = 3,
}

/// The head of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) kind: PacketKind,
    /// Ties a reply to its request.
    pub(super) cookie: u32,
    /// Bytes of the head itself.
    pub(super) bytes: usize,
    /// Bytes of the body.
    pub(super) body_bytes: usize,
}

/// What is wrong with a packet, in Kamailio's words where it has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadPacket {
    /// No packet begins like this, or it is of no known type.
    Corrupted,
    /// Longer than `limits::CONTROL_REQUEST_BYTES_MAX`.
    TooLong,
    /// A record that is none, or stands where it must not.
    Record,
    /// The packet ends within a record.
    Short,
    /// Structs in structs beyond `limits::CONTROL_VALUE_DEPTH_MAX`.
    TooDeep,
}

impl fmt::Display for BadPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupted => "corrupted packet",
            Self::TooLong => "packet too long",
            Self::Record => "bad record",
            Self::Short => "more data needed",
            Self::TooDeep => "nested too deep",
        })
    }
}

/// The head that `bytes` begin with; none while bytes of it are missing.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, BadPacket> {
    if bytes.first().is_some_and(|first| *first != FIRST_BYTE) {
        return Err(BadPacket::Corrupted);
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let kind = match second >> 4 {
        0 => PacketKind::Request,
        1 => PacketKind::Reply,
        3 => PacketKind::Fault,
        _ => return Err(BadPacket::Corrupted),
    };
    let length_ends = 2 + usize::from(second >> 2 & 3) + 1;
    let ends = length_ends + usize::from(second & 3) + 1;
    let (Some(length), Some(cookie)) = (bytes.get(2..length_ends), bytes.get(length_ends..ends)) else {
        return Ok(None);
    };
    let body_bytes = number(length) as usize;
    if body_bytes > limits::CONTROL_REQUEST_BYTES_MAX {
        return Err(BadPacket::TooLong);
    }
    Ok(Some(Head { kind, cookie: number(cookie), bytes: ends, body_bytes }))
}

/// A packet around `body`, its numbers as short as they can be.
pub(super) fn packet(kind: PacketKind, cookie: u32, body: &[u8]) -> Vec<u8> {
    // Invariant: a body is far below 4 GiB, since answers are cut to what clients take.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (length, cookie) = (at_least_one(&length), cookie.to_be_bytes());
    let cookie = at_least_one(&cookie);
    let second = (kind as u8) << 4 | (length.len() as u8 - 1) << 2 | (cookie.len() as u8 - 1);
    [&[FIRST_BYTE, second], length, cookie, body].concat()
}

/// All records of a body.
pub(super) fn records(body: &[u8]) -> Result<Vec<Value>, BadPacket> {
    let mut reader = Reader { left: body };
    let mut values = Vec::new();
    while let Some(first) = reader.next() {
        values.push(reader.value(first, 0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, left) = self.left.split_first()?;
        self.left = left;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], BadPacket> {
        let (taken, left) = self.left.split_at_checked(count).ok_or(BadPacket::Short)?;
        self.left = left;
        Ok(taken)
    }

    /// The bytes of a value whose first byte is `first`.
    fn bytes(&mut self, first: u8) -> Result<&'a [u8], BadPacket> {
        let size = usize::from(first >> 4 & 7);
        match first & 0x80 {
            0 => self.take(size),
            _ if (1..=4).contains(&size) => {
                let length = number(self.take(size)?) as usize;
                self.take(length)
            }
            _ => Err(BadPacket::Record),
        }
    }

    fn value(&mut self, first: u8, depth: usize) -> Result<Value, BadPacket> {
        if depth > limits::CONTROL_VALUE_DEPTH_MAX {
            return Err(BadPacket::TooDeep);
        }
        match (first & 0xF, first) {
            (INT, _) => int(self.bytes(first)?),
            (TEXT, _) => Ok(Value::from(text(self.bytes(first)?)?)),
            // Kamailio reads no S in a double: 8 bytes need all four bits of the size.
            (DOUBLE, _) => double(self.take(usize::from(first >> 4))?),
            (BYTES, _) => Ok(Value::from(String::from_utf8_lossy(self.bytes(first)?).into_owned())),
            (_, STRUCT) => self.members(depth),
            (_, ARRAY) => self.elements(depth),
            _ => Err(BadPacket::Record),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Value, BadPacket> {
        let mut members = Vec::new();
        loop {
            let first = self.next().ok_or(BadPacket::Short)?;
            if first == STRUCT_END {
                return Ok(Value::Struct(members));
            }
            if first & 0xF != NAME {
                return Err(BadPacket::Record);
            }
            let name = text(self.bytes(first)?)?;
            let first = self.next().ok_or(BadPacket::Short)?;
            members.push((Cow::Owned(name), self.value(first, depth + 1)?));
        }
    }

    fn elements(&mut self, depth: usize) -> Result<Value, BadPacket> {
        let mut values = Vec::new();
        loop {
            match self.next().ok_or(BadPacket::Short)? {
                ARRAY_END => return Ok(Value::Array(values)),
                first => values.push(self.value(first, depth + 1)?),
            }
        }
    }
}

/// Up to four bytes, big-endian.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Kamailio's ints have 32 bits, of which those that are zero at the front are left out: -1 is four bytes.
fn int(bytes: &[u8]) -> Result<Value, BadPacket> {
    if bytes.len() > 4 {
        return Err(BadPacket::Record);
    }
    Ok(Value::from(number(bytes).cast_signed()))
}

/// A whole number of thousandths.
fn double(bytes: &[u8]) -> Result<Value, BadPacket> {
    if bytes.len() > 8 {
        return Err(BadPacket::Record);
    }
    let thousandths = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).cast_signed();
    Ok(Value::Float(thousandths as f64 / 1000.0))
}

/// A text counts the 0 that ends it.
fn text(bytes: &[u8]) -> Result<String, BadPacket> {
    match bytes.split_last() {
        Some((0, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        _ => Err(BadPacket::Record),
    }
}

/// Writes a whole number: as an int where 32 bits hold it, signed or not, otherwise as a double, as Kamailio does.
pub(super) fn write_int(out: &mut Vec<u8>, number: i64) {
    let short = i32::try_from(number).map(i32::cast_unsigned).or_else(|_| u32::try_from(number));
    match short {
        Ok(bits) => write_number(out, INT, &bits.to_be_bytes()),
        Err(_) => write_double(out, number as f64),
    }
}

/// Writes three decimals of a number, 0 for what is none.
pub(super) fn write_double(out: &mut Vec<u8>, number: f64) {
    // `as` ends at the bounds of i64, and makes 0 of what is no number.
    write_number(out, DOUBLE, &((number * 1000.0).round() as i64).to_be_bytes());
}

fn write_number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let bytes = without_zeros(bytes);
    out.push((bytes.len() as u8) << 4 | kind);
    out.extend_from_slice(bytes);
}

/// Writes a text.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_terminated(out, TEXT, text);
}

/// Writes the name of the member of a struct that comes next.
pub(super) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_terminated(out, NAME, name);
}

fn write_terminated(out: &mut Vec<u8>, kind: u8, text: &str) {
    let length = text.len() + 1;
    if length < 8 {
        out.push((length as u8) << 4 | kind);
    } else {
        // Invariant: a text is far below 4 GiB, since requests and answers are.
        let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let bytes = without_zeros(&bytes);
        out.push(0x80 | (bytes.len() as u8) << 4 | kind);
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Writes a struct whose members `write` writes.
pub(super) fn write_struct(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(STRUCT);
    write(out);
    out.push(STRUCT_END);
}

/// Writes an array whose elements `write` writes.
pub(super) fn write_array(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(ARRAY);
    write(out);
    out.push(ARRAY_END);
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

fn at_least_one(bytes: &[u8; 4]) -> &[u8] {
    match without_zeros(bytes) {
        [] => &bytes[3..],
        short => short,
    }
}
