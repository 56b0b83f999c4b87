//! Who would find the shard that owns a datagram's call, and what stands in the way of better.

use super::finding::Finding;
use super::process::CAP_BPF_CURE;
use super::{Plan, Root};

const SUBJECT: &str = "steering";
const WISH_CURE: &str = "steering = \"auto\" under [io] in the config";

pub(super) fn look(root: &Root, plan: &Plan) -> Vec<Finding> {
    let Some(steering) = &plan.trial.steering else { return Vec::new() };
    let mut found = vec![match steering {
        Ok(_) if plan.shards.len() < 2 => Finding::ok(SUBJECT, "one shard owns every call: none is needed"),
        Ok(way) => runs(plan, way),
        Err(error) => {
            let found = format!("the one that the config insists on is refused ({error})");
            Finding::warn(SUBJECT, found, "no shard starts", format!("{CAP_BPF_CURE}; or {WISH_CURE}"))
        }
    }];
    if plan.shards.len() > 1 && matches!(steering, Ok("ebpf" | "classic")) {
        found.extend(compiled(root));
    }
    if plan.shards.len() > 1 && *steering != Ok("ebpf") {
        found.extend(room(root, plan));
    }
    found
}

fn runs(plan: &Plan, way: &str) -> Finding {
    let refused: Vec<_> = plan.trial.refused.iter().filter(|(what, _)| *what != "io_uring").collect();
    let because: Vec<_> = refused.iter().map(|(what, error)| format!("{what}: {error}")).collect();
    let because = because.join(", ");
    let knows_less = "it knows only the usual spelling of Call-ID; what it misses takes a hop from shard to shard";
    let hops = "all datagrams of one trunk arrive at one shard, and nearly all take a hop to another";
    match way {
        "ebpf" => Finding::ok(SUBJECT, "ebpf (tried)"),
        "classic" if plan.trial.is_steering_wished => {
            Finding::note(SUBJECT, "classic, as the config says", knows_less, WISH_CURE)
        }
        "classic" => {
            Finding::note(SUBJECT, format!("classic, since others were refused ({because})"), knows_less, CAP_BPF_CURE)
        }
        _ if plan.trial.is_steering_wished => Finding::note(SUBJECT, "handoff, as the config says", hops, WISH_CURE),
        _ => Finding::warn(SUBJECT, format!("handoff, since others were refused ({because})"), hops, CAP_BPF_CURE),
    }
}

/// Where the kernel cannot compile programs this file does not exist, or reads 1 for ever.
fn compiled(root: &Root) -> Option<Finding> {
    let is_off = root.number("proc/sys/net/core/bpf_jit_enable")? == 0;
    let why = "the steering program is interpreted for each datagram";
    is_off.then(|| Finding::warn(SUBJECT, "net.core.bpf_jit_enable is 0", why, "sysctl -w net.core.bpf_jit_enable=1"))
}

fn room(root: &Root, plan: &Plan) -> Option<Finding> {
    let (granted, wanted) = (root.number("proc/sys/net/core/optmem_max")?, plan.steering_bytes);
    let why = "the classic program must be a shorter one, that looks for Call-ID less deep";
    let found = format!("net.core.optmem_max is {granted}");
    (granted < wanted).then(|| Finding::note(SUBJECT, found, why, format!("sysctl -w net.core.optmem_max={wanted}")))
}
