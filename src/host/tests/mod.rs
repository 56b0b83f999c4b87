//! Made-up machines: a tuned one, and for each subject the same with one thing changed and what is said of that.

mod cards;
mod cores;
mod kernel;
mod memory;

use super::{Finding, Level, Place, Plan, Root, Trial, inspect};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The files of `/proc` and `/sys`; a text that begins with `->` is a link.
#[derive(Clone)]
struct Machine {
    files: BTreeMap<String, String>,
    plan: Plan,
}

const TUNED: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.48-amd64\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("proc/sys/kernel/unprivileged_bpf_disabled", "2\n"),
    ("proc/sys/net/core/bpf_jit_enable", "1\n"),
    ("proc/sys/net/core/optmem_max", "131072\n"),
    ("proc/sys/net/core/rmem_max", "4194304\n"),
    ("proc/sys/net/core/wmem_max", "1048576\n"),
    ("proc/sys/net/core/netdev_max_backlog", "16384\n"),
    ("proc/net/snmp", "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 900 1 0 800 0\n"),
    ("proc/net/snmp6", "Udp6InDatagrams  \t100\nUdp6InErrors  \t0\nUdp6RcvbufErrors  \t0\n"),
    ("proc/net/softnet_stat", "000000ff 00000000 00000001\n000000ff 00000000 00000002\n"),
    (
        "proc/self/limits",
        "Limit  Soft Limit  Hard Limit  Units\nMax open files  4096  4096  files\nMax locked memory  8388608  8388608  bytes\n",
    ),
    ("proc/self/status", "Name:\tsiplane\nCapEff:\t0000008000000400\n"),
    ("proc/cmdline", "root=/dev/sda1 isolcpus=managed_irq,domain,1-3 nohz_full=1-3 rcu_nocbs=1-3\n"),
    ("proc/1/comm", "systemd\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"),
    ("sys/devices/system/cpu/online", "0-7\n"),
    ("sys/devices/system/cpu/isolated", "1-3\n"),
    ("sys/devices/system/node/node0/cpulist", "0-7\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n"),
    ("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"),
    ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Enhanced / Automatic IBRS; IBPB: conditional\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("sys/class/net/eth0/device", "->../../../0000:01:00.0"),
    (
        "proc/interrupts",
        "     CPU0 CPU1\n 40: 1 2 PCI-MSI eth0-TxRx-0\n 41: 1 2 PCI-MSI eth0-TxRx-1\n 42: 1 2 PCI-MSI eth0-TxRx-2\n \
         43: 1 2 PCI-MSI eth0-TxRx-3\n 44: 1 2 PCI-MSI eth0-config\n 45: 9 9 PCI-MSI eth01-rx-0\n",
    ),
];

impl Machine {
    /// Eight hyperthreads on four cores, shards on three that are set apart, a card with a queue for each.
    fn tuned() -> Self {
        let mut machine = Self { files: BTreeMap::new(), plan: plan() };
        for (path, text) in TUNED {
            machine = machine.with(path, text);
        }
        for core in 0..8 {
            let cpu = format!("sys/devices/system/cpu/cpu{core}");
            let siblings = format!("{},{}\n", core % 4, core % 4 + 4);
            machine = machine.with(&format!("{cpu}/topology/thread_siblings_list"), &siblings);
            machine = machine.with(&format!("{cpu}/cpufreq/scaling_governor"), "performance\n");
            machine = machine.with(&format!("{cpu}/cpuidle/state1/latency"), "2\n");
        }
        for queue in 0..4 {
            let (queues, core) = ("sys/class/net/eth0/queues", (queue + 1) % 4);
            machine = machine.with(&format!("{queues}/rx-{queue}/rps_cpus"), "00\n");
            machine = machine.with(&format!("{queues}/tx-{queue}/xps_cpus"), &format!("{:02x}\n", 1 << core));
            machine = machine.with(&format!("proc/irq/{}/effective_affinity_list", 40 + queue), &format!("{core}\n"));
        }
        machine
    }

    fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Without every file whose path begins so.
    fn without(mut self, path: &str) -> Self {
        self.files.retain(|name, _| !name.starts_with(path));
        self
    }

    fn planned(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }

