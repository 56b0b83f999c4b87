//! siplane: a SIP dispatcher.
#![warn(missing_docs, unreachable_pub)]

pub mod limits;
pub mod sip;
pub mod time;
