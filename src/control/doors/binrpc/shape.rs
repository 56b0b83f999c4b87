//! Values as records: what JSON has and BINRPC does not is given the shape that Kamailio gives it.
//!
//! - An array that is the whole answer is its elements, one record each.
//! - A struct may hold no array: an array in one becomes a struct. Elements that are structs with one member become that member, so
//!   that `[{"SET": …}, {"SET": …}]` is a struct with two members `SET`; any other element is named by its place, from 0.
//! - true and false are 1 and 0, and nothing is the text `<null string>`.

use super::codec;
use crate::control::Value;

/// The body of the packet that answers with `value`.
pub(super) fn body(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Array(values) => values.iter().for_each(|value| write(&mut out, value, false)),
        value => write(&mut out, value, false),
    }
    out
}

fn write(out: &mut Vec<u8>, value: &Value, in_struct: bool) {
    match value {
        Value::Null => codec::write_text(out, codec::NULL_TEXT),
        Value::Flag(flag) => codec::write_int(out, i64::from(*flag)),
        Value::Int(number) => codec::write_int(out, *number),
        Value::Float(number) => codec::write_double(out, *number),
        Value::Text(text) => codec::write_text(out, text),
        Value::Array(values) if in_struct => {
            codec::write_struct(out, |out| {
                values.iter().enumerate().for_each(|(place, value)| write_element(out, place, value));
            });
        }
        Value::Array(values) => {
            codec::write_array(out, |out| values.iter().for_each(|value| write(out, value, false)));
        }
        Value::Struct(members) => {
            codec::write_struct(out, |out| members.iter().for_each(|(name, value)| write_member(out, name, value)));
        }
    }
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &Value) {
    codec::write_name(out, name);
    write(out, value, true);
}

fn write_element(out: &mut Vec<u8>, place: usize, value: &Value) {
    match value {
        Value::Struct(members) if members.len() == 1 => write_member(out, &members[0].0, &members[0].1),
        value => write_member(out, &place.to_string(), value),
    }
}
