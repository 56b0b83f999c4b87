//! JSON-RPC as Kamailio's jsonrpcs answers: one code, 500, for nearly everything, with Kamailio's words.

use crate::control::rpc::{self, Role};
use crate::control::{Control, Fault, Given, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The answer to the document `text`, and the code of the fault, if it is one. Unlike Kamailio, which says nothing then, what is no JSON
/// gets a fault, too.
pub(super) async fn answer(control: &Arc<Control>, role: Role, text: &[u8]) -> (Option<u16>, Json) {
    let request = serde_json::from_slice(text);
    let Ok(Json::Object(mut members)) = request else {
        return failure(Json::Null, &Fault { kamailio: "Invalid JSON", ..Fault::parameters("not one JSON object") });
    };
    let id = members.remove("id").unwrap_or(Json::Null);
    let Some(Json::String(name)) = members.remove("method") else {
        return failure(id, &Fault { kamailio: "Invalid Request", ..Fault::parameters("no method") });
    };
    match rpc::call(control, role, &name, given(&mut members)).await {
        Ok(value) => (None, json!({ "jsonrpc": "2.0", "result": value.to_json(), "id": id })),
        Err(fault) => failure(id, &fault),
    }
}

fn given(members: &mut Map<String, Json>) -> Given {
    match members.remove("params").map(Value::from_json) {
        Some(Value::Array(values)) => Given::List(values),
        Some(Value::Struct(members)) => Given::Named(members),
        _ => Given::none(),
    }
}

fn failure(id: Json, fault: &Fault) -> (Option<u16>, Json) {
    let code = fault.kamailio_code();
    let answer = json!({ "jsonrpc": "2.0", "error": { "code": code, "message": fault.kamailio }, "id": id });
    (u16::try_from(code).ok(), answer)
}
