//! `siplane ctl events`: what has happened, and what happens.

use super::client::{Client, Failure, Outcome};
use super::generic::plain;
use super::output::Output;
use super::sets::own_duid;
use super::table::Paint;
use serde_json::{Map, Value as Json, json};

/// Which events.
#[derive(clap::Args, Debug)]
pub(super) struct EventsArguments {
    /// Go on with each event as it comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Those after this number; without it the last ones
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// How many at most; with --follow, how many of the last ones come first
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u64,
}

pub(super) fn run(client: &mut Client, out: Output, arguments: &EventsArguments) -> Outcome<()> {
    if arguments.follow {
        return follow(client, out, arguments);
    }
    let result = client.call("events.list", json!([arguments.after, arguments.limit]))?;
    out.show(&result, |result| {
        let events = result["events"].as_array().map_or(&[][..], Vec::as_slice);
        let lines: String = events.iter().map(|event| line(event, out.terminal) + "\n").collect();
        missed(result).map(|missed| missed + "\n").unwrap_or_default()
            + if lines.is_empty() { "no events\n" } else { &lines }
    })
}

fn follow(client: &mut Client, out: Output, arguments: &EventsArguments) -> Outcome<()> {
    let after = match arguments.after {
        Some(after) => after,
        None => {
            let last = client.call("events.list", json!([null, 1]))?["last"].as_u64().unwrap_or_default();
            last.saturating_sub(arguments.limit)
        }
    };
    let begun = client.call("events.follow", json!([after]))?;
    if let Some(missed) = missed(&begun).filter(|_| !out.json) {
        out.line(&missed)?;
    }
    loop {
        let told = client.wait()?;
        let event = &told["params"];
        if told["method"] == "events.dropped" {
            let missed = &event["missed"];
            return Err(Failure::NotDone(format!(
                "siplane has dropped us: {missed} events came faster than they were read"
            )));
        }
        out.line(&if out.json { event.to_string() } else { line(event, out.terminal) })?;
    }
}

fn missed(result: &Json) -> Option<String> {
    let missed = result["missed"].as_u64().filter(|missed| *missed > 0)?;
    Some(format!("{missed} older events are forgotten"))
}

/// One event on one line: number, time, type, whom it is about, and the rest by name.
fn line(event: &Json, colour: bool) -> String {
    let Some(members) = event.as_object() else { return event.to_string() };
    let text = |name: &str| members.get(name).and_then(plain).unwrap_or_default();
    let kind = format!("{:<18}", text("type"));
    let kind = if colour { paint(kind.trim_end()).map_or(kind.clone(), |paint| paint.on(&kind)) } else { kind };
    // Date and time to the millisecond; the zone is that of siplane.
    let at = text("at").get(..23).unwrap_or_default().replace('T', " ");
    format!("#{:<5} {at}  {kind} {}", text("seq"), rest(members))
        .trim_end()
        .replace(|c: char| c.is_control() && c != '\x1b', " ")
}

/// Whom it is about, and the rest by name.
pub(in crate::cli) fn rest(members: &Map<String, Json>) -> String {
    subject(members).into_iter().chain(details(members)).collect::<Vec<_>>().join("  ")
}

fn subject(members: &Map<String, Json>) -> Option<String> {
    let set = members.get("set").and_then(plain)?;
    let set = members.get("set_name").and_then(Json::as_str).map_or(set.clone(), |name| format!("{set} {name}"));
    let uri = members.get("uri").and_then(Json::as_str).map(|uri| format!("  {uri}")).unwrap_or_default();
    let duid = members.get("duid").and_then(Json::as_str).and_then(own_duid);
    let duid = duid.map(|duid| format!(" ({duid})")).unwrap_or_default();
    Some(format!("set {set}{uri}{duid}"))
}

fn details(members: &Map<String, Json>) -> impl Iterator<Item = String> {
    const TOLD: [&str; 7] = ["seq", "at", "type", "set", "set_name", "uri", "duid"];
    let others = members.iter().filter(|(name, value)| !TOLD.contains(&name.as_str()) && !value.is_null());
    others.map(|(name, value)| format!("{name}: {}", plain(value).unwrap_or_else(|| value.to_string())))
}

/// The colour of that type of event, if it has one.
pub(in crate::cli) fn paint(kind: &str) -> Option<Paint> {
    match kind {
        "up" | "returned" | "drained" | "panic-ended" | "utilisation-normal" => Some(Paint::Green),
        "trying" | "held-off" | "report-ignored" => Some(Paint::Yellow),
        "down" | "ejected" | "panic-began" | "reload-failed" | "utilisation-high" | "events-lost" => Some(Paint::Red),
        "admin" | "operated" => Some(Paint::Cyan),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_everything_that_is_known_of_it() {
        let event = json!({
            "seq": 17, "at": "2026-11-21T15:04:05.678+00:00", "type": "down", "set": 1, "set_name": "bridges",
            "duid": "gw1", "uri": "sip:192.0.2.1", "calls": 3, "why": "probe: no\nanswer", "who": null,
        });
        let expected = "#17    2026-11-21 15:04:05.678  down               \
                        set 1 bridges  sip:192.0.2.1 (gw1)  calls: 3  why: probe: no answer";
        assert_eq!(line(&event, false), expected);
        assert!(line(&event, true).contains("\x1b[31mdown"));
        let operated = json!({ "seq": 1, "at": "", "type": "operated", "params": { "set": 1 }, "done": true });
        assert_eq!(line(&operated, false), "#1       operated           params: {\"set\":1}  done: yes");
    }
}
