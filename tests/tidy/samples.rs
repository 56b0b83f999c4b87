//! Every check of `tidy.rs` on a small text that it must catch, and on one that it must let pass.

use crate::reading::{Source, blank};
use crate::*;

#[test]
fn an_arrow_upwards_is_caught_in_every_spelling() {
    let text = "use crate::proxy::Proxy;\nuse crate::{limits, shard::{Ring, x}, stats};\n\
                fn f() { crate::server::go(); super::super::cli::x() }\n";
    assert_eq!(lines_of(arrows, "src/sip/scan.rs", text), [1, 2, 2, 3, 3]);
    assert_eq!(lines_of(arrows, "src/sip.rs", "use super::config::Config;\n"), [1]);
    assert_eq!(lines_of(arrows, "src/new.rs", ""), [1]);
    let fine =
        "use crate::sip::uri;\nuse crate::limits::HOPS;\n// crate::proxy\nuse super::uri;\nfn crate_proxy() {}\n";
    assert_eq!(lines_of(arrows, "src/sip/scan.rs", fine), []);
    assert_eq!(lines_of(arrows, "src/sip/scan.rs", "#[cfg(test)]\nmod tests {\n    use crate::proxy::Proxy;\n}\n"), []);
}

#[test]
fn an_arrow_in_a_use_over_several_lines_is_caught() {
    assert_eq!(lines_of(arrows, "src/sip/scan.rs", "use crate::{\n    limits,\n    shard::{Ring, time},\n};\n"), [1]);
}

#[test]
fn a_clock_a_lock_and_a_print_in_the_core_are_caught() {
    let text = "use std::time::Instant;\n\
        static M: Mutex<u8> = x;\nfn f() { println!(); }\nasync fn g() {}\nfn h() { todo!() }\n";
    assert_eq!(lines_of(banned_names, "src/proxy/mod.rs", text), [1, 2, 3, 4, 5]);
    assert_eq!(lines_of(banned_names, "src/cli/run.rs", text), [5]);
    assert_eq!(
        lines_of(banned_names, "src/cli/run.rs", "let a = std::env::var(\"A\");\nstd::process::exit(1)\n"),
        [1, 2]
    );
    assert_eq!(
        lines_of(banned_names, "src/proxy/mod.rs", "use crate::time::Instant;\n// no Mutex here\nstruct MutexFree;\n"),
        []
    );
}

#[test]
fn an_unwrap_without_its_invariant_is_caught() {
    let fine = "// Invariant: the slot is ours.\nlet a = b\n    .unwrap();\nlet c = d.unwrap_or(1);\n\
        #[cfg(test)]\nmod tests {\n    fn t() { x.unwrap() }\n}\n";
    assert_eq!(lines_of(unwraps, "src/sip/a.rs", fine), []);
    assert_eq!(
        lines_of(unwraps, "src/sip/a.rs", "let a = b.unwrap();\nlet s = \".unwrap()\";\nlet c = d.expect(\"x\");\n"),
        [1, 3]
    );
}

#[test]
fn an_unsafe_without_its_reason_is_caught() {
    let text =
        "// SAFETY: checked above.\nunsafe { a() }\n\n\n\nunsafe { b() }\nlet unsafety = 1;\n#![deny(unsafe_code)]\n";
    assert_eq!(lines_of(unsafes, "src/shard/ring.rs", text), [6]);
}

#[test]
fn a_long_file_is_caught_and_its_tests_do_not_count() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // a\n".repeat(FILE_LINES_MAX));
    assert_eq!(lines_of(file_length, "src/sip/a.rs", &("//\n".repeat(FILE_LINES_MAX) + &tests)), []);
    assert_eq!(lines_of(file_length, "src/sip/a.rs", &"//\n".repeat(FILE_LINES_MAX + 1)), [FILE_LINES_MAX + 1]);
}

#[test]
fn a_long_function_is_caught_whatever_its_strings_say() {
    let function = |lines: usize| {
        format!(
            "\nfn f(a: [u8; 3]) -> char {{\n{}    '}}'\n}}\n",
            "    g(\"}\", '}', r#\"}\"#); // }\n".repeat(lines - 3)
        )
    };
    assert_eq!(lines_of(function_length, "src/sip/a.rs", &function(FUNCTION_LINES_MAX)), []);
    assert_eq!(lines_of(function_length, "src/sip/a.rs", &function(FUNCTION_LINES_MAX + 1)), [2]);
    assert_eq!(
        lines_of(
            function_length,
            "src/sip/a.rs",
            &("trait T { fn f(&self); a: fn(u8),\n".to_owned() + &"//\n".repeat(90) + "}\n")
        ),
        []
    );
}

#[test]
fn a_left_over_mark_is_caught() {
    assert_eq!(
        lines_of(left_overs, "src/sip/a.rs", "// FIXME later\nlet hack = 1; // a hack\nlet a = \"XXX\";\n// HACK: b\n"),
        [1, 4]
    );
}

#[test]
fn a_long_line_is_caught_by_characters_not_bytes() {
    let text = format!("{}\n{}\n", "§".repeat(LINE_CHARS_MAX), "§".repeat(LINE_CHARS_MAX + 1));
    assert_eq!(lines_of(long_lines, "src/sip/a.rs", &text), [2]);
}

#[test]
fn a_foreign_word_is_caught_in_a_type_and_in_a_file_name() {
    let text = "pub struct CallManager;\n\
        pub(crate) enum PeerState {}\nfn backend() {}\nstruct Utility;\ntype Sessions = u8;\n";
    assert_eq!(lines_of(foreign_words, "src/proxy/a.rs", text), [1, 2, 5]);
    assert_eq!(lines_of(foreign_words, "src/proxy/utils.rs", ""), [1]);
}

#[test]
fn a_stranger_at_the_top_is_caught() {
    let entries = ["src", ".ci", "target", "notes.txt"].map(str::to_owned);
    assert_eq!(strangers(&entries), ["notes.txt"]);
}

#[test]
fn a_section_cited_and_not_tested_is_caught() {
    let product = Source::new(
        "src/sip/a.rs",
        "// RFC 3261 §17.2.1: a\n// RFC 3261 §16.7, §16.8\n// RFC 3263 §4.\n/// RFC 3261 §21\n",
    );
    let tests = Source::new("tests/b.rs", "// RFC 3261 §16.7\n/// RFC 3261 §16.8: c\n");
    let found = untested_citations(&[product, tests], &[("RFC 3263 §4", "a sample")]);
    assert_eq!(found.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [1]);
}

#[test]
fn blanking_keeps_code_and_lines() {
    let text = "a /* b /* c */ d */ e\n'x' 'a: loop \"q\\\"r\" b'\\'' br##\"s\"#t\"## u // v\nw";
    let kept: Vec<String> =
        blank(text).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(kept, ["a e", "'a: loop b u", "w"]);
}

/// Complaints' lines for a sample.
fn lines_of(check: fn(&Source) -> Vec<Complaint>, path: &str, text: &str) -> Vec<usize> {
    check(&Source::new(path, text)).iter().map(|complaint| complaint.line).collect()
}
