//! The generator on real sockets: through siplane, through the null forwarder, and against what spoils a run.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const GENERATOR: &str = env!("CARGO_BIN_EXE_siplane-load");

/// A program that is ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Another program of the workspace, beside ours; built when it is not there, or when `always`.
fn program(name: &str, always: bool) -> PathBuf {
    let path = PathBuf::from(GENERATOR).with_file_name(name);
    if always || !path.exists() {
        let release = path.parent().is_some_and(|folder| folder.ends_with("release"));
        let profile: &[&str] = if release { &["--release"] } else { &[] };
        let built =
            Command::new(env!("CARGO")).args(["build", "--quiet", "--locked", "-p", name]).args(profile).status();
        assert!(built.unwrap().success(), "{name} was not built");
    }
    path
}

/// An address range of a test's own.
struct Range(String);

impl Range {
    fn new(test: u8) -> Self {
        Self(format!("127.{}.{test}", 100 + std::process::id() % 150))
    }

    fn proxy(&self) -> String {
        format!("{}.1:5060", self.0)
    }

    fn generate(&self, words: &str) -> Output {
        let Self(range) = self;
        Command::new(GENERATOR)
            .args(["--json", "--lag-ms", "60000", "--proxy", &self.proxy()])
            .args(["--uac", &format!("{range}.2:0"), "--uas", &format!("{range}.3:6060")])
            .args(words.split(' '))
            .output()
            .unwrap()
    }

    fn siplane(&self, destinations: u16) -> Program {
        let Self(range) = self;
        let rows: Vec<_> = (0..destinations).map(|at| format!("{{ uri = \"sip:{range}.3:{}\" }}", 6060 + at)).collect();
        let config = format!(
            "listen = [\"udp:{}\"]\nshards = 1\n[[set]]\nid = 1\nalgorithm = \"round-robin\"\ndestinations = [{}]\n",
            self.proxy(),
            rows.join(", ")
        );
        let path = std::env::temp_dir().join(format!("siplane-load-{}-{range}.toml", std::process::id()));
        std::fs::write(&path, config).unwrap();
        let started = start(Command::new(program("siplane", false)).args(["run", "--config"]).arg(&path));
        self.wait_ready();
        let _ = std::fs::remove_file(path);
        started
    }

