//! The atomics, and the queue, of what is proved under loom: `tests/shared_models.rs` compiles those files with loom's in the place of
//! these.

#[cfg(feature = "io")]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicUsize, fence};
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(feature = "io")]
pub(crate) use crossbeam::queue::ArrayQueue;
