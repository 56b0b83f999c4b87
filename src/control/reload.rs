//! Another config: read, checked, compared, published; or none of it.
//!
//! # Policy
//!
//! - A file is taken whole, with the list or the table that it names, or not at all. What is wrong with it is told with file, line and
//!   key, in the answer and in the log.
//! - What was changed at run time (`dispatcher.add`, `modify`, `remove`, probing letters of `set_state`) lasts until the next reload; its
//!   differences say which of them it takes back.
//! - What operators said of destinations (disabled, draining) and what is known of them stays, by set and duid
//!   ([`crate::dispatcher::Table`]).
//! - A config that changes nothing publishes nothing.

use super::diff::{self, Diff};
use super::in_force::InForce;
use super::{Control, Fault, Value, fixed};
use crate::config::{self, Config, Problems};
use crate::dispatcher::Table;
use std::path::Path;
use std::sync::Arc;

/// Where a config comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The file that the process was started with, and the list file or the database's table that it names.
    File,
    /// This TOML; relative paths in it start where that file is.
    Text(String),
    /// What was in force before the last reload.
    Before,
}

/// What a reload came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// What differs from what was in force.
    pub diff: Diff,
    /// What is odd in the files, but no error.
    pub warnings: Vec<String>,
    /// Keys that differ and take effect with a restart.
    pub restart: Vec<&'static str>,
}

impl Control {
    /// Puts the config of `source` in force, after all changes that came before. The log tells what came of it, and of whose wish it was.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    pub async fn reload(self: &Arc<Self>, source: Source, wish_of: &'static str) -> Result<Outcome, Fault> {
        let _under_way = self.reloading.begin();
        let (is_file, is_read) = (source == Source::File, source != Source::Before);
        let make = move |_: &Self, now: &InForce| {
            let (next, outcome) = propose(now, source)?;
            let is_other = !outcome.diff.is_empty() || next.file.list_path != now.file.list_path;
            Ok((is_other.then_some(next), outcome))
        };
        let outcome = self.change(make).await;
        match &outcome {
            Ok(outcome) => {
                if is_read {
                    self.freshness.renew();
                }
                tell(outcome, wish_of);
                let summary = Value::from(outcome.diff.to_string());
                self.events().push("reloaded", vec![("by", Value::fixed(wish_of)), ("summary", summary)]);
            }
            Err(fault) => {
                if is_file {
                    self.freshness.fail();
                }
                tracing::error!(wish_of, "config not reloaded, what is in force stays: {}", fault.detail);
                let fault = Value::from(fault.detail.as_str());
                self.events().push("reload-failed", vec![("by", Value::fixed(wish_of)), ("fault", fault)]);
            }
        }
        outcome
    }

    /// What a reload of `source` would do now.
    ///
    /// # Errors
    /// As the reload itself.
    pub async fn try_reload(self: &Arc<Self>, source: Source) -> Result<Outcome, Fault> {
        let now = self.in_force();
        let work = tokio::task::spawn_blocking(move || {
            let (next, outcome) = propose(&now, source)?;
            // A table of its own: the states of the one in force stay untouched.
            Table::build(next.sets.to_vec(), None)
                .map_err(|error| Fault::refused(error.to_string(), "Reload Failed"))?;
            Ok(outcome)
        });
        work.await.unwrap_or_else(|error| Err(Fault::internal(format!("the comparison did not end: {error}"))))
    }
}

fn tell(outcome: &Outcome, wish_of: &'static str) {
    for warning in &outcome.warnings {
        tracing::warn!(%warning, "config");
    }
    for key in &outcome.restart {
        tracing::warn!(key, "changed, which takes effect with a restart: restart needed");
    }
    let changes = outcome.diff.to_string();
    tracing::info!(wish_of, changes, "config reloaded");
}

/// What would be in force, and how it differs from `now`.
fn propose(now: &InForce, source: Source) -> Result<(InForce, Outcome), Fault> {
    if source == Source::Before {
        let none = || Fault::refused("there is no config before this one", "Reload Failed");
        let (file, sets) = now.before.clone().ok_or_else(none)?;
        return Ok(compared(now, file, sets, Vec::new(), Vec::new()));
    }
    let (config, restart) = fixed::keep(&now.file, read(now, source)?)?;
    let warnings = config.warnings.iter().map(ToString::to_string).collect();
    let sets = Arc::new(config.sets.clone());
    Ok(compared(now, Arc::new(config), sets, warnings, restart))
}

fn compared(
    now: &InForce,
    file: Arc<Config>,
    sets: Arc<Vec<crate::dispatcher::SetSpec>>,
    warnings: Vec<String>,
    restart: Vec<&'static str>,
) -> (InForce, Outcome) {
    let before = Some((Arc::clone(&now.file), Arc::clone(&now.sets)));
    let next = InForce { file, sets, before };
    let diff = diff::between(now, &next);
    (next, Outcome { diff, warnings, restart })
}

fn read(now: &InForce, source: Source) -> Result<Config, Fault> {
    let path = now.file.path.as_deref();
    match (source, path) {
        (Source::Text(text), path) => {
            let beside = path.unwrap_or(Path::new("")).with_file_name("config.apply");
            let config = config::parse(&text, &beside.display().to_string()).map_err(unusable)?;
            Ok(Config { path: path.map(Path::to_owned), ..config })
        }
        (_, Some(path)) => config::load(path).map_err(unusable),
        (_, None) => Err(Fault::refused(
            "the process was started without a config file: there is none to reload",
            "Reload Failed",
        )),
    }
}

fn unusable(problems: Problems) -> Fault {
    Fault::refused(problems.to_string(), "Reload Failed")
}
