//! Socket addresses as the kernel writes them.

use core::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A `sockaddr` of one of the two families we use.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Its full size, bytes: what a receive call may write.
    pub(super) const BYTES: u32 = size_of::<Self>() as u32;

    /// All zero: of no family.
    pub(super) const fn empty() -> Self {
        // SAFETY: both members are plain integers, for which zero is a value, and v6 is the larger of the two.
        unsafe { core::mem::zeroed() }
    }

    /// The address, and how many bytes of it count.
    pub(super) fn new(address: SocketAddr) -> (Self, u32) {
        match address {
            SocketAddr::V4(address) => {
                let mut name = Self::empty();
                name.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (name, size_of::<libc::sockaddr_in>() as u32)
            }
            SocketAddr::V6(address) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                (Self { v6 }, Self::BYTES)
            }
        }
    }

    /// The name that begins `bytes`; `None` when they are fewer than a name has.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..size_of::<Self>())?;
        // SAFETY: as many bytes as a name has, and any bytes are values of both members.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }

    /// The address that the kernel wrote; `None` when it wrote one of another family, or none.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        // SAFETY: every `Name` was zeroed or written as a whole, and both members are plain integers: any bytes are values of both.
        let (v4, v6) = unsafe { (self.v4, self.v6) };
        match i32::from(v4.sin_family) {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// A header without name, data and control.
pub(super) const fn empty_header() -> libc::msghdr {
    // SAFETY: a plain C struct of integers and pointers, for which zero (null) is a value.
    unsafe { core::mem::zeroed() }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.address().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        for text in ["192.0.2.1:5060", "0.0.0.0:1", "[2001:db8::1]:5061", "[fe80::1%7]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Name::new(address).0.address(), Some(address), "{text}");
        }
        assert_eq!(Name::empty().address(), None);
    }
}
