//! The virtual clock's units: RFC 3261 §17 timers as every user agent here runs them, and short ways to write
//! durations.

use core::time::Duration;
use siplane::time::Instant;

/// Round-trip estimate (RFC 3261 §17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// Longest retransmission interval of non-INVITE requests and INVITE responses.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message lives in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64*T1: timers B, D, F, H, J, L, M.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(32);

/// `n` milliseconds.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The earlier of two moments that may not come.
pub(crate) fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
