//! The kernel's version, io_uring, and the engine that would run.

use super::finding::Finding;
use super::{Plan, Root};

const GIVE_IT: &str = "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile \
                       (docker run --security-opt seccomp=PROFILE.json)";

pub(super) fn look(root: &Root, plan: &Plan) -> Vec<Finding> {
    let release = root.text("proc/sys/kernel/osrelease");
    let version = release.as_deref().and_then(version);
    let mut found: Vec<_> = release.zip(version).map(|(release, at)| kernel(&release, at)).into_iter().collect();
    found.extend(plan.trial.engine.as_ref().map(|engine| match engine {
        Ok(engine) => runs(root, plan, version, engine),
        Err(error) => Finding::warn("engine", format!("none: {error}"), "no shard starts", cure(root, plan, version)),
    }));
    found
}

fn kernel(release: &str, version: (u32, u32)) -> Finding {
    let cure = "apt install -t bookworm-backports linux-image-amd64, or a newer distribution";
    match version {
        _ if version < (6, 1) => {
            Finding::warn("kernel", format!("Linux {release}"), "the io_uring engine needs 6.1", cure)
        }
        _ if version < (6, 12) => {
            let why = "from 6.12 on one wake-up serves many datagrams that gather in the kernel";
            Finding::note("kernel", format!("Linux {release}"), why, cure)
        }
        _ => Finding::ok("kernel", format!("Linux {release}")),
    }
}

fn runs(root: &Root, plan: &Plan, version: Option<(u32, u32)>, engine: &str) -> Finding {
    let refused = plan.trial.refused.iter().find(|(what, _)| *what == "io_uring");
    match (engine, refused) {
        ("mmsg", Some((_, error))) => {
            let found = format!("mmsg, since io_uring was refused ({error})");
            Finding::warn("engine", found, "several system calls a turn in place of one", cure(root, plan, version))
        }
        ("mmsg", None) if plan.trial.is_engine_wished => {
            let why = "several system calls a turn in place of one";
            Finding::note("engine", "mmsg, as the config says", why, "engine = \"auto\" under [io] in the config")
        }
        _ if plan.trial.can_gather => Finding::ok("engine", format!("{engine}, with gathering in the kernel (tried)")),
        _ => Finding::ok("engine", format!("{engine}, without gathering in the kernel (tried)")),
    }
}

/// What most likely stands in the way, from the most certain to the rest.
fn cure(root: &Root, plan: &Plan, version: Option<(u32, u32)>) -> String {
    let disabled = root.number("proc/sys/kernel/io_uring_disabled").unwrap_or(0);
    if disabled > 0 {
        return String::from("sysctl -w kernel.io_uring_disabled=0");
    }
    if version.is_some_and(|version| version < (6, 1)) {
        return String::from("a kernel from 6.1 on");
    }
    match super::process::locked_bytes(root).is_some_and(|bytes| bytes < plan.locked_bytes_min) {
        true => super::process::memlock_cure(plan),
        false => String::from(GIVE_IT),
    }
}

/// The first two numbers of `6.12.3-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
