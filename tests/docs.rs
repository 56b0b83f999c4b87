//! What is documented is what there is: methods, config keys, metrics and log lines, each held to the code in both directions.

use siplane::control::{METHODS, Method, Param};
use siplane::shard::{IoStats, Levels};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const CONFIG: &str = include_str!("../config/siplane.toml");
const CONFIG_PAGE: &str = include_str!("../docs/config.md");
const LOG_PAGE: &str = include_str!("../docs/log.md");
const METHODS_PAGE: &str = include_str!("../docs/methods.md");
const METRICS_PAGE: &str = include_str!("../docs/metrics.md");

/// Fails with all of them at once.
#[track_caller]
fn nothing(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}\n", complaints.len(), complaints.join("\n"));
}

// --- Methods ---------------------------------------------------------------------------------------------------------

/// The line of a method's section that says how it is called.
fn takes(method: &Method) -> String {
    let shown = |param: &Param| match param.optional {
        true => format!(" [{}]", param.name),
        false => format!(" {}", param.name),
    };
    let params: String = method.params.iter().map(shown).collect();
    format!("`{}{params}` · role `{}`", method.name, method.role.name())
}

/// The sections of the page by the method in their heading.
fn sections(page: &str) -> BTreeMap<&str, &str> {
    let sections = page.split("\n### `").skip(1);
    sections
        .filter_map(|text| text.split_once('`'))
        .map(|(name, text)| (name, text.split("\n## ").next().unwrap_or(text)))
        .collect()
}

/// What is wrong with what the page says of these methods.
fn undocumented(methods: &[&Method], page: &str) -> Vec<String> {
    let sections = sections(page);
    let mut complaints = Vec::new();
    for method in methods {
        let Some(section) = sections.get(method.name) else {
            complaints.push(format!(
                "docs/methods.md lacks:\n### `{}`\n\n{}\n\n{}\n\n    kamcmd {}\n",
                method.name,
                takes(method),
                method.help,
                method.name
            ));
            continue;
        };
        let lines: Vec<&str> = section.lines().collect();
        if !lines.contains(&takes(method).as_str()) {
            complaints.push(format!("docs/methods.md, {}: there is no line\n{}", method.name, takes(method)));
        }
        let example = |line: &&str| line.starts_with("    ") && line.contains(method.name);
        let says = |line: &&str| line.ends_with('.') && line.len() > 20;
        if !lines.iter().any(example) || !lines.iter().any(says) {
            complaints.push(format!("docs/methods.md, {}: it lacks an example, or what it answers", method.name));
        }
    }
    let known = |name: &&&str| !methods.iter().any(|method| method.name == **name);
    complaints.extend(sections.keys().filter(known).map(|name| format!("docs/methods.md: there is no method {name}")));
    complaints
}

#[test]
fn every_method_is_documented_with_its_parameters_its_role_and_an_example() {
    let methods: Vec<&Method> = METHODS.iter().copied().flatten().collect();
    nothing(&undocumented(&methods, METHODS_PAGE));
}

#[test]
fn a_method_that_is_not_documented_or_otherwise_or_not_there_is_told() {
    let methods: Vec<&Method> = METHODS.iter().copied().flatten().collect();
    let uptime = methods.iter().find(|method| method.name == "core.uptime").copied().unwrap();
    let complain = |page: &str| undocumented(&[uptime], page).join("\n");
    assert!(complain("# Methods\n").contains("lacks:\n### `core.uptime`"));
    let good = "\n### `core.uptime`\n\n`core.uptime` · role `read`\n\nSince when the process runs.\n\n    kamcmd core.uptime\n";
    assert_eq!(complain(good), "");
    assert!(complain(&good.replace("`read`", "`operate`")).contains("there is no line\n`core.uptime` · role `read`"));
    assert!(complain(&good.replace("    kamcmd core.uptime", "")).contains("lacks an example"));
    assert!(complain(&good.replace("Since when the process runs.", "")).contains("or what it answers"));
    assert!(complain(&format!("{good}\n### `core.uptme`\n")).contains("there is no method core.uptme"));
}

// --- Config ----------------------------------------------------------------------------------------------------------

/// The key that a line of the config shows, set or not: `key = …` behind any `#` and spaces.
fn key(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start_matches(['#', ' ']).split_once(" = ")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then_some(name)
}

/// Whether a line explains.
fn explains(line: &str) -> bool {
    let text = line.trim_start_matches(['#', ' ']);
    line.trim_start().starts_with('#')
        && text.starts_with(|first: char| first.is_alphabetic() || "\".".contains(first))
        && key(line).is_none()
}

/// Keys without a comment above them; those of inline tables are explained by name somewhere.
fn unexplained(config: &str) -> Vec<String> {
    let lines: Vec<&str> = config.lines().collect();
    let comments: String = lines.iter().filter(|line| explains(line)).copied().collect::<Vec<_>>().join("\n");
    let comments: BTreeSet<&str> = comments.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mut complaints = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = key(line) {
            // Several keys may share what stands above the first.
            let above = lines[..at].iter().rev().take_while(|line| !line.trim_matches(['#', ' ']).is_empty());
            let mut above = above.skip_while(|line| !explains(line) && !line.starts_with('['));
            if !above.next().is_some_and(|line| explains(line)) {
                complaints.push(format!("config/siplane.toml:{}: nothing explains {name}", at + 1));
            }
        }
        let inline = line.split(['{', ',']).skip(1).filter_map(|part| key(part.trim()));
        let unknown = inline.filter(|name| !comments.contains(name));
        complaints.extend(unknown.map(|name| format!("config/siplane.toml:{}: no comment names {name}", at + 1)));
    }
    complaints
}

