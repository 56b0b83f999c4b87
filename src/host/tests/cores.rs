//! Cores: where shards are, what else runs there, and how fast.

use super::Machine;

const CPU: &str = "sys/devices/system/cpu";

#[test]
fn a_slow_governor_is_warned_of_with_the_cores_that_have_it() {
    let governor = |core: u32| format!("{CPU}/cpu{core}/cpufreq/scaling_governor");
    let slow = Machine::tuned()
        .with(&governor(2), "powersave")
        .with(&governor(3), "schedutil")
        .with(&governor(7), "powersave");
    slow.says(
        "warn  governor: \"powersave\" on cores 2-3; a core that has slowed down answers late until it is fast again; \
         cure: cpupower -c 2-3 frequency-set -g performance",
    );
    let mut virtual_machine = Machine::tuned();
    virtual_machine.files.retain(|path, _| !path.contains("cpufreq"));
    virtual_machine.says("ok    governor: none: the clock is not this system's to set");
}

#[test]
fn deep_idle_states_are_noted_unless_disabled_or_never_entered() {
    let deep = Machine::tuned().with(&format!("{CPU}/cpu1/cpuidle/state2/latency"), "170");
    deep.says(
        "note  idle states: cores 1 may take 170 us to wake; the first datagram after a pause waits for the core to wake; \
         cure: cpupower -c 1 idle-set -D 50",
    );
    assert!(deep.clone().with(&format!("{CPU}/cpu1/cpuidle/state2/disable"), "1").news().is_empty());
    deep.planned(|plan| plan.busy_poll = true).says("ok    idle states: cores wake within 170 us");
}

#[test]
fn two_shards_on_one_core_are_warned_of() {
    let crowd = Machine::tuned().planned(|plan| plan.shards = vec![2, 3, 3]);
    assert_eq!(
        crowd.news()[0],
        "warn  cores: 3 shards, of which several on core 3; they take turns, each call waits for its neighbour's; \
         cure: shards = [2, 3] in the config",
    );
}

#[test]
fn two_shards_on_hyperthreads_of_one_core_are_warned_of() {
    let pair = Machine::tuned().planned(|plan| plan.shards = vec![2, 3, 6]).news();
    let line = "warn  cores: shards on cores 2 and 6, which are one physical core; what one shard gains the other loses; \
                cure: shards = [2, 3] in the config";
    assert!(pair.contains(&line.to_owned()), "{pair:?}");
}

#[test]
fn a_prober_on_a_shards_core_is_noted_while_another_is_free() {
    let line = "note  cores: shards on 1-3, the prober with one of them on 3; with many destinations the prober delays that shard's \
                calls; cure: core = 0 under [prober] in the config";
    let news = Machine::tuned().planned(|plan| plan.prober = 3).news();
    assert!(news.contains(&line.to_owned()), "{news:?}");
}

#[test]
fn shards_on_several_numa_nodes_are_noted_and_a_far_card_too() {
    let nodes = Machine::tuned()
        .with("sys/devices/system/node/node0/cpulist", "0-1,4-5")
        .with("sys/devices/system/node/node1/cpulist", "2-3,6-7")
        .without("sys/class/net/eth0/device")
        .with("sys/class/net/eth0/device/numa_node", "1");
    let news = nodes.news();
    assert_eq!(
        news,
        [
            "note  numa: shards are on nodes 0-1; each has its own memory near, but hand-offs and the network card's datagrams cross from \
             node to node; cure: shards = [1, 4] in the config",
            "note  eth0 numa: on node 1, but shards on 1 are not; their datagrams cross from node to node; \
             cure: shards = [2, 3] in the config",
        ]
    );
    let far = nodes.with("sys/devices/system/node/node1/cpulist", "6-7").planned(|plan| plan.shards = vec![1]).news();
    let line = "warn  eth0 numa: on node 1, but shards on 1 are not; their datagrams cross from node to node; \
                cure: shards = [6, 7] in the config";
    assert!(far.contains(&line.to_owned()), "{far:?}");
}

#[test]
fn pages_that_the_kernel_moves_between_nodes_are_warned_of() {
    let nodes = Machine::tuned().with("sys/devices/system/node/node1/cpulist", "8-15");
    nodes.says("ok    numa: all shards are on node 0, and their memory with them");
    let moving = nodes.with("proc/sys/kernel/numa_balancing", "1").news();
    assert_eq!(
        moving[1],
        "warn  numa: kernel.numa_balancing is on; the kernel unmaps pages to learn who uses them: page faults in the data path, for \
         threads that never move; cure: sysctl -w kernel.numa_balancing=0"
    );
}

#[test]
fn shards_that_share_their_cores_with_the_system_are_noted() {
    let shared = Machine::tuned().with("proc/cmdline", "quiet").with(&format!("{CPU}/isolated"), "");
    let news = shared.news();
    assert_eq!(
        news,
        [
            "note  isolation: neither isolcpus nor nohz_full nor rcu_nocbs; shards share their cores with the system; cure: echo \
             'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX isolcpus=managed_irq,domain,1-3 nohz_full=1-3 rcu_nocbs=1-3\"' > \
             /etc/default/grub.d/siplane.cfg && update-grub && reboot, and shards = [1, 2, 3] in the config"
        ]
    );
    let all = shared.with(&format!("{CPU}/online"), "1-3").news();
    let line = "ok    isolation: neither isolcpus nor nohz_full nor rcu_nocbs: shards have every core, and share them with the system";
    assert_eq!(all, [line]);
}

#[test]
fn the_first_core_cannot_be_set_apart_and_is_not_proposed() {
    let first =
        Machine::tuned().with("proc/cmdline", "").planned(|plan| (plan.shards, plan.prober) = (vec![0, 1], 7)).news();
    let found = first.iter().find(|line| line.contains("isolation: neither")).unwrap();
    assert!(
        found.contains("isolcpus=managed_irq,domain,1-2 ") && found.ends_with("shards = [1, 2] in the config"),
        "{found}"
    );
}

#[test]
fn a_command_line_that_leaves_out_a_shards_core_is_warned_of() {
    let line = "root=/dev/sda1 isolcpus=managed_irq,domain,1-3 nohz_full=1-2";
    let news = Machine::tuned().with("proc/cmdline", line).news();
    assert_eq!(news.len(), 2, "{news:?}");
    let tick = "warn  isolation: nohz_full=1-2 leaves out the shards' cores 3; a timer tick interrupts the shard a hundred times a second \
                or more; cure: echo ";
    assert!(news[0].starts_with(tick) && news[1].starts_with("note  isolation: no rcu_nocbs; "), "{news:?}");
}

#[test]
fn a_command_line_may_name_all_cores_and_the_last_one_in_the_kernels_words() {
    for rest in ["nohz_full=all rcu_nocbs=1-N", "nohz_full=1-N rcu_nocbs=all"] {
        let line = format!("isolcpus=managed_irq,domain,1-N {rest}");
        assert_eq!(Machine::tuned().with("proc/cmdline", &line).news(), [""; 0], "{line}");
    }
}

#[test]
fn cores_that_were_set_apart_and_are_not_used_are_noted() {
    let news = Machine::tuned().planned(|plan| plan.shards = vec![1, 2]).news();
    let line = "note  isolation: no shard is on the isolated cores 3; nobody uses a core that was set apart; \
                cure: shards = [1, 2, 3] in the config";
    assert!(news.contains(&line.to_owned()), "{news:?}");
}
