//! Runs the benchmark again under valgrind, and counts what happens inside its function `measured`.

use std::process::Command;

/// The name behind `--count` on the command line: this process is one that is counted.
pub fn counted() -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--count");
    arguments.nth(1)
}

/// Instructions inside `measured` when this program runs with `--count name`, and what it printed.
#[allow(dead_code, reason = "one benchmark wants more than instructions")]
pub fn run(name: &str) -> (u64, String) {
    let (counts, printed) = run_with(&[], name);
    (counts[0], printed)
}

/// The same with more flags for callgrind, and all that it counts, in its order.
pub fn run_with(flags: &[&str], name: &str) -> (Vec<u64>, String) {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=measured",
            "--collect-atstart=no",
        ])
        .args(flags)
        .arg(std::env::current_exe().expect("the path of this program"))
        .args(["--count", name])
        .output()
        .expect("valgrind runs (Debian package valgrind)");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1)).expect("callgrind's totals");
    let counts = collected.split_whitespace().map(|count| count.parse().expect("a number")).collect();
    (counts, String::from_utf8_lossy(&output.stdout).into_owned())
}
