//! `[[set]]`: destinations and how one is chosen among them.

use super::codes;
use super::destination;
use super::reader::{Item, Section};
use crate::dispatcher::{Algorithm, DestinationSpec, Exhausted, FailoverCodes, HashInput, SetId, SetSpec};
use crate::limits;
use crate::proxy::settings::{Listen, Timers};
use core::time::Duration;
use std::collections::BTreeSet;

/// Kamailio's numbers (its dispatcher module, `ds_select_dst`) for the algorithms that exist here.
const ALGORITHMS: [(&str, i64, Algorithm); 5] = [
    ("round-robin", 4, Algorithm::RoundRobin),
    ("random", 6, Algorithm::Random),
    ("priority", 8, Algorithm::Priority),
    ("weight", 9, Algorithm::Weight),
    ("hash-call-id", 0, Algorithm::Hash(HashInput::CallId)),
];

/// What a set is when only its id and its destinations are given.
const FAILOVER_LIMIT_DEFAULT: usize = 4;
const ANSWER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// The sets that there are, for those keys that name one.
#[derive(Default)]
pub(super) struct SetNames {
    sets: Vec<(SetId, String, usize)>,
    /// A set could not be read: it may be the one that is named, so nothing is said about unknown ones.
    incomplete: bool,
}

/// What sets are checked against.
pub(super) struct Surroundings<'a> {
    pub(super) listen: &'a [Listen],
    pub(super) timers: &'a Timers,
}

/// Reads all `[[set]]`.
pub(super) fn sets(root: &mut Section<'_>, around: &Surroundings<'_>) -> (Vec<SetSpec>, SetNames) {
    let sections = root.sections("set", limits::SETS_MAX);
    if sections.is_empty() {
        root.refuse("set", "none", "at least one [[set]] with id and destinations");
    }
    let mut names = SetNames::default();
    let mut duids = BTreeSet::new();
    let sets: Vec<SetSpec> = sections.into_iter().map(|section| set(section, around, &mut names, &mut duids)).collect();
    let destinations: usize = sets.iter().map(|set| set.destinations.len()).sum();
    if destinations > limits::DESTINATIONS_MAX {
        let most = format!("at most {} in all sets", limits::DESTINATIONS_MAX);
        root.refuse("set", &format!("{destinations} destinations"), &most);
    }
    (sets, names)
}

fn set(
    mut section: Section<'_>,
    around: &Surroundings<'_>,
    names: &mut SetNames,
    duids: &mut BTreeSet<String>,
) -> SetSpec {
    let (id, name) = identity(&mut section, names);
    let spec = SetSpec {
        id,
        name,
        algorithm: section.item("algorithm").and_then(|item| algorithm(&item)).unwrap_or(Algorithm::RoundRobin),
        destinations: destinations(&mut section, around, duids),
        failover_codes: failover_codes(&mut section),
        // A bound of 16 fits every integer type.
        failover_limit: section.number("failover_limit", 1..=limits::TARGETS_MAX as i64, FAILOVER_LIMIT_DEFAULT),
        answer_timeout: answer_timeout(&mut section, around.timers),
        exhausted: when_exhausted(&mut section),
        retry_after_s: section.number("retry_after_s", 0..=86_400, 0),
    };
    section.finish();
    spec
}

fn identity(section: &mut Section<'_>, names: &mut SetNames) -> (SetId, String) {
    let allowed = format!("a number, 0 to {}", u32::MAX);
    let id_item = section.required("id", &allowed);
    let id: Option<u32> = id_item.as_ref().and_then(|item| item.number(0..=i64::from(u32::MAX), ""));
    let name_item = section.item("name");
    let name = name_item.as_ref().and_then(set_name).unwrap_or_default();
    if let (Some(item), Some(id)) = (&id_item, id) {
        if let Some((_, _, line)) = names.sets.iter().find(|(other, _, _)| other.0 == id) {
            item.refuse_because(format!("{id} again"), format!("an id of its own (line {line} has this one)"));
        }
        if let Some((item, (_, _, line))) = name_item
            .filter(|_| !name.is_empty())
            .and_then(|item| Some((item, names.sets.iter().find(|(_, other, _)| *other == name)?)))
        {
            item.refuse_because(format!("\"{name}\" again"), format!("a name of its own (line {line} has this one)"));
        }
        names.sets.push((SetId(id), name.clone(), item.line()));
    } else {
        names.incomplete = true;
    }
    (SetId(id.unwrap_or_default()), name)
}