    fn inspect(&self) -> Vec<Finding> {
        static TREES: AtomicU32 = AtomicU32::new(0);
        let tree = TREES.fetch_add(1, Ordering::Relaxed);
        let root: PathBuf = std::env::temp_dir().join(format!("siplane-host-{}-{tree}", std::process::id()));
        for (path, text) in &self.files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        let found = inspect(&Root::at(&root), &self.plan);
        std::fs::remove_dir_all(&root).unwrap();
        found
    }

    /// What is said of this machine and not of the tuned one, as it is printed.
    fn news(&self) -> Vec<String> {
        let tuned = Self::tuned().inspect();
        let found = self.inspect();
        found.iter().filter(|finding| !tuned.contains(finding)).map(Finding::to_string).collect()
    }

    /// The one thing that is said of this machine and not of the tuned one.
    #[track_caller]
    fn says(&self, line: &str) {
        assert_eq!(self.news(), [line]);
    }
}

fn plan() -> Plan {
    let trial = Trial {
        engine: Some(Ok("io_uring")),
        is_engine_wished: false,
        can_gather: true,
        steering: Some(Ok("ebpf")),
        is_steering_wished: false,
        refused: Vec::new(),
    };
    Plan {
        shards: vec![1, 2, 3],
        prober: 0,
        listen: vec![Place { address: "192.0.2.1:5060".parse().unwrap(), interfaces: vec![String::from("eth0")] }],
        receive_buffer_bytes: 4 << 20,
        send_buffer_bytes: 1 << 20,
        steering_bytes: 128 << 10,
        locked_bytes_min: 512 << 10,
        locked_bytes_per_shard: 192 << 10,
        descriptors: 120,
        busy_poll: false,
        trial,
    }
}

#[test]
fn a_tuned_machine_has_no_warning_and_one_thing_to_look_up() {
    let found = Machine::tuned().inspect();
    let notes: Vec<_> = found.iter().filter(|finding| finding.level != Level::Ok).map(Finding::to_string).collect();
    assert_eq!(
        notes,
        [
            "note  eth0 RSS: what is hashed: ethtool -n eth0 rx-flow-hash udp4; many cards hash UDP by address alone, and then all of a \
             carrier's ports are one queue's; cure: ethtool -N eth0 rx-flow-hash udp4 sdfn && ethtool -N eth0 rx-flow-hash udp6 sdfn"
        ]
    );
    let subjects: Vec<_> = found.iter().map(|finding| finding.subject.as_str()).collect();
    for subject in [
        "kernel",
        "engine",
        "steering",
        "memlock",
        "nofile",
        "privileges",
        "cores",
        "isolation",
        "governor",
        "idle states",
        "interface",
        "eth0 queues",
        "eth0 RPS",
        "eth0 XPS",
        "eth0 interrupts",
        "irqbalance",
        "net.core.rmem_max",
        "net.core.wmem_max",
        "net.core.netdev_max_backlog",
        "udp drops",
        "conntrack",
        "hugepages",
        "swap",
        "clock",
    ] {
        assert!(subjects.contains(&subject), "{subject} is not in {subjects:?}");
    }
}

#[test]
fn whatever_is_no_ok_says_why_and_has_a_cure() {
    let untuned = Machine::tuned().without("proc/cmdline").without("sys/class/net/eth0/queues/rx-1");
    for finding in untuned.inspect() {
        let is_ok = finding.level == Level::Ok;
        assert_eq!((finding.why.is_empty(), finding.cure.is_empty()), (is_ok, is_ok), "{finding}");
        assert!(!finding.to_string().contains('\n'), "{finding}");
    }
}

#[test]
fn a_machine_that_tells_nothing_is_no_error() {
    let machine = Machine { files: BTreeMap::from([(String::from("proc/nothing"), String::new())]), plan: plan() };
    let found = machine.inspect();
    assert!(
        !found.is_empty() && found.iter().all(|finding| finding.level < Level::Warn || finding.subject == "isolation"),
        "{found:?}"
    );
}

#[test]
fn files_full_of_nonsense_are_no_error() {
    let mut machine = Machine::tuned();
    machine
        .files
        .values_mut()
        .filter(|text| !text.starts_with("->"))
        .for_each(|text| *text = String::from("\u{0}:,-;\n -1 [ 9\n=x"));
    assert!(!machine.inspect().is_empty());
}

#[test]
fn this_very_machine_is_inspected() {
    let found = inspect(&Root::system(), &plan());
    assert!(found.iter().any(|finding| finding.subject == "kernel"), "{found:?}");
}
