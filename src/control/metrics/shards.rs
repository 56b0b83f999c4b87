//! The shards: what each has counted and holds, and whether load has drifted.

use super::page::{Histogram, Labels, Page};
use super::process::one;
use crate::control::Control;
use crate::proxy::Stats;
use crate::shard::{IoStats, Levels, Snapshot, Steering, TURN_BOUNDS_US, TurnTimes};
use crate::sip::Defect;
use core::fmt::Error;

/// The level that is not of a shard.
const DRIFT: &str = "drift";

pub(super) fn write(page: &mut Page<'_>, control: &Control) -> Result<(), Error> {
    let shards: Vec<Snapshot> = control.shards().collect();
    let labels = |shard: usize| Labels::none().with("shard", shard);
    for (at, (name, help)) in IoStats::NAMES.into_iter().zip(IoStats::HELP).enumerate() {
        let rows = shards.iter().enumerate().map(|(shard, snapshot)| (labels(shard), snapshot.io.as_array()[at]));
        page.counters(&format!("io_{name}"), help, rows)?;
    }
    for (at, (name, help)) in Stats::NAMES.into_iter().zip(Stats::HELP).enumerate() {
        let rows = shards.iter().enumerate().map(|(shard, snapshot)| (labels(shard), snapshot.proxy.as_array()[at]));
        page.counters(name, help, rows)?;
    }
    for (at, (name, help)) in
        Levels::NAMES.into_iter().zip(Levels::HELP).enumerate().filter(|(_, (name, _))| *name != DRIFT)
    {
        let rows = shards.iter().enumerate();
        let rows = rows.map(|(shard, snapshot)| (labels(shard), snapshot.levels.as_array()[at] as f64));
        page.gauges(&format!("held_{name}"), help, rows)?;
    }
    turn_times(page, &shards)?;
    granted(page, control)?;
    let defects = shards.iter().enumerate().flat_map(|(shard, snapshot)| {
        let counts = Defect::ALL.into_iter().zip(snapshot.defects.0);
        counts.map(move |(defect, count)| (labels(shard).with("reason", defect.label()), count))
    });
    page.counters(
        "refused_messages",
        "Messages that were dropped or answered because of what was wrong with them.",
        defects,
    )?;
    let drift = control.snapshot().levels.drift as f64;
    page.gauges(
        "load_drift",
        "Call load that no call accounts for, by the last audit: 0, or there is a bug.",
        one(drift),
    )
}

fn turn_times(page: &mut Page<'_>, shards: &[Snapshot]) -> Result<(), Error> {
    let histogram = |times: &TurnTimes| {
        let bounds = TURN_BOUNDS_US.into_iter().map(|micros| micros as f64 / 1e6).chain([f64::INFINITY]);
        Histogram { sum: times.sum_ns as f64 / 1e9, buckets: bounds.zip(times.counts).collect() }
    };
    let rows = shards.iter().enumerate();
    let rows = rows.map(|(shard, snapshot)| (Labels::none().with("shard", shard), histogram(&snapshot.turns)));
    page.histograms("turn_seconds", "How long a turn of the loop takes, of one turn in 64.", rows)
}

/// How the shards reach the kernel, and what it gave them.
fn granted(page: &mut Page<'_>, control: &Control) -> Result<(), Error> {
    let Some(grants) = control.grants() else { return Ok(()) };
    let ways = Labels::none().with("engine", grants.engine.name()).with("steering", grants.steering.name());
    page.info("io", "How shards reach the kernel, and who finds the shard of a datagram.", &ways)?;
    let refused = [Steering::Ebpf, Steering::Classic]
        .map(|way| (Labels::none().with("way", way.name()), f64::from(u8::from(grants.refused.contains(&way)))));
    page.gauges("steering_refused", "Whether the kernel has refused this way of steering.", refused)?;
    let buffers = grants.receive_buffers.iter().enumerate();
    let buffers = buffers.map(|(shard, bytes)| (Labels::none().with("shard", shard), *bytes as f64));
    page.gauges("receive_buffer_bytes", "What the kernel grants the smallest receive buffer of a shard.", buffers)
}
