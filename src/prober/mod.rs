//! FLOOR 2, on a core of its own: asks destinations whether they are alive.
//!
//! [`Prober`] is sans-IO like the call path: it is told the time, the table and what came back, and appends probes to an outbox.
//! [`run`] is its thread: it owns duplicates of the listen sockets, because a carrier's access list admits that address alone;
//! answers arrive at some shard, which sees the cookie in the top Via and passes them on as [`News`].
//!
//! Policy, in Kamailio's words: every destination that no operator has disabled is probed; a failed probe makes it trying,
//! `probing_threshold` of them in a row inactive; `inactive_threshold` good ones in a row make it active again. No probe changes
//! what an operator said.

mod message;
mod run;
mod schedule;

pub use run::{News, NewsSource, ProberPlan, run};
pub use schedule::{Change, ProbeSettings, Prober};
