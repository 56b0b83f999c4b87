//! `[set.passive]`: how calls themselves judge a destination.

use super::reader::Section;
use crate::dispatcher::{PanicRule, PassiveSpec};

/// The words for `panic`.
pub const PANIC_RULES: [(&str, PanicRule); 2] = [("nobody", PanicRule::Nobody), ("everybody", PanicRule::Everybody)];

/// Reads `[set.passive]`; what is not there has its default.
pub(super) fn read(mut section: Section<'_>) -> PassiveSpec {
    let default = PassiveSpec::default();
    let spec = PassiveSpec {
        timeouts_in_row: section.number("timeouts_in_row", 0..=1_000, default.timeouts_in_row),
        unreachables_in_row: section.number("unreachables_in_row", 0..=1_000, default.unreachables_in_row),
        faults_percent: section.number("faults_percent", 0..=100, default.faults_percent),
        faults_window: section.seconds("faults_window_s", 1..=3_600, default.faults_window),
        faults_answers_min: section.number("faults_answers_min", 1..=1_000_000, default.faults_answers_min),
        ejection_base: section.seconds("ejection_base_s", 1..=3_600, default.ejection_base),
        ejection_max: section.seconds("ejection_max_s", 1..=86_400, default.ejection_max),
        out_percent_max: section.number("out_percent_max", 0..=100, default.out_percent_max),
        hold_off_max: section.seconds("hold_off_max_s", 0..=86_400, default.hold_off_max),
        panic: section.choice("panic", &PANIC_RULES, default.panic),
    };
    section.finish();
    spec
}
