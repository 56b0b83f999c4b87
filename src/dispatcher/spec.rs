//! What a table is made of, as the config or a list file says it: plain values, checked by [`super::Table::build`].

use core::time::Duration;
use std::net::SocketAddr;

/// A set's number, as operators and Kamailio's files write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SetId(pub u32);

/// What is hashed by a hash algorithm; the caller takes it from the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashInput {
    /// The whole Call-ID value.
    CallId,
}

/// How a set orders its destinations for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Each in turn; exact over all shards.
    RoundRobin,
    /// Uniformly at random.
    Random,
    /// Highest `priority` first, ties in file order.
    Priority,
    /// In proportion to `weight`, smooth and exact over any sum-of-weights consecutive requests.
    Weight,
    /// Consistent (rendezvous) hashing, weighted: gaining or losing a destination moves only its own share.
    Hash(HashInput),
}

/// One destination as configured.
#[derive(Clone, PartialEq, Debug)]
pub struct DestinationSpec {
    /// Stable id; when empty one is derived from set, URI and socket.
    pub duid: String,
    /// SIP URI as written.
    pub uri: String,
    /// Where its requests go.
    pub address: SocketAddr,
    /// Share under `weight` and `hash`; 0 means none of the regular traffic, only failover.
    pub weight: u32,
    /// Higher comes first under `priority`.
    pub priority: i32,
    /// Whether an operator's config disables it.
    pub disabled: bool,
}

/// What to answer when every target of a set has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exhausted {
    /// The best response of those received (RFC 3261 §16.7.6).
    BestResponse,
    /// 503 with this Retry-After, seconds.
    ServiceUnavailable,
}

/// One set as configured.
#[derive(Clone, PartialEq, Debug)]
pub struct SetSpec {
    /// Its number.
    pub id: SetId,
    /// Its name, for people; may be empty.
    pub name: String,
    /// How destinations are ordered.
    pub algorithm: Algorithm,
    /// Its destinations in file order.
    pub destinations: Vec<DestinationSpec>,
    /// Final codes that send the request on to the next target.
    pub failover_codes: FailoverCodes,
    /// Targets tried at most for one request, 1 to [`crate::limits::TARGETS_MAX`].
    pub failover_limit: usize,
    /// Longest wait for any response (100 counts) before the next target is tried; Timers B and F stay as the outer bound.
    pub answer_timeout: Duration,
    /// What to answer when nothing is left.
    pub exhausted: Exhausted,
    /// Retry-After of the 503 that says no destination is available, seconds; 0: none is sent.
    pub retry_after_s: u32,
}

/// A set of final status codes 400-699: one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FailoverCodes([u64; 5]);

impl FailoverCodes {
    /// No code at all: only time-outs and send errors move on.
    pub const NONE: Self = Self([0; 5]);

    /// 408 and 500-599 but 501, 505, 513: what another destination may well answer otherwise.
    #[must_use]
    pub fn standard() -> Self {
        let mut codes = Self::NONE;
        codes.insert(408);
        (500..600).filter(|code| ![501, 505, 513].contains(code)).for_each(|code| codes.insert(code));
        codes
    }

    /// Adds `code`; codes outside 400-699 are ignored.
    pub fn insert(&mut self, code: u16) {
        if let Some((word, bit)) = Self::place(code) {
            self.0[word] |= 1 << bit;
        }
    }

    /// Whether `code` moves a request on.
    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        Self::place(code).is_some_and(|(word, bit)| self.0[word] >> bit & 1 == 1)
    }

    fn place(code: u16) -> Option<(usize, u16)> {
        let offset = code.checked_sub(400).filter(|offset| *offset < 300)?;
        Some((usize::from(offset / 64), offset % 64))
    }
}

impl core::fmt::Debug for FailoverCodes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries((400..700).filter(|code| self.contains(*code))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_failover_codes_are_408_and_5xx_but_those_that_another_destination_would_repeat() {
        let codes = FailoverCodes::standard();
        for code in [408, 500, 502, 503, 504, 599] {
            assert!(codes.contains(code), "{code}");
        }
        for code in [0, 200, 400, 404, 407, 486, 487, 501, 505, 513, 600, 699, 700, 65535] {
            assert!(!codes.contains(code), "{code}");
        }
    }
}
