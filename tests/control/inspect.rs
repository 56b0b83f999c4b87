//! What operators see of calls that are up: lists, load holders, explanations, decisions and traces, with either engine.

use crate::program::Siplane;
use crate::socket_path;
use serde_json::{Value, json};
use siplane::cli::demo::{Destination, Load, LoadOptions, load};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

const CALLS: usize = 9;
const WITHIN: Duration = Duration::from_secs(10);

/// A siplane with two shards, two destinations, and somebody who asks.
struct World {
    siplane: Siplane,
    /// They answer calls for as long as they are here.
    destinations: [Destination; 2],
    stream: BufReader<UnixStream>,
}

impl World {
    fn start(host: u8, engine: &str, more: &str, dialog: &str) -> Self {
        let loopback = |last| SocketAddr::from(([127, 62, host, last], 0));
        let destinations = [Destination::start(loopback(11)).unwrap(), Destination::start(loopback(12)).unwrap()];
        let path = socket_path(&format!("inspect-{host}"));
        let siplane = Siplane::start(loopback(1), |address| {
            let [one, two] = destinations.each_ref().map(Destination::address);
            format!(
                "listen = [\"udp:{address}\"]\nshards = 2\ndefault_set = 7\n{more}\n[io]\nengine = \"{engine}\"\n[dialog]\n{dialog}\n\
                 [control]\nsocket = \"{}\"\n[[set]]\nid = 7\nname = \"bridges\"\n\
                 destinations = [{{ uri = \"sip:{one}\", duid = \"one\" }}, {{ uri = \"sip:{two}\", duid = \"two\" }}]\n\
                 [[rule]]\nmethods = \"REGISTER\"\nreject = 403\n",
                path.display()
            )
        });
        let stream = BufReader::new(UnixStream::connect(&path).unwrap());
        Self { siplane, destinations, stream }
    }

    fn answer(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 });
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, &params);
        assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
        answer["result"].take()
    }

    #[track_caller]
    fn fault(&mut self, method: &str, params: Value) -> (i64, String) {
        let answer = self.answer(method, &params);
        let error = answer.get("error").unwrap_or_else(|| panic!("{method} {params}: {answer}"));
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    fn options(&self, calls: usize, talk: Duration) -> LoadOptions {
        LoadOptions {
            talk: talk..talk + Duration::from_millis(1),
            ..LoadOptions::new(self.siplane.address, calls, 100)
        }
    }

    /// Calls that are all up and acknowledged when this returns.
    fn calls_up(&mut self) -> Load {
        let running = Load::start(&self.options(CALLS, Duration::from_secs(4))).unwrap();
        let end = Instant::now() + WITHIN;
        loop {
            let counts = self.ask("dlg.stats_active", json!([]));
            if counts["ongoing"] == json!(CALLS) {
                assert_eq!(counts["all"], json!(CALLS));
                return running;
            }
            assert!(Instant::now() < end, "{counts}");
            sleep(Duration::from_millis(20));
        }
    }

    fn end(self, running: Load) {
        assert_eq!(running.wait().unwrap().lost(), 0);
        assert_eq!(self.siplane.terminate().code(), Some(0));
    }
}

