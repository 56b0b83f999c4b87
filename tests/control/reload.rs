//! Reload: under load, of bad files, by signal, by file change, and of ten thousand destinations.

use crate::program::Siplane;
use crate::socket_path;
use serde_json::{Value, json};
use siplane::cli::demo::{Destination, Load, LoadOptions};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Names and addresses of one test.
pub struct Place {
    name: &'static str,
    host: u8,
}

impl Place {
    pub fn new(name: &'static str, host: u8) -> Self {
        Self { name, host }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("control-{}-{}", self.name, std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    fn text(&self, address: SocketAddr, control: &str, sets: &str) -> String {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 2\nshutdown_timeout_s = 2\n\n[control]\nsocket = \"{}\"\n{control}\n\n{sets}",
            socket_path(self.name).display()
        )
    }

    pub fn start(&self, control: &str, sets: &str) -> Siplane {
        let host = SocketAddr::from(([127, 62, self.host, 1], 0));
        Siplane::start(host, |address| self.text(address, control, sets))
    }

    /// Puts another config into the file of `siplane`.
    pub fn write(&self, siplane: &Siplane, control: &str, sets: &str) {
        fs::write(siplane.config(), self.text(siplane.address, control, sets)).unwrap();
    }

    /// Where its control socket is.
    pub fn socket(&self) -> PathBuf {
        socket_path(self.name)
    }

    pub fn connect(&self) -> Ctl {
        // Calls are taken before the doors open.
        let start = Instant::now();
        loop {
            match UnixStream::connect(socket_path(self.name)) {
                Ok(stream) => return Ctl(BufReader::new(stream)),
                Err(error) => assert!(start.elapsed() < Duration::from_secs(10), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A connection to the unix stream socket.
pub struct Ctl(BufReader<UnixStream>);

impl Ctl {
    /// The result of a method, or the message of its fault.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        match answer.get("error") {
            Some(error) => Err(error["message"].as_str().unwrap().to_owned()),
            None => Ok(answer["result"].clone()),
        }
    }
}

const CALLS: usize = 2_500;
const CALLS_PER_SECOND: u32 = 500;
const RELOAD_EVERY: Duration = Duration::from_millis(10);

/// Two lists that differ in order, weights, and in one destination, which comes and goes.
fn lists(destinations: &[Destination]) -> [String; 2] {
    let line = |index: usize, weight: usize| {
        format!("1 sip:{} 0 {} duid=gw{index};weight={weight}\n", destinations[index].address(), weight % 3)
    };
    let forth: String = (0..4).map(|index| line(index, 10 + index)).collect();
    let back: String = (0..3).rev().map(|index| line(index, 20 - index)).collect();
    [forth, back]
}

#[test]
fn a_hundred_reloads_a_second_under_load_lose_no_call_and_leave_no_load_behind() {
    let place = Place::new("load", 31);
    let address = |host| SocketAddr::from(([127, 62, 31, host], 0));
    let destinations: Vec<_> = (11..15).map(|host| Destination::start(address(host)).unwrap()).collect();
    let (file, lists) = (place.file("dispatcher.list"), lists(&destinations));
    fs::write(&file, &lists[0]).unwrap();
    let host = address(1);
    let siplane = Siplane::start(host, |address| {
        // A machine that others use, too, must not make a failover, and two answers, of a late one.
        let sets = "[[set]]\nid = 1\nalgorithm = \"weight\"\nanswer_timeout_ms = 20000\n";
        format!("dispatcher_list = \"{}\"\n{}", file.display(), place.text(address, "", sets))
    });
    let few = LoadOptions::new(siplane.address, CALLS, CALLS_PER_SECOND);
    let load = Load::start(&LoadOptions { source_ports: 8, last_wait: Duration::from_secs(30), ..few }).unwrap();
    let mut ctl = place.connect();
    let (start, mut reloads) = (Instant::now(), 0_u32);
    while !load.is_over() {
        reloads += 1;
        fs::write(&file, &lists[reloads as usize % 2]).unwrap();
        assert_eq!(ctl.call("dispatcher.reload", json!([])).unwrap(), json!("Ok. Dispatcher successfully reloaded."));
        std::thread::sleep((RELOAD_EVERY * reloads).saturating_sub(start.elapsed()));
    }
    let took = start.elapsed();
    let report = load.wait().unwrap();
    println!("{reloads} reloads in {} ms under {CALLS_PER_SECOND} calls/s", took.as_millis());
    assert_eq!((report.placed, report.lost()), (CALLS as u64, 0), "{:?} {:?}", report.refused, report.faults);
    // Every reload published a table: the one that comes and goes is known under one name all the time.
    fs::write(&file, &lists[0]).unwrap();
    ctl.call("dispatcher.reload", json!([])).unwrap();
    let calls = |ctl: &mut Ctl, duid: String| ctl.call("dispatcher.get", json!([1, duid])).unwrap()["calls"].clone();
    assert_eq!((0..4).map(|index| calls(&mut ctl, format!("gw{index}"))).collect::<Vec<_>>(), [0, 0, 0, 0]);
    assert!(reloads > 100, "{reloads} reloads are no test");
    // Which looks for a drift, too.
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_bad_file_changes_nothing_and_tells_file_line_and_key() {
    let place = Place::new("bad", 32);
    let list = place.file("dispatcher.list");
    fs::write(&list, "2 sip:127.62.32.12\n").unwrap();
    let good = "[[set]]\nid = 1\ndestinations = [\"sip:127.62.32.11\"]\n";
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 32, 1], 0)), |address| {
        format!("dispatcher_list = \"{}\"\n{}", list.display(), place.text(address, "", good))
    });
    let mut ctl = place.connect();
    ctl.call("dispatcher.drain", json!([1, "sip:127.62.32.11"])).unwrap();
    let before = ctl.call("dispatcher.list", json!(["full"])).unwrap();
    let file = siplane.config();
    let written = fs::read_to_string(&file).unwrap();
    let name = file.display();
    let line = written.lines().count();
    for (text, told) in [
        (format!("{written}\nbanana = 1\n"), format!("{name}:{}: set[0].banana: found an unknown key", line + 2)),
        (written[..written.len() - 20].to_owned(), format!("{name}:{line}: found no TOML")),
        (written.replace("id = 1", "id = \"x\""), format!("{name}:{}: set[0].id: found", line - 1)),
        (String::new(), format!("{name}:1: listen: found nothing")),
        (
            written
                .replace("[127.62", "[x")
                .replace("listen = [\"udp:127", "listen = [\"udp:127.0.0.9:5060\", \"udp:127"),
            format!("{name}: listen: found \"udp:127.0.0.9:5060\" as 127.0.0.9:5060 and \"udp:127.62.32.1"),
        ),
        (
            written.replace("dispatcher_list = \"", "dispatcher_list = \"/nowhere"),
            format!("{name}:1: dispatcher_list: found /nowhere"),
        ),
    ] {
        fs::write(&file, &text).unwrap();
        for method in ["dispatcher.reload", "config.apply", "config.diff"] {
            let fault = ctl.call(method, json!([])).unwrap_err();
            assert!(fault.contains(&told), "{method}: {fault}\nwithout {told}");
        }
        assert_eq!(ctl.call("dispatcher.list", json!(["full"])).unwrap(), before);
        assert_eq!(ctl.call("dispatcher.get", json!([1, "sip:127.62.32.11"])).unwrap()["admin"], json!("draining"));
    }
    fs::write(&file, &written).unwrap();
    fs::write(&list, "2\n").unwrap();
    let fault = ctl.call("dispatcher.reload", json!([])).unwrap_err();
    assert!(fault.starts_with(&format!("{}:1: found a set number and nothing else", list.display())), "{fault}");
    assert_eq!(ctl.call("dispatcher.list", json!(["full"])).unwrap(), before);
    // What is fixed at start is named, and the rest is taken.
    fs::write(&list, "2 sip:127.62.32.13\n").unwrap();
    fs::write(&file, written.replace("shards = 2", "shards = 1").replace("shutdown_timeout_s = 2", "")).unwrap();
    let applied = ctl.call("config.apply", json!([])).unwrap();
    assert_eq!(applied["restart_needed"], json!(["shards", "shutdown_timeout_s"]));
    assert_eq!(applied["summary"], json!("1 added, 1 removed, 0 changed"));
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// Waits until the log says `what` so many times.
pub fn wait_for(siplane: &Siplane, what: &str, times: usize) {
    let start = Instant::now();
    while siplane.log().matches(what).count() < times {
        assert!(start.elapsed() < Duration::from_secs(20), "no {what}:\n{}", siplane.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_signal_reloads_and_ends_nothing() {
    let place = Place::new("hangup", 33);
    let sets = |host: u8| format!("[[set]]\nid = 1\ndestinations = [\"sip:127.62.33.{host}\"]\n");
    let siplane = place.start("", &sets(11));
    place.write(&siplane, "", &sets(12));
    siplane.signal("HUP");
    wait_for(&siplane, "config reloaded", 1);
    let mut ctl = place.connect();
    assert!(ctl.call("dispatcher.get", json!([1, "sip:127.62.33.12"])).is_ok());
    fs::write(siplane.config(), "listen").unwrap();
    siplane.signal("HUP");
    wait_for(&siplane, "config not reloaded", 1);
    assert!(ctl.call("dispatcher.get", json!([1, "sip:127.62.33.12"])).is_ok());
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_file_that_has_changed_is_reloaded_when_it_is_whole() {
    let place = Place::new("change", 34);
    let list = place.file("dispatcher.list");
    fs::write(&list, "1 sip:127.62.34.11\n").unwrap();
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 34, 1], 0)), |address| {
        let text = place.text(address, "reload_on_change = true", "");
        format!("dispatcher_list = \"{}\"\n{text}", list.display())
    });
    let mut ctl = place.connect();
    let has = |ctl: &mut Ctl, host: u8| ctl.call("dispatcher.get", json!([1, format!("sip:127.62.34.{host}")])).is_ok();
    assert!(has(&mut ctl, 11));
    // Not before it stays as it is.
    let mut text = String::new();
    for host in 12..30 {
        text += &format!("1 sip:127.62.34.{host}\n");
        fs::write(&list, &text).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_for(&siplane, "config reloaded", 1);
    assert!(has(&mut ctl, 29) && !has(&mut ctl, 11));
    fs::write(&list, "1\n").unwrap();
    wait_for(&siplane, "config not reloaded", 1);
    assert!(has(&mut ctl, 29));
    // Written beside it and renamed, as editors do.
    let beside = place.file("beside");
    fs::write(&beside, "1 sip:127.62.34.40\n").unwrap();
    fs::rename(&beside, &list).unwrap();
    wait_for(&siplane, "config reloaded", 2);
    assert!(has(&mut ctl, 40));
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn ten_thousand_destinations_are_reloaded_and_keep_what_is_known_of_them() {
    let place = Place::new("many", 35);
    let list = place.file("dispatcher.list");
    let text = |weight: usize| {
        let line = |number: usize| {
            format!("{} sip:127.63.{}.{}:5060 0 0 weight={weight}\n", 1 + number % 4, number / 200, 1 + number % 200)
        };
        (0..10_000).map(line).collect::<String>()
    };
    fs::write(&list, text(1)).unwrap();
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 35, 1], 0)), |address| {
        format!("dispatcher_list = \"{}\"\n{}", list.display(), place.text(address, "", ""))
    });
    let mut ctl = place.connect();
    ctl.call("dispatcher.drain", json!([4, "sip:127.63.49.200:5060"])).unwrap();
    for weight in 2..6 {
        fs::write(&list, text(weight)).unwrap();
        let start = Instant::now();
        ctl.call("dispatcher.reload", json!([])).unwrap();
        println!("10,000 destinations reloaded in {} ms (a debug build)", start.elapsed().as_millis());
        let last = ctl.call("dispatcher.get", json!([4, "sip:127.63.49.200:5060"])).unwrap();
        assert_eq!((&last["weight"], &last["admin"]), (&json!(weight), &json!("draining")));
    }
    assert_eq!(siplane.terminate().code(), Some(0));
}
