//! `[[set]]`: destinations and how one is chosen among them.

use super::list_file::ListSet;
use super::passive;
use super::reader::{Item, Section};
use super::{ProberSettings, algorithm, chain, codes, destination, report};
use crate::dispatcher::{
    Algorithm, DestinationSpec, Exhausted, FailoverCodes, HeaderName, OverloadBounds, SetId, SetSpec,
};
use crate::limits;
use crate::proxy::settings::{Listen, Timers};
use core::time::Duration;
use std::collections::BTreeSet;

/// What a set is when only its id and its destinations are given.
const FAILOVER_LIMIT_DEFAULT: usize = 4;
const ANSWER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// The words for `when_exhausted`.
pub const EXHAUSTED: [(&str, Exhausted); 2] =
    [("best-response", Exhausted::BestResponse), ("503", Exhausted::ServiceUnavailable)];

/// What destinations say of overload control.
const OVERLOAD_BOUNDS: &str = "ocmin, ocmax or ocrate";

const DESTINATIONS_ALLOWED: &str = "a list of SIP URIs, like [\"sip:192.0.2.11:5060\"]";

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
    pub(super) prober: &'a ProberSettings,
}

/// The sets of a list file, which `[[set]]` may say more about.
pub(super) struct ListSets {
    /// The file, as the config names it.
    pub(super) file: String,
    /// None: the file could not be read, and nothing is said about what is not in it.
    pub(super) sets: Option<Vec<ListSet>>,
}

impl ListSets {
    /// Takes set `id` out of the list.
    fn take(&mut self, id: SetId) -> Option<ListSet> {
        let sets = self.sets.as_mut()?;
        let index = sets.iter().position(|set| set.id == id)?;
        Some(sets.remove(index))
    }
}

/// What was read so far.
struct Reading<'a> {
    sets: Vec<SetSpec>,
    names: SetNames,
    list: Option<ListSets>,
    /// Index of a set, and the set behind it.
    fallbacks: Vec<(usize, Item<'a>)>,
}

/// Reads all `[[set]]`, and adds the sets that only `list` has.
pub(super) fn sets(
    root: &mut Section<'_>,
    around: &Surroundings<'_>,
    list: Option<ListSets>,
) -> (Vec<SetSpec>, SetNames) {
    let sections = root.sections("set", limits::SETS_MAX);
    if sections.is_empty() && list.as_ref().is_none_or(|list| list.sets.as_ref().is_some_and(Vec::is_empty)) {
        root.refuse("set", "none", "at least one [[set]] with id and destinations");
    }
    let mut reading = Reading { sets: Vec::new(), names: SetNames::default(), list, fallbacks: Vec::new() };
    sections.into_iter().for_each(|section| reading.set(section, around));
    reading.add_listed(root);
    let Reading { mut sets, names, fallbacks, .. } = reading;
    chain::resolve(&mut sets, &names, &fallbacks);
    refuse_too_many(root, &sets);
    (sets, names)
}

pub(super) fn header_name(item: &Item<'_>) -> Option<HeaderName> {
    let allowed = "a header name of at most 31 characters, like X-Dispatcher-Attrs";
    let name = item.text(allowed).and_then(HeaderName::new);
    if name.is_none() && item.as_text().is_some() {
        item.refuse(allowed);
    }
    name
}

fn refuse_too_many(root: &Section<'_>, sets: &[SetSpec]) {
    if sets.len() > limits::SETS_MAX {
        root.refuse("set", &format!("{} sets", sets.len()), &format!("at most {}", limits::SETS_MAX));
    }
    let destinations: usize = sets.iter().map(|set| set.destinations.len()).sum();
    if destinations > limits::DESTINATIONS_MAX {
        let most = format!("at most {} in all sets", limits::DESTINATIONS_MAX);
        root.refuse("set", &format!("{destinations} destinations"), &most);
    }
}

