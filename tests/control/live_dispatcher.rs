//! `dispatcher.*` by the real kamcmd and the real kamcli: what they print of siplane is what they print of a live Kamailio on the same list.

use crate::clients::{kamcli, kamcmd, wait_for};
use crate::datagram::ini;
use crate::live_kamailio::Kamailio;
use crate::program::Siplane;
use crate::socket_path;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// One set, as Kamailio shows several in the order of its tree; and no two of one priority: Kamailio turns those round with each change.
const LIST: &str = "1 sip:127.64.1.1:5070 0 60 duid=gw1;weight=30;rweight=50;maxload=7\n\
                    1 sip:127.64.1.2;transport=udp 0 50 duid=gw2;weight=70;obproxy=sip:127.0.0.9\n\
                    1 sip:127.64.2.1:5070 0 40\n1 sip:127.64.2.2:5070 4 30\n1 sip:127.64.2.3:5070 1 20 name=\"quoted\";foo\n";

const MODULES: [&str; 7] = ["jsonrpcs", "ctl", "sl", "pv", "tm", "kex", "dispatcher"];

/// The list in a folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, list: &str) -> Self {
        let path = std::env::temp_dir().join(format!("siplane-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("dispatcher.list"), list).unwrap();
        Self(path)
    }

    fn list(&self) -> PathBuf {
        self.0.join("dispatcher.list")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A siplane on that list, at these two sockets. It probes only those that are marked for it, as Kamailio does here.
fn siplane(host: u8, list: &Path, [socket, datagram]: [&Path; 2]) -> Siplane {
    Siplane::start(SocketAddr::from(([127, 62, host, 1], 0)), |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 1\ndispatcher_list = \"{}\"\n[prober]\npolicy = \"flagged\"\n\
             [control]\nsocket = \"{}\"\ndatagram_socket = \"{}\"\n",
            list.display(),
            socket.display(),
            datagram.display()
        )
    })
}

fn kamailio(host: u8, list: &Path) -> Kamailio {
    let script = format!(
        "modparam(\"dispatcher\", \"list_file\", \"{}\")\nmodparam(\"dispatcher\", \"reload_delta\", 0)\n\
         modparam(\"dispatcher\", \"ds_ping_latency_stats\", 1)\nmodparam(\"dispatcher\", \"ds_hash_size\", 4)\n\
         modparam(\"dispatcher\", \"ds_probing_mode\", 3)\n",
        list.display()
    );
    Kamailio::start(host, &MODULES, &script)
}

/// What both are told, one after the other; behind each of them both show the same lists.
const SAID: &[&[&str]] = &[
    &["dispatcher.reload"],
    &["dispatcher.ping_active"],
    &["dispatcher.ping_active", "0"],
    &["dispatcher.ping_active"],
    &["dispatcher.hash", "8", "alice", "example.com"],
    &["dispatcher.hash", "5", "bob"],
    &["dispatcher.hash"],
    &["dispatcher.set_state", "ip", "1", "sip:127.64.1.1:5070"],
    &["dispatcher.set_state", "d", "1", "sip:127.64.2.1:5070"],
    &["dispatcher.set_state", "tp", "1", "sip:127.64.2.2:5070"],
    &["dispatcher.set_state", "a", "1", "all"],
    &["dispatcher.set_state", "zz", "1", "sip:127.64.1.1:5070"],
    &["dispatcher.set_state", "a", "9", "sip:127.64.1.1:5070"],
    &["dispatcher.set_state", "a"],
    &["dispatcher.set_duid_state", "i", "1", "gw2"],
    &["dispatcher.set_duid_state", "ap", "1", "gw1"],
    &["dispatcher.set_duid_state", "ap", "1", "gw9"],
    &["dispatcher.add", "1", "sip:127.64.1.3:5070", "8", "5", "duid=gw3;weight=4"],
    &["dispatcher.add", "1", "sip:127.64.1.4:5070"],
    &["dispatcher.add", "1"],
    &["dispatcher.remove", "1", "sip:127.64.1.3:5070"],
    &["dispatcher.remove", "1", "sip:127.64.1.99:5070"],
    &["dispatcher.remove", "1"],
    &["dispatcher.nothing"],
];

