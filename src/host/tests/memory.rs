//! Buffers, drops, conntrack, memory and the clock.

use super::Machine;

#[test]
fn buffers_that_the_kernel_caps_are_warned_of() {
    let core = |name: &str, value: &str| Machine::tuned().with(&format!("proc/sys/net/core/{name}"), value);
    core("rmem_max", "212992").says(
        "warn  net.core.rmem_max: 212992, but each socket asks for 4194304; what comes in while a shard is busy is dropped, and sent \
         again half a second later; cure: sysctl -w net.core.rmem_max=4194304",
    );
    core("wmem_max", "212992").says(
        "warn  net.core.wmem_max: 212992, but each socket asks for 1048576; what does not fit leaves half a second later, when it is \
         retransmitted; cure: sysctl -w net.core.wmem_max=1048576",
    );
    core("netdev_max_backlog", "1000").says(
        "note  net.core.netdev_max_backlog: 1000; with RPS, and on loopback, a burst beyond it is dropped; \
         cure: sysctl -w net.core.netdev_max_backlog=16384",
    );
}

#[test]
fn datagrams_that_were_dropped_so_far_are_counted_over_both_families() {
    let dropped = Machine::tuned()
        .with(
            "proc/net/snmp",
            "Udp: InDatagrams InErrors RcvbufErrors\nUdp: 900 8 5\nUdpLite: InDatagrams\nUdpLite: 0\n",
        )
        .with("proc/net/snmp6", "Udp6InDatagrams 100\nUdp6RcvbufErrors 2\nUdp6InErrors 2\nUdpLite6InErrors 9\n");
    dropped.says(
        "note  udp drops: 7 for full receive buffers and 10 in all, 1000 received since the machine started; if the figure grows while \
         siplane runs, a shard does not keep up (kernel_drops tells whose); \
         cure: nstat -z UdpRcvbufErrors UdpInErrors to watch; more shards, or a larger rmem_max",
    );
    Machine::tuned().with("proc/net/softnet_stat", "ff 0000000a 0\nff 00000010 0\n").says(
        "note  backlog drops: 26 since the machine started; cores were handed more than they could take; if the figure grows, raise \
         netdev_max_backlog or spread with RSS; cure: sysctl -w net.core.netdev_max_backlog=16384",
    );
}

#[test]
fn tracked_calls_are_warned_of_with_the_rules_that_leave_them_alone() {
    let count = "proc/sys/net/netfilter/nf_conntrack_count";
    let (table, why) =
        ("proc/net/nf_conntrack", "each datagram costs a look into a shared table, and a full table drops calls");
    let cure = "cure: nft 'add table inet siplane; add chain inet siplane in { type filter hook prerouting priority raw; }; add chain \
                inet siplane out { type filter hook output priority raw; }; add rule inet siplane in udp dport { 5060 } notrack; add rule \
                inet siplane out udp sport { 5060 } notrack'";
    let entry = |protocol: &str, port: u32| {
        format!(
            "ipv4 2 {protocol} 17 29 src=192.0.2.7 dst=192.0.2.1 sport=5080 dport={port} src=192.0.2.1 dst=192.0.2.7 use=2\n"
        )
    };
    let loaded = Machine::tuned().with(count, "3\n");
    loaded.says(&format!("note  conntrack: tracks 3 flows; only root may see whose; {why}; {cure}"));
    let others = loaded.clone().with(table, &(entry("tcp", 5060) + &entry("udp", 53)));
    others.says("ok    conntrack: tracks 3 flows, none of them on UDP port 5060");
    loaded
        .clone()
        .with(table, &(entry("udp", 53) + &entry("udp", 5060)))
        .says(&format!("warn  conntrack: tracks UDP port 5060, with 3 entries in all; {why}; {cure}"));
    loaded.with(count, "0").says("ok    conntrack: loaded, and tracks nothing");
}

#[test]
fn memory_that_may_be_late_is_noted() {
    Machine::tuned().with("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never").says(
        "note  hugepages: transparent hugepages are always made; a first touch may wait until 2 MiB are put together, and receive \
         buffers take more memory than they use; cure: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
    );
    let swaps = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2  partition 1 0 -2\n/swapfile file 1 0 -3\n";
    Machine::tuned().with("proc/swaps", swaps).says(
        "note  swap: /dev/sda2, /swapfile; a call whose state was swapped out waits for a disk; cure: swapoff -a (systemd: \
         MemorySwapMax=0)",
    );
}

#[test]
fn a_slow_clock_is_warned_of() {
    let folder = "sys/devices/system/clocksource/clocksource0";
    let slow = Machine::tuned().with(&format!("{folder}/current_clocksource"), "hpet");
    slow.says(&format!(
        "warn  clock: hpet; each turn of a shard reads it, by a slow system call; cure: echo tsc > /{folder}/current_clocksource"
    ));
    slow.with(&format!("{folder}/available_clocksource"), "hpet acpi_pm").says(
        "warn  clock: hpet; each turn of a shard reads it, by a slow system call; \
         cure: boot with tsc=reliable if the hardware's counters are in step (dmesg | grep -i tsc)",
    );
}

#[test]
fn mitigations_that_make_system_calls_dearer_are_noted() {
    let vulnerability =
        |name: &str, text: &str| Machine::tuned().with(&format!("sys/devices/system/cpu/vulnerabilities/{name}"), text);
    vulnerability("meltdown", "Mitigation: PTI").says(
        "note  mitigations: meltdown (PTI); each system call costs more; cure: mitigations=off on the kernel command line, only where \
         nothing else runs and all who log in are trusted",
    );
    let cheap = "Mitigation: Retpolines; IBPB: conditional; IBRS_FW; STIBP: disabled";
    assert!(vulnerability("spectre_v2", cheap).news().is_empty());
}
