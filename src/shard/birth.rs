//! Where memory comes from on a machine with several nodes (NUMA): the kernel takes a page from the node of the core that first touches
//! it, so whoever shall have memory nearby must be the first to write to it.
//!
//! - A shard's tables, outboxes, receive buffers and ring are made by its own thread, which is pinned before it makes anything.
//! - What must exist before the thread does (its stack and thread-local storage, and its inbox, which others write to) is made by a
//!   short-lived thread on the same core, by [`on_core`]: the main thread, wherever it runs, touches none of it.
//! - What is common to all shards (the policy, the destinations' states) is where it was made, and mostly read.
//! - Buffers in an inbox are made by those who first filled them; the kernel's socket buffers are near to the interrupt of the card.

use core_affinity::{CoreId, set_for_current};
use std::io;
use std::thread::{self, Builder};

/// Does `work` on this core, in a thread of its own, whose new threads inherit the core; where there is no such core, wherever the
/// kernel likes: who pins himself to the core afterwards is told so.
///
/// # Errors
/// When the process may have no more threads.
pub(super) fn on_core<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let pinned = || {
        // Greater numbers do not fit into the set that the call takes.
        let _ = core < libc::CPU_SETSIZE as usize && set_for_current(CoreId { id: core });
        work()
    };
    thread::scope(|scope| match Builder::new().spawn_scoped(scope, pinned)?.join() {
        Ok(result) => Ok(result),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current_core() -> usize {
        // SAFETY: sched_getcpu takes nothing and touches no memory.
        usize::try_from(unsafe { libc::sched_getcpu() }).unwrap()
    }

    #[test]
    fn what_is_made_on_a_core_is_made_by_a_thread_pinned_to_it_and_so_are_its_threads() {
        for CoreId { id } in core_affinity::get_core_ids().unwrap() {
            let (here, inherited) = on_core(id, || {
                let inherited = thread::spawn(current_core).join().unwrap();
                (current_core(), inherited)
            })
            .unwrap();
            assert_eq!((here, inherited), (id, id));
        }
    }

    #[test]
    fn a_core_that_is_not_there_does_the_work_all_the_same() {
        assert_eq!([on_core(1_000, || 7).unwrap(), on_core(9_999, || 8).unwrap()], [7, 8]);
    }
}
