//! `siplane top`: one frame as text, and at a terminal with keys.

use crate::program::Siplane;
use crate::reload::Place;
use crate::socket_path;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

const SETS: &str = "[[set]]\nid = 1\nname = \"bridges\"\ndestinations = [\
    { uri = \"sip:127.62.90.11:5060\", duid = \"gw1\", maxload = 20 }, { uri = \"sip:127.62.90.12:5060\", duid = \"gw2\", maxload = 20 }]\n\
    [[set]]\nid = 2\nname = \"spare\"\ndestinations = [\"sip:127.62.90.13:5060\"]\n";

/// One frame as text.
pub fn once(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_siplane"))
        .args(["top", "--once", "--interval-ms", "100"])
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs `siplane top` at a terminal of `size` and takes these steps there; `done` is told how many are done.
pub fn at_terminal(name: &str, size: &str, steps: &Value, mut done: impl FnMut(usize)) {
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/control/terminal.py");
    let mut command = Command::new("python3");
    command.args([driver, size, &steps.to_string(), env!("CARGO_BIN_EXE_siplane"), "top", "--interval-ms", "100"]);
    command.arg("--socket").arg(socket_path(name)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.zip(1..).for_each(|(_, steps)| done(steps));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn admin(place: &Place, duid: &str) -> Value {
    place.connect().call("dispatcher.get", json!([1, duid])).unwrap()["admin"].take()
}

#[test]
fn one_frame_is_plain_text_with_every_set_destination_and_shard() {
    let place = Place::new("top-once", 90);
    let siplane = place.start("", SETS);
    place.connect().call("dispatcher.drain", json!([1, "gw2"])).unwrap();
    let socket = socket_path("top-once").display().to_string();
    let output = once(&["--socket", &socket]);
    let frame = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let line = |begins: &[&str]| {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        frame
            .lines()
            .map(words)
            .find(|words| words.iter().zip(begins).all(|(word, begin)| word == begin) && words.len() > 1)
    };
    assert!(
        frame
            .lines()
            .next()
            .is_some_and(|line| line.starts_with("siplane 0.1.0  up ") && line.ends_with("s  by load  ready")),
        "{frame}"
    );
    assert_eq!(line(&["1", "bridges"]).unwrap()[2], "1/2", "{frame}");
    assert_eq!(line(&["2", "spare"]).unwrap()[2..], ["1/1", "0", "0", "0"], "{frame}");
    assert_eq!(line(&["1", "gw1"]).unwrap()[2..5], ["sip:127.62.90.11:5060", "active", "enabled"], "{frame}");
    assert_eq!(line(&["1", "gw2"]).unwrap()[2..5], ["sip:127.62.90.12:5060", "active", "draining"], "{frame}");
    assert_eq!(line(&["2", "-"]).unwrap()[2], "sip:127.62.90.13:5060", "{frame}");
    assert!(line(&["SHARD", "MSGS"]).is_some() && line(&["1"]).is_some(), "{frame}");
    assert!(frame.contains("EVENTS\n") && frame.contains("admin: draining"), "{frame}");
    assert!(!frame.contains('\x1b'), "{frame:?}");
    let narrow = text(&once(&["--socket", &socket, "--width", "80"]).stdout);
    assert!(narrow.lines().all(|line| line.chars().count() <= 80) && narrow.contains("draining"), "{narrow}");
    assert_eq!(siplane.terminate().code(), Some(0));
    let output = once(&["--socket", &socket]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    assert!(
        text(&output.stderr).starts_with(&format!("siplane top: cannot connect to {socket}")),
        "{}",
        text(&output.stderr)
    );
    let output = Command::new(env!("CARGO_BIN_EXE_siplane")).args(["top", "--socket", &socket]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "siplane top: this is no terminal; --once prints one frame\n");
}

#[test]
fn a_destination_is_drained_and_enabled_again_by_keys_and_the_terminal_is_as_before() {
    let place = Place::new("top-keys", 91);
    let sets = SETS.replace("127.62.90", "127.62.91");
    let siplane = place.start("", &sets);
    let drain = json!([
        ["see", "bridges"],
        ["type", "\tj"],
        ["see", ">   1 127.62.91.12:5060"],
        ["type", "d"],
        ["see", "drain sip:127.62.91.12:5060 (gw2) of set 1, 0 calls? y/n"],
        ["type", "n"],
        ["see", "drain was not done"],
        ["type", "dy"],
        ["see", "sip:127.62.91.12:5060 (gw2) of set 1 is draining"],
        ["see", "draining"],
        ["type", "?"],
        ["see", "sort by load"],
        ["type", " "],
        ["gone", "sort by load"],
        ["type", "/gw1\r"],
        ["gone", "draining ["],
        ["see", "only \"gw1\""],
        ["size", "170x40"],
        ["see", "DUID"],
        ["type", "q"],
        ["ends", 0],
    ]);
    at_terminal("top-keys", "80x24", &drain, |_| {});
    assert_eq!((admin(&place, "gw1"), admin(&place, "gw2")), (json!("enabled"), json!("draining")));
    let enable = json!([
        ["see", "bridges"],
        ["type", "\t/gw2\r"],
        ["see", "only \"gw2\""],
        ["type", "ey"],
        ["see", "of set 1 is enabled"],
        ["type", "x"],
        ["see", "y/n"],
        ["signal", "TERM"],
        ["ends", 143],
    ]);
    at_terminal("top-keys", "170x40", &enable, |_| {});
    assert_eq!((admin(&place, "gw1"), admin(&place, "gw2")), (json!("enabled"), json!("enabled")));
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_lost_connection_is_told_and_comes_back_by_itself() {
    let place = Place::new("top-lost", 92);
    let sets = SETS.replace("127.62.90", "127.62.92");
    let steps = json!([
        ["see", "NOT CONNECTED, trying again: cannot connect to"],
        ["see", "bridges"],
        ["gone", "NOT CONNECTED"],
        ["see", "NOT CONNECTED"],
        ["type", "\td"],
        ["see", "not connected: nothing can be said"],
        ["type", "q"],
        ["ends", 0],
    ]);
    let mut siplane = None;
    at_terminal("top-lost", "120x30", &steps, |done| match done {
        1 => siplane = Some(place.start("", &sets)),
        3 => assert_eq!(siplane.take().map(Siplane::terminate).and_then(|status| status.code()), Some(0)),
        _ => {}
    });
}
