//! The files that we ship: what they mean, and that they show every key and every default.

use super::*;
use crate::dispatcher::{Algorithm, Exhausted, FailoverCodes};
use crate::proxy::settings::{Action, Listen, Transport, ValueMatch};
use crate::sip::Status;

const MINIMAL: &str = include_str!("../../../config/minimal.toml");

/// `siplane.toml` with those commented lines brought to life whose text behind `#` is chosen.
fn uncommented(chosen: fn(&str) -> bool) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(rest) if chosen(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    BUILT_IN.lines().map(line).collect()
}

fn with_defaults() -> String {
    uncommented(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn with_examples() -> String {
    uncommented(|rest| rest.starts_with("    "))
}

#[test]
fn the_smallest_config_works_as_it_stands() {
    let config = config(MINIMAL);
    let address = "127.0.0.1:5060".parse().unwrap();
    let listen =
        Listen { transport: Transport::Udp, address, name: String::new(), advertised: "127.0.0.1:5060".into() };
    assert_eq!(config.settings, Settings { listen: vec![listen], ..Settings::default() });
    assert_eq!(config.default_set, Some(SetId(1)));
    assert_eq!((config.shards, config.prober), (ShardsPlan::Auto, ProberSettings::default()));
    assert_eq!((config.log.level, config.shutdown_timeout), (LogLevel::Info, Duration::from_secs(30)));
    assert!(config.rules.is_empty() && config.warnings.is_empty());
    let [set] = &config.sets[..] else { panic!("{:?}", config.sets) };
    assert_eq!((set.id, set.name.as_str(), set.algorithm), (SetId(1), "", Algorithm::RoundRobin));
    assert_eq!((set.failover_codes, set.failover_limit), (FailoverCodes::standard(), 4));
    assert_eq!((set.answer_timeout, set.retry_after_s), (Duration::from_secs(2), 0));
    assert_eq!(set.exhausted, Exhausted::BestResponse);
    let destinations: Vec<_> = set.destinations.iter().map(|d| (d.uri.as_str(), d.weight, d.priority)).collect();
    assert_eq!(destinations, [("sip:127.0.0.11:5060", 1, 0), ("sip:127.0.0.12:5060", 2, 0)]);
    assert_eq!(set.destinations[1].address, "127.0.0.12:5060".parse().unwrap());
}

#[test]
fn every_default_that_the_built_in_file_shows_is_the_default() {
    let bare = "listen = [\"udp:127.0.0.1:5060\"]\n[[set]]\nid = 1\n\
                destinations = [\"sip:127.0.0.11:5060\", \"sip:127.0.0.12:5060\", \"sip:127.0.0.13:5060\"]";
    assert_ne!(with_defaults(), BUILT_IN);
    assert_eq!(config(BUILT_IN), config(bare));
    assert_eq!(config(&with_defaults()), config(bare));
}

#[test]
fn the_examples_in_the_built_in_file_mean_what_they_say() {
    let config = config(&with_examples());
    assert_eq!(config.warnings.to_string(), "");
    let advertised: Vec<&str> = config.settings.listen.iter().map(|listen| listen.advertised.as_str()).collect();
    assert_eq!(advertised, ["127.0.0.1:5060", "sip.example.com:5070", "[2001:db8::1]:5061", "127.0.0.2:5060"]);
    assert_eq!((config.settings.listen[3].name.as_str(), config.prober.socket), ("carrier", Some(SocketId(3))));
    assert_eq!(config.settings.aliases, ["sip.example.com", "192.0.2.1:5070"]);
    assert_eq!(config.shards, ShardsPlan::Cores(vec![0, 1, 2]));
    assert_eq!(config.default_set, Some(SetId(1)));
    assert_eq!(config.prober.reply_codes.len(), 1 + 99);
    assert!(config.prober.reply_codes.contains(&404) && !config.prober.reply_codes.contains(&503));
    let [one, two] = &config.sets[..] else { panic!("{:?}", config.sets) };
    assert_eq!((one.fallback, one.destinations.len()), (Some(SetId(2)), 9));
    let sockets = one.destinations.iter().map(|d| (d.socket.as_ref().map(|socket| socket.number), d.probe.socket));
    let (default, carrier, own) = ((Some(0), Some(3)), (Some(3), None), (Some(0), Some(3)));
    assert_eq!(sockets.collect::<Vec<_>>(), [[default; 7].as_slice(), &[carrier, own]].concat());
    let probe = &one.destinations[3].probe;
    assert_eq!((probe.interval, probe.timeout), (Some(Duration::from_secs(1)), Some(Duration::from_millis(500))));
    assert!(one.destinations[4].probe.flagged && one.destinations[6].probe.never && one.destinations[6].last_resort);
    assert_eq!((two.algorithm, two.branches_max, two.destinations.len()), (Algorithm::Parallel, 3, 2));
    let [first, second] = &config.rules[..] else { panic!("{:?}", config.rules) };
    assert_eq!(first.action, Action::Set(SetId(1)));
    assert_eq!(first.methods.iter().map(|method| &*method.0).collect::<Vec<_>>(), ["INVITE", "MESSAGE"]);
    assert_eq!(
        (&first.user_prefixes[..], &first.domains[..]),
        (&["+49".into(), "0049".into()][..], &["example.com".into()][..])
    );
    assert!(first.sources[1].contains("2001:db8::9".parse().unwrap()));
    let headers: Vec<_> = first.headers.iter().map(|header| (&*header.name, header.value.clone())).collect();
    let exact = Some(ValueMatch::Exact("acme".into()));
    assert_eq!(headers, [("X-Tenant", exact), ("X-Region", Some(ValueMatch::Prefix("eu-".into()))), ("X-Trunk", None)]);
    assert_eq!(second.action, Action::Reject(Status::FORBIDDEN));
}

/// Every table that a file may have, with an unknown key in each.
const UNKNOWN_EVERYWHERE: &str = "zzz = 1\nlisten = [\n{ zzz = 1 }]\n[timers]\nzzz = 1\n[dialog]\nzzz = 1\n[prober]\nzzz = 1\n\
    [log]\nzzz = 1\n[[set]]\nzzz = 1\ndestinations = [\n{ zzz = 1 }]\n[[rule]]\nzzz = 1\nheader = [\n{ zzz = 1 }]\n";

/// Table and keys of it, as the parser itself tells them: (line of `zzz`, path, keys).
fn known_keys() -> Vec<(usize, String, Vec<String>)> {
    let problems = parse(UNKNOWN_EVERYWHERE, "f").unwrap_err();
    let unknown = problems.iter().filter(|problem| problem.found == "an unknown key");
    unknown.map(|p| (p.line, p.key.replace("zzz", ""), p.allowed.split(", ").map(str::to_owned).collect())).collect()
}

/// Keys that are absent by default, so that no value of theirs could be shown as one.
const WITHOUT_DEFAULT: &[&str] = &[
    "default_set",
    "database",
    "dispatcher_list",
    "default_socket",
    "default_sockname",
    "prober.socket",
    "rule",
    "set[0].fallback",
    "set[0].attrs_header",
    "set[0].destinations[0].socket",
    "set[0].destinations[0].sockname",
    "set[0].destinations[0].ping_socket",
    "set[0].load_header",
    "set[0].branches_max",
    "set[0].destinations[0].probe_interval_ms",
    "set[0].destinations[0].probe_timeout_ms",
    "set[0].destinations[0].probe_method",
    "set[0].destinations[0].ping_from",
    "set[0].destinations[0].reply_codes",
    "set[0].destinations[0].probing_threshold",
    "set[0].destinations[0].inactive_threshold",
];

/// Whether `key` is in some table at `path` (`set[0].destinations[0].`; any element of a list will do).
fn has_key(text: &str, path: &str, key: &str) -> bool {
    let document = DeTable::parse(text).unwrap();
    let mut tables: Vec<&DeTable<'_>> = vec![document.get_ref()];
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let values = tables.iter().filter_map(|table| table.get(name.trim_end_matches("[0]")));
        let values =
            values.flat_map(|value| value.get_ref().as_array().map_or(vec![value], |list| list.iter().collect()));
        tables = values.filter_map(|value| value.get_ref().as_table()).collect();
    }
    tables.iter().any(|table| table.contains_key(key))
}

#[test]
fn every_key_that_is_read_is_in_the_built_in_file_and_where_it_has_a_default_with_it() {
    let (defaults, examples) = (with_defaults(), with_examples());
    for (_, path, keys) in known_keys() {
        for key in keys {
            let path_and_key = format!("{path}{key}");
            let without_default = WITHOUT_DEFAULT.contains(&path_and_key.as_str())
                || ["listen[0].", "rule[0].", "rule[0].header[0]."].contains(&path.as_str());
            assert_eq!(has_key(&defaults, &path, &key), !without_default, "{path_and_key} with its default");
            // Each excludes another key; the file tells of both.
            let excludes = ["database", "default_sockname"].contains(&path_and_key.as_str());
            let shown = has_key(&examples, &path, &key) || excludes;
            assert!(!without_default || shown, "{path_and_key} as an example");
        }
    }
}

#[test]
fn every_key_is_suggested_when_its_name_is_mistyped() {
    let tables = known_keys();
    assert_eq!(tables.len(), 10, "{tables:?}");
    let lines: Vec<&str> = UNKNOWN_EVERYWHERE.lines().collect();
    for (line, table, keys) in tables {
        for key in keys {
            let mistyped = format!("{key}{}", &key[key.len() - 1..]);
            let mut lines = lines.clone();
            let changed = lines[line - 1].replace("zzz", &mistyped);
            lines[line - 1] = &changed;
            let problems = parse(&lines.join("\n"), "f").unwrap_err();
            let path = format!("{table}{mistyped}");
            let problem = problems.iter().find(|problem| problem.key == path).unwrap();
            assert_eq!((problem.line, problem.suggestion.as_deref()), (line, Some(key.as_str())), "{problem}");
        }
    }
}

#[test]
fn no_mangled_file_makes_the_parser_panic_or_lose_its_place() {
    let text = with_examples();
    let cuts: Vec<usize> = text.char_indices().map(|(offset, _)| offset).step_by(7).collect();
    for cut in cuts {
        let end = text[cut..].char_indices().nth(3).map_or(text.len(), |(offset, _)| cut + offset);
        for mangled in [text[..cut].to_owned(), format!("{}{}", &text[..cut], &text[end..])] {
            let Err(problems) = parse_beside_list(&mangled, LIST) else { continue };
            let lines = mangled.lines().count().max(1) + 1;
            assert!(
                problems.has_errors() && problems.iter().all(|problem| (1..=lines).contains(&problem.line)),
                "{problems}"
            );
        }
    }
}
