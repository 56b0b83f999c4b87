//! A client that goes away before it has its answer.

use crate::http::{free_port, request};
use crate::program::Siplane;
use crate::reload::Place;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const O_NONBLOCK: i32 = 0o4000;
const LIST: &str = "1 sip:127.62.97.11:5060 0 0 duid=gw1\n";

/// The other end of the FIFO at `path`, when somebody reads it.
fn writer(path: &Path) -> File {
    crate::clients::wait_for("the list is read", || {
        OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).ok()
    })
}

#[test]
fn a_change_of_one_who_has_gone_comes_to_its_end_before_the_next_begins_and_is_told() {
    let (place, http) = (Place::new("gone", 97), free_port(97));
    let list = place.file("dispatcher.list");
    fs::write(&list, LIST).unwrap();
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 97, 1], 0)), |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 1\ndispatcher_list = \"{}\"\n[control]\nsocket = \"{}\"\n\
             [control.http]\nlisten = \"{http}\"\n",
            list.display(),
            place.socket().display()
        )
    });
    let mut ctl = place.connect();
    // A list that takes its time: the reload waits for somebody to write it.
    fs::remove_file(&list).unwrap();
    assert!(Command::new("mkfifo").arg(&list).status().unwrap().success());
    let mut client = TcpStream::connect(http).unwrap();
    let reload = "{\"jsonrpc\":\"2.0\",\"method\":\"dispatcher.reload\",\"id\":1}";
    client.write_all(request("POST /rpc", &["Content-Type: application/json"], reload).as_bytes()).unwrap();
    let mut writer = writer(&list);
    drop(client);
    // As long as it takes the door to see that the connection has ended.
    std::thread::sleep(Duration::from_millis(500));
    let mut second = place.connect();
    let next = std::thread::spawn(move || second.call("dispatcher.disable", json!([1, "gw1"])));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!next.is_finished(), "a change began before the one before it had ended");
    writer.write_all(format!("{LIST}1 sip:127.62.97.12:5060 0 0 duid=gw2\n").as_bytes()).unwrap();
    drop(writer);
    assert_eq!(next.join().unwrap().unwrap()["admin"], json!("disabled"));
    assert_eq!(ctl.call("dispatcher.get", json!([1, "gw2"])).unwrap()["admin"], json!("enabled"));
    let events = ctl.call("events.list", json!([])).unwrap();
    let operated = events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "operated");
    let told: Vec<Value> = operated.map(|event| json!([event["method"], event["done"]])).collect();
    assert_eq!(told, [json!(["dispatcher.reload", true]), json!(["dispatcher.disable", true])]);
    assert_eq!(siplane.terminate().code(), Some(0));
}
