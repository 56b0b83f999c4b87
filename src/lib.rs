//! siplane: a SIP dispatcher.
#![warn(missing_docs, unreachable_pub)]

#[cfg(feature = "io")]
pub mod cli;
#[cfg(feature = "io")]
pub mod config;
pub mod dispatcher;
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
pub mod time;
