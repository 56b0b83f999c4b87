//! `siplane convert`.

use crate::config;
use std::path::Path;
use std::process::ExitCode;

/// Prints the TOML that means what the list at `path` means; every problem of a list that cannot be used goes to
/// standard error.
pub(super) fn convert(path: &Path) -> ExitCode {
    match config::convert(path) {
        Ok(toml) => {
            print!("{toml}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}
