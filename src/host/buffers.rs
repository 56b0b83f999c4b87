//! Room for datagrams in the kernel, and those that have found none.

use super::finding::Finding;
use super::{Plan, Root};

/// Datagrams that wait for a core in all, between the network card's queue (or loopback) and the socket.
const BACKLOG: u64 = 16_384;

pub(super) fn look(root: &Root, plan: &Plan) -> Vec<Finding> {
    let lost = "what comes in while a shard is busy is dropped, and sent again half a second later";
    let full = "what does not fit leaves half a second later, when it is retransmitted";
    [
        bound(root, "rmem_max", plan.receive_buffer_bytes, lost),
        bound(root, "wmem_max", plan.send_buffer_bytes, full),
        backlog(root),
        drops(root),
        backlog_drops(root),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn bound(root: &Root, name: &str, wanted: u64, why: &str) -> Option<Finding> {
    let granted = root.number(&format!("proc/sys/net/core/{name}"))?;
    let subject = format!("net.core.{name}");
    Some(match granted >= wanted {
        true => Finding::ok(&subject, format!("{granted}, each socket asks for {wanted}")),
        false => {
            let found = format!("{granted}, but each socket asks for {wanted}");
            Finding::warn(&subject, found, why, format!("sysctl -w net.core.{name}={wanted}"))
        }
    })
}

fn backlog(root: &Root) -> Option<Finding> {
    let (subject, granted) = ("net.core.netdev_max_backlog", root.number("proc/sys/net/core/netdev_max_backlog")?);
    let why = "with RPS, and on loopback, a burst beyond it is dropped";
    let cure = format!("sysctl -w {subject}={BACKLOG}");
    Some(match granted >= BACKLOG {
        true => Finding::ok(subject, granted.to_string()),
        false => Finding::note(subject, granted.to_string(), why, cure),
    })
}

/// Of the whole machine since it was started, over both families.
fn drops(root: &Root) -> Option<Finding> {
    let of_v4 = |name| snmp(&root.text("proc/net/snmp")?, name);
    let of_v6 = |name: &str| snmp6(&root.text("proc/net/snmp6")?, &format!("Udp6{name}"));
    let both = |name| of_v4(name).map(|v4: u64| v4 + of_v6(name).unwrap_or(0));
    let (received, full, errors) = (both("InDatagrams")?, both("RcvbufErrors")?, both("InErrors")?);
    if full == 0 && errors == 0 {
        return Some(Finding::ok(
            "udp drops",
            format!("none, {received} datagrams received since the machine started"),
        ));
    }
    let found =
        format!("{full} for full receive buffers and {errors} in all, {received} received since the machine started");
    let why = "if the figure grows while siplane runs, a shard does not keep up (kernel_drops tells whose)";
    Some(Finding::note(
        "udp drops",
        found,
        why,
        "nstat -z UdpRcvbufErrors UdpInErrors to watch; more shards, or a larger rmem_max",
    ))
}

/// Two lines that begin with `Udp:`, one of names and one of values.
fn snmp(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let at = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// A name and its value on each line.
fn snmp6(text: &str, name: &str) -> Option<u64> {
    let value =
        |line: &str| line.strip_prefix(name).filter(|rest| rest.starts_with(char::is_whitespace))?.trim().parse().ok();
    text.lines().find_map(value)
}

/// The second number of each core's line, in hexadecimal.
fn backlog_drops(root: &Root) -> Option<Finding> {
    let text = root.text("proc/net/softnet_stat")?;
    let dropped = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    let dropped: u64 = text.lines().filter_map(dropped).sum();
    let why =
        "cores were handed more than they could take; if the figure grows, raise netdev_max_backlog or spread with RSS";
    let cure = format!("sysctl -w net.core.netdev_max_backlog={BACKLOG}");
    let found = format!("{dropped} since the machine started");
    (dropped > 0).then(|| Finding::note("backlog drops", found, why, cure))
}
