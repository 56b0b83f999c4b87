//! The network cards that bring the listen addresses' datagrams.

use super::finding::Finding;
use super::{Place, Plan, Root, Topology, interrupts, list, queues};

/// VLANs on bonds on cards, at most so deep.
const LAYERS_MAX: usize = 4;

/// A card's folder under `/sys`.
pub(super) fn folder(card: &str) -> String {
    format!("sys/class/net/{card}")
}

pub(super) fn look(root: &Root, plan: &Plan, topology: &Topology) -> Vec<Finding> {
    let mut found: Vec<_> = plan.listen.iter().filter_map(|place| carried(root, place)).collect();
    let mut names: Vec<_> =
        plan.listen.iter().flat_map(|place| &place.interfaces).filter(|name| *name != "lo").collect();
    names.sort();
    names.dedup();
    let mut cards: Vec<_> = names.into_iter().flat_map(|name| cards(root, name, LAYERS_MAX)).collect();
    cards.sort();
    cards.dedup();
    for card in cards {
        found.extend(nearness(root, plan, topology, &card));
        found.extend(queues::look(root, plan, &card));
        found.extend(interrupts::look(root, plan, topology, &card));
    }
    found
}

fn carried(root: &Root, place: &Place) -> Option<Finding> {
    let Place { address, interfaces } = place;
    match interfaces.as_slice() {
        [] => {
            let found = format!("no interface has the address of {address}");
            let cure = format!("ip address add {} dev INTERFACE", address.ip());
            Some(match root.number("proc/sys/net/ipv4/ip_nonlocal_bind") {
                Some(1) => Finding::note("interface", found, "nothing comes in until one has", cure),
                _ => Finding::warn("interface", found, "the start fails", cure),
            })
        }
        [one] if one == "lo" => {
            let why = "good for a test, and nobody else can call; what is said of network cards is left out";
            Some(Finding::note(
                "interface",
                format!("{address} is on loopback"),
                why,
                "listen on an address of a network card",
            ))
        }
        names => Some(Finding::ok("interface", format!("{address} is on {}", names.join(", ")))),
    }
}

/// The cards under a bond, a VLAN or a bridge; else the interface itself.
fn cards(root: &Root, name: &str, layers: usize) -> Vec<String> {
    let entries = root.names(&folder(name));
    let lower: Vec<_> = entries.iter().filter_map(|entry| entry.strip_prefix("lower_")).collect();
    if lower.is_empty() || layers == 0 {
        return vec![name.to_owned()];
    }
    lower.into_iter().flat_map(|lower| cards(root, lower, layers - 1)).collect()
}

/// The card's own node, where it has one: -1 means that it has not.
fn nearness(root: &Root, plan: &Plan, topology: &Topology, card: &str) -> Option<Finding> {
    let node: usize = root.text(&format!("{}/device/numa_node", folder(card)))?.parse().ok()?;
    let near = topology.cores_of(node);
    let far: Vec<_> = plan.shards.iter().copied().filter(|shard| !near.contains(shard)).collect();
    if !topology.has_nodes() || near.is_empty() {
        return None;
    }
    let subject = format!("{card} numa");
    if far.is_empty() {
        return Some(Finding::ok(&subject, format!("on node {node}, as the shards are")));
    }
    let found = format!("on node {node}, but shards on {} are not", list::show(&far));
    let why = "their datagrams cross from node to node";
    let cure = list::shards(&topology.physical(&list::less(near, &[plan.prober])));
    Some(match far.len() == plan.shards.len() {
        true => Finding::warn(&subject, found, why, cure),
        false => Finding::note(&subject, found, why, cure),
    })
}
