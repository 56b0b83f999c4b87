//! The program as an operator meets it: what it says, and its exit status.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Output};

fn siplane(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_siplane")).args(arguments).output().expect("siplane runs")
}

/// A config file of this test's own.
fn config(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the test's folder can be written");
    path
}

fn check(name: &str, text: &str) -> (Option<i32>, String, String) {
    let path = config(name, text);
    let path = path.to_str().expect("a plain path");
    let output = siplane(&["check", "--config", path]);
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").replace(path, "FILE");
    (output.status.code(), said(output.stdout), said(output.stderr))
}

const SMALLEST: &str = "listen = [\"udp:127.0.0.1:5060\"]\n\n[[set]]\nid = 1\nalgorithm = \"round-robin\"\n\
                        destinations = [\"sip:127.0.0.11:5060\", { uri = \"sip:127.0.0.12:5060\", weight = 2 }]\n";

#[test]
fn the_smallest_config_is_complete() {
    let (code, out, error) = check("smallest.toml", SMALLEST);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(out, "FILE: ok: 1 listen addresses, 1 sets, 2 destinations, 0 rules\n");
}

#[test]
fn the_host_is_inspected_behind_the_config_and_a_warning_makes_the_status_1() {
    let path = config("host.toml", SMALLEST);
    let output = siplane(&["check", "--host", "--config", path.to_str().expect("a plain path")]);
    let out = String::from_utf8(output.stdout).expect("text");
    let mut lines = out.lines();
    assert!(
        lines.next().is_some_and(|line| line.ends_with(": ok: 1 listen addresses, 1 sets, 2 destinations, 0 rules")),
        "{out}"
    );
    let findings: Vec<_> = lines.collect();
    assert!(findings.len() >= 10, "{out}");
    for finding in &findings {
        let (level, rest) = finding.split_at(6);
        assert!(["ok    ", "note  ", "warn  "].contains(&level) && rest.contains(": "), "{finding}");
        assert_eq!(level != "ok    ", finding.contains("; cure: "), "{finding}");
    }
    // Tried for real, whatever it comes to here.
    for subject in ["kernel: ", "engine: ", "steering: ", "interface: 127.0.0.1:5060 is on loopback"] {
        assert!(findings.iter().any(|finding| finding[6..].starts_with(subject)), "{subject} is not in:\n{out}");
    }
    let has_warning = findings.iter().any(|finding| finding.starts_with("warn"));
    assert_eq!(output.status.code(), Some(i32::from(has_warning)), "{out}");
}

#[test]
fn a_config_that_cannot_be_used_is_told_before_the_host_is_looked_at() {
    let path = config("host-wrong.toml", "shardz = 3\n");
    let output = siplane(&["check", "--host", "--config", path.to_str().expect("a plain path")]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_core_that_is_not_there_is_told_by_the_hosts_check() {
    let path = config("host-core.toml", &format!("shards = [4000]\n{SMALLEST}"));
    let output = siplane(&["check", "--host", "--config", path.to_str().expect("a plain path")]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("core 4000 is not there"), "{error}");
}

#[test]
fn every_problem_is_told_at_once_with_its_line_and_the_status_is_1() {
    let text = SMALLEST.replace("round-robin", "round-robbin").replace("weight", "wieght") + "shardz = 3\n";
    let (code, out, error) = check("wrong.toml", &text);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("FILE:5: set[0].algorithm: found \"round-robbin\", allowed: round-robin"), "{error}");
    assert!(lines[1].starts_with("FILE:6: set[0].destinations[1].wieght: found an unknown key"), "{error}");
    assert!(
        lines[1].ends_with("(did you mean \"weight\"?)") && lines[2].starts_with("FILE:7: set[0].shardz"),
        "{error}"
    );
}

#[test]
fn a_dispatcher_list_of_10_000_destinations_is_read_whole() {
    // How long that takes is in PERF.md.
    let line = |number: usize| {
        let (set, high, low) = (number / 1_000 + 1, number / 250, number % 250 + 1);
        format!(
            "{set} sip:127.1.{high}.{low}:5060 {} {} duid=d{number};maxload=100;rack=r{}\n",
            number % 2 * 8,
            number % 3,
            number % 40
        )
    };
    let list = config("10000.list", &(0..10_000).map(line).collect::<String>());
    let text = format!(
        "listen = [\"udp:127.0.0.1:5060\"]\ndispatcher_list = \"{}\"\n\n[prober]\ninterval_ms = 10000\n",
        list.display()
    );
    let (code, out, error) = check("10000.toml", &text);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(out, "FILE: ok: 1 listen addresses, 10 sets, 10000 destinations, 0 rules\n");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = siplane(&["run", "--config", "not-there.toml"]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(error.starts_with("not-there.toml: ") || error.contains("not-there.toml"), "{error}");
}

#[test]
fn an_address_that_is_taken_is_named_with_who_has_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    let path = config("taken.toml", &SMALLEST.replace("127.0.0.1:5060", &address.to_string()));
    let output = siplane(&["run", "--config", path.to_str().expect("a plain path")]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&address.to_string()) && error.contains("in use"), "{error}");
}

#[test]
fn help_names_every_command() {
    let help = String::from_utf8(siplane(&["--help"]).stdout).expect("text");
    for word in ["run", "check", "demo", "SIGTERM", "--config"] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
}
