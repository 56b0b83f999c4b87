//! Walks a TOML document and keeps, for everything it meets, where it stands.
//!
//! Nothing here stops at a problem: it is noted, the key counts as absent, and reading goes on, so that one run tells
//! everything. A [`Section`] remembers which keys it was asked for: those are the allowed ones, and [`Section::finish`]
//! refuses all others. So there is no second list of keys that could disagree with what is read.

use super::problem::{Kind, Problem, Problems, nearest};
use core::cell::RefCell;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Characters of a value that a problem shows at most.
const SHOWN_CHARS_MAX: usize = 80;

/// The text of a file, and the problems found in it so far.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    /// Offset at which each line starts.
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { file, text, lines: core::iter::once(0).chain(starts).collect(), problems: RefCell::default() }
    }

    /// Notes a problem at byte `offset`.
    pub(super) fn note(&self, offset: usize, key: &str, found: String, allowed: String, kind: Kind) {
        self.note_near(offset, key, found, allowed, None, kind);
    }

    fn note_near(&self, at: usize, key: &str, found: String, allowed: String, near: Option<String>, kind: Kind) {
        let (line, column) = self.place(at);
        let (file, key) = (self.file.to_owned(), key.to_owned());
        self.problems.borrow_mut().push(Problem { file, line, column, key, found, allowed, suggestion: near, kind });
    }

    /// Line and column of byte `offset`, both from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// What stands at `span`, on one line and of bounded length.
    fn shown(&self, span: Range<usize>) -> String {
        let words: Vec<&str> = self.text.get(span).unwrap_or_default().split_whitespace().collect();
        let text = words.join(" ");
        match text.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((cut, _)) => format!("{} …", &text[..cut]),
            None => text,
        }
    }

    pub(super) fn into_problems(self) -> Problems {
        Problems::new(self.problems.into_inner())
    }
}

/// A value that is there.
#[derive(Clone)]
pub(super) struct Item<'a> {
    source: &'a Source<'a>,
    value: &'a Spanned<DeValue<'a>>,
    key: String,
}

impl<'a> Item<'a> {
    /// The value is none of what is `allowed`.
    pub(super) fn refuse(&self, allowed: impl Into<String>) {
        self.refuse_because(self.shown(), allowed);
    }

    /// The value is refused for what `found` says.
    pub(super) fn refuse_because(&self, found: impl Into<String>, allowed: impl Into<String>) {
        self.source.note(self.offset(), &self.key, found.into(), allowed.into(), Kind::Error);
    }

    /// The value is none of what is `allowed`, but may have been meant as `suggestion`.
    pub(super) fn refuse_near(&self, allowed: impl Into<String>, suggestion: Option<&str>) {
        let near = suggestion.map(str::to_owned);
        self.source.note_near(self.offset(), &self.key, self.shown(), allowed.into(), near, Kind::Error);
    }

    /// The value is used, but `found` is odd and `cure` would be better.
    pub(super) fn warn(&self, found: impl Into<String>, cure: impl Into<String>) {
        self.source.note(self.offset(), &self.key, found.into(), cure.into(), Kind::Warning);
    }

    /// [`Self::warn`] with the word that was likely meant.
    pub(super) fn warn_near(&self, found: impl Into<String>, cure: impl Into<String>, suggestion: Option<&str>) {
        let near = suggestion.map(str::to_owned);
        self.source.note_near(self.offset(), &self.key, found.into(), cure.into(), near, Kind::Warning);
    }

    /// The value as written.
    pub(super) fn shown(&self) -> String {
        self.source.shown(self.value.span())
    }

    /// Line of the value, from 1.
    pub(super) fn line(&self) -> usize {
        self.source.place(self.offset()).0
    }

    fn offset(&self) -> usize {
        self.value.span().start
    }

