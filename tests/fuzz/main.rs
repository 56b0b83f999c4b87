//! What must hold for any bytes at all: one function for each reader, which panics when it does not.
//!
//! `make test` gives them the corpus (`replay.rs`); `make fuzz` gives them what libFuzzer makes of it: the crate in `fuzz/` has this
//! file for its root, too. What it finds goes into `corpus/TARGET/`, beside the mend.
#![cfg_attr(fuzzing, no_main)]
#![cfg_attr(not(any(test, fuzzing)), allow(dead_code, reason = "only a test or libFuzzer calls the targets"))]

#[cfg(feature = "io")]
mod control;
mod parts;
#[cfg(test)]
mod replay;
mod targets;
#[path = "../scenario/world.rs"]
#[allow(dead_code, reason = "the scripted timelines use all of it")]
mod world;

/// The readers of the control side that are included as source name this.
#[cfg(feature = "io")]
use siplane::limits;

/// A reader, and what it is given besides the files of `corpus/NAME/`: folders below `tests/`.
type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// What the core reads.
const CORE: &[Target] = &[
    ("scan", targets::scan::run, &["torture", "torture/extra"]),
    ("values", targets::values::run, &[]),
    ("request", targets::request::run, &["torture", "torture/extra"]),
    ("response", targets::response::run, &["torture", "torture/extra"]),
    ("calls", targets::calls::run, &[]),
];

/// What is read beside it.
#[cfg(feature = "io")]
const BESIDE: &[Target] = &[
    ("binrpc", control::doors::binrpc::run, &[]),
    ("jsonrpc", control::doors::run, &[]),
    ("list", targets::list::run, &[]),
    ("config", targets::config::run, &["../config"]),
];
#[cfg(not(feature = "io"))]
const BESIDE: &[Target] = &[];

/// The target of that name. Panics when there is none.
fn target(name: &str) -> &'static Target {
    let known = |target: &&Target| target.0 == name;
    CORE.iter().chain(BESIDE).find(known).unwrap_or_else(|| panic!("no target {name}"))
}

#[cfg(fuzzing)]
mod fuzzed {
    use std::sync::OnceLock;

    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

    fn named() -> fn(&[u8]) {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        super::target(&name).1
    }

    libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.get_or_init(named)(data));
}
