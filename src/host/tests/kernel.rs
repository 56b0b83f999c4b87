//! The kernel and what it allows: engine, steering, limits, privileges.

use super::Machine;

const BPF_CURE: &str = "cure: setcap cap_bpf,cap_net_bind_service+ep $(command -v siplane) (systemd: AmbientCapabilities=CAP_BPF \
                        CAP_NET_BIND_SERVICE)";

#[test]
fn an_old_kernel_is_named_with_what_it_lacks() {
    let release = |text: &str| Machine::tuned().with("proc/sys/kernel/osrelease", text);
    let newer = "cure: apt install -t bookworm-backports linux-image-amd64, or a newer distribution";
    release("5.10.0-28-amd64")
        .says(&format!("warn  kernel: Linux 5.10.0-28-amd64; the io_uring engine needs 6.1; {newer}"));
    release("6.1.0-18-amd64").says(&format!(
        "note  kernel: Linux 6.1.0-18-amd64; from 6.12 on one wake-up serves many datagrams that gather in the kernel; {newer}"
    ));
    release("7.0.1").says("ok    kernel: Linux 7.0.1");
}

#[test]
fn a_refused_ring_is_warned_of_with_what_stands_in_its_way() {
    let refused = Machine::tuned().planned(|plan| {
        plan.trial.engine = Some(Ok("mmsg"));
        plan.trial.refused = vec![("io_uring", String::from("Operation not permitted"))];
    });
    let found = "warn  engine: mmsg, since io_uring was refused (Operation not permitted); several system calls a turn in place of one";
    refused.says(&format!(
        "{found}; cure: allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile (docker run \
         --security-opt seccomp=PROFILE.json)"
    ));
    let disabled = refused.with("proc/sys/kernel/io_uring_disabled", "2");
    disabled.says(&format!("{found}; cure: sysctl -w kernel.io_uring_disabled=0"));
}

#[test]
fn no_engine_at_all_is_no_start() {
    let none = Machine::tuned().planned(|plan| plan.trial.engine = Some(Err(String::from("refused"))));
    none.with("proc/sys/kernel/io_uring_disabled", "1")
        .says("warn  engine: none: refused; no shard starts; cure: sysctl -w kernel.io_uring_disabled=0");
}

#[test]
fn what_the_config_insists_on_is_noted_where_better_can_be_had() {
    let wished = Machine::tuned().planned(|plan| {
        (plan.trial.engine, plan.trial.is_engine_wished) = (Some(Ok("mmsg")), true);
        (plan.trial.steering, plan.trial.is_steering_wished) = (Some(Ok("handoff")), true);
    });
    assert_eq!(
        wished.news(),
        [
            "note  engine: mmsg, as the config says; several system calls a turn in place of one; \
             cure: engine = \"auto\" under [io] in the config",
            "note  steering: handoff, as the config says; all datagrams of one trunk arrive at one shard, and nearly all take a hop to \
             another; cure: steering = \"auto\" under [io] in the config",
        ]
    );
}

#[test]
fn steering_that_was_refused_is_told_with_the_privilege_that_it_wants() {
    let denied = String::from("Operation not permitted (os error 1)");
    let classic = Machine::tuned().planned(|plan| {
        plan.trial.steering = Some(Ok("classic"));
        plan.trial.refused = vec![("ebpf", denied.clone())];
    });
    let line = format!(
        "note  steering: classic, since others were refused (ebpf: {denied}); it knows only the usual spelling of Call-ID; what it misses \
         takes a hop from shard to shard; {BPF_CURE}"
    );
    classic.says(&line);
    let short = "note  steering: net.core.optmem_max is 20480; the classic program must be a shorter one, that looks for Call-ID less \
                 deep; cure: sysctl -w net.core.optmem_max=131072";
    assert_eq!(classic.with("proc/sys/net/core/optmem_max", "20480").news(), [line.as_str(), short]);
    let handoff = Machine::tuned().planned(|plan| {
        plan.trial.steering = Some(Ok("handoff"));
        plan.trial.refused = vec![("ebpf", denied.clone()), ("classic", denied.clone())];
    });
    handoff.says(&format!(
        "warn  steering: handoff, since others were refused (ebpf: {denied}, classic: {denied}); all datagrams of one trunk arrive at one \
         shard, and nearly all take a hop to another; {BPF_CURE}"
    ));
    Machine::tuned().planned(|plan| plan.trial.steering = Some(Err(denied.clone()))).says(&format!(
        "warn  steering: the one that the config insists on is refused ({denied}); no shard starts; {BPF_CURE}; or steering = \"auto\" \
         under [io] in the config"
    ));
}

#[test]
fn an_interpreted_steering_program_is_warned_of() {
    Machine::tuned().with("proc/sys/net/core/bpf_jit_enable", "0").says(
        "warn  steering: net.core.bpf_jit_enable is 0; the steering program is interpreted for each datagram; \
         cure: sysctl -w net.core.bpf_jit_enable=1",
    );
}

#[test]
fn limits_that_are_too_low_are_told_with_those_that_are_enough() {
    let limits = |open: &str, locked: &str| {
        let text = format!("Max open files  {open}  9999  files\nMax locked memory  {locked}  {locked}  bytes\n");
        Machine::tuned().with("proc/self/limits", &text)
    };
    limits("64", "8388608").says(
        "warn  nofile: 64; about 120 descriptors are needed, or the start fails; cure: ulimit -n 128 (systemd: LimitNOFILE=128)",
    );
    limits("4096", "65536").says(
        "warn  memlock: 64 KiB for 3 shards; shards are plain threads; cure: ulimit -l 8192 (systemd: LimitMEMLOCK=8M)",
    );
    limits("4096", "524288").says(
        "note  memlock: 512 KiB for 3 shards; 576 KiB are asked for, and an executor goes without what it does not get; \
         cure: ulimit -l 8192 (systemd: LimitMEMLOCK=8M)",
    );
    let unlimited = limits("unlimited", "unlimited").news();
    assert_eq!(unlimited, ["ok    memlock: unlimited for 3 shards", "ok    nofile: unlimited, 120 are enough"]);
}

#[test]
fn a_low_port_without_the_privilege_is_warned_of() {
    let low = Machine::tuned().planned(|plan| plan.listen[0].address.set_port(506));
    let at = |line: &String| line.contains("privileges: ");
    assert!(!low.news().iter().any(at), "{:?}", low.news());
    let bare = low.with("proc/self/status", "CapEff:\t0000000000000000\n");
    let news: Vec<_> = bare.news().into_iter().filter(at).collect();
    assert_eq!(
        news,
        [
            String::from(
                "ok    privileges: CAP_BPF no (for ebpf steering), CAP_NET_BIND_SERVICE no (for low ports), CAP_SYS_NICE no (not used)"
            ),
            format!(
                "warn  privileges: port 506 without CAP_NET_BIND_SERVICE; the address cannot be listened on; {BPF_CURE}"
            ),
        ]
    );
    let allowed = bare.with("proc/sys/net/ipv4/ip_unprivileged_port_start", "0").news();
    assert!(!allowed.iter().any(|line| line.starts_with("warn")), "{allowed:?}");
}
