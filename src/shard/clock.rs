//! The only clock and the only source of chance of the data path.
//!
//! A shard reads the clock once per turn and its seed once in its life; everything below gets both as arguments.

use crate::time::Instant;
use std::io;
use std::sync::OnceLock;

/// The monotonic clock: nanoseconds since the first call in this process, the same start for every thread.
#[must_use]
pub fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let since_start = START.get_or_init(std::time::Instant::now).elapsed();
    Instant::from_nanos(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
}

/// 64 bits from the kernel's random source, to key one shard's hashes and choices.
///
/// # Errors
/// What getrandom(2) says, on a kernel that has none.
pub fn seed() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is writable for its whole length; up to 256 bytes are never cut short nor interrupted.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(got) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn every_thread_reads_the_same_time_and_it_only_grows() {
        let before = now();
        let elsewhere = std::thread::spawn(now).join().unwrap();
        let after = now();
        assert!(before <= elsewhere && elsewhere <= after);
        assert!(after.saturating_since(before) < Duration::from_secs(5));
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
