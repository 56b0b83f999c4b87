//! `dispatcher.*` against a live Kamailio: the same dispatcher.list, the same requests, the same results, field by field, and the same
//! fault texts and codes.
//!
//! Kamailio answers by JSON-RPC datagrams; siplane's methods are called as its doors call them. Needs Debian's `kamailio` (`make setup`).
//!
//! What differs on purpose is said where it is: sets come in the order of their numbers, flag 2 of a list changes nothing, and what
//! Kamailio takes and leaves out without a word is refused.

#[path = "kamailio/process.rs"]
mod process;

use arc_swap::ArcSwap;
use process::Process;
use serde_json::{Value as Json, json};
use siplane::config;
use siplane::control::{Arguments, Control, ControlPlan, EventLog, Fault, Given, Run, Value, find, probe_settings};
use siplane::dispatcher::Table;
use siplane::proxy::Policy;
use siplane::shard::{Inquiries, Lifecycle};
use std::fs;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Flags, priorities with ties, attributes, forms of URIs.
fn list(listen: &str) -> String {
    format!(
        "1 sip:127.64.1.1:5070 0 10 duid=gw1;weight=30;rweight=50;maxload=7;socket=udp:{listen}\n\
         1 sip:127.64.1.2:5070 8 20 duid=gw2;weight=70\n\
         3 sip:127.64.3.1;transport=udp 8 5\n\
         3 sip:user@127.64.3.2:5071 0 5 obproxy=sip:127.0.0.9;x=y\n\
         2 sip:127.64.2.1:5070\n\
         2 sip:127.64.2.2:5070 1\n\
         2 sip:127.64.2.3:5070 4\n\
         2 sip:127.64.2.4:5070 12\n\
         2 sip:127.64.2.5:5070 5\n\
         2 sip:127.64.2.6:5070 9 0 name=\"quoted\";foo\n\
         2 127.64.2.7:5070 8 0 duid=last\n\
         4 sip:127.64.4.1:5070 0 0 duid=Four\n"
    )
}

/// A Kamailio of this test's own.
struct Kamailio {
    process: Process,
    asker: UnixDatagram,
    socket: PathBuf,
}

impl Kamailio {
    fn start(folder: &Path, listen: &str) -> Self {
        let socket = folder.join("rpc.sock");
        let script = format!(
            "listen=udp:{listen}\nloadmodule \"jsonrpcs.so\"\nloadmodule \"sl.so\"\nloadmodule \"pv.so\"\n\
             loadmodule \"tm.so\"\nloadmodule \"dispatcher.so\"\n\
             modparam(\"jsonrpcs\", \"transport\", 4)\nmodparam(\"jsonrpcs\", \"dgram_socket\", \"{}\")\n\
             modparam(\"dispatcher\", \"list_file\", \"{}\")\nmodparam(\"dispatcher\", \"reload_delta\", 0)\n\
             modparam(\"dispatcher\", \"ds_ping_latency_stats\", 1)\nmodparam(\"dispatcher\", \"ds_hash_size\", 4)\n\
             modparam(\"dispatcher\", \"ds_probing_mode\", 3)\nrequest_route {{\n sl_send_reply(\"404\", \"x\");\n}}\n",
            socket.display(),
            folder.join("dispatcher.list").display()
        );
        let asker = UnixDatagram::bind(folder.join("asker.sock")).unwrap();
        asker.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let uptime = br#"{"jsonrpc":"2.0","method":"core.uptime","id":1}"#;
        let process = Process::start(folder, &script, || asker.send_to(uptime, &socket).is_ok());
        asker.recv(&mut [0; 4096]).unwrap();
        Self { process, asker, socket }
    }

    fn call(&self, method: &str, params: &Json) -> Result<Json, (i64, String)> {
        let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        self.asker.send_to(request.to_string().as_bytes(), &self.socket).unwrap();
        let mut buffer = vec![0; 262_144];
        let length =
            self.asker.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}: {request}: {}", self.process.said()));
        let answer: Json = serde_json::from_slice(&buffer[..length]).unwrap();
        match answer.get("error") {
            Some(error) => Err((error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())),
            None => Ok(answer["result"].clone()),
        }
    }
}

/// siplane's methods on the same list, without shards.
struct Siplane {
    control: Arc<Control>,
    runtime: tokio::runtime::Runtime,
}

