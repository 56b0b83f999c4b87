//! The siplane program.

use std::process::ExitCode;

fn main() -> ExitCode {
    siplane::cli::main()
}
