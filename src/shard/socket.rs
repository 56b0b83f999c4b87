//! Opening the listen sockets: for each listen address one UDP socket per shard, together one SO_REUSEPORT group.
//!
//! Policy:
//! - a group is bound in shard order, in one thread, before the shards start: whoever steers datagrams into the group names a
//!   socket by its place in that order;
//! - an address that anybody else holds is an error, although the group's own sockets share it: two processes that answer the same
//!   calls without knowing of each other would be worse than none;
//! - sockets stay blocking and every call on them carries `MSG_DONTWAIT`; an IPv6 socket takes no IPv4; ICMP errors are reported.

use super::occupant::occupant;
use super::runs::can_segment;
use crate::proxy::Listen;
use core::fmt;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What is asked for as SO_RCVBUF, bytes: some 16 ms of 700-byte datagrams at one core's speed. `net.core.rmem_max` caps it.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// What is asked for as SO_SNDBUF, bytes: a whole outbox. `net.core.wmem_max` caps it.
pub const SEND_BUFFER_BYTES: usize = 1 << 20;

/// One shard's sockets, in the order of the listen addresses: [`crate::proxy::SocketId`] is the index.
#[derive(Debug)]
pub struct ShardSockets {
    sockets: Vec<Socket>,
    addresses: Vec<SocketAddr>,
    joins: bool,
}

impl ShardSockets {
    /// Where each socket is bound; where a listen address had port 0, the port that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many bytes of received datagrams the smallest socket buffer holds, in the unit in which they were asked for.
    #[must_use]
    pub fn receive_buffer_bytes(&self) -> usize {
        // The kernel doubles what is asked for, for its own book-keeping (socket(7)).
        self.sockets.iter().filter_map(|socket| socket.recv_buffer_size().ok()).min().unwrap_or(0) / 2
    }

    /// Datagrams that the kernel dropped because a receive buffer was full, since the sockets were opened.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.sockets.iter().map(|socket| u64::from(drops(socket.as_fd()))).sum()
    }

    /// How full the receive buffers are, by a system call for each.
    pub(super) fn backlog(&self) -> Backlog {
        self.sockets.iter().map(|socket| memory(socket.as_fd())).fold(Backlog::default(), |all, memory| {
            let bytes = memory[SK_MEMINFO_RMEM_ALLOC] as f32;
            Backlog {
                share: all.share.max(bytes / memory[SK_MEMINFO_RCVBUF].max(1) as f32),
                bytes: all.bytes.max(bytes),
                drops: all.drops + u64::from(memory[SK_MEMINFO_DROPS]),
            }
        })
    }

    /// The same sockets once more, to send by: for who must send from the calls' own addresses, which is the prober.
    ///
    /// Nothing may be received by them. A send may fail with an ICMP error that another datagram drew; try it once more.
    ///
    /// # Errors
    /// When the process may open no more descriptors.
    pub fn duplicate_for_sending(&self) -> io::Result<Vec<UdpSocket>> {
        self.sockets.iter().map(|socket| Ok(socket.try_clone()?.into())).collect()
    }

    /// From now on messages of one size to one destination leave together, where the kernel can cut them (Linux 4.18): for engines that
    /// are made after this.
    pub fn join_sends(&mut self) {
        let joins = self.iter().all(can_segment);
        self.joins = joins;
    }

    /// Whether [`ShardSockets::join_sends`] was asked for, and is possible.
    pub(super) const fn joins_sends(&self) -> bool {
        self.joins
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    pub(super) fn get(&self, at: usize) -> BorrowedFd<'_> {
        self.sockets[at].as_fd()
    }
}

/// What waits in receive buffers.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Backlog {
    /// How full the fullest is, as a share of it; above 1 while datagrams are dropped.
    pub(super) share: f32,
    /// What waits in the fullest, bytes with what they are kept in.
    pub(super) bytes: f32,
    /// Datagrams that the kernel dropped since the sockets were opened.
    pub(super) drops: u64,
}

/// Why a listen address could not be opened.
#[derive(Debug)]
pub struct OpenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub cause: OpenCause,
}

