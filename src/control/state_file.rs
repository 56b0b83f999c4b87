//! What operators said of destinations, kept over restarts.
//!
//! # Policy
//!
//! - Kept is every admin state that is not what the config says: disabled, draining, or enabled in spite of `disabled = true`. By set
//!   and duid, with what the config said then: when that has changed since, the config has the newer word, as in a reload.
//! - The file is written anew beside itself, synced, and renamed: there is always a whole one.
//! - A file that cannot be read at start keeps nobody from starting: it is told, and put aside under another name.
//! - Health is evidence and is not kept: probes and calls find it out again.

use crate::config::ControlSettings;
use crate::dispatcher::{Admin, Destination, SetId, Table};
use crate::shard::clock;
use serde_json::{Value as Json, json};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct StateFile {
    path: Option<PathBuf>,
    written: Mutex<Option<String>>,
}

impl StateFile {
    /// The file at `path`, if there is to be one.
    pub(super) const fn new(path: Option<PathBuf>) -> Self {
        Self { path, written: Mutex::new(None) }
    }

    /// Writes what `text` gives, if that is another one than the last time. A failure is told: it undoes nothing of what was said.
    pub(super) fn save(&self, text: impl FnOnce() -> String) {
        let Some(path) = &self.path else { return };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text();
        if written.as_ref() == Some(&text) {
            return;
        }
        match write(path, &text) {
            Ok(()) => *written = Some(text),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "what operators said is not kept over a restart");
            }
        }
    }
}

/// The file's text for what was said of the destinations of `table`.
pub(super) fn text(table: &Table) -> String {
    let all = table.sets().iter().flat_map(|set| &set.destinations);
    let said = all.filter_map(|destination| {
        let admin = table.states().admin(destination.state);
        (admin != configured(destination)).then(|| record(destination, admin))
    });
    let records: Vec<String> = said.map(|record| format!("    {record}")).collect();
    format!("{{\n  \"version\": 1,\n  \"destinations\": [\n{}\n  ]\n}}\n", records.join(",\n"))
}

fn record(destination: &Destination, admin: Admin) -> Json {
    json!({
        "set": destination.set.0,
        "duid": destination.duid,
        "admin": admin.name(),
        "configured": configured(destination).name(),
    })
}