    /// Until OPTIONS is answered.
    fn wait_ready(&self) {
        let socket = UdpSocket::bind(format!("{}.9:0", self.0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let local = socket.local_addr().unwrap();
        let request = format!(
            "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready\r\nFrom: <sip:a@{local}>;tag=1\r\n\
            To: <sip:{0}>\r\nCall-ID: ready@{local}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            self.proxy()
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let _ = socket.send_to(request.as_bytes(), self.proxy());
            if socket.recv(&mut [0; 2048]).is_ok() {
                return;
            }
        }
        panic!("siplane does not answer at {}", self.proxy());
    }

    fn null_forwarder(&self, engine: &str) -> Program {
        let uas = format!("{}.3:6060", self.0);
        start(Command::new(program("null-forwarder", true)).args([
            "--listen",
            &self.proxy(),
            "--uas",
            &uas,
            "--engine",
            engine,
        ]))
    }
}

fn start(command: &mut Command) -> Program {
    Program(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// The last line of JSON.
fn summary(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = text.lines().last().unwrap_or_default();
    assert!(line.starts_with("{\"type\":\"summary\""), "{text}{}", String::from_utf8_lossy(&output.stderr));
    line.to_owned()
}

/// A member's number; -1 when it is missing.
fn number(json: &str, name: &str) -> f64 {
    let rest = json.split_once(&format!("\"{name}\":")).map_or("", |(_, rest)| rest);
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(-1.0)
}

#[track_caller]
fn assert_figures(json: &str, figures: &[(&str, f64)]) {
    for (name, figure) in figures {
        assert!((number(json, name) - figure).abs() < f64::EPSILON, "{name} is not {figure}: {json}");
    }
}

#[test]
fn every_kind_of_call_through_siplane_is_clean_and_counted() {
    let range = Range::new(1);
    let siplane = range.siplane(3);
    let words = "--concurrency 20 --calls 400 --destinations 3 --sources 2 --hold-ms 5 --ring-ms 5 --trying";
    let mix = "--mix ok=6,busy=1,cancel=1,unavailable=1,reinvite=1";
    for mode in ["--segment --connect", "--segment --join", "--join --vary-sizes"] {
        let json = summary(&range.generate(&format!("{words} {mix} {mode} --pid {}", siplane.0.id())));
        assert!(json.contains("\"clean\":true"), "{mode}: {json}");
        assert_figures(
            &json,
            &[("offered", 400.0), ("completed", 400.0), ("failures", 0.0), ("violations", 0.0), ("foreign", 0.0)],
        );
        for kind in ["ok", "busy", "cancel", "unavailable", "reinvite"] {
            assert!(number(&json, kind) > 10.0, "{mode}, {kind}: {json}");
        }
        assert_figures(&json, &[("moved", number(&json, "unavailable")), ("cancels", number(&json, "cancel"))]);
        // Each answer has its ACK, and so has that of each INVITE inside a dialog.
        assert_figures(&json, &[("acked", number(&json, "answered"))]);
        assert!(number(&json, "tested_cpu_us_per_call") > 0.0 && number(&json, "own_cpu_us_per_call") > 0.0, "{json}");
    }
}

#[test]
fn two_threads_keep_an_open_loops_rate_beside_calls_that_stay() {
    let range = Range::new(2);
    let siplane = range.siplane(1);
    let words = "--rate 400 --poisson --duration 0.5 --hold-open 300 --per-second --uac-core 0 --uas-core 1 --descendants --pid";
    let output = range.generate(&format!("{words} {}", siplane.0.id()));
    let json = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{json}");
    let offered = number(&json, "offered");
    assert!((120.0..280.0).contains(&offered), "{json}");
    assert_figures(
        &json,
        &[("completed", offered), ("held_open", 300.0), ("byes", offered), ("answered", offered + 300.0)],
    );
}

#[test]
fn calls_through_the_null_forwarder_are_whole_by_either_engine() {
    for (test, engine) in [(3, "mmsg"), (4, "ring")] {
        let range = Range::new(test);
        let forwarder = range.null_forwarder(engine);
        for mode in ["", " --segment --join", " --vary-sizes"] {
            let words = format!("--concurrency 10 --calls 200 --through-null 90 --pid {}{mode}", forwarder.0.id());
            let output = range.generate(&words);
            let json = summary(&output);
            assert_eq!(output.status.code(), Some(0), "{engine}{mode}: {json}");
            assert_figures(&json, &[("completed", 200.0), ("violations", 0.0), ("failures", 0.0), ("acked", 200.0)]);
            // Each INVITE drew a 100 that nobody can read.
            assert!(number(&json, "foreign") >= 200.0, "{engine}{mode}: {json}");
        }
    }
}

#[test]
fn callers_reach_the_callee_without_anything_between() {
    let Range(range) = Range::new(9);
    let words = "--concurrency 5 --calls 50 --through-null 0 --json --lag-ms 60000";
    let callee = format!("{range}.3:6060");
    let output = Command::new(GENERATOR).args(["--proxy", &callee, "--uas", &callee]).args(words.split(' ')).output();
    let json = summary(&output.unwrap());
    assert_figures(&json, &[("completed", 50.0), ("violations", 0.0), ("foreign", 0.0), ("acked", 50.0)]);
}

#[test]
fn what_no_proxy_may_do_is_a_violation_with_a_sample() {
    let range = Range::new(5);
    let _forwarder = range.null_forwarder("mmsg");
    // Cuts into bodies, and adds neither Via nor Record-Route. Its ACKs and BYEs go to the callee and not through it.
    let output = range.generate("--concurrency 1 --calls 5 --timeout-ms 1000");
    let json = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{json}");
    assert!(number(&json, "violations") >= 10.0, "{json}");
    assert!(json.contains("another number of Vias") && json.contains("\"samples\":[\""), "{json}");
}

// RFC 3261 §17.1.1.2
#[test]
fn an_invite_without_an_answer_is_sent_again_and_its_call_fails() {
    let words = "--concurrency 3 --calls 3 --timeout-ms 1200";
    for (more, resent) in [("", 3.0), (" --no-retransmit", 0.0)] {
        let output = Range::new(6).generate(&format!("{words}{more}"));
        let json = summary(&output);
        assert_eq!(output.status.code(), Some(1), "{json}");
        assert_figures(
            &json,
            &[("invite_timeout", 3.0), ("failures", 3.0), ("requests_resent", resent), ("completed", 0.0)],
        );
    }
}

#[test]
fn calls_that_are_open_when_nobody_waits_for_them_any_more_are_unfinished() {
    let output = Range::new(8).generate("--rate 20 --duration 0.5 --grace-ms 0");
    let json = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{json}");
    assert_figures(&json, &[("offered", 10.0), ("unfinished", 10.0), ("failures", 10.0), ("completed", 0.0)]);
}

#[test]
fn what_cannot_be_run_is_told_with_status_2() {
    let output = Range::new(7).generate("--concurrency 3 --calls 3 --mix unavailable=1");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--destinations 2"));
}
