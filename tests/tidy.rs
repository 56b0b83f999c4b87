//! The house rules that no compiler knows, checked over the text of `src/`.
//!
//! Policy: a rule is either in a table here with its reason, or it is not a rule. Every check is a plain function from
//! text to complaints, and `tidy/samples.rs` hands each a bad sample: a check that cannot fail is not one. The reading
//! (`tidy/reading.rs`) is by line and by brace over code whose strings, chars and comments are blanked; it is no parser,
//! and what it cannot see it lets pass.

use std::collections::BTreeSet;
use std::fs;

use reading::{Complaint, Source, citations, function_lines, function_start, has_word, modules_named, root, snake};
use reading::{sources, statements, type_named};

#[path = "tidy/reading.rs"]
mod reading;
#[path = "tidy/samples.rs"]
mod samples;

/// Which module may name which, with the reason; everything else is an arrow that does not exist.
const FLOORS: &[(&str, &[&str], &str)] = &[
    ("main", &["cli"], "the program is its command line"),
    ("lib", &[], "declares the modules, uses none"),
    (
        "cli",
        &["server", "config", "host", "proxy", "dispatcher", "sip", "limits", "time", "stats"],
        "starts things and prints things",
    ),
    (
        "server",
        &["shard", "prober", "control", "config", "host", "proxy", "dispatcher", "limits", "time", "stats"],
        "wiring: start, drain, shutdown order",
    ),
    (
        "control",
        &["config", "shard", "prober", "proxy", "dispatcher", "sip", "stats", "limits", "time"],
        "beside the shards; never sees a datagram of a call",
    ),
    (
        "shard",
        &["proxy", "dispatcher", "sip", "limits", "time", "stats", "sync"],
        "the data path's only sockets and clock",
    ),
    (
        "prober",
        &["proxy", "dispatcher", "sip", "limits", "time", "stats"],
        "probes are client transactions, sent on its own core",
    ),
    ("host", &[], "reads /proc and /sys, knows no call and no socket"),
    ("config", &["dispatcher", "proxy", "sip", "limits"], "what the file means, as the core's value types"),
    ("proxy", &["sip", "dispatcher", "limits", "time", "stats"], "the sans-IO core"),
    ("dispatcher", &["limits", "time", "sync"], "lock-free state and selection; knows no SIP message"),
    ("sip", &["limits"], "bytes only"),
    ("limits", &["time"], "bounds, some of which are durations"),
    ("time", &[], "a number of nanoseconds without now()"),
    ("stats", &[], "counters"),
    ("sync", &[], "names of atomics"),
];

/// Modules that can do no I/O.
const CORE: &[&str] = &["sip", "dispatcher", "proxy", "limits", "time", "stats"];

/// What core code may not say, with the cure.
const BANNED_IN_CORE: &[(&str, &str)] = &[
    ("UdpSocket", "the core has no socket: bytes come in and go out through the outbox"),
    ("time::Instant", "the core reads no clock: use crate::time::Instant, given by the caller"),
    ("SystemTime", "the core reads no clock: take the time as an argument"),
    ("Mutex", "one owner per call: nobody to lock out"),
    ("RwLock", "one owner per call: nobody to lock out"),
    ("thread::spawn", "the core starts no thread"),
    ("thread::sleep", "the core does not block"),
    ("async fn", "the core waits for nothing: return what to do and poll_timeout()"),
];

/// What no product code may say, with the cure.
const BANNED_EVERYWHERE: &[(&str, &str)] = &[
    ("dbg!", "remove it"),
    ("todo!", "write it, or leave the option out"),
    ("unimplemented!", "write it, or leave the option out"),
    ("panic!", "return an error; a broken invariant is a debug_assert! and a counter"),
    ("env::var", "everything is configured in one file, so that `siplane check` sees it"),
    ("process::exit", "return ExitCode from main, so that drops run"),
];

/// Words that are not ours, in file and type names, with ours.
const BANNED_WORDS: &[(&str, &str)] = &[
    ("backend", "destination"),
    ("upstream_server", "destination"),
    ("peer", "source, next hop or destination"),
    ("session", "dialog or call"),
    ("manager", "the thing that is managed"),
    ("handler", "a verb: handle_*"),
    ("util", "what it is for"),
];

/// What may stand at the top of the repository, dotfiles and `target` apart.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "config",
    "benches",
    "loadtest",
    "tests",
    "docs",
    "fuzz",
    "packaging",
    "README.md",
    "PERF.md",
    "Makefile",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "target",
];

