//! The process: what it is, since when it runs, what it takes.

use super::page::{Labels, Page};
use crate::control::Control;
use core::fmt::Error;
use std::fs;
use std::time::UNIX_EPOCH;

pub(super) fn write(page: &mut Page<'_>, control: &Control) -> Result<(), Error> {
    let build = Labels::none().with("version", env!("CARGO_PKG_VERSION"));
    page.info("build", "The program that runs.", &build)?;
    let started_s = control.started_at().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    page.gauges("start_time_seconds", "When the process started, seconds since 1970.", one(started_s))?;
    let ready = control.why_not_ready().is_none();
    page.gauges(
        "ready",
        "Whether new calls are welcome: listening, and some destination available.",
        one(f64::from(u8::from(ready))),
    )?;
    let freshness = control.freshness();
    page.gauges(
        "config_last_reload_successful",
        "Whether the config, with the list or the database table that it names, could be read when that was last tried.",
        one(f64::from(u8::from(!freshness.has_failed()))),
    )?;
    page.gauges(
        "config_last_reload_success_timestamp_seconds",
        "When what is in force was read, seconds since 1970.",
        one(freshness.read_at().as_secs_f64()),
    )?;
    page.gauges(
        "resident_memory_bytes",
        "Memory of the process that is in RAM.",
        resident_bytes().map(|bytes| (Labels::none(), bytes)),
    )?;
    let threads = threads().into_iter().map(|(name, seconds)| (Labels::none().with("thread", name), seconds));
    page.counters(
        "thread_cpu_seconds",
        "Processor time of each thread, user and system; by turns of a shard it is the time of a turn.",
        threads,
    )
}

pub(super) fn one(value: f64) -> [(Labels, f64); 1] {
    [(Labels::none(), value)]
}

/// VmRSS of `/proc/self/status`; none where that cannot be read.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// The threads by name, those of one name together, with their processor time, seconds.
fn threads() -> Vec<(String, f64)> {
    let mut threads: Vec<(String, f64)> = Vec::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let Some((name, seconds)) = fs::read_to_string(task.path().join("stat")).ok().and_then(|stat| cpu_time(&stat))
        else {
            continue;
        };
        match threads.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += seconds,
            None => threads.push((name, seconds)),
        }
    }
    threads
}

/// Name, and user and system time, of a line of `/proc/self/task/*/stat` (proc(5)): fields 2, 14 and 15, in ticks of 10 ms.
fn cpu_time(stat: &str) -> Option<(String, f64)> {
    let (start, end) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat.get(end + 2..)?.split(' ');
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((stat.get(start + 1..end)?.to_owned(), (user + system) as f64 / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_any_name_is_read() {
        let line = "42 (shard) 0 (x) S 1 1 1 0 -1 4194304 5 0 0 0 120 30 0 0 20 0 3 0 99 1 2";
        assert_eq!(cpu_time(line), Some((String::from("shard) 0 (x"), 1.5)));
        assert_eq!(cpu_time("42 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1e6));
        assert!(!threads().is_empty());
    }
}
