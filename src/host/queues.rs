//! A card's queues, and which cores work on them: RPS for what comes in, XPS for what leaves.

use super::finding::Finding;
use super::nic::folder;
use super::{Plan, Root, list};

pub(super) fn look(root: &Root, plan: &Plan, card: &str) -> Vec<Finding> {
    let queues = format!("{}/queues", folder(card));
    let (receiving, sending) = (root.numbers(&queues, "rx-"), root.numbers(&queues, "tx-"));
    let mut shards = plan.shards.clone();
    shards.sort_unstable();
    shards.dedup();
    let mut found = Vec::new();
    if !receiving.is_empty() {
        found.push(count(card, receiving.len(), shards.len()));
        found.push(rps(root, card, &receiving, &shards));
        found.extend((receiving.len() > 1).then(|| hash(card)));
    }
    found.extend((sending.len() > 1).then(|| xps(root, card, &sending, &shards)));
    found
}

fn count(card: &str, queues: usize, shards: usize) -> Finding {
    let (subject, found) = (format!("{card} queues"), format!("receive queues: {queues}, shards' cores: {shards}"));
    let why = "so many cores at most take datagrams from the card";
    match queues >= shards {
        true => Finding::ok(&subject, found),
        false => Finding::note(&subject, found, why, format!("ethtool -L {card} combined {shards}, or RPS below")),
    }
}

/// With a queue for each shard, RPS is one hop more; with fewer, it is the only way to spread the kernel's work.
fn rps(root: &Root, card: &str, queues: &[usize], shards: &[usize]) -> Finding {
    let subject = format!("{card} RPS");
    let path = |queue: &usize| format!("{}/queues/rx-{queue}/rps_cpus", folder(card));
    let cores = |queue: &usize| root.text(&path(queue)).map(|mask| list::parse_mask(&mask)).unwrap_or_default();
    let mut all: Vec<_> = queues.iter().flat_map(cores).collect();
    all.sort_unstable();
    all.dedup();
    let set = |mask: &str| {
        let files = format!("/sys/class/net/{card}/queues/rx-*/rps_cpus");
        format!("for file in {files}; do echo {mask} > $file; done")
    };
    let shown = list::show(&all);
    let enough = queues.len() >= shards.len();
    if all.is_empty() && enough {
        return Finding::ok(&subject, "off, each shard has a queue");
    }
    if all.is_empty() {
        let why = "the cores that take the interrupts do the kernel's work for all shards";
        return Finding::warn(&subject, "off, with fewer queues than shards", why, set(&list::mask(shards)));
    }
    if enough {
        let why = "each shard could have a queue, and a datagram is passed from core to core first";
        return Finding::note(&subject, format!("on, to cores {shown}"), why, set("0"));
    }
    let missed = list::less(shards, &all);
    match missed.is_empty() {
        true => Finding::ok(&subject, format!("to cores {shown}")),
        false => {
            let found = format!("to cores {shown}, without the shards' {}", list::show(&missed));
            let why = "those do the kernel's work for the others";
            Finding::warn(&subject, found, why, set(&list::mask(shards)))
        }
    }
}

/// What the card hashes no file tells; a trunk is one address and port, so its datagrams are one queue's in any case.
fn hash(card: &str) -> Finding {
    let why = "many cards hash UDP by address alone, and then all of a carrier's ports are one queue's";
    let cure = format!("ethtool -N {card} rx-flow-hash udp4 sdfn && ethtool -N {card} rx-flow-hash udp6 sdfn");
    Finding::note(&format!("{card} RSS"), format!("what is hashed: ethtool -n {card} rx-flow-hash udp4"), why, cure)
}

/// Without XPS the kernel hashes to a queue, whose lock several cores may then want.
fn xps(root: &Root, card: &str, queues: &[usize], shards: &[usize]) -> Finding {
    let subject = format!("{card} XPS");
    let mask = |queue: &usize| root.text(&format!("{}/queues/tx-{queue}/xps_cpus", folder(card)));
    let cores: Vec<_> = queues.iter().filter_map(mask).flat_map(|mask| list::parse_mask(&mask)).collect();
    let missed = list::less(shards, &cores);
    if missed.is_empty() {
        return Finding::ok(&subject, "each shard's core has a queue to send by");
    }
    let echo = |(queue, cores): (&usize, Vec<usize>)| {
        format!("echo {} > /sys/class/net/{card}/queues/tx-{queue}/xps_cpus", list::mask(&cores))
    };
    let share = |at: usize| shards.iter().copied().skip(at).step_by(queues.len()).collect::<Vec<_>>();
    let shares = queues.iter().enumerate().map(|(at, queue)| (queue, share(at))).filter(|(_, cores)| !cores.is_empty());
    let cure: Vec<_> = shares.map(echo).collect();
    let found = format!("no queue is for the shards' cores {}", list::show(&missed));
    Finding::note(&subject, found, "cores that send by one queue wait for each other", cure.join("; "))
}
