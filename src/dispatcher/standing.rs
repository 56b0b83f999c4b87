//! A destination's standing: what evidence and what operators say, in one byte that is read and changed as one.

/// What evidence (probes, time-outs, send errors) says about a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Health {
    /// It answers.
    #[default]
    Active,
    /// It has failed of late, but not often enough to be given up: it still gets traffic.
    Trying,
    /// It does not answer: no traffic.
    Inactive,
}

/// What an operator said about a destination; no evidence ever changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Admin {
    /// It may get traffic.
    #[default]
    Enabled,
    /// No new calls; those it has go on.
    Draining,
    /// No traffic and no probes.
    Disabled,
}

/// Health in bits 0-1, admin in bits 2-3; 0 is active and enabled.
#[derive(Clone, Copy)]
pub(super) struct Standing(pub(super) u8);

impl Standing {
    pub(super) const fn health(self) -> Health {
        match self.0 & 0b11 {
            0 => Health::Active,
            1 => Health::Trying,
            _ => Health::Inactive,
        }
    }

    pub(super) const fn admin(self) -> Admin {
        match self.0 >> 2 {
            0 => Admin::Enabled,
            1 => Admin::Draining,
            _ => Admin::Disabled,
        }
    }

    pub(super) const fn with_health(self, health: Health) -> Self {
        Self(self.0 & 0b1100 | health as u8)
    }

    pub(super) const fn with_admin(self, admin: Admin) -> Self {
        Self(self.0 & 0b0011 | (admin as u8) << 2)
    }

    pub(super) const fn is_available(self) -> bool {
        // Admin enabled (upper bits 0) and health active or trying (0 or 1).
        self.0 <= Health::Trying as u8
    }
}