impl<'a> Reading<'a> {
    fn set(&mut self, mut section: Section<'a>, around: &Surroundings<'_>) {
        let (id, name) = identity(&mut section, &mut self.names);
        let read = section.item("algorithm").map_or(Some(Algorithm::RoundRobin), |item| algorithm::read(&item));
        let algorithm = read.unwrap_or(Algorithm::RoundRobin);
        let destinations = self.destinations(&mut section, id.map(SetId), around);
        let report = report::read(&mut section, algorithm, &destinations, around);
        let overload_control = overload_control(&mut section, algorithm, &destinations);
        let spec = SetSpec {
            id: SetId(id.unwrap_or_default()),
            name,
            algorithm,
            destinations,
            failover_codes: failover_codes(&mut section),
            // A bound of 16 fits every integer type.
            failover_limit: section.number("failover_limit", 1..=limits::TARGETS_MAX as i64, FAILOVER_LIMIT_DEFAULT),
            branches_max: branches_max(&mut section, read),
            answer_timeout: answer_timeout(&mut section, around.timers),
            exhausted: when_exhausted(&mut section),
            retry_after_s: section.number("retry_after_s", 0..=86_400, 0),
            fallback: None,
            rewrite_uri: section.flag("rewrite_uri"),
            attrs_header: section.item("attrs_header").and_then(|item| header_name(&item)),
            slow_start: section.seconds("slow_start_s", 0..=3_600, Duration::ZERO),
            passive: passive::read(section.section("passive")),
            report,
            overload_control,
        };
        self.fallbacks.extend(section.item("fallback").map(|item| (self.sets.len(), item)));
        section.finish();
        self.sets.push(spec);
    }

    /// Those of the section, or those of the list when it has none.
    fn destinations(
        &mut self,
        section: &mut Section<'_>,
        id: Option<SetId>,
        around: &Surroundings<'_>,
    ) -> Vec<DestinationSpec> {
        let item = section.item("destinations");
        let listed = self.list.as_mut().zip(id).and_then(|(list, id)| list.take(id));
        match (item, listed, &self.list) {
            (Some(item), Some(_), Some(list)) => {
                item.refuse_because(format!("destinations of a set that {} has, too", list.file), "one of the two");
                Vec::new()
            }
            (Some(item), _, _) => destinations(&item, section, around),
            (None, Some(listed), _) => listed.destinations,
            (None, None, Some(list)) => {
                if list.sets.is_some() && id.is_some() {
                    let found = format!("nothing, and nothing in {}", list.file);
                    section.refuse("destinations", &found, DESTINATIONS_ALLOWED);
                }
                Vec::new()
            }
            (None, None, None) => {
                section.refuse("destinations", "nothing", DESTINATIONS_ALLOWED);
                Vec::new()
            }
        }
    }

    /// The sets that no `[[set]]` says anything about.
    fn add_listed(&mut self, root: &Section<'_>) {
        let Some(list) = &mut self.list else { return };
        match list.sets.take() {
            None => self.names.incomplete = true,
            Some(sets) => {
                for ListSet { id, destinations } in sets {
                    let bound = with_overload_bounds(&destinations);
                    if bound > 0 {
                        let found =
                            format!("{bound} destinations with {OVERLOAD_BOUNDS} in set {} of {}", id.0, list.file);
                        root.warn(&found, &format!("a [[set]] with id = {} and overload_control = true", id.0));
                    }
                    self.names.sets.push((id, String::new(), 0));
                    self.sets.push(SetSpec::new(id, Algorithm::RoundRobin, destinations));
                }
            }
        }
    }
}

