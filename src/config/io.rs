//! `[io]`: how shards reach the kernel, and how they wait for it.

use super::reader::Section;
use crate::limits;
use core::time::Duration;

/// Which engine shards run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EngineWish {
    /// io_uring where the kernel allows it, else recvmmsg and sendmmsg.
    #[default]
    Auto,
    /// io_uring, or no start.
    IoUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// Who finds the shard that owns a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SteeringWish {
    /// The best that the kernel allows.
    #[default]
    Auto,
    /// An eBPF program in the kernel, or no start.
    Ebpf,
    /// A classic BPF program in the kernel, or no start.
    Classic,
    /// The shard that happens to receive it.
    Handoff,
}

/// How shards reach the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoSettings {
    /// By which calls.
    pub engine: EngineWish,
    /// How long a busy shard lets datagrams gather, so that one wake-up serves many; zero: it does not.
    pub gather: Duration,
    /// From how many datagrams a millisecond a shard is busy.
    pub gather_above_per_ms: u32,
    /// Whether shards never sleep, and so take their cores whole.
    pub busy_poll: bool,
    /// Whether messages of one size to one destination leave together, for the kernel to cut.
    pub join_sends: bool,
    /// Who finds the shard that owns a datagram.
    pub steering: SteeringWish,
}

impl Default for IoSettings {
    fn default() -> Self {
        Self {
            engine: EngineWish::default(),
            gather: limits::GATHER_DEFAULT,
            gather_above_per_ms: limits::GATHER_ABOVE_PER_MS_DEFAULT,
            busy_poll: false,
            join_sends: true,
            steering: SteeringWish::default(),
        }
    }
}

/// Reads `[io]`.
pub(super) fn io(mut section: Section<'_>) -> IoSettings {
    let default = IoSettings::default();
    let engines = [("auto", EngineWish::Auto), ("io_uring", EngineWish::IoUring), ("mmsg", EngineWish::Mmsg)];
    let ways = [
        ("auto", SteeringWish::Auto),
        ("ebpf", SteeringWish::Ebpf),
        ("classic", SteeringWish::Classic),
        ("handoff", SteeringWish::Handoff),
    ];
    let gather_us = section.number("gather_us", 0..=10_000, default.gather.as_micros() as u64);
    let settings = IoSettings {
        engine: section.choice("engine", &engines, default.engine),
        gather: Duration::from_micros(gather_us),
        gather_above_per_ms: section.number("gather_above_per_ms", 1..=10_000, default.gather_above_per_ms),
        busy_poll: section.flag("busy_poll"),
        join_sends: section.item("join_sends").and_then(|item| item.flag()).unwrap_or(default.join_sends),
        steering: section.choice("steering", &ways, default.steering),
    };
    section.finish();
    settings
}
