//! siplane: a SIP dispatcher.
//!
//! It stands between carriers and a fleet of media servers, SBCs or voice bridges, picks a destination for every new call, fails
//! over when that one cannot take it, keeps the rest of the call on its path, and never touches media.
//!
//! # The idea
//!
//! - **One owner per call.** Every message of a call carries its Call-ID; [`proxy::owner_of`] names the one shard that holds its
//!   transactions, its dialog and its timers. There is no lock because there is nobody to lock out.
//! - **The core cannot do I/O.** [`proxy`] is sans-IO: what happened and when goes in, bytes to send come out. A simulation with a
//!   clock of its own runs the real code (`tests/sim`).
//! - **What shards share is a short list**: the published policy (one immutable snapshot), each destination's health, load and
//!   counters ([`dispatcher::States`]), the mailboxes from shard to shard, and the published counters.
//! - **A call's load is a token, not a number** ([`dispatcher::LoadToken`]): taken when its branch is sent, moved into the dialog by
//!   the 2xx, given back once.
//!
//! # Floors
//!
//! ```text
//! main → cli → { server, config, host }    the command line
//! server → { shard, prober, control, config, host } wiring: start order, end order
//! control → { config, shard, … }           FLOOR 2, beside the shards: what operators ask and say; sees no datagram of a call
//! host → nothing of ours                   beside the floors: what /proc and /sys say of the machine, and the cures
//! shard → { proxy, dispatcher, sip }       FLOOR 2: the sockets, clock and seeds of the data path
//! prober → { proxy, dispatcher, sip }      FLOOR 2: asks destinations whether they live, on a core of its own
//! config → { proxy, dispatcher, sip }      what the file means: their value types, nothing else of them
//! proxy → { sip, dispatcher }              FLOOR 1b: the call path
//! dispatcher → nothing of ours             FLOOR 1a: destinations and selection; knows no message and no socket
//! sip → nothing                            FLOOR 0: bytes
//! limits, time, stats, sync → nothing      every bound in one file; a time without a clock; counters; atomics that loom can replace
//! ```
//!
//! `tests/tidy.rs` fails on any other arrow. A build with `--no-default-features` has the floors below the sockets alone.
//!
//! # The life of a datagram
//!
//! A shard receives a batch and reads the clock once. When more comes in than it keeps up with, new calls are left out, most of them
//! by the kernel, and those that have begun are served (docs/overload.md). [`sip::find_call_id`] names the owner; a message of
//! another shard's call goes into that one's mailbox. [`proxy::Proxy::handle_datagram`] reads it in place ([`sip::scan`]). What is
//! not SIP is dropped and counted; what is wrong is answered from one table ([`sip::Defect`]) without state. A request finds its
//! transaction, or its dialog by the cookie in our Record-Route, or it is new: the rules name a set, [`dispatcher::Set::select`]
//! gives the whole target set, and each target's state is looked at again when its turn comes. A response finds its branch by slot,
//! generation and keyed check in our Via. What is to be sent is in the [`proxy::Outbox`]; the shard sends it as one batch.
//!
//! # Absent
//!
//! Media, scripting, a registrar, topology hiding; and until their issues come: TCP and TLS, names as next hops, digest.
#![warn(missing_docs, unreachable_pub)]

#[cfg(feature = "io")]
pub mod cli;
#[cfg(feature = "io")]
pub mod config;
#[cfg(feature = "io")]
pub mod control;
pub mod dispatcher;
#[cfg(feature = "io")]
pub mod host;
pub mod limits;
#[cfg(feature = "io")]
pub mod prober;
pub mod proxy;
#[cfg(feature = "io")]
pub mod server;
#[cfg(feature = "io")]
pub mod shard;
pub mod sip;
mod stats;
mod sync;
pub mod time;
