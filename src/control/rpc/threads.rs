//! `core.ps`, `core.psx`: Kamailio's processes are threads here.

use super::Method;
use crate::control::{Answer, Arguments, Control, Fault, Value};
use std::fs;
use std::io;

pub(super) const METHODS: &[Method] = &[
    Method::look("core.ps", "The threads: of each its id and what it does.", &[], ps),
    Method::look("core.psx", "The threads: number, id and what each does.", &[], psx),
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
    let mut ids: Vec<u32> = Vec::new();
    for entry in fs::read_dir("/proc/self/task").map_err(refused)? {
        ids.extend(entry.map_err(refused)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    ids.sort_unstable();
    let mut names = Vec::new();
    // One that ended meanwhile is none.
    Ok(ids.into_iter().filter_map(|id| thread(id, &mut names)).collect())
}

/// The thread `id`, after those with `names`.
fn thread(id: u32, names: &mut Vec<String>) -> Option<Thread> {
    let of = |file: &str| fs::read_to_string(format!("/proc/self/task/{id}/{file}")).ok();
    let name = of("comm")?.trim().to_owned();
    let status = of("status")?;
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    let main = names.first().unwrap_or(&name);
    let does = does(&name, cores, name == *main, names.contains(&name));
    names.push(name);
    Some(Thread { id, does })
}

/// What the thread `name`, which may run on `cores`, does: `shard 0 core 2`. One that has its name from another, which began it, is a
/// helper of that.
fn does(name: &str, cores: &str, is_main: bool, is_again: bool) -> String {
    let shard = |rest: &str| format!("shard {}", number(rest));
    let what = match is_main {
        true => String::from("main process"),
        false => name.strip_prefix("shard-").map_or_else(|| name.to_owned(), shard),
    };
    let helps = if is_again { "helper of " } else { "" };
    match cores.parse::<u32>() {
        Ok(core) => format!("{helps}{what} core {core}"),
        Err(_) => format!("{helps}{what} cores {cores}"),
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
        assert_eq!(does("shard-3-7", "2", false, false), "shard 3 core 2");
        assert_eq!(does("shard-3-7", "2", false, true), "helper of shard 3 core 2");
        assert_eq!(does("shard-3", "0-1", false, false), "shard 3 cores 0-1");
        assert_eq!(does("prober", "1", false, false), "prober core 1");
        assert_eq!(does("siplane", "0-3,8", true, false), "main process cores 0-3,8");
        assert_eq!(does("siplane", "0-3,8", true, true), "helper of main process cores 0-3,8");
    }

    #[test]
    fn the_threads_of_this_process_are_found_the_main_one_first() {
        let threads = threads().unwrap();
        assert_eq!(threads[0].id, std::process::id());
        assert!(threads[0].does.starts_with("main process core"), "{}", threads[0].does);
    }
}