#[test]
fn every_config_key_has_a_comment() {
    nothing(&unexplained(CONFIG));
    assert!(CONFIG.lines().filter_map(key).count() > 60, "keys are not found any more");
}

#[test]
fn a_config_key_without_a_comment_is_told() {
    assert_eq!(unexplained("[a]\n# Why.\n#b = 1\nc = 2\n#    c = 3\n"), Vec::<String>::new());
    assert_eq!(unexplained("[a]\nb = 1\n").len(), 1);
    assert_eq!(unexplained("# Why.\na = 1\n\nb = 1\n").len(), 1);
    assert_eq!(unexplained("# Why, uri.\na = [\n    { uri = 1, weight = 2 },\n]\n").len(), 1);
}

#[test]
fn every_table_of_the_config_is_on_its_page() {
    let tables: BTreeSet<&str> =
        CONFIG.lines().map(|line| line.trim_start_matches(['#', ' '])).filter(|line| line.starts_with('[')).collect();
    let tables: Vec<&str> =
        tables.into_iter().filter(|line| line.ends_with(']') && !line.contains(['"', ','])).collect();
    assert!(tables.contains(&"[prober]") && tables.contains(&"[[rule]]"), "{tables:?}");
    let missing = tables.iter().filter(|table| !CONFIG_PAGE.contains(&format!("| `{table}` |")));
    nothing(&missing.map(|table| format!("docs/config.md lacks {table}")).collect::<Vec<_>>());
}

// --- Metrics ---------------------------------------------------------------------------------------------------------

/// What shards count, found without a scrape; `tests/control/metrics.rs` compares a page with the documentation.
#[test]
fn every_counter_of_the_shards_is_documented() {
    let counters = IoStats::NAMES
        .iter()
        .zip(IoStats::HELP)
        .map(|(name, help)| (format!("siplane_io_{name}_total"), "counter", help));
    let levels = Levels::NAMES.iter().zip(Levels::HELP).filter(|(name, _)| **name != "drift");
    let levels = levels.map(|(name, help)| (format!("siplane_held_{name}"), "gauge", help));
    let row =
        |(name, kind, help): (String, &str, &str)| format!("| `{name}` | {kind} | {} |", help.trim_end_matches('.'));
    let missing: Vec<String> =
        counters.chain(levels).map(row).filter(|row| !METRICS_PAGE.lines().any(|line| line == row)).collect();
    nothing(&missing);
}

// --- Log -------------------------------------------------------------------------------------------------------------

/// Files below `folder` that end with `.rs`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Level and text of each line that this code can log.
fn logged(code: &str) -> Vec<(&str, &str)> {
    let calls = code.split("tracing::").skip(1).filter_map(|rest| rest.split_once("!("));
    let calls = calls.filter(|(level, _)| ["error", "warn", "info", "debug", "trace"].contains(level));
    // The text is the last thing in a call, before the bracket that closes it.
    calls
        .map(|(level, call)| {
            let end = [call.find("\")"), call.find("\"\n")].into_iter().flatten().min().unwrap_or(0);
            (level, call[..end].rsplit('"').next().unwrap_or_default())
        })
        .collect()
}

fn all_logged() -> BTreeSet<(String, String)> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    texts
        .flat_map(|code| logged(&code).into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_log_line_is_documented_with_its_level() {
    let logged = all_logged();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (level, text) = (cells.next()?, cells.next()?.strip_prefix('`')?.strip_suffix('`')?);
        Some((level.to_owned(), text.to_owned()))
    };
    let documented: BTreeSet<_> = LOG_PAGE.lines().filter_map(row).collect();
    let missing =
        logged.difference(&documented).map(|(level, text)| format!("docs/log.md lacks: | {level} | `{text}` |"));
    let gone =
        documented.difference(&logged).map(|(level, text)| format!("docs/log.md: nothing logs {text:?} at {level}"));
    nothing(&missing.chain(gone).collect::<Vec<_>>());
    assert!(logged.contains(&(String::from("info"), String::from("ready"))), "{logged:?}");
}

#[test]
fn log_lines_are_found_in_every_way_of_writing() {
    let code = "tracing::warn!(%error, \"one: {x}\");\n tracing::info!(\n set = \"a\",\n \"two\"\n );\n tracing::error!(\"three\")\n";
    assert_eq!(logged(code), [("warn", "one: {x}"), ("info", "two"), ("error", "three")]);
}

/// What handles a message cannot log, at any level: it would be a line for every message of a flood.
#[test]
fn nothing_is_logged_where_messages_are_handled() {
    let once = ["shard/start.rs", "shard/socket.rs", "shard/audit.rs"];
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    ["sip", "dispatcher", "proxy", "shard"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let talks = |path: &&PathBuf| fs::read_to_string(path).unwrap().contains("tracing::");
    let strangers = files.iter().filter(talks).filter(|path| !once.iter().any(|file| path.ends_with(file)));
    nothing(&strangers.map(|path| format!("{} logs", path.display())).collect::<Vec<_>>());
}
