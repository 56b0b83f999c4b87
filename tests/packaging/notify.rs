//! What systemd hears, told by the real program to a socket of the test's own.

use crate::program::Siplane;
use std::fs;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

/// On a machine that builds something else meanwhile.
const AT_LAST: Duration = Duration::from_secs(20);
/// What the test asks for as `WatchdogSec`.
const WATCHDOG: Duration = Duration::from_millis(400);

/// The socket that `NOTIFY_SOCKET` names.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
}

impl Systemd {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("siplane-notify-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, path, heard: Vec::new() }
    }

    fn start(&self, host: u8) -> Siplane {
        self.start_with(host, "")
    }

    fn start_with(&self, host: u8, control: &str) -> Siplane {
        let config = |address| {
            format!(
                "listen = [\"udp:{address}\"]\nshards = 2\nshutdown_timeout_s = 3\n[[set]]\nid = 1\ndestinations = [\n\
                 \"sip:127.62.{host}.11:5060\", {{ uri = \"sip:127.62.{host}.12:5060\", disabled = true }}]\n{control}"
            )
        };
        Siplane::start_as(SocketAddr::from(([127, 62, host, 1], 0)), config, |command| {
            command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        })
    }

    /// Listens until some line passes, or for `within`; whether one did.
    fn hears(&mut self, within: Duration, passes: impl Fn(&str) -> bool) -> bool {
        let end = Instant::now() + within;
        let mut buffer = [0; 4_096];
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let lines = String::from_utf8(buffer[..length].to_vec()).unwrap();
                    let found = lines.lines().any(&passes);
                    self.heard.extend(lines.lines().map(str::to_owned));
                    if found {
                        return true;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
        }
        false
    }

    fn hears_line(&mut self, line: &str) -> bool {
        self.hears(AT_LAST, |heard| heard == line)
    }

    /// Forgets what was sent so far.
    fn drain(&mut self) {
        while self.hears(Duration::from_millis(1), |_| true) {}
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn systemd_hears_of_the_start_of_life_and_of_the_end() {
    let mut systemd = Systemd::new("life");
    let siplane = systemd.start(31);
    assert!(systemd.hears_line("READY=1"), "{:?}", systemd.heard);
    assert!(systemd.hears_line("WATCHDOG=1") && systemd.hears_line("WATCHDOG=1"), "{:?}", systemd.heard);
    let status = "STATUS=0 calls; 1 of 2 destinations in 1 sets available";
    assert!(systemd.heard.iter().any(|line| line == status), "{:?}", systemd.heard);
    assert_eq!(systemd.heard.iter().filter(|line| line.starts_with("STATUS=")).count(), 1, "only what has changed");
    assert_eq!(siplane.terminate().code(), Some(0));
    assert!(systemd.hears_line("STOPPING=1"), "{:?}", systemd.heard);
    // What the config allows and what threads need to end: systemd's own bound would cut a longer one off.
    assert!(systemd.heard.contains(&String::from("EXTEND_TIMEOUT_USEC=13000000")), "{:?}", systemd.heard);
    let place = |line: &str| systemd.heard.iter().position(|heard| heard == line);
    assert_eq!(place("READY=1"), Some(0));
    assert!(place("WATCHDOG=1") < place("STOPPING=1"), "{:?}", systemd.heard);
}

#[test]
fn a_stuck_shard_ends_what_the_watchdog_hears_until_it_moves_again() {
    let mut systemd = Systemd::new("stuck");
    let siplane = systemd.start(32);
    assert!(systemd.hears_line("WATCHDOG=1"), "{:?}", systemd.heard);
    let stopped = Stopped::thread(siplane.thread("shard-1"));
    let said = |what: &str| {
        let end = Instant::now() + AT_LAST;
        while !siplane.log().contains(what) {
            assert!(Instant::now() < end, "{what} is not in:\n{}", siplane.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    said("a shard is stuck");
    systemd.drain();
    assert!(!systemd.hears(5 * WATCHDOG, |line| line == "WATCHDOG=1"), "{:?}", systemd.heard);
    drop(stopped);
    assert!(systemd.hears_line("WATCHDOG=1"), "{:?}", systemd.heard);
    said("the shard gets on again");
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// What systemd hears of one reload that `ask` asks for.
fn reload_is_heard(systemd: &mut Systemd, ask: impl FnOnce()) {
    systemd.drain();
    systemd.heard.clear();
    ask();
    assert!(systemd.hears_line("READY=1"), "{:?}", systemd.heard);
    let told: Vec<&str> =
        systemd.heard.iter().map(String::as_str).filter(|line| !line.starts_with("WATCHDOG")).collect();
    let [begins, at, "READY=1"] = told[..] else { panic!("{told:?}") };
    assert_eq!(begins, "RELOADING=1");
    // Of CLOCK_MONOTONIC, microseconds: systemd 253 and later ask for it.
    let at: u64 = at.strip_prefix("MONOTONIC_USEC=").unwrap_or_else(|| panic!("{told:?}")).parse().unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!((uptime - at as f64 / 1e6).abs() < AT_LAST.as_secs_f64(), "{at}, up for {uptime} s");
}

#[test]
fn systemd_hears_of_every_reload_and_the_units_own_fails_when_the_file_is_bad() {
    const UNIT: &str = include_str!("../../packaging/siplane.service");
    let mut systemd = Systemd::new("reload");
    let socket = std::env::temp_dir().join(format!("siplane-notify-{}.sock", std::process::id()));
    let siplane = systemd.start_with(33, &format!("[control]\nsocket = \"{}\"\n", socket.display()));
    assert!(systemd.hears_line("READY=1"), "{:?}", systemd.heard);
    reload_is_heard(&mut systemd, || siplane.signal("HUP"));
    let words = UNIT.lines().find_map(|line| line.strip_prefix("ExecReload=/usr/bin/siplane ")).unwrap();
    let reload = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_siplane"));
        let output = command.args(words.split(' ')).arg("--socket").arg(&socket).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    reload_is_heard(&mut systemd, || assert_eq!(reload(), (Some(0), String::new())));
    let good = fs::read_to_string(siplane.config()).unwrap();
    fs::write(siplane.config(), good.replace("shards", "shards_typo")).unwrap();
    // What was in force still is: calls go on, and so does what systemd thinks of it.
    reload_is_heard(&mut systemd, || {
        let (status, told) = reload();
        assert!(status == Some(1) && told.contains("siplane.toml:2: shards_typo: "), "{status:?} {told}");
    });
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// A thread of another process that stands still, as a debugger would have it, until this is dropped.
struct Stopped(i32);

impl Stopped {
    fn thread(id: i32) -> Self {
        // SAFETY: these requests take no pointer that is followed; the thread is one of a child of ours.
        unsafe {
            let seized = libc::ptrace(libc::PTRACE_SEIZE, id, null_mut::<u8>(), null_mut::<u8>());
            assert_eq!(seized, 0, "{}", Error::last_os_error());
            let interrupted = libc::ptrace(libc::PTRACE_INTERRUPT, id, null_mut::<u8>(), null_mut::<u8>());
            assert_eq!(interrupted, 0, "{}", Error::last_os_error());
            assert_eq!(libc::waitpid(id, null_mut(), libc::__WALL), id, "{}", Error::last_os_error());
        }
        Self(id)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, null_mut::<u8>(), null_mut::<u8>()) };
    }
}