const fn configured(destination: &Destination) -> Admin {
    if destination.disabled { Admin::Disabled } else { Admin::Enabled }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Says of the destinations of `table` what operators said before the restart, if `settings` name a file. To be called before the first
/// call is.
pub fn restore(settings: &ControlSettings, table: &Table) {
    let Some(path) = &settings.state_file else { return };
    let read = match fs::read(path) {
        Ok(bytes) => read(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => Err(error.to_string()),
    };
    match read {
        Ok(said) => said.iter().for_each(|said| said.obey(table)),
        Err(error) => {
            tracing::error!(path = %path.display(), error, "what operators said before the restart is not known");
            // When even that cannot be done, the next change writes over it.
            let _ = fs::rename(path, path.with_extension("unreadable"));
        }
    }
}

/// What was said of one destination.
#[derive(Debug)]
struct Said {
    set: SetId,
    duid: String,
    admin: Admin,
    configured: Admin,
}

impl Said {
    fn obey(&self, table: &Table) {
        let set = table.set(self.set).map_or(&[][..], |set| &set.destinations);
        let known = set.iter().find(|destination| destination.duid == self.duid);
        match known.filter(|destination| configured(destination) == self.configured) {
            Some(destination) => {
                table.states().set_admin(destination.state, self.admin, clock::now());
            }
            None => {
                let (set, duid, admin) = (self.set.0, &self.duid, self.admin.name());
                tracing::warn!(
                    set,
                    duid,
                    admin,
                    "said before the restart of what is no longer there or configured otherwise"
                );
            }
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Said>, String> {
    let document: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document["version"] != 1 {
        return Err(format!("version: found {}, allowed: 1", document["version"]));
    }
    let records = document["destinations"].as_array().ok_or("destinations: found none, allowed: a list")?;
    records.iter().map(|record| said(record).ok_or_else(|| format!("destinations: found {record}"))).collect()
}

fn said(record: &Json) -> Option<Said> {
    let admin = |key: &str| {
        let word = record[key].as_str()?;
        [Admin::Enabled, Admin::Draining, Admin::Disabled].into_iter().find(|admin| admin.name() == word)
    };
    let set = SetId(u32::try_from(record["set"].as_u64()?).ok()?);
    let duid = record["duid"].as_str()?.to_owned();
    Some(Said { set, duid, admin: admin("admin")?, configured: admin("configured")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{Algorithm, DestinationSpec, SetSpec};

    fn table(disabled: [bool; 3]) -> Table {
        let destinations = disabled.iter().enumerate().map(|(number, disabled)| {
            let address = format!("127.0.0.{}:5060", number + 11);
            let duid = if number == 0 { String::new() } else { format!("gw{number}") };
            let spec = DestinationSpec::new(format!("sip:{address}"), address.parse().unwrap());
            DestinationSpec { duid, disabled: *disabled, ..spec }
        });
        Table::build(vec![SetSpec::new(SetId(1), Algorithm::Random, destinations.collect())], None).unwrap()
    }

    fn admins(table: &Table) -> Vec<Admin> {
        table.sets()[0].destinations.iter().map(|destination| table.states().admin(destination.state)).collect()
    }

    fn say(table: &Table, admins: [Admin; 3]) {
        for (destination, admin) in table.sets()[0].destinations.iter().zip(admins) {
            table.states().set_admin(destination.state, admin, clock::now());
        }
    }

    fn settings(name: &str) -> (PathBuf, ControlSettings) {
        let path = std::env::temp_dir().join(format!("siplane-state-{}-{name}.json", std::process::id()));
        (path.clone(), ControlSettings { state_file: Some(path), ..ControlSettings::default() })
    }

    #[test]
    fn what_was_said_comes_back_unless_the_config_has_a_newer_word() {
        let (path, settings) = settings("said");
        let before = table([false, false, true]);
        say(&before, [Admin::Draining, Admin::Disabled, Admin::Enabled]);
        let file = StateFile::new(settings.state_file.clone());
        file.save(|| text(&before));
        let after = table([false, false, true]);
        restore(&settings, &after);
        assert_eq!(admins(&after), [Admin::Draining, Admin::Disabled, Admin::Enabled]);
        let other = table([true, false, false]);
        restore(&settings, &other);
        assert_eq!(admins(&other), [Admin::Disabled, Admin::Disabled, Admin::Enabled]);
        // What is as configured needs no word.
        say(&before, [Admin::Enabled, Admin::Enabled, Admin::Disabled]);
        file.save(|| text(&before));
        assert!(read(&fs::read(&path).unwrap()).unwrap().is_empty());
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_put_aside_and_nothing_is_said() {
        for text in
            ["", "{", "{}", "{\"version\": 2}", "{\"version\": 1}", "{\"version\":1,\"destinations\":[{\"set\":1}]}"]
        {
            let (path, settings) = settings("unreadable");
            fs::write(&path, text).unwrap();
            let table = table([false; 3]);
            restore(&settings, &table);
            assert_eq!(admins(&table), [Admin::Enabled; 3], "{text}");
            assert!(!path.exists());
            fs::remove_file(path.with_extension("unreadable")).unwrap();
        }
    }

    #[test]
    fn the_same_text_is_not_written_twice() {
        let (path, settings) = settings("same");
        let file = StateFile::new(settings.state_file);
        file.save(|| String::from("a"));
        fs::remove_file(&path).unwrap();
        file.save(|| String::from("a"));
        assert!(!path.exists());
        file.save(|| String::from("b"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
        fs::remove_file(&path).unwrap();
    }
}
