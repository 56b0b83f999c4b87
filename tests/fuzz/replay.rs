//! Every committed input through its target: what was found once stays mended.

use crate::target;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let (_, run, seeds) = target(name);
    let own = files(&tests.join("fuzz/corpus").join(name));
    assert!(own.len() > 4, "a corpus of {} files", own.len());
    for file in seeds.iter().flat_map(|folder| files(&tests.join(folder))).chain(own) {
        let data = std::fs::read(&file).unwrap();
        let outcome = std::panic::catch_unwind(|| run(&data));
        assert!(outcome.is_ok(), "FUZZ_TARGET={name}: {} does what it must not, see above", file.display());
    }
}

macro_rules! replays {
    ($table:ident: $($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*

        #[test]
        fn each_target_is_replayed() {
            assert!(crate::$table.iter().map(|target| target.0).eq([$($name),*]));
        }
    };
}

mod core {
    use super::replay;

    replays! { CORE:
        a_datagram_is_scanned_within_its_bounds_and_its_owner_is_found: "scan";
        header_values_mean_the_same_when_they_are_written_anew: "values";
        a_request_is_forwarded_readable_and_whole: "request";
        a_response_is_relayed_as_it_came_without_our_via: "response";
        calls_of_any_bytes_leave_nothing_behind: "calls";
    }
}

#[cfg(feature = "io")]
mod beside {
    use super::replay;

    replays! { BESIDE:
        records_of_binrpc_mean_the_same_when_they_are_written_anew: "binrpc";
        each_json_rpc_request_gets_what_it_asked_for: "jsonrpc";
        a_list_and_the_config_made_of_it_name_the_same_destinations: "list";
        a_config_is_refused_with_a_place_or_can_be_run: "config";
    }
}