/// Each of these with either engine, on hosts of its own.
macro_rules! on_both_engines {
    ($($name:ident: $ring:literal, $mmsg:literal;)*) => {
        mod io_uring {
            $(#[test] fn $name() { super::$name($ring, "io_uring"); })*
        }
        mod mmsg {
            $(#[test] fn $name() { super::$name($mmsg, "mmsg"); })*
        }
    };
}

on_both_engines! {
    calls_that_are_up_are_listed_with_both_ends_page_by_page: 60, 61;
    the_load_of_a_destination_is_told_call_by_call: 62, 63;
    without_details_answered_calls_are_counted_and_it_is_said_what_is_missing: 64, 65;
    an_explained_call_goes_where_it_was_said_and_is_remembered: 66, 67;
    a_trace_writes_the_messages_of_its_calls_into_the_log: 68, 69;
}

fn key(entry: &Value) -> String {
    format!("{}:{}", entry["h_entry"], entry["h_id"])
}

fn calls_that_are_up_are_listed_with_both_ends_page_by_page(host: u8, engine: &str) {
    let mut world = World::start(host, engine, "", "details = true");
    let running = world.calls_up();
    let list = world.ask("dlg.list", json!([]));
    let list = list.as_array().unwrap();
    let destinations = world.destinations.each_ref().map(|it| format!("sip:{}", it.address()));
    let address = world.siplane.address;
    for entry in list {
        let [caller, callee] = [&entry["caller"], &entry["callee"]];
        assert!(entry["state"] == 4 && entry["legs"] == 1 && !entry["call-id"].is_null(), "{entry}");
        assert!(caller["tag"].is_string() && callee["tag"].is_string() && caller["tag"] != callee["tag"], "{entry}");
        assert!(entry["from_uri"].as_str().unwrap().starts_with("sip:"), "{entry}");
        assert!(caller["contact"].is_string() && callee["contact"].is_string() && caller["cseq"] == "1", "{entry}");
        assert_eq!(caller["socket"], format!("udp:{address}"));
        let [init, start, timeout] = ["init_ts", "start_ts", "timeout"].map(|name| entry[name].as_i64().unwrap());
        assert!(1_700_000_000 < init && init <= start && start < timeout, "{entry}");
        assert_eq!((&entry["lifetime"], &entry["destinations"][0]["set"]), (&json!(43_200), &json!(7)));
        assert!(destinations.contains(&entry["destinations"][0]["uri"].as_str().unwrap().to_owned()), "{entry}");
    }
    let ids: BTreeSet<_> = list.iter().map(|entry| entry["call-id"].to_string()).collect();
    assert_eq!(ids.len(), CALLS);
    let shards: BTreeSet<_> = list.iter().map(|entry| entry["h_entry"].as_i64().unwrap()).collect();
    assert!(shards.iter().all(|shard| [0, 1].contains(shard)));
    let (mut paged, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = world.ask("dlg.briefing", json!({ "limit": 4, "after": after }));
        let page = page.as_array().unwrap().clone();
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { break };
        after = json!(key(last));
        paged.extend(page);
    }
    let keys = |entries: &[Value]| entries.iter().map(key).collect::<Vec<_>>();
    assert_eq!(keys(&paged), keys(list));
    for (brief, entry) in paged.iter().zip(list) {
        assert_eq!((&brief["from_tag"], &brief["to_tag"]), (&entry["caller"]["tag"], &entry["callee"]["tag"]));
    }
    let transactions = world.ask("tm.list", json!([]));
    assert!(transactions.as_array().unwrap().iter().all(|entry| entry["method"] == "INVITE"), "{transactions}");
    world.end(running);
}

fn the_load_of_a_destination_is_told_call_by_call(host: u8, engine: &str) {
    let mut world = World::start(host, engine, "", "details = true");
    let running = world.calls_up();
    let mut all = BTreeSet::new();
    for duid in ["one", "two"] {
        let told = world.ask("calls.of", json!({ "set": 7, "destination": duid }));
        let calls = told["calls"].as_array().unwrap();
        assert_eq!((json!(calls.len()), &told["next"]), (told["load"].clone(), &Value::Null), "{told}");
        let (mut paged, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = world.ask("calls.of", json!([7, told["uri"], 2, after]));
            paged.extend(page["calls"].as_array().unwrap().clone());
            after = page["next"].clone();
            if after.is_null() {
                break;
            }
        }
        assert_eq!(paged.len(), calls.len(), "{paged:?}");
        for call in calls {
            assert!(call["state"] == "confirmed" && call["since"].as_i64().unwrap() > 1_700_000_000, "{call}");
            assert!(all.insert(call["call-id"].as_str().unwrap().to_owned()), "{call}");
        }
    }
    assert_eq!(all.len(), CALLS);
    let (code, told) = world.fault("calls.of", json!([8, "one"]));
    assert_eq!((code, told.as_str()), (-32004, "no set 8; sets: 7 bridges"));
    let (code, told) = world.fault("calls.of", json!([7, "three"]));
    assert_eq!(code, -32004);
    assert!(told.starts_with("no destination three in set 7; those there: sip:127."), "{told}");
    assert_eq!(world.fault("dlg.list", json!([0])).0, -32602);
    assert_eq!(world.fault("dlg.list", json!([1, "x"])).0, -32602);
    world.end(running);
}

fn without_details_answered_calls_are_counted_and_it_is_said_what_is_missing(host: u8, engine: &str) {
    let mut world = World::start(host, engine, "", "details = false");
    let running = world.calls_up();
    let list = world.ask("dlg.list", json!([]));
    assert_eq!(list.as_array().unwrap().len(), CALLS);
    for entry in list.as_array().unwrap() {
        assert!(entry["details"].as_str().unwrap().starts_with("off:") && entry["call-id"].is_null(), "{entry}");
        assert!(entry["state"] == 4 && entry["timeout"].as_i64().unwrap() > 0, "{entry}");
    }
    let told = ["one", "two"].map(|duid| world.ask("calls.of", json!([7, duid])));
    for told in &told {
        assert_eq!(json!(told["calls"].as_array().unwrap().len()), told["load"]);
    }
    assert_eq!(told.iter().map(|told| told["load"].as_u64().unwrap()).sum::<u64>(), CALLS as u64);
    world.end(running);
}

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKexplained\n\
    Max-Forwards: 70\nFrom: <sip:alice@example.com>;tag=1\nTo: <sip:bob@example.com>\nCall-ID: explained\nCSeq: 1 INVITE\n";

fn an_explained_call_goes_where_it_was_said_and_is_remembered(host: u8, engine: &str) {
    let mut world = World::start(host, engine, "decisions_every = 1", "");
    for call in 1..=6 {
        let told = world.ask("dispatcher.explain", json!({ "request": INVITE, "source": "127.0.0.1" }));
        assert_eq!((&told["outcome"], &told["default_set"]), (&json!("dispatched"), &json!(7)));
        assert_eq!(told["rules"][0]["why_not"], json!("its method is none of REGISTER"));
        let set = &told["sets"][0];
        assert_eq!((&set["algorithm"], &set["turn"]), (&json!("round-robin"), &json!(call - 1)), "{told}");
        assert_eq!(set["candidates"].as_array().unwrap().len(), 2);
        assert_eq!(load(&world.options(1, Duration::from_millis(30))).unwrap().lost(), 0);
        let decisions = world.ask("dispatcher.decisions", json!([]));
        assert_eq!(decisions.as_array().unwrap().len(), call);
        let last = &decisions[0];
        assert_eq!((&last["code"], &last["rule"], &last["set"]), (&json!(200), &json!("default_set"), &json!(7)));
        assert_eq!((&last["chosen"], &last["targets"]), (&set["targets"][0], &set["targets"]), "as it was explained");
        assert_eq!(last["tried"], json!([set["targets"][0]]));
    }
    let register = INVITE.replace("INVITE", "REGISTER");
    let told = world.ask("dispatcher.explain", json!([register]));
    assert_eq!(
        (&told["outcome"], &told["answer"], &told["rules"][0]["taken"]),
        (&json!("answered"), &json!("403"), &json!(true))
    );
    assert_eq!(world.fault("dispatcher.explain", json!([INVITE, "nowhere"])).0, -32602);
    assert_eq!(world.siplane.terminate().code(), Some(0));
}

fn a_trace_writes_the_messages_of_its_calls_into_the_log(host: u8, engine: &str) {
    let mut world = World::start(host, engine, "", "");
    let source = world.siplane.address.ip().to_string();
    let started = world.ask("trace.start", json!({ "source": source, "seconds": 60, "messages": 1000 }));
    assert_eq!((&started["runs"], &started["source"]), (&json!(true), &json!(source)));
    assert_eq!(load(&world.options(2, Duration::from_millis(30))).unwrap().lost(), 0);
    let end = Instant::now() + WITHIN;
    let traced = |world: &World, what: &str| {
        let log = world.siplane.log();
        log.lines().filter(|line| line.contains("traced message") && line.contains(what)).count()
    };
    // INVITE, 100, 180, 200, ACK, BYE and its 200, each as it came and as it went.
    while (traced(&world, "BYE sip:") < 4 || traced(&world, "SIP/2.0 200") < 8) && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    for what in ["INVITE sip:", "SIP/2.0 180", "SIP/2.0 200", "ACK sip:", "BYE sip:"] {
        assert!(traced(&world, what) >= 4, "{what}: {}", world.siplane.log());
    }
    let stopped = world.ask("trace.stop", json!([1]));
    assert_eq!((&stopped[0]["runs"], &stopped[0]["lost"]), (&json!(false), &json!(0)));
    assert!(world.ask("trace.list", json!([]))[0]["shown"].as_u64().unwrap() >= 24);
    let before = traced(&world, "");
    assert_eq!(load(&world.options(2, Duration::from_millis(30))).unwrap().lost(), 0);
    sleep(Duration::from_millis(100));
    assert_eq!(traced(&world, ""), before, "it has ended");
    world.ask("trace.start", json!({ "call_id": "nobody", "messages": 1 }));
    assert_eq!(world.fault("trace.start", json!([])).0, -32602);
    assert_eq!(world.fault("trace.start", json!({ "source": "x" })).0, -32602);
    assert_eq!(world.fault("trace.start", json!({ "call_id": "x", "seconds": 3601 })).0, -32602);
    let (code, told) = world.fault("trace.stop", json!([9]));
    assert_eq!((code, told.as_str()), (-32004, "no trace 9; traces: 1, 2"));
    assert_eq!(world.siplane.terminate().code(), Some(0));
}
