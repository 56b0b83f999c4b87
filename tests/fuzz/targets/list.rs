//! A dispatcher.list: read or refused with its line, and the TOML that is made of it names the same destinations.

use siplane::config;
use std::io::Write;
use std::path::Path;

pub(crate) fn run(data: &[u8]) {
    let Ok(mut file) = memory_file() else { return };
    file.write_all(data).expect("memory");
    let toml = match config::convert(Path::new(&path_of(&file))) {
        Ok(toml) => toml,
        Err(problems) => {
            assert!(problems.has_errors() && problems.iter().all(|problem| !problem.to_string().is_empty()));
            return;
        }
    };
    let made = config::parse(&toml, "made.toml").unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
    let prober = "[prober]\ninterval_ms = 5000\n";
    let naming = format!("{}\ndispatcher_list = \"{}\"\n{prober}", before_sets(&toml), path_of(&file));
    let Ok(read) = config::parse(&naming, "names.toml") else { return };
    let destinations = |config: &config::Config| {
        let sets = config.sets.iter().map(|set| (set.id, set.destinations.clone()));
        let mut sets: Vec<_> = sets.filter(|(_, destinations)| !destinations.is_empty()).collect();
        sets.sort_by_key(|set| set.0);
        sets
    };
    assert_eq!(destinations(&made), destinations(&read), "{toml}");
}

/// Our own addresses, which stand in no list.
fn before_sets(toml: &str) -> &str {
    toml.split("\n[").next().unwrap_or_default()
}

fn memory_file() -> std::io::Result<std::fs::File> {
    let path =
        std::env::temp_dir().join(format!("siplane-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()));
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The file has no name any more.
fn path_of(file: &std::fs::File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
