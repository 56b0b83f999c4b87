//! Where the tables of a shard lie: one stretch of address space for each, as long as its bound, and pages as they are first touched.
//!
//! Policy:
//! - A table reserves all the places that it may ever have when it gets its first value. Nothing is resident until it is used, no
//!   table is ever moved, and none makes a call wait while it is copied.
//! - Where the system refuses so much address space (`vm.overcommit_memory = 2`, `ulimit -v`) a table grows by doubling.
//! - Before a stretch is used whoever made the shard is shown it ([`Prepare`]): the floor with the sockets asks the kernel for huge
//!   pages there, which this one cannot.

/// Is shown memory before anything lies in it: its start and its length in bytes. May only advise the kernel.
pub type Prepare = fn(start: *const u8, bytes: usize);

/// Leaves memory as it comes.
pub(crate) const fn as_it_comes(_: *const u8, _: usize) {}

/// Makes room for one more value than `table` has, of at most `max` in all; to be called when it has none.
#[cold]
pub(super) fn grow<T>(table: &mut Vec<T>, max: usize, prepare: Prepare) {
    let length = table.len();
    if table.try_reserve_exact(max.saturating_sub(length)).is_err() {
        // Doubling by hand, because Vec's own doubling would pass the bound.
        let wanted = (length * 2).clamp(16, max.max(16));
        table.reserve_exact(wanted.saturating_sub(length).max(1));
    }
    prepare(table.as_ptr().cast(), table.capacity() * size_of::<T>());
}

/// Shows `touch` the memory of the first `count` values of a table that has none yet; room for it is made as [`grow`] does.
pub(super) fn make_room<T>(table: &mut Vec<T>, count: usize, max: usize, prepare: Prepare, touch: Prepare) {
    if table.capacity() < count.min(max) {
        grow(table, max, prepare);
    }
    touch(table.as_ptr().cast(), count.min(table.capacity()) * size_of::<T>());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_table_gets_its_whole_room_at_once_and_is_shown_before_it_is_used() {
        static SHOWN: AtomicUsize = AtomicUsize::new(0);
        let mut table: Vec<u64> = Vec::new();
        grow(&mut table, 1_000, |_, bytes| SHOWN.store(bytes, Ordering::Relaxed));
        assert_eq!((table.capacity(), SHOWN.load(Ordering::Relaxed)), (1_000, 8_000));
    }

    #[test]
    fn where_so_much_cannot_be_had_it_grows_by_doubling() {
        let max = usize::MAX / 16;
        let mut table: Vec<u64> = Vec::new();
        for wanted in [16, 32, 64] {
            grow(&mut table, max, as_it_comes);
            assert_eq!(table.capacity(), wanted);
            table.resize(wanted, 0);
        }
    }
}
