//! How destinations are probed: process-wide, with what a destination says for itself on top.

use crate::dispatcher::{Destination, Health, ProbeSpec, States};
use crate::sip::Status;
use core::time::Duration;

/// How often it is looked whether a destination without an interval has got one, or another reason to be probed.
const UNPROBED_PACE: Duration = Duration::from_secs(1);

/// Which destinations are probed; one that an operator disabled, or whose [`ProbeSpec::never`] is set, is not under any policy.
///
/// Kamailio's `ds_probing_mode` 0 to 3 are these, but for their faults: the probing flag is configuration, which no probe, no mark and no
/// reload of states takes away (mode 0 dropped it after one ping), and no probe undoes an operator (mode 1 did).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProbePolicy {
    /// All, whatever their flag (mode 1).
    #[default]
    All,
    /// Those that are flagged, in whatever state (modes 0 and 3).
    Flagged,
    /// Those that evidence has put out (inactive, ejected or held off), until they are back, whatever their flag (mode 2, where the mark
    /// that puts a destination out also sets its flag).
    WhenInactive,
}

impl ProbePolicy {
    /// The policy of a `ds_probing_mode`; none beyond 3.
    #[must_use]
    pub const fn from_mode(mode: u8) -> Option<Self> {
        match mode {
            1 => Some(Self::All),
            0 | 3 => Some(Self::Flagged),
            2 => Some(Self::WhenInactive),
            _ => None,
        }
    }

    /// The policy that people call `name`: `all`, `flagged` or `when-inactive`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::All, Self::Flagged, Self::WhenInactive].into_iter().find(|policy| policy.name() == name)
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Flagged => "flagged",
            Self::WhenInactive => "when-inactive",
        }
    }
}

/// How destinations are probed that say nothing else in their [`ProbeSpec`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeSettings {
    /// Whether anything is probed at all (Kamailio's `dispatcher.ping_active`); while it is not, all stays as probes left it.
    pub active: bool,
    /// Which are probed.
    pub policy: ProbePolicy,
    /// From one probe of a destination to the next, each time shifted by up to a tenth; zero: only those that have one of their own.
    pub interval: Duration,
    /// Longest wait for a final answer: Timer F of a probe.
    pub timeout: Duration,
    /// Method on the wire.
    pub method: String,
    /// From URI.
    pub from: String,
    /// User-Agent; none when empty.
    pub user_agent: String,
    /// Failures in a row that make a destination inactive; 0 is as 1.
    pub probing_threshold: u32,
    /// Successes in a row that make it active again; 0 is as 1.
    pub inactive_threshold: u32,
    /// Final codes beyond 2xx that are a success.
    pub reply_codes: Vec<u16>,
    /// What a new sample weighs in the latency estimate, thousandths, 1 to 999 (Kamailio's `ds_latency_estimator_alpha`, 100).
    pub latency_weight_permille: u16,
}

/// The settings as they are for one destination.
pub(super) struct Effective<'a> {
    pub(super) settings: &'a ProbeSettings,
    pub(super) spec: &'a ProbeSpec,
}

impl<'a> Effective<'a> {
    /// From probe to probe, or from look to look where there is none.
    pub(super) fn pace(&self) -> Duration {
        Some(self.interval()).filter(|interval| !interval.is_zero()).unwrap_or(UNPROBED_PACE)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.spec.timeout.unwrap_or(self.settings.timeout)
    }

    pub(super) fn method(&self) -> &'a str {
        self.spec.method.as_deref().unwrap_or(&self.settings.method)
    }

    pub(super) fn from(&self) -> &'a str {
        self.spec.from.as_deref().unwrap_or(&self.settings.from)
    }

    pub(super) fn down_after(&self) -> u32 {
        self.spec.probing_threshold.unwrap_or(self.settings.probing_threshold)
    }

    pub(super) fn up_after(&self) -> u32 {
        self.spec.inactive_threshold.unwrap_or(self.settings.inactive_threshold)
    }

    /// Whether this final answer is a success.
    pub(super) fn is_good(&self, status: Status) -> bool {
        let codes = self.spec.reply_codes.as_ref().unwrap_or(&self.settings.reply_codes);
        status.is_success() || codes.contains(&status.code())
    }

    /// Whether the configuration has it never probed, in whatever state.
    pub(super) fn never(&self) -> bool {
        let unflagged = self.settings.policy == ProbePolicy::Flagged && !self.spec.flagged;
        self.spec.never || self.interval().is_zero() || unflagged
    }

    /// Whether the state that it is in has it probed, when the configuration permits.
    pub(super) fn wanted(&self, destination: &Destination, states: &States) -> bool {
        // Trying is on its way out or back; without a probe it would stay there.
        let state = destination.state;
        self.settings.policy != ProbePolicy::WhenInactive
            || states.is_out(state)
            || states.health(state) == Health::Trying
    }

    fn interval(&self) -> Duration {
        self.spec.interval.unwrap_or(self.settings.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probing_mode_has_a_policy_and_every_policy_a_name() {
        let names = [0, 1, 2, 3].map(|mode| ProbePolicy::from_mode(mode).unwrap().name());
        assert_eq!(names, ["flagged", "all", "when-inactive", "flagged"]);
        assert_eq!(ProbePolicy::from_mode(4), None);
        for name in names {
            assert_eq!(ProbePolicy::from_name(name).unwrap().name(), name);
        }
        assert_eq!(ProbePolicy::from_name("some"), None);
    }
}
