//! `siplane ctl` looking at a siplane with calls: which there are, where a request would go and the last ones went, counters.

use crate::ctl::{calls, command, ctl, done, json, ran, refused};
use crate::program::Siplane;
use crate::reload::Place;
use serde_json::{Value, json};
use siplane::cli::demo::Destination;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CALLS: usize = 3;
/// As an editor has it: no CRLF, no empty line at the end.
const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKexplained\nMax-Forwards: 70\n\
    From: <sip:alice@example.com>;tag=1\nTo: <sip:bob@example.com>\nCall-ID: explained\nCSeq: 1 INVITE\n";

fn start(place: &Place, host: u8, destination: &Destination) -> Siplane {
    Siplane::start(SocketAddr::from(([127, 62, host, 1], 0)), |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 2\nshutdown_timeout_s = 2\ndefault_set = 1\ndecisions_every = 1\n\
             [dialog]\ndetails = true\n[control]\nsocket = \"{}\"\n\
             [[set]]\nid = 1\nname = \"bridges\"\nanswer_timeout_ms = 20000\ndestinations = [{{ uri = \"sip:{}\", duid = \"gw1\" }}]\n\
             [[rule]]\nsource = \"198.51.100.7\"\nreject = 403\n",
            place.socket().display(),
            destination.address()
        )
    })
}

fn call_ids(calls: &Value) -> BTreeSet<String> {
    calls.as_array().unwrap().iter().map(|call| call["call-id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn calls_and_counters_of_a_running_siplane_are_shown_page_by_page() {
    let place = Place::new("ctl-calls", 76);
    let destination = Destination::start(SocketAddr::from(([127, 62, 76, 11], 0))).unwrap();
    let siplane = start(&place, 76, &destination);
    let load = calls(siplane.address, CALLS, Duration::from_secs(8));
    let begun = Instant::now();
    let of = |words: &[&str]| json(&done(&place, &[&["--json"], words].concat()));
    let up = |calls: &Value| calls.as_array().unwrap().iter().filter(|call| call["state"] == 4).count();
    let all = loop {
        let all = of(&["calls"]);
        if up(&all) == CALLS {
            break all;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{all}");
    };
    let ids = call_ids(&all);
    let text = done(&place, &["calls"]);
    assert!(ids.len() == CALLS && ids.iter().all(|id| text.contains(id.as_str())), "{text}");
    let first = of(&["calls", "--limit", "2"]);
    let last = &first[1];
    let after = format!("{}:{}", last["h_entry"], last["h_id"]);
    let rest = of(&["calls", "--limit", "2", "--after", &after]);
    assert_eq!((first.as_array().unwrap().len(), rest.as_array().unwrap().len()), (2, 1));
    assert_eq!(&call_ids(&first) | &call_ids(&rest), ids);
    // Those of one destination.
    let held = of(&["calls", "bridges", "gw1"]);
    assert_eq!((&held["load"], call_ids(&held["calls"]), &held["next"]), (&json!(CALLS), ids.clone(), &Value::Null));
    let one = of(&["calls", "1", "gw1", "--limit", "1"]);
    let more = of(&["calls", "1", "gw1", "--after", one["next"].as_str().unwrap()]);
    assert_eq!(&call_ids(&one["calls"]) | &call_ids(&more["calls"]), ids);
    assert!(ids.iter().all(|id| done(&place, &["calls", "bridges", "gw1"]).contains(id.as_str())));
    assert!(refused(&place, &["calls", "bridges", "gw9"]).contains("no destination gw9 in set 1"));
    assert!(refused(&place, &["calls", "--limit", "0"]).contains("limit: found 0, allowed: 1 to "));
    assert!(refused(&place, &["calls", "--after", "x"]).starts_with("siplane ctl: "));
    assert_eq!(ctl(&place, &["calls", "bridges"]).status, Some(2));
    // Counters: a group, some by name, all.
    let dialogs = of(&["stats", "dialog:"]);
    assert_eq!(dialogs["dialog.active_dialogs"], json!(CALLS), "{dialogs}");
    assert!(dialogs.as_object().unwrap().keys().all(|name| name.starts_with("dialog.")), "{dialogs}");
    let two = of(&["stats", "dialog:active_dialogs", "core.rcv_requests"]);
    assert_eq!(two.as_object().unwrap().len(), 2, "{two}");
    assert!(done(&place, &["stats"]).contains("\ncore.rcv_requests "));
    assert_eq!(load.wait().unwrap().lost(), 0);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_request_is_explained_from_a_file_or_standard_input_and_the_last_calls_went_as_it_says() {
    let place = Place::new("ctl-explain", 86);
    let destination = Destination::start(SocketAddr::from(([127, 62, 86, 11], 0))).unwrap();
    let siplane = start(&place, 86, &destination);
    drop(place.connect());
    let uri = format!("sip:{}", destination.address());
    let path = place.file("invite");
    fs::write(&path, INVITE).unwrap();
    let file = path.to_str().unwrap();
    let text = done(&place, &["explain", file]);
    assert!(text.starts_with("outcome      dispatched\n") && text.contains(&uri), "{text}");
    assert!(text.contains("it does not come from 198.51.100.7/32"), "{text}");
    let told = json(&done(&place, &["--json", "explain", file]));
    assert_eq!((&told["default_set"], &told["sets"][0]["targets"]), (&json!(1), &json!([uri])));
    for words in [&["--json", "explain"][..], &["--json", "explain", "-"]] {
        let mut command = command(&place.socket(), words);
        command.stdin(fs::File::open(&path).unwrap());
        let ran = ran(command);
        assert_eq!((ran.status, json(&ran.out)), (Some(0), told.clone()), "{words:?}: {}", ran.err);
    }
    for source in ["198.51.100.7", "198.51.100.7:5062"] {
        let told = json(&done(&place, &["--json", "explain", file, "--source", source]));
        assert_eq!((&told["outcome"], &told["answer"]), (&json!("answered"), &json!("403")));
    }
    assert!(refused(&place, &["explain", file, "--source", "nobody"]).contains("source is nobody; allowed: "));
    let missing = ctl(&place, &["explain", "/nowhere/invite"]);
    assert_eq!((missing.status, missing.err.contains("/nowhere/invite: No such file")), (Some(2), true));
    // The last ones.
    assert_eq!(done(&place, &["explain", "--last", "5"]), "none\n");
    assert_eq!(calls(siplane.address, CALLS, Duration::from_millis(30)).wait().unwrap().lost(), 0);
    let last = json(&done(&place, &["--json", "explain", "--last", "2"]));
    let went: Vec<_> = last.as_array().unwrap().iter().map(|call| (&call["code"], &call["tried"])).collect();
    assert_eq!(went, [(&json!(200), &json!([uri])); 2]);
    assert!(done(&place, &["explain", "--last", "5"]).contains(&uri));
    assert_eq!(ctl(&place, &["explain", file, "--last", "5"]).status, Some(2));
    assert_eq!(siplane.terminate().code(), Some(0));
}
