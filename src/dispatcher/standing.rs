//! A destination's standing: what probes, calls and operators say, in one byte that is read and changed as one.

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

impl Health {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trying => "trying",
            Self::Inactive => "inactive",
        }
    }
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

impl Admin {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }
}

/// Health in bits 0-1, admin in bits 2-3, then what calls brought about; 0 is active and enabled.
#[derive(Clone, Copy)]
pub(super) struct Standing(pub(super) u8);

impl Standing {
    /// Ejected because of what calls saw.
    pub(super) const EJECTED: u8 = 1 << 4;
    /// Held off by its own wish.
    pub(super) const HELD_OFF: u8 = 1 << 5;
    /// All of its set are out, so it gets traffic all the same.
    pub(super) const PANIC: u8 = 1 << 6;

    pub(super) const fn health(self) -> Health {
        match self.0 & 0b11 {
            0 => Health::Active,
            1 => Health::Trying,
            _ => Health::Inactive,
        }
    }

    pub(super) const fn admin(self) -> Admin {
        match self.0 >> 2 & 0b11 {
            0 => Admin::Enabled,
            1 => Admin::Draining,
            _ => Admin::Disabled,
        }
    }

    pub(super) const fn with_health(self, health: Health) -> Self {
        Self(self.0 & !0b0011 | health as u8)
    }

    pub(super) const fn with_admin(self, admin: Admin) -> Self {
        Self(self.0 & !0b1100 | (admin as u8) << 2)
    }

    /// With these of the upper bits set or cleared.
    pub(super) const fn with(self, bits: u8, on: bool) -> Self {
        Self(if on { self.0 | bits } else { self.0 & !bits })
    }

    pub(super) const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    pub(super) const fn is_available(self) -> bool {
        // Enabled, active or trying (0 or 1), and none of the upper bits; or enabled, and its set panics.
        self.0 <= Health::Trying as u8 || self.0 & (Self::PANIC | 0b1100) == Self::PANIC
    }

    /// Whether evidence keeps traffic away.
    pub(super) const fn is_out(self) -> bool {
        self.0 & 0b11 > Health::Trying as u8 || self.has(Self::EJECTED | Self::HELD_OFF)
    }
}
