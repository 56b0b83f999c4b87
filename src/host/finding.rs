//! What is said about the machine, one line each.

use core::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Could be better, or is worth knowing.
    Note,
    /// Costs calls, latency or throughput: to be cured before this machine carries traffic.
    Warn,
}

/// One thing that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is about, in a word or two.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// Why it matters; empty when it is as it should be.
    pub why: String,
    /// The command, or the line of the config, that cures it; empty when there is nothing to cure.
    pub cure: String,
}

impl Finding {
    pub(super) fn ok(subject: &str, found: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject: subject.to_owned(),
            found: found.into(),
            why: String::new(),
            cure: String::new(),
        }
    }

    pub(super) fn note(subject: &str, found: impl Into<String>, why: &str, cure: impl Into<String>) -> Self {
        Self { level: Level::Note, why: why.to_owned(), cure: cure.into(), ..Self::ok(subject, found) }
    }

    pub(super) fn warn(subject: &str, found: impl Into<String>, why: &str, cure: impl Into<String>) -> Self {
        Self { level: Level::Warn, ..Self::note(subject, found, why, cure) }
    }
}

impl fmt::Display for Finding {
    /// `warn  governor: "powersave" on cores 0-3; a core that has slowed down …; cure: cpupower …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warn => "warn",
        };
        write!(f, "{level:<4}  {}: {}", self.subject, self.found)?;
        if !self.why.is_empty() {
            write!(f, "; {}", self.why)?;
        }
        if !self.cure.is_empty() {
            write!(f, "; cure: {}", self.cure)?;
        }
        Ok(())
    }
}
