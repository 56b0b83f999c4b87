//! `[log]`: what is told, and how.

use super::*;

fn log(text: &str) -> String {
    root_problems(&format!("[log]\n{text}"))
}

#[test]
fn level_and_format_are_words() {
    let text = format!("{LISTEN}[log]\nlevel = \"debug\"\nformat = \"text\"\ntimestamps = false\n{SET}");
    let expected = LogSettings { level: LogLevel::Debug, format: LogFormat::Text, timestamps: false };
    assert_eq!(config(&text).log, expected);
    for (word, format) in [("json", LogFormat::Json), ("journald", LogFormat::Journald)] {
        let text = format!("{LISTEN}[log]\nformat = \"{word}\"\ntimestamps = true\n{SET}");
        assert_eq!(config(&text).log, LogSettings { format, ..LogSettings::default() });
    }
    let told = "f:3: log.format: found \"jsn\", allowed: text, json, journald (did you mean \"json\"?)";
    assert_eq!(log("format = \"jsn\""), told);
    assert_eq!(log("timestamps = 1"), "f:3: log.timestamps: found 1, allowed: true, false");
}

#[test]
fn what_always_has_its_time_cannot_be_without() {
    for format in ["json", "journald"] {
        let told = log(&format!("format = \"{format}\"\ntimestamps = false"));
        let start = "f:4: log.timestamps: found false with another format than text, allowed: true";
        assert!(told.starts_with(start), "{told}");
    }
}
