//! FLOOR 2: the shards, and with them the only sockets, clock and seeds of the data path.
//!
//! Each shard is one thread, pinned to one core, with one executor and one task in it that turns for ever and never yields (`turn`): it
//! waits in the kernel for its own sockets, feeds [`crate::proxy::Proxy`] and sends what that wants sent. The rooms:
//!
//! - `socket`: the SO_REUSEPORT groups; `occupant`: who holds an address that we cannot have;
//! - `engine`: waiting, receiving, sending and hearing of ICMP errors, which `ring` (io_uring) and `mmsg` (recvmmsg, sendmmsg) can do;
//!   `name`, `errors`: the kernel's addresses and error queues, for both;
//! - `runs`: which messages leave together; `passages`: their headers;
//! - `turn`: the loop; `pace`: how long it waits; `flow`: from engine to work and back; `work`: who gets a message;
//! - `steering`: programs in the kernel that deliver a datagram to the shard that owns its call;
//! - `start`: the threads; `birth`: on their own cores; `pages`: in huge pages; `lifecycle`: their end;
//! - `trial`: what the kernel would allow, found out without a start; `interfaces`: which addresses this machine has;
//! - `handoff`, `bell`: mailboxes from shard to shard; `probe`: the one to the prober;
//! - `inquiry`: questions from beside the shards; `trace`: messages of single calls, shown on demand;
//! - `clock`: time and seeds; `counters`: what a shard publishes; `turn_times`: how long turns take; `audit`: whether load and
//!   tokens agree.
//!
//! What shards share is a short list: the published policy, the destinations' states in it, the mailboxes, the lifecycle, and the
//! published counters. Per message there is no lock and, in the steady state, no allocation; per turn there is one clock read.
//!
//! Absent: SIP beyond the Call-ID and the top Via's branch, decisions about calls, configuration.

mod audit;
mod bell;
mod birth;
pub mod clock;
mod counters;
mod desk;
mod engine;
mod errors;
mod filter;
mod flow;
mod grants;
mod handoff;
mod inquiry;
mod interfaces;
mod lifecycle;
mod mmsg;
mod name;
mod occupant;
mod overload;
mod pace;
mod pages;
mod passages;
mod probe;
mod ring;
mod runs;
mod sleep;
mod socket;
mod start;
mod steering;
mod thread;
mod trace;
mod tray;
mod trial;
mod turn;
mod turn_times;
mod work;

pub use audit::{Audit, Drift};
pub use counters::{IoStats, Levels, PUBLISH_INTERVAL, ShardCounters, Snapshot};
pub use grants::Grants;
pub use inquiry::{Asked, Busy, Inquiries};
pub use interfaces::interfaces;
pub use lifecycle::{Lifecycle, Phase};
pub use pace::Waiting;
pub use probe::{ProbeAnswer, ProbeOutcome, ProbeSink};
pub use socket::{OpenCause, OpenError, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, ShardSockets, open_all};
pub use start::{EngineChoice, EngineKind, ShardHandle, ShardsInput, ShardsPlan, StartError, start};
pub use steering::{Steering, SteeringWish, steer};
pub use trace::{Beginning, Trace, TraceLine, TraceLines, TraceOf, Tracer};
pub use trial::{DESCRIPTORS_PER_SHARD, LOCKED_BYTES_MIN, LOCKED_BYTES_PER_SHARD, STEERING_BYTES, Trial, try_out};
pub use turn_times::{TURN_BOUNDS_US, TurnTimes};

#[cfg(test)]
mod tests;
