//! BINRPC: packets are read to their last byte or refused, and what was read is written and read again as the same.

#[path = "../../../../src/control/doors/binrpc/codec.rs"]
#[allow(dead_code, reason = "the door uses all of it")]
mod codec;
#[path = "../../../../src/control/doors/binrpc/shape.rs"]
mod shape;

use super::super::Value;

pub(crate) fn run(data: &[u8]) {
    if let Ok(Some(head)) = codec::head(data) {
        assert!(head.bytes <= data.len() && head.body_bytes <= siplane::limits::CONTROL_REQUEST_BYTES_MAX);
        let body = &data[head.bytes..data.len().min(head.bytes + head.body_bytes)];
        let packet = codec::packet(head.kind, head.cookie, body);
        let again = codec::head(&packet).unwrap().unwrap();
        assert_eq!((again.kind, again.cookie, again.body_bytes), (head.kind, head.cookie, body.len()));
        assert_eq!(&packet[again.bytes..], body);
        records(body);
    }
    records(data);
}

fn records(body: &[u8]) {
    let Ok(values) = codec::records(body) else { return };
    let plain = values.iter().all(|value| matches!(value, Value::Int(_) | Value::Text(_)));
    let written = shape::body(&Value::Array(values.clone()));
    let again = codec::records(&written).expect("what is written can be read");
    assert_eq!(again.len(), values.len());
    assert!(!plain || again == values);
    // Once in the shape that records have, it stays what it is.
    assert_eq!(shape::body(&Value::Array(again)), written);
}
