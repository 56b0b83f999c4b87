//! The two sockets, and addresses as the kernel writes them.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams of one batch.
pub(crate) const BATCH: usize = 64;
/// Bytes of one address.
pub(crate) const NAME_BYTES: u32 = size_of::<libc::sockaddr_in>() as u32;
/// What is asked for as receive and send buffers, bytes: what siplane asks for.
const BUFFER_BYTES: [(libc::c_int, libc::c_int); 2] = [(libc::SO_RCVBUF, 4 << 20), (libc::SO_SNDBUF, 1 << 20)];

/// Both sides: 0 is the callers', 1 the callees'.
pub(crate) struct Sides {
    pub(crate) sockets: [UdpSocket; 2],
    pub(crate) callee: libc::sockaddr_in,
}

impl Sides {
    /// # Errors
    /// When an address cannot be had.
    pub(crate) fn open(listen: SocketAddrV4, callee: SocketAddrV4) -> io::Result<Self> {
        let far = UdpSocket::bind(SocketAddrV4::new(*listen.ip(), 0))?;
        let sockets = [UdpSocket::bind(listen)?, far];
        for socket in &sockets {
            for (option, bytes) in BUFFER_BYTES {
                // SAFETY: the kernel reads four bytes of `bytes`. What it does not grant, it cuts.
                unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const bytes).cast(), 4) };
            }
        }
        Ok(Self { sockets, callee: name(callee) })
    }
}

pub(crate) fn name(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

pub(crate) fn empty_header() -> libc::msghdr {
    // SAFETY: integers and pointers, for which zero is a value.
    unsafe { zeroed() }
}

/// What a 100 is made of.
pub(crate) fn trying(bytes: usize) -> Vec<u8> {
    let mut trying = vec![b' '; bytes];
    let start = b"SIP/2.0 100 Trying\r\n";
    let count = start.len().min(bytes);
    trying[..count].copy_from_slice(&start[..count]);
    trying
}
