//! What a destination says of its overload in the responses that it sends (RFC 7339 §4, RFC 7415 §3): a server with overload control.

use crate::rng::Rng;
use core::time::Duration;
use siplane::time::Instant;

/// What stands in the Via of whoever has overload control, as RFC 7339 §4.1 and §4.2 have it.
pub(crate) const OFFER: &str = ";oc;oc-algo=\"loss,rate\"";

/// A destination's overload by time: from each moment on it reports this, but for the sequence number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporter {
    pub(crate) phases: Vec<(Instant, String)>,
}

impl Reporter {
    /// Some say nothing at all, others change their mind several times.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let count = if rng.chance(75) { rng.between(1, 5) } else { 0 };
        let mut at = Instant::from_nanos(0);
        let mut phase = || {
            at = at + Duration::from_millis(rng.below(8000));
            let validity = rng.pick(&[0, 300, 2000, 8000, 8000, 30_000]);
            let report = match rng.below(10) {
                0..7 => format!(";oc={};oc-algo=\"loss\"", rng.pick(&[0, 10, 25, 33, 50, 70, 95, 100])),
                _ => format!(";oc={};oc-algo=\"rate\"", rng.pick(&[0, 1, 1, 2, 5, 20])),
            };
            // RFC 7339 §4.3: 500 ms where nothing is said.
            let validity = if validity == 300 { String::new() } else { format!(";oc-validity={validity}") };
            (at, report + &validity)
        };
        Self { phases: (0..count).map(|_| phase()).collect() }
    }

    /// The response `bytes` as it is sent at `now`.
    pub(crate) fn write(&self, now: Instant, bytes: Vec<u8>) -> Vec<u8> {
        let report = self.phases.iter().rev().find(|phase| phase.0 <= now);
        let Some((_, report)) = report.filter(|_| bytes.starts_with(b"SIP/2.0 ")) else { return bytes };
        let hundredths_of_ms = now.as_nanos() / 10_000;
        let (seconds, rest) = (hundredths_of_ms / 100_000, hundredths_of_ms % 100_000);
        let report = format!("{report};oc-seq={seconds}.{rest:05}");
        String::from_utf8(bytes).expect("text").replacen(OFFER, &report, 1).into_bytes()
    }
}
