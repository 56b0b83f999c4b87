//! Shards against physical cores and memory.

use super::finding::Finding;
use super::{Plan, Root, Topology, list};

pub(super) fn look(root: &Root, plan: &Plan, topology: &Topology) -> Vec<Finding> {
    let mut found = vec![cores(plan, topology)];
    if topology.has_nodes() {
        found.push(memory(plan, topology));
        found.extend(balancing(root));
    }
    found
}

fn cores(plan: &Plan, topology: &Topology) -> Finding {
    let shards = &plan.shards;
    let pairs = || (0..shards.len()).flat_map(|b| (0..b).map(move |a| (shards[a], shards[b])));
    let cure = list::shards(&topology.physical(shards));
    if let Some((core, _)) = pairs().find(|(a, b)| a == b) {
        let found = format!("{} shards, of which several on core {core}", shards.len());
        return Finding::warn("cores", found, "they take turns, each call waits for its neighbour's", cure);
    }
    let hyperthreads = pairs().filter(|(a, b)| topology.is_one_core(*a, *b));
    let together: Vec<_> = hyperthreads.map(|(a, b)| format!("{a} and {b}")).collect();
    if !together.is_empty() {
        let found = format!("shards on cores {}, which are one physical core", together.join(", "));
        return Finding::warn("cores", found, "what one shard gains the other loses", cure);
    }
    let prober = plan.prober;
    if shards.contains(&prober) {
        let found = format!("shards on {}, the prober with one of them on {prober}", list::show(shards));
        let why = "with many destinations the prober delays that shard's calls";
        let spare = list::less(topology.online(), shards);
        let is_apart = |core: &&usize| !shards.iter().any(|shard| topology.is_one_core(*shard, **core));
        return match spare.iter().find(is_apart).or(spare.last()) {
            Some(core) => Finding::note("cores", found, why, format!("core = {core} under [prober] in the config")),
            None => Finding::ok("cores", found),
        };
    }
    Finding::ok("cores", format!("shards on {}, each a physical core; the prober on {prober}", list::show(shards)))
}

/// Each shard's memory is on its own node in any case; what they share, and the network card, is on one.
fn memory(plan: &Plan, topology: &Topology) -> Finding {
    let mut nodes: Vec<_> = plan.shards.iter().filter_map(|core| topology.node(*core)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    match nodes.as_slice() {
        [] => Finding::ok("numa", "the kernel does not tell which memory is near to the shards"),
        [node] => Finding::ok("numa", format!("all shards are on node {node}, and their memory with them")),
        [first, ..] => {
            let found = format!("shards are on nodes {}", list::show(&nodes));
            let why =
                "each has its own memory near, but hand-offs and the network card's datagrams cross from node to node";
            let cure = list::shards(&topology.physical(&list::less(topology.cores_of(*first), &[plan.prober])));
            Finding::note("numa", found, why, cure)
        }
    }
}

fn balancing(root: &Root) -> Option<Finding> {
    let is_on = root.number("proc/sys/kernel/numa_balancing")? != 0;
    let why =
        "the kernel unmaps pages to learn who uses them: page faults in the data path, for threads that never move";
    let cure = "sysctl -w kernel.numa_balancing=0";
    is_on.then(|| Finding::warn("numa", "kernel.numa_balancing is on", why, cure))
}
