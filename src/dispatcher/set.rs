//! A set and its destinations as one table has them.

use core::sync::atomic::AtomicU64;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::select::Plan;
use super::spec::{Algorithm, DestinationSpec, Exhausted, FailoverCodes, SetId, SetSpec};
use super::state::{DestinationId, StateIndex};

/// The turn counter of a set, shared by all shards and by all tables that have the set.
pub(super) type Position = Arc<CachePadded<AtomicU64>>;

/// One destination of one set.
#[derive(Clone, PartialEq, Debug)]
pub struct Destination {
    /// What a target set names it by, over all reloads.
    pub id: DestinationId,
    /// Its stable name, unique in its set: the configured duid, else `set/uri` (`set/uri#2` for the second such).
    pub duid: String,
    /// The set that it belongs to.
    pub set: SetId,
    /// SIP URI as written.
    pub uri: String,
    /// Where its requests go.
    pub address: SocketAddr,
    /// Share under `weight` and `hash`; 0 means only failover.
    pub weight: u32,
    /// Higher comes first under `priority`.
    pub priority: i32,
    /// Whether the config disables it (what an operator says at run time is in its state).
    pub disabled: bool,
    /// Where its health, admin, load and counters are.
    pub state: StateIndex,
}

impl Destination {
    pub(super) fn new(set: SetId, id: DestinationId, duid: String, spec: DestinationSpec) -> Self {
        let DestinationSpec { duid: _, uri, address, weight, priority, disabled } = spec;
        Self { id, duid, set, uri, address, weight, priority, disabled, state: id.state() }
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
    /// Longest wait for any response (100 counts) before the next target is tried.
    pub answer_timeout: Duration,
    /// What to answer when nothing is left.
    pub exhausted: Exhausted,
    /// Retry-After of the 503 that says no destination is available, seconds; 0: none is sent.
    pub retry_after_s: u32,
    pub(super) plan: Plan,
    pub(super) position: Position,
}

impl Set {
    /// The set of `spec`, whose destinations are now `destinations`.
    pub(super) fn new(spec: SetSpec, destinations: Vec<Destination>, position: Position) -> Self {
        Self {
            id: spec.id,
            name: spec.name,
            algorithm: spec.algorithm,
            plan: Plan::new(spec.algorithm, &destinations),
            destinations,
            failover_codes: spec.failover_codes,
            failover_limit: spec.failover_limit,
            answer_timeout: spec.answer_timeout,
            exhausted: spec.exhausted,
            retry_after_s: spec.retry_after_s,
            position,
        }
    }
}
