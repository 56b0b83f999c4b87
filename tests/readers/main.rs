//! Three readers of one message: ours, rsip's and ezk's share no line, and what two of them accept they must read the same. Where a
//! lenient one saw something else than we did, somebody could get past us with it; `tests/scenario/smuggling.rs` has what came of that.
//!
//! Policy: a field counts where both have it. What another reader is known to get wrong, by the RFC, is in its own file, each with the
//! section, and is left out there and nowhere else.

mod ezk;
mod ours;
mod rsip_reader;
mod variants;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::path::{Path, PathBuf};

/// What of a message decides where it goes and which call it is of; `None` where the reader could not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Seen {
    method: Option<String>,
    status: Option<u16>,
    call_id: Option<String>,
    cseq_number: Option<u32>,
    cseq_method: Option<String>,
    via_host: Option<String>,
    via_port: Option<u16>,
    branch: Option<String>,
    from_tag: Option<String>,
    to_tag: Option<String>,
    content_length: Option<usize>,
}

impl Seen {
    fn fields(&self) -> [(&'static str, Option<String>); 11] {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        [
            ("method", self.method.clone()),
            ("status", number(self.status.map(u32::from))),
            ("Call-ID", self.call_id.clone()),
            ("CSeq number", number(self.cseq_number)),
            ("CSeq method", self.cseq_method.clone()),
            ("Via host", self.via_host.as_ref().map(|host| host.to_ascii_lowercase())),
            ("Via port", number(self.via_port.map(u32::from))),
            ("branch", self.branch.clone()),
            ("From tag", self.from_tag.clone()),
            ("To tag", self.to_tag.clone()),
            ("Content-Length", self.content_length.map(|length| length.to_string())),
        ]
    }
}

/// How many fields were compared; panics when two readers differ.
fn compare(bytes: &[u8]) -> [usize; 2] {
    let Some(ours) = ours::read(bytes) else { return [0; 2] };
    let others = [("rsip", rsip_reader::read(bytes)), ("ezk", ezk::read(bytes))];
    others.map(|(reader, theirs)| {
        let pairs = ours.fields().into_iter().zip(theirs.unwrap_or_default().fields());
        let both = pairs.filter_map(|((field, ours), (_, theirs))| Some((field, ours?, theirs?)));
        let differ = |(field, ours, theirs): &(&str, String, String)| {
            assert_eq!(ours, theirs, "{field} to us and to {reader}:\n{}", String::from_utf8_lossy(bytes));
        };
        both.inspect(differ).count()
    })
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[test]
fn what_others_accept_of_the_corpus_they_read_as_we_do() {
    let folders = ["torture", "torture/extra", "fuzz/corpus/scan", "fuzz/corpus/request", "fuzz/corpus/response"];
    let mut compared = [0; 2];
    for file in folders.iter().flat_map(|folder| files(folder)) {
        let counts = compare(&std::fs::read(file).unwrap());
        compared = [compared[0] + counts[0], compared[1] + counts[1]];
    }
    assert!(compared[0] > 150 && compared[1] > 300, "so few fields compared: {compared:?}");
}

#[test]
fn the_plain_message_is_read_whole_by_all_three() {
    let bytes = variants::plain();
    let ours = ours::read(&bytes).unwrap();
    assert_eq!(ours.fields().iter().filter(|(_, value)| value.is_some()).count(), 10, "{ours:?}");
    assert_eq!(compare(&bytes), [10, 10]);
}

proptest! {
    // The same spellings in every run: what a new one finds is for whoever looks for it, with another seed.
    #![proptest_config(ProptestConfig { cases: 4_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_others_accept_of_odd_spellings_they_read_as_we_do(message in variants::message()) {
        compare(&message);
    }

    #[test]
    fn what_others_accept_of_broken_messages_they_read_as_we_do(message in variants::broken()) {
        compare(&message);
    }
}
