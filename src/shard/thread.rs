//! The thread of a shard: an executor's where the kernel allows io_uring, else a plain one; pinned either way.
//!
//! A shard is its thread's only task and never yields, so it asks nothing of an executor that a thread does not give; but an executor
//! cannot begin without io_uring and some locked memory, and calls must be taken there, too.

use core_affinity::{CoreId, set_for_current};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use io_uring::IoUring;
use std::io;
use std::thread::{Builder, JoinHandle};

/// Registered I/O memory of an executor, bytes: no task of ours uses it, and memlock is 8 MiB on stock systems.
pub(super) const EXECUTOR_IO_MEMORY_BYTES: usize = 64 << 10;

/// A pinned thread.
#[derive(Debug)]
pub(super) enum Thread<T: Send + 'static> {
    Executor(ExecutorJoinHandle<T>),
    Plain(JoinHandle<T>),
}

impl<T: Send + 'static> Thread<T> {
    /// Does `work` on `core`, in an executor or not.
    ///
    /// # Errors
    /// The core does not exist, or there can be no more threads. An executor that the kernel refuses says so in [`Thread::join`].
    pub(super) fn spawn(
        has_executor: bool,
        core: usize,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        if has_executor {
            let thread = executor(Placement::Fixed(core)).name(name).spawn(move || async move { work() });
            return thread.map(Self::Executor).map_err(|error| io::Error::other(error.to_string()));
        }
        // Greater numbers do not fit into the set that the call takes.
        let exists = core < libc::CPU_SETSIZE as usize
            && core_affinity::get_core_ids().is_some_and(|cores| cores.iter().any(|it| it.id == core));
        if !exists {
            return Err(io::Error::other(format!("core {core} is not there")));
        }
        let pinned = move || {
            set_for_current(CoreId { id: core });
            work()
        };
        Builder::new().name(name.to_owned()).spawn(pinned).map(Self::Plain)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It ended otherwise than by the end of its work.
    pub(super) fn join(self) -> Result<T, String> {
        match self {
            Self::Executor(thread) => thread.join().map_err(|error| error.to_string()),
            Self::Plain(thread) => thread.join().map_err(|_| String::from("panicked")),
        }
    }
}

/// Whether an executor can begin; found out by one that does nothing.
///
/// # Errors
/// Why not.
pub(super) fn try_executor() -> Result<(), String> {
    // An executor that gets no ring at all panics, and would take the process with it.
    IoUring::new(1).map_err(|error| format!("io_uring: {error}"))?;
    let thread = executor(Placement::Unbound).name("trial").spawn(|| async {});
    thread.and_then(|thread| thread.join()).map_err(|error| error.to_string())
}

fn executor(placement: Placement) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(placement).io_memory(EXECUTOR_IO_MEMORY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_on_its_core_with_and_without_an_executor() {
        // SAFETY: sched_getcpu takes nothing and touches no memory.
        let core_now = || usize::try_from(unsafe { libc::sched_getcpu() }).unwrap();
        for CoreId { id } in core_affinity::get_core_ids().unwrap() {
            for has_executor in [true, false] {
                let thread = Thread::spawn(has_executor, id, "work", core_now).unwrap();
                assert_eq!(thread.join().unwrap(), id, "with executor: {has_executor}");
            }
        }
    }

    #[test]
    fn a_core_that_is_not_there_is_said() {
        for (has_executor, core) in [(true, 1_000), (false, 1_000), (false, 99_999)] {
            let ended = Thread::spawn(has_executor, core, "work", || ()).map(Thread::join);
            assert!(!matches!(ended, Ok(Ok(()))), "{core} with executor: {has_executor}");
        }
    }
}
