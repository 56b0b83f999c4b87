//! RFC 4475 and worse: the messages, and that the tables about them hold together.
//!
//! The tables say what the proxy must do with each message; the checks here are about the tables and the files themselves.

mod expectations;
mod extra;
mod proxy;
#[path = "../scenario/world.rs"]
#[allow(dead_code, reason = "the scripted timelines use all of it")]
mod world;

use expectations::{Expectation, Kind, Outcome, RFC4475};
use extra::EXTRA;
use std::collections::BTreeSet;

/// FNV-1a (64 bits) over the octets of all files of a table, in the order of their names.
fn fingerprint(rows: &[Expectation]) -> u64 {
    let mut rows: Vec<&Expectation> = rows.iter().collect();
    rows.sort_by_key(|row| row.file);
    let octets = rows.into_iter().flat_map(Expectation::octets);
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

/// Names of the `.sip` files in a folder below `tests/torture/`, as the rows spell them.
fn files_in(folder: &str) -> BTreeSet<String> {
    let path = format!("{}/tests/torture/{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("an ASCII name"));
    names.filter(|name| name.ends_with(".sip")).map(|name| format!("{folder}{name}")).collect()
}

fn all_rows() -> impl Iterator<Item = &'static Expectation> {
    RFC4475.iter().chain(EXTRA)
}

#[test]
fn no_file_has_lost_or_gained_an_octet() {
    assert_eq!(fingerprint(RFC4475), RFC_FINGERPRINT, "a line end or an octet changed: see .gitattributes");
    assert_eq!(fingerprint(EXTRA), EXTRA_FINGERPRINT, "a line end or an octet changed: see .gitattributes");
}

const RFC_FINGERPRINT: u64 = 0x49ef_ddf1_4d4a_70a9;
const EXTRA_FINGERPRINT: u64 = 0xdcd8_36d4_b68c_93d6;

#[test]
fn every_file_has_exactly_one_row() {
    for (rows, folder) in [(RFC4475, ""), (EXTRA, "extra/")] {
        let named: BTreeSet<String> = rows.iter().map(|row| row.file.to_owned()).collect();
        assert_eq!(named.len(), rows.len(), "a file has two rows in {folder:?}");
        assert_eq!(named, files_in(folder));
    }
    assert_eq!(RFC4475.len(), 50);
}

#[test]
fn every_row_names_the_kind_of_its_first_line() {
    for row in all_rows() {
        let octets = row.octets();
        let octets = octets.strip_prefix(b"\r\n\r\n").unwrap_or(&octets);
        match row.kind {
            Kind::Request(method) => assert!(octets.starts_with(method.as_bytes()), "{}", row.file),
            Kind::Response(code) => {
                let written =
                    octets.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.split(|octet| *octet == b' ').next());
                let digits = written.and_then(|digits| std::str::from_utf8(digits).ok());
                assert_eq!(digits.and_then(|digits| digits.parse().ok()), Some(code), "{}", row.file);
            }
            Kind::Noise => assert!(!octets.windows(3).any(|window| window == b"SIP"), "{}", row.file),
        }
    }
}

// RFC 3261 §17.1.1.3: no response to an ACK; RFC 6026 §7.3: no stray response is forwarded.
#[test]
fn no_row_answers_an_ack_or_a_response() {
    for row in all_rows() {
        let silent = matches!(row.kind, Kind::Response(_) | Kind::Noise | Kind::Request("ACK"));
        assert!(!silent || row.outcome == Outcome::Drop, "{}", row.file);
        let is_response = matches!(row.kind, Kind::Response(_));
        assert_eq!(row.matched.is_some(), is_response, "{}", row.file);
    }
}

#[test]
fn every_row_gives_its_section_its_reason_and_final_failure_codes() {
    for row in all_rows() {
        assert!(!row.section.is_empty() && !row.why.is_empty(), "{}", row.file);
        let (Outcome::Reject(codes) | Outcome::ForwardOrReject(codes) | Outcome::RejectOrDrop(codes)) = row.outcome
        else {
            continue;
        };
        assert!(!codes.is_empty() && codes.iter().all(|code| (400..700).contains(code)), "{}", row.file);
    }
}

// RFC 4475 §3.1.1 holds the valid messages, §3.1.2 the invalid ones.
#[test]
fn the_well_formed_messages_are_those_the_rfc_calls_valid() {
    for row in RFC4475 {
        assert!(!row.section.starts_with("3.1.1.") || row.valid, "{}", row.file);
        assert!(!row.section.starts_with("3.1.2.") || !row.valid, "{}", row.file);
    }
}
