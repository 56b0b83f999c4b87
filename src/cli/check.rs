//! `siplane check`, and how every command reads its config.

use super::{DEFAULT_CONFIG, host};
use crate::config::{self, Config, Problems};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Reads the named file, else the default one when it is there, else the built-in config; says which.
pub(super) fn read(named: Option<PathBuf>) -> Result<(Config, String), Problems> {
    let default = Path::new(DEFAULT_CONFIG);
    let path = named.or_else(|| default.exists().then(|| default.to_path_buf()));
    match path {
        Some(path) => config::load(&path).map(|config| (config, path.display().to_string())),
        None => {
            config::parse(config::BUILT_IN, "built-in config").map(|config| (config, String::from("built-in config")))
        }
    }
}

/// Tells every problem on standard error, or that there is none on standard output; then, if asked, what is to be said of the machine.
pub(super) fn check(named: Option<PathBuf>, with_host: bool) -> ExitCode {
    match read(named) {
        Ok((config, name)) => {
            if !config.warnings.is_empty() {
                eprintln!("{}", config.warnings);
            }
            let destinations: usize = config.sets.iter().map(|set| set.destinations.len()).sum();
            let (listen, sets, rules) = (config.settings.listen.len(), config.sets.len(), config.rules.len());
            println!("{name}: ok: {listen} listen addresses, {sets} sets, {destinations} destinations, {rules} rules");
            if with_host { host::check(&config) } else { ExitCode::SUCCESS }
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}