fn identity(section: &mut Section<'_>, names: &mut SetNames) -> (Option<u32>, String) {
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
    (id, name)
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

/// The destinations of `list`.
fn destinations(list: &Item<'_>, section: &Section<'_>, around: &Surroundings<'_>) -> Vec<DestinationSpec> {
    let items = list.one_or_list();
    if items.is_empty() {
        list.warn("an empty list", "at least one destination; requests to this set get 503");
    }
    let (mut uris, mut duids) = (BTreeSet::new(), BTreeSet::new());
    let mut destinations = Vec::new();
    for item in items {
        let Some(spec) = destination::read(&item, around) else {
            continue;
        };
        let socket = spec.socket.as_ref().map(|socket| socket.number);
        if !uris.insert((spec.uri.clone(), socket)) {
            item.warn(format!("{} again", spec.uri), "each URI once in a set; a larger share is a larger weight");
        }
        // The same duid in two sets is allowed, as in Kamailio: load and health belong to set and duid.
        if !spec.duid.is_empty() && !duids.insert(spec.duid.clone()) {
            item.refuse_because(format!("duid \"{}\" again", spec.duid), "a duid of its own for each destination");
        }
        destinations.push(spec);
    }
    warn_of_probing(section, &destinations, around.prober);
    destinations
}

fn warn_of_probing(section: &Section<'_>, destinations: &[DestinationSpec], prober: &ProberSettings) {
    let unprobed = |spec: &DestinationSpec| spec.probe.interval.unwrap_or(prober.interval).is_zero();
    let asked = |spec: &&DestinationSpec| spec.probe.flagged || (spec.inactive && !spec.probe.never);
    let count = destinations.iter().filter(asked).filter(|spec| unprobed(spec)).count();
    if count > 0 {
        let found = format!("{count} destinations with probing or inactive, which nothing probes");
        section.warn(&found, "interval_ms above 0 in [prober], or probe_interval_ms");
    }
    let count = destinations.iter().filter(|spec| spec.cc && (spec.probe.never || unprobed(spec))).count();
    if count > 0 {
        let found = format!("{count} destinations with cc that nothing probes, so that no congestion is seen");
        section.warn(&found, "interval_ms above 0 in [prober], or probe_interval_ms, and no probing = \"never\"");
    }
}

/// Whether the set has overload control: it says so, or its algorithm does.
fn overload_control(section: &mut Section<'_>, algorithm: Algorithm, destinations: &[DestinationSpec]) -> bool {
    let by_algorithm = algorithm == Algorithm::RoundRobinOverload;
    let item = section.item("overload_control");
    let said = item.as_ref().and_then(Item::as_flag);
    match (&item, said) {
        (Some(item), None) => item.refuse("true, false"),
        (Some(item), Some(false)) if by_algorithm => {
            item.refuse_because("false with algorithm round-robin-overload", "true, or algorithm = \"round-robin\"");
        }
        _ => {}
    }
    let bound = with_overload_bounds(destinations);
    if bound > 0 && !by_algorithm && said != Some(true) {
        let found =
            format!("{bound} destinations with {OVERLOAD_BOUNDS}, which count for nothing without overload control");
        section.warn(&found, "overload_control = true");
    }
    by_algorithm || said == Some(true)
}

fn with_overload_bounds(destinations: &[DestinationSpec]) -> usize {
    destinations.iter().filter(|spec| spec.overload != OverloadBounds::default()).count()
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

/// A key of `parallel` alone: any other algorithm tries one destination after the other.
fn branches_max(section: &mut Section<'_>, algorithm: Option<Algorithm>) -> usize {
    let Some(item) = section.item("branches_max") else {
        return limits::BRANCHES_DEFAULT;
    };
    // One that could not be read may be meant for it.
    if algorithm.is_some_and(|algorithm| algorithm != Algorithm::Parallel) {
        item.refuse_because(item.shown(), "no branches_max, or algorithm = \"parallel\"");
    }
    item.number(1..=limits::BRANCHES_MAX as i64, "").unwrap_or(limits::BRANCHES_DEFAULT)
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
    section.choice("when_exhausted", &EXHAUSTED, Exhausted::BestResponse)
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
