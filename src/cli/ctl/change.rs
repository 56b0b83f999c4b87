//! Commands that change something.

use super::client::{Client, Failure, NOT_FOUND, Outcome};
use super::output::Output;
use super::sets::{Named, number};
use super::table::{Cell, Table};
use clap::ValueEnum;
use serde_json::{Map, Value as Json, json};

/// A state as Kamailio knows them.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum State {
    /// Gets calls
    Active,
    /// Gets calls, as after one failed probe
    Trying,
    /// Gets none until a probe or somebody finds it alive
    Inactive,
    /// Gets neither calls nor probes until somebody enables it
    Disabled,
}

impl State {
    const fn letter(self, probed: bool) -> &'static str {
        match (self, probed) {
            (Self::Active, false) => "a",
            (Self::Active, true) => "ap",
            (Self::Trying, false) => "t",
            (Self::Trying, true) => "tp",
            (Self::Inactive, false) => "i",
            (Self::Inactive, true) => "ip",
            (Self::Disabled, _) => "d",
        }
    }
}

pub(super) fn set_state(client: &mut Client, out: Output, named: &Named, state: State, probed: bool) -> Outcome<()> {
    let by_uri = named.is_uri() || named.destination == "all";
    let method = if by_uri { "dispatcher.set_state" } else { "dispatcher.set_duid_state" };
    let set = number(client, &named.set)?;
    if by_uri && named.destination == "all" {
        // All of a set that is not there are no fault to Kamailio.
        client.call("dispatcher.overview", json!([set]))?;
    }
    let result = client.call(method, json!([state.letter(probed), set, named.destination]))?;
    out.show(&result, text)
}

/// `disable` and `enable`.
pub(super) fn say(client: &mut Client, out: Output, method: &str, named: &Named) -> Outcome<()> {
    let params = named.params(client)?;
    let result = client.call(method, params)?;
    out.show(&result, |said| {
        let (uri, admin) = (said["uri"].as_str().unwrap_or_default(), said["admin"].as_str().unwrap_or_default());
        format!("{uri} of set {} is {admin}; it has {} calls\n", said["set"], said["calls"])
    })
}

/// A destination to add.
#[derive(clap::Args, Debug)]
pub(super) struct AddArguments {
    /// The set, by number or name; one that is not there comes with its number
    set: String,
    /// Its URI, like sip:192.0.2.1:5060
    uri: String,
    /// Kamailio's flags: 1 inactive, 4 disabled, 8 probed, 16 or 32 not probed, and sums of these
    #[arg(long, default_value_t = 0)]
    flags: u32,
    /// Priority
    #[arg(long, default_value_t = 0)]
    priority: u32,
    /// Attributes: NAME=VALUE;...
    #[arg(long)]
    attrs: Option<String>,
}

pub(super) fn add(client: &mut Client, out: Output, arguments: &AddArguments) -> Outcome<()> {
    let AddArguments { set, uri, flags, priority, attrs } = arguments;
    let set = number(client, set)?;
    let result = client.call("dispatcher.add", json!([set, uri, flags, priority, attrs]))?;
    out.show(&result, text)
}

/// Unlike Kamailio, and the method, one that is not there is a failure: it may be a slip of the pen.
pub(super) fn remove(client: &mut Client, out: Output, named: &Named) -> Outcome<()> {
    let params = named.params(client)?;
    let uri = match client.call("dispatcher.get", params.clone()) {
        Ok(known) => known["uri"].clone(),
        Err(fault @ Failure::Fault { code: NOT_FOUND, .. }) => return Err(fault),
        // A URI that is there more than once: all of them go.
        Err(Failure::Fault { .. }) if named.is_uri() => Json::from(named.destination.as_str()),
        Err(failure) => return Err(failure),
    };
    let result = client.call("dispatcher.remove", json!([params[0], uri]))?;
    out.show(&result, text)
}

