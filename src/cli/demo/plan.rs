//! What a run of the demo looks like: addresses, rate, times.

use super::load::LoadOptions;
use core::ops::Range;
use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A run of the demo.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Where siplane listens.
    pub proxy: SocketAddr,
    /// Where the built-in destinations listen, as siplane's config names them.
    pub destinations: Vec<SocketAddr>,
    /// Index of the destination that fails at half time and is back at three quarters; none when there is no such one.
    pub failing: usize,
    /// Calls per second, at least 1.
    pub calls_per_second: u32,
    /// For how long new calls are placed.
    pub placing: Duration,
    /// How long the last calls may then go on.
    pub last_wait: Duration,
    /// How long callees ring.
    pub ring: Range<Duration>,
    /// How long calls last.
    pub talk: Range<Duration>,
}

/// How many of a hundred calls the callee hangs up.
const CALLEE_HANGS_UP_PERCENT: u32 = 15;

impl Default for Plan {
    /// 50 calls per second for 12 s through 127.0.0.1:5060 to the three destinations of the built-in config.
    fn default() -> Self {
        let at = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 5060);
        Self {
            proxy: at(1),
            destinations: vec![at(11), at(12), at(13)],
            failing: 1,
            calls_per_second: 50,
            placing: Duration::from_secs(12),
            last_wait: Duration::from_secs(5),
            ring: Duration::from_millis(100)..Duration::from_millis(300),
            talk: Duration::from_secs(1)..Duration::from_secs(3),
        }
    }
}

impl Plan {
    /// The caller's part of it.
    pub(super) fn load(&self) -> LoadOptions {
        let calls = (self.placing.as_secs_f64() * f64::from(self.calls_per_second)).round() as usize;
        LoadOptions {
            ring: self.ring.clone(),
            talk: self.talk.clone(),
            callee_hangs_up_percent: CALLEE_HANGS_UP_PERCENT,
            last_wait: self.last_wait,
            ..LoadOptions::new(self.proxy, calls, self.calls_per_second)
        }
    }

    /// Whether the failing destination is out, `elapsed` after the first call.
    pub(super) fn is_out(&self, elapsed: Duration) -> bool {
        elapsed >= self.placing / 2 && elapsed < self.placing * 3 / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_run_places_600_calls_and_ends_within_17_s() {
        let plan = Plan::default();
        assert_eq!(plan.load().calls, 600);
        assert!(plan.placing + plan.last_wait <= Duration::from_secs(17));
        assert!(plan.last_wait > plan.ring.end + plan.talk.end);
        assert_eq!([5, 6, 8, 9].map(|s| plan.is_out(Duration::from_secs(s))), [false, true, true, false]);
    }
}
