//! Reading `/proc` and `/sys`, or a tree that looks like them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `proc` and `sys` are. What is not there, or may not be read, is `None` or empty: a machine need not have everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// This machine.
    #[must_use]
    pub fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// The tree under this folder.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// What a file says, without white space at its ends.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.0.join(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a folder, in order, with the numbers in them read as numbers.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_by_key(|name| (name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(), suffix(name)));
        names
    }

    /// The numbers N of the entries `prefix`N of a folder, ascending.
    pub(super) fn numbers(&self, path: &str, prefix: &str) -> Vec<usize> {
        self.names(path).iter().filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect()
    }

    /// The last part of where a link leads.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.0.join(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }
}

fn suffix(name: &str) -> u64 {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name[name.len() - digits..].parse().unwrap_or(0)
}
