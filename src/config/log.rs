//! `[log]`: what is told, and how.

use super::reader::{Item, Section};

/// The log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSettings {
    /// Least important thing that is told.
    pub level: LogLevel,
    /// How and where it is told.
    pub format: LogFormat,
    /// Whether lines of text begin with their time.
    pub timestamps: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::default(), format: LogFormat::default(), timestamps: true }
    }
}

/// How and where things are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// Lines for people, to standard error.
    #[default]
    Text,
    /// A JSON object to a line, to standard error.
    Json,
    /// Entries with fields, to systemd's journal by its own protocol.
    Journald,
}

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs somebody now.
    Error,
    /// What needs somebody some day.
    Warn,
    /// What changed.
    #[default]
    Info,
    /// Why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it, in the config file as in `tracing`'s filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Reads `[log]`.
pub(super) fn log(mut section: Section<'_>) -> LogSettings {
    let levels = [LogLevel::Off, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let level = section.choice("level", &levels.map(|level| (level.as_str(), level)), LogLevel::default());
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json), ("journald", LogFormat::Journald)];
    let format = section.choice("format", &formats, LogFormat::default());
    let item = section.item("timestamps");
    let timestamps = item.as_ref().and_then(Item::flag).unwrap_or(true);
    if let Some(item) = item.filter(|_| format != LogFormat::Text && !timestamps) {
        item.refuse_because(
            "false with another format than text",
            "true: an object and an entry of the journal always have their time",
        );
    }
    section.finish();
    LogSettings { level, format, timestamps }
}
