//! BINRPC: what kamcmd speaks.
//!
//! # Policy
//!
//! - Each packet with a request gets one packet, with its cookie, in the order of the requests. Faults have Kamailio's code and text.
//! - A packet whose records are wrong gets a fault, and the next one is read; after bytes that begin no packet nothing can be
//!   read any more, so that the connection ends behind the fault. So it does when the rest of a packet does not come.

mod codec;
mod shape;
#[cfg(test)]
mod tests;

pub(super) use codec::FIRST_BYTE;
use codec::{BadPacket, Head, PacketKind};

use super::fitting;
use crate::control::rpc::Role;
use crate::control::{Blame, Control, Fault, Given, Value};
use crate::limits;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Answers what comes until the other side ends or nothing can be read any more.
pub(super) async fn converse(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    control: &Arc<Control>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        match codec::head(&bytes) {
            Ok(Some(head)) if bytes.len() >= head.bytes + head.body_bytes => {
                let rest = bytes.split_off(head.bytes + head.body_bytes);
                let answer = answer(control, head, &bytes[head.bytes..]).await;
                timeout(limits::CONTROL_REPLY_TIMEOUT, writer.write_all(&answer)).await??;
                bytes = rest;
            }
            Ok(_) if bytes.is_empty() => {
                if reader.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            }
            Ok(_) => {
                let more = timeout(limits::CONTROL_REST_TIMEOUT, reader.read_buf(&mut bytes)).await;
                if !matches!(more, Ok(Ok(1..))) {
                    return Ok(());
                }
            }
            Err(bad) => return writer.write_all(&refusal(0, bad)).await,
        }
    }
}

/// The packet that answers this one.
async fn answer(control: &Arc<Control>, head: Head, body: &[u8]) -> Vec<u8> {
    if head.kind != PacketKind::Request {
        return refusal(head.cookie, BadPacket::Corrupted);
    }
    let mut records = match codec::records(body) {
        Ok(records) => records.into_iter(),
        Err(bad) => return refusal(head.cookie, bad),
    };
    let Some(Value::Text(name)) = records.next() else {
        return fault(head.cookie, 400, "bad request method: record doesn't match type");
    };
    let (given, most) = (Given::List(records.collect()), limits::BINRPC_REPLY_BYTES_MAX);
    let fits = |value: &Value| shape::body(value).len() <= most;
    match fitting::call(control, Role::Operate, &name, given, most, fits).await {
        Ok(value) => codec::packet(PacketKind::Reply, head.cookie, &shape::body(&value)),
        Err(Fault { blame: Blame::NoSuchMethod, .. }) => fault(head.cookie, 500, &format!("command {name} not found")),
        Err(other) => fault(head.cookie, other.kamailio_code(), other.kamailio),
    }
}

fn refusal(cookie: u32, bad: BadPacket) -> Vec<u8> {
    fault(cookie, 400, &format!("bad request: {bad}"))
}

fn fault(cookie: u32, code: i64, text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    codec::write_int(&mut body, code);
    codec::write_text(&mut body, text);
    codec::packet(PacketKind::Fault, cookie, &body)
}
