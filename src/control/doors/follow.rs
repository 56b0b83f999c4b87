//! Following events on a connection to the unix stream socket: from `events.follow` on it brings notifications, one to a line.
//!
//! What else the client sends on it is read and ignored; to end following it closes the connection. Who reads too slowly is told how many
//! events it missed, if it can be told at all, and dropped: it asks `events.list` for what came after the last number that it has seen.

use super::json;
use crate::control::events::Record;
use crate::control::rpc::FOLLOW;
use crate::control::{Arguments, Control, Fault, Given, Value};
use crate::limits;
use serde_json::{Value as Json, json};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

/// Somebody's wish to follow.
#[derive(Debug)]
pub(super) struct Wish {
    id: Json,
    /// The number of the last event that it knows; none: it wants new ones alone.
    after: Option<u64>,
}

/// The wish to follow that `line` is; none: it is something else, or its parameters are wrong, which the method itself tells.
pub(super) fn asked(line: &[u8]) -> Option<Wish> {
    // Nearly every line is something else.
    memchr::memmem::find(line, FOLLOW.name.as_bytes())?;
    let Ok(Json::Object(mut members)) = serde_json::from_slice(line) else { return None };
    let text = |name| members.get(name).and_then(Json::as_str);
    if text("jsonrpc") != Some("2.0") || text("method") != Some(FOLLOW.name) {
        return None;
    }
    let given = Given::from_params(members.remove("params"))?;
    let arguments = Arguments::bind(FOLLOW.params, given).ok()?;
    let after = arguments.int(0).map(u64::try_from).transpose().ok()?;
    // A notification has no answer, and neither could what it asks for be told apart from it.
    Some(Wish { id: members.remove("id")?, after })
}

impl Wish {
    /// Tells events until the client is gone.
    pub(super) async fn serve(
        self,
        control: &Control,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let log = control.events();
        if log.followers() >= limits::FOLLOWERS_MAX {
            let detail = format!("{} connections follow already, which is the most", limits::FOLLOWERS_MAX);
            return send(writer, &json::written(self.id, Err(Fault::refused(detail, "Too Many")))).await;
        }
        let (page, mut news) = log.follow(self.after.unwrap_or(u64::MAX));
        let missed = if self.after.is_some() { page.missed } else { 0 };
        let begun = Value::of([("last", Value::from(page.last)), ("missed", Value::from(missed))]);
        send(writer, &json::written(self.id, Ok(begun))).await?;
        for record in page.records {
            send(writer, &event(&record)).await?;
        }
        loop {
            let next = tokio::select! {
                next = news.recv() => next,
                gone = until_closed(reader) => return gone,
            };
            match next {
                Ok(record) => send(writer, &event(&record)).await?,
                Err(RecvError::Lagged(missed)) => return drop_it(writer, missed).await,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }
}

fn event(record: &Arc<Record>) -> Json {
    json!({ "jsonrpc": "2.0", "method": "events.event", "params": record.value().to_json() })
}

async fn drop_it(writer: &mut (impl AsyncWrite + Unpin), missed: u64) -> io::Result<()> {
    tracing::warn!(missed, "who follows events reads too slowly, and is dropped");
    send(writer, &json!({ "jsonrpc": "2.0", "method": "events.dropped", "params": { "missed": missed } })).await
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), document: &Json) -> io::Result<()> {
    let text = format!("{document}\n");
    match timeout(limits::FOLLOWER_STALL_MAX, writer.write_all(text.as_bytes())).await {
        Ok(sent) => sent,
        Err(_) => {
            tracing::warn!("who follows events does not read, and is dropped");
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

async fn until_closed(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut ignored = [0; 256];
    while reader.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_to_follow_with_good_parameters_is_one() {
        let after = |text: &str| asked(text.as_bytes()).map(|wish| wish.after);
        let request = |params: &str| format!(r#"{{"jsonrpc":"2.0","method":"events.follow"{params},"id":1}}"#);
        assert_eq!(after(&request("")), Some(None));
        assert_eq!(after(&request(r#","params":[7]"#)), Some(Some(7)));
        assert_eq!(after(&request(r#","params":{"after":"7"}"#)), Some(Some(7)));
        for params in [r#","params":[-1]"#, r#","params":["x"]"#, r#","params":[1,2]"#, r#","params":3"#] {
            assert_eq!(after(&request(params)), None, "{params}");
        }
        let other = r#"{"jsonrpc":"2.0","method":"system.methodHelp","params":["events.follow"],"id":1}"#;
        assert_eq!(after(other), None);
        assert_eq!(after(r#"{"jsonrpc":"2.0","method":"events.follow"}"#), None);
    }
}