/// Sections that product code cites and no test does, each with the reason why that is right.
const CITED_BUT_UNTESTED: &[(&str, &str)] = &[];

/// Product lines of one file, before its tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of one function with its signature.
const FUNCTION_LINES_MAX: usize = 70;
/// Characters of one line.
const LINE_CHARS_MAX: usize = 140;
/// How far above an `unwrap` its `// Invariant:` may stand, lines.
const INVARIANT_ABOVE: usize = 2;
/// How far above an `unsafe` its `// SAFETY:` may stand, lines.
const SAFETY_ABOVE: usize = 3;

#[test]
fn modules_use_only_the_floors_below_them() {
    hold(arrows);
}

#[test]
fn core_names_no_socket_clock_lock_thread_or_terminal() {
    hold(banned_names);
}

#[test]
fn every_unwrap_states_its_invariant() {
    hold(unwraps);
}

#[test]
fn every_unsafe_states_why_it_is_sound() {
    hold(unsafes);
}

#[test]
fn files_stay_short() {
    hold(file_length);
}

#[test]
fn functions_stay_short() {
    hold(function_length);
}

#[test]
fn nothing_is_left_over() {
    hold(left_overs);
}

#[test]
fn lines_stay_short() {
    hold(long_lines);
}

#[test]
fn names_use_our_words() {
    hold(foreign_words);
}

#[test]
fn the_top_level_stays_small() {
    let entries: Vec<String> =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let strangers = strangers(&entries);
    assert!(
        strangers.is_empty(),
        "at the top of the repository: {strangers:?}; put them into a folder that is there, or into TOP_LEVEL"
    );
}

#[test]
fn every_cited_section_is_tested() {
    let all: Vec<Source> =
        sources("src").into_iter().chain(sources("tests")).filter(|source| source.path != "tests/tidy.rs").collect();
    report(untested_citations(&all, CITED_BUT_UNTESTED));
    for (section, reason) in CITED_BUT_UNTESTED {
        let cited =
            all.iter().any(|source| source.lines.iter().any(|line| citations(line).iter().any(|name| name == section)));
        assert!(
            cited && !reason.is_empty(),
            "{section} in CITED_BUT_UNTESTED is cited nowhere or has no reason: remove it"
        );
    }
}

#[test]
fn the_programs_beside_siplane_keep_the_same_style() {
    let sources = sources("loadtest");
    assert!(sources.len() >= 2, "loadtest/ was not found");
    let rules = [unwraps, unsafes, file_length, function_length, left_overs, long_lines, foreign_words];
    report(rules.iter().flat_map(|rule| sources.iter().flat_map(rule)).collect());
}

fn hold(check: fn(&Source) -> Vec<Complaint>) {
    let sources = sources("src");
    assert!(sources.len() >= 2, "src/ was not found");
    report(sources.iter().flat_map(check).collect());
}

#[track_caller]
fn report(complaints: Vec<Complaint>) {
    let text: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert!(text.is_empty(), "{} broken:\n{}\n", text.len(), text.join("\n"));
}

fn arrows(source: &Source) -> Vec<Complaint> {
    let from = source.module();
    let Some((_, allowed, reason)) = FLOORS.iter().find(|(module, _, _)| *module == from) else {
        return vec![
            source.complaint(1, format!("module `{from}` has no floor: give it a row in FLOORS, with its reason")),
        ];
    };
    let mut found = Vec::new();
    for (number, code) in statements(source) {
        for to in modules_named(&code, source.depth()) {
            if to != from && !allowed.contains(&to.as_str()) && FLOORS.iter().any(|(module, _, _)| *module == to) {
                found.push(source.complaint(
                    number,
                    format!("{from} → {to} is no arrow of ours ({from}: {reason}); move the code or the type"),
                ));
            }
        }
    }
    found
}

fn banned_names(source: &Source) -> Vec<Complaint> {
    let core = CORE.contains(&source.module());
    let rules = BANNED_EVERYWHERE.iter().chain(if core { BANNED_IN_CORE } else { &[] });
    let printing =
        [("println!", "the core prints nothing: count it"), ("eprintln!", "the core prints nothing: count it")];
    let rules: Vec<_> = rules.chain(if core { &printing[..] } else { &[] }).collect();
    let mut found = Vec::new();
    for (number, code) in source.product() {
        for (name, cure) in &rules {
            // Ours is called crate::time::Instant; the banned one is the standard library's.
            let ours = *name == "time::Instant" && !code.contains("std::time");
            if has_word(code, name) && !ours && !source.marked(number, INVARIANT_ABOVE, "// Invariant:") {
                found.push(source.complaint(number, format!("`{name}`: {cure}")));
            }
        }
    }
    found
}

