//! What the kernel command line keeps off the shards' cores.

use super::finding::Finding;
use super::{Plan, Root, Topology, list};

/// Each word with what runs on a shard's core without it.
const WORDS: [(&str, &str); 3] = [
    ("isolcpus", "the scheduler puts other threads there"),
    ("nohz_full", "a timer tick interrupts the shard a hundred times a second or more"),
    ("rcu_nocbs", "other cores' deferred kernel work is done there"),
];

pub(super) fn look(root: &Root, plan: &Plan, topology: &Topology) -> Vec<Finding> {
    let Some(line) = root.text("proc/cmdline") else { return Vec::new() };
    let mut shards = plan.shards.clone();
    shards.sort_unstable();
    shards.dedup();
    // A machine where shards have every core has nowhere else to put the rest.
    let spare = list::less(topology.online(), &shards);
    let given: Vec<_> = WORDS.iter().map(|(word, _)| value(&line, word, topology)).collect();
    if given.iter().all(Option::is_none) {
        let found = "neither isolcpus nor nohz_full nor rcu_nocbs";
        return vec![match spare.is_empty() && !topology.online().is_empty() {
            true => {
                Finding::ok("isolation", format!("{found}: shards have every core, and share them with the system"))
            }
            false => {
                Finding::note("isolation", found, "shards share their cores with the system", cure(&shards, topology))
            }
        }];
    }
    let mut found: Vec<_> =
        WORDS.iter().zip(given).map(|(word, given)| judge(*word, given, &shards, topology)).collect();
    found.extend(unused(topology, &shards));
    found
}

fn judge((word, why): (&str, &str), given: Option<Vec<usize>>, shards: &[usize], topology: &Topology) -> Finding {
    let Some(given) = given else {
        return Finding::note("isolation", format!("no {word}"), why, cure(shards, topology));
    };
    let missed = list::less(shards, &given);
    if missed.is_empty() {
        return Finding::ok("isolation", format!("{word} has the shards' cores"));
    }
    let found = format!("{word}={} leaves out the shards' cores {}", list::show(&given), list::show(&missed));
    Finding::warn("isolation", found, why, cure(shards, topology))
}

fn unused(topology: &Topology, shards: &[usize]) -> Option<Finding> {
    let unused = list::less(topology.isolated(), shards);
    let found = format!("no shard is on the isolated cores {}", list::show(&unused));
    let cure = list::shards(&topology.physical(topology.isolated()));
    (!unused.is_empty()).then(|| Finding::note("isolation", found, "nobody uses a core that was set apart", cure))
}

/// The cores that a word of the command line names, `None` without the word.
fn value(line: &str, word: &str, topology: &Topology) -> Option<Vec<usize>> {
    // The kernel also takes `all` for every core and `N` for the last one.
    let last = topology.online().last().copied().unwrap_or(0);
    let cores = |list: &str| match list.split(',').any(|part| part == "all") {
        true => topology.online().to_vec(),
        false => list::parse(&list.replace("-N", &format!("-{last}"))),
    };
    let value = |part: &str| part.strip_prefix(word)?.strip_prefix('=').map(cores);
    line.split_whitespace().find_map(value)
}

/// Debian's way to add to the command line.
fn cure(shards: &[usize], topology: &Topology) -> String {
    let apart = to_set_apart(shards, topology);
    let cores = list::show(&apart);
    format!(
        "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX isolcpus=managed_irq,domain,{cores} nohz_full={cores} rcu_nocbs={cores}\"' \
         > /etc/default/grub.d/siplane.cfg && update-grub && reboot, and {}",
        list::shards(&apart)
    )
}

/// As many cores as shards have, their own first. The kernel keeps the first core for itself: that one cannot be set apart.
fn to_set_apart(shards: &[usize], topology: &Topology) -> Vec<usize> {
    let others = list::less(topology.online(), shards);
    let all: Vec<_> = shards.iter().chain(&others).copied().filter(|core| *core != 0).collect();
    let mut apart: Vec<_> = topology.physical(&all).into_iter().take(shards.len()).collect();
    apart.sort_unstable();
    apart
}
