//! FLOOR 2, on a core of its own: asks destinations whether they are alive.
//!
//! [`Prober`] is sans-IO like the call path: it is told the time, the table and what came back, and appends probes to an outbox.
//! [`run`] is its thread: it owns duplicates of the listen sockets, because a carrier's access list admits that address alone;
//! answers arrive at some shard, which sees the cookie in the top Via and passes them on as [`News`].
//!
//! Policy, in Kamailio's words: the [`ProbePolicy`] says which destinations are probed, none that an operator has disabled; a failed
//! probe makes one trying, `probing_threshold` of them in a row inactive; `inactive_threshold` good ones in a row make it active again.
//! No probe changes what an operator said.
//!
//! An answer may report the load of its destination, in the header that the set names: it is handed on to
//! [`crate::dispatcher::States::report_load`].
//!
//! It also judges what calls said (ejection, hold-off, panic), finds draining done, and tells all of it as events: it is the only one
//! who writes what evidence says, so it must run even where nothing is probed.

mod message;
mod report;
mod review;
mod run;
mod schedule;
mod settings;
#[cfg(test)]
#[path = "tests/world.rs"]
mod world;

pub use run::{Chore, Listener, News, NewsSource, ProberPlan, Told, run};
pub use schedule::Prober;
pub use settings::{ProbePolicy, ProbeSettings};
