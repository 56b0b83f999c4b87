//! Timers: one queue per duration. Every duration comes from a short list (T1 doubled, ring, hold), so each queue is in order by
//! itself. A timer is never cancelled: who set it looks, when it fires, whether it still means something.

use std::collections::VecDeque;

/// Milliseconds in the unit of all times here, nanoseconds.
pub(crate) const MS: u64 = 1_000_000;
/// RFC 3261 §17.1.1.1: round-trip estimate.
pub(crate) const T1: u64 = 500 * MS;
/// RFC 3261 §17.1.2.2: longest interval of retransmissions of anything but an INVITE.
pub(crate) const T2: u64 = 4_000 * MS;
/// 64*T1: timers B, F and H.
pub(crate) const TRANSACTION: u64 = 64 * T1;

/// What is to be looked at when the time comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timer<W> {
    pub(crate) due: u64,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) what: W,
}

/// The queues.
#[derive(Debug)]
pub(crate) struct Timers<W> {
    queues: Vec<(u64, VecDeque<Timer<W>>)>,
}

impl<W: Copy> Timers<W> {
    pub(crate) const fn new() -> Self {
        Self { queues: Vec::new() }
    }

    /// Sets a timer `after` from `now`.
    pub(crate) fn set(&mut self, now: u64, after: u64, slot: u32, generation: u32, what: W) {
        let timer = Timer { due: now + after, slot, generation, what };
        let at = self.queues.iter().position(|(duration, _)| *duration == after).unwrap_or_else(|| {
            self.queues.push((after, VecDeque::with_capacity(1024)));
            self.queues.len() - 1
        });
        self.queues[at].1.push_back(timer);
    }

    /// One timer that is due.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Timer<W>> {
        let queue = self.queues.iter_mut().find(|(_, queue)| queue.front().is_some_and(|timer| timer.due <= now))?;
        queue.1.pop_front()
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.queues.iter().filter_map(|(_, queue)| queue.front()).map(|timer| timer.due).min()
    }
}

/// RFC 3261 §17.1.2.2 (timer E) and §17.2.1 (timer G): after so many sends the wait doubles, up to T2.
pub(crate) const fn capped(sends: u8) -> u64 {
    let wait = doubled(sends);
    if wait < T2 { wait } else { T2 }
}

/// RFC 3261 §17.1.1.2 (timer A): after so many sends, at least one, the wait doubles without bound.
pub(crate) const fn doubled(sends: u8) -> u64 {
    let times = sends.saturating_sub(1);
    T1 << if times < 6 { times } else { 6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_of_several_durations_fire_when_they_are_due() {
        let mut timers = Timers::new();
        timers.set(0, 50, 1, 0, 'a');
        timers.set(10, 20, 2, 0, 'b');
        timers.set(20, 20, 3, 0, 'c');
        assert_eq!(timers.next(), Some(30));
        assert!(timers.pop(29).is_none());
        let fired: Vec<_> = core::iter::from_fn(|| timers.pop(40)).map(|timer| timer.what).collect();
        assert_eq!(fired, ['b', 'c']);
        assert_eq!((timers.next(), timers.pop(50).unwrap().slot, timers.next()), (Some(50), 1, None));
    }

    // RFC 3261 §17.1.1.2, §17.1.2.2
    #[test]
    fn an_invite_is_sent_seven_times_in_64_t1_and_another_request_eleven_times() {
        let sends = |wait: fn(u8) -> u64| {
            let (mut at, mut sends) = (0, 1);
            while at + wait(sends) < TRANSACTION {
                at += wait(sends);
                sends += 1;
            }
            sends
        };
        assert_eq!((sends(doubled), sends(capped)), (7, 11));
    }
}
