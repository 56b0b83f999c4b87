//! Commands that look.

use super::client::{Client, Failure, Outcome};
use super::generic;
use super::output::Output;
use super::sets::{Named, ago, number, overview};
use super::table::{Cell, Table};
use serde_json::{Value as Json, json};
use std::io::Read;
use std::path::Path;
use std::time::Instant;

pub(super) fn list(client: &mut Client, out: Output, set: Option<&str>) -> Outcome<()> {
    let result = client.call("dispatcher.overview", json!([set]))?;
    out.show(&result, |result| overview(result, out.terminal))
}

pub(super) fn show(client: &mut Client, out: Output, named: &Named) -> Outcome<()> {
    let params = named.params(client)?;
    generically(client, out, "dispatcher.get", params)
}

/// Any method, its result as it is.
pub(super) fn generically(client: &mut Client, out: Output, method: &str, params: Json) -> Outcome<()> {
    let result = client.call(method, params)?;
    out.show(&result, |result| generic::text(result, out.terminal))
}

pub(super) fn hash(client: &mut Client, out: Output, slots: u32, value: &str, second: Option<&str>) -> Outcome<()> {
    generically(client, out, "dispatcher.hash", json!([slots, value, second]))
}

/// All calls, or those of one destination.
pub(super) fn calls(
    client: &mut Client,
    out: Output,
    of: &[String],
    limit: Option<u64>,
    after: Option<&str>,
) -> Outcome<()> {
    match of {
        [set, destination] => {
            let set = number(client, set)?;
            generically(client, out, "calls.of", json!([set, destination, limit, after]))
        }
        [] => generically(client, out, "dlg.list", json!([limit, after])),
        _ => Err(Failure::Usage(String::from("calls: found SET alone, allowed: nothing, or SET DESTINATION"))),
    }
}

pub(super) fn stats(client: &mut Client, out: Output, names: &[String]) -> Outcome<()> {
    let names = if names.is_empty() { json!(["all"]) } else { json!(names) };
    generically(client, out, "stats.fetchn", names)
}

/// What would become of the request in `file`, or on standard input.
pub(super) fn explain(client: &mut Client, out: Output, file: Option<&Path>, source: Option<&str>) -> Outcome<()> {
    let text = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display())),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text).map_err(|error| format!("standard input: {error}"))
        }
    };
    let text = text.map_err(Failure::Usage)?;
    let mut params = vec![Json::from(text)];
    params.extend(source.map(Json::from));
    generically(client, out, "dispatcher.explain", Json::Array(params))
}

pub(super) fn ping(client: &mut Client, out: Output) -> Outcome<()> {
    let asked = Instant::now();
    let result = client.call("core.uptime", json!([]))?;
    let took = asked.elapsed();
    out.show(&result, |result| {
        let uptime = ago(result["uptime"].as_u64().unwrap_or_default());
        format!("siplane answers, up for {uptime}, in {:.1} ms\n", took.as_secs_f64() * 1e3)
    })
}

/// All methods, or what one of them does.
pub(super) fn methods(client: &mut Client, out: Output, method: Option<&str>) -> Outcome<()> {
    if let Some(method) = method {
        return generically(client, out, "system.methodHelp", json!([method]));
    }
    let names = client.call("system.listMethods", json!([]))?;
    if out.json {
        return out.show(&names, |_| String::new());
    }
    let mut table = Table::new(["METHOD", "WHAT IT DOES"]);
    for name in names.as_array().into_iter().flatten() {
        let help = client.call("system.methodHelp", json!([name]))?;
        table.row(vec![Cell::new(name.as_str().unwrap_or_default()), Cell::new(help.as_str().unwrap_or_default())]);
    }
    out.text(&table.text("", out.terminal))
}

/// Parameters of `ctl rpc`: each is JSON where it can be read as such, else text; one object alone gives them by name.
pub(super) fn params(words: &[String]) -> Json {
    let values: Vec<Json> =
        words.iter().map(|word| serde_json::from_str(word).unwrap_or_else(|_| Json::from(word.as_str()))).collect();
    match &values[..] {
        [named @ Json::Object(_)] => named.clone(),
        _ => Json::Array(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_json_where_they_are_and_text_where_not() {
        let words = |words: &[&str]| params(&words.iter().map(|word| String::from(*word)).collect::<Vec<_>>());
        assert_eq!(words(&["1", "sip:h", "true", "\"7\"", "null"]), json!([1, "sip:h", true, "7", null]));
        assert_eq!(words(&["{\"set\": 1}"]), json!({ "set": 1 }));
        assert_eq!(words(&["{\"a\": 1}", "2"]), json!([{ "a": 1 }, 2]));
        assert_eq!(words(&[]), json!([]));
    }
}
