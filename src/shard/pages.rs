//! Huge pages for the tables of a shard.
//!
//! Tables and stored messages grow until the first transactions end, 32 s after the first calls: with pages of 4 KiB that is a page
//! fault in nearly every call, and later a miss of the translation cache in each step of one. In pages of 2 MiB it is one fault for
//! thousands of calls, and none for those that memory is made ready for before they come.

/// Asks the kernel for huge pages wherever whole ones lie within `bytes` from `start` on. It may have none: then nothing changes.
pub(super) fn huge(start: *const u8, bytes: usize) {
    advise(start, bytes, libc::MADV_HUGEPAGE);
}

/// Has the kernel provide all whole pages within `bytes` from `start` on now, not when they are first touched. One older than Linux 5.14
/// cannot: then nothing changes.
pub(super) fn provide(start: *const u8, bytes: usize) {
    advise(start, bytes, libc::MADV_POPULATE_WRITE);
}

/// Advice that changes no byte of the memory.
fn advise(start: *const u8, bytes: usize, advice: libc::c_int) {
    let page = page_bytes();
    let (from, to) = ((start as usize).next_multiple_of(page), (start as usize + bytes) / page * page);
    if from < to {
        // SAFETY: the two kinds of advice that are given here change no byte of the memory, whoever has it.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, advice) };
    }
}

fn page_bytes() -> usize {
    // SAFETY: sysconf takes an integer and touches no memory of ours.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_advised_keeps_its_bytes_and_what_is_less_than_a_page_is_left_alone() {
        let memory = vec![7u8; 8 << 20];
        huge(memory.as_ptr(), memory.len());
        huge(memory.as_ptr(), 100);
        huge(std::ptr::null(), 0);
        provide(memory.as_ptr(), memory.len());
        provide(memory.as_ptr(), 100);
        assert!(memory.iter().all(|byte| *byte == 7));
    }
}
