//! What a clock read and a system call cost.

use super::finding::Finding;
use super::root::Root;

const CLOCK: &str = "sys/devices/system/clocksource/clocksource0";

/// Clocks that are read without a system call.
const FAST: [&str; 5] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];

pub(super) fn look(root: &Root) -> Vec<Finding> {
    [clock(root), mitigations(root)].into_iter().flatten().collect()
}

fn clock(root: &Root) -> Option<Finding> {
    let current = root.text(&format!("{CLOCK}/current_clocksource"))?;
    if FAST.contains(&current.as_str()) {
        return Some(Finding::ok("clock", current));
    }
    let available = root.text(&format!("{CLOCK}/available_clocksource")).unwrap_or_default();
    let fast = FAST.iter().find(|name| available.split_whitespace().any(|word| word == **name));
    let cure = match fast {
        Some(name) => format!("echo {name} > /{CLOCK}/current_clocksource"),
        None => String::from("boot with tsc=reliable if the hardware's counters are in step (dmesg | grep -i tsc)"),
    };
    Some(Finding::warn("clock", current, "each turn of a shard reads it, by a slow system call", cure))
}

/// Those that make every entry into the kernel dearer: a vulnerability, and how its mitigation begins. Enhanced IBRS, retpolines and the
/// like cost next to nothing. Known, not judged: who shares a machine needs them.
const DEAR: [(&str, &str); 5] = [
    ("meltdown", "PTI"),
    ("retbleed", "IBRS"),
    ("retbleed", "untrained return"),
    ("spectre_v2", "IBRS"),
    ("mds", "Clear CPU buffers"),
];

fn mitigations(root: &Root) -> Option<Finding> {
    let folder = "sys/devices/system/cpu/vulnerabilities";
    let is_on = |(name, way): &(&str, &str)| {
        let text = root.text(&format!("{folder}/{name}")).unwrap_or_default();
        text.strip_prefix("Mitigation: ").is_some_and(|text| text.starts_with(way))
    };
    let on: Vec<_> = DEAR.iter().filter(|dear| is_on(dear)).map(|(name, way)| format!("{name} ({way})")).collect();
    let cure =
        "mitigations=off on the kernel command line, only where nothing else runs and all who log in are trusted";
    (!on.is_empty()).then(|| Finding::note("mitigations", on.join(", "), "each system call costs more", cure))
}
