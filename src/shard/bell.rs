//! How one thread wakes another that sleeps in the kernel: an eventfd that is written only when somebody really sleeps.
//!
//! The protocol is that of [`Sleep`]. The eventfd is blocking, because a ring waits by reading it; otherwise it
//! is read only after poll said that it is readable, and by the sleeper alone.

use super::mmsg;
use super::sleep::Sleep;
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The bell of one sleeper.
#[derive(Debug)]
pub(super) struct Bell {
    event: OwnedFd,
    sleep: Sleep,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two integers and touches no memory of ours.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was opened in the line above and nobody else owns it.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        Ok(Self { event, sleep: Sleep::new() })
    }

    /// Wakes the sleeper if it sleeps; to be called once per batch of work, after the work is in place.
    pub(super) fn ring(&self) {
        if self.sleep.must_wake() {
            let one = 1u64;
            // SAFETY: reads the 8 bytes of `one`. The counter would have to reach u64::MAX - 1 before this could block.
            unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    /// From here on a ringer writes. The caller looks for work once more before it waits.
    pub(super) fn fall_asleep(&self) {
        self.sleep.begin();
    }

    /// The sleeper is up, whatever woke it.
    pub(super) fn wake_up(&self) {
        self.sleep.end();
    }

    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.sleep.is_asleep()
    }

    /// Takes the ring back after poll said that the bell was rung.
    fn silence(&self) {
        let mut rings = 0u64;
        // SAFETY: writes the 8 bytes of `rings`. Only the sleeper reads, and only after poll: it does not block.
        unsafe { libc::read(self.event.as_raw_fd(), (&raw mut rings).cast(), 8) };
    }

    /// Sleeps until it is rung, at most `timeout`, unless `work_is_there` by the time it would.
    pub(super) fn sleep(&self, timeout: Duration, work_is_there: impl FnOnce() -> bool) {
        self.fall_asleep();
        if !work_is_there() && mmsg::readable_within(self.event.as_fd(), timeout) {
            self.silence();
        }
        self.wake_up();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_ring_wakes_a_sleeper_long_before_its_timeout() {
        let bell = Bell::new().unwrap();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| bell.sleep(LONG, || false));
            while !bell.is_asleep() {
                std::thread::yield_now();
            }
            bell.ring();
        });
        assert!(start.elapsed() < LONG / 2);
    }

    #[test]
    fn a_ring_while_nobody_sleeps_costs_no_write_and_work_keeps_from_sleeping() {
        let bell = Bell::new().unwrap();
        bell.ring();
        assert!(!mmsg::readable_within(bell.as_fd(), Duration::ZERO));
        let start = Instant::now();
        bell.sleep(LONG, || true);
        assert!(start.elapsed() < LONG / 2);
    }

    #[test]
    fn one_ring_wakes_once() {
        let bell = Bell::new().unwrap();
        bell.fall_asleep();
        bell.ring();
        bell.ring();
        bell.sleep(LONG, || false);
        let start = Instant::now();
        bell.sleep(SHORT, || false);
        assert!(start.elapsed() >= SHORT);
    }
}
