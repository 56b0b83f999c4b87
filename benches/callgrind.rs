//! Runs the benchmark again under valgrind, and counts what happens inside its function `measured`.

use std::process::Command;

/// The name behind `--count` on the command line: this process is one that is counted.
pub fn counted() -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--count");
    arguments.nth(1)
}

/// Instructions inside `measured` when this program runs with `--count name`, and what it printed.
pub fn run(name: &str) -> (u64, String) {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=measured",
            "--collect-atstart=no",
        ])
        .arg(std::env::current_exe().expect("the path of this program"))
        .args(["--count", name])
        .output()
        .expect("valgrind runs (Debian package valgrind)");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1)).expect("callgrind's total");
    (collected.trim().parse().expect("a number"), String::from_utf8_lossy(&output.stdout).into_owned())
}
