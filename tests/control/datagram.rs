//! The unix datagram socket: kamcli, unmodified, and what Kamailio answers badly.

use crate::clients::kamcli;
use crate::{socket_path, start};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A client with a socket at a path of its own.
pub struct Client {
    socket: UnixDatagram,
    path: PathBuf,
    server: PathBuf,
}

impl Client {
    pub fn new(server: &Path) -> Self {
        let path = server.with_extension("client");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, path, server: server.to_owned() }
    }

    pub fn text(&self, request: &str) -> String {
        self.socket.send_to(request.as_bytes(), &self.server).unwrap();
        let mut bytes = vec![0; 200_000];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    fn ask(&self, request: &str) -> Value {
        serde_json::from_str(&self.text(request)).unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A kamcli.ini for the socket at `path`.
pub fn ini(path: &Path) -> PathBuf {
    let file = path.with_extension("ini");
    let answers = path.with_extension("answer");
    let settings = format!(
        "[main]\ndomain=example.com\n[ctl]\ntype=jsonrpc\n[jsonrpc]\ntransport=socket\nsrvaddr={}\nrcvaddr={}\noutformat=json\n",
        path.display(),
        answers.display()
    );
    fs::write(&file, settings).unwrap();
    file
}

#[test]
fn kamcli_asks_and_prints() {
    let path = socket_path("kamcli");
    let siplane = start(25, &format!("datagram_socket = \"{}\"", path.display()));
    let ini = ini(&path);
    let said = |args: &[&str]| kamcli(&ini, args);
    let answer = |args: &[&str]| {
        let said = said(args);
        serde_json::from_str::<Value>(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
    };
    assert!(answer(&["uptime"])["result"]["uptime"].is_u64());
    assert!(said(&["ps"]).contains("shard 0 core "), "{}", said(&["ps"]));
    assert!(answer(&["srv", "version"])["result"].as_str().unwrap().starts_with("siplane "));
    assert!(answer(&["srv", "info"])["result"]["compiler"].is_string());
    assert_eq!(answer(&["srv", "sockets"])["result"][0]["PROTO"], "udp");
    assert!(answer(&["srv", "rpclist"])["result"].as_array().unwrap().contains(&json!("core.uptime")));
    assert!(answer(&["stats", "dialog"])["result"].as_array().unwrap().contains(&json!("dialog:active_dialogs = 0")));
    assert_eq!(answer(&["stats", "-s", "active_dialogs"])["result"], json!(["dialog:active_dialogs = 0"]));
    assert!(said(&["moni", "--no-refresh"]).contains("core:rcv_requests"), "{}", said(&["moni", "--no-refresh"]));
    assert_eq!(answer(&["dialog", "stats_active"])["result"]["all"], 0);
    assert!(answer(&["rpc", "core.shmmem"])["result"]["total"].is_u64());
    // kamcli sends every parameter as a text unless told otherwise.
    assert_eq!(answer(&["rpc", "core.echo", "1", "i:2", "x"])["result"], json!(["1", "2", "x"]));
    let missing = answer(&["rpc", "no.such"]);
    assert_eq!((&missing["error"]["code"], &missing["error"]["message"]), (&json!(500), &json!("Method Not Found")));
    let _ = fs::remove_file(ini);
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// Kamailio answers the first with silence and the others with an empty result.
#[test]
fn what_is_no_request_is_answered_and_batches_are_done() {
    let path = socket_path("badly");
    let siplane = start(26, &format!("datagram_socket = \"{}\"", path.display()));
    let client = Client::new(&path);
    assert_eq!(client.ask("{\"jsonrpc\": ")["error"]["code"], -32700);
    for no_request in ["7", "{\"method\":\"core.echo\",\"id\":1}", "{\"jsonrpc\":\"2.0\",\"id\":1}", "[]"] {
        assert_eq!(client.ask(no_request)["error"]["code"], -32600, "{no_request}");
    }
    let parameters = r#"{"jsonrpc":"2.0","method":"core.echo","params":"x","id":1}"#;
    assert_eq!(client.ask(parameters)["error"]["code"], -32600);
    let batch = r#"[{"jsonrpc":"2.0","method":"core.echo","params":["a"],"id":"one"},{"jsonrpc":"2.0","method":"no","id":1.5}]"#;
    let answers = client.ask(batch);
    assert_eq!((&answers[0]["result"], &answers[0]["id"]), (&json!(["a"]), &json!("one")));
    let fault =
        json!({"code": 500, "message": "Method Not Found", "data": "no method no; system.listMethods tells all"});
    assert_eq!((&answers[1]["error"], &answers[1]["id"]), (&fault, &json!(1.5)));
    let without = client.ask(r#"{"jsonrpc":"2.0","method":"core.echo","params":{"any":"x","name":7}}"#);
    assert_eq!(without, json!({"jsonrpc": "2.0", "result": ["x", "7"]}));
    // One without a path of its own cannot be answered, and stops nobody.
    UnixDatagram::unbound().unwrap().send_to(b"{}", &path).unwrap();
    let echo = r#"{"jsonrpc":"2.0","method":"core.echo","params":["x"],"id":3}"#;
    assert_eq!(client.text(echo), "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t[\"x\"],\n\t\"id\":\t3\n}");
    assert_eq!(siplane.terminate().code(), Some(0));
}

/// kamcli reads 84,000 bytes; Kamailio sends more until the socket takes no more, and then nothing.
#[test]
fn a_reply_too_long_for_kamcli_is_written_closer_and_then_cut() {
    let path = socket_path("cut");
    let siplane = start(27, &format!("datagram_socket = \"{}\"", path.display()));
    let client = Client::new(&path);
    let echo = |count: usize, length: usize| {
        let texts = vec!["7".repeat(length); count];
        client.text(&json!({"jsonrpc": "2.0", "method": "core.echo", "params": texts, "id": 1}).to_string())
    };
    // 20,100 texts of 1 digit: 5 bytes each with the space, 4 without.
    let closer = echo(20_100, 1);
    assert!(closer.len() <= 84_000 && closer.starts_with("{\"jsonrpc\":"), "{}", closer.len());
    assert_eq!(serde_json::from_str::<Value>(&closer).unwrap()["result"].as_array().unwrap().len(), 20_100);
    let cut = echo(1_500, 60);
    let answer: Value = serde_json::from_str(&cut).unwrap();
    let values = answer["result"].as_array().unwrap();
    assert!(cut.len() <= 84_000 && values.len() > 1_000, "{} {}", cut.len(), values.len());
    assert_eq!(values.last().unwrap()["MORE"], json!({"SHOWN": values.len() - 1, "ALL": 1_500}));
    let refused = client.ask(&json!({"jsonrpc": "2.0", "method": "no.such", "id": "x".repeat(50)}).to_string());
    assert_eq!(refused["error"]["code"], 500);
    assert_eq!(siplane.terminate().code(), Some(0));
}