/// What stands in the way of a listen address.
#[derive(Debug)]
pub enum OpenCause {
    /// It is given twice.
    Duplicate,
    /// Somebody holds it: this process, if it could be found out.
    InUse(Option<String>),
    /// No interface of this machine has it.
    NotLocal,
    /// The port needs a privilege.
    Forbidden,
    /// The kernel refused something else: what was tried, and its answer.
    Refused(&'static str, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match &self.cause {
            OpenCause::Duplicate => write!(f, "listen address {address} is given twice"),
            OpenCause::InUse(Some(who)) => write!(f, "listen address {address} is in use by {who}"),
            OpenCause::InUse(None) => write!(f, "listen address {address} is in use by another process"),
            OpenCause::NotLocal => write!(f, "listen address {address} is not an address of this machine"),
            OpenCause::Forbidden => write!(f, "listen address {address} needs the privilege CAP_NET_BIND_SERVICE"),
            OpenCause::Refused(step, error) => write!(f, "listen address {address}: {step}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens the sockets of `shards` shards, at least one, in shard order.
///
/// # Errors
/// The first address that cannot be had, and why. Nothing stays open then.
pub fn open_all(listen: &[Listen], shards: usize) -> Result<Vec<ShardSockets>, OpenError> {
    let addresses: Vec<_> = listen.iter().map(|listen| listen.address).collect();
    // All of them before the first is held by ourselves.
    for (at, address) in addresses.iter().enumerate() {
        check_free(*address, &addresses[..at]).map_err(|cause| OpenError { address: *address, cause })?;
    }
    let mut opened: Vec<_> =
        (0..shards).map(|_| ShardSockets { sockets: Vec::new(), addresses: Vec::new(), joins: false }).collect();
    for address in addresses {
        open_group(address, &mut opened).map_err(|cause| OpenError { address, cause })?;
    }
    warn_of_small_buffers(&opened);
    Ok(opened)
}

/// Port 0 is always free.
fn check_free(address: SocketAddr, before: &[SocketAddr]) -> Result<(), OpenCause> {
    match address.port() {
        0 => Ok(()),
        _ if before.contains(&address) => Err(OpenCause::Duplicate),
        // Without SO_REUSEPORT: who else has the address, sharing it or not, makes this fail.
        _ => bind(&new_socket(address)?, address),
    }
}

fn open_group(address: SocketAddr, shards: &mut [ShardSockets]) -> Result<(), OpenCause> {
    let mut shared = address;
    for shard in shards {
        let socket = new_socket(shared)?;
        let local = set_up(&socket).and_then(|()| {
            bind(&socket, shared)?;
            socket.local_addr().map_err(|error| OpenCause::Refused("getsockname", error))
        })?;
        // The first of the group decides what port 0 becomes.
        shared = local.as_socket().unwrap_or(shared);
        shard.sockets.push(socket);
        shard.addresses.push(shared);
    }
    Ok(())
}

fn new_socket(address: SocketAddr) -> Result<Socket, OpenCause> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        Ok(socket)
    };
    open().map_err(|error| OpenCause::Refused("socket", error))
}

fn set_up(socket: &Socket) -> Result<(), OpenCause> {
    let refused = |step| move |error| OpenCause::Refused(step, error);
    socket.set_reuse_port(true).map_err(refused("SO_REUSEPORT"))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).map_err(refused("SO_RCVBUF"))?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES).map_err(refused("SO_SNDBUF"))?;
    report_icmp_errors(socket).map_err(refused("IP_RECVERR"))
}

fn report_icmp_errors(socket: &Socket) -> io::Result<()> {
    let (level, option) = match socket.domain()? {
        Domain::IPV6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        _ => (libc::IPPROTO_IP, libc::IP_RECVERR),
    };
    let on: libc::c_int = 1;
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `bytes` bytes of `on`, which lives through the call.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Places in what SO_MEMINFO gives (linux/sock_diag.h).
const SK_MEMINFO_RMEM_ALLOC: usize = 0;
const SK_MEMINFO_RCVBUF: usize = 1;
const SK_MEMINFO_DROPS: usize = 8;

fn drops(socket: BorrowedFd<'_>) -> u32 {
    memory(socket)[SK_MEMINFO_DROPS]
}

/// What SO_MEMINFO gives; zeros where the kernel does not know it.
fn memory(socket: BorrowedFd<'_>) -> [u32; SK_MEMINFO_DROPS + 1] {
    let mut values = [0u32; SK_MEMINFO_DROPS + 1];
    let mut bytes = size_of_val(&values) as libc::socklen_t;
    // SAFETY: writes at most `bytes` bytes into `values`; where the kernel has fewer numbers, the rest stays 0.
    unsafe {
        let values = values.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, values, &raw mut bytes);
    }
    values
}

