//! Draining: under load, with a deadline, interrupted, over a reload and a restart.

use crate::ctl::{calls, command, ctl, done, json};
use crate::reload::Place;
use serde_json::json;
use siplane::cli::demo::{Destination, Load, LoadOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn destinations(host: u8, count: u8) -> Vec<Destination> {
    (11..11 + count).map(|last| Destination::start(SocketAddr::from(([127, 62, host, last], 0))).unwrap()).collect()
}

fn sets(destinations: &[Destination]) -> String {
    let one = |(index, destination): (usize, &Destination)| {
        format!("{{ uri = \"sip:{}\", duid = \"gw{}\" }}", destination.address(), index + 1)
    };
    let all: Vec<String> = destinations.iter().enumerate().map(one).collect();
    // A machine that others use, too, must not make a failover of a late answer.
    format!("[[set]]\nid = 1\nname = \"bridges\"\nanswer_timeout_ms = 20000\ndestinations = [{}]\n", all.join(", "))
}

fn calls_of(place: &Place, duid: &str) -> u64 {
    json(&done(place, &["--json", "show", "bridges", duid]))["calls"].as_u64().unwrap()
}

/// Waits until the destination has so many calls.
fn wait_for_calls(place: &Place, duid: &str, count: u64) {
    let start = Instant::now();
    while calls_of(place, duid) < count {
        assert!(start.elapsed() < Duration::from_secs(20), "no {count} calls at {duid}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const CALLS: usize = 2_000;

#[test]
fn a_drain_under_load_ends_with_the_last_call_and_no_call_is_lost() {
    let place = Place::new("drain-load", 77);
    let destinations = destinations(77, 3);
    let siplane = place.start("", &sets(&destinations));
    let load = Load::start(&LoadOptions {
        source_ports: 8,
        talk: Duration::from_millis(500)..Duration::from_millis(2_500),
        last_wait: Duration::from_secs(30),
        ..LoadOptions::new(siplane.address, CALLS, 200)
    });
    let load = load.unwrap();
    wait_for_calls(&place, "gw1", 30);
    let json_of = |words: &[&str]| json(&done(&place, words));
    let end = json_of(&["--json", "drain", "bridges", "gw1", "--wait", "--deadline", "60s"]);
    assert_eq!((&end["admin"], &end["calls"]), (&json!("draining"), &json!(0)));
    // It ended while calls went on elsewhere, and from now on it gets none.
    let (at_end, others) = (destinations[0].invites(), destinations[1].invites());
    assert!(!load.is_over(), "the load ended before the drain: nothing was tested");
    let before = Instant::now();
    while destinations[1].invites() < others + 20 {
        assert!(before.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((destinations[0].invites(), calls_of(&place, "gw1")), (at_end, 0));
    done(&place, &["drain", "bridges", "gw1", "--undo"]);
    wait_for_calls(&place, "gw1", 1);
    let report = load.wait().unwrap();
    assert_eq!((report.placed, report.lost()), (CALLS as u64, 0), "{:?} {:?}", report.refused, report.faults);
    let events = json_of(&["--json", "events", "--limit", "100"]);
    let of = |kind: &str| events["events"].as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
    assert_eq!(of("drained"), 1, "{events}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_deadline_and_somebody_elses_word_end_the_wait_and_a_reload_does_not() {
    let place = Place::new("drain-deadline", 78);
    let destinations = destinations(78, 1);
    let siplane = place.start("", &sets(&destinations));
    let load = calls(siplane.address, 2, Duration::from_secs(12));
    wait_for_calls(&place, "gw1", 2);
    let ran = ctl(&place, &["drain", "bridges", "gw1", "--wait", "--deadline", "1s"]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let uri = format!("sip:{}", destinations[0].address());
    assert_eq!(
        ran.err,
        format!("siplane ctl: the deadline has come with 2 calls left; {uri} of set 1 goes on draining\n")
    );
    assert!(ran.out.contains("of set 1: 2 calls left, too early to say how long\n"), "{}", ran.out);
    let mut waits = command(&place.socket(), &["drain", "1", "gw1", "--wait"]).spawn().unwrap();
    first_line(&mut waits);
    done(&place, &["set", "1", "gw1", "weight=7"]);
    done(&place, &["reload"]);
    assert_eq!(json(&done(&place, &["--json", "show", "1", "gw1"]))["admin"], json!("draining"));
    assert_eq!(waits.try_wait().unwrap(), None, "a reload ended the wait");
    done(&place, &["enable", "1", "gw1"]);
    let ended = waits.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(err, format!("siplane ctl: {uri} of set 1 is no longer draining: somebody said enabled\n"));
    assert_eq!(load.wait().unwrap().lost(), 0);
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// The first line that it writes: it waits by then.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    // What it writes later stays in the pipe.
    let mut out = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
    out.read_line(&mut line).unwrap();
    line
}

#[test]
fn an_interrupt_leaves_the_drain_on_and_says_so() {
    let place = Place::new("drain-int", 79);
    let destinations = destinations(79, 1);
    let siplane = place.start("", &sets(&destinations));
    let load = calls(siplane.address, 1, Duration::from_secs(6));
    wait_for_calls(&place, "gw1", 1);
    let mut waits = command(&place.socket(), &["drain", "bridges", "gw1", "--wait"]).spawn().unwrap();
    assert!(first_line(&mut waits).contains("1 calls left"));
    let id = waits.id();
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {id}")]).status().unwrap().success());
    let ended = waits.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{err}");
    assert!(err.contains("goes on draining, 1 calls left: drain --undo takes it back"), "{err}");
    assert_eq!(json(&done(&place, &["--json", "show", "1", "gw1"]))["admin"], json!("draining"));
    assert_eq!(load.wait().unwrap().lost(), 0);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_drain_and_the_wait_for_it_outlive_a_restart_with_a_state_file() {
    let place = Place::new("drain-restart", 80);
    let destinations = destinations(80, 1);
    let control = format!("state_file = \"{}\"", place.file("state.json").display());
    let siplane = place.start(&control, &sets(&destinations));
    let _load = calls(siplane.address, 1, Duration::from_secs(30));
    wait_for_calls(&place, "gw1", 1);
    let mut waits = command(&place.socket(), &["drain", "bridges", "gw1", "--wait"]).spawn().unwrap();
    assert!(first_line(&mut waits).contains("1 calls left"));
    assert_eq!(siplane.terminate().code(), Some(0));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(waits.try_wait().unwrap(), None, "nobody there ended the wait");
    let siplane = place.start(&control, &sets(&destinations));
    // The new process knows nothing of the call: there is nothing left to wait for.
    let ended = waits.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8(ended.stdout).unwrap().contains("is drained after"));
    assert_eq!(json(&done(&place, &["--json", "show", "1", "gw1"]))["admin"], json!("draining"));
    assert_eq!(siplane.terminate().code(), Some(0));
}
