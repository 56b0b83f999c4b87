//! A set and its destinations as one table has them.

use core::sync::atomic::AtomicU64;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::evidence::PassiveSpec;
use super::gate::Rate;
use super::overload::OverloadBounds;
use super::report::ReportSpec;
use super::select::Plan;
use super::spec::{Algorithm, DestinationSpec, Exhausted, FailoverCodes, HeaderName, ProbeSpec, SetId, SetSpec};
use super::state::{DestinationId, StateIndex};

/// The counters of a set, shared by all shards and by all tables that have the set.
pub(super) type Position = Arc<Counts>;

/// What is counted for a whole set.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Turns of those algorithms that take turns.
    pub(super) turns: CachePadded<AtomicU64>,
    /// Requests, where slow start needs their number.
    pub(super) requests: CachePadded<AtomicU64>,
    /// Whether nobody else has it: what is counted in it is no request's.
    pub(super) is_copy: bool,
}

/// One destination of one set.
#[derive(Clone, PartialEq, Debug)]
pub struct Destination {
    /// What a target set names it by, over all reloads.
    pub id: DestinationId,
    /// Its stable name, unique in its set: the configured duid, else `set/uri`, with a socket of its own `set/uri/socket` (and `#2`
    /// behind it for the second such).
    pub duid: String,
    /// The set that it belongs to.
    pub set: SetId,
    /// SIP URI as written.
    pub uri: String,
    /// Where its requests go.
    pub address: SocketAddr,
    /// Number of the listen address by which they leave; `None`: the one that a request came in on.
    pub socket: Option<u8>,
    /// Share under `weight`, `srv`, consistent hashes, call load and latency; 0 means only failover.
    pub weight: u32,
    /// Share under `relative-weight`; 0 means only failover.
    pub rweight: u32,
    /// Higher comes first under `priority` and, by its rule, `latency`; lower under `srv`.
    pub priority: i32,
    /// Calls that it may have at once; 0: no bound. [`super::States::reserve`] keeps it.
    pub maxload: u32,
    /// New calls that it may get in one second; 0: no bound. Kept as well.
    pub calls_per_second_max: u32,
    /// How long its share and `maxload` grow after it has come back; zero: not at all.
    pub slow_start: Duration,
    /// Whether latency and relative weight go by its congestion ([`super::States::congestion`]).
    pub cc: bool,
    /// What its probes are taken to have measured when it is first seen; zero: nothing.
    pub latency: Duration,
    /// Only used when no other destination of the set is available.
    pub last_resort: bool,
    /// Whether the config disables it (what an operator says at run time is in its state).
    pub disabled: bool,
    /// Whether it begins inactive, until probes find it (Kamailio's flag 1).
    pub inactive: bool,
    /// Kamailio's attrs as written.
    pub attrs: String,
    /// How it is probed where that differs from the process-wide settings.
    pub probe: ProbeSpec,
    /// Whether its set has overload control (RFC 7339).
    pub overload_control: bool,
    /// What its reported loss counts for then.
    pub overload: OverloadBounds,
    /// Where its health, admin, load and counters are.
    pub state: StateIndex,
    pub(super) rate: Rate,
    /// How long a reported capacity bounds its calls; none: it does not.
    pub(super) reported_bound: Option<Duration>,
    /// Whether anything bounds its calls.
    pub(super) bounded: bool,
    /// [`Destination::is_plain`].
    plain: bool,
}