/// `KEY=VALUE` of `ctl set`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("found {text}, allowed: KEY=VALUE"))?;
    let keys = ["weight", "rweight", "maxload", "priority", "calls_per_second_max", "attrs"];
    if !keys.contains(&key) {
        return Err(format!("found {key}, allowed: {}", keys.join(", ")));
    }
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn modify(client: &mut Client, out: Output, named: &Named, pairs: &[(String, String)]) -> Outcome<()> {
    let mut params = Map::new();
    params.insert(String::from("set"), Json::from(number(client, &named.set)?));
    params.insert(String::from("destination"), Json::from(named.destination.as_str()));
    params.extend(pairs.iter().map(|(key, value)| (key.clone(), Json::from(value.as_str()))));
    let result = client.call("dispatcher.modify", Json::Object(params))?;
    out.show(&result, |result| {
        let changed = result["changed"].as_object().into_iter().flatten();
        let line = |(key, values): (&String, &Json)| format!("{key}: {}\n", from_to(values));
        let lines: String = changed.map(line).collect();
        let lasts = result["lasts"].as_str().unwrap_or_default();
        if lines.is_empty() { String::from("nothing changed\n") } else { format!("{lines}{lasts}\n") }
    })
}

fn from_to(values: &Json) -> String {
    let text = |name: &str| values[name].as_str().unwrap_or_default().to_owned();
    format!("{} -> {}", text("from"), text("to"))
}

/// `reload`, `reload --dry-run`, `rollback`: the method tells what changes.
pub(super) fn config(client: &mut Client, out: Output, method: &str) -> Outcome<()> {
    let result = client.call(method, json!([]))?;
    out.show(&result, |result| changes(result, out.terminal))
}

fn changes(result: &Json, colour: bool) -> String {
    let list = |name: &str| result[name].as_array().cloned().unwrap_or_default();
    let mut text = format!("{}\n", result["summary"].as_str().unwrap_or_default());
    let mut table = Table::new(["CHANGE", "SET", "WHAT", "KEYS"]);
    for line in list("changes") {
        let what = |name: &str| line[name].as_str().unwrap_or_default();
        let keys = line["keys"].as_object().into_iter().flatten();
        let keys: Vec<String> = keys.map(|(key, values)| format!("{key} {}", from_to(values))).collect();
        let reverts = line.get("takes_back").map(|_| " (takes back a change at run time)").unwrap_or_default();
        let set = line["set"].as_u64().map_or_else(String::new, |set| set.to_string());
        table.row([what("change"), &set, what("uri"), &(keys.join(", ") + reverts)].map(Cell::new).to_vec());
    }
    if !list("changes").is_empty() {
        text += &table.text("  ", colour);
    }
    if let Some(more) = result["changes_not_shown"].as_u64().filter(|more| *more > 0) {
        text += &format!("  and {more} more\n");
    }
    for key in list("restart_needed") {
        text += &format!("restart needed: {}\n", key.as_str().unwrap_or_default());
    }
    for warning in list("warnings") {
        text += &format!("warning: {}\n", warning.as_str().unwrap_or_default());
    }
    text
}

/// A result that is a text.
fn text(result: &Json) -> String {
    format!("{}\n", result.as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_there_are_can_be_set() {
        assert_eq!(pair("attrs=a=b;c=d"), Ok((String::from("attrs"), String::from("a=b;c=d"))));
        assert!(pair("weight").unwrap_err().contains("allowed: KEY=VALUE"));
        assert!(pair("wieght=1").unwrap_err().starts_with("found wieght, allowed: weight, rweight"));
    }

    #[test]
    fn what_a_reload_changes_is_shown_line_by_line() {
        let weight = json!({ "from": "1", "to": "5" });
        let result = json!({
            "summary": "1 added, 0 removed, 1 changed", "changes_not_shown": 3, "restart_needed": ["shards"], "warnings": ["odd"],
            "changes": [
                { "change": "added", "set": 1, "duid": "a", "uri": "sip:a" },
                { "change": "changed", "set": 1, "duid": "b", "uri": "sip:b", "takes_back": "x", "keys": { "weight": weight } },
            ],
        });
        let expected = "1 added, 0 removed, 1 changed\n  CHANGE   SET  WHAT   KEYS\n  added      1  sip:a\n  \
            changed    1  sip:b  weight 1 -> 5 (takes back a change at run time)\n  and 3 more\nrestart needed: shards\nwarning: odd\n";
        assert_eq!(changes(&result, false), expected);
    }
}
