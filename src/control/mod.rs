//! The control side: what operators ask and say, beside the shards and never in a call's way.
//!
//! # Policy
//!
//! - Every method is written once, in `rpc`, as a function of [`Control`] and [`Arguments`]; each door in `doors` only turns bytes
//!   into calls of methods and answers into bytes. So a method means the same behind every door.
//! - One thread with a tokio runtime of its own serves all doors. Methods that wait (a lock, a database, a shard) are asynchronous; all
//!   others end at once.
//! - What changes the table or an operator's word goes through [`Control`], one change at a time.
//! - Shards are asked for nothing on their call path: what is published is read from atomics, and what is not is asked for in bounded
//!   questions (`asking`), of which a shard answers one in a turn.
//!
//! # Absent
//!
//! No datagram of a call is ever seen here.
#![allow(clippy::disallowed_types, reason = "beside the shards: no call waits for a lock here")]

mod answer;
mod arguments;
mod asking;
mod diff;
mod diff_fields;
mod doors;
mod events;
mod fault;
mod fixed;
mod freshness;
mod in_force;
mod metrics;
mod probing;
mod publish;
mod reload;
mod reloading;
mod rows;
mod rpc;
mod running;
mod state_file;
mod thread;
mod traces;
mod utilisation;
mod value;
mod watch;
mod who;

pub use answer::Answer;
pub use arguments::{Arguments, Given, Kind, Param};
pub use diff::{Change, Diff, Field, Line};
pub use events::EventLog;
pub use fault::{Blame, Fault};
pub use freshness::Freshness;
pub use probing::probe_settings;
pub use reload::{Outcome, Source};
pub use rpc::{Later, METHODS, Method, Role, Run, find};
pub use running::{Control, ControlPlan};
pub use state_file::restore;
pub use thread::{ControlThread, OpenDoors, open};
pub use value::Value;
