//! The unix stream socket: JSON-RPC 2.0, a document to a line.

use crate::{socket_path, start};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

fn ask(stream: &mut BufReader<UnixStream>, text: &str) -> Value {
    stream.get_mut().write_all(format!("{text}\n").as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// The examples of the JSON-RPC 2.0 specification, section 7, with methods that are there.
#[test]
fn the_standards_examples_get_the_standards_answers() {
    let path = socket_path("stream");
    let siplane = start(1, &format!("socket = \"{}\"", path.display()));
    let mut stream = BufReader::new(UnixStream::connect(&path).unwrap());
    let help =
        ask(&mut stream, r#"{"jsonrpc": "2.0", "method": "system.methodHelp", "params": ["core.uptime"], "id": 1}"#);
    assert!(help["result"].as_str().unwrap().starts_with("Since when"), "{help}");
    let by_name = r#"{"jsonrpc":"2.0","method":"system.methodHelp","params":{"method":"core.uptime"},"id":1}"#;
    assert_eq!(ask(&mut stream, by_name), help);
    let missing = ask(&mut stream, r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#);
    assert_eq!((&missing["error"]["code"], &missing["id"]), (&json!(-32601), &json!("1")));
    let parse_error = ask(&mut stream, r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#);
    assert_eq!((&parse_error["error"]["code"], &parse_error["id"]), (&json!(-32700), &Value::Null));
    let invalid = ask(&mut stream, r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#);
    assert_eq!((&invalid["error"]["code"], &invalid["id"]), (&json!(-32600), &Value::Null));
    assert_eq!(ask(&mut stream, "[]")["error"]["code"], json!(-32600));
    let codes =
        |answer: &Value| answer.as_array().unwrap().iter().map(|one| one["error"]["code"].clone()).collect::<Vec<_>>();
    assert_eq!(codes(&ask(&mut stream, "[1,2,3]")), [-32600, -32600, -32600]);
    let batch =
        r#"[{"jsonrpc":"2.0","method":"core.uptime","id":7},{"jsonrpc":"2.0","method":"core.uptime"},{"foo":"boo"}]"#;
    let answers = ask(&mut stream, batch);
    assert_eq!((answers.as_array().unwrap().len(), &answers[0]["id"]), (2, &json!(7)));
    // A notification has no answer: the next line is that of the next request.
    stream.get_mut().write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"core.uptime\"}\n").unwrap();
    assert_eq!(ask(&mut stream, r#"{"jsonrpc":"2.0","method":"core.uptime","id":8}"#)["id"], json!(8));
    assert_eq!(siplane.terminate().code(), Some(0));
}
