//! Bounds of the control side, reached: those of the unix sockets and the FIFO.

use crate::clients::wait_for;
use crate::datagram::Client;
use crate::{socket_path, start};
use serde_json::{Value, json};
use siplane::limits;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ECHO: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"core.echo\",\"params\":[\"x\"],\"id\":1}";

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(2 * limits::CONTROL_REST_TIMEOUT)).unwrap();
    stream
}

/// A folder for replies with these FIFOs in it.
fn fifos(name: &str, fifos: &[&str]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("siplane-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for fifo in fifos {
        assert!(Command::new("mkfifo").arg(folder.join(fifo)).status().unwrap().success());
    }
    folder
}

fn write(fifo: &Path, text: &str) {
    OpenOptions::new().write(true).open(fifo).unwrap().write_all(text.as_bytes()).unwrap();
}

fn read(fifo: &Path) -> Value {
    let mut text = String::new();
    OpenOptions::new().read(true).open(fifo).unwrap().read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn by_fifo(reply: &str) -> String {
    json!({"jsonrpc": "2.0", "method": "core.echo", "params": ["x"], "reply_name": reply, "id": 1}).to_string()
}

/// The line in the log for a client that does not read.
const MUTE: &str = "does not read its reply";

#[test]
fn who_does_not_come_to_the_end_of_a_request_is_not_waited_for() {
    let (path, fifo, folder) = (socket_path("rest"), socket_path("rest-fifo"), fifos("rest-replies", &["late"]));
    let siplane = start(
        88,
        &format!(
            "socket = \"{}\"\nfifo = \"{}\"\nfifo_reply_dir = \"{}\"",
            path.display(),
            fifo.display(),
            folder.display()
        ),
    );
    let mut silent = connect(&path);
    let (mut line, mut packet) = (connect(&path), connect(&path));
    line.write_all(&ECHO.as_bytes()[..20]).unwrap();
    // Magic, a body of 9 bytes, a cookie of one; and then nothing.
    packet.write_all(&[0xA1, 0x00, 0x09, 0x07]).unwrap();
    write(&fifo, "{\"method\": \"core.echo\", \"reply_name\": \"late\", ");
    for (what, stream) in [("a line", &mut line), ("a packet", &mut packet)] {
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 0, "{what} that has no end");
    }
    // By FIFO what came is forgotten, its writer told, and what comes next is read from its beginning.
    assert_eq!(read(&folder.join("late"))["error"]["code"], -32700);
    write(&fifo, &by_fifo("late"));
    assert_eq!(read(&folder.join("late"))["result"], json!(["x"]));
    // Who has asked nothing may stay.
    silent.write_all(format!("{ECHO}\n").as_bytes()).unwrap();
    let mut answer = [0; 200];
    let length = silent.read(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains("\"result\":[\"x\"]"));
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_line_that_is_too_long_is_refused_and_ends_the_connection() {
    let path = socket_path("longline");
    let siplane = start(89, &format!("socket = \"{}\"", path.display()));
    let mut stream = connect(&path);
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        // The connection may end before all of it is gone.
        let _ = writer.write_all(&vec![b' '; limits::CONTROL_REQUEST_BYTES_MAX + 1]);
    });
    let mut text = String::new();
    // What was not read when it ended resets it.
    let _ = stream.read_to_string(&mut text);
    writing.join().unwrap();
    assert!(text.is_empty() || text.contains("-32700"), "{text}");
    let mut stream = connect(&path);
    stream.write_all(format!("{ECHO}\n").as_bytes()).unwrap();
    assert!(stream.read(&mut [0; 100]).unwrap() > 0, "another one is served");
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn beyond_so_many_requests_at_work_the_next_one_by_fifo_waits() {
    let (fifo, folder) = (socket_path("many-fifo"), fifos("many-replies", &["mute", "next"]));
    let control = format!("fifo = \"{}\"\nfifo_reply_dir = \"{}\"", fifo.display(), folder.display());
    let siplane = start(90, &control);
    let mute = by_fifo("mute");
    (0..limits::CONTROL_REQUESTS_MAX).for_each(|_| write(&fifo, &mute));
    write(&fifo, &by_fifo("next"));
    assert_eq!(read(&folder.join("next"))["result"], json!(["x"]));
    // A place was free when the first ones had been given up, and not before.
    assert!(siplane.log().contains(MUTE), "{}", siplane.log());
    wait_for("all of them are given up", || {
        (siplane.log().matches(MUTE).count() == limits::CONTROL_REQUESTS_MAX).then_some(())
    });
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn beyond_so_many_requests_at_work_the_next_one_by_datagram_waits() {
    let path = socket_path("many");
    let siplane = start(91, &format!("datagram_socket = \"{}\"", path.display()));
    let own = socket_path("many-mute");
    let mute = UnixDatagram::bind(&own).unwrap();
    mute.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // The kernel holds some replies for who does not read; one that finds no room keeps its place. When all places are taken, and
    // the door's own queue is full, nothing more can be sent.
    let sent =
        (0..10 * limits::CONTROL_REQUESTS_MAX).take_while(|_| mute.send_to(ECHO.as_bytes(), &path).is_ok()).count();
    assert!((limits::CONTROL_REQUESTS_MAX..10 * limits::CONTROL_REQUESTS_MAX).contains(&sent), "{sent}");
    assert!(!siplane.log().contains(MUTE), "{sent} sent too slowly: nothing is tried here");
    let client = Client::new(&path);
    assert!(client.text(ECHO).contains("\"x\""));
    assert!(siplane.log().contains(MUTE), "{}", siplane.log());
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_file(own).unwrap();
}
