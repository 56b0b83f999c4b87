//! Where results go: to people as aligned text, with colour on a terminal alone; to programs as the method's own result.

use super::client::{Failure, Outcome};
use serde_json::Value as Json;
use std::io::{self, IsTerminal, Write};

/// Standard output and how it is written to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// For a program: JSON.
    pub(super) json: bool,
    /// On a terminal.
    pub(super) terminal: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal() }
    }

    /// Shows the result of a method: as it is, or as `text` has it.
    pub(super) fn show(self, result: &Json, text: impl FnOnce(&Json) -> String) -> Outcome<()> {
        if self.json { self.line(&format!("{result:#}")) } else { self.text(&text(result)) }
    }

    /// Writes one line.
    pub(super) fn line(self, text: &str) -> Outcome<()> {
        self.text(&format!("{text}\n"))
    }

    /// Writes text as it is.
    pub(super) fn text(self, text: &str) -> Outcome<()> {
        let mut out = io::stdout().lock();
        // A reader that has gone (`| head`) has what it wanted.
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Failure::Unread)
    }
}
