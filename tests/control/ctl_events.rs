//! Events: the list, followers, the utilisation alarm.

use crate::ctl::{calls, command, done, json};
use crate::reload::{Ctl, Place, wait_for};
use serde_json::{Value, json};
use siplane::cli::demo::Destination;
use siplane::limits;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn sets(host: u8) -> String {
    format!(
        "[[set]]\nid = 1\nname = \"bridges\"\n\
         destinations = [{{ uri = \"sip:127.62.{host}.11\", duid = \"gw1\" }}, \"sip:127.62.{host}.12\"]\n"
    )
}

/// The first event of this type after number `after`, which must come soon.
pub fn event(ctl: &mut Ctl, kind: &str, after: u64) -> Value {
    let start = Instant::now();
    loop {
        let page = ctl.call("events.list", json!([after, 2_000])).unwrap();
        let found = page["events"].as_array().unwrap().iter().find(|event| event["type"] == kind);
        if let Some(event) = found {
            return event.clone();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no {kind}: {page}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn last(ctl: &mut Ctl) -> u64 {
    ctl.call("events.list", json!([])).unwrap()["last"].as_u64().unwrap()
}

#[test]
fn what_operators_do_and_what_comes_of_it_is_told_with_who_did_it() {
    let place = Place::new("events", 81);
    let siplane = place.start("", &sets(81));
    let mut ctl = place.connect();
    let started = event(&mut ctl, "started", 0);
    assert_eq!((&started["seq"], &started["sets"], &started["destinations"]), (&json!(1), &json!(1), &json!(2)));
    done(&place, &["disable", "bridges", "gw1"]);
    let operated = event(&mut ctl, "operated", 0);
    assert_eq!((&operated["method"], &operated["done"]), (&json!("dispatcher.disable"), &json!(true)));
    assert_eq!(operated["params"], json!({ "set": 1, "destination": "gw1" }));
    let who = operated["who"].as_str().unwrap();
    assert!(who.starts_with("control socket: uid ") && who.contains(" pid "), "{who}");
    let admin = event(&mut ctl, "admin", 0);
    assert_eq!(
        (&admin["admin"], &admin["duid"], &admin["why"]),
        (&json!("disabled"), &json!("gw1"), &json!("operator"))
    );
    let mark = last(&mut ctl);
    // What changes nothing is not told, and what fails is.
    done(&place, &["reload", "--dry-run"]);
    done(&place, &["list"]);
    let refused = ctl.call("dispatcher.disable", json!([1, "gw9"])).unwrap_err();
    let operated = event(&mut ctl, "operated", mark);
    assert_eq!((&operated["seq"], &operated["fault"]), (&json!(mark + 1), &json!(refused)));
    done(&place, &["set", "bridges", "gw1", "weight=4"]);
    let published = event(&mut ctl, "published", mark);
    assert_eq!(published["summary"], json!("0 added, 0 removed, 1 changed"));
    let good = fs::read_to_string(siplane.config()).unwrap();
    fs::write(siplane.config(), "banana").unwrap();
    siplane.signal("HUP");
    let failed = event(&mut ctl, "reload-failed", mark);
    assert_eq!(failed["by"], json!("signal"));
    assert!(failed["fault"].as_str().unwrap().contains("siplane.toml:1:"), "{failed}");
    fs::write(siplane.config(), good).unwrap();
    siplane.signal("HUP");
    assert!(
        event(&mut ctl, "reloaded", mark)["summary"].as_str().unwrap().starts_with("0 added, 0 removed, 1 changed")
    );
    let text = done(&place, &["events", "--limit", "100"]);
    assert!(
        text.contains(" set 1 bridges  sip:127.62.81.11 (gw1)  calls: 0  admin: disabled  why: operator\n"),
        "{text}"
    );
    let numbers: Vec<&str> = text.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!((1..=numbers.len()).map(|number| format!("#{number}")).eq(numbers), "{text}");
    for (params, told) in [(json!([-1]), "after: found -1"), (json!([null, 0]), "limit: found 0, allowed: 1 to 2000")] {
        assert!(ctl.call("events.list", params).unwrap_err().starts_with(told));
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn who_follows_gets_each_event_as_it_comes_until_siplane_ends() {
    let place = Place::new("follow", 82);
    let siplane = place.start("", &sets(82));
    drop(place.connect());
    done(&place, &["disable", "bridges", "gw1"]);
    let mut follower = command(&place.socket(), &["events", "--follow"]).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |kind: &str| lines.find(|line| line.split_whitespace().nth(3) == Some(kind)).unwrap();
    // What was there before comes first.
    next("started");
    assert!(next("admin").contains("admin: disabled"));
    done(&place, &["drain", "bridges", "gw1"]);
    assert!(next("admin").contains("admin: draining"));
    // The prober looks twice.
    assert!(next("drained").contains("set 1 bridges  sip:127.62.82.11 (gw1)"));
    assert_eq!(siplane.terminate().code(), Some(0));
    let ended = follower.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), err.contains("closed the connection")), (Some(2), true), "{err}");
}

fn follow(place: &Place) -> (BufReader<UnixStream>, Value) {
    let mut stream = BufReader::new(UnixStream::connect(place.socket()).unwrap());
    stream.get_mut().write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"events.follow\",\"id\":1}\n").unwrap();
    let answer = read(&mut stream).unwrap();
    (stream, answer)
}

fn read(stream: &mut BufReader<UnixStream>) -> Option<Value> {
    let mut line = String::new();
    (stream.read_line(&mut line).unwrap() > 0).then(|| json(&line))
}

#[test]
fn more_followers_than_may_be_are_refused_and_hold_up_nobody_else() {
    let place = Place::new("followers", 83);
    let siplane = place.start("", &sets(83));
    drop(place.connect());
    let mut followers: Vec<_> = (0..limits::FOLLOWERS_MAX).map(|_| follow(&place)).collect();
    assert!(followers.iter().all(|(_, answer)| answer["result"]["last"].is_u64()));
    let (_, refused) = follow(&place);
    assert_eq!(refused["error"]["message"], json!("16 connections follow already, which is the most"));
    done(&place, &["disable", "bridges", "gw1"]);
    for (stream, _) in &mut followers {
        assert_eq!(read(stream).unwrap()["method"], json!("events.event"));
    }
    followers.pop();
    // That it is gone is known when its connection is looked at.
    let start = Instant::now();
    while follow(&place).1.get("error").is_some() {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// So many events in one go.
fn many(place: &Place, count: usize) {
    let one = json!({ "jsonrpc": "2.0", "method": "dispatcher.ping_active", "params": [1], "id": 1 });
    let mut stream = BufReader::new(UnixStream::connect(place.socket()).unwrap());
    stream.get_mut().write_all(format!("{}\n", Value::Array(vec![one; count])).as_bytes()).unwrap();
    assert_eq!(read(&mut stream).unwrap().as_array().unwrap().len(), count);
}

#[test]
fn a_follower_that_does_not_keep_up_is_told_what_it_missed_and_dropped() {
    let place = Place::new("slow", 84);
    let siplane = place.start("", &sets(84));
    let mut ctl = place.connect();
    let (mut slow, begun) = follow(&place);
    let first = begun["result"]["last"].as_u64().unwrap() + 1;
    ctl.call("dispatcher.ping_active", json!([1])).unwrap();
    assert_eq!(read(&mut slow).unwrap()["params"]["seq"], json!(first));
    many(&place, limits::FOLLOWER_EVENTS_MAX + 500);
    let dropped = read(&mut slow).unwrap();
    assert_eq!(dropped["method"], json!("events.dropped"));
    let missed = dropped["params"]["missed"].as_u64().unwrap();
    assert!((500..600).contains(&missed), "{missed}");
    assert_eq!(read(&mut slow), None);
    assert!(siplane.log().contains("reads too slowly, and is dropped"));
    // What it missed it can ask for, as far as it is kept.
    let page = ctl.call("events.list", json!([first, 1])).unwrap();
    assert_eq!((&page["missed"], &page["events"][0]["seq"]), (&json!(0), &json!(first + 1)));
    many(&place, limits::EVENTS_KEPT);
    let page = ctl.call("events.list", json!([first, 1])).unwrap();
    assert!(page["missed"].as_u64().unwrap() > 1_000, "{page}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_follower_that_does_not_read_at_all_is_dropped_and_nobody_waits_for_it() {
    let place = Place::new("stalled", 89);
    let siplane = place.start("", &sets(89));
    drop(place.connect());
    let (stalled, _) = follow(&place);
    // More than its socket holds, and less than may wait for it.
    (0..9).for_each(|_| many(&place, 100));
    wait_for(&siplane, "who follows events does not read, and is dropped", 1);
    drop(stalled);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_set_that_is_nearly_full_is_told_and_when_it_is_not_any_more() {
    let place = Place::new("alarm", 85);
    let destination = Destination::start(SocketAddr::from(([127, 62, 85, 11], 0))).unwrap();
    let one = format!("{{ uri = \"sip:{}\", maxload = 4 }}", destination.address());
    let sets = format!("[[set]]\nid = 1\nname = \"bridges\"\nanswer_timeout_ms = 20000\ndestinations = [{one}]\n");
    let siplane = place.start("utilisation_alarm_percent = 70", &sets);
    let mut ctl = place.connect();
    let load = calls(siplane.address, 3, Duration::from_secs(4));
    let high = event(&mut ctl, "utilisation-high", 0);
    assert_eq!((&high["set"], &high["set_name"]), (&json!(1), &json!("bridges")));
    assert_eq!(
        (&high["used_percent"], &high["calls_max"], &high["threshold_percent"]),
        (&json!(75), &json!(4), &json!(70))
    );
    let normal = event(&mut ctl, "utilisation-normal", high["seq"].as_u64().unwrap());
    assert!(normal["used_percent"].as_f64().unwrap() < 65.0, "{normal}");
    assert_eq!(load.wait().unwrap().lost(), 0);
    assert!(siplane.log().contains("utilisation is high") && siplane.log().contains("utilisation is no longer high"));
    assert_eq!(siplane.terminate().code(), Some(0));
}