#[test]
fn kamcmd_prints_of_siplane_what_it_prints_of_kamailio() {
    let folder = Folder::with("kamcmd-live", LIST);
    let [socket, datagram] = ["kc-live", "kc-live-dg"].map(socket_path);
    let siplane = siplane(92, &folder.list(), [&socket, &datagram]);
    let kamailio = kamailio(93, &folder.list());
    let same = |args: &[&str]| {
        let (ours, theirs) = (kamcmd(&socket, args), kamcmd(&kamailio.socket(), args));
        assert_eq!(ours, theirs, "{args:?}");
        ours
    };
    let lists = || [&["dispatcher.list"][..], &["dispatcher.list", "short"], &["dispatcher.list", "full"]].map(same);
    assert!(
        lists()[0].contains("\t\t\t\t\tFLAGS: DX\n") && lists()[2].contains("\t\t\t\t\tPROTOID: 1\n"),
        "{:?}",
        lists()
    );
    for args in SAID {
        same(args);
        lists();
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// What it prints, without what is a number of the request or of siplane alone: `data` says more of a fault than Kamailio does.
fn printed(ini: &Path, args: &[&str]) -> String {
    let said = kamcli(ini, args);
    let Ok(mut document) = serde_json::from_str::<Value>(&said) else { return said };
    document.as_object_mut().unwrap().remove("id");
    if let Some(error) = document.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("data");
    }
    serde_json::to_string_pretty(&document).unwrap()
}

#[test]
fn kamcli_prints_of_siplane_what_it_prints_of_kamailio() {
    let folder = Folder::with("kamcli-live", LIST);
    let [socket, datagram] = ["kl-live", "kl-live-dg"].map(socket_path);
    let siplane = siplane(94, &folder.list(), [&socket, &datagram]);
    let kamailio = kamailio(95, &folder.list());
    let (our_ini, their_ini) = (ini(&datagram), ini(&kamailio.datagram_socket()));
    let same = |args: &[&str]| {
        let (ours, theirs) = (printed(&our_ini, args), printed(&their_ini, args));
        assert_eq!(ours, theirs, "{args:?}");
        ours
    };
    assert!(same(&["dispatcher", "list"]).contains("\"NRSETS\": 1"));
    assert!(same(&["dispatcher", "reload"]).contains("Ok. Dispatcher successfully reloaded."));
    // Each method once, as Python takes its time to start: kamcmd says all of it.
    let mut methods = BTreeSet::new();
    for args in SAID.iter().filter(|args| methods.insert(args[0])) {
        // Kamailio takes a number that is written as text for 0: `i:` is kamcli's way to say that it is one.
        let whole = |word: &&str| if word.parse::<i64>().is_ok() { format!("i:{word}") } else { (*word).to_owned() };
        let words: Vec<String> = std::iter::once(String::from("rpc")).chain(args.iter().map(whole)).collect();
        same(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    same(&["dispatcher", "list"]);
    same(&["rpc", "dispatcher.list", "full"]);
    // siplane takes it for the number that it is.
    assert!(
        printed(&our_ini, &["rpc", "dispatcher.set_state", "ip", "1", "sip:127.64.1.2;transport=udp"]).contains("Ok.")
    );
    // What neither has is the same fault of both.
    for args in [&["tcp", "info"][..], &["dialog", "terminate", "a", "b", "c"]] {
        let said = same(args);
        assert!(said.contains("tcp support disabled") || said.contains("Method Not Found"), "{args:?}: {said}");
    }
    let _ = fs::remove_file(our_ini);
    assert_eq!(siplane.terminate().code(), Some(0));
}

const MANY: usize = 10_000;

#[test]
fn ten_thousand_destinations_do_not_break_kamcmd_nor_kamcli() {
    let line = |number: usize| {
        format!("1 sip:127.65.{}.{}:5070 0 0 duid=gw{number};weight=10\n", number / 250, number % 250 + 1)
    };
    let folder = Folder::with("many-live", &(0..MANY).map(line).collect::<String>());
    let [socket, datagram] = ["many-live", "many-live-dg"].map(socket_path);
    let siplane = siplane(96, &folder.list(), [&socket, &datagram]);
    // The short form, cut where kamcmd's 131,072 bytes end.
    let said = kamcmd(&socket, &["dispatcher.list"]);
    let shown = said.matches("\t\t\t\tDEST: {\n").count();
    let head: String = said.chars().take(200).collect();
    assert!(shown > 500 && !said.contains("ATTRS") && said.ends_with("}\n"), "{shown} {head}");
    assert!(
        said.contains(&format!("\t\t\t\tSHOWN: {shown}\n\t\t\t\tALL: {MANY}\n")) && said.contains("\tHINT: "),
        "{shown} {head}"
    );
    let ini = ini(&datagram);
    // kamcli waits for 4 s, and then prints nothing; a build for tests beside other tests may take longer.
    let said: Value =
        wait_for("kamcli is answered in time", || serde_json::from_str(&kamcli(&ini, &["dispatcher", "list"])).ok());
    let set = &said["result"]["RECORDS"][0]["SET"];
    let shown = set["TARGETS"].as_array().unwrap().len();
    assert!(shown > 200, "{shown}");
    assert_eq!((set["MORE"]["SHOWN"].as_u64(), set["MORE"]["ALL"].as_u64()), (Some(shown as u64), Some(MANY as u64)));
    // One of them is changed and shown by name, and the whole list is reloaded, through either.
    assert_eq!(kamcmd(&socket, &["dispatcher.set_duid_state", "d", "1", "gw9999"]), "Ok. Dispatcher state updated.\n");
    assert!(kamcmd(&socket, &["dispatcher.get", "1", "gw9999"]).contains("\tadmin: disabled\n"));
    assert_eq!(kamcmd(&socket, &["dispatcher.reload"]), "Ok. Dispatcher successfully reloaded.\n");
    wait_for("kamcli is answered in time", || {
        kamcli(&ini, &["dispatcher", "reload"]).contains("Ok. Dispatcher successfully reloaded.").then_some(())
    });
    assert!(kamcmd(&socket, &["dispatcher.get", "1", "gw9999"]).contains("\tadmin: disabled\n"));
    let _ = fs::remove_file(ini);
    assert_eq!(siplane.terminate().code(), Some(0));
}
