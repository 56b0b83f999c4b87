//! What is delivered for Prometheus and Grafana: it names only metrics that there are, and can be loaded.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const ALERTS: &str = include_str!("../../packaging/alerts.yml");
const DASHBOARD: &str = include_str!("../../packaging/grafana-dashboard.json");
const METRICS: &str = include_str!("../../docs/metrics.md");

/// Name and type of each metric that is documented, which is each that there is (tests/control/metrics.rs).
fn metrics() -> BTreeMap<&'static str, &'static str> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    };
    METRICS.lines().filter_map(row).collect()
}

/// Names in `text` that no metric has; those of a histogram's series are.
fn unknown(text: &str) -> BTreeSet<String> {
    let metrics = metrics();
    let words =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| word.starts_with("siplane_"));
    let is_known = |word: &&str| {
        let series = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| word.strip_suffix(suffix));
        metrics.contains_key(word) || series.into_iter().any(|base| metrics.get(base) == Some(&"histogram"))
    };
    // Placeholders in texts for people, as siplane_held_*, end with the underscore.
    words.filter(|word| !word.ends_with('_') && !is_known(word)).map(str::to_owned).collect()
}

/// The dashboard's queries.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "expr" => found.push(text.to_owned()),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    assert_eq!(unknown(DASHBOARD), BTreeSet::new());
    assert_eq!(unknown(ALERTS), BTreeSet::new());
    assert!(ALERTS.contains("siplane_ready") && metrics().len() > 90);
    let wrong = "siplane_calls + siplane_destination_setup_seconds_count + siplane_ready_count";
    assert_eq!(unknown(wrong), BTreeSet::from(["siplane_calls".to_owned(), "siplane_ready_count".to_owned()]));
}

#[test]
fn the_dashboard_loads_and_each_panel_asks_for_something() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{} is wider than the page", panel["title"]);
        for (x, y) in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
        }
        let mut asked = Vec::new();
        queries(panel, &mut asked);
        assert_eq!(asked.is_empty(), panel["type"] == "row", "{}", panel["title"]);
        assert!(
            asked.iter().all(|query| query.contains("siplane_") && brackets_close(query)),
            "{}: {asked:?}",
            panel["title"]
        );
    }
    let variables: BTreeSet<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "instance", "set"]));
}

fn brackets_close(query: &str) -> bool {
    let mut open = Vec::new();
    for c in query.chars() {
        match c {
            '(' => open.push(')'),
            '{' => open.push('}'),
            '[' => open.push(']'),
            ')' | '}' | ']' if open.pop() != Some(c) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do() {
    let alerts: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 10);
    for alert in alerts {
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert_eq!(alert.matches(part).count(), 1, "{part} in {alert}");
        }
    }
}

/// Prometheus's own tool, installed or put aside by `make setup`.
fn promtool() -> Option<PathBuf> {
    let aside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/usr/bin/promtool");
    let runs = |path: &PathBuf| Command::new(path).arg("--version").output().is_ok();
    [PathBuf::from("promtool"), aside].into_iter().find(runs)
}

fn run_promtool(arguments: &[&str]) {
    let Some(promtool) = promtool() else {
        eprintln!("not tried: promtool is not there (make setup)");
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let output = Command::new(promtool).args(arguments).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn prometheus_takes_the_alerts() {
    run_promtool(&["check", "rules", "alerts.yml"]);
}

#[test]
fn alerts_fire_when_they_should_and_not_before() {
    run_promtool(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn prometheus_can_read_every_query_of_the_dashboard() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = Vec::new();
    queries(&dashboard, &mut asked);
    let rules = asked.iter().enumerate().map(|(number, query)| {
        // Grafana's own words, as it would fill them in.
        let query = query.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$set", ".*");
        format!("  - record: panel:query:n{number}\n    expr: {}\n", Value::from(query))
    });
    let text = format!("groups:\n- name: dashboard\n  rules:\n{}", rules.collect::<String>());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{}.yml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    run_promtool(&["check", "rules", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
}
