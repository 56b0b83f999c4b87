//! One UDP socket: opening it, and what it lost.

use super::Address;
use core::mem::size_of;
use core::ptr::null;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

/// What is asked for as SO_RCVBUF and SO_SNDBUF, bytes.
const BUFFER_BYTES: libc::c_int = 16 << 20;
/// Where SO_MEMINFO has the number of datagrams that found no room (`SK_MEMINFO_DROPS`), and how many figures there are.
const MEMINFO_DROPS: usize = 8;
const MEMINFO_FIGURES: usize = 9;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(super) socket: UdpSocket,
    pub(crate) address: Address,
}

/// Binds a socket with large buffers.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn open(address: Address) -> io::Result<Socket> {
    let socket = UdpSocket::bind(address.socket_address())?;
    for (force, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        // Beyond net.core.rmem_max only with CAP_NET_ADMIN; without it as far as that allows.
        if set(&socket, libc::SOL_SOCKET, force, BUFFER_BYTES).is_err() {
            set(&socket, libc::SOL_SOCKET, plain, BUFFER_BYTES)?;
        }
    }
    let SocketAddr::V4(bound) = socket.local_addr()? else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
    Ok(Socket { socket, address: bound.into() })
}

fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `bytes` bytes of `value`, which lives through the call.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Socket {
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Has it exchange datagrams with nobody else; the kernel then need not look up the way each time.
    ///
    /// # Errors
    /// When there is no way there.
    pub(crate) fn connect(&self, to: Address) -> io::Result<()> {
        self.socket.connect(to.socket_address())
    }

    /// Has it give datagrams that were sent as one as one (UDP_GRO, udp(7)).
    ///
    /// # Errors
    /// When the kernel does not know how (before Linux 5.0).
    pub(crate) fn join(&self) -> io::Result<()> {
        set(&self.socket, libc::SOL_UDP, libc::UDP_GRO, 1)
    }

    /// Datagrams that found no room in its receive buffer since it was opened.
    pub(crate) fn drops(&self) -> u64 {
        let mut figures = [0u32; MEMINFO_FIGURES];
        let mut bytes = size_of::<[u32; MEMINFO_FIGURES]>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `bytes` bytes into `figures`, and how many into `bytes`.
        let got = unsafe {
            libc::getsockopt(self.fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, figures.as_mut_ptr().cast(), &raw mut bytes)
        };
        if got == 0 { figures[MEMINFO_DROPS].into() } else { 0 }
    }
}

/// Sleeps so long.
pub(crate) fn sleep(nanoseconds: u64) {
    let time = timespec(nanoseconds);
    // SAFETY: the time lives through the call, and the rest is not asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw const time, core::ptr::null_mut()) };
}

/// Makes this thread's sleeps exact: the kernel otherwise gathers them by 50 µs.
pub(crate) fn sleep_exactly() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, null::<u8>(), null::<u8>(), null::<u8>()) };
}

pub(super) const fn timespec(nanoseconds: u64) -> libc::timespec {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    libc::timespec { tv_sec: seconds as libc::time_t, tv_nsec: rest as libc::c_long }
}
