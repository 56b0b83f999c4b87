//! `core.*`: the process itself.

use super::{Method, Role, Run};
use crate::control::{Answer, Arguments, Control, Value};
use std::time::SystemTime;

pub(super) const METHODS: &[Method] = &[Method {
    name: "core.uptime",
    help: "Since when the process runs, and for how many seconds.",
    params: &[],
    role: Role::Read,
    run: Run::Now(uptime),
}];

fn uptime(control: &Control, _: &Arguments) -> Answer {
    let now = SystemTime::now();
    let uptime_s = now.duration_since(control.started_at()).unwrap_or_default().as_secs();
    Ok(Value::of([
        ("now", Value::from(calendar(now))),
        ("up_since", Value::from(calendar(control.started_at()))),
        ("uptime", Value::from(uptime_s)),
    ]))
}

/// Local time as C's ctime writes it, without the line's end: `Fri Nov 20 23:16:37 2026`.
fn calendar(at: SystemTime) -> String {
    let at: chrono::DateTime<chrono::Local> = at.into();
    at.format("%a %b %e %H:%M:%S %Y").to_string()
}
