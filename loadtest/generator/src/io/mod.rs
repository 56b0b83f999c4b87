//! Datagrams: sockets, batches in and out, one wait for all sockets. IPv4 only. No allocation once the buffers have their size.

mod receive;
mod send;
mod socket;
mod wait;

pub(crate) use receive::Receive;
pub(crate) use send::{Outbox, Send};
pub(crate) use socket::{Socket, open, sleep, sleep_exactly};
pub(crate) use wait::Wait;

use core::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Datagrams that one system call moves at most.
pub(crate) const BATCH: usize = 64;

/// An IPv4 address and port, both as they stand in a `sockaddr_in`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Address {
    ip: u32,
    port: u16,
}

impl Address {
    /// Nobody's.
    pub(crate) const NONE: Self = Self { ip: 0, port: 0 };

    fn name(self) -> libc::sockaddr_in {
        libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: self.port,
            sin_addr: libc::in_addr { s_addr: self.ip },
            sin_zero: [0; 8],
        }
    }

    fn of_name(name: &libc::sockaddr_in) -> Self {
        Self { ip: name.sin_addr.s_addr, port: name.sin_port }
    }

    /// The usual form.
    pub(crate) fn socket_address(self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(self.ip.to_ne_bytes()), u16::from_be(self.port))
    }

    /// Reads `HOST[:PORT]` of a SIP URI, IPv4 numbers only; what follows a `;` or `>` is left alone.
    pub(crate) fn of_uri(uri: &[u8]) -> Option<Self> {
        let rest = uri.strip_prefix(b"sip:")?;
        let rest = &rest[memchr::memchr(b'@', rest).map_or(0, |at| at + 1)..];
        let end = rest.iter().position(|byte| matches!(byte, b';' | b'>' | b'?')).unwrap_or(rest.len());
        let text = core::str::from_utf8(&rest[..end]).ok()?;
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, 5060),
        };
        Some(SocketAddrV4::new(host.parse().ok()?, port).into())
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self { ip: u32::from_ne_bytes(address.ip().octets()), port: address.port().to_be() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_address().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_address().fmt(f)
    }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: a msghdr is integers and pointers, for which zero is a value.
    unsafe { core::mem::zeroed() }
}

#[cfg(test)]
mod tests;
