//! The program under test, started and ended.

use siplane::cli::demo::is_ready;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(10);
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a process may take beyond its own bound, on a busy machine.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(2);

/// The running program. Dropped before it was terminated it is killed.
pub struct Siplane {
    child: Child,
    #[allow(dead_code, reason = "not every test program calls it")]
    pub address: SocketAddr,
    directory: PathBuf,
}

impl Siplane {
    /// Starts it with what `config` says for its address, a free port of `host`.
    pub fn start(host: SocketAddr, config: impl FnOnce(SocketAddr) -> String) -> Self {
        Self::start_as(host, config, |_| {})
    }

    /// The same, of a process that `prepare` has changed.
    pub fn start_as(
        host: SocketAddr,
        config: impl FnOnce(SocketAddr) -> String,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let address = UdpSocket::bind(host).unwrap().local_addr().unwrap();
        let name = format!("loopback-{address}-{}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("siplane.toml");
        fs::write(&file, config(address)).unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_siplane"));
        command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        prepare(&mut command);
        let mut siplane = Self { child: command.spawn().unwrap(), address, directory };
        let ready = is_ready(address, READY_WITHIN);
        assert!(ready, "no answer at {address}; the process: {:?}: {}", siplane.child.try_wait(), siplane.log());
        siplane
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// Its config file.
    #[allow(dead_code, reason = "not every test program changes it")]
    pub fn config(&self) -> PathBuf {
        self.directory.join("siplane.toml")
    }

    /// Sends it the signal of that name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap().success());
    }

    /// Its thread of that name.
    #[allow(dead_code, reason = "not every test program looks at threads")]
    pub fn thread(&self, name: &str) -> i32 {
        let tasks = format!("/proc/{}/task", self.child.id());
        let names = |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let task = fs::read_dir(tasks).unwrap().flatten().find(|task| names(task).trim_end() == name).unwrap();
        task.file_name().to_str().unwrap().parse().unwrap()
    }

    /// Sends SIGTERM and waits for the end, no longer than it may take.
    pub fn terminate(mut self) -> ExitStatus {
        let id = self.child.id();
        self.signal("TERM");
        let end = Instant::now() + SHUTDOWN_TIMEOUT + SHUTDOWN_SLACK;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(!self.log().contains("drifted"), "{}", self.log());
                return status;
            }
            assert!(Instant::now() < end, "process {id} still runs after {SHUTDOWN_TIMEOUT:?} and {SHUTDOWN_SLACK:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Siplane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
