//! Worlds whose choices are not made by a seed but by the bytes of an input: who calls when, what is lost, who answers what, what
//! operators do. `make fuzz` looks for those that break a rule; those that were found are in `tests/fuzz/corpus/world/`.

use crate::rng::play;
use crate::seeds;

/// Runs the world that `tape` describes to its end; what is not on it any more is as seed 0 has it.
pub(crate) fn run(tape: &[u8]) {
    play(tape.to_vec());
    seeds::run(0);
    play(Vec::new());
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|tape: &[u8]| run(tape));

#[test]
fn the_worlds_of_the_corpus_keep_every_rule() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/world");
    let mut tapes: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    tapes.sort();
    assert!(tapes.len() > 4, "a corpus of {} worlds", tapes.len());
    for path in tapes {
        let tape = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| run(&tape));
        assert!(outcome.is_ok(), "{} breaks a rule, see above", path.display());
    }
}
