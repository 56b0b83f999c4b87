//! `POST /report`: a destination, or what runs beside it, says how full it is. It is `dispatcher.report_load` in plain HTTP.
//!
//! # Policy
//!
//! - What is reported stands in the query, in a JSON object in the body, or in both; a name that is there twice is refused.
//! - In the query `%XX` is decoded and `+` is itself: it is the first character of many a user part.
//! - A web page of another origin gets nothing reported: the request says that it is JSON, or has an Authorization header, neither of
//!   which such a page can send unasked.

use super::routes::{self, Desk};
use crate::control::{Arguments, Blame, Fault, Given, Kind, Param, Role, Value, rpc};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};
use std::borrow::Cow;

/// What a report holds. `load` is as in `dispatcher.report_load`; calls and capacity are whole numbers.
const PARAMS: &[Param] = &[
    Param::required("set", Kind::Int),
    Param::optional("destination", Kind::Text),
    Param::optional("duid", Kind::Text),
    Param::optional("load", Kind::Text),
    Param::optional("calls", Kind::Int),
    Param::optional("capacity", Kind::Int),
];

type Members = Vec<(Cow<'static, str>, Value)>;

pub(super) async fn report(
    State(desk): State<Desk>,
    Extension(role): Extension<Role>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let text = match text(&headers, body).await {
        Ok(text) => text,
        Err(refusal) => return refusal,
    };
    let given = members(uri.query().unwrap_or_default(), &text).and_then(given);
    let answer = match given {
        Ok(given) => rpc::call(&desk.control, role, "dispatcher.report_load", given).await,
        Err(fault) => Err(fault),
    };
    match answer {
        Ok(value) => routes::in_json(StatusCode::OK, value.to_json().to_string()),
        Err(fault) => routes::in_json(status(fault.blame), json!({ "error": fault.detail }).to_string()),
    }
}

/// The body; none of it when there is no Content-Type, and the query says all.
async fn text(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Response> {
    if headers.contains_key(header::CONTENT_TYPE) || !headers.contains_key(header::AUTHORIZATION) {
        return routes::document(headers, body).await;
    }
    let text = routes::whole(body).await?;
    if text.is_empty() { Ok(text) } else { Err(routes::not_json().into_response()) }
}

const fn status(blame: Blame) -> StatusCode {
    match blame {
        Blame::Parameters => StatusCode::BAD_REQUEST,
        Blame::Role => StatusCode::FORBIDDEN,
        Blame::NotFound => StatusCode::NOT_FOUND,
        Blame::Refused => StatusCode::CONFLICT,
        Blame::NoSuchMethod | Blame::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn members(query: &str, body: &[u8]) -> Result<Members, Fault> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(Cow::into_owned).map_err(|_| Fault::parameters("the query: allowed: UTF-8, its bytes as %XX"))
    };
    let mut members = Members::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        members.push((Cow::Owned(decoded(name)?), Value::from(decoded(value)?)));
    }
    if !body.trim_ascii().is_empty() {
        match serde_json::from_slice(body) {
            Ok(Json::Object(object)) => {
                members.extend(object.into_iter().map(|(name, value)| (Cow::Owned(name), Value::from_json(value))));
            }
            Ok(_) => return Err(Fault::parameters("the body: allowed: a JSON object")),
            Err(error) => return Err(Fault::parameters(format!("the body: {error}"))),
        }
    }
    let twice = |index: usize| members[..index].iter().any(|(name, _)| *name == members[index].0);
    match (1..members.len()).find(|index| twice(*index)) {
        Some(index) => Err(Fault::parameters(format!("{} is there twice", members[index].0))),
        None => Ok(members),
    }
}

/// What `dispatcher.report_load` takes.
fn given(members: Members) -> Result<Given, Fault> {
    // Names that are all foreign would be taken by position, as Kamailio's clients need it; here nobody does.
    let members = if members.iter().any(|(name, _)| name == "set") { members } else { Members::new() };
    let bound = Arguments::bind(PARAMS, Given::Named(members))?;
    let name = match (bound.text(1), bound.text(2)) {
        (Some(name), None) | (None, Some(name)) => name,
        _ => return Err(Fault::parameters("allowed: destination (a URI or a duid), or duid")),
    };
    let is_whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let load = match (bound.text(3), bound.int(4), bound.int(5)) {
        (Some(load), None, None) => load.to_owned(),
        // A whole number before a capacity is calls: 1 of 100 would not be all of it.
        (Some(load), None, Some(capacity)) if !load.contains('/') && !is_whole(load) => format!("{load}/{capacity}"),
        (None, Some(calls), Some(capacity)) => format!("{calls}/{capacity}"),
        (None, None, Some(capacity)) => format!("/{capacity}"),
        _ => {
            let allowed =
                "allowed: load, a share (like 57%) as load with capacity, calls with capacity, or capacity alone";
            return Err(Fault::parameters(allowed));
        }
    };
    let set = bound.int(0).unwrap_or_default();
    Ok(Given::List(vec![Value::from(set), Value::from(name), Value::from(load)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, body: &str) -> Result<Vec<String>, String> {
        let given = members(query, body.as_bytes()).and_then(given).map_err(|fault| fault.detail)?;
        let Given::List(values) = given else { return Err(String::from("named")) };
        Ok(values.iter().map(|value| value.to_json().to_string().trim_matches('"').to_owned()).collect())
    }

    #[test]
    fn query_and_body_say_the_same() {
        let expected = Ok(["1", "sip:+49@192.0.2.1:5060", "37/100"].map(str::to_owned).to_vec());
        assert_eq!(read("set=1&destination=sip:+49@192.0.2.1:5060&calls=37&capacity=100", ""), expected);
        assert_eq!(read("set=1&destination=sip%3A%2b49%40192.0.2.1:5060&load=37%2F100", " "), expected);
        let body = r#"{"set":1,"duid":"sip:+49@192.0.2.1:5060","calls":37,"capacity":"100"}"#;
        assert_eq!(read("", body), expected);
        assert_eq!(read("set=1", &body.replace("\"set\":1,", "")), expected);
    }

    #[test]
    fn load_is_told_in_four_ways() {
        let load = |query: &str| read(&format!("set=1&duid=a&{query}"), "").map(|values| values[2].clone());
        for (query, text) in [
            ("load=57%25", "57%"),
            ("load=0.57&capacity=9", "0.57/9"),
            ("calls=3&capacity=9", "3/9"),
            ("capacity=9", "/9"),
        ] {
            assert_eq!(load(query).as_deref(), Ok(text), "{query}");
        }
        for query in ["", "calls=3", "load=1&calls=3&capacity=9", "load=1&capacity=100", "load=1/2&capacity=3"] {
            assert!(load(query).unwrap_err().starts_with("allowed: load"), "{query}");
        }
        assert_eq!(
            read("", r#"{"set":1,"duid":"a","load":0.5}"#).map(|values| values[2].clone()).as_deref(),
            Ok("0.5")
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_is_allowed() {
        let refused = |query: &str, body: &str| read(query, body).unwrap_err();
        assert_eq!(refused("set=1&set=2", ""), "set is there twice");
        assert_eq!(refused("set=1", r#"{"set":1}"#), "set is there twice");
        assert!(refused("", "{").starts_with("the body: "));
        assert_eq!(refused("", "[1]"), "the body: allowed: a JSON object");
        assert!(refused("set=%ff", "").starts_with("the query: "));
        assert!(refused("a=1&b=c&c=1", "").starts_with("set is missing; allowed: set "));
        assert!(refused("set=x&duid=a&load=1", "").starts_with("set: found \"x\""));
        assert!(refused("set=1&duid=a&lode=1", "").starts_with("lode is no parameter"));
        assert!(refused("set=1&duid=a&destination=b&load=1", "").starts_with("allowed: destination"));
    }
}
