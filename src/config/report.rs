//! What a set makes of the load that its destinations report: `load_header`, `load_from` and what belongs to them.

use super::reader::Section;
use super::set::{Surroundings, header_name};
use super::{ProbePolicy, ProberSettings};
use crate::dispatcher::{Algorithm, DestinationSpec, LoadFrom, ReportSpec};
use core::time::Duration;

/// The words for `load_from`.
pub const LOAD_SOURCES: [(&str, LoadFrom); 3] =
    [("calls", LoadFrom::Calls), ("reported", LoadFrom::Reported), ("both", LoadFrom::Both)];

/// Reads the keys; `destinations` and `algorithm` are those of the same set.
pub(super) fn read(
    section: &mut Section<'_>,
    algorithm: Algorithm,
    destinations: &[DestinationSpec],
    around: &Surroundings<'_>,
) -> ReportSpec {
    let default = ReportSpec::default();
    let header_item = section.item("load_header");
    let header = header_item.as_ref().and_then(header_name);
    let from_item = section.item("load_from");
    let load_from = from_item.as_ref().and_then(|item| item.choice(&LOAD_SOURCES)).unwrap_or(default.load_from);
    let max_age = section.seconds("load_max_age_s", 1..=3_600, default.max_age);
    let bounds_item = section.item("reported_maxload");
    let bounds = bounds_item.as_ref().and_then(|item| item.flag()).unwrap_or(default.bounds);
    let reports = (load_from != LoadFrom::Calls).then_some(from_item).flatten();
    if let Some(item) = reports.as_ref().filter(|_| !matches!(algorithm, Algorithm::CallLoad(_))) {
        item.warn(item.shown(), "the algorithm call-load with it, which alone goes by load");
    }
    for item in reports.iter().chain(bounds_item.iter().filter(|_| bounds)).filter(|_| header_item.is_none()) {
        item.warn(format!("{} without load_header", item.shown()), "load_header with it, or nothing is ever reported");
    }
    if let Some(item) = header_item {
        let intervals: Vec<Duration> = destinations.iter().filter_map(|spec| interval(spec, around.prober)).collect();
        let late = intervals.iter().filter(|interval| **interval >= max_age).count();
        if intervals.is_empty() && !destinations.is_empty() {
            item.warn(
                format!("{}, and no destination that is probed while it is active", item.shown()),
                "probes in [prober]",
            );
        } else if late > 0 {
            let found =
                format!("{late} destinations that report less often than load_max_age_s ({})", max_age.as_secs());
            item.warn(found, "a load_max_age_s of two or three probe intervals");
        }
    }
    ReportSpec { header, load_from, max_age, bounds }
}

/// From report to report; none where an active destination is not probed.
fn interval(spec: &DestinationSpec, prober: &ProberSettings) -> Option<Duration> {
    let probed = match prober.policy {
        ProbePolicy::All => !spec.probe.never,
        ProbePolicy::Flagged => spec.probe.flagged && !spec.probe.never,
        ProbePolicy::WhenInactive => false,
    };
    let interval = spec.probe.interval.unwrap_or(prober.interval);
    (probed && !interval.is_zero()).then_some(interval)
}
