//! Which cores take a card's interrupts, against the shards' cores.

use super::finding::Finding;
use super::nic::folder;
use super::{Plan, Root, Topology, list};

/// An interrupt of a card's queue, and the cores that may take it.
struct Interrupt {
    number: u32,
    cores: Vec<usize>,
}

pub(super) fn look(root: &Root, plan: &Plan, topology: &Topology, card: &str) -> Option<Finding> {
    let interrupts = interrupts(root, card);
    if interrupts.is_empty() {
        return None;
    }
    let subject = format!("{card} interrupts");
    let mut shards = plan.shards.clone();
    shards.sort_unstable();
    shards.dedup();
    let mut taking: Vec<_> = interrupts.iter().flat_map(|interrupt| interrupt.cores.clone()).collect();
    taking.sort_unstable();
    taking.dedup();
    let shown = format!("{} on cores {}", interrupts.len(), list::show(&taking));
    let cure = || spread(&interrupts, &shards, topology);
    // One shard is one core's work however it comes.
    if shards.len() < 2 {
        return Some(Finding::ok(&subject, shown));
    }
    if interrupts.len() > 1 && taking.len() == 1 {
        return Some(Finding::warn(&subject, shown, "one core does the kernel's work for all queues", cure()));
    }
    let burden = |shard: &usize| interrupts.iter().filter(|interrupt| interrupt.cores == [*shard]).count();
    let burdens: Vec<_> = shards.iter().map(burden).collect();
    let (least, most) = (burdens.iter().min().copied().unwrap_or(0), burdens.iter().max().copied().unwrap_or(0));
    if most == 0 || (least > 0 && most - least < 2) {
        return Some(Finding::ok(&subject, shown));
    }
    let found = format!("{shown}: shards' cores {} take {}", list::show(&shards), as_text(&burdens));
    let why = "the shard whose core takes most is full first";
    Some(match list::less(topology.online(), &shards).is_empty() && interrupts.len() < shards.len() {
        // Wherever they go, a shard is there: unless one fewer is.
        true => Finding::note(&subject, found, why, list::shards(&list::less(&shards, &taking))),
        false => Finding::warn(&subject, found, why, cure()),
    })
}

/// One interrupt after the other over the shards' cores; where there are fewer than shards, over other cores, if there are.
fn spread(interrupts: &[Interrupt], shards: &[usize], topology: &Topology) -> String {
    let spare = list::less(topology.online(), shards);
    let cores = if interrupts.len() < shards.len() && !spare.is_empty() { &spare } else { shards };
    let echo = |(interrupt, core): (&Interrupt, &usize)| {
        format!("echo {core} > /proc/irq/{}/smp_affinity_list", interrupt.number)
    };
    let lines: Vec<_> = interrupts.iter().zip(cores.iter().cycle()).map(echo).collect();
    lines.join("; ")
}

fn as_text(burdens: &[usize]) -> String {
    burdens.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Those that bring datagrams: named after the card or its device, and not for its config, its answers or what it has sent.
fn interrupts(root: &Root, card: &str) -> Vec<Interrupt> {
    let text = root.text("proc/interrupts").unwrap_or_default();
    let device = root.link_name(&format!("{}/device", folder(card)));
    let numbers = root.numbers(&format!("{}/device/msi_irqs", folder(card)), "");
    let read = |line: &str| {
        let (number, rest) = line.trim_start().split_once(':')?;
        let number: u32 = number.parse().ok()?;
        let name = rest.split_whitespace().last()?;
        let of_card = names(name, card) || device.as_deref().is_some_and(|device| names(name, device));
        let is_its = of_card || numbers.contains(&(number as usize));
        (is_its && brings_datagrams(name)).then(|| Interrupt { number, cores: cores(root, number) })
    };
    text.lines().filter_map(read).collect()
}

/// Whether `word` stands in `name` between characters that are no letters or digits: `eth1` is not in `eth10-rx-0`.
fn names(name: &str, word: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let alone = |at: usize| !joins(name[..at].chars().next_back()) && !joins(name[at + word.len()..].chars().next());
    name.match_indices(word).any(|(at, _)| alone(at))
}

fn brings_datagrams(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |word: &str| name.contains(word);
    let is_sending = (has("-tx") || has("output")) && !has("txrx") && !has("tx-rx");
    !(is_sending || has("config") || has("async") || has("mgmnt") || has("misc") || has("control") || has("fdir"))
}

/// Where the kernel has chosen one of those that may take it, that one.
fn cores(root: &Root, number: u32) -> Vec<usize> {
    let read = |name: &str| root.text(&format!("proc/irq/{number}/{name}")).map(|text| list::parse(&text));
    let effective = read("effective_affinity_list").filter(|cores| !cores.is_empty());
    effective.or_else(|| read("smp_affinity_list")).unwrap_or_default()
}

/// irqbalance moves interrupts as it likes, every ten seconds.
pub(super) fn look_for_balancer(root: &Root, plan: &Plan) -> Vec<Finding> {
    let is_balancer = |process: &usize| root.text(&format!("proc/{process}/comm")).as_deref() == Some("irqbalance");
    if !root.numbers("proc", "").iter().any(is_balancer) {
        return vec![Finding::ok("irqbalance", "not running")];
    }
    let why = "it moves the cards' interrupts from core to core, shards' cores included";
    let cure = "systemctl disable --now irqbalance";
    let is_test = plan.listen.iter().all(|place| place.interfaces.iter().all(|name| name == "lo"));
    vec![match is_test {
        true => Finding::note("irqbalance", "running", why, cure),
        false => Finding::warn("irqbalance", "running", why, cure),
    }]
}
