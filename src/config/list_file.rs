//! Kamailio's `dispatcher.list`, read as it is: text in, destinations and problems with their lines out.
//!
//! - A line that cannot be used is told and left out, and the others are used, as Kamailio does (`ds_load_mode` 0). Only
//!   a set number without a URI makes the whole file an error, there as here.
//! - Destinations of equal priority keep the order of the file. Kamailio turns them round.
//! - A long line is one line. Kamailio cuts it after 1023 bytes and reads what is behind as another.
//! - A set with a weight on some lines has weight 0 on the others, as in Kamailio; one without any has 1 everywhere.
//! - Attributes are kept as written, also those that mean nothing here; these are told once in a file.

use super::list_destination::{self, Draft};
use super::list_line::{self, Columns, Line};
use super::problem::{Kind, Problem, Problems};
use crate::dispatcher::{DestinationSpec, SetId};
use crate::proxy::settings::Listen;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a line that Kamailio reads at once.
const KAMAILIO_LINE_BYTES: usize = 1_023;

/// What a list is checked against.
#[derive(Clone, Copy)]
pub(super) struct ListSurroundings<'a> {
    /// Our own addresses; with none, nothing is said of them.
    pub(super) listen: &'a [Listen],
    /// Whether what can be probed is probed.
    pub(super) probes: bool,
}

/// One set of a list.
#[derive(PartialEq, Debug)]
pub(super) struct ListSet {
    pub(super) id: SetId,
    pub(super) destinations: Vec<DestinationSpec>,
}

/// Reads `text`; problems call it `file`. The sets are in the order in which they first appear.
pub(super) fn parse(text: &str, file: &str, around: ListSurroundings<'_>) -> (Vec<ListSet>, Problems) {
    let mut notes = Notes::new(file);
    let mut reading = Reading::default();
    for (index, line) in text.lines().enumerate() {
        notes.place = Place::Line(index + 1);
        if line.len() > KAMAILIO_LINE_BYTES {
            let found = format!("a line of {} bytes, which Kamailio would read as several", line.len());
            notes.warn("", found, format!("at most {KAMAILIO_LINE_BYTES} bytes; it is read as one line here"));
        }
        match list_line::read(line) {
            Line::Nothing => {}
            Line::NoUri => notes.refuse("a set number and nothing else", "SET URI [FLAGS [PRIORITY [ATTRIBUTES]]]"),
            Line::Columns(columns) => reading.take(&columns, &mut notes, around),
        }
    }
    (reading.finish(&mut notes), notes.into_problems())
}

/// The destinations read so far.
#[derive(Default)]
pub(super) struct Reading {
    sets: Vec<DraftSet>,
    places: BTreeMap<SetId, usize>,
    uris: BTreeSet<(SetId, String, Option<u8>)>,
    duids: BTreeSet<(SetId, String)>,
}

impl Reading {
    /// Takes one destination, or tells why it is left out.
    pub(super) fn take(&mut self, columns: &Columns<'_>, notes: &mut Notes<'_>, around: ListSurroundings<'_>) {
        let Ok(id) = u32::try_from(columns.set.unwrap_or_default()).map(SetId) else {
            notes.leave_out("set", "a set number that is too large", format!("0 to {}", u32::MAX));
            return;
        };
        let draft = list_destination::read(columns, notes, around);
        // A line that does not even start with a number is no word about set 0.
        if draft.is_none() && columns.set.is_none() {
            return;
        }
        let index = self.set(id, notes);
        let Some(mut draft) = draft else { return };
        if columns.set.is_none() {
            notes.warn("set", "no set number, which is 0", "0 in front, if that is meant");
        }
        let socket = draft.spec.socket.as_ref().map(|socket| socket.number);
        if !self.uris.insert((id, draft.spec.uri.clone(), socket)) {
            let found = format!("{} again in set {}", draft.spec.uri, id.0);
            notes.warn("uri", found, "each URI once in a set; a larger share is a larger weight");
        }
        if !draft.spec.duid.is_empty() && !self.duids.insert((id, draft.spec.duid.clone())) {
            let found = format!("duid {} again in set {}, which is not used", draft.spec.duid, id.0);
            notes.warn("attrs.duid", found, "a duid of its own for each destination of a set");
            draft.spec.duid.clear();
        }
        self.sets[index].drafts.push(draft);
    }

    /// Where set `id` is; one that is new is there from now on, also without a destination.
    pub(super) fn set(&mut self, id: SetId, notes: &Notes<'_>) -> usize {
        *self.places.entry(id).or_insert_with(|| {
            self.sets.push(DraftSet { id, place: notes.place.clone(), drafts: Vec::new() });
            self.sets.len() - 1
        })
    }

    /// The sets, in the order in which they first appeared.
    pub(super) fn finish(self, notes: &mut Notes<'_>) -> Vec<ListSet> {
        self.sets.into_iter().map(|set| set.finish(notes)).collect()
    }
}

struct DraftSet {
    id: SetId,
    /// Where it first appears.
    place: Place,
    drafts: Vec<Draft>,
}

