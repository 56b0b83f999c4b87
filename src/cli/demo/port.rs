//! What the demo's user agents stand on: a socket, alarms, dice.
//!
//! A datagram that cannot be sent counts as lost on its way: retransmission heals both.

use core::cmp::Reverse;
use core::ops::Range;
use core::time::Duration;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Instant;

/// Shortest wait for a datagram: sockets know no shorter one.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A UDP socket and the address it is bound to.
pub(super) struct Port {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Port {
    /// Binds `address`; port 0 takes any free one.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        Ok(Self { address: socket.local_addr()?, socket })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(bytes, to);
    }

    /// The next datagram: its length in `buffer` and where it came from; `None` when none came for `wait`.
    pub(super) fn receive(&self, buffer: &mut [u8], wait: Duration) -> Option<(usize, SocketAddr)> {
        let received =
            self.socket.set_read_timeout(Some(wait.max(WAIT_MIN))).and_then(|()| self.socket.recv_from(buffer));
        match received {
            Ok(received) => Some(received),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(_) => {
                thread::sleep(WAIT_MIN);
                None
            }
        }
    }
}

/// What is to be done when. Nothing is ever taken out early: whoever is woken looks whether it still matters.
pub(super) struct Alarms<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Alarms<K> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    pub(super) fn set(&mut self, at: Instant, alarm: K) {
        self.heap.push(Reverse((at, alarm)));
    }

    /// The next alarm that is due at `now`.
    pub(super) fn due(&mut self, now: Instant) -> Option<K> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, alarm))| alarm)
    }

    /// Time from `now` to the next alarm, at most `longest`.
    pub(super) fn wait(&self, now: Instant, longest: Duration) -> Duration {
        self.heap.peek().map_or(longest, |Reverse((at, _))| at.saturating_duration_since(now).min(longest))
    }
}

/// Random numbers for tags, branches and durations; no secret depends on them.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(Instant::now()))
    }

    /// SplitMix64.
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// 16 hexadecimal digits.
    pub(super) fn token(&mut self) -> String {
        format!("{:016x}", self.number())
    }

    /// A branch (RFC 3261 §8.1.1.7).
    pub(super) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.token())
    }

    /// Whole milliseconds from `range`; its start when it is empty.
    pub(super) fn between(&mut self, range: &Range<Duration>) -> Duration {
        let span_ms = range.end.saturating_sub(range.start).as_millis().clamp(1, u128::from(u32::MAX)) as u64;
        range.start + Duration::from_millis(self.number() % span_ms)
    }

    /// True `percent` times of a hundred.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.number() % 100 < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_come_in_time_order_and_not_before_their_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut alarms = Alarms::new();
        alarms.set(at(20), 'b');
        alarms.set(at(10), 'a');
        assert_eq!(alarms.wait(start, Duration::from_secs(1)), Duration::from_millis(10));
        assert_eq!(
            (alarms.due(at(9)), alarms.due(at(20)), alarms.due(at(20)), alarms.due(at(20))),
            (None, Some('a'), Some('b'), None)
        );
        assert_eq!(alarms.wait(start, Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn dice_stay_in_range_and_tokens_differ() {
        let mut dice = Dice::new();
        let (low, high) = (Duration::from_millis(100), Duration::from_millis(103));
        for _ in 0..100 {
            let thrown = dice.between(&(low..high));
            assert!(thrown >= low && thrown < high, "{thrown:?}");
        }
        assert_eq!(dice.between(&(low..low)), low);
        assert!(!dice.percent(0) && dice.percent(100));
        assert_ne!(dice.token(), dice.token());
    }
}
