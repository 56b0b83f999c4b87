//! A live Kamailio of a test's own, as Debian has it (`make setup`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// What every script begins with.
const HEAD: &str = "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\n";

/// The running program. It is ended when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs `script`, with its files in `folder`, until `is_ready`.
    pub fn start(folder: &Path, script: &str, mut is_ready: impl FnMut() -> bool) -> Self {
        let (file, log) = (folder.join("kamailio.cfg"), folder.join("kamailio.log"));
        fs::write(&file, format!("{HEAD}{script}")).unwrap();
        let mut command = Command::new(program());
        command.arg("-f").arg(&file).args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]).arg(folder);
        command.arg("-P").arg(folder.join("pid")).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let mut process = Self { child: command.spawn().unwrap(), log };
        let end = Instant::now() + READY_WITHIN;
        while !is_ready() {
            let status = process.child.try_wait().unwrap();
            assert!(status.is_none() && Instant::now() < end, "no answer ({status:?}): {}", process.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// What it has logged so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It forks children, which end with it when it is asked, not when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian has it where PATH of an ordinary user does not look.
fn program() -> PathBuf {
    let paths = std::env::var("PATH").unwrap_or_default();
    let folders = paths.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join("kamailio")).find(|path| path.exists());
    found.expect("kamailio is not installed: `make setup`")
}
