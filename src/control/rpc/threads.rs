//! `core.ps`, `core.psx`: Kamailio's processes are threads here.

use super::Method;
use super::core::read;
use crate::control::{Answer, Arguments, Control, Fault, Value};
use std::fs;
use std::io;

pub(super) const METHODS: &[Method] = &[
    read("core.ps", "The threads: of each its id and what it does.", ps),
    read("core.psx", "The threads: number, id and what each does.", psx),
];

/// A thread as the kernel knows it.
struct Thread {
    id: u32,
    does: String,
}

fn ps(_: &Control, _: &Arguments) -> Answer {
    let both = |thread: Thread| [Value::from(thread.id), Value::from(thread.does)];
    Ok(threads()?.into_iter().flat_map(both).collect())
}

fn psx(_: &Control, _: &Arguments) -> Answer {
    let row = |(index, thread): (usize, Thread)| {
        Value::of([("IDX", Value::from(index)), ("PID", Value::from(thread.id)), ("DSC", Value::from(thread.does))])
    };
    Ok(threads()?.into_iter().enumerate().map(row).collect())
}

/// All threads, that of the process first.
fn threads() -> Result<Vec<Thread>, Fault> {
    let refused = |error: io::Error| Fault::internal(format!("/proc/self/task: {error}"));
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task").map_err(refused)? {
        let id = entry.map_err(refused)?.file_name().to_str().and_then(|name| name.parse().ok());
        // One that ended meanwhile is none.
        threads.extend(id.and_then(thread));
    }
    threads.sort_by_key(|thread| thread.id);
    Ok(threads)
}

fn thread(id: u32) -> Option<Thread> {
    let of = |file: &str| fs::read_to_string(format!("/proc/self/task/{id}/{file}")).ok();
    let name = of("comm")?;
    let status = of("status")?;
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    Some(Thread { id, does: does(name.trim(), cores, id == std::process::id()) })
}

/// What the thread `name`, which may run on `cores`, does: `shard 0 core 2`.
fn does(name: &str, cores: &str, is_main: bool) -> String {
    let what = match name {
        _ if is_main => String::from("main process"),
        name => name.strip_prefix("shard-").map_or_else(|| name.to_owned(), |rest| format!("shard {}", number(rest))),
    };
    match cores.parse::<u32>() {
        Ok(core) => format!("{what} core {core}"),
        Err(_) => format!("{what} cores {cores}"),
    }
}

/// The shard's number: an executor adds one of its own to the thread's name.
fn number(rest: &str) -> &str {
    rest.split('-').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_says_what_it_does_and_where() {
        assert_eq!(does("shard-3-7", "2", false), "shard 3 core 2");
        assert_eq!(does("shard-3", "0-1", false), "shard 3 cores 0-1");
        assert_eq!(does("prober", "1", false), "prober core 1");
        assert_eq!(does("siplane", "0-3,8", true), "main process cores 0-3,8");
    }

    #[test]
    fn the_threads_of_this_process_are_found_the_main_one_first() {
        let threads = threads().unwrap();
        assert_eq!(threads[0].id, std::process::id());
        assert!(threads[0].does.starts_with("main process core"), "{}", threads[0].does);
    }
}