impl Siplane {
    fn start(folder: &Path, listen: &str) -> Self {
        let file = folder.join("siplane.toml");
        let text = "dispatcher_list = \"dispatcher.list\"\n\n[prober]\ninterval_ms = 10000\npolicy = \"flagged\"\n";
        fs::write(&file, format!("listen = [\"udp:{listen}\"]\n{text}")).unwrap();
        let config = config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        let table = Table::build(config.sets.clone(), None).unwrap();
        let policy = Policy { table, rules: Vec::new(), default_set: None };
        let control = Control::new(ControlPlan {
            grants: None,
            on_reload: |_| {},
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            probing: Arc::new(ArcSwap::from_pointee(probe_settings(&config.prober, &config.settings))),
            counters: Vec::new(),
            inquiries: Inquiries::of_nobody(),
            drift: Arc::default(),
            lifecycle: Arc::new(Lifecycle::new(1)),
            events: Arc::new(EventLog::new(&config.control)),
            config,
        });
        Self { control: Arc::new(control), runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() }
    }

    fn try_call(&self, method: &str, params: &Json) -> Result<Value, Fault> {
        let method = find(method).ok_or_else(|| Fault::no_such_method(method))?;
        let Value::Array(values) = Value::from_json(params.clone()) else { panic!("{params}") };
        let arguments = Arguments::bind(method.params, Given::List(values))?;
        match method.run {
            Run::Now(run) => run(&self.control, &arguments),
            Run::Later(run) => self.runtime.block_on(run(Arc::clone(&self.control), arguments)),
        }
    }

    /// What a door that answers as Kamailio does says.
    fn call(&self, method: &str, params: &Json) -> Result<Json, (i64, String)> {
        let told = |fault: Fault| (fault.kamailio_code(), fault.kamailio.to_owned());
        self.try_call(method, params).map(|value| value.to_json()).map_err(told)
    }
}

/// Both, beside each other.
struct Both {
    kamailio: Kamailio,
    siplane: Siplane,
    folder: PathBuf,
}

impl Both {
    fn start(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let listen = UdpSocket::bind("127.64.0.1:0").unwrap().local_addr().unwrap().to_string();
        fs::write(folder.join("dispatcher.list"), list(&listen)).unwrap();
        Self { siplane: Siplane::start(&folder, &listen), kamailio: Kamailio::start(&folder, &listen), folder }
    }

    /// Calls both, which must say the same, character by character.
    fn same(&self, method: &str, params: Json) {
        let (theirs, ours) = (self.kamailio.call(method, &params), self.siplane.call(method, &params));
        let shown = |answer: &Result<Json, (i64, String)>| format!("{answer:?}");
        assert_eq!(shown(&ours), shown(&theirs), "{method} {params}");
    }

    /// The lists of both, sets in the order of their numbers.
    fn same_lists(&self, what: &str) {
        for mode in [json!([]), json!(["short"]), json!(["full"]), json!(["FULL"]), json!(["x"])] {
            let (theirs, ours) =
                (self.kamailio.call("dispatcher.list", &mode), self.siplane.call("dispatcher.list", &mode));
            let (mut theirs, ours) = (theirs.unwrap(), ours.unwrap());
            let records = theirs["RECORDS"].as_array_mut().unwrap();
            records.sort_by_key(|record| record["SET"]["ID"].as_i64());
            let pretty = |value: &Json| serde_json::to_string_pretty(value).unwrap();
            for (line, (ours, theirs)) in pretty(&ours).lines().zip(pretty(&theirs).lines()).enumerate() {
                assert_eq!(ours, theirs, "{what}, {mode}, line {line}");
            }
            assert_eq!(ours.to_string(), theirs.to_string(), "{what}, {mode}");
        }
    }
}

impl Both {
    /// The same destinations with the same fields in each set, whatever their order, which Kamailio turns round with every change.
    fn same_sets(&self) {
        let full = json!(["full"]);
        let theirs = by_set(&self.kamailio.call("dispatcher.list", &full).unwrap());
        let ours = by_set(&self.siplane.call("dispatcher.list", &full).unwrap());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.0, theirs.0);
            ours.1.iter().zip(&theirs.1).for_each(|(ours, theirs)| assert_eq!(ours, theirs));
        }
        assert_eq!(ours, theirs);
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_list_is_kamailios_in_all_its_forms() {
    let both = Both::start("kamailio-list");
    both.same_lists("after the start");
}

