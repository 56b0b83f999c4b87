//! What a table is made of, as the config or a list file says it: plain values, checked by [`super::Table::build`].

use core::time::Duration;
use std::net::SocketAddr;

use super::evidence::PassiveSpec;
use super::overload::OverloadBounds;
use super::report::ReportSpec;

/// A set's number, as operators and Kamailio's files write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SetId(pub u32);

/// The name of a header, lower case, at most 31 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderName {
    bytes: [u8; 31],
    length: u8,
}

impl HeaderName {
    /// The name `text`; `None` when it is empty, longer than 31 bytes, or no token (RFC 3261 §25.1).
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
        let mut bytes = [0; 31];
        let place = bytes.get_mut(..text.len()).filter(|place| !place.is_empty())?;
        place.copy_from_slice(text.as_bytes());
        place.make_ascii_lowercase();
        text.as_bytes().iter().all(token).then_some(Self { bytes, length: text.len() as u8 })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl core::fmt::Display for HeaderName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl core::fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What is hashed by a hash algorithm; the caller takes it from the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashInput {
    /// The whole Call-ID value.
    CallId,
    /// User and host of the From URI, and its port unless it is the default.
    FromUri,
    /// The same of the To URI.
    ToUri,
    /// The same of the Request-URI.
    RequestUri,
    /// The user name in Proxy-Authorization, else in Authorization; a request without one is dispatched by round robin.
    AuthUser,
    /// The value of the first header with this name; a request without it is dispatched by round robin.
    Header(HeaderName),
}

/// How a hash becomes an order of destinations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HashKind {
    /// Weighted: a destination that goes down or comes back moves only its own share, spread over all others.
    #[default]
    Consistent,
    /// Kamailio's hash, bit by bit, modulo the number of destinations, in Kamailio's order (highest priority first, ties in
    /// reverse file order); an unavailable one's share goes to the next. For migrations.
    Legacy,
}

/// How call load finds the destination with the fewest calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LoadChoice {
    /// All are looked at, in a set of up to 128; in a larger one 32 of them, drawn by weight: at most a call or two above
    /// the fewest, and no cost that grows with the set.
    #[default]
    Exact,
    /// Two at random, the better one: nearly as even, and its cost does not grow with the set.
    TwoChoices,
}

/// How a set orders its destinations for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Each in turn; exact over all shards (Kamailio 4).
    RoundRobin,
    /// Round robin in a set that has overload control (Kamailio 64).
    RoundRobinOverload,
    /// Uniformly at random (Kamailio 6).
    Random,
    /// Highest `priority` first, ties in file order (Kamailio 8).
    Priority,
    /// In proportion to `weight`, smooth and exact over any sum-of-weights consecutive requests (Kamailio 9).
    Weight,
    /// The same by `rweight` (Kamailio 11): the shares are those of the available destinations.
    RelativeWeight,
    /// By a hash of the request (Kamailio 0-3, 5, 7).
    Hash(HashInput, HashKind),
    /// Fewest calls relative to `weight` first (Kamailio 10), or the least full by what they report ([`ReportSpec::load_from`]).
    CallLoad(LoadChoice),
    /// Several at once, as many as [`SetSpec::branches_max`] says: highest `priority` first, ties in file order; the others when one of
    /// those fails (Kamailio 12, which takes unavailable ones, too).
    Parallel,
    /// The fastest first (Kamailio 13). Ranks come before times, and by Kamailio's rule: a priority above 0 whose probe estimate is
    /// above it, in ms, counts as priority − estimate / priority, at least 1; every other priority counts as it is. So with priorities
    /// the order is Kamailio's, and without any there is one rank. Within a rank, where Kamailio takes turns, the lowest
    /// time × (INVITEs without an answer yet + 1) / `weight` comes first; exact ties take turns. The time is the worse of probe estimate
    /// and live response time, the one there is, or with `cc` the congestion. Weight 0 comes last.
    Latency,
    /// Round robin when all priorities are equal, else priority (Kamailio 14).
    RoundRobinOrPriority,
    /// Lowest `priority` number first, by weight among equals, as RFC 2782 orders SRV records (Kamailio 15).
    Srv,
}

