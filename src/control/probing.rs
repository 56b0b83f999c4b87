//! What the prober gets of a config.

use crate::config::{self, ProberSettings};
use crate::prober::{ProbePolicy, ProbeSettings};
use crate::proxy::Settings;

/// The settings of probes that a config means.
#[must_use]
pub fn probe_settings(wish: &ProberSettings, fixed: &Settings) -> ProbeSettings {
    ProbeSettings {
        active: true,
        policy: match wish.policy {
            config::ProbePolicy::All => ProbePolicy::All,
            config::ProbePolicy::Flagged => ProbePolicy::Flagged,
            config::ProbePolicy::WhenInactive => ProbePolicy::WhenInactive,
        },
        interval: wish.interval,
        timeout: wish.timeout,
        method: wish.method.clone(),
        from: wish.from.clone(),
        user_agent: fixed.server.clone(),
        probing_threshold: wish.probing_threshold,
        inactive_threshold: wish.inactive_threshold,
        reply_codes: wish.reply_codes.clone(),
        latency_weight_permille: wish.latency_weight_permille,
    }
}
