//! What is wrong with a config file, said so that it can be put right without looking anything up: where, what was
//! found, what is allowed, and the nearest allowed word.

use core::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The file cannot be used.
    Error,
    /// The line or row is left out; the rest of the file or table can be used.
    LeftOut,
    /// The file can be used, but likely does not say what its author meant.
    Warning,
}

/// One thing that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file, as it was named to [`super::load`] or [`super::parse`].
    pub file: String,
    /// Line, from 1; 0: the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0: the file as a whole.
    pub column: usize,
    /// Dotted path of the key, lists counted from 0: `set[0].destinations[1].weight`; empty: the file as a whole.
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What may stand there, or the cure; empty where there is nothing to choose from.
    pub allowed: String,
    /// The allowed word nearest to what was found, when one is near.
    pub suggestion: Option<String>,
    /// Whether the file can be used all the same.
    pub kind: Kind,
}

impl fmt::Display for Problem {
    /// `config/siplane.toml:12: set[0].algorithm: found "x", allowed: a, b (did you mean "a"?)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(match self.kind {
            Kind::Error => "",
            Kind::LeftOut if self.line == 0 => ": left out",
            Kind::LeftOut => ": line left out",
            Kind::Warning => ": warning",
        })?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": found {}", self.found)?;
        if !self.allowed.is_empty() {
            write!(f, ", allowed: {}", self.allowed)?;
        }
        match &self.suggestion {
            Some(word) => write!(f, " (did you mean \"{word}\"?)"),
            None => Ok(()),
        }
    }
}

/// All problems of one file in the order of its lines, then those of the files that it names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// These problems, put into the order of lines and columns.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Self(problems)
    }

    /// These, and behind them those of another file.
    #[must_use]
    pub fn followed_by(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether the file cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.kind == Kind::Error)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub fn iter(&self) -> core::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = core::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    /// One per line, without a line feed after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Problems {}

/// Words less alike than this (Jaro-Winkler, 0 to 1) are not suggested: they would mislead more than they help.
const LIKENESS_MIN: f64 = 0.8;

/// The one of `words` that is most like `found`, if any is; the first of equals.
pub(super) fn nearest<'a>(found: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_ascii_lowercase().replace('-', "_");
    let mut best = None;
    let mut best_likeness = LIKENESS_MIN;
    // Two empty words are alike, and no help.
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        let likeness = strsim::jaro_winkler(&found, &word.to_ascii_lowercase().replace('-', "_"));
        if likeness > best_likeness {
            (best, best_likeness) = (Some(word), likeness);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_in_spite_of_case_dashes_typos_and_missing_units_and_nothing_far_is_suggested() {
        let words = ["round-robin", "random", "t1_ms", "shutdown_timeout_s"];
        for (found, suggested) in [
            ("round-robbin", Some("round-robin")),
            ("ROUND_ROBIN", Some("round-robin")),
            ("radnom", Some("random")),
            ("t1", Some("t1_ms")),
            ("shutdown-timeout", Some("shutdown_timeout_s")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, words), suggested, "{found}");
        }
    }
}
