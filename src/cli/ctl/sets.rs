//! Sets and destinations: the overview, and how they are named.

use super::client::{Client, Outcome};
use super::generic::plain;
use super::table::{Cell, Paint, Table};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// A destination as it is named on the command line.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Named {
    /// The set, by number or name
    #[arg(value_name = "SET")]
    pub(super) set: String,
    /// The destination, by URI or duid
    #[arg(value_name = "DESTINATION")]
    pub(super) destination: String,
}

impl Named {
    /// The parameters that most methods begin with.
    pub(super) fn params(&self, client: &mut Client) -> Outcome<Json> {
        Ok(json!([number(client, &self.set)?, self.destination]))
    }

    /// Whether it is named by URI. A derived duid begins with the number of its set.
    pub(super) fn is_uri(&self) -> bool {
        let scheme = self.destination.split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
    }
}

/// The number of the set that is called so.
pub(super) fn number(client: &mut Client, set: &str) -> Outcome<u64> {
    match set.parse() {
        Ok(number) => Ok(number),
        // The fault for one that is not there tells those that are.
        Err(_) => {
            let found = client.call("dispatcher.overview", json!([set]))?;
            Ok(found["sets"][0]["set"].as_u64().unwrap_or_default())
        }
    }
}

/// The duid, if it is one that somebody gave: a derived one (`SET/URI`) tells nothing that the URI does not.
pub(in crate::cli) fn own_duid(duid: &str) -> Option<&str> {
    Some(duid).filter(|duid| !duid.contains('/'))
}

/// The result of `dispatcher.overview` for people.
pub(super) fn overview(told: &Json, colour: bool) -> String {
    let rows = |name: &str| told[name].as_array().map_or(&[][..], Vec::as_slice);
    if rows("sets").is_empty() {
        return String::from("no sets\n");
    }
    let mut destinations: BTreeMap<i64, Vec<&Json>> = BTreeMap::new();
    for destination in rows("destinations") {
        destinations.entry(destination["set"].as_i64().unwrap_or_default()).or_default().push(destination);
    }
    let of = |set: &Json| set["set"].as_i64().and_then(|set| destinations.get(&set)).map_or(&[][..], Vec::as_slice);
    rows("sets").iter().map(|set| one_set(set, of(set), colour)).collect::<Vec<_>>().join("\n")
}

fn one_set(set: &Json, destinations: &[&Json], colour: bool) -> String {
    let name = set["name"].as_str().filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    let bound = match (set["capacity"].as_f64(), set["utilisation"].as_f64()) {
        (Some(most), Some(used)) => format!(" of {most} ({:.0}%)", used * 100.0),
        _ => String::new(),
    };
    let heading = format!("set {}{name}", set["set"]);
    let heading = if colour { Paint::Bold.on(&heading) } else { heading };
    let (available, count, load) = (&set["available"], &set["destinations"], &set["load"]);
    let mut table =
        Table::new(["STATE", "DESTINATION", "DUID", "CALLS", "MAX", "WEIGHT", "PRIO", "PROBE_MS", "FOR", "WHY"]);
    for destination in destinations {
        table.row(row(destination));
    }
    format!("{heading}: {available} of {count} available, {load} calls{bound}\n{}", table.text("  ", colour))
}

fn row(destination: &Json) -> Vec<Cell> {
    let text = |name: &str| plain(&destination[name]).unwrap_or_default();
    let state = text("standing");
    let paint = match state.as_str() {
        "active" => Paint::Green,
        "trying" => Paint::Yellow,
        "draining" | "disabled" => Paint::Cyan,
        _ => Paint::Red,
    };
    vec![
        Cell::new(&state).painted(Some(paint)),
        Cell::new(text("uri")),
        Cell::new(own_duid(&text("duid")).unwrap_or_default()),
        Cell::new(text("load")),
        Cell::new(text("capacity")),
        Cell::new(text("weight")),
        Cell::new(text("priority")),
        Cell::new(text("probe_ms")),
        Cell::new(ago(destination["since_s"].as_u64().unwrap_or_default())),
        Cell::new(text("why")),
    ]
}

/// A span of time in its two largest units.
pub(super) fn ago(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_two_units_at_most() {
        let told = [0, 59, 61, 3_600, 7_322, 86_400 * 3 + 3_700].map(ago);
        assert_eq!(told, ["0s", "59s", "1m01s", "1h00m", "2h02m", "3d01h"]);
    }

    #[test]
    fn a_destination_is_named_by_uri_or_by_duid() {
        let is_uri = |text: &str| Named { set: String::from("1"), destination: String::from(text) }.is_uri();
        assert!(is_uri("sip:192.0.2.1") && is_uri("SIPS:h"));
        assert!(!is_uri("gw1") && !is_uri("1/sip:192.0.2.1:5060") && !is_uri("all"));
    }

    #[test]
    fn the_overview_shows_how_full_a_set_is_and_what_state_all_are_in() {
        let destination = json!({
            "set": 7, "standing": "draining", "uri": "sip:192.0.2.1", "duid": "gw1", "load": 3, "capacity": 10, "weight": 1, "priority": 0,
            "probe_ms": null, "since_s": 61, "why": "operator",
        });
        let set = json!({
            "set": 7, "name": "bridges", "available": 0, "destinations": 1, "load": 3, "capacity": 10, "utilisation": 0.3,
        });
        let told = json!({ "sets": [set], "destinations": [destination, { "set": 8, "uri": "sip:192.0.2.2" }] });
        let text = overview(&told, false);
        assert!(
            text.starts_with("set 7 bridges: 0 of 1 available, 3 calls of 10 (30%)\n  STATE     DESTINATION"),
            "{text}"
        );
        assert!(text.contains("draining  sip:192.0.2.1  gw1       3   10"), "{text}");
        assert!(!text.contains("192.0.2.2"), "{text}");
        assert!(overview(&told, true).contains("\x1b[36mdraining\x1b[0m"));
        assert_eq!(overview(&json!({ "sets": [] }), false), "no sets\n");
    }
}