    /// The text, if this is one; nothing is noted otherwise.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// The integer, if this is one that 64 bits hold; nothing is noted otherwise.
    pub(super) fn as_integer(&self) -> Option<i64> {
        let integer = self.value.get_ref().as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// true or false, if this is one; nothing is noted otherwise.
    pub(super) fn as_flag(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    /// true or false.
    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.as_flag();
        if flag.is_none() {
            self.refuse("true, false");
        }
        flag
    }

    /// Whether this is a table; nothing is noted otherwise.
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// The text, or `allowed` is noted.
    pub(super) fn text(&self, allowed: &str) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.refuse(allowed);
        }
        text
    }

    /// The number within `range`, which `T` must hold; `more` is what else would be allowed, `""` or like `, or "auto"`.
    pub(super) fn number<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>, more: &str) -> Option<T> {
        let number =
            self.as_integer().filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.refuse(format!("{} to {}{more}", range.start(), range.end()));
        }
        number
    }

    /// The value that belongs to this word.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = self.as_text().and_then(|text| choices.iter().find(|(word, _)| *word == text));
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.refuse_near(words.join(", "), nearest(self.as_text().unwrap_or_default(), words));
        }
        chosen.map(|(_, value)| *value)
    }

    /// The values of a list; `allowed` is noted for anything else.
    pub(super) fn list(&self, allowed: &str) -> Vec<Item<'a>> {
        match self.value.get_ref() {
            DeValue::Array(array) => {
                array.iter().enumerate().map(|(index, value)| self.element(index, value)).collect()
            }
            _ => {
                self.refuse(allowed);
                Vec::new()
            }
        }
    }

    /// The values of a list, or this value alone.
    pub(super) fn one_or_list(&self) -> Vec<Item<'a>> {
        if self.value.get_ref().is_array() { self.list("") } else { vec![self.clone()] }
    }

    fn element(&self, index: usize, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        Item { source: self.source, value, key: format!("{}[{index}]", self.key) }
    }

    /// This table's keys; `allowed` is noted for anything else.
    pub(super) fn section(&self, allowed: &str) -> Option<Section<'a>> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.refuse(allowed);
            return None;
        };
        let (source, key) = (self.source, self.key.clone());
        Some(Section { source, table: Some(table), offset: self.offset(), key, asked: Vec::new() })
    }
}

/// A table of keys, read one by one.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    /// None: the table is not there, and every key of it is absent.
    table: Option<&'a DeTable<'a>>,
    offset: usize,
    key: String,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The document itself.
    pub(super) fn root(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self { source, table: Some(table), offset: 0, key: String::new(), asked: Vec::new() }
    }

    /// The value of `key`, if it is there.
    pub(super) fn item(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        let value = self.table?.get(key)?;
        Some(Item { source: self.source, value, key: self.path(key) })
    }

    /// The value of `key`; its absence is noted.
    pub(super) fn required(&mut self, key: &'static str, allowed: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.refuse(key, "nothing", allowed);
        }
        item
    }

    /// Notes that something is wrong with `key`, or with the section when `key` is empty.
    pub(super) fn refuse(&self, key: &str, found: &str, allowed: &str) {
        self.source.note(self.offset, &self.path(key), found.to_owned(), allowed.to_owned(), Kind::Error);
    }

    /// Notes that the section as a whole is odd.
    pub(super) fn warn(&self, found: &str, cure: &str) {
        self.source.note(self.offset, &self.key, found.to_owned(), cure.to_owned(), Kind::Warning);
    }

    fn path(&self, key: &str) -> String {
        let dot = if self.key.is_empty() || key.is_empty() { "" } else { "." };
        format!("{}{dot}{key}", self.key)
    }

    /// true or false; false if absent.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        self.item(key).and_then(|item| item.flag()).unwrap_or(false)
    }

    /// A number within `range`; `default` if absent.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, key: &'static str, range: RangeInclusive<i64>, default: T) -> T {
        self.item(key).and_then(|item| item.number(range, "")).unwrap_or(default)
    }

    /// Milliseconds within `range`; `default` if absent.
    pub(super) fn millis(&mut self, key: &'static str, range: RangeInclusive<i64>, default: Duration) -> Duration {
        self.item(key).and_then(|item| item.number(range, "")).map_or(default, Duration::from_millis)
    }

    /// Seconds within `range`; `default` if absent.
    pub(super) fn seconds(&mut self, key: &'static str, range: RangeInclusive<i64>, default: Duration) -> Duration {
        self.item(key).and_then(|item| item.number(range, "")).map_or(default, Duration::from_secs)
    }

    /// The value that belongs to a word; `default` if absent.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)], default: T) -> T {
        self.item(key).and_then(|item| item.choice(choices)).unwrap_or(default)
    }

    /// The table `[key]`; one without keys if it is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let absent = Section { source: self.source, table: None, offset: 0, key: self.path(key), asked: Vec::new() };
        self.item(key).and_then(|item| item.section(&format!("a table, [{key}]"))).unwrap_or(absent)
    }

    /// The tables `[[key]]`, at most `most` of them.
    pub(super) fn sections(&mut self, key: &'static str, most: usize) -> Vec<Section<'a>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let allowed = format!("tables, [[{key}]]");
        let items = item.list(&allowed);
        if items.len() > most {
            item.refuse_because(format!("{} tables", items.len()), format!("at most {most}"));
        }
        items.iter().take(most).filter_map(|item| item.section(&allowed)).collect()
    }

    /// Refuses every key that nobody asked for. To be called when all keys have been read.
    pub(super) fn finish(self) {
        for name in self.table.into_iter().flat_map(|table| table.keys()) {
            if !self.asked.iter().any(|asked| *asked == name.get_ref()) {
                let (found, allowed) = ("an unknown key".to_owned(), self.asked.join(", "));
                let near = nearest(name.get_ref(), self.asked.iter().copied()).map(str::to_owned);
                let path = self.path(name.get_ref());
                self.source.note_near(name.span().start, &path, found, allowed, near, Kind::Error);
            }
        }
    }
}
