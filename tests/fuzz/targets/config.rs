//! A config: refused with problems that name their place, or so good that its table can be built and that it says the same again.

use siplane::config;
use siplane::dispatcher::Table;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    // No file and no database that the fuzzer names is opened, however it spells the key.
    if text.contains('\\') || ["database", "dispatcher_list"].iter().any(|key| text.contains(key)) {
        return;
    }
    match config::parse(text, "fuzz.toml") {
        Ok(config) => {
            assert!(!config.warnings.has_errors() && !config.settings.listen.is_empty() && !config.sets.is_empty());
            Table::build(config.sets.clone(), None).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
            assert_eq!(config::parse(text, "fuzz.toml"), Ok(config));
        }
        Err(problems) => {
            assert!(problems.has_errors());
            let lines = text.split('\n').count();
            for problem in &problems {
                assert!(problem.line <= lines && !problem.to_string().is_empty(), "{problem}");
            }
        }
    }
}
