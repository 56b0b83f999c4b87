//! FLOOR 0: SIP messages as bytes.
//!
//! [`scan`] reads the head of a datagram once, in place, and remembers where things are ([`Head`]: offsets, no copies). What a
//! caller needs beyond that is read on demand: [`Via`], [`NameAddr`], [`Uri`]. [`Splice`] writes a message anew with a few
//! places changed; everything that nobody here understands is copied byte for byte. [`reply`] writes our own answers.
//!
//! Policy: what a proxy needs is checked strictly, because two parsers that disagree are a hole (RFC 3261 §16.3.1); what it
//! does not need is not looked at. Nothing here allocates but growing the output buffer, and nothing panics on any input.
//!
//! Absent: sockets, time, transactions, SDP, %-decoding, header objects.

mod cursor;
mod defect;
mod known;
mod lines;
mod masks;
mod message;
mod method;
mod name_addr;
mod overload;
mod reply;
mod scan;
mod span;
mod splice;
mod start_line;
mod status;
mod uri;
mod via;
mod way;
mod write;

pub use defect::{Blame, Defect};
pub use known::find_call_id;
pub use lines::{Field, fields, fields_in, header_is, values};
pub use message::{Head, Line, Message, Start};
pub use method::Method;
pub use name_addr::NameAddr;
pub use overload::{Feedback, OverloadParams};
pub use reply::{Reply, reply, reply_address};
pub use scan::scan;
pub use span::Span;
pub use splice::Splice;
pub use status::Status;
pub use uri::{Scheme, Uri, host_address};
pub use via::{Rport, Stamp, Via};
pub use way::{Way, route_values};
pub use write::{push_number, put_ip, put_number};
