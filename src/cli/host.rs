//! `siplane check --host`.

use crate::config::Config;
use crate::host::{Level, Root, inspect};
use crate::server;
use std::process::ExitCode;

/// Prints a line for each finding on standard output; success when none of them is a warning.
pub(super) fn check(config: &Config) -> ExitCode {
    let plan = match server::host_plan(config) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("siplane: {error}");
            return ExitCode::FAILURE;
        }
    };
    let findings = inspect(&Root::system(), &plan);
    findings.iter().for_each(|finding| println!("{finding}"));
    match findings.iter().any(|finding| finding.level == Level::Warn) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