fn bind(socket: &Socket, address: SocketAddr) -> Result<(), OpenCause> {
    socket.bind(&SockAddr::from(address)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => OpenCause::InUse(occupant(address)),
        io::ErrorKind::AddrNotAvailable => OpenCause::NotLocal,
        io::ErrorKind::PermissionDenied => OpenCause::Forbidden,
        _ => OpenCause::Refused("bind", error),
    })
}

fn warn_of_small_buffers(shards: &[ShardSockets]) {
    let granted = shards.iter().map(ShardSockets::receive_buffer_bytes).min().unwrap_or(RECEIVE_BUFFER_BYTES);
    if granted < RECEIVE_BUFFER_BYTES {
        tracing::warn!(granted, asked = RECEIVE_BUFFER_BYTES, "receive buffers are small: raise net.core.rmem_max");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Transport;

    fn listen(address: &str) -> Listen {
        Listen {
            transport: Transport::Udp,
            address: address.parse().unwrap(),
            name: String::new(),
            advertised: String::new(),
        }
    }

    fn is_on(socket: BorrowedFd<'_>, level: i32, option: i32) -> bool {
        let mut value = 0i32;
        let mut bytes = 4;
        // SAFETY: writes at most four bytes into `value`.
        let got =
            unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut bytes) };
        got == 0 && value != 0
    }

    #[test]
    fn a_group_shares_one_address_and_its_sockets_are_as_the_engine_wants_them() {
        let shards = open_all(&[listen("127.0.0.1:0"), listen("[::1]:0")], 3).unwrap();
        assert_eq!(shards.len(), 3);
        for shard in &shards {
            assert_eq!(shard.addresses(), shards[0].addresses());
            assert!(shard.addresses().iter().all(|address| address.port() != 0));
            assert!(shard.receive_buffer_bytes() > 0 && shard.receive_buffer_bytes() <= RECEIVE_BUFFER_BYTES);
            assert!(is_on(shard.get(0), libc::IPPROTO_IP, libc::IP_RECVERR));
            assert!(is_on(shard.get(1), libc::IPPROTO_IPV6, libc::IPV6_RECVERR));
            assert!(is_on(shard.get(1), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY));
            // SAFETY: F_GETFL takes no argument.
            let flags = unsafe { libc::fcntl(shard.get(0).as_raw_fd(), libc::F_GETFL) };
            assert_eq!(flags & libc::O_NONBLOCK, 0);
        }
    }

    #[test]
    fn an_address_that_somebody_holds_is_refused_even_when_they_would_share_it() {
        let first = open_all(&[listen("127.0.0.1:0")], 2).unwrap();
        let taken = first[0].addresses()[0];
        let error = open_all(&[listen(&taken.to_string())], 1).unwrap_err();
        assert_eq!(error.address, taken);
        let (text, pid) = (error.to_string(), std::process::id());
        assert!(text.contains(&format!("{taken} is in use by ")) && text.contains(&pid.to_string()), "{text}");
        drop(first);
        assert!(open_all(&[listen(&taken.to_string())], 1).is_ok());
    }

    #[test]
    fn what_cannot_be_had_is_named_with_its_cause() {
        let error = open_all(&[listen("192.0.2.1:5060")], 1).unwrap_err();
        assert_eq!(error.to_string(), "listen address 192.0.2.1:5060 is not an address of this machine");
        let error = open_all(&[listen("127.0.0.1:35060"), listen("127.0.0.1:35060")], 1).unwrap_err();
        assert_eq!(error.to_string(), "listen address 127.0.0.1:35060 is given twice");
    }

    #[test]
    fn a_duplicate_sends_from_the_listen_address() {
        let shards = open_all(&[listen("127.0.0.1:0")], 1).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let duplicates = shards[0].duplicate_for_sending().unwrap();
        duplicates[0].send_to(b"probe", receiver.local_addr().unwrap()).unwrap();
        assert_eq!(receiver.recv_from(&mut [0; 9]).unwrap().1, shards[0].addresses()[0]);
    }
}
