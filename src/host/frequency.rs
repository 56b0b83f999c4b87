//! How fast the shards' cores run, and how fast they wake.

use super::finding::Finding;
use super::{Plan, Root, list};

/// Leaving a deeper idle state takes longer than this, microseconds: as long as a turn with a full batch.
const WAKE_UP_MAX_US: u64 = 50;

const CPU: &str = "sys/devices/system/cpu";

pub(super) fn look(root: &Root, plan: &Plan) -> Vec<Finding> {
    let mut cores: Vec<_> = plan.shards.iter().copied().chain([plan.prober]).collect();
    cores.sort_unstable();
    cores.dedup();
    [Some(governor(root, &cores)), idle(root, plan, &cores)].into_iter().flatten().collect()
}

fn governor(root: &Root, cores: &[usize]) -> Finding {
    let of = |core: &usize| root.text(&format!("{CPU}/cpu{core}/cpufreq/scaling_governor")).map(|name| (*core, name));
    let governors: Vec<_> = cores.iter().filter_map(of).collect();
    let slow: Vec<_> = governors.iter().filter(|(_, name)| name != "performance").collect();
    match slow.first() {
        _ if governors.is_empty() => Finding::ok("governor", "none: the clock is not this system's to set"),
        None => Finding::ok("governor", format!("performance on cores {}", list::show(cores))),
        Some((_, name)) => {
            let slow: Vec<_> = slow.iter().map(|(core, _)| *core).collect();
            let slow = list::show(&slow);
            let why = "a core that has slowed down answers late until it is fast again";
            let cure = format!("cpupower -c {slow} frequency-set -g performance");
            Finding::warn("governor", format!("\"{name}\" on cores {slow}"), why, cure)
        }
    }
}

fn idle(root: &Root, plan: &Plan, cores: &[usize]) -> Option<Finding> {
    let deepest = |core: &usize| deepest(root, *core).map(|latency_us| (*core, latency_us));
    let latencies: Vec<_> = cores.iter().filter_map(deepest).collect();
    let slow: Vec<_> = latencies.iter().filter(|(_, latency_us)| *latency_us > WAKE_UP_MAX_US).collect();
    let most = latencies.iter().map(|(_, latency_us)| *latency_us).max()?;
    if slow.is_empty() || plan.busy_poll {
        return Some(Finding::ok("idle states", format!("cores wake within {most} us")));
    }
    let slow: Vec<_> = slow.iter().map(|(core, _)| *core).collect();
    let slow = list::show(&slow);
    let why = "the first datagram after a pause waits for the core to wake";
    let cure = format!("cpupower -c {slow} idle-set -D {WAKE_UP_MAX_US}");
    Some(Finding::note("idle states", format!("cores {slow} may take {most} us to wake"), why, cure))
}

/// The longest way out of an idle state that is not disabled, microseconds.
fn deepest(root: &Root, core: usize) -> Option<u64> {
    let states = format!("{CPU}/cpu{core}/cpuidle");
    let latency = |state: usize| {
        let is_disabled = root.number(&format!("{states}/state{state}/disable")) == Some(1);
        root.number(&format!("{states}/state{state}/latency")).filter(|_| !is_disabled)
    };
    root.numbers(&states, "state").into_iter().filter_map(latency).max()
}
