//! How a config differs from the one in force, destination by destination, in the words of the config file.

use super::diff_fields::{destination_fields, prober_fields, set_fields};
use super::in_force::InForce;
use crate::dispatcher::{DestinationSpec, SetId, SetSpec, duids};
use core::fmt;
use std::collections::BTreeMap;

/// What happens to something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It comes.
    Added,
    /// It goes; its calls go on.
    Removed,
    /// It stays, with all that is known of it, and something about it is another.
    Changed,
}

impl Change {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One key: its name, what it was, and what it will be.
pub type Field = (&'static str, String, String);

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What happens.
    pub change: Change,
    /// Of which set; none: rules, `default_set` or `[prober]`.
    pub set: Option<SetId>,
    /// Of which destination of it, by duid, and its URI; none: the set itself.
    pub destination: Option<(String, String)>,
    /// Whether it takes back what was changed at run time.
    pub reverts: bool,
    /// The keys that change.
    pub fields: Vec<Field>,
}

/// All differences.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diff {
    /// One by one: sets and their destinations in the order of their numbers and names, then the rest.
    pub lines: Vec<Line>,
}

impl Diff {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn count(&self, change: Change) -> usize {
        self.lines.iter().filter(|line| line.change == change).count()
    }
}

impl fmt::Display for Diff {
    /// `2 added, 1 removed, 3 changed, of which 1 takes back what was changed at run time`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changed");
        }
        let [added, removed, changed] =
            [Change::Added, Change::Removed, Change::Changed].map(|change| self.count(change));
        write!(f, "{added} added, {removed} removed, {changed} changed")?;
        match self.lines.iter().filter(|line| line.reverts).count() {
            0 => Ok(()),
            count => write!(f, ", {count} of which take back what was changed at run time"),
        }
    }
}

/// How `next` differs from `now`.
pub(super) fn between(now: &InForce, next: &InForce) -> Diff {
    let (from, to, file) = (Named::new(&now.sets), Named::new(&next.sets), Named::new(&now.file.sets));
    let mut lines = Vec::new();
    sets(&from, &to, &file, &mut lines);
    destinations(&from, &to, &file, &mut lines);
    lines.sort_by(|a, b| (a.set, &a.destination).cmp(&(b.set, &b.destination)));
    let mut fields = prober_fields(&now.file.prober, &next.file.prober);
    let (before, after) = (now.file.rules.len(), next.file.rules.len());
    if now.file.rules != next.file.rules {
        fields.push(("rule", format!("{before} rules"), format!("{after} rules")));
    }
    let named = |set: Option<SetId>| set.map_or_else(|| String::from("none"), |set| set.0.to_string());
    if now.file.default_set != next.file.default_set {
        fields.push(("default_set", named(now.file.default_set), named(next.file.default_set)));
    }
    if !fields.is_empty() {
        lines.push(Line { change: Change::Changed, set: None, destination: None, reverts: false, fields });
    }
    Diff { lines }
}

/// Sets and destinations by their stable names.
struct Named<'a> {
    sets: BTreeMap<SetId, &'a SetSpec>,
    destinations: BTreeMap<(SetId, String), &'a DestinationSpec>,
}

impl<'a> Named<'a> {
    fn new(sets: &'a [SetSpec]) -> Self {
        let mut destinations = BTreeMap::new();
        for set in sets {
            // Sets with the same duid twice were refused before they came here.
            let names = duids(set).unwrap_or_default();
            destinations.extend(names.into_iter().zip(&set.destinations).map(|(name, spec)| ((set.id, name), spec)));
        }
        Self { sets: sets.iter().map(|set| (set.id, set)).collect(), destinations }
    }
}

fn sets(from: &Named<'_>, to: &Named<'_>, file: &Named<'_>, lines: &mut Vec<Line>) {
    let mut push = |change, id: SetId, fields| {
        let reverts = !file.sets.contains_key(&id) && change == Change::Removed;
        lines.push(Line { change, set: Some(id), destination: None, reverts, fields });
    };
    for (id, set) in &to.sets {
        match from.sets.get(id) {
            None => push(Change::Added, *id, Vec::new()),
            Some(before) => {
                let fields = set_fields(before, set);
                if !fields.is_empty() {
                    push(Change::Changed, *id, fields);
                }
            }
        }
    }
    for id in from.sets.keys().filter(|id| !to.sets.contains_key(id)) {
        push(Change::Removed, *id, Vec::new());
    }
}

fn destinations(from: &Named<'_>, to: &Named<'_>, file: &Named<'_>, lines: &mut Vec<Line>) {
    let mut push = |change, (set, name): &(SetId, String), spec: &DestinationSpec, fields| {
        let key = (*set, name.clone());
        let reverts = from.destinations.get(&key) != file.destinations.get(&key);
        let destination = Some((name.clone(), spec.uri.clone()));
        lines.push(Line { change, set: Some(*set), destination, reverts, fields });
    };
    for (key, spec) in &to.destinations {
        match from.destinations.get(key) {
            None => push(Change::Added, key, spec, Vec::new()),
            Some(before) => {
                let fields = destination_fields(before, spec);
                if !fields.is_empty() {
                    push(Change::Changed, key, spec, fields);
                }
            }
        }
    }
    for (key, spec) in from.destinations.iter().filter(|(key, _)| !to.destinations.contains_key(key)) {
        push(Change::Removed, key, spec, Vec::new());
    }
}
