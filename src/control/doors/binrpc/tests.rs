//! The codec against what Kamailio 5.6.3 and kamcmd were seen to exchange, and against anything at all.

use super::codec::{self, BadPacket, Head, PacketKind};
use super::{fault, shape};
use crate::control::Value;
use proptest::prelude::*;
use std::borrow::Cow;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn head(packet: &[u8]) -> Head {
    codec::head(packet).unwrap().unwrap()
}

fn reply(value: &Value) -> Vec<u8> {
    codec::packet(PacketKind::Reply, 0x1234, &shape::body(value))
}

#[test]
fn requests_that_were_seen_are_read() {
    let uptime = bytes("a1010e1234 910c 636f72652e757074696d6500");
    let found = head(&uptime);
    assert_eq!((found.kind, found.cookie, found.bytes, found.body_bytes), (PacketKind::Request, 0x1234, 5, 14));
    assert_eq!(codec::records(&uptime[5..]), Ok(vec![Value::from("core.uptime")]));
    let set_state = bytes("a101201234 9115 646973706174636865722e7365745f737461746500 317a7a00 1001 217800");
    let given = [Value::from("dispatcher.set_state"), Value::from("zz"), Value::Int(1), Value::from("x")];
    assert_eq!(codec::records(&set_state[5..]), Ok(given.into()));
}

#[test]
fn replies_and_faults_are_those_that_were_seen() {
    let hash = Value::of([("hashid", Value::Int(3_883_463_682)), ("slot", Value::Int(2))]);
    assert_eq!(reply(&hash), bytes("a111171234 03 75 686173686964 00 40e778f402 55 736c6f74 00 1002 83"));
    let unknown = fault(0x1234, 500, "Unknown State Value");
    assert_eq!(unknown, bytes("a131191234 2001f4 9114 556e6b6e6f776e2053746174652056616c756500"));
    let groups: Value = ["core", "dialog", "dns"].into_iter().collect();
    assert_eq!(reply(&groups), bytes("a111131234 51636f726500 716469616c6f6700 41646e7300"));
    assert_eq!(reply(&Value::Array(Vec::new())), bytes("a111001234"));
    assert_eq!(reply(&Value::Null), bytes("a111101234 910e3c6e756c6c20737472696e673e00"));
}

/// dispatcher.list of 5.6.3, its second set left out.
#[test]
fn arrays_in_structs_are_structs_with_members_that_repeat() {
    let destination =
        |uri: &'static str| Value::of([("DEST", Value::of([("URI", Value::fixed(uri)), ("PRIORITY", Value::Int(0))]))]);
    let targets = Value::Array(vec![destination("sip:a"), destination("sip:b")]);
    let list = Value::of([("RECORDS", Value::Array(vec![Value::of([("SET", Value::of([("TARGETS", targets)]))])]))]);
    let dest =
        |letter: &str| format!("55 44455354 00 03 45 555249 00 61 7369703a{letter} 00 9509 5052494f52495459 00 00 83");
    let (a, b) = (dest("61"), dest("62"));
    let body = format!("03 9508 5245434f524453 00 03 45 534554 00 03 9508 54415247455453 00 03 {a} {b} 83 83 83 83");
    assert_eq!(shape::body(&list), bytes(&body));
    let plain = Value::of([("list", [7_i64, 8].into_iter().collect())]);
    assert_eq!(shape::body(&plain), bytes("03 55 6c697374 00 03 2530 00 1007 2531 00 1008 83 83"));
}

#[test]
fn numbers_are_as_short_as_kamailio_writes_them() {
    let body = |value: Value| shape::body(&value);
    assert_eq!(body(Value::Int(0)), bytes("00"));
    assert_eq!(body(Value::Int(345)), bytes("200159"));
    assert_eq!(body(Value::Int(-1)), bytes("40ffffffff"));
    assert_eq!(body(Value::Flag(true)), bytes("1001"));
    assert_eq!(body(Value::Float(21.138)), bytes("225292"));
    assert_eq!(body(Value::Float(-0.001)), bytes("82ffffffffffffffff"));
    // Beyond 32 bits: a double, so thousandths.
    assert_eq!(body(Value::Int(1 << 32)), bytes("62 03e800000000"));
    assert_eq!(body(Value::Float(f64::NAN)), bytes("02"));
}

#[test]
fn what_begins_no_packet_is_known_by_its_head() {
    assert_eq!(codec::head(b"{"), Err(BadPacket::Corrupted));
    assert_eq!(codec::head(&bytes("a121")), Err(BadPacket::Corrupted));
    assert_eq!(codec::head(&bytes("a10c ffffffff 01")), Err(BadPacket::TooLong));
    for short in ["", "a1", "a101", "a1010e", "a1010e12"] {
        assert_eq!(codec::head(&bytes(short)), Ok(None), "{short}");
    }
}

#[test]
fn records_that_are_none_are_told_apart() {
    for (body, bad) in [
        ("71 6162", BadPacket::Short),
        ("31 616263", BadPacket::Record),
        ("01", BadPacket::Record),
        ("55 74657374 00", BadPacket::Record),
        ("83", BadPacket::Record),
        ("03 1001 83", BadPacket::Record),
        ("03 55 74657374 00", BadPacket::Short),
        ("04 1001", BadPacket::Short),
        ("50 0102030405", BadPacket::Record),
        ("92 000000000000000000", BadPacket::Record),
        ("f1 0102030405060708", BadPacket::Record),
        ("0f", BadPacket::Record),
    ] {
        assert_eq!(codec::records(&bytes(body)), Err(bad), "{body}");
    }
    let deep = "04".repeat(1_000_000);
    assert_eq!(codec::records(&bytes(&deep)), Err(BadPacket::TooDeep));
}

/// Values that BINRPC has, in shapes that it has: no array in a struct.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<i32>().prop_map(Value::from),
        (-1_000_000_000_i64..1_000_000_000).prop_map(|thousandths| Value::Float(thousandths as f64 / 1000.0)),
        "[ -~ü]{0,300}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 64, 8, |inner| {
        let member = ("[a-z_]{1,20}".prop_map(Cow::Owned), inner);
        prop::collection::vec(member, 0..8).prop_map(Value::Struct)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(values in prop::collection::vec(value(), 0..6), cookie: u32) {
        let packet = codec::packet(PacketKind::Request, cookie, &shape::body(&Value::Array(values.clone())));
        let found = head(&packet);
        prop_assert_eq!((found.kind, found.cookie), (PacketKind::Request, cookie));
        prop_assert_eq!(packet.len(), found.bytes + found.body_bytes);
        prop_assert_eq!(codec::records(&packet[found.bytes..]), Ok(values));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = codec::records(&bytes);
        if let Ok(Some(head)) = codec::head(&bytes) {
            prop_assert!(head.bytes <= bytes.len() && head.bytes <= 10);
        }
    }

    /// Bytes that are nearly a packet reach deeper than noise does.
    #[test]
    fn a_packet_with_changed_bytes_is_read_or_refused(
        values in prop::collection::vec(value(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = shape::body(&Value::Array(values));
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let _ = codec::records(&body);
    }
}
