//! siplane: a SIP dispatcher.
#![warn(missing_docs, unreachable_pub)]

pub mod dispatcher;
pub mod limits;
pub mod proxy;
pub mod sip;
mod stats;
pub mod time;
