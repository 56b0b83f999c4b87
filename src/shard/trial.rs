//! What this kernel allows this process, found out by doing it: an executor and an engine on a shard's core, and steering of a group, all
//! on a loopback port that is closed again. Nothing of it can be read off a file: seccomp, containers and Linux Security Modules have
//! their say.

use super::birth::on_core;
use super::handoff::Inbox;
use super::socket::{ShardSockets, open_all};
use super::start::{Chosen, EngineChoice, EngineKind, choose};
use super::steering::{Steering, SteeringWish, steer};
use super::thread::{self, Thread, try_executor};
use crate::proxy::{Listen, Transport};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

/// Locked memory below which an executor refuses to begin, bytes; shards are then plain threads.
pub const LOCKED_BYTES_MIN: u64 = 512 << 10;
/// Locked memory of one shard, bytes: what its executor registers with each of its three rings.
pub const LOCKED_BYTES_PER_SHARD: u64 = 3 * thread::EXECUTOR_IO_MEMORY_BYTES as u64;
/// What `net.core.optmem_max` must be for the longest classic steering program, bytes: the kernel translates each instruction to several.
/// Newer kernels have it by default.
pub const STEERING_BYTES: u64 = 128 << 10;
/// Descriptors of one shard besides its listen sockets: the executor's rings and events, our ring, the inbox.
pub const DESCRIPTORS_PER_SHARD: u64 = 16;

/// What the kernel allows.
#[derive(Debug)]
pub struct Trial {
    /// The engine that a shard would have, and whether it can let datagrams gather in the kernel (Linux 6.12); or why none.
    pub engine: Result<(EngineKind, bool), String>,
    /// Why io_uring was refused, where it was tried and another engine does.
    pub ring_refused: Option<String>,
    /// Who would find the owner of a datagram.
    pub steering: io::Result<Steering>,
    /// The ways of steering that were refused, and why.
    pub steering_refused: Vec<(Steering, io::Error)>,
}

/// Tries `engine` on `core`, and `steering` of `shards` shards.
///
/// # Errors
/// When not even a loopback socket can be had.
pub fn try_out(core: usize, shards: usize, engine: EngineChoice, steering: SteeringWish) -> io::Result<Trial> {
    let (ring_refused, tried) = match engine {
        EngineChoice::Auto => match try_engine(core, EngineChoice::Only(EngineKind::IoUring))? {
            Ok(allowed) => (None, Ok(allowed)),
            Err(error) => (Some(error), try_engine(core, EngineChoice::Only(EngineKind::Mmsg))?),
        },
        EngineChoice::Only(_) => (None, try_engine(core, engine)?),
    };
    let (steering, steering_refused) = match steer(&loopback(shards)?, steering) {
        Ok((steering, refused)) => (Ok(steering), refused),
        Err(error) => (Err(error), Vec::new()),
    };
    Ok(Trial { engine: tried, ring_refused, steering, steering_refused })
}

fn loopback(shards: usize) -> io::Result<Vec<ShardSockets>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listen = Listen { transport: Transport::Udp, address, name: String::new(), advertised: String::new() };
    open_all(&[listen], shards).map_err(|error| io::Error::other(error.to_string()))
}

/// As a shard begins: a thread on its core, and in it the engine.
fn try_engine(core: usize, engine: EngineChoice) -> io::Result<Result<(EngineKind, bool), String>> {
    let inbox = Inbox::new(1)?;
    let bell = inbox.as_fd().try_clone_to_owned()?;
    let sockets = loopback(1)?.remove(0);
    let began = on_core(core, || {
        Thread::spawn(try_executor().is_ok(), core, "trial", move || {
            choose(engine, sockets, bell.as_fd()).map(|chosen| match chosen {
                Chosen::Ring(ring) => (EngineKind::IoUring, ring.can_gather()),
                Chosen::Mmsg(_) => (EngineKind::Mmsg, true),
            })
        })
    })?;
    let chosen = began.map_err(|error| error.to_string()).and_then(Thread::join);
    Ok(chosen.and_then(|chosen| chosen.map_err(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_is_what_a_shard_would_get() {
        let trial = try_out(0, 2, EngineChoice::Only(EngineKind::Mmsg), SteeringWish::Only(Steering::Handoff)).unwrap();
        assert_eq!(trial.engine.unwrap(), (EngineKind::Mmsg, true));
        assert_eq!(trial.steering.unwrap(), Steering::Handoff);
        let auto = try_out(0, 2, EngineChoice::Auto, SteeringWish::Auto).unwrap();
        let refused = auto.ring_refused.is_some();
        assert_eq!(auto.engine.unwrap().0, if refused { EngineKind::Mmsg } else { EngineKind::IoUring });
        let (steering, refused) = (auto.steering.unwrap(), auto.steering_refused);
        let better: Vec<_> = refused.iter().map(|(way, _)| *way).collect();
        let all = [Steering::Ebpf, Steering::Classic, Steering::Handoff];
        assert_eq!(all.iter().position(|way| *way == steering), Some(better.len()), "{steering:?} after {refused:?}");
    }

    #[test]
    fn a_core_that_is_not_there_gives_no_engine() {
        assert!(try_out(1_000, 1, EngineChoice::Auto, SteeringWish::Auto).unwrap().engine.is_err());
    }
}
