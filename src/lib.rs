//! siplane: a SIP dispatcher.
#![warn(missing_docs, unreachable_pub)]

#[cfg(feature = "io")]
pub mod config;
pub mod dispatcher;
pub mod limits;
#[cfg(feature = "io")]
pub mod prober;
pub mod proxy;
pub mod sip;
mod stats;
pub mod time;
