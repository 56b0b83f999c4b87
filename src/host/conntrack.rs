//! Whether the kernel keeps a table entry for each of our datagrams.

use super::finding::Finding;
use super::{Plan, Root};

const SUBJECT: &str = "conntrack";

pub(super) fn look(root: &Root, plan: &Plan) -> Vec<Finding> {
    let mut ports: Vec<_> = plan.listen.iter().map(|place| place.address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    judge(root, &ports).into_iter().collect()
}

fn judge(root: &Root, ports: &[u16]) -> Option<Finding> {
    let Some(entries) = root.number("proc/sys/net/netfilter/nf_conntrack_count") else {
        return Some(Finding::ok(SUBJECT, "not loaded"));
    };
    let why = "each datagram costs a look into a shared table, and a full table drops calls";
    let shown: Vec<_> = ports.iter().map(u16::to_string).collect();
    let shown = shown.join(", ");
    Some(match root.text("proc/net/nf_conntrack") {
        Some(table) if table.lines().any(|line| is_ours(line, ports)) => {
            Finding::warn(SUBJECT, format!("tracks UDP port {shown}, with {entries} entries in all"), why, cure(&shown))
        }
        // Empty while nothing is tracked at all, as without any rule that asks for it.
        Some(_) if entries == 0 => Finding::ok(SUBJECT, "loaded, and tracks nothing"),
        Some(_) => Finding::ok(SUBJECT, format!("tracks {entries} flows, none of them on UDP port {shown}")),
        None if entries == 0 => Finding::ok(SUBJECT, "loaded, and tracks nothing"),
        None => Finding::note(SUBJECT, format!("tracks {entries} flows; only root may see whose"), why, cure(&shown)),
    })
}

/// Lines look like `ipv4 2 udp 17 29 src=… dst=… sport=5080 dport=5060 …`.
fn is_ours(line: &str, ports: &[u16]) -> bool {
    let has = |word: &str| {
        let port = word.strip_prefix("sport=").or_else(|| word.strip_prefix("dport="))?;
        port.parse().ok().filter(|port| ports.contains(port))
    };
    let mut words = line.split_whitespace();
    words.by_ref().nth(2) == Some("udp") && words.any(|word| has(word).is_some())
}

fn cure(ports: &str) -> String {
    format!(
        "nft 'add table inet siplane; \
         add chain inet siplane in {{ type filter hook prerouting priority raw; }}; \
         add chain inet siplane out {{ type filter hook output priority raw; }}; \
         add rule inet siplane in udp dport {{ {ports} }} notrack; \
         add rule inet siplane out udp sport {{ {ports} }} notrack'"
    )
}
