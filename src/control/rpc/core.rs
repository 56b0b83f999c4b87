//! `core.*`: the process itself.

use super::Method;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use std::env::consts;
use std::time::SystemTime;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the sources are known by: no build says more yet.
const SOURCE_ID: &str = "unknown";

pub(super) const METHODS: &[Method] = &[
    Method::look("core.uptime", "Since when the process runs, and for how many seconds.", &[], uptime),
    Method::look("core.version", "Name, version and machine, on one line.", &[], version),
    Method::look("core.info", "Version, compiler and features.", &[], info),
    Method::look("core.runinfo", "Version, compiler and times.", &[], run_info),
    Method::look("core.echo", "Its parameters.", &[Param::optional("texts", Kind::Rest)], echo),
    Method::look("core.arg", "The words that the process was started with.", &[], words),
    Method::look("core.pwd", "The folder that the process works in.", &[], folder),
    Method::look("core.modules", "The modules that are loaded: none, all is in one program.", &[], nothing),
    Method::look(
        "cfg.list",
        "The settings that can be changed while the process runs, one by one: none.",
        &[],
        nothing,
    ),
];

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

fn words(_: &Control, _: &Arguments) -> Answer {
    Ok(std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect())
}

fn folder(_: &Control, _: &Arguments) -> Answer {
    let folder = std::env::current_dir().map_err(|error| Fault::internal(format!("working folder: {error}")))?;
    Ok([folder.to_string_lossy().into_owned()].into_iter().collect())
}

/// Everything comes from the config, which is read as a whole, and from one program.
fn nothing(_: &Control, _: &Arguments) -> Answer {
    Ok(Value::Array(Vec::new()))
}
