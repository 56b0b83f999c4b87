//! JSON-RPC as Kamailio has it: its layout, its codes and texts for faults.
//!
//! # Policy
//!
//! - A request is answered, with the id that it has or without one, unless its sender cannot be told anything.
//! - A fault has Kamailio's code and text in `code` and `message`, and ours in `data`. What Kamailio answers with an empty result, or not
//!   at all, gets the standard's code: no JSON (-32700), no request (-32600).
//! - Batches are answered; a document of many requests gets one of many answers.
//! - A reply that is too long is written without spaces, and then shortened (see [`super::fitting`]).

use super::{fitting, pretty};
use crate::control::rpc::Role;
use crate::control::{Control, Given, Value};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The reply to the document in `text`, of at most `bytes_max` bytes.
pub(super) async fn reply(control: &Arc<Control>, role: Role, text: &[u8], bytes_max: usize) -> String {
    let answer = document(control, role, text, bytes_max).await;
    let written = pretty::document(&answer);
    if written.len() <= bytes_max { written } else { answer.to_string() }
}

/// The same before it is written.
pub(super) async fn document(control: &Arc<Control>, role: Role, text: &[u8], bytes_max: usize) -> Json {
    match serde_json::from_slice(text) {
        Ok(Json::Array(requests)) if requests.is_empty() => invalid(None),
        Ok(Json::Array(requests)) => batch(control, role, requests, bytes_max).await,
        Ok(request) => one(control, role, request, bytes_max).await,
        Err(error) => failure(-32700, "Parse error", &error.to_string(), Some(Json::Null)),
    }
}

/// All have the same room, less than the commas and the brackets take.
async fn batch(control: &Arc<Control>, role: Role, requests: Vec<Json>, bytes_max: usize) -> Json {
    let room = (bytes_max.saturating_sub(2) / requests.len()).saturating_sub(1);
    let mut answers = Vec::new();
    for request in requests {
        answers.push(one(control, role, request, room).await);
    }
    let answers = Json::Array(answers);
    match bytes_max < usize::MAX && answers.to_string().len() > bytes_max {
        true => failure(500, "reply too big", "fewer requests in one batch fit", Some(Json::Null)),
        false => answers,
    }
}

async fn one(control: &Arc<Control>, role: Role, request: Json, bytes_max: usize) -> Json {
    let Json::Object(mut members) = request else { return invalid(Some(Json::Null)) };
    let id = members.remove("id");
    let params = members.remove("params").filter(|params| !params.is_null());
    let Some(given) = Given::from_params(params) else { return invalid(id) };
    let is_version_2 = members.get("jsonrpc").and_then(Json::as_str) == Some("2.0");
    let Some(Json::String(name)) = members.remove("method").filter(|_| is_version_2) else { return invalid(id) };
    let fits = |value: &Value| bytes_max == usize::MAX || success(value, id.clone()).to_string().len() <= bytes_max;
    match fitting::call(control, role, &name, given, bytes_max, fits).await {
        Ok(value) => success(&value, id),
        Err(fault) => failure(fault.kamailio_code(), fault.kamailio, &fault.detail, id),
    }
}

fn success(value: &Value, id: Option<Json>) -> Json {
    with_id(json!({ "jsonrpc": "2.0", "result": value.to_json() }), id)
}

fn failure(code: i64, message: &str, detail: &str, id: Option<Json>) -> Json {
    let error = json!({ "code": code, "message": message, "data": detail });
    with_id(json!({ "jsonrpc": "2.0", "error": error }), id)
}

fn invalid(id: Option<Json>) -> Json {
    let allowed = "allowed: {\"jsonrpc\": \"2.0\", \"method\": NAME, \"params\": [...] or {...}, \"id\": ...}";
    failure(-32600, "Invalid Request", allowed, id)
}

/// An id is given back as it came, and none where none came.
fn with_id(mut document: Json, id: Option<Json>) -> Json {
    if let (Some(id), Some(members)) = (id, document.as_object_mut()) {
        members.insert(String::from("id"), id);
    }
    document
}

/// The FIFO that `document` wants its reply in: the member `reply_name` of a request, or of the first in a batch that has one.
pub(super) fn reply_name(document: &Json) -> Option<&str> {
    match document {
        Json::Array(requests) => requests.iter().find_map(reply_name),
        Json::Object(members) => members.get("reply_name").and_then(Json::as_str),
        _ => None,
    }
}