fn set_name(item: &Item<'_>) -> Option<String> {
    let allowed = "letters, digits, -, _ and ., at most 64, and not a number";
    let text = item.text(allowed)?;
    let plain = text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) && text.chars().count() <= 64;
    if !plain || text.parse::<u64>().is_ok() {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

fn algorithm(item: &Item<'_>) -> Option<Algorithm> {
    let Some(number) = item.as_integer() else {
        return item.choice(&ALGORITHMS.map(|(word, _, algorithm)| (word, algorithm)));
    };
    let chosen = ALGORITHMS.iter().find(|(_, known, _)| *known == number);
    if chosen.is_none() {
        let known = ALGORITHMS.map(|(word, number, _)| format!("{number} ({word})"));
        item.refuse(format!("of Kamailio's numbers {}", known.join(", ")));
    }
    chosen.map(|(_, _, algorithm)| *algorithm)
}

fn destinations(
    section: &mut Section<'_>,
    around: &Surroundings<'_>,
    duids: &mut BTreeSet<String>,
) -> Vec<DestinationSpec> {
    let allowed = "a list of SIP URIs, like [\"sip:192.0.2.11:5060\"]";
    let Some(list) = section.required("destinations", allowed) else {
        return Vec::new();
    };
    let items = list.one_or_list();
    if items.is_empty() {
        list.warn("an empty list", "at least one destination; requests to this set get 503");
    }
    let mut uris = BTreeSet::new();
    let mut destinations = Vec::new();
    for item in items {
        let Some(spec) = destination::read(&item, around.listen) else {
            continue;
        };
        if !uris.insert(spec.uri.clone()) {
            item.warn(format!("{} again", spec.uri), "each URI once in a set; a larger share is a larger weight");
        }
        if !spec.duid.is_empty() && !duids.insert(spec.duid.clone()) {
            item.refuse_because(format!("duid \"{}\" again", spec.duid), "a duid of its own for each destination");
        }
        destinations.push(spec);
    }
    destinations
}

fn failover_codes(section: &mut Section<'_>) -> FailoverCodes {
    let Some(list) = section.item("failover_codes") else {
        return FailoverCodes::standard();
    };
    let mut codes = FailoverCodes::NONE;
    let named = codes::read(&list, &(400..=699));
    if named.iter().any(|code| *code >= 600) {
        // RFC 3261 §16.7.5: after a 6xx no new branch may be added.
        list.warn(
            "6xx codes",
            "codes below 600: a 6xx says that no other destination will take the call (RFC 3261 §16.7)",
        );
    }
    named.into_iter().for_each(|code| codes.insert(code));
    codes
}

fn answer_timeout(section: &mut Section<'_>, timers: &Timers) -> Duration {
    let Some(item) = section.item("answer_timeout_ms") else {
        return ANSWER_TIMEOUT_DEFAULT;
    };
    let timeout = item.number(1..=600_000, "").map_or(ANSWER_TIMEOUT_DEFAULT, Duration::from_millis);
    let timer_b = timers.transaction_timeout();
    if timeout > timer_b {
        item.warn(item.shown(), format!("at most {} (64*T1): Timer B ends the wait there", timer_b.as_millis()));
    }
    timeout
}

fn when_exhausted(section: &mut Section<'_>) -> Exhausted {
    let choices = [("best-response", Exhausted::BestResponse), ("503", Exhausted::ServiceUnavailable)];
    section.choice("when_exhausted", &choices, Exhausted::BestResponse)
}

impl SetNames {
    /// The set that `item` names by id or by name.
    pub(super) fn resolve(&self, item: &Item<'_>) -> Option<SetId> {
        let matches = |(id, name, _): &&(SetId, String, usize)| {
            item.as_integer() == Some(i64::from(id.0)) || (!name.is_empty() && item.as_text() == Some(name))
        };
        let set = self.sets.iter().find(matches);
        if set.is_none() && !self.incomplete {
            let names = self.sets.iter().map(|(_, name, _)| name.as_str());
            let near = super::problem::nearest(item.as_text().unwrap_or_default(), names);
            item.refuse_near(format!("a set that exists: {}", self.listed()), near);
        }
        set.map(|(id, _, _)| *id)
    }

    fn listed(&self) -> String {
        const LISTED_MAX: usize = 20;
        let mut listed: Vec<String> =
            self.sets.iter().take(LISTED_MAX).map(|(id, name, _)| described(*id, name)).collect();
        if self.sets.len() > LISTED_MAX {
            listed.push(format!("and {} more", self.sets.len() - LISTED_MAX));
        }
        listed.join(", ")
    }
}

fn described(id: SetId, name: &str) -> String {
    if name.is_empty() { id.0.to_string() } else { format!("{} (\"{name}\")", id.0) }
}