/// The listen address by which requests leave for a destination (Kamailio's `socket` and `sockname`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutgoingSocket {
    /// Its number among the listen addresses, which do not change while the process runs; what it means is the caller's.
    pub number: u8,
    /// What a derived duid calls it, like `udp:192.0.2.1:5060`; empty: nothing, because it is only a default.
    pub name: String,
}

/// One destination as configured. [`DestinationSpec::new`] has the defaults.
#[derive(Clone, PartialEq, Debug)]
pub struct DestinationSpec {
    /// Stable id; when empty one is derived from set, URI and socket.
    pub duid: String,
    /// SIP URI as written.
    pub uri: String,
    /// Where its requests go.
    pub address: SocketAddr,
    /// By which listen address; `None`: the one that a request came in on, when that has the address's family.
    pub socket: Option<OutgoingSocket>,
    /// Share under `weight`, `srv`, consistent hashes, call load and latency; 0 means none of the regular traffic, only failover.
    pub weight: u32,
    /// Share under `relative-weight`; 0 as for `weight`.
    pub rweight: u32,
    /// Higher comes first under `priority` and, by its rule, `latency`; lower under `srv`.
    pub priority: i32,
    /// Calls that it may have at once, never exceeded under any algorithm; 0: no bound.
    pub maxload: u32,
    /// New calls that it may get in any one second, under any algorithm; 0: no bound. An eighth of them may come at once;
    /// a steady stream gets at least seven eighths.
    pub calls_per_second_max: u32,
    /// Congestion control (Kamailio's `cc`): latency goes by the congestion, estimate − average of its probes, and relative weight
    /// takes `weight` less the congestion in ms as its share, instead of `rweight`.
    pub cc: bool,
    /// What its probes are taken to have measured when it is first seen (Kamailio's `latency`); zero: nothing.
    pub latency: Duration,
    /// Only used when no other destination of the set is available (Kamailio's `use_default`).
    pub last_resort: bool,
    /// Whether an operator's config disables it.
    pub disabled: bool,
    /// Inactive when it is first seen, until a probe or an operator finds it alive (Kamailio's flag 1).
    pub inactive: bool,
    /// Kamailio's attrs as written, `name=value;…`; [`SetSpec::attrs_header`] puts them into requests.
    pub attrs: String,
    /// How it is probed where that differs from the process-wide settings.
    pub probe: ProbeSpec,
    /// What its reported loss counts for, where the set has overload control.
    pub overload: OverloadBounds,
}

/// How one destination is probed; what is `None` is as the process-wide settings say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProbeSpec {
    /// Kamailio's probing flag: whether the policies that only look at flagged destinations look at this one.
    pub flagged: bool,
    /// Never probed, whatever the policy says (Kamailio's flag 32).
    pub never: bool,
    /// From probe to probe.
    pub interval: Option<Duration>,
    /// Longest wait for the answer.
    pub timeout: Option<Duration>,
    /// Number of the listen address by which probes leave, where it is not that of calls (Kamailio's `ping_socket`).
    pub socket: Option<u8>,
    /// Method on the wire (Kamailio's `ds_ping_method`): one without a dialog.
    pub method: Option<String>,
    /// From URI (Kamailio's `ping_from`).
    pub from: Option<String>,
    /// Final codes beyond 2xx that are a success.
    pub reply_codes: Option<Vec<u16>>,
    /// Failures in a row that make it inactive.
    pub probing_threshold: Option<u32>,
    /// Successes in a row that make it active again.
    pub inactive_threshold: Option<u32>,
}

