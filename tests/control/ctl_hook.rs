//! The hook: a program that is run for each event.

use crate::ctl::{done, json};
use crate::reload::{Place, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn sets(host: u8) -> String {
    format!(
        "[[set]]\nid = 1\nname = \"bridges\"\ndestinations = [{{ uri = \"sip:127.62.{host}.11\", duid = \"gw1\" }}]\n"
    )
}

/// A script that does `what`, and the key that names it.
fn hook(place: &Place, what: &str) -> (PathBuf, String) {
    let file = place.file("hook");
    fs::write(&file, format!("#!/bin/sh\n{what}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let key = format!("hook = \"{}\"", file.display());
    (file, key)
}

/// The text of a file, as soon as `enough` says so of it.
fn text(file: &PathBuf, enough: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if enough(&text) {
            return text;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{}: {text}", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_hook_gets_type_and_event_and_its_failure_is_logged() {
    let place = Place::new("hook", 86);
    let folder = place.file("x");
    let folder = folder.parent().unwrap().display();
    let (_, key) = hook(&place, &format!("cat > {folder}/$1; echo not today >&2; [ $1 != operated ]"));
    let siplane = place.start(&key, &sets(86));
    drop(place.connect());
    done(&place, &["disable", "bridges", "gw1"]);
    let admin = json(&text(&place.file("admin"), |text| text.ends_with('\n')));
    assert_eq!((&admin["type"], &admin["duid"], &admin["admin"]), (&json!("admin"), &json!("gw1"), &json!("disabled")));
    wait_for(&siplane, "the hook failed", 1);
    let log = siplane.log();
    assert!(log.contains("exit status: 1: not today"), "{log}");
    assert_eq!(log.matches("the hook failed").count(), 1, "{log}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_few_hooks_run_at_once_and_none_is_left_out() {
    let place = Place::new("hooks", 87);
    let runs = place.file("runs");
    let runs_name = runs.display();
    let (_, key) = hook(&place, &format!("echo begin $1 >> {runs_name}; sleep 0.2; echo end $1 >> {runs_name}"));
    let siplane = place.start(&key, &sets(87));
    let mut ctl = place.connect();
    for _ in 0..12 {
        ctl.call("dispatcher.ping_active", json!([1])).unwrap();
    }
    let text = text(&runs, |text| text.matches("end operated").count() == 12);
    let (mut now, mut most) = (0, 0);
    for line in text.lines() {
        now += if line.starts_with("begin") { 1 } else { -1 };
        most = most.max(now);
    }
    assert!((2..=4).contains(&most), "{most} at once: {text}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_hook_that_does_not_end_is_killed_and_one_that_is_not_there_is_told() {
    let place = Place::new("hanging", 88);
    let (file, key) = hook(&place, "if [ $1 = operated ]; then exec sleep 600; fi");
    let siplane = place.start(&key, &sets(88));
    drop(place.connect());
    done(&place, &["disable", "bridges", "gw1"]);
    wait_for(&siplane, "killed after 10 s", 1);
    fs::remove_file(file).unwrap();
    done(&place, &["enable", "bridges", "gw1"]);
    wait_for(&siplane, "it cannot be run: No such file", 1);
    assert_eq!(siplane.terminate().code(), Some(0));
}
