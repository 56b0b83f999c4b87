//! `core.*`: the process itself.

use super::{Method, Role, Run};
use crate::control::{Answer, Arguments, Control, Kind, Param, Value};
use std::env::consts;
use std::time::SystemTime;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the sources are known by: no build says more yet.
const SOURCE_ID: &str = "unknown";

pub(super) const METHODS: &[Method] = &[
    read("core.uptime", "Since when the process runs, and for how many seconds.", uptime),
    read("core.version", "Name, version and machine, on one line.", version),
    read("core.info", "Version, compiler and features.", info),
    read("core.runinfo", "Version, compiler and times.", run_info),
    Method {
        name: "core.echo",
        help: "Its parameters.",
        params: &[Param::optional("texts", Kind::Rest)],
        role: Role::Read,
        run: Run::Now(echo),
    },
    read("cfg.list", "The settings that can be changed while the process runs, one by one: none.", cfg_list),
];

/// A method that takes nothing and changes nothing.
pub(super) const fn read(name: &'static str, help: &'static str, run: fn(&Control, &Arguments) -> Answer) -> Method {
    Method { name, help, params: &[], role: Role::Read, run: Run::Now(run) }
}

fn uptime(control: &Control, _: &Arguments) -> Answer {
    let now = SystemTime::now();
    Ok(Value::of([
        ("now", Value::from(calendar(now))),
        ("up_since", Value::from(calendar(control.started_at()))),
        ("uptime", Value::count(uptime_s(control, now))),
    ]))
}

fn uptime_s(control: &Control, now: SystemTime) -> u64 {
    now.duration_since(control.started_at()).unwrap_or_default().as_secs()
}

/// Local time as C's ctime writes it, without the line's end: `Fri Nov 20 23:16:37 2026`.
fn calendar(at: SystemTime) -> String {
    let at: chrono::DateTime<chrono::Local> = at.into();
    at.format("%a %b %e %H:%M:%S %Y").to_string()
}

fn version(_: &Control, _: &Arguments) -> Answer {
    Ok(Value::from(format!("siplane {VERSION} ({}/{})", consts::ARCH, consts::OS)))
}

fn info(_: &Control, _: &Arguments) -> Answer {
    Ok(Value::of([
        ("version", Value::from(format!("siplane {VERSION}"))),
        ("id", Value::fixed(SOURCE_ID)),
        ("compiler", Value::from(compiler())),
        ("compiled", Value::Null),
        ("flags", Value::fixed(flags())),
    ]))
}

fn compiler() -> String {
    format!("rustc {} or later", env!("CARGO_PKG_RUST_VERSION"))
}

const fn flags() -> &'static str {
    if cfg!(debug_assertions) { "DEBUG_ASSERTIONS" } else { "RELEASE" }
}

fn run_info(control: &Control, _: &Arguments) -> Answer {
    let now = SystemTime::now();
    let seconds = uptime_s(control, now);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    Ok(Value::of([
        ("name", Value::fixed("siplane")),
        ("version", Value::fixed(VERSION)),
        ("sourceid", Value::fixed(SOURCE_ID)),
        ("compiler", Value::from(compiler())),
        ("compiled", Value::Null),
        ("time_now", Value::from(calendar(now))),
        ("time_started", Value::from(calendar(control.started_at()))),
        ("uptime_secs", Value::count(seconds)),
        // Kamailio's name for it.
        ("utime_days", Value::from(format!("{days}d {hours}h {minutes}m {}s", seconds % 60))),
    ]))
}

fn echo(_: &Control, arguments: &Arguments) -> Answer {
    Ok(arguments.rest(0).collect())
}

/// Everything comes from the config, which is read as a whole.
fn cfg_list(_: &Control, _: &Arguments) -> Answer {
    Ok(Value::Array(Vec::new()))
}