impl DestinationSpec {
    /// A destination with everything else at its default.
    #[must_use]
    pub fn new(uri: impl Into<String>, address: SocketAddr) -> Self {
        Self {
            duid: String::new(),
            uri: uri.into(),
            address,
            socket: None,
            weight: 1,
            rweight: 1,
            priority: 0,
            maxload: 0,
            calls_per_second_max: 0,
            cc: false,
            latency: Duration::ZERO,
            last_resort: false,
            disabled: false,
            inactive: false,
            attrs: String::new(),
            probe: ProbeSpec::default(),
            overload: OverloadBounds::default(),
        }
    }
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
    /// Under [`Algorithm::Parallel`] the targets that get a request at once, 1 to [`crate::limits::BRANCHES_MAX`]; the request's
    /// Max-Breadth may be less (RFC 5393 §5.3.3). All other algorithms try one after the other.
    pub branches_max: usize,
    /// Longest wait for any response (100 counts) before the next target is tried; Timers B and F stay as the outer bound.
    pub answer_timeout: Duration,
    /// What to answer when nothing is left.
    pub exhausted: Exhausted,
    /// Retry-After of the 503 that says no destination is available, seconds; 0: none is sent.
    pub retry_after_s: u32,
    /// The set whose destinations are tried when none of this one is left; chains end at [`crate::limits::CHAIN_MAX`] sets.
    pub fallback: Option<SetId>,
    /// Whether the Request-URI becomes the destination's URI (RFC 3261 §16.6 item 2), its user part kept; else only the next hop is chosen.
    pub rewrite_uri: bool,
    /// The header that tells the destination its `attrs` in each request that the dispatcher sends it; none when it has none.
    pub attrs_header: Option<HeaderName>,
    /// A destination that has come back gets its full share, `maxload` included, only after this long; zero: at once.
    pub slow_start: Duration,
    /// How evidence from calls is judged.
    pub passive: PassiveSpec,
    /// What is made of the load that destinations report.
    pub report: ReportSpec,
    /// Whether overload control (RFC 7339, RFC 7415) is offered to its destinations and what they report is obeyed.
    pub overload_control: bool,
}

impl SetSpec {
    /// A set of these destinations with everything else at its default.
    #[must_use]
    pub fn new(id: SetId, algorithm: Algorithm, destinations: Vec<DestinationSpec>) -> Self {
        Self {
            id,
            name: String::new(),
            algorithm,
            destinations,
            failover_codes: FailoverCodes::standard(),
            failover_limit: 4,
            branches_max: crate::limits::BRANCHES_DEFAULT,
            answer_timeout: Duration::from_secs(2),
            exhausted: Exhausted::BestResponse,
            retry_after_s: 0,
            fallback: None,
            rewrite_uri: false,
            attrs_header: None,
            slow_start: Duration::ZERO,
            passive: PassiveSpec::default(),
            report: ReportSpec::default(),
            overload_control: false,
        }
    }
}

impl SetSpec {
    /// Whether it says so, or its algorithm does.
    pub(super) const fn has_overload_control(&self) -> bool {
        self.overload_control || matches!(self.algorithm, Algorithm::RoundRobinOverload)
    }
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

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (400..700).filter(|code| self.contains(*code))
    }

    fn place(code: u16) -> Option<(usize, u16)> {
        let offset = code.checked_sub(400).filter(|offset| *offset < 300)?;
        Some((usize::from(offset / 64), offset % 64))
    }
}

impl core::fmt::Debug for FailoverCodes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_short_tokens_in_lower_case() {
        // RFC 3261 §25.1
        assert_eq!(HeaderName::new("X-Tenant").map(|name| name.as_bytes().to_vec()), Some(b"x-tenant".to_vec()));
        for text in ["", "a b", "a:", "ä", "a-name-of-more-than-thirty-one-b"] {
            assert_eq!(HeaderName::new(text), None, "{text}");
        }
    }

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
