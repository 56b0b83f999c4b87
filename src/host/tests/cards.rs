//! Network cards: addresses, queues, interrupts, RPS and XPS.

use super::Machine;
use crate::host::Place;

fn on(address: &str, interfaces: &[&str]) -> Place {
    Place { address: address.parse().unwrap(), interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn loopback_is_a_test() {
    let news = Machine::tuned().planned(|plan| plan.listen = vec![on("127.0.0.1:5060", &["lo"])]).news();
    assert_eq!(
        news,
        [
            "note  interface: 127.0.0.1:5060 is on loopback; good for a test, and nobody else can call; what is said of network cards is \
             left out; cure: listen on an address of a network card"
        ]
    );
}

#[test]
fn an_address_that_no_interface_has_is_warned_of_unless_it_may_come_later() {
    let nowhere = Machine::tuned().planned(|plan| plan.listen.push(on("192.0.2.9:5060", &[])));
    nowhere.says(
        "warn  interface: no interface has the address of 192.0.2.9:5060; the start fails; \
         cure: ip address add 192.0.2.9 dev INTERFACE",
    );
    nowhere.with("proc/sys/net/ipv4/ip_nonlocal_bind", "1").says(
        "note  interface: no interface has the address of 192.0.2.9:5060; nothing comes in until one has; \
         cure: ip address add 192.0.2.9 dev INTERFACE",
    );
}

#[test]
fn a_vlan_on_a_bond_leads_to_its_cards() {
    let bond = Machine::tuned()
        .with("sys/class/net/bond0.7/lower_bond0", "->../bond0")
        .with("sys/class/net/bond0/lower_eth0", "->../eth0")
        .with("sys/class/net/bond0/lower_eth1", "->../eth1")
        .with("sys/class/net/eth1/queues/rx-0/rps_cpus", "0e")
        .planned(|plan| plan.listen = vec![on("192.0.2.1:5060", &["bond0.7"])]);
    let news = bond.news();
    assert_eq!(
        news,
        [
            "ok    interface: 192.0.2.1:5060 is on bond0.7",
            "note  eth1 queues: receive queues: 1, shards' cores: 3; so many cores at most take datagrams from the card; \
             cure: ethtool -L eth1 combined 3, or RPS below",
            "ok    eth1 RPS: to cores 1-3",
        ]
    );
    assert!(bond.inspect().iter().any(|finding| finding.subject == "eth0 interrupts"));
}

#[test]
fn one_queue_without_rps_is_warned_of_and_with_rps_it_is_well() {
    let rx = |queue: u32| format!("sys/class/net/eth0/queues/rx-{queue}");
    let one = Machine::tuned().without(&rx(1)).without(&rx(2)).without(&rx(3));
    let queues = "note  eth0 queues: receive queues: 1, shards' cores: 3; so many cores at most take datagrams from the card; \
                  cure: ethtool -L eth0 combined 3, or RPS below";
    let off = "warn  eth0 RPS: off, with fewer queues than shards; the cores that take the interrupts do the kernel's work for all \
               shards; cure: for file in /sys/class/net/eth0/queues/rx-*/rps_cpus; do echo e > $file; done";
    assert_eq!(one.news(), [queues, off]);
    let path = rx(0) + "/rps_cpus";
    assert_eq!(one.clone().with(&path, "0e").news(), [queues, "ok    eth0 RPS: to cores 1-3"]);
    let some = "warn  eth0 RPS: to cores 1, without the shards' 2-3; those do the kernel's work for the others; \
                cure: for file in /sys/class/net/eth0/queues/rx-*/rps_cpus; do echo e > $file; done";
    assert_eq!(one.with(&path, "02").news(), [queues, some]);
}

#[test]
fn rps_with_a_queue_for_each_shard_is_noted() {
    Machine::tuned().with("sys/class/net/eth0/queues/rx-2/rps_cpus", "ff").says(
        "note  eth0 RPS: on, to cores 0-7; each shard could have a queue, and a datagram is passed from core to core first; \
         cure: for file in /sys/class/net/eth0/queues/rx-*/rps_cpus; do echo 0 > $file; done",
    );
}

#[test]
fn sending_queues_that_are_nobodys_are_noted() {
    let xps = |queue: u32| format!("sys/class/net/eth0/queues/tx-{queue}/xps_cpus");
    let off = Machine::tuned().with(&xps(0), "00").with(&xps(1), "00").without(&xps(2)).without(&xps(3));
    off.says(
        "note  eth0 XPS: no queue is for the shards' cores 1-3; cores that send by one queue wait for each other; cure: \
         echo a > /sys/class/net/eth0/queues/tx-0/xps_cpus; echo 4 > /sys/class/net/eth0/queues/tx-1/xps_cpus",
    );
}

#[test]
fn interrupts_on_one_core_are_warned_of_with_a_core_for_each() {
    let mut one = Machine::tuned();
    for number in 40..44 {
        one = one.with(&format!("proc/irq/{number}/effective_affinity_list"), "0");
    }
    one.says(
        "warn  eth0 interrupts: 4 on cores 0; one core does the kernel's work for all queues; cure: \
         echo 1 > /proc/irq/40/smp_affinity_list; echo 2 > /proc/irq/41/smp_affinity_list; \
         echo 3 > /proc/irq/42/smp_affinity_list; echo 1 > /proc/irq/43/smp_affinity_list",
    );
    let single = one.planned(|plan| plan.shards = vec![1]).news();
    assert!(single.contains(&String::from("ok    eth0 interrupts: 4 on cores 0")), "{single:?}");
}

#[test]
fn interrupts_that_burden_some_shards_more_are_warned_of() {
    let uneven = Machine::tuned()
        .without("proc/irq/42/effective_affinity_list")
        .with("proc/irq/42/smp_affinity_list", "1")
        .with("proc/irq/43/effective_affinity_list", "1");
    uneven.says(
        "warn  eth0 interrupts: 4 on cores 1-2: shards' cores 1-3 take 3, 1, 0; the shard whose core takes most is full first; cure: \
         echo 1 > /proc/irq/40/smp_affinity_list; echo 2 > /proc/irq/41/smp_affinity_list; \
         echo 3 > /proc/irq/42/smp_affinity_list; echo 1 > /proc/irq/43/smp_affinity_list",
    );
    // On cores that no shard has they are nobody's burden.
    let mut away = Machine::tuned();
    for number in 40..44 {
        away = away.with(&format!("proc/irq/{number}/effective_affinity_list"), &(number - 36).to_string());
    }
    away.says("ok    eth0 interrupts: 4 on cores 4-7");
}

#[test]
fn a_single_interrupt_goes_to_a_core_without_a_shard_or_a_shard_makes_room() {
    let mut single = Machine::tuned().without("sys/class/net/eth0/queues").without("sys/class/net/eth0/device");
    single = single.with("sys/class/net/eth0/device", "->../../../virtio2");
    single = single.with(
        "proc/interrupts",
        " CPU0\n 50: 1 PCI-MSIX virtio2-config\n 51: 1 PCI-MSIX virtio2-input.0\n 52: 1 X virtio2-output.0",
    );
    single = single.with("proc/irq/51/effective_affinity_list", "2");
    single.says(
        "warn  eth0 interrupts: 1 on cores 2: shards' cores 1-3 take 0, 1, 0; the shard whose core takes most is full first; \
         cure: echo 0 > /proc/irq/51/smp_affinity_list",
    );
    single.with("sys/devices/system/cpu/online", "1-3").says(
        "note  eth0 interrupts: 1 on cores 2: shards' cores 1-3 take 0, 1, 0; the shard whose core takes most is full first; \
         cure: shards = [1, 3] in the config",
    );
}

#[test]
fn interrupts_without_a_telling_name_are_found_by_the_device() {
    let named = Machine::tuned()
        .without("sys/class/net/eth0/device")
        .with("sys/class/net/eth0/device/msi_irqs/60", "msix")
        .with("proc/interrupts", " CPU0\n 60: 1 PCI-MSIX mlx5_comp0@pci:0000:01:00.0\n 61: 1 PCI-MSIX nvme0q1")
        .with("proc/irq/60/effective_affinity_list", "0");
    named.says("ok    eth0 interrupts: 1 on cores 0");
}

#[test]
fn irqbalance_is_warned_of_where_there_is_a_card() {
    let balanced = Machine::tuned().with("proc/321/comm", "irqbalance\n");
    balanced.says(
        "warn  irqbalance: running; it moves the cards' interrupts from core to core, shards' cores included; \
         cure: systemctl disable --now irqbalance",
    );
    let news = balanced.planned(|plan| plan.listen = vec![on("127.0.0.1:5060", &["lo"])]).news();
    assert!(news.iter().any(|line| line.starts_with("note  irqbalance: running; ")), "{news:?}");
}
