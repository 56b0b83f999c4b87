//! Our own answers (RFC 3261 §8.2.6), written from the request's raw lines.
//!
//! They are tolerant of the defect that caused them: what is there is copied, what is missing is left out.

use super::{Defect, Feedback, Field, Message, Splice, Stamp, Status, Via, fields, header_is};
use std::net::SocketAddr;

/// What an answer says beyond the lines that it copies.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Its status.
    pub status: Status,
    /// Its phrase; the standard one when empty.
    pub reason: &'a str,
    /// Tag put into To when the request has none; empty: none is put in (RFC 3261 §8.2.6.1: a 100 needs none).
    pub to_tag: &'a [u8],
    /// Header lines of its own, each with its line end.
    pub headers: &'a [u8],
    /// The request's top Via and what goes into it, when they are known already.
    pub via: Option<(&'a Via, &'a Stamp)>,
    /// What the top Via tells a client that offered to heed it (RFC 7339 §4).
    pub feedback: Option<&'a Feedback>,
}

/// Where the answer to `message`, received from `source`, goes; `None` when its Via cannot be read (RFC 3261 §18.2.2).
#[must_use]
pub fn reply_address(message: &Message<'_>, source: SocketAddr) -> Option<SocketAddr> {
    match message.top_via() {
        Ok(via) => Some(via.reply_address(source)),
        // A Via that is there but wrong still came from somewhere: RFC 3581 §4, as if it had an rport.
        Err(Defect::Via) => Some(source),
        Err(_) => None,
    }
}

/// Appends the answer to `message`, which came from `source`, to `out` (RFC 3261 §8.2.6.2).
pub fn reply(message: &Message<'_>, source: SocketAddr, reply: &Reply<'_>, splice: &mut Splice, out: &mut Vec<u8>) {
    let reason = if reply.reason.is_empty() { reply.status.reason() } else { reply.reason };
    let start = out.len();
    status_line(reply.status, reason, out);
    vias(message, source, reply, splice, out);
    let head = &message.head;
    for line in [head.from, head.call_id, head.cseq] {
        copy_line(message, line.line, out);
    }
    to(message, reply.to_tag, out);
    if reply.status == Status::TRYING {
        // RFC 3261 §8.2.6.1: a 100 copies Timestamp.
        copy_line(message, head.timestamp.line, out);
    }
    out.extend_from_slice(reply.headers);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    if message.defect.is_some() {
        mend_lines(out, start);
    }
}

/// CR LF in the place of each bare LF, at which we end a line, too, and spaces in the place of each bare CR and NUL, from `start` on:
/// who sends such lines does not get lines of its own making into our answer.
#[cold]
fn mend_lines(out: &mut Vec<u8>, start: usize) {
    let is_bare = |out: &[u8], at: usize| out[at] == b'\n' && (at == start || out[at - 1] != b'\r');
    let mut from = out.len();
    let bare = (start..from).filter(|at| is_bare(out, *at)).count();
    out.resize(from + bare, 0);
    let mut to = out.len();
    while from > start {
        (from, to) = (from - 1, to - 1);
        out[to] = match out[from] {
            0 => b' ',
            b'\r' if out.get(to + 1) != Some(&b'\n') => b' ',
            other => other,
        };
        if is_bare(out, from) {
            to -= 1;
            out[to] = b'\r';
        }
    }
}