#[test]
fn every_state_letter_sets_the_flags_that_kamailio_sets() {
    let both = Both::start("kamailio-state");
    for state in [
        "i", "ip", "iP", "a", "ap", "d", "dp", "t", "tp", "0", "0p", "1", "1p", "2", "2p", "3", "3p", "inactive",
        "active", "ax", "A", "T", "I", "D", "AP",
    ] {
        both.same("dispatcher.set_state", json!([state, 2, "SIP:127.64.2.1:5070"]));
        both.same_lists(state);
        both.same("dispatcher.set_duid_state", json!([state, 4, "fOUR"]));
        both.same_lists(state);
        both.same("dispatcher.set_state", json!([state, 1, "all"]));
        both.same_lists(state);
    }
    // A state may be a number.
    both.same("dispatcher.set_state", json!([1, 3, "all"]));
    both.same("dispatcher.set_duid_state", json!(["dp", 2, "all"]));
    both.same_lists("all");
    // A reload leaves in Kamailio what the file says, here what operators said: the letters of set 3 are the same in both.
    both.same("dispatcher.reload", json!([]));
    let letters = |list: Json| {
        list["RECORDS"].as_array().unwrap().iter().find(|it| it["SET"]["ID"] == 2).unwrap()["SET"].to_string()
    };
    assert!(!letters(both.siplane.call("dispatcher.list", &json!([])).unwrap()).contains("\"FLAGS\":\"A"));
}

#[test]
fn faults_have_kamailios_texts_and_codes() {
    let both = Both::start("kamailio-faults");
    for (method, params) in [
        ("dispatcher.set_state", json!(["zz", 1, "x"])),
        ("dispatcher.set_state", json!(["pa", 1, "x"])),
        ("dispatcher.set_state", json!(["a", 1])),
        ("dispatcher.set_state", json!(["a"])),
        ("dispatcher.set_state", json!([])),
        ("dispatcher.set_state", json!(["", 1, "all"])),
        ("dispatcher.set_state", json!(["a", 9, "all"])),
        ("dispatcher.set_state", json!(["a", 9, "sip:127.64.1.1:5070"])),
        ("dispatcher.set_state", json!(["a", 1, "sip:127.64.1.1"])),
        ("dispatcher.set_duid_state", json!(["a", 1, "nope"])),
        ("dispatcher.set_duid_state", json!(["a", 9, "gw1"])),
        ("dispatcher.set_duid_state", json!(["q", 1, "gw1"])),
        ("dispatcher.hash", json!([5])),
        ("dispatcher.hash", json!(["x"])),
        ("dispatcher.add", json!([1])),
        ("dispatcher.add", json!([])),
        ("dispatcher.remove", json!([1])),
        ("dispatcher.remove", json!([9, "sip:x"])),
        ("dispatcher.remove", json!([1, "sip:x"])),
        // Not there, and no fault.
        ("dispatcher.remove", json!([1, "sip:127.64.1.99"])),
        ("dispatcher.remove", json!([9, "sip:127.64.1.1:5070"])),
        ("dispatcher.remove", json!([1, "SIP:127.64.1.1:5070"])),
        ("dispatcher.nothing", json!([])),
    ] {
        both.same(method, params);
    }
    both.same_sets();
    // Neither takes a list that is not there, or one with a set number alone.
    for text in [None, Some("7\n")] {
        match text {
            None => fs::remove_file(both.folder.join("dispatcher.list")).unwrap(),
            Some(text) => fs::write(both.folder.join("dispatcher.list"), text).unwrap(),
        }
        both.same("dispatcher.reload", json!([]));
        both.same_sets();
    }
    // Kamailio knows no 404 but of oclist, which 5.6 has not.
    let group = both.siplane.call("dispatcher.oclist", &json!([9])).unwrap_err();
    assert_eq!(group, (404, String::from("Destination Group Not Found")));
}

