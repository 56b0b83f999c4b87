//! What slots know about the life of their destination besides its standing: one field of a slot, in five parts.

use core::sync::atomic::{AtomicU64, Ordering};

use super::events::Why;
use super::evidence::EvidenceCells;
use super::latency::LatencyCells;
use super::overload::OverloadCells;
use super::report::ReportCells;
use super::setup::SetupCells;
use super::state::{StateIndex, States};

/// The vitals of one slot; all zero is a destination of which nothing is known.
#[derive(Default)]
pub(super) struct Vitals {
    pub(super) latency: LatencyCells,
    pub(super) evidence: EvidenceCells,
    pub(super) report: ReportCells,
    pub(super) overload: OverloadCells,
    pub(super) setup: SetupCells,
    /// [`Why`] of the last change of standing.
    why: AtomicU64,
}

impl Vitals {
    /// Forgets the last destination in this slot.
    pub(super) fn reset(&self) {
        self.latency.reset();
        self.evidence.reset();
        self.report.reset();
        self.overload.reset();
        self.setup.reset();
        self.why.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_why(&self, why: Why) {
        self.why.store(why.packed(), Ordering::Relaxed);
    }
}

impl States {
    /// Why health, admin, ejection or hold-off last changed, and who caused it; [`States::last_change`] has the date.
    #[must_use]
    pub fn last_reason(&self, index: StateIndex) -> Why {
        Why::unpacked(self.slot(index).vitals.why.load(Ordering::Relaxed))
    }
}
