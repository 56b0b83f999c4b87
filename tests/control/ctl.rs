//! `siplane ctl` as people and programs call it.

use crate::reload::Place;
use serde_json::{Value, json};
use siplane::cli::demo::{Load, LoadOptions};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

/// `siplane ctl` with these words, not yet run.
pub fn command(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siplane"));
    command.arg("ctl").arg("--socket").arg(socket).args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn ran(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `siplane ctl` for the siplane of `place`.
pub fn ctl(place: &Place, words: &[&str]) -> Ran {
    ran(command(&place.socket(), words))
}

/// Its standard output; it must succeed.
pub fn done(place: &Place, words: &[&str]) -> String {
    let ran = ctl(place, words);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{words:?}: {}", ran.out);
    ran.out
}

/// Its standard error; it must fail as what siplane refuses.
pub fn refused(place: &Place, words: &[&str]) -> String {
    let ran = ctl(place, words);
    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""), "{words:?}: {}", ran.err);
    ran.err
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// So many long calls through `proxy` from its own address, each for `talk`; nobody waits for them.
pub fn calls(proxy: SocketAddr, count: usize, talk: Duration) -> Load {
    let options = LoadOptions {
        talk: talk..talk + Duration::from_millis(1),
        callee_hangs_up_percent: 0,
        last_wait: talk + Duration::from_secs(5),
        ..LoadOptions::new(proxy, count, 1_000)
    };
    Load::start(&options).unwrap()
}

fn sets(host: u8) -> String {
    format!(
        "[[set]]\nid = 1\nname = \"bridges\"\ndestinations = [\
         {{ uri = \"sip:127.62.{host}.11:5060\", duid = \"gw1\", weight = 3, maxload = 20 }}, \
         {{ uri = \"sip:127.62.{host}.12:5060\", maxload = 30 }}]\n\
         [[set]]\nid = 2\nname = \"carriers\"\ndestinations = [\"sip:127.62.{host}.21\"]\n\
         [[rule]]\nset = 1\n"
    )
}

#[test]
fn sets_and_destinations_are_shown_by_number_and_name_and_what_is_missing_is_told_with_what_is_there() {
    let place = Place::new("ctl-list", 71);
    let siplane = place.start("", &sets(71));
    drop(place.connect());
    let text = done(&place, &["list"]);
    assert!(text.contains("set 1 bridges: 2 of 2 available, 0 calls of 50 (0%)\n"), "{text}");
    assert!(text.contains("\nset 2 carriers: 1 of 1 available, 0 calls\n"), "{text}");
    assert!(text.contains("\n  active  sip:127.62.71.11:5060  gw1"), "{text}");
    assert!(!text.contains('\x1b'), "colour where no terminal is: {text}");
    for name in ["2", "carriers"] {
        let text = done(&place, &["list", name]);
        assert!(text.starts_with("set 2 carriers") && !text.contains("bridges"), "{text}");
    }
    let known = json(&done(&place, &["--json", "list"]));
    assert_eq!((&known["sets"][0]["name"], &known["sets"][1]["set"]), (&json!("bridges"), &json!(2)));
    assert_eq!(known["destinations"][0]["duid"], json!("gw1"));
    let told = "siplane ctl: no set 7; sets: 1 bridges, 2 carriers\n";
    let missing =
        ["list 7", "show 7 gw1", "drain 7 gw1", "enable 7 gw1", "disable 7 gw1", "set 7 gw1 weight=1", "remove 7 gw1"];
    for words in missing.iter().chain(&["set-state 7 gw1 active", "set-state 7 all active"]) {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(refused(&place, &words), told, "{words:?}");
        let by_name: Vec<&str> = words.iter().map(|word| if *word == "7" { "nobody" } else { word }).collect();
        assert_eq!(refused(&place, &by_name), told.replace('7', "nobody"), "{by_name:?}");
    }
    for command in ["show", "drain", "disable", "enable", "remove"] {
        let fault = refused(&place, &[command, "bridges", "gw9"]);
        let uris = "sip:127.62.71.11:5060, sip:127.62.71.12:5060";
        assert_eq!(fault, format!("siplane ctl: no destination gw9 in set 1; those there: {uris}\n"), "{command}");
    }
    let text = done(&place, &["show", "bridges", "gw1"]);
    assert!(
        text.contains("\nuri ") && text.contains("\nmaxload ") && text.contains("\ncounters\n  selected"),
        "{text}"
    );
    let uri = "sip:127.62.71.12:5060";
    assert_eq!(json(&done(&place, &["show", "1", uri, "--json"]))["uri"], json!(uri));
    assert_eq!(siplane.terminate().code(), Some(0));
}

fn state(place: &Place, index: usize) -> String {
    json(&done(place, &["--json", "list", "bridges"]))["destinations"][index]["standing"].as_str().unwrap().to_owned()
}

#[test]
fn what_operators_say_is_done_and_shown() {
    let place = Place::new("ctl-say", 72);
    let siplane = place.start("", &sets(72));
    drop(place.connect());
    assert_eq!(
        done(&place, &["disable", "bridges", "gw1"]),
        "sip:127.62.72.11:5060 of set 1 is disabled; it has 0 calls\n"
    );
    assert_eq!(state(&place, 0), "disabled");
    assert!(done(&place, &["enable", "1", "sip:127.62.72.11:5060"]).contains("is enabled"));
    assert_eq!(state(&place, 0), "active");
    assert_eq!(done(&place, &["set-state", "bridges", "gw1", "inactive"]), "Ok. Dispatcher state updated.\n");
    assert_eq!(state(&place, 0), "inactive");
    done(&place, &["set-state", "bridges", "sip:127.62.72.12:5060", "trying", "--probe"]);
    assert_eq!(state(&place, 1), "trying");
    done(&place, &["set-state", "bridges", "all", "active"]);
    assert_eq!((state(&place, 0), state(&place, 1)), (String::from("active"), String::from("active")));
    assert_eq!(
        done(&place, &["drain", "bridges", "gw1"]),
        "sip:127.62.72.11:5060 of set 1 is draining: no new calls, 0 go on\n"
    );
    assert_eq!(state(&place, 0), "draining");
    assert!(done(&place, &["drain", "bridges", "gw1", "--undo"]).contains("gets new calls again"));
    assert_eq!(state(&place, 0), "active");
    let fault = refused(&place, &["drain", "bridges", "gw1", "--undo"]);
    assert_eq!(fault, "siplane ctl: gw1 is not draining, but enabled\n");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn what_is_changed_at_run_time_is_told_and_what_a_reload_makes_of_it() {
    let place = Place::new("ctl-set", 73);
    let siplane = place.start("", &sets(73));
    drop(place.connect());
    let text = done(&place, &["set", "bridges", "gw1", "weight=5", "attrs=region=eu"]);
    assert!(text.contains("weight: 3 -> 5\n") && text.ends_with("until the next reload\n"), "{text}");
    assert_eq!(done(&place, &["set", "bridges", "gw1", "weight=5"]), "nothing changed\n");
    let fault = refused(&place, &["set", "bridges", "gw1", "weight=x"]);
    assert_eq!(fault, "siplane ctl: weight: found \"x\", allowed: a whole number\n");
    let uri = "sip:127.62.73.13:5060";
    assert_eq!(done(&place, &["add", "bridges", uri, "--attrs", "duid=gw3"]), "Ok. Dispatcher destination added.\n");
    assert_eq!(json(&done(&place, &["--json", "show", "bridges", "gw3"]))["uri"], json!(uri));
    let text = done(&place, &["reload", "--dry-run"]);
    assert!(text.starts_with("0 added, 1 removed, 1 changed, 2 of which take back"), "{text}");
    assert!(text.contains("weight 5 -> 3") && text.contains("(takes back a change at run time)"), "{text}");
    assert!(done(&place, &["show", "bridges", "gw3"]).contains(uri), "a dry run changes nothing");
    done(&place, &["remove", "bridges", "gw3"]);
    assert!(refused(&place, &["remove", "bridges", uri]).contains("no destination sip:127.62.73.13:5060 in set 1"));
    assert!(done(&place, &["reload"]).starts_with("0 added, 0 removed, 1 changed"));
    assert_eq!(json(&done(&place, &["--json", "show", "bridges", "gw1"]))["weight"], json!(3));
    assert!(done(&place, &["rollback"]).starts_with("0 added, 0 removed, 1 changed"));
    fs::write(siplane.config(), "banana").unwrap();
    let fault = refused(&place, &["reload"]);
    assert!(fault.contains("siplane.toml:1:"), "{fault}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn ping_methods_hash_and_any_method_answer() {
    let place = Place::new("ctl-any", 74);
    let siplane = place.start("", &sets(74));
    drop(place.connect());
    assert!(done(&place, &["ping"]).starts_with("siplane answers, up for "));
    assert!(json(&done(&place, &["--json", "ping"]))["uptime"].is_u64());
    let methods = done(&place, &["methods"]);
    assert!(methods.contains("\ndispatcher.drain ") && methods.contains("Takes: set destination."), "{methods}");
    assert!(json(&done(&place, &["--json", "methods"])).as_array().unwrap().contains(&json!("events.list")));
    assert!(done(&place, &["methods", "events.list"]).contains("Takes: [after] [limit]."));
    assert!(!json(&done(&place, &["--json", "stats"])).as_object().unwrap().is_empty());
    let text = done(&place, &["hash", "8", "a84b4c76e66710"]);
    assert!(text.contains("hashid") && text.contains("slot"), "{text}");
    let by_hand = done(&place, &["--json", "rpc", "dispatcher.hash", "8", "a84b4c76e66710"]);
    assert_eq!(by_hand, done(&place, &["--json", "hash", "8", "a84b4c76e66710"]));
    let named = done(&place, &["--json", "rpc", "dispatcher.get", r#"{"set": 1, "destination": "gw1"}"#]);
    assert_eq!(json(&named)["duid"], json!("gw1"));
    assert_eq!(refused(&place, &["rpc", "no.such"]), "siplane ctl: no method no.such; system.listMethods tells all\n");
    // Who reads no further has what it wanted.
    let program = env!("CARGO_BIN_EXE_siplane");
    let line = format!("{program} ctl --socket {} methods | head -n 1", place.socket().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]);
    let ran = ran(shell);
    assert_eq!((ran.status, ran.err.as_str(), ran.out.lines().count()), (Some(0), "", 1));
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn nobody_there_and_bad_usage_have_exit_status_2_and_a_cure() {
    let place = Place::new("ctl-usage", 75);
    let ran_here = ctl(&place, &["list"]);
    assert_eq!(ran_here.status, Some(2));
    assert!(ran_here.err.contains("No such file") && ran_here.err.contains("does siplane run"), "{}", ran_here.err);
    let left_over = place.socket();
    drop(UnixListener::bind(&left_over).unwrap());
    let ran_there = ctl(&place, &["ping"]);
    assert_eq!(ran_there.status, Some(2));
    assert!(ran_there.err.contains("nobody listens there: siplane does not run"), "{}", ran_there.err);
    fs::remove_file(left_over).unwrap();
    for words in [
        &["lost"][..],
        &["set", "1", "gw1"],
        &["set", "1", "gw1", "wieght=1"],
        &["set-state", "1", "gw1", "up"],
        &["drain", "1", "gw1", "--deadline", "5m"],
        &["drain", "1", "gw1", "--wait", "--deadline", "soon"],
        &["drain", "1", "gw1", "--wait", "--undo"],
    ] {
        let ran = ctl(&place, words);
        assert_eq!(ran.status, Some(2), "{words:?}: {}", ran.err);
    }
    // The config names the socket; one without is told.
    let file = place.file("siplane.toml");
    let with = |control: &str| {
        let sets = "[[set]]\nid = 1\ndestinations = [\"sip:127.62.75.11\"]\n";
        fs::write(&file, format!("listen = [\"udp:127.62.75.1\"]\n{control}\n{sets}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_siplane"));
        command.args(["ctl", "ping", "--config"]).arg(&file);
        ran(command)
    };
    let without = with("");
    assert_eq!((without.status, without.err.contains("no [control] socket")), (Some(2), true), "{}", without.err);
    // Neither what is wrong elsewhere in it nor a database that is down keeps an operator from asking.
    let broken = "[database]\nurl = \"sqlite:///nowhere/d.db\"\n[wrong]\n[control]\nsocket = \"/nowhere/ctl.sock\"";
    let named = with(broken);
    assert_eq!((named.status, named.err.contains("cannot connect to /nowhere/ctl.sock")), (Some(2), true));
}
