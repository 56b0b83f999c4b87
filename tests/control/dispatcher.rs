//! `dispatcher.*` beyond what Kamailio has, and what of it outlives reloads and restarts, through the unix stream socket.

use crate::program::Siplane;
use crate::reload::{Ctl, Place};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

fn letters(ctl: &mut Ctl) -> Vec<(String, String)> {
    let list = ctl.call("dispatcher.list", json!(["short"])).unwrap();
    let mut letters: Vec<_> = list["RECORDS"].as_array().unwrap().iter().flat_map(targets).collect();
    letters.sort();
    letters
}

fn targets(record: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = record["SET"]["TARGETS"].as_array().unwrap().iter();
    all.map(|target| (text(&target["DEST"]["URI"]), text(&target["DEST"]["FLAGS"]))).collect()
}

#[test]
fn one_destination_tells_everything_and_who_said_what_of_it() {
    let place = Place::new("get", 21);
    let siplane = place.start(
        "",
        "[[set]]\nid = 1\nname = \"bridges\"\ndestinations = [\
        { uri = \"sip:127.62.21.11:5060\", duid = \"a\", weight = 3, attrs = \"x=y\" }, \"sip:127.62.21.12:5060\"]\n",
    );
    let mut ctl = place.connect();
    let a = ctl.call("dispatcher.get", json!([1, "a"])).unwrap();
    assert_eq!(
        a,
        ctl.call("dispatcher.get", json!({"destination": "SIP:127.62.21.11:5060", "set": "1"}))
            .map(|mut same| {
                same["since_s"] = a["since_s"].clone();
                same["since"] = a["since"].clone();
                same
            })
            .unwrap()
    );
    assert_eq!(
        (&a["weight"], &a["attrs"], &a["health"], &a["admin"]),
        (&json!(3), &json!("x=y"), &json!("active"), &json!("enabled"))
    );
    assert_eq!((&a["available"], &a["why"], &a["calls"]), (&json!(true), &json!("start"), &json!(0)));
    let drained = ctl.call("dispatcher.drain", json!([1, "a"])).unwrap();
    assert_eq!((&drained["admin"], &drained["calls"]), (&json!("draining"), &json!(0)));
    let a = ctl.call("dispatcher.get", json!([1, "a"])).unwrap();
    assert_eq!((&a["admin"], &a["why"], &a["flags"]), (&json!("draining"), &json!("operator"), &json!("DX")));
    ctl.call("dispatcher.report_load", json!([1, "a", "40/100"])).unwrap();
    let a = ctl.call("dispatcher.get", json!([1, "a"])).unwrap();
    assert_eq!((&a["reported"]["in_use"], &a["reported"]["capacity"]), (&json!(0.4), &json!(100)));
    let bad = ctl.call("dispatcher.report_load", json!([1, "a", "much"])).unwrap_err();
    assert!(bad.contains("load: found \"much\""), "{bad}");
    for (params, told) in [
        (json!([7, "a"]), "no set 7; sets: 1 bridges"),
        (json!([1, "b"]), "no destination b in set 1; those there: sip:127.62.21.11:5060, sip:127.62.21.12:5060"),
    ] {
        for method in ["get", "drain", "enable", "disable", "modify"] {
            assert_eq!(ctl.call(&format!("dispatcher.{method}"), params.clone()).unwrap_err(), told, "{method}");
        }
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn what_is_modified_at_run_time_lasts_until_the_next_reload_which_says_that_it_takes_it_back() {
    let place = Place::new("modify", 22);
    let siplane = place.start("", "[[set]]\nid = 1\ndestinations = [{ uri = \"sip:127.62.22.11\", duid = \"a\" }]\n");
    let mut ctl = place.connect();
    let modified =
        ctl.call("dispatcher.modify", json!({"set": 1, "destination": "a", "weight": 5, "maxload": 9, "attrs": "q=1"}));
    let modified = modified.unwrap();
    assert_eq!(modified["changed"]["weight"], json!({"from": "1", "to": "5"}));
    assert_eq!(modified["lasts"], json!("until the next reload"));
    let a = ctl.call("dispatcher.get", json!([1, "a"])).unwrap();
    assert_eq!((&a["weight"], &a["maxload"], &a["attrs"]), (&json!(5), &json!(9), &json!("q=1")));
    let refused = ctl.call("dispatcher.modify", json!({"set": 1, "destination": "a", "weight": 70_000})).unwrap_err();
    assert_eq!(refused, "weight: found 70000, allowed: 0 to 65535");
    assert_eq!(
        ctl.call("dispatcher.add", json!([1, "sip:127.62.22.12", 8, 4, "duid=b"])).unwrap(),
        json!("Ok. Dispatcher destination added.")
    );
    let diff = ctl.call("config.diff", json!([])).unwrap();
    let taken_back: Vec<_> = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            assert_eq!(line["takes_back"], json!("what was changed at run time"));
            (line["change"].as_str().unwrap(), line["duid"].as_str().unwrap())
        })
        .collect();
    assert_eq!(taken_back, [("changed", "a"), ("removed", "b")]);
    assert_eq!(diff["changes"][0]["keys"]["weight"], json!({"from": "5", "to": "1"}));
    ctl.call("dispatcher.reload", json!([])).unwrap();
    assert_eq!(ctl.call("dispatcher.get", json!([1, "a"])).unwrap()["weight"], json!(1));
    assert!(ctl.call("dispatcher.get", json!([1, "b"])).is_err());
    // And back again.
    let back = ctl.call("config.rollback", json!([])).unwrap();
    assert_eq!(back["summary"], json!("1 added, 0 removed, 1 changed"));
    assert_eq!(ctl.call("dispatcher.get", json!([1, "a"])).unwrap()["weight"], json!(5));
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn what_operators_said_outlives_reloads_and_restarts_and_health_outlives_reloads() {
    let place = Place::new("said", 23);
    let state_file = place.file("state.json");
    let control = format!("state_file = \"{}\"", state_file.display());
    let sets = |order: [u8; 4]| {
        let uris = order.map(|host| format!("{{ uri = \"sip:127.62.23.{host}:5060\", duid = \"gw{host}\" }}"));
        format!("[[set]]\nid = 1\ndestinations = [{}]\n", uris.join(", "))
    };
    let siplane = place.start(&control, &sets([11, 12, 13, 14]));
    let mut ctl = place.connect();
    ctl.call("dispatcher.drain", json!([1, "gw11"])).unwrap();
    ctl.call("dispatcher.disable", json!([1, "gw12"])).unwrap();
    ctl.call("dispatcher.set_state", json!(["i", 1, "sip:127.62.23.13:5060"])).unwrap();
    let expected = ["D", "D", "I", "A"]
        .iter()
        .zip(11..)
        .map(|(letter, host)| (format!("sip:127.62.23.{host}:5060"), format!("{letter}X")));
    let expected: Vec<_> = expected.collect();
    assert_eq!(letters(&mut ctl), expected);
    place.write(&siplane, &control, &sets([14, 13, 12, 11]));
    let applied = ctl.call("config.apply", json!([])).unwrap();
    assert_eq!(applied["changes"][0]["keys"]["destinations"]["to"], json!("in another order"));
    assert_eq!(letters(&mut ctl), expected);
    assert_eq!(siplane.terminate().code(), Some(0));
    let siplane = place.start(&control, &sets([11, 12, 13, 14]));
    let mut ctl = place.connect();
    let admin = |ctl: &mut Ctl, duid| ctl.call("dispatcher.get", json!([1, duid])).unwrap()["admin"].clone();
    assert_eq!(
        ["gw11", "gw12", "gw13", "gw14"].map(|duid| admin(&mut ctl, duid)),
        ["draining", "disabled", "enabled", "enabled"]
    );
    ctl.call("dispatcher.enable", json!([1, "gw11"])).unwrap();
    assert_eq!(admin(&mut ctl, "gw11"), json!("enabled"));
    assert!(!std::fs::read_to_string(&state_file).unwrap().contains("gw11"));
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// How many datagrams come within `time`.
fn received(socket: &UdpSocket, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut count = 0;
    while Instant::now() < end {
        count += usize::from(socket.recv(&mut [0; 2048]).is_ok());
    }
    count
}

#[test]
fn ping_active_ends_and_begins_all_probes_and_their_settings_follow_a_reload() {
    let place = Place::new("ping", 24);
    let socket = UdpSocket::bind("127.62.24.11:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let sets = format!("[[set]]\nid = 1\ndestinations = [\"sip:{}\"]\n", socket.local_addr().unwrap());
    let probing = format!("[prober]\ninterval_ms = 100\ntimeout_ms = 50\n{sets}");
    let siplane = place.start("", &sets);
    let mut ctl = place.connect();
    assert_eq!(received(&socket, Duration::from_millis(500)), 0);
    place.write(&siplane, "", &probing);
    let applied = ctl.call("config.apply", json!([])).unwrap();
    assert_eq!(applied["changes"][0]["keys"]["prober.interval_ms"], json!({"from": "0", "to": "100"}));
    assert!(received(&socket, Duration::from_secs(3)) > 0);
    assert_eq!(ctl.call("dispatcher.ping_active", json!([])).unwrap(), json!({"OldPingState": 1}));
    assert_eq!(ctl.call("dispatcher.ping_active", json!([0])).unwrap(), json!({"NewPingState": 0, "OldPingState": 1}));
    // A reload does not begin them again.
    place.write(&siplane, "", &probing.replace("timeout_ms = 50", "timeout_ms = 40"));
    ctl.call("dispatcher.reload", json!([])).unwrap();
    // What was under way.
    let _ = received(&socket, Duration::from_millis(400));
    assert_eq!(received(&socket, Duration::from_secs(1)), 0);
    assert_eq!(ctl.call("dispatcher.ping_active", json!([1])).unwrap(), json!({"NewPingState": 1, "OldPingState": 0}));
    assert!(received(&socket, Duration::from_secs(3)) > 0);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn changes_of_many_at_once_queue_and_none_is_lost() {
    let place = Place::new("queue", 25);
    let siplane: Siplane = place.start("", "[[set]]\nid = 1\ndestinations = [\"sip:127.62.25.11\"]\n");
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let mut ctl = place.connect();
            scope.spawn(move || {
                for number in 0..10 {
                    let uri = format!("sip:127.62.25.{}:{}", 20 + caller, 5060 + number);
                    ctl.call("dispatcher.add", json!([1, uri])).unwrap();
                    ctl.call("dispatcher.drain", json!([1, uri])).unwrap();
                }
            });
        }
    });
    let mut ctl = place.connect();
    let letters = letters(&mut ctl);
    assert_eq!((letters.len(), letters.iter().filter(|(_, letters)| letters == "DX").count()), (81, 80));
    assert_eq!(siplane.terminate().code(), Some(0));
}
