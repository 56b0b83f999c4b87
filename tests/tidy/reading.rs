//! Reading Rust text well enough for the rules: what is code, what is a test, what a line names.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

/// One broken rule and its cure.
pub(crate) struct Complaint {
    pub(crate) place: String,
    pub(crate) line: usize,
    pub(crate) cure: String,
}

impl Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place, self.line, self.cure)
    }
}

/// One source file, read once.
pub(crate) struct Source {
    /// Path from the repository's root.
    pub(crate) path: String,
    /// The text as it stands.
    pub(crate) lines: Vec<String>,
    /// The same lines with comments, strings and chars blanked.
    pub(crate) code: Vec<String>,
    /// Per line: whether it belongs to a `#[cfg(test)]` item.
    pub(crate) test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let whole = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
        let mut test = test_lines(&code);
        test.iter_mut().for_each(|line| *line |= whole);
        Self { path: path.to_owned(), lines, code, test }
    }

    /// `sip` for `src/sip/scan.rs` and `src/sip.rs`.
    pub(crate) fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// Blanked product lines with their numbers from 1.
    pub(crate) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .iter()
            .zip(&self.test)
            .enumerate()
            .filter(|(_, (_, test))| !**test)
            .map(|(at, (code, _))| (at + 1, code.as_str()))
    }

    pub(crate) fn complaint(&self, line: usize, cure: impl Display) -> Complaint {
        Complaint { place: self.path.clone(), line, cure: cure.to_string() }
    }

    /// Whether `marker` stands on line `number` or within `above` lines over it.
    pub(crate) fn marked(&self, number: usize, above: usize, marker: &str) -> bool {
        self.lines[number.saturating_sub(1 + above)..number].iter().any(|line| line.contains(marker))
    }
}

impl Source {
    /// How many modules deep the file's items are: `super` leaves one of them. 1 for `src/sip.rs` and `src/sip/mod.rs`.
    pub(crate) fn depth(&self) -> usize {
        let parts = self.path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
        parts.filter(|part| !["mod", "lib", "main"].contains(part)).count()
    }
}

/// Product lines, a `use` that spans several as one at its first, so that its paths are whole.
pub(crate) fn statements(source: &Source) -> Vec<(usize, String)> {
    let (mut found, mut open) = (Vec::<(usize, String)>::new(), false);
    for (number, code) in source.product() {
        match found.last_mut().filter(|_| open) {
            Some((_, statement)) => statement.push_str(code),
            None => found.push((number, code.to_owned())),
        }
        open = (open || has_word(code, "use")) && !code.contains(';');
    }
    found
}

/// Top-level modules of ours that a statement names: `crate::x`, `siplane::x`, `crate::{x, y::Z}` or enough `super::`.
pub(crate) fn modules_named(code: &str, depth: usize) -> Vec<String> {
    let climb = "super::".repeat(depth.max(1));
    let mut found = Vec::new();
    for root in ["crate::", "siplane::", &climb] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            found.extend(first_segments(&code[at + root.len()..]));
        }
    }
    found
}

/// `a` of `a::b`, and `a`, `c` of `{a::{b, x}, c}`.
fn first_segments(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()];
    };
    let (mut depth, mut item, mut items) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    items.push(item);
    items.iter().map(|item| item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Whether `word` stands in `text` with no letter, digit or underscore at an end of it that is one itself.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let edge = |c: Option<char>| joins(c);
    text.match_indices(word).any(|(at, _)| {
        let left = edge(word.chars().next()) && joins(text[..at].chars().next_back());
        let right = edge(word.chars().next_back()) && joins(text[at + word.len()..].chars().next());
        !left && !right
    })
}

/// The type a line declares: struct, enum, trait, type or union.
pub(crate) fn type_named(code: &str) -> Option<&str> {
    let mut words =
        code.split_whitespace().skip_while(|word| word.starts_with("pub") || *word == "unsafe" || word.ends_with(')'));
    let keyword = words.next()?;
    let name = words.next().filter(|_| ["struct", "enum", "trait", "type", "union"].contains(&keyword))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// `CallTable` as `call_table`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Where on a line a function is declared; `fn(u8)` is a type.
pub(crate) fn function_start(code: &str) -> Option<usize> {
    code.match_indices("fn ")
        .map(|(at, _)| at)
        .find(|at| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Lines of the item that starts with `first`: to the brace that closes its body, or to the `;` of one without.
pub(crate) fn function_lines(first: &str, rest: &[String]) -> usize {
    let (mut depth, mut brackets, mut opened) = (0usize, 0i32, false);
    for (at, line) in std::iter::once(first).chain(rest.iter().map(String::as_str)).enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if !opened && brackets <= 0 => return at + 1,
                '{' => (depth, opened) = (depth + 1, true),
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if opened && depth == 0 {
                return at + 1;
            }
        }
    }
    1 + rest.len()
}

/// Per line: whether it lies in an item under `#[cfg(test)]` (or `#[cfg(all(test, …))]`).
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    for at in 0..code.len() {
        let marker = code[at].trim_start();
        if marker.starts_with("#[cfg(test)]") || marker.starts_with("#[cfg(all(test") {
            // Attribute brackets would count as the item's: start behind them.
            let rest = marker.split_once(")]").map_or("", |(_, rest)| rest);
            let end = (at + function_lines(rest, &code[at + 1..])).min(code.len());
            test[at..end].fill(true);
        }
    }
    test
}

