//! Beside the floors: what the machine is, and what an operator must tune on it.
//!
//! It reads `/proc` and `/sys` under a [`Root`], which tests make up, and opens no socket. What must be tried to be known (may this
//! process have an io_uring, does the kernel take the steering program) is tried by the floors above and comes in with the [`Plan`].
//! One room per subject, each with its findings, their reason and the command that cures them; [`Topology`] is also what the wiring
//! chooses cores by.
//!
//! Absent: changing anything. Every cure is the operator's to run.

mod boot;
mod buffers;
mod clock;
mod conntrack;
mod engine;
mod finding;
mod frequency;
mod interrupts;
mod list;
mod memory;
mod nic;
mod placement;
mod process;
mod queues;
mod root;
mod steering;
#[cfg(test)]
mod tests;
mod topology;

pub use finding::{Finding, Level};
pub use root::Root;
pub use topology::Topology;

use std::net::SocketAddr;

/// What siplane means to do on this machine, and what was tried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The core of each shard, in shard order; at least one.
    pub shards: Vec<usize>,
    /// The prober's core.
    pub prober: usize,
    /// Where it listens.
    pub listen: Vec<Place>,
    /// What each socket asks for as SO_RCVBUF, bytes.
    pub receive_buffer_bytes: u64,
    /// What each socket asks for as SO_SNDBUF, bytes.
    pub send_buffer_bytes: u64,
    /// What the longest classic steering program takes of `net.core.optmem_max`, bytes.
    pub steering_bytes: u64,
    /// Locked memory without which no executor begins, bytes.
    pub locked_bytes_min: u64,
    /// Locked memory of each shard, bytes.
    pub locked_bytes_per_shard: u64,
    /// Descriptors that it opens.
    pub descriptors: u64,
    /// Whether shards never sleep.
    pub busy_poll: bool,
    /// What was tried.
    pub trial: Trial,
}

/// A listen address and the interfaces that bring its datagrams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The address.
    pub address: SocketAddr,
    /// Their names: one, none when no interface has the address, or several for a wildcard address.
    pub interfaces: Vec<String>,
}

/// What came of trying, on this kernel and with this process's privileges, what the config asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trial {
    /// The engine that would run, as the config spells it, or why shards would not start.
    pub engine: Option<Result<&'static str, String>>,
    /// Whether the config insists on that engine.
    pub is_engine_wished: bool,
    /// Whether the ring can let datagrams gather (Linux 6.12).
    pub can_gather: bool,
    /// Who would find the owner of a datagram, as the config spells it, or why shards would not start.
    pub steering: Option<Result<&'static str, String>>,
    /// Whether the config insists on that way.
    pub is_steering_wished: bool,
    /// The ways that the kernel refused, and why.
    pub refused: Vec<(&'static str, String)>,
}

/// Everything that is to be said about this machine, subject by subject; at least one finding per subject that is there to be seen.
#[must_use]
pub fn inspect(root: &Root, plan: &Plan) -> Vec<Finding> {
    let topology = Topology::read(root);
    [
        engine::look(root, plan),
        steering::look(root, plan),
        process::look(root, plan),
        placement::look(root, plan, &topology),
        boot::look(root, plan, &topology),
        frequency::look(root, plan),
        nic::look(root, plan, &topology),
        interrupts::look_for_balancer(root, plan),
        buffers::look(root, plan),
        conntrack::look(root, plan),
        memory::look(root),
        clock::look(root),
    ]
    .concat()
}
