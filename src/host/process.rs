//! What this process may: locked memory, descriptors, privileges.

use super::finding::Finding;
use super::{Plan, Root};

/// How a service gets the privilege to load the eBPF program; a file's would do as well.
pub(super) const CAP_BPF_CURE: &str = "setcap cap_bpf,cap_net_bind_service+ep $(command -v siplane) (systemd: \
                                       AmbientCapabilities=CAP_BPF CAP_NET_BIND_SERVICE)";

// linux/capability.h
const CAP_NET_BIND_SERVICE: u32 = 10;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_NICE: u32 = 23;
const CAP_BPF: u32 = 39;

pub(super) fn look(root: &Root, plan: &Plan) -> Vec<Finding> {
    [memlock(root, plan), nofile(root, plan), privileges(root), ports(root, plan)].into_iter().flatten().collect()
}

/// RLIMIT_MEMLOCK's soft limit; `u64::MAX`: none.
pub(super) fn locked_bytes(root: &Root) -> Option<u64> {
    limit(root, "Max locked memory")
}

pub(super) fn memlock_cure(plan: &Plan) -> String {
    let mebibytes = wanted(plan).div_ceil(1 << 20).max(8);
    format!("ulimit -l {} (systemd: LimitMEMLOCK={mebibytes}M)", mebibytes << 10)
}

fn wanted(plan: &Plan) -> u64 {
    plan.locked_bytes_min.max(plan.shards.len() as u64 * plan.locked_bytes_per_shard)
}

fn memlock(root: &Root, plan: &Plan) -> Option<Finding> {
    let (bytes, shards) = (locked_bytes(root)?, plan.shards.len());
    let found = format!("{} for {shards} shards", shown(bytes));
    Some(match bytes {
        _ if bytes < plan.locked_bytes_min => {
            Finding::warn("memlock", found, "shards are plain threads", memlock_cure(plan))
        }
        _ if bytes < wanted(plan) => {
            let why =
                format!("{} are asked for, and an executor goes without what it does not get", shown(wanted(plan)));
            Finding::note("memlock", found, &why, memlock_cure(plan))
        }
        _ => Finding::ok("memlock", found),
    })
}

fn nofile(root: &Root, plan: &Plan) -> Option<Finding> {
    let (most, wanted) = (limit(root, "Max open files")?, plan.descriptors);
    let most_shown = if most == u64::MAX { String::from("unlimited") } else { most.to_string() };
    if most >= wanted {
        return Some(Finding::ok("nofile", format!("{most_shown}, {wanted} are enough")));
    }
    let why = format!("about {wanted} descriptors are needed, or the start fails");
    let cure = wanted.next_power_of_two();
    Some(Finding::warn("nofile", most_shown, &why, format!("ulimit -n {cure} (systemd: LimitNOFILE={cure})")))
}

/// Lines look like `Max locked memory         8388608              8388608              bytes`.
fn limit(root: &Root, name: &str) -> Option<u64> {
    let limits = root.text("proc/self/limits")?;
    match limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn shown(bytes: u64) -> String {
    if bytes == u64::MAX { String::from("unlimited") } else { format!("{} KiB", bytes >> 10) }
}

/// The effective ones; what must work is tried, so that this only explains.
fn privileges(root: &Root) -> Option<Finding> {
    let effective = effective(root)?;
    let has = |bit: u32| if effective >> bit & 1 == 1 { "yes" } else { "no" };
    let (bpf, bind, nice) = (has(CAP_BPF), has(CAP_NET_BIND_SERVICE), has(CAP_SYS_NICE));
    let bpf = if has(CAP_SYS_ADMIN) == "yes" { "yes" } else { bpf };
    let unprivileged = match root.number("proc/sys/kernel/unprivileged_bpf_disabled") {
        Some(0) => ", kernel.unprivileged_bpf_disabled is 0",
        _ => "",
    };
    let found = format!(
        "CAP_BPF {bpf} (for ebpf steering), CAP_NET_BIND_SERVICE {bind} (for low ports), CAP_SYS_NICE {nice} (not used){unprivileged}"
    );
    Some(Finding::ok("privileges", found))
}

fn effective(root: &Root) -> Option<u64> {
    let status = root.text("proc/self/status")?;
    u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim(), 16).ok()
}

fn ports(root: &Root, plan: &Plan) -> Option<Finding> {
    let first = root.number("proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or(1_024);
    let ports = plan.listen.iter().map(|place| place.address.port());
    let low = ports.filter(|port| *port != 0 && u64::from(*port) < first).min()?;
    let is_allowed = effective(root)? >> CAP_NET_BIND_SERVICE & 1 == 1;
    let found = format!("port {low} without CAP_NET_BIND_SERVICE");
    (!is_allowed).then(|| Finding::warn("privileges", found, "the address cannot be listened on", CAP_BPF_CURE))
}