fn unwraps(source: &Source) -> Vec<Complaint> {
    let naked =
        |code: &str| [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("].iter().any(|call| code.contains(call));
    let complaint = |(number, _)| {
        source.complaint(number, "say why it cannot fail: `// Invariant: …` within two lines above, or return an error")
    };
    source
        .product()
        .filter(|(number, code)| naked(code) && !source.marked(*number, INVARIANT_ABOVE, "// Invariant:"))
        .map(complaint)
        .collect()
}

fn unsafes(source: &Source) -> Vec<Complaint> {
    let bare = |number, code: &str| has_word(code, "unsafe") && !source.marked(number, SAFETY_ABOVE, "SAFETY:");
    let numbers = source.code.iter().enumerate().map(|(at, code)| (at + 1, code.as_str()));
    let complaint =
        |(number, _)| source.complaint(number, "say why it is sound: `// SAFETY: …` within three lines above");
    numbers.filter(|(number, code)| bare(*number, code) && !code.contains("unsafe_code")).map(complaint).collect()
}

fn file_length(source: &Source) -> Vec<Complaint> {
    let product = source.product().count();
    if product <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![
        source.complaint(
            product,
            format!("{product} product lines, {FILE_LINES_MAX} at most: split it by what it is about"),
        ),
    ]
}

fn function_length(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (at, code) in source.code.iter().enumerate() {
        let length = function_start(code).map_or(0, |start| function_lines(&code[start..], &source.code[at + 1..]));
        if length > FUNCTION_LINES_MAX {
            let cure = format!(
                "a function of {length} lines, {FUNCTION_LINES_MAX} at most: keep the control flow, move leaves out"
            );
            found.push(source.complaint(at + 1, cure));
        }
    }
    found
}

fn left_overs(source: &Source) -> Vec<Complaint> {
    let marks = ["FIXME", "XXX", "HACK", "TODO"];
    let line = |(at, line): (usize, &String)| {
        let mark = marks.iter().find(|mark| has_word(line, mark) && line.contains("//"))?;
        Some(source.complaint(at + 1, format!("{mark} is left over: do it, or say plainly what is absent")))
    };
    source.lines.iter().enumerate().filter_map(line).collect()
}

fn long_lines(source: &Source) -> Vec<Complaint> {
    let long = source.lines.iter().enumerate().filter(|(_, line)| line.chars().count() > LINE_CHARS_MAX);
    long.map(|(at, _)| source.complaint(at + 1, format!("more than {LINE_CHARS_MAX} characters: break it"))).collect()
}

fn foreign_words(source: &Source) -> Vec<Complaint> {
    let mut names = vec![(1, source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned())];
    for (number, code) in source.product() {
        names.extend(type_named(code).map(|name| (number, snake(name))));
    }
    let mut found = Vec::new();
    for (number, name) in names {
        let parts: Vec<&str> = name.split('_').collect();
        for (word, ours) in BANNED_WORDS {
            let hit = if word.contains('_') {
                name.contains(word)
            } else {
                parts.iter().any(|part| part.trim_end_matches('s') == *word)
            };
            if hit {
                found.push(source.complaint(number, format!("`{word}` in the name `{name}` is not our word: {ours}")));
            }
        }
    }
    found
}

fn strangers(entries: &[String]) -> Vec<String> {
    entries.iter().filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str())).cloned().collect()
}

fn untested_citations(sources: &[Source], exceptions: &[(&str, &str)]) -> Vec<Complaint> {
    let mut tested = BTreeSet::new();
    let mut product = Vec::new();
    for source in sources {
        for (at, line) in source.lines.iter().enumerate() {
            // A doc comment says what a thing is in the RFC; a plain one stands at the line that obeys it.
            let documents = line.contains("///") || line.contains("//!");
            for section in citations(line) {
                if source.test[at] {
                    tested.insert(section);
                } else if !documents {
                    product.push((section, source, at + 1));
                }
            }
        }
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (section, source, line) in product {
        if !tested.contains(&section)
            && !exceptions.iter().any(|(name, _)| *name == section)
            && seen.insert(section.clone())
        {
            let cure = format!(
                "{section} is obeyed here, tested nowhere: cite it at its test, or in CITED_BUT_UNTESTED with the reason"
            );
            found.push(source.complaint(line, cure));
        }
    }
    found
}
