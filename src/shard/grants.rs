//! What the kernel has granted: how shards reach it, who steers, how much it keeps for them.

use super::{EngineKind, ShardSockets, Steering};

/// What the kernel has granted at the start; it does not change while the process runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grants {
    /// By which calls shards reach it.
    pub engine: EngineKind,
    /// Who finds the owner of a datagram.
    pub steering: Steering,
    /// Ways of steering that were tried before and refused.
    pub refused: Vec<Steering>,
    /// Bytes of received datagrams that the smallest socket buffer of each shard holds.
    pub receive_buffers: Vec<usize>,
}

impl Grants {
    /// Of these sockets, one entry for each shard, which `steering` steers; the engine is known when the shards run.
    #[must_use]
    pub fn of(sockets: &[ShardSockets], steering: Steering, refused: Vec<Steering>) -> Self {
        let receive_buffers = sockets.iter().map(ShardSockets::receive_buffer_bytes).collect();
        Self { engine: EngineKind::IoUring, steering, refused, receive_buffers }
    }

    /// With the engine that runs.
    #[must_use]
    pub fn run_by(self, engine: EngineKind) -> Self {
        Self { engine, ..self }
    }
}
