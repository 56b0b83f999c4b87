//! JSON-RPC 2.0 by the book: requests, notifications, batches, the standard codes.

use crate::control::rpc::{self, Role};
use crate::control::{Answer, Control, Given};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// The answer to the document `text`; none when it holds notifications alone.
pub(super) async fn answer(control: &Arc<Control>, role: Role, text: &[u8]) -> Option<Json> {
    match serde_json::from_slice(text) {
        Err(error) => Some(failure(Json::Null, -32700, &format!("Parse error: {error}"))),
        Ok(Json::Array(requests)) if requests.is_empty() => Some(invalid()),
        Ok(Json::Array(requests)) => {
            let mut answers = Vec::new();
            for request in requests {
                answers.extend(one(control, role, request).await);
            }
            (!answers.is_empty()).then_some(Json::Array(answers))
        }
        Ok(request) => one(control, role, request).await,
    }
}

async fn one(control: &Arc<Control>, role: Role, request: Json) -> Option<Json> {
    let Some(Call { name, given, id }) = read(request) else { return Some(invalid()) };
    let answer = rpc::call(control, role, &name, given).await;
    id.map(|id| written(id, answer))
}

/// One request.
struct Call {
    name: String,
    given: Given,
    /// None: a notification.
    id: Option<Json>,
}

fn read(request: Json) -> Option<Call> {
    let Json::Object(mut members) = request else { return None };
    let is_version_2 = members.get("jsonrpc").and_then(Json::as_str) == Some("2.0");
    let id = members.remove("id");
    let is_id = matches!(id, None | Some(Json::Null | Json::String(_) | Json::Number(_)));
    let Some(Json::String(name)) = members.remove("method").filter(|_| is_version_2 && is_id) else { return None };
    let given = Given::from_params(members.remove("params"))?;
    Some(Call { name, given, id })
}

/// The document for this answer to the request `id`.
pub(super) fn written(id: Json, answer: Answer) -> Json {
    match answer {
        Ok(value) => json!({ "jsonrpc": "2.0", "result": value.to_json(), "id": id }),
        Err(fault) => failure(id, fault.json_rpc_code(), &fault.detail),
    }
}

fn failure(id: Json, code: i64, message: &str) -> Json {
    json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message }, "id": id })
}

fn invalid() -> Json {
    failure(Json::Null, -32600, "Invalid Request")
}