#[test]
fn what_is_added_and_removed_is_there_and_gone_as_in_kamailio() {
    let both = Both::start("kamailio-add");
    // Each in a set of its own, or with a priority of its own: Kamailio turns equal ones round each time.
    for params in [
        json!([5, "sip:127.64.5.1"]),
        json!([5, "sip:127.64.5.2:5072", 8, 3]),
        json!([5, "127.64.5.3:5072", 0, 7, "duid=x;weight=4"]),
        json!([6, "sip:127.64.6.1", 1]),
        json!([7, "sip:127.64.7.1", 12]),
    ] {
        both.same("dispatcher.add", params);
    }
    both.same("dispatcher.remove", json!([5, "sip:127.64.5.2:5072"]));
    both.same("dispatcher.remove", json!([7, "sip:127.64.7.1"]));
    both.same_sets();
    // What Kamailio answers with Ok and then does not have is refused.
    let refused = both.siplane.call("dispatcher.add", &json!([1, "bogus"])).unwrap_err();
    assert_eq!(refused, (500, String::from("Adding dispatcher dst failed")));
    both.same("dispatcher.reload", json!([]));
    both.same_lists("after a reload");
}

/// The destinations of the sets in order, those of a set in the order of their URIs.
fn by_set(list: &Json) -> Vec<(i64, Vec<String>)> {
    let set = |record: &Json| {
        let targets = record["SET"]["TARGETS"].as_array().unwrap();
        let mut targets: Vec<_> = targets.iter().map(|target| target["DEST"].to_string()).collect();
        targets.sort();
        (record["SET"]["ID"].as_i64().unwrap(), targets)
    };
    let mut sets: Vec<_> = list["RECORDS"].as_array().unwrap().iter().map(set).collect();
    sets.sort();
    sets
}

#[test]
fn hashes_and_ping_states_are_kamailios() {
    let both = Both::start("kamailio-hash");
    let texts = ["", "x", "bob", "server.com", "+49-30-1234567", "a84b4c76e66710@pc33.atlanta.com", "ü"];
    for slots in [-3, 0, 1, 5, 100, 65_536] {
        for first in &texts[1..] {
            both.same("dispatcher.hash", json!([slots, first]));
            for second in &texts[1..] {
                both.same("dispatcher.hash", json!([slots, first, second]));
            }
        }
    }
    for params in [json!([]), json!([0]), json!([]), json!([0]), json!([1]), json!([-1]), json!([])] {
        both.same("dispatcher.ping_active", params);
    }
}

/// Kamailio 6.0 and later have it, Debian's 5.6 has not: the names, their order and the numbers are those of its source
/// (`dispatcher_rpc_oclist`).
#[test]
fn overload_is_listed_with_kamailios_names_in_its_order_of_destinations() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kamailio-oclist-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("dispatcher.list"), list("127.64.0.9:5060")).unwrap();
    let siplane = Siplane::start(&folder, "127.64.0.9:5060");
    let listed = siplane.call("dispatcher.list", &json!([])).unwrap();
    let mut seen = Vec::new();
    for record in listed["RECORDS"].as_array().unwrap() {
        let (set, targets) = (&record["SET"]["ID"], record["SET"]["TARGETS"].as_array().unwrap());
        let overload = siplane.call("dispatcher.oclist", &json!([set])).unwrap();
        assert_eq!(overload.as_array().unwrap().len(), targets.len());
        for (shown, target) in overload.as_array().unwrap().iter().zip(targets) {
            let (destination, names) = (&target["DEST"], shown.as_object().unwrap().keys().cloned());
            let expected = "group uri flags priority ocrate ocidx ocseq octime_sec octime_usec ocmin ocmax";
            assert_eq!(names.collect::<Vec<_>>().join(" "), expected);
            assert_eq!((&shown["group"], &shown["uri"]), (set, &destination["URI"]));
            assert_eq!(shown["priority"], destination["PRIORITY"]);
            seen.push((destination["FLAGS"].as_str().unwrap().to_owned(), shown["flags"].as_i64().unwrap()));
            let all: Vec<i64> = expected.split(' ').skip(4).map(|name| shown[name].as_i64().unwrap()).collect();
            assert_eq!(all, [0, 0, 0, 0, 0, 0, 100]);
        }
    }
    seen.sort();
    seen.dedup();
    let expected = [("AP", 8), ("AX", 0), ("DP", 12), ("DX", 4), ("IP", 9), ("IX", 1)];
    assert_eq!(seen, expected.map(|(letters, bits)| (letters.to_owned(), bits)));
    fs::remove_dir_all(folder).unwrap();
}