impl Destination {
    pub(super) fn new(set: &SetSpec, id: DestinationId, duid: String, spec: DestinationSpec) -> Self {
        let bounded = spec.maxload > 0 || spec.calls_per_second_max > 0 || set.report.bounds;
        Self {
            id,
            duid,
            set: set.id,
            uri: spec.uri,
            address: spec.address,
            socket: spec.socket.map(|socket| socket.number),
            weight: spec.weight,
            rweight: spec.rweight,
            priority: spec.priority,
            maxload: spec.maxload,
            calls_per_second_max: spec.calls_per_second_max,
            slow_start: set.slow_start,
            cc: spec.cc,
            latency: spec.latency,
            last_resort: spec.last_resort,
            disabled: spec.disabled,
            inactive: spec.inactive,
            attrs: spec.attrs,
            probe: spec.probe,
            overload_control: set.has_overload_control(),
            overload: spec.overload,
            state: id.state(),
            rate: Rate::per_second(spec.calls_per_second_max),
            reported_bound: set.report.bounds.then_some(set.report.max_age),
            bounded,
            plain: !bounded && set.slow_start.is_zero() && !spec.last_resort && !set.has_overload_control(),
        }
    }

    /// Whether its standing alone says if it may get a request: it has no bound, no slow start and no overload control, and is no
    /// last resort.
    pub(super) const fn is_plain(&self) -> bool {
        self.plain
    }
}

/// One set: destinations in file order and the rules for trying them.
#[derive(Debug)]
pub struct Set {
    /// Its number.
    pub id: SetId,
    /// Its name, for people; may be empty.
    pub name: String,
    /// How destinations are ordered.
    pub algorithm: Algorithm,
    /// Its destinations in file order; may be empty ([`super::Table::empty_sets`]).
    pub destinations: Vec<Destination>,
    /// Final codes that send a request on to the next target.
    pub failover_codes: FailoverCodes,
    /// Targets tried at most for one request, 1 to [`crate::limits::TARGETS_MAX`].
    pub failover_limit: usize,
    /// Targets that get a request at once: 1 but under [`Algorithm::Parallel`].
    pub branches_max: u8,
    /// Longest wait for any response (100 counts) before the next target is tried.
    pub answer_timeout: Duration,
    /// What to answer when nothing is left.
    pub exhausted: Exhausted,
    /// Retry-After of the 503 that says no destination is available, seconds; 0: none is sent.
    pub retry_after_s: u32,
    /// How evidence from calls is judged.
    pub passive: PassiveSpec,
    /// What is made of the load that destinations report.
    pub report: ReportSpec,
    /// The set whose destinations are tried when none of this one is left.
    pub fallback: Option<SetId>,
    /// Whether the Request-URI becomes the destination's URI (RFC 3261 §16.6 item 2); else only the next hop is chosen.
    pub rewrite_uri: bool,
    /// The header that tells the destination its `attrs`.
    pub attrs_header: Option<HeaderName>,
    /// A destination that has come back gets its full share, `maxload` included, only after this long; zero: at once.
    pub slow_start: Duration,
    /// Whether overload control (RFC 7339, RFC 7415) is offered to its destinations and what they report is obeyed.
    pub overload_control: bool,
    pub(super) plan: Plan,
    pub(super) position: Position,
    /// Positions of the last-resort destinations, in file order.
    pub(super) last_resort: Vec<usize>,
}

impl Set {
    /// The set of `spec`, whose destinations are now `destinations`.
    pub(super) fn new(spec: SetSpec, destinations: Vec<Destination>, position: Position) -> Self {
        Self {
            id: spec.id,
            overload_control: spec.has_overload_control(),
            name: spec.name,
            algorithm: spec.algorithm,
            plan: Plan::new(spec.algorithm, &destinations, &spec.report),
            last_resort: (0..destinations.len()).filter(|position| destinations[*position].last_resort).collect(),
            destinations,
            failover_codes: spec.failover_codes,
            failover_limit: spec.failover_limit,
            // At most 8.
            branches_max: if spec.algorithm == Algorithm::Parallel { spec.branches_max as u8 } else { 1 },
            answer_timeout: spec.answer_timeout,
            exhausted: spec.exhausted,
            retry_after_s: spec.retry_after_s,
            passive: spec.passive,
            report: spec.report,
            fallback: spec.fallback,
            rewrite_uri: spec.rewrite_uri,
            attrs_header: spec.attrs_header,
            slow_start: spec.slow_start,
            position,
        }
    }
}
