//! The HTTP door in plain text: JSON-RPC, health, tokens, and what is turned away.

use crate::program::Siplane;
use crate::start;
use serde_json::{Value, json};
use siplane::limits;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What came back.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A free port of 127.62.`host`.1.
pub fn free_port(host: u8) -> SocketAddr {
    TcpListener::bind(SocketAddr::from(([127, 62, host, 1], 0))).unwrap().local_addr().unwrap()
}

/// A request with these further header lines.
pub fn request(line: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        write!(text, "{header}\r\n").unwrap();
    }
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        text.push_str("Host: 127.0.0.1\r\n");
    }
    text + "\r\n" + body
}

/// Reads until the other side closes.
pub fn read(mut stream: impl Read) -> Reply {
    let mut text = Vec::new();
    // A TLS client that is turned away may see the connection end without a farewell.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

/// Sends `text` and reads the answer.
pub fn send(address: SocketAddr, text: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Who is turned away before it has said all may be cut off.
    let _ = stream.write_all(text.as_bytes());
    read(stream)
}

/// Posts JSON.
pub fn post(address: SocketAddr, path: &str, headers: &[&str], body: &str) -> Reply {
    let headers = [&["Content-Type: application/json"], headers].concat();
    send(address, &request(&format!("POST {path}"), &headers, body))
}

fn open(host: u8) -> (Siplane, SocketAddr) {
    let address = free_port(host);
    (start(host, &format!("[control.http]\nlisten = \"{address}\"")), address)
}

const UPTIME: &str = r#"{"jsonrpc":"2.0","method":"core.uptime","id":1}"#;

#[test]
fn json_rpc_by_the_book_and_as_kamailio_has_it() {
    let (siplane, address) = open(2);
    let uptime = post(address, "/rpc", &[], UPTIME);
    assert_eq!((uptime.status, &uptime.json()["id"]), (200, &json!(1)));
    assert!(uptime.json()["result"]["uptime"].is_u64());
    let batch = post(address, "/rpc", &[], &format!("[{UPTIME},{UPTIME}]"));
    assert_eq!(batch.json().as_array().unwrap().len(), 2);
    let told = post(address, "/rpc", &[], r#"{"jsonrpc":"2.0","method":"core.uptime"}"#);
    assert_eq!((told.status, told.body.as_str()), (204, ""));
    let missing = r#"{"jsonrpc":"2.0","method":"no.such","id":"x"}"#;
    let standard = post(address, "/rpc", &[], missing);
    assert_eq!((standard.status, &standard.json()["error"]["code"]), (200, &json!(-32601)));
    let kamailio = post(address, "/RPC", &[], missing);
    let error =
        json!({"code": 500, "message": "Method Not Found", "data": "no method no.such; system.listMethods tells all"});
    let fault = json!({"jsonrpc": "2.0", "error": error, "id": "x"});
    assert_eq!((kamailio.status, kamailio.json()), (500, fault));
    assert_eq!(post(address, "/RPC", &[], "{").status, 500);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn health_is_told_to_everybody() {
    let (siplane, address) = open(3);
    let get = |path| send(address, &request(&format!("GET {path}"), &[], ""));
    assert_eq!((get("/healthz").status, get("/healthz").body.as_str()), (200, "alive\n"));
    assert_eq!((get("/readyz").status, get("/readyz").body.as_str()), (200, "ready\n"));
    assert_eq!(get("/nothing").status, 404);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn without_a_destination_it_is_alive_but_not_ready() {
    let address = free_port(4);
    let control = format!("[control.http]\nlisten = \"{address}\"");
    let siplane = Siplane::start(SocketAddr::from(([127, 62, 4, 1], 0)), |sip| {
        format!(
            "listen = [\"udp:{sip}\"]\nshards = 1\n{control}\n[[set]]\nid = 1\n\
             destinations = [{{ uri = \"sip:127.62.4.11:5060\", disabled = true }}]\n"
        )
    });
    let get = |path| send(address, &request(&format!("GET {path}"), &[], ""));
    assert_eq!(get("/healthz").status, 200);
    let ready = get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: no destination is available\n"));
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn a_page_of_another_origin_gets_nothing_done() {
    let (siplane, address) = open(5);
    // What a form can send without asking first.
    let simple = send(address, &request("POST /rpc", &["Content-Type: text/plain"], UPTIME));
    assert_eq!(simple.status, 415);
    // DNS rebinding.
    assert_eq!(post(address, "/rpc", &["Host: evil.example.com"], UPTIME).status, 421);
    assert_eq!(post(address, "/rpc", &["Host: localhost:1"], UPTIME).status, 200);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn tokens_have_roles() {
    let address = free_port(6);
    let file = std::env::temp_dir().join(format!("siplane-tokens-{}", std::process::id()));
    std::fs::write(&file, "read reader-0123456789\noperate operator-01234567\nreport reporter-01234567\n").unwrap();
    let siplane = start(6, &format!("[control.http]\nlisten = \"{address}\"\ntokens = \"{}\"", file.display()));
    let ask = |headers: &[&str]| post(address, "/rpc", headers, UPTIME);
    let refused = ask(&[]);
    assert_eq!(refused.status, 401);
    assert!(refused.head.to_lowercase().contains("www-authenticate: bearer"), "{}", refused.head);
    assert_eq!(ask(&["Authorization: Bearer reader-0123456788"]).status, 401);
    assert_eq!(ask(&["Authorization: Bearer reader-0123456789", "Host: sip.example.com"]).status, 200);
    assert!(ask(&["Authorization: Bearer operator-01234567"]).json()["result"]["uptime"].is_u64());
    let reporter = ask(&["Authorization: Bearer reporter-01234567"]).json();
    assert_eq!(reporter["error"], json!({"code": -32003, "message": "core.uptime needs the role read"}));
    // A reader changes nothing, and a reporter reads nothing, by any route.
    let disable = r#"{"jsonrpc":"2.0","method":"dispatcher.disable","params":[1,"sip:127.62.6.11:5060"],"id":1}"#;
    let ask =
        |path: &str, token: &str, body: &str| post(address, path, &[&format!("Authorization: Bearer {token}")], body);
    let refused = ask("/rpc", "reader-0123456789", disable);
    assert_eq!(refused.json()["error"]["message"], "dispatcher.disable needs the role operate");
    let refused = ask("/RPC", "reader-0123456789", disable);
    assert_eq!((refused.status, &refused.json()["error"]["message"]), (403, &json!("Permission Denied")));
    let metrics =
        |token: &str| send(address, &request("GET /metrics", &[&format!("Authorization: Bearer {token}")], "")).status;
    assert_eq!(
        [metrics("reader-0123456789"), metrics("reporter-01234567"), metrics("nobody-0123456789")],
        [200, 403, 401]
    );
    assert_eq!(ask("/rpc", "operator-01234567", disable).json()["result"]["admin"], "disabled");
    assert_eq!(send(address, &request("GET /healthz", &[], "")).status, 200);
    assert_eq!(siplane.terminate().code(), Some(0));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn large_and_slow_requests_are_turned_away() {
    let (siplane, address) = open(7);
    let large = " ".repeat(limits::CONTROL_REQUEST_BYTES_MAX + 1);
    assert_eq!(post(address, "/rpc", &[], &large).status, 413);
    let head = format!("X-Long: {}", "x".repeat(limits::HTTP_HEAD_BYTES_MAX));
    assert_eq!(send(address, &request("GET /healthz", &[&head], "")).status, 431);
    // Half a body, and half a head: nobody waits for the rest for ever.
    let slow_body =
        "POST /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    assert_eq!(send(address, slow_body).status, 408);
    let slow_head = send(address, "GET /healthz HTTP/1.1\r\nHost: ");
    assert!([0, 408].contains(&slow_head.status), "{}", slow_head.head);
    assert_eq!(post(address, "/rpc", &[], UPTIME).status, 200);
    assert_eq!(siplane.terminate().code(), Some(0));
}

#[test]
fn more_requests_than_allowed_get_429() {
    let (siplane, address) = open(8);
    let mut stream = TcpStream::connect(address).unwrap();
    // On one connection, one behind the other: faster than any bucket fills.
    let one = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let count = 3 * limits::HTTP_REQUESTS_PER_SECOND as usize;
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || (0..count).for_each(|_| writer.write_all(one.as_bytes()).unwrap()));
    let (mut text, mut buffer) = (String::new(), [0; 65_536]);
    while text.matches("HTTP/1.1 ").count() < count {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed after {} answers", text.matches("HTTP/1.1 ").count());
        text.push_str(core::str::from_utf8(&buffer[..length]).unwrap());
    }
    writing.join().unwrap();
    let refused = text.matches("HTTP/1.1 429 ").count();
    assert!(refused > 0 && refused <= count - limits::HTTP_REQUESTS_PER_SECOND as usize, "{refused} of {count}");
    assert_eq!(siplane.terminate().code(), Some(0));
}