impl DraftSet {
    fn finish(self, notes: &mut Notes<'_>) -> ListSet {
        notes.place = self.place.clone();
        if self.drafts.is_empty() {
            let found = format!("set {} without a line that can be used", self.id.0);
            notes.warn("", found, "at least one destination; requests to this set get 503");
        }
        let sum: u64 = self.drafts.iter().filter_map(|draft| draft.weight).map(u64::from).sum();
        let weighted = self.missing("weight", |draft| draft.weight, notes);
        if weighted && sum != 100 {
            let found = format!("weights of set {} that sum to {sum}, not 100", self.id.0);
            notes.warn(
                "attrs.weight",
                found,
                "any sum: shares are in proportion here, Kamailio takes them for percent",
            );
        }
        let relative = self.missing("rweight", |draft| draft.rweight, notes);
        let destination = |draft: Draft| DestinationSpec {
            weight: draft.weight.unwrap_or(u32::from(!weighted)),
            rweight: draft.rweight.unwrap_or(u32::from(!relative)),
            ..draft.spec
        };
        ListSet { id: self.id, destinations: self.drafts.into_iter().map(destination).collect() }
    }

    /// Whether any line of the set has the attribute `name`; those that do not have it are told.
    fn missing(&self, name: &str, value: fn(&Draft) -> Option<u32>, notes: &mut Notes<'_>) -> bool {
        let with = self.drafts.iter().filter(|draft| value(draft).is_some()).count();
        let without = self.drafts.len() - with;
        if with > 0 && without > 0 {
            let found = format!("{without} destinations of set {} without {name}, while others have one", self.id.0);
            let cure = format!("{name}=N on each; 0, as without, is only for when the others fail");
            notes.warn(&format!("attrs.{name}"), found, cure);
        }
        with > 0
    }
}

/// Where something is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// A line, from 1; 0: the file as a whole.
    Line(usize),
    /// The row with this id.
    Row(String),
}

/// What is wrong with a list or a table, collected line by line.
pub(super) struct Notes<'f> {
    file: &'f str,
    /// What is read.
    pub(super) place: Place,
    /// What a table calls the columns of a list.
    columns: &'f [(&'f str, &'f str)],
    problems: Vec<Problem>,
    /// By reason: the index of the problem that tells of it, and how many lines more it holds for.
    repeated: BTreeMap<String, (usize, usize)>,
}

impl<'f> Notes<'f> {
    pub(super) fn new(file: &'f str) -> Self {
        Self { file, place: Place::Line(0), columns: &[], problems: Vec::new(), repeated: BTreeMap::new() }
    }

    /// Those of a table, which calls the columns of a list, `.0`, by names of its own, `.1`.
    pub(super) fn of_table(table: &'f str, columns: &'f [(&'f str, &'f str)]) -> Self {
        Self { columns, ..Self::new(table) }
    }

    /// Line and key: a row stands in the key, its id before the column's name.
    fn line_and_key(&self, key: &str) -> (usize, String) {
        let (column, rest) = key.split_at(key.find('.').unwrap_or(key.len()));
        let column = self.columns.iter().find(|(name, _)| *name == column).map_or(column, |(_, own)| own);
        match &self.place {
            Place::Line(line) => (*line, key.to_owned()),
            Place::Row(id) if key.is_empty() => (0, format!("row {id}")),
            Place::Row(id) => (0, format!("row {id}: {column}{rest}")),
        }
    }

    fn note(&mut self, key: &str, found: String, allowed: String, suggestion: Option<String>, kind: Kind) {
        let (file, (line, key)) = (self.file.to_owned(), self.line_and_key(key));
        self.problems.push(Problem { file, line, column: 1, key, found, allowed, suggestion, kind });
    }

    fn refuse(&mut self, found: &str, allowed: &str) {
        self.note("", found.to_owned(), allowed.to_owned(), None, Kind::Error);
    }

    /// The line cannot be used.
    pub(super) fn leave_out(&mut self, key: &str, found: impl Into<String>, allowed: impl Into<String>) {
        self.leave_out_near(key, found, allowed, None);
    }

    /// [`Self::leave_out`] with the word that was likely meant.
    pub(super) fn leave_out_near(
        &mut self,
        key: &str,
        found: impl Into<String>,
        allowed: impl Into<String>,
        near: Option<String>,
    ) {
        self.note(key, found.into(), allowed.into(), near, Kind::LeftOut);
    }

    /// The line can be used, but `found` is odd and `cure` would be better.
    pub(super) fn warn(&mut self, key: &str, found: impl Into<String>, cure: impl Into<String>) {
        self.warn_near(key, found, cure, None);
    }

    /// [`Self::warn`] with the word that was likely meant.
    pub(super) fn warn_near(
        &mut self,
        key: &str,
        found: impl Into<String>,
        cure: impl Into<String>,
        near: Option<String>,
    ) {
        self.note(key, found.into(), cure.into(), near, Kind::Warning);
    }

    /// [`Self::warn`] for what all lines of a file may have: it is told at the first, with the number of the others.
    pub(super) fn warn_once(&mut self, key: &str, found: &str, cure: &str) {
        match self.repeated.get_mut(found) {
            Some((_, more)) => *more += 1,
            None => {
                self.repeated.insert(found.to_owned(), (self.problems.len(), 0));
                self.warn(key, found, cure);
            }
        }
    }

    pub(super) fn into_problems(mut self) -> Problems {
        for (index, more) in self.repeated.into_values().filter(|(_, more)| *more > 0) {
            self.problems[index].found.push_str(&format!(" (and {more} times more below)"));
        }
        Problems::new(self.problems)
    }
}
