//! Which destinations a request tries, in which order, and what is known about each: lock-free, and blind to SIP.
//!
//! # Policy
//!
//! - A [`Table`] is one immutable snapshot: sets, their destinations, how each set orders them. A reload builds the next
//!   one from the previous one; nobody ever changes a table in place.
//! - What changes while calls flow (health, admin, load, counters) lives in [`States`], a slab of atomics that outlives
//!   every reload. A destination keeps its slot for as long as its set and its duid stay the same.
//! - Selection returns the **whole** ordered target set of a request at once ([`Set::select`]): available ones only, no
//!   duplicates, at most `failover_limit`. Failover looks each target up again with [`Table::destination`] when its turn
//!   comes, so a table that was published in between is obeyed.
//! - Health is what evidence says, admin what an operator said. Neither ever undoes the other.
//! - The load of a call is a [`LoadToken`], taken and given back exactly once.
//! - A destination's bounds (`maxload`, calls per second) hold under every algorithm: selection leaves out whoever is at
//!   one, which is a look; [`States::reserve`], when the branch is sent, decides.
//! - A destination may report its own load ([`States::report_load`]); call load then goes by that, carried on by the calls since.
//! - Where a set has overload control, what a destination reports holds under every algorithm, too: selection draws its loss
//!   for the first target, [`States::admits`] for those that are tried later, and keeps its rate.
//! - Last-resort destinations are targets only when there is no other target.
//!
//! # Invariants
//!
//! - Selection takes no lock, reads no clock, allocates nothing, and blocks on nobody. Building a table allocates.
//! - A slot is used again only when no table holds it and no token is out; its generation then changes, so a
//!   [`DestinationId`] from before names nothing rather than the wrong destination.
//! - Randomness comes from the caller's [`Random`]; the same seed, table and sequence of calls give the same targets.
//!
//! # Absent
//!
//! No socket, no SIP message, no name resolution, no timer: the caller says what to hash and when something happened.

mod call_load;
mod check;
mod congestion;
mod events;
mod evidence;
mod explain;
mod fastest;
#[cfg(test)]
#[path = "tests/fixture.rs"]
mod fixture;
mod gate;
mod hash;
mod latency;
mod legacy;
mod load;
mod lowest;
mod overload;
mod priority;
mod publish;
mod ramp;
mod random;
mod report;
mod reported_load;
mod round_robin;
mod select;
mod set;
mod setup;
mod spec;
mod srv;
mod standing;
mod state;
mod table;
mod targets;
mod trie;
mod uniform;
mod view;
mod vitals;
mod weight;

pub use check::{TableError, duids};
pub use events::{Cause, Event, EventKind, Reason, Why};
pub use evidence::{Evidence, Outage, PanicRule, PassiveSpec};
pub use explain::{SetView, Verdict};
pub use gate::Refused;
pub use latency::{ESTIMATE_AFTER, FAILURE_COUNTS_AS, Latency, RESPONSE_HALF_LIFE};
pub use legacy::hash as kamailio_hash;
pub use load::{LoadToken, leaked_tokens};
pub use overload::{Attempt, Overload, OverloadAlgorithm, OverloadBounds, OverloadReport};
pub use random::Random;
pub use report::{LoadFrom, REPORTED_CAPACITY_MAX, Report, ReportCounts, ReportSpec, Reported};
pub use select::Input;
pub use set::{Destination, Set};
pub use setup::{SETUP_BOUNDS_S, SetupTimes};
pub use spec::{Algorithm, DestinationSpec, Exhausted, FailoverCodes, HashInput, HashKind, HeaderName, LoadChoice};
pub use spec::{OutgoingSocket, ProbeSpec, SetId, SetSpec};
pub use standing::{Admin, Health};
pub use state::{Counters, DestinationId, StateIndex, States};
pub use table::Table;
pub use targets::Targets;
