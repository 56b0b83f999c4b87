//! JSON-RPC, by the book and as Kamailio has it: each request is answered with its id, and with what it gave when it asked for that.

#[path = "doors/binrpc.rs"]
pub(crate) mod binrpc;
#[path = "../../../src/control/doors/fitting.rs"]
mod fitting;
#[path = "../../../src/control/doors/json.rs"]
mod json;
#[path = "../../../src/control/doors/kamailio.rs"]
mod kamailio;
#[path = "../../../src/control/doors/pretty.rs"]
mod pretty;

use super::rpc::Role;
use super::{Control, Value};
use serde_json::Value as Json;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// As long as a reply to kamcli may be, for an input that is far shorter.
const REPLY_BYTES_MAX: usize = 2_000;

/// What nothing waits for.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

pub(crate) fn run(data: &[u8]) {
    let control = Arc::new(Control);
    let asked: Option<Json> = serde_json::from_slice(data).ok();
    let answer = at_once(json::answer(&control, Role::Operate, data));
    match (&asked, &answer) {
        (None, answer) => assert_eq!(answer.as_ref().unwrap()["error"]["code"], -32700),
        (Some(Json::Array(asked)), Some(Json::Array(answers))) => assert!((1..=asked.len()).contains(&answers.len())),
        (Some(asked @ Json::Object(_)), Some(answer)) => check(asked, answer),
        (Some(Json::Object(asked)), None) => assert!(!asked.contains_key("id"), "no answer to a request with an id"),
        (Some(Json::Array(asked)), None) => assert!(!asked.is_empty()),
        (Some(_), answer) => assert_eq!(answer.as_ref().unwrap()["error"]["code"], -32600),
    }
    let reply = at_once(kamailio::reply(&control, Role::Operate, data, REPLY_BYTES_MAX));
    let read: Json = serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {reply}"));
    assert!(read.is_array() || read["jsonrpc"] == "2.0");
    if let Some(document) = &asked {
        let _ = kamailio::reply_name(document);
    }
}

fn check(asked: &Json, answer: &Json) {
    assert_eq!(answer["jsonrpc"], "2.0");
    if let Some(result) = answer.get("result") {
        assert_eq!(answer["id"], asked["id"]);
        if let Some(given) = asked.get("params").filter(|_| asked["method"] == "echo") {
            assert_eq!(*result, Value::from_json(given.clone()).to_json());
        }
    } else {
        assert!(answer["error"]["code"].is_i64() && answer["error"]["message"].is_string());
    }
}