fn status_line(status: Status, reason: &str, out: &mut Vec<u8>) {
    let code = status.code();
    let digit = |divisor: u16| b'0' + (code / divisor % 10) as u8;
    out.extend_from_slice(b"SIP/2.0 ");
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// RFC 3261 §8.2.6.2: all Vias, in order, the top one with what we noted in it.
fn vias(message: &Message<'_>, source: SocketAddr, reply: &Reply<'_>, splice: &mut Splice, out: &mut Vec<u8>) {
    let head = &message.head;
    if !head.via.is_set() {
        return;
    }
    top_via(message, source, reply, splice, out);
    let rest = head.via.line.end as usize;
    if head.vias_adjoin {
        out.extend_from_slice(&message.bytes[rest..head.vias.end as usize]);
        return;
    }
    let others = fields(message).filter(|field| field.line.start as usize >= rest);
    for Field { line, .. } in others.filter(|field| header_is(message.text(field.name), b"via")) {
        out.extend_from_slice(message.text(line));
    }
}

fn top_via(message: &Message<'_>, source: SocketAddr, reply: &Reply<'_>, splice: &mut Splice, out: &mut Vec<u8>) {
    let line = message.head.via.line;
    splice.clear();
    match reply.via {
        Some((via, stamp)) => stamp.apply(splice, via),
        None => {
            if let Some(via) = Via::parse(message.bytes, message.head.via.value) {
                Stamp::new(message.bytes, &via, source).apply(splice, &via);
                reply.feedback.inspect(|feedback| feedback.apply(message.bytes, &via, splice));
            }
        }
    }
    splice.write_part(message.bytes, line, out);
}

fn to(message: &Message<'_>, tag: &[u8], out: &mut Vec<u8>) {
    let line = message.head.to;
    if !line.is_set() {
        return;
    }
    let untagged = !tag.is_empty() && !message.to().is_ok_and(|to| to.tag.is_set());
    let end = if untagged { line.value.end } else { line.line.end };
    out.extend_from_slice(&message.bytes[line.line.start as usize..end as usize]);
    if end != line.line.end {
        out.extend_from_slice(b";tag=");
        out.extend_from_slice(tag);
        out.extend_from_slice(b"\r\n");
    }
}

fn copy_line(message: &Message<'_>, line: super::Span, out: &mut Vec<u8>) {
    out.extend_from_slice(message.text(line));
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    fn answer(request: &str, status: Status, to_tag: &str) -> String {
        let mut out = Vec::new();
        let answer = Reply { status, reason: "", to_tag: to_tag.as_bytes(), headers: b"", via: None, feedback: None };
        reply(&scan(request.as_bytes()), "192.0.2.1:9".parse().unwrap(), &answer, &mut Splice::new(), &mut out);
        String::from_utf8(out).unwrap()
    }

    const REQUEST: &str = "INVITE sip:a SIP/2.0\r\nv: SIP/2.0/UDP h;rport, SIP/2.0/UDP i\r\nTo: <sip:a>\r\nVia: SIP/2.0/UDP j\r\n\
                           f: <sip:b>;tag=1\r\nCall-ID: c\r\nTimestamp: 54\r\nCSeq: 1 INVITE\r\n\r\n";

    #[test]
    fn an_answer_copies_vias_from_to_call_id_and_cseq_and_adds_a_to_tag() {
        // RFC 3261 §8.2.6.2
        assert_eq!(
            answer(REQUEST, Status::NOT_FOUND, "t"),
            "SIP/2.0 404 Not Found\r\nv: SIP/2.0/UDP h;rport=9;received=192.0.2.1, SIP/2.0/UDP i\r\nVia: SIP/2.0/UDP j\r\n\
             f: <sip:b>;tag=1\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nTo: <sip:a>;tag=t\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_100_copies_timestamp_and_adds_no_to_tag() {
        // RFC 3261 §8.2.6.1
        let trying = answer(REQUEST, Status::TRYING, "");
        assert!(trying.contains("Timestamp: 54\r\nContent-Length") && trying.contains("To: <sip:a>\r\n"), "{trying}");
    }

    #[test]
    fn lines_that_two_readers_would_not_end_alike_are_mended_in_the_answer() {
        let broken =
            "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;x=\ny\r\nFrom: <sip:b>\nTo: <sip:c>\r\nCall-ID: c\rd\0\r\n\n";
        assert_eq!(
            answer(broken, Status::BAD_REQUEST, "t"),
            "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h;x=;received=192.0.2.1\r\nFrom: <sip:b>\r\nCall-ID: c d \r\n\
             To: <sip:c>;tag=t\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_broken_request_is_answered_with_what_it_has() {
        let got = answer("INVITE  sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nCSeq: x\r\n", Status::BAD_REQUEST, "t");
        assert_eq!(
            got,
            "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h;received=192.0.2.1\r\nCSeq: x\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
