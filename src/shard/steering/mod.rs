//! Steering in the kernel: each datagram goes straight to the socket of the shard that owns its call, although all shards share one
//! address.
//!
//! Plain SO_REUSEPORT spreads by source and destination address, so one trunk (one address and port) lands on one shard. A program that
//! is attached to the group reads the Call-ID and selects the socket as [`crate::proxy::owner_of`] does. It is a help, never relied on:
//! whatever arrives elsewhere is handed to its owner by the receiver.
//!
//! - `ebpf`: every spelling, in the first 4,000 bytes; needs CAP_BPF (or CAP_SYS_ADMIN) at start. `asm`: its assembler.
//! - `classic`: needs no privilege; `Call-ID` in any case, in the first 1,536 bytes at most.
//! - `kernel`: how a program gets there.

mod asm;
mod classic;
mod ebpf;
mod kernel;

use super::socket::ShardSockets;
use std::io;
use std::os::fd::BorrowedFd;

/// What the operator wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SteeringWish {
    /// The best that the kernel allows.
    #[default]
    Auto,
    /// This one; what it cannot do is handed off.
    Only(Steering),
}

/// Who finds the owner of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// An eBPF program in the kernel.
    Ebpf,
    /// A classic BPF program in the kernel.
    Classic,
    /// The shard that happens to receive it.
    Handoff,
}

impl Steering {
    /// As the config spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Classic => "classic",
            Self::Handoff => "handoff",
        }
    }
}

/// Steers the groups of these sockets, opened in shard order for all shards. What it came to, and what was refused on the way.
///
/// # Errors
/// When one way is insisted on and the kernel refuses it.
pub fn steer(shards: &[ShardSockets], wish: SteeringWish) -> io::Result<(Steering, Vec<(Steering, io::Error)>)> {
    let mut refused = Vec::new();
    // One shard owns everything.
    let ways: &[Steering] = match wish {
        _ if shards.len() < 2 => &[],
        SteeringWish::Auto => &[Steering::Ebpf, Steering::Classic],
        SteeringWish::Only(Steering::Handoff) => &[],
        SteeringWish::Only(way) => return attach_all(shards, way).map(|()| (way, refused)),
    };
    for way in ways {
        match attach_all(shards, *way) {
            Ok(()) => return Ok((*way, refused)),
            Err(error) => refused.push((*way, error)),
        }
    }
    Ok((Steering::Handoff, refused))
}

fn attach_all(shards: &[ShardSockets], way: Steering) -> io::Result<()> {
    let groups = shards.first().map_or(0, |shard| shard.addresses().len());
    (0..groups).try_for_each(|at| {
        let sockets: Vec<_> = shards.iter().map(|shard| shard.get(at)).collect();
        attach(&sockets, way)
    })
}

fn attach(sockets: &[BorrowedFd<'_>], way: Steering) -> io::Result<()> {
    let (count, first) = (sockets.len() as u32, sockets[0]);
    match way {
        Steering::Ebpf => {
            use std::os::fd::AsRawFd;
            let map = kernel::socket_map(sockets)?;
            let program = kernel::load(&ebpf::program(count, map.as_raw_fd()))?;
            kernel::attach_ebpf(first, &program)
        }
        Steering::Classic => attach_classic(first, count),
        Steering::Handoff => Ok(()),
    }
}

/// A classic program counts against `net.core.optmem_max`: where the long one is refused, a shorter one may fit.
fn attach_classic(socket: BorrowedFd<'_>, shards: u32) -> io::Result<()> {
    let mut result = Err(io::Error::from(io::ErrorKind::Unsupported));
    for depth_bytes in classic::DEPTHS {
        result = kernel::attach_classic(socket, &classic::program(shards, depth_bytes));
        if result.is_ok() {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests;
