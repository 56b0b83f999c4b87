//! `[log]`: each format, as whoever reads it gets it, and what is not told.

use crate::clients::wait_for;
use crate::program::Siplane;
use serde_json::Value;
use std::ffi::CString;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn config(log: &str) -> impl FnOnce(SocketAddr) -> String {
    move |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 1\nshutdown_timeout_s = 1\n[log]\n{log}\n\
             [[set]]\nid = 1\ndestinations = [\"sip:127.62.64.11:5060\"]\n"
        )
    }
}

fn start(host: u8, log: &str) -> Siplane {
    Siplane::start(SocketAddr::from(([127, 62, host, 1], 0)), config(log))
}

#[test]
fn text_is_lines_for_people_with_or_without_their_time() {
    let siplane = start(64, "level = \"info\"");
    let log = siplane.log();
    let first = log.lines().next().unwrap();
    let (time, rest) = first.split_at(first.find(' ').unwrap());
    assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{log}");
    assert!(rest.trim_start().starts_with("INFO siplane::cli::run: starting config="), "{log}");
    drop(siplane);
    let log = start(64, "timestamps = false").log();
    assert!(log.trim_start().starts_with("INFO siplane::cli::run: starting config="), "{log}");
}

#[test]
fn json_is_an_object_to_a_line_with_a_key_for_each_thing_that_is_told() {
    let siplane = start(65, "format = \"json\"");
    // It answers before it has told everything.
    let log = wait_for("the table is told", || Some(siplane.log()).filter(|log| log.contains("table published")));
    let objects: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let ready = objects.iter().find(|object| object["message"] == "ready").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&ready["level"], &ready["target"]), (&Value::from("INFO"), &Value::from("siplane::server")));
    assert!(ready["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{ready}");
    assert!(ready["listen"].as_str().is_some_and(|listen| listen.contains(&siplane.address.to_string())), "{ready}");
}

#[test]
fn at_info_nothing_is_told_of_single_calls() {
    let siplane = start(66, "format = \"json\"\nlevel = \"info\"");
    // The last line of a start.
    let before = wait_for("the table is told", || Some(siplane.log()).filter(|log| log.contains("table published")));
    let caller = UdpSocket::bind("127.62.66.2:0").unwrap();
    caller.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let from = caller.local_addr().unwrap();
    for index in 0..50 {
        let method = if index % 2 == 0 { "INVITE" } else { "OPTIONS" };
        let request = format!(
            "{method} sip:bob@127.62.64.11 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{index}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@127.62.66.2>;tag={index}\r\nTo: <sip:bob@127.62.64.11>\r\nCall-ID: log-{index}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:a@{from}>\r\nContent-Length: 0\r\n\r\n"
        );
        caller.send_to(request.as_bytes(), siplane.address).unwrap();
        if method == "INVITE" {
            let mut answer = [0; 2_000];
            caller.recv(&mut answer).unwrap();
            assert!(answer.starts_with(b"SIP/2.0 "));
        }
    }
    assert_eq!(siplane.log(), before);
}

/// Binds the folder `run` to /run, for this process alone.
fn with_run(command: &mut Command, run: &Path) {
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let (run, target, root, none) = (path(run), path(Path::new("/run")), path(Path::new("/")), c"none");
    let prepare = move || {
        let check = |result| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        // SAFETY: both calls are system calls alone, on strings that live; a namespace of its own keeps the mount from everybody else.
        unsafe {
            // Who is not root is in a namespace of users of its own.
            if libc::unshare(libc::CLONE_NEWNS) != 0 {
                check(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS))?;
            }
            let private = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(none.as_ptr(), root.as_ptr(), std::ptr::null(), private, std::ptr::null()))?;
            check(libc::mount(run.as_ptr(), target.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null()))
        }
    };
    // SAFETY: between fork and exec only system calls are made; an error is a number until the parent has it.
    unsafe { command.pre_exec(prepare) };
}

/// The fields of an entry in the journal's protocol: `NAME=VALUE` lines, or `NAME`, its length in 8 bytes, and a value of any bytes.
fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (String::from_utf8_lossy(&entry[..end]).into_owned(), &entry[end + 1..]);
        match line.split_once('=') {
            Some((name, value)) => {
                fields.push((name.to_owned(), value.to_owned()));
                entry = rest;
            }
            None => {
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                fields.push((line, String::from_utf8_lossy(&rest[8..8 + length]).into_owned()));
                entry = &rest[8 + length + 1..];
            }
        }
    }
    fields
}

#[test]
fn the_journal_gets_entries_with_fields_and_standard_error_nothing() {
    let run = std::env::temp_dir().join(format!("siplane-{}-run", std::process::id()));
    fs::create_dir_all(run.join("systemd/journal")).unwrap();
    let journal = UnixDatagram::bind(run.join("systemd/journal/socket")).unwrap();
    journal.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let host = SocketAddr::from(([127, 62, 67, 1], 0));
    let siplane = Siplane::start_as(host, config("format = \"journald\""), |command| with_run(command, &run));
    let listen = siplane.address.to_string();
    let entry = loop {
        let mut bytes = vec![0; 65_536];
        let length = journal.recv(&mut bytes).expect("an entry that says ready");
        let entry = fields(&bytes[..length]);
        if entry.contains(&(String::from("MESSAGE"), String::from("ready"))) {
            break entry;
        }
    };
    let field = |name: &str| entry.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((field("SYSLOG_IDENTIFIER"), field("TARGET")), (Some("siplane"), Some("siplane::server")), "{entry:?}");
    // As syslog numbers them: 5 is a notice, which is what info is mapped to.
    assert_eq!(field("PRIORITY"), Some("5"), "{entry:?}");
    assert!(field("SIPLANE_LISTEN").is_some_and(|told| told.contains(&listen)), "{entry:?}");
    assert_eq!(siplane.log(), "");
    drop(siplane);
    fs::remove_dir_all(run).unwrap();
}

#[test]
fn a_journal_that_is_not_there_is_a_start_error() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("no-journal-{}", std::process::id()));
    fs::create_dir_all(folder.join("run")).unwrap();
    let file = folder.join("siplane.toml");
    fs::write(&file, config("format = \"journald\"")(SocketAddr::from(([127, 62, 68, 1], 5060)))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_siplane"));
    with_run(command.args(["run", "--config"]).arg(&file), &folder.join("run"));
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected =
        format!("siplane: {}: log.format = \"journald\": No such file or directory (os error 2)\n", file.display());
    assert_eq!(told, expected);
    fs::remove_dir_all(folder).unwrap();
}
