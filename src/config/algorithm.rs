//! The names of the algorithms, and Kamailio's numbers for them (its dispatcher module, `ds_select_dst`).
//!
//! A number is accepted wherever a name is, as `4` or, as in a script, `"4"`. Numbers of algorithms that do not exist
//! here are refused with what to use instead. A hash is consistent unless its name starts with `legacy-`.

use super::problem::nearest;
use super::reader::Item;
use crate::dispatcher::{Algorithm, HashInput, HashKind, HeaderName, LoadChoice};

/// Algorithms whose name says it all.
const PLAIN: [(&str, Option<i64>, Algorithm); 12] = [
    ("round-robin", Some(4), Algorithm::RoundRobin),
    ("round-robin-overload", Some(64), Algorithm::RoundRobinOverload),
    ("random", Some(6), Algorithm::Random),
    ("priority", Some(8), Algorithm::Priority),
    ("weight", Some(9), Algorithm::Weight),
    ("relative-weight", Some(11), Algorithm::RelativeWeight),
    ("call-load", Some(10), Algorithm::CallLoad(LoadChoice::Exact)),
    ("call-load-two-choices", None, Algorithm::CallLoad(LoadChoice::TwoChoices)),
    ("latency", Some(13), Algorithm::Latency),
    ("parallel", Some(12), Algorithm::Parallel),
    ("round-robin-or-priority", Some(14), Algorithm::RoundRobinOrPriority),
    ("srv", Some(15), Algorithm::Srv),
];

/// What can be hashed, but for headers.
const HASHES: [(&str, i64, HashInput); 5] = [
    ("hash-call-id", 0, HashInput::CallId),
    ("hash-from-uri", 1, HashInput::FromUri),
    ("hash-to-uri", 2, HashInput::ToUri),
    ("hash-request-uri", 3, HashInput::RequestUri),
    ("hash-auth-user", 5, HashInput::AuthUser),
];

/// What stands before the name of the header that is hashed.
const HASH_HEADER: &str = "hash-header:";

/// What stands before a hash that shall be Kamailio's own.
const LEGACY: &str = "legacy-";

/// Kamailio's numbers without an algorithm here: what they are there, and the cure.
const ELSEWHERE: [(i64, &str, &str); 1] =
    [(7, "the hash of a pseudo-variable", "\"hash-header:NAME\", or another hash")];

/// What a config calls `algorithm`.
#[must_use]
pub fn algorithm_name(algorithm: Algorithm) -> String {
    let Algorithm::Hash(input, kind) = algorithm else {
        let plain = PLAIN.iter().find(|(_, _, known)| *known == algorithm);
        return plain.map_or_else(String::new, |(name, _, _)| String::from(*name));
    };
    let legacy = if kind == HashKind::Legacy { LEGACY } else { "" };
    match input {
        HashInput::Header(header) => format!("{legacy}{HASH_HEADER}{header}"),
        input => {
            let plain = HASHES.iter().find(|(_, _, known)| *known == input);
            format!("{legacy}{}", plain.map_or("", |(name, _, _)| name))
        }
    }
}

/// The algorithm that `item` names.
pub(super) fn read(item: &Item<'_>) -> Option<Algorithm> {
    let number = item.as_integer().or_else(|| item.as_text().and_then(|text| text.parse().ok()));
    let chosen = match number {
        Some(number) => by_number(number),
        None => item.as_text().and_then(by_name),
    };
    match (chosen, number) {
        (None, Some(number)) => refuse_number(item, number),
        (None, None) => refuse_name(item),
        (Some(_), _) => {}
    }
    chosen
}

fn by_number(number: i64) -> Option<Algorithm> {
    let plain = PLAIN.iter().find(|(_, known, _)| *known == Some(number)).map(|(_, _, algorithm)| *algorithm);
    let hash = || HASHES.iter().find(|(_, known, _)| *known == number).map(|(_, _, input)| *input);
    plain.or_else(|| hash().map(|input| Algorithm::Hash(input, HashKind::Consistent)))
}

fn by_name(name: &str) -> Option<Algorithm> {
    if let Some((_, _, algorithm)) = PLAIN.iter().find(|(known, _, _)| *known == name) {
        return Some(*algorithm);
    }
    let (kind, name) = match name.strip_prefix(LEGACY) {
        Some(rest) => (HashKind::Legacy, rest),
        None => (HashKind::Consistent, name),
    };
    let input = match name.strip_prefix(HASH_HEADER) {
        Some(header) => HashInput::Header(HeaderName::new(header)?),
        None => HASHES.iter().find(|(known, _, _)| *known == name).map(|(_, _, input)| *input)?,
    };
    Some(Algorithm::Hash(input, kind))
}

fn refuse_number(item: &Item<'_>, number: i64) {
    if let Some((_, there, cure)) = ELSEWHERE.iter().find(|(known, _, _)| *known == number) {
        item.refuse_because(format!("{number} ({there} in Kamailio)"), *cure);
        return;
    }
    let plain = PLAIN.iter().filter_map(|(name, number, _)| number.map(|number| (number, *name)));
    let mut known: Vec<(i64, &str)> = plain.chain(HASHES.iter().map(|(name, number, _)| (*number, *name))).collect();
    known.sort_unstable();
    let known: Vec<String> = known.iter().map(|(number, name)| format!("{number} ({name})")).collect();
    item.refuse(format!("of Kamailio's numbers {}", known.join(", ")));
}

fn refuse_name(item: &Item<'_>) {
    let text = item.as_text().unwrap_or_default();
    if text.strip_prefix(LEGACY).unwrap_or(text).starts_with(HASH_HEADER) {
        item.refuse("a header's name of at most 31 letters, digits and - behind hash-header:");
        return;
    }
    let hashes = HASHES.iter().map(|(name, _, _)| *name);
    let names: Vec<&str> = PLAIN.iter().map(|(name, _, _)| *name).chain(hashes).collect();
    let allowed = format!("{}, hash-header:NAME, and legacy- before a hash", names.join(", "));
    let legacy = text.strip_prefix(LEGACY).and_then(|rest| nearest(rest, names.iter().copied()));
    let near = legacy.filter(|near| near.starts_with("hash-")).map(|near| format!("{LEGACY}{near}"));
    item.refuse_near(allowed, near.as_deref().or_else(|| nearest(text, names)));
}
