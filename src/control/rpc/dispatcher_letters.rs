//! Kamailio's letters for the state of a destination: `AP`, `IX` and so on, to show and to set.

use crate::control::{Blame, Fault};
use crate::dispatcher::{Admin, Cause, Destination, Health, States};
use crate::prober::{ProbePolicy, ProbeSettings};
use crate::time::Instant;

/// The two letters of a destination.
///
/// `I`: evidence or the config keeps traffic away (inactive, ejected, held off); `D`: an operator does (disabled; draining too, which
/// Kamailio does not know); `T`: trying; `A`: active. `P`: it is probed, or marked for probing; `X`: it is not.
pub(super) fn letters(destination: &Destination, states: &States, probing: &ProbeSettings) -> String {
    let state = destination.state;
    let (health, admin) = (states.health(state), states.admin(state));
    // A list may say both, and then Kamailio shows I.
    let both = health == Health::Inactive && admin == Admin::Disabled;
    let first = match (admin, health) {
        _ if both && states.last_reason(state).cause == Cause::Config => 'I',
        (Admin::Draining | Admin::Disabled, _) => 'D',
        _ if states.is_out(state) => 'I',
        (Admin::Enabled, Health::Trying) => 'T',
        _ => 'A',
    };
    let second = if is_probed(destination, states, probing) { 'P' } else { 'X' };
    format!("{first}{second}")
}

/// What Kamailio writes as a number where it does not write the letters: 1 inactive, 2 trying, 4 disabled, 8 probed.
pub(super) fn bits(letters: &str) -> i64 {
    let bit = |letter| match letter {
        'I' => 1,
        'T' => 2,
        'D' => 4,
        'P' => 8,
        _ => 0,
    };
    letters.chars().map(bit).sum()
}

fn is_probed(destination: &Destination, states: &States, probing: &ProbeSettings) -> bool {
    let probe = &destination.probe;
    let by_policy = match probing.policy {
        ProbePolicy::All => true,
        ProbePolicy::Flagged => false,
        ProbePolicy::WhenInactive => states.is_out(destination.state),
    };
    let interval = probe.interval.unwrap_or(probing.interval);
    let enabled = states.admin(destination.state) != Admin::Disabled;
    probe.flagged || (by_policy && enabled && !probe.never && !interval.is_zero())
}

/// What `dispatcher.set_state` makes of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    letter: Letter,
    /// Whether it is marked for probing.
    pub(super) probing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Letter {
    Inactive,
    Active,
    Disabled,
    Trying,
}

impl Mark {
    /// Reads it as Kamailio does: the first character, a letter or its number, and `p` behind it; the rest does not count.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |kamailio: &'static str| Fault {
            blame: Blame::Parameters,
            detail: format!(
                "state: found \"{text}\", allowed: a (active), i (inactive), d (disabled), t (trying), or ap, ip, tp to probe it"
            ),
            kamailio,
        };
        let mut characters = text.chars().map(|character| character.to_ascii_lowercase());
        let letter = match characters.next() {
            Some('i' | '0') => Letter::Inactive,
            Some('a' | '1') => Letter::Active,
            Some('d' | '2') => Letter::Disabled,
            Some('t' | '3') => Letter::Trying,
            Some(_) => return Err(fault("Unknown State Value")),
            None => return Err(fault("Invalid State Parameter")),
        };
        Ok(Self { letter, probing: characters.next() == Some('p') && letter != Letter::Disabled })
    }

    /// Marks a destination: health and admin, as one word of an operator. What calls and probes once said of it is forgotten with `a`
    /// and `t`; `d` leaves it.
    pub(super) fn put(self, states: &States, destination: &Destination, now: Instant) {
        let state = destination.state;
        let health = match self.letter {
            Letter::Disabled => {
                if states.last_reason(state).cause == Cause::Config {
                    // What the config said last is the operator's word from now on; it gets nothing in between: it is inactive.
                    states.set_admin(state, Admin::Draining, now);
                }
                states.set_admin(state, Admin::Disabled, now);
                return;
            }
            Letter::Inactive => Health::Inactive,
            Letter::Active => Health::Active,
            Letter::Trying => Health::Trying,
        };
        if health != Health::Inactive {
            states.pardon(state, now);
        }
        states.set_health(state, health, now);
        states.set_admin(state, Admin::Enabled, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_two_characters_count() {
        let parsed = |text| Mark::parse(text).map(|mark| (mark.letter, mark.probing)).ok();
        for (text, expected) in [
            ("i", (Letter::Inactive, false)),
            ("Ip", (Letter::Inactive, true)),
            ("0P", (Letter::Inactive, true)),
            ("inactive", (Letter::Inactive, false)),
            ("AX", (Letter::Active, false)),
            ("1p", (Letter::Active, true)),
            ("dp", (Letter::Disabled, false)),
            ("2", (Letter::Disabled, false)),
            ("tp", (Letter::Trying, true)),
            ("3", (Letter::Trying, false)),
        ] {
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
        assert_eq!(Mark::parse("pa").unwrap_err().kamailio, "Unknown State Value");
        assert_eq!(Mark::parse("").unwrap_err().kamailio, "Invalid State Parameter");
    }
}
