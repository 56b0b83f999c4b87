//! The last messages of a run, for whoever has to read a failure.

use crate::lines::{all_values, text};
use crate::message::param;
use core::fmt;
use siplane::sip::scan;
use siplane::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Messages that are remembered, unless `SIM_TRACE` says how many.
const LINES: usize = 60;

/// One thing that happened.
#[derive(Debug)]
struct Entry {
    at: Instant,
    what: &'static str,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// The last messages in and out of the proxies.
#[derive(Debug)]
pub(crate) struct Trace {
    entries: VecDeque<Entry>,
    lines: usize,
}

impl Trace {
    pub(crate) fn new() -> Self {
        let lines = std::env::var("SIM_TRACE").ok().and_then(|lines| lines.parse().ok());
        Self { entries: VecDeque::new(), lines: lines.unwrap_or(LINES) }
    }

    pub(crate) fn add(&mut self, at: Instant, what: &'static str, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.entries.len() == self.lines {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, what, from, to, bytes: bytes.to_vec() });
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            let message = scan(&entry.bytes);
            let first = entry.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let vias = all_values(&message, "via");
            let branch = vias.first().and_then(|via| param(via, "branch")).unwrap_or_default();
            let to_tag = message.to().map(|to| text(message.text(to.tag))).unwrap_or_default();
            let seconds = entry.at.as_nanos() as f64 / 1e9;
            writeln!(
                f,
                "{seconds:10.4} {:<4} {:>21} -> {:<21} {} | {} | {} | to-tag {to_tag} | {branch}",
                entry.what,
                entry.from,
                entry.to,
                text(first),
                text(message.text(message.head.cseq.value)),
                text(message.call_id()),
            )?;
        }
        Ok(())
    }
}