/// `RFC 3261 §17.2.1` for every such place in a line's comment; `§17.2.1-17.2.3` counts as its first.
pub(crate) fn citations(line: &str) -> Vec<String> {
    let Some((_, comment)) = line.split_once("//") else { return Vec::new() };
    let mut found = Vec::new();
    for (at, _) in comment.match_indices("RFC ") {
        let rest = &comment[at + 4..];
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let mut after = rest[number.len()..].trim_start_matches(' ');
        while let Some(section) = after.strip_prefix('§') {
            let name: String = section.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
            found.push(format!("RFC {number} §{}", name.trim_end_matches('.')));
            after = section[name.len()..].trim_start_matches([',', ' ']);
        }
    }
    found
}

/// What the blanking is inside of.
enum Inside {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    RawText(usize),
}

/// The text with comments, strings and chars replaced by spaces; line breaks stay, so numbers do.
pub(crate) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at, mut inside) = (String::with_capacity(text.len()), 0, Inside::Code);
    while at < chars.len() {
        let (next, taken, shown) = step(&chars[at..], inside, at.checked_sub(1).map(|before| chars[before]));
        let piece = &chars[at..(at + taken).min(chars.len())];
        out.extend(piece.iter().map(|c| if shown || *c == '\n' { *c } else { ' ' }));
        (at, inside) = (at + taken, next);
    }
    out
}

/// One step of [`blank`]: what we are inside of next, how many chars were read, and whether they are code.
fn step(rest: &[char], inside: Inside, before: Option<char>) -> (Inside, usize, bool) {
    let starts = |word: &str| word.chars().enumerate().all(|(at, c)| rest.get(at) == Some(&c));
    match inside {
        Inside::Code if starts("//") => (Inside::LineComment, 2, false),
        Inside::Code if starts("/*") => (Inside::BlockComment(1), 2, false),
        Inside::Code if starts("\"") => (Inside::Text, 1, false),
        Inside::Code => match (raw_text(rest, before), char_literal(rest)) {
            (Some(hashes), _) => (Inside::RawText(hashes), rest.iter().take_while(|c| **c != '"').count() + 1, false),
            (None, Some(length)) => (Inside::Code, length, false),
            (None, None) => (Inside::Code, 1, true),
        },
        Inside::LineComment if starts("\n") => (Inside::Code, 1, true),
        Inside::BlockComment(depth) if starts("/*") => (Inside::BlockComment(depth + 1), 2, false),
        Inside::BlockComment(1) if starts("*/") => (Inside::Code, 2, false),
        Inside::BlockComment(depth) if starts("*/") => (Inside::BlockComment(depth - 1), 2, false),
        Inside::Text if starts("\\") => (Inside::Text, 2, false),
        Inside::Text if starts("\"") => (Inside::Code, 1, false),
        Inside::RawText(hashes) if starts(&format!("\"{}", "#".repeat(hashes))) => (Inside::Code, 1 + hashes, false),
        other => (other, 1, false),
    }
}

/// The number of `#` if a raw string starts here, its `r` no part of a longer name.
fn raw_text(rest: &[char], before: Option<char>) -> Option<usize> {
    let prefix = usize::from(matches!(rest.first(), Some('b' | 'c')));
    let fresh = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let hashes = rest.get(prefix + 1..)?.iter().take_while(|c| **c == '#').count();
    let quoted = rest.get(prefix) == Some(&'r') && rest.get(prefix + 1 + hashes) == Some(&'"');
    (fresh && quoted).then_some(hashes)
}

/// The length of a char literal here; a lifetime is none.
fn char_literal(rest: &[char]) -> Option<usize> {
    if rest.first() != Some(&'\'') {
        return None;
    }
    if rest.get(1) == Some(&'\\') {
        return rest.iter().skip(3).position(|c| *c == '\'').map(|at| at + 4);
    }
    (rest.get(2) == Some(&'\'')).then_some(3)
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file under `folder`, in the order of their paths.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found.iter().map(|path| Source::new(&relative(path), &fs::read_to_string(path).unwrap())).collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}
