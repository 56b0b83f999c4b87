//! Kamailio's own clients, as Debian has them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What kamcmd prints for `args` at the socket at `path`, and on standard error.
pub fn kamcmd(path: &Path, args: &[&str]) -> String {
    let output = Command::new(program("kamcmd")).arg("-s").arg(socket(path)).args(args).stdin(Stdio::null()).output();
    told(&output.unwrap())
}

/// The same of its interactive mode at a terminal with `lines` typed one after the other.
pub fn kamcmd_typing(path: &Path, lines: &[&str]) -> String {
    let mut typist = String::from("sleep 1");
    lines.iter().for_each(|line| typist.push_str(&format!("; printf '{line}\\n'; sleep 0.5")));
    let terminal = format!("script -qec '{} -s {}' /dev/null", program("kamcmd").display(), socket(path));
    let mut command = Command::new("sh");
    command.args(["-c", &format!("({typist}) | {terminal}")]).env("TERM", "dumb");
    told(&command.stdin(Stdio::null()).output().unwrap())
}

/// What kamcli prints for `args` with the settings in `ini`, without what it logs to standard error.
pub fn kamcli(ini: &Path, args: &[&str]) -> String {
    let mut command = Command::new("kamcli");
    // Python's click wants to know how letters are written.
    command.env("LC_ALL", "C.UTF-8").arg("--no-default-configs").arg("-c").arg(ini).args(args);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What `kamctl rpc` prints for `args` through the FIFO at `path`.
pub fn kamctl(path: &Path, args: &[&str]) -> String {
    let mut command = Command::new(program("kamctl"));
    command.env("RPCFIFOPATH", path).arg("rpc").args(args);
    told(&command.stdin(Stdio::null()).output().unwrap())
}

fn socket(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Debian puts some into folders of the administrator.
pub fn program(name: &str) -> PathBuf {
    let place = Path::new("/usr/sbin").join(name);
    if place.exists() { place } else { PathBuf::from(name) }
}

/// Waits until `done` gives something.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
