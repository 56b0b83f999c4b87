//! The recvmmsg/sendmmsg engine: how a shard waits, receives, sends and hears of ICMP errors.
//!
//! This is all that an engine does, and all that the turn asks of it: [`Wait::wait`] until something is ready, [`Receive`] a
//! batch from one socket, [`Send`] an outbox, [`Errors`] that came back. Another engine has these four and no more.
//!
//! Sockets are blocking and every call carries `MSG_DONTWAIT`, so the same descriptors also suit a ring. Buffers, iovecs,
//! names and headers are allocated once; pointers between them are written anew for each call, so none outlives a borrow.

mod errors;
mod name;
mod receive;
mod send;
mod wait;

pub(super) use errors::Errors;
pub(super) use receive::Receive;
pub(super) use send::Send;
pub(super) use wait::{Wait, readable_within};

use name::Name;

/// A header without name, data and control.
const fn empty_header() -> libc::msghdr {
    // SAFETY: a plain C struct of integers and pointers, for which zero (null) is a value.
    unsafe { core::mem::zeroed() }
}

/// Points each header at the name and the piece of data at its own place. Neither may be touched between this and the call.
fn aim(headers: &mut [libc::mmsghdr], names: &mut [Name], iovecs: &mut [libc::iovec]) {
    for ((header, name), iovec) in headers.iter_mut().zip(names).zip(iovecs) {
        header.msg_hdr.msg_name = core::ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = Name::BYTES;
        header.msg_hdr.msg_iov = iovec;
        header.msg_hdr.msg_iovlen = 1;
    }
}

#[cfg(test)]
mod tests;
