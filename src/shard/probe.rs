//! The way of what belongs to the prober: it sends by the calls' own sockets, so answers and ICMP errors arrive at a shard.
//!
//! A response whose top Via carries [`PROBE_BRANCH`] is passed on before anybody asks which shard owns the call; so is an ICMP error
//! for a request that carries it. Whether the branch is one the prober really sent is the prober's to check.

use super::handoff::Mailbox;
use crate::limits;
use crate::proxy::{PROBE_BRANCH, SocketId};
use crate::time::Instant;
use core::time::Duration;
use memchr::{memchr, memmem};
use std::io;
use std::net::SocketAddr;

/// What became of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeOutcome {
    /// A response came; the bytes are the whole of it, the address is its source.
    Response,
    /// An ICMP error came (RFC 3261 §18.4); the bytes are how the probe begins, the address is where it was sent.
    Unreachable,
}

/// One piece of news for the prober; the bytes go with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeAnswer {
    /// What happened.
    pub outcome: ProbeOutcome,
    /// Who answered, or who could not be reached.
    pub address: SocketAddr,
    /// By which listen address it came in.
    pub socket: SocketId,
    /// When the shard's turn began that received it.
    pub received_at: Instant,
}

/// The prober's mailbox: at most [`limits::PROBE_ANSWERS`] answers wait; any shard writes, the prober reads.
#[derive(Debug)]
pub struct ProbeSink(Mailbox<ProbeAnswer>);

impl ProbeSink {
    /// An empty mailbox.
    ///
    /// # Errors
    /// When the process may open no more descriptors.
    pub fn new() -> io::Result<Self> {
        Mailbox::new(limits::PROBE_ANSWERS).map(Self)
    }

    /// Sleeps until an answer is there, at most `timeout`. For one thread, the prober's.
    pub fn wait(&self, timeout: Duration) {
        self.0.wait(timeout);
    }

    /// Shows the answers that are there, at most [`limits::PROBE_ANSWERS`], in order of arrival per shard; how many there were.
    pub fn drain(&self, read: impl FnMut(ProbeAnswer, &[u8])) -> usize {
        self.0.drain(limits::PROBE_ANSWERS, read)
    }

    /// `false` when the mailbox is full.
    #[must_use]
    pub(super) fn post(&self, answer: ProbeAnswer, bytes: &[u8]) -> bool {
        self.0.post(answer, bytes)
    }

    pub(super) fn ring(&self) {
        self.0.ring();
    }

    #[cfg(test)]
    pub(super) const fn bell(&self) -> &super::bell::Bell {
        self.0.bell()
    }
}

/// Whether `bytes` is a response to a probe.
pub(super) fn is_answer(bytes: &[u8]) -> bool {
    is_response(bytes) && is_marked(bytes)
}

/// Whether `bytes`, a message of ours or how it begins, is a probe.
pub(super) fn is_probe(bytes: &[u8]) -> bool {
    !is_response(bytes) && is_marked(bytes)
}

/// RFC 3261 §7.2: a response starts with the SIP version, whose case is ignored (§7.1).
pub(super) fn is_response(bytes: &[u8]) -> bool {
    bytes.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

fn is_marked(bytes: &[u8]) -> bool {
    top_via(bytes).is_some_and(|via| {
        // RFC 3261 §7.3.1: white space may stand around the equals sign.
        memmem::find(via, PROBE_BRANCH).is_some_and(|at| via[..at].trim_ascii_end().ends_with(b"="))
    })
}

/// The topmost Via value, however its name is spelled; cut at a comma or at the end of `bytes`.
fn top_via(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        rest = &rest[memchr(b'\n', rest)? + 1..];
        match rest.first()? {
            b'v' | b'V' => {}
            b'\r' | b'\n' => return None,
            _ => continue,
        }
        let Some(colon) = memchr(b':', &rest[..rest.len().min(16)]) else { continue };
        let name = rest[..colon].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"v") || name.eq_ignore_ascii_case(b"via") {
            let value = &rest[colon + 1..];
            let line = &value[..line_end(value)];
            return Some(&line[..memchr(b',', line).unwrap_or(line.len())]);
        }
    }
}

/// RFC 3261 §7.3.1: a line that starts with white space goes on with the one before.
fn line_end(value: &[u8]) -> usize {
    let mut end = 0;
    while let Some(at) = memchr(b'\n', &value[end..]) {
        end += at + 1;
        if !matches!(value.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE_VIA: &str = "SIP/2.0/UDP 192.0.2.1;rport=5060;branch=z9hG4bKp17";
    const CALL_VIA: &str = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKs17";

    #[test]
    fn an_answer_is_known_by_its_top_via_in_every_spelling() {
        for name in ["Via:", "VIA :", "v:", "V : ", "Via:\r\n "] {
            let text = format!("SIP/2.0 200 OK\r\nTo: <sip:a@b>\r\n{name}{PROBE_VIA}\r\nVia: {CALL_VIA}\r\n\r\n");
            assert!(is_answer(text.as_bytes()), "{name}");
            assert!(!is_probe(text.as_bytes()), "{name}");
        }
        let spaced = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h ; branch = z9hG4bKp1\r\n\r\n";
        assert!(is_answer(spaced.as_bytes()));
    }

    #[test]
    fn a_calls_response_is_not_an_answer_even_when_a_probe_stands_further_down() {
        for vias in [
            format!("Via: {CALL_VIA}\r\nVia: {PROBE_VIA}\r\n"),
            format!("Via: {CALL_VIA}, {PROBE_VIA}\r\n"),
            format!("Via: {CALL_VIA}\r\nVia-Trace: {PROBE_VIA}\r\n"),
            format!("X: {PROBE_VIA}\r\n\r\nVia: {PROBE_VIA}\r\n"),
            String::from("Via: SIP/2.0/UDP z9hG4bKp1;branch=z9hG4bKs1\r\n"),
        ] {
            assert!(!is_answer(format!("SIP/2.0 200 OK\r\n{vias}\r\n").as_bytes()), "{vias}");
        }
    }

    #[test]
    fn a_request_with_our_probes_branch_is_a_probe_and_not_an_answer() {
        let text = format!("OPTIONS sip:a@b SIP/2.0\r\nVia: {PROBE_VIA}");
        assert!(is_probe(text.as_bytes()) && !is_answer(text.as_bytes()));
    }

    #[test]
    fn noise_is_neither() {
        for noise in [&b""[..], b"\r\n\r\n", b"SIP", b"SIP/2.0 200 OK\r\nv", b"SIP/2.0 200 OK\r\nVia:", b"v:z9hG4bKp"] {
            assert!(!is_answer(noise) && !is_probe(noise), "{noise:?}");
        }
    }
}
