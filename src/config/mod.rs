//! What a config file means.
//!
//! - The file is TOML. Every key but `listen` and, in a set, `id` and `destinations` has a default, and the default is
//!   what `config/siplane.toml` shows; a test holds the two together.
//! - All problems of a file are told at once, each with its line. Only a file that is not TOML stops at the first.
//! - An unknown key is an error, with the nearest known one. Nothing is read and then ignored.
//! - A file with an error gives no [`Config`] at all; odd but usable things are [`Config::warnings`].
//! - Sets may also come from Kamailio's `dispatcher.list`, which `dispatcher_list` names. Its problems are told behind
//!   those of the config, each with its own file's name; a line of it that cannot be used is left out.
//! - Or from Kamailio's `dispatcher` table in a database, which `[database]` names. A database that does not answer is an
//!   error of the config: at start there is nothing to start with, and a reload leaves what is in force.
//! - Nothing here looks at the machine: which cores exist and which addresses can be bound is found out at start.

mod added;
mod address;
mod algorithm;
mod chain;
mod codes;
mod control;
mod convert;
mod database;
mod database_read;
mod destination;
mod io;
mod list_destination;
mod list_file;
mod list_line;
mod list_socket;
mod log;
mod passive;
mod probe_method;
mod problem;
mod process;
mod reader;
mod report;
mod rule;
mod set;
mod socket;
mod table;
#[cfg(test)]
mod tests;
mod uri;

pub use added::{Added, added};
pub use algorithm::algorithm_name;
pub use control::{ControlSettings, HttpSettings, Role, TlsSettings};
pub use destination::{ATTRS_BYTES_MAX, CALLS_PER_SECOND_MAX, MAXLOAD_MAX, WEIGHT_MAX};
pub use io::{EngineWish, IoSettings, SteeringWish};
pub use log::{LogFormat, LogLevel, LogSettings};
pub use passive::PANIC_RULES;
pub use problem::{Kind, Problem, Problems};
pub use process::PROBE_POLICIES;
pub use report::LOAD_SOURCES;
pub use set::EXHAUSTED;

use crate::dispatcher::{SetId, SetSpec};
use crate::proxy::settings::{Rule, Settings, SocketId};
use core::time::Duration;
use list_file::ListSurroundings;
use reader::{Section, Source};
use set::ListSets;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::DeTable;

/// The config that is used when no file is named: `config/siplane.toml`, which documents every key.
pub const BUILT_IN: &str = include_str!("../../config/siplane.toml");

/// Bytes of a file that are read at most; an error beyond it.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Everything that a config file says.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What is fixed while the process runs.
    pub settings: Settings,
    /// The sets in file order; at least one.
    pub sets: Vec<SetSpec>,
    /// The rules in file order.
    pub rules: Vec<Rule>,
    /// Where a request goes that no rule takes. Unless the file says: the only set when there is one set and no rule,
    /// otherwise none.
    pub default_set: Option<SetId>,
    /// The listen address that requests to destinations without one of their own leave by (Kamailio's `ds_default_socket`);
    /// [`Config::sets`] have it.
    pub default_socket: Option<SocketId>,
    /// How many shards there are, and where.
    pub shards: ShardsPlan,
    /// How they reach the kernel.
    pub io: IoSettings,
    /// Probing.
    pub prober: ProberSettings,
    /// How long a process that shuts down waits for its calls' transactions.
    pub shutdown_timeout: Duration,
    /// The log.
    pub log: LogSettings,
    /// The doors of the control side.
    pub control: ControlSettings,
    /// The file that it was read from; none: it was no file.
    pub path: Option<PathBuf>,
    /// The list file that it names, as it is found from here.
    pub list_path: Option<PathBuf>,
    /// The table that sets were read from, without its password; none: no table was.
    pub database: Option<String>,
    /// What is odd in the file, but no error.
    pub warnings: Problems,
}

/// How many shards there are, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ShardsPlan {
    /// One on every physical core that the process may use but the prober's, which counts as free while it has another hyperthread; one
    /// in all if there is no other core.
    #[default]
    Auto,
    /// This many, 1 to [`crate::limits::SHARDS_MAX`], on the first physical cores that are not the prober's, then on their hyperthreads.
    Count(usize),
    /// One on each of these cores: at least one, each once, at most [`crate::limits::SHARDS_MAX`].
    Cores(Vec<usize>),
}

/// Which destinations are probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbePolicy {
    /// All that no operator has disabled (Kamailio 1).
    All,
    /// Those with `probing = true` (Kamailio 3, and 0 without its fault of probing once).
    Flagged,
    /// Those that are out (Kamailio 2).
    WhenInactive,
}

/// How destinations are probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProberSettings {
    /// The prober's core, which may also be a shard's; `None`: the last one that the process may use.
    pub core: Option<usize>,
    /// Time from one probe of a destination to the next; zero: nothing is probed.
    pub interval: Duration,
    /// Longest wait for the answer to a probe.
    pub timeout: Duration,
    /// Method of a probe (Kamailio's `ds_ping_method`).
    pub method: String,
    /// From URI of a probe, without angle brackets.
    pub from: String,
    /// Failed probes in a row that make a destination inactive; at least 1 (Kamailio's `ds_probing_threshold`).
    pub probing_threshold: u32,
    /// Good probes in a row that make an inactive destination active; at least 1 (Kamailio's `ds_inactive_threshold`).
    pub inactive_threshold: u32,
    /// The listen address of probes to destinations that name none (Kamailio's `ds_ping_socket`); [`Config::sets`] have it.
    pub socket: Option<SocketId>,
    /// Final codes 300-699 that are as good as a 2xx, in ascending order.
    pub reply_codes: Vec<u16>,
    /// Which destinations are probed (Kamailio's `ds_probing_mode`).
    pub policy: ProbePolicy,
    /// Weight of a new sample in the latency estimate, of a thousand, 1-999 (Kamailio's `ds_latency_estimator_alpha`).
    pub latency_weight_permille: u16,
}

impl Default for ProberSettings {
    fn default() -> Self {
        Self {
            core: None,
            interval: Duration::ZERO,
            timeout: Duration::from_secs(2),
            method: String::from("OPTIONS"),
            from: String::from("sip:siplane@localhost"),
            probing_threshold: 2,
            inactive_threshold: 2,
            socket: None,
            reply_codes: Vec::new(),
            policy: ProbePolicy::All,
            latency_weight_permille: 100,
        }
    }
}

/// Reads the file at `path`, and the list file that it names.
///
/// # Errors
///
/// All [`Problems`] of the files, of which at least one is an error; a file that cannot be read is one.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let file_name = path.display().to_string();
    let config = parse(&text_of(path, &file_name)?, &file_name)?;
    Ok(Config { path: Some(path.to_owned()), ..config })
}

/// The control socket that the config at `path` names, if any. Nothing else of it is looked at: neither a mistake elsewhere nor a database
/// that is down keeps anybody from asking a siplane that runs.
///
/// # Errors
///
/// The file cannot be read, is no TOML, or has something else in that place.
pub fn control_socket(path: &Path) -> Result<Option<PathBuf>, Problems> {
    let file_name = path.display().to_string();
    let text = text_of(path, &file_name)?;
    let source = Source::new(&text, &file_name);
    let Some(table) = document(&source, &text) else { return Err(source.into_problems()) };
    let socket = control::socket(&mut Section::root(&source, table.get_ref()).section("control"));
    let problems = source.into_problems();
    if problems.has_errors() { Err(problems) } else { Ok(socket) }
}

/// Reads `text`; problems call it `file_name`. A list file with a relative path is looked for beside that.
///
/// # Errors
///
/// All [`Problems`] of the text, of which at least one is an error.
pub fn parse(text: &str, file_name: &str) -> Result<Config, Problems> {
    parse_with(text, file_name, Outside { file: &read, table: &database_read::rows })
}

/// The TOML that means what the `dispatcher.list` at `path` means; comments tell what was odd there.
///
/// # Errors
///
/// All [`Problems`] of the list, if it cannot be used as a whole; a file that cannot be read is one.
pub fn convert(path: &Path) -> Result<String, Problems> {
    let file_name = path.display().to_string();
    let bytes = read(path).map_err(|error| unusable(&file_name, &error, "a file that can be read"))?;
    convert::to_toml(&String::from_utf8_lossy(&bytes), &file_name)
}

/// How a file that the config names is read: its bytes, or why not.
type ReadFile<'r> = &'r dyn Fn(&Path) -> Result<Vec<u8>, String>;

/// What lies outside of the config's text.
#[derive(Clone, Copy)]
struct Outside<'r> {
    file: ReadFile<'r>,
    table: database::ReadTable<'r>,
}

fn parse_with(text: &str, file_name: &str, outside: Outside<'_>) -> Result<Config, Problems> {
    let source = Source::new(text, file_name);
    let Some(table) = document(&source, text) else { return Err(source.into_problems()) };
    let beside = Path::new(file_name).parent().unwrap_or(Path::new(""));
    let (config, list_problems) = config(Section::root(&source, table.get_ref()), beside, outside);
    let problems = source.into_problems().followed_by(list_problems);
    if problems.has_errors() { Err(problems) } else { Ok(Config { warnings: problems, ..config }) }
}

/// The document, or its problem is noted.
fn document<'t>(source: &Source<'_>, text: &'t str) -> Option<Spanned<DeTable<'t>>> {
    let note = |error: &toml::de::Error| {
        let offset = error.span().map_or(0, |span| span.start);
        source.note(offset, "", format!("no TOML: {}", error.message()), String::new(), Kind::Error);
    };
    DeTable::parse(text).inspect_err(note).ok()
}

/// The config, and the problems of its list file or its table.
fn config(mut root: Section<'_>, beside: &Path, outside: Outside<'_>) -> (Config, Problems) {
    let settings = process::settings(&mut root);
    let default = socket::by_either(&mut root, ["default_socket", "default_sockname"], &settings.listen);
    let prober = process::prober(root.section("prober"), &settings.listen);
    let list_around = ListSurroundings { listen: &settings.listen, probes: !prober.interval.is_zero() };
    let wish = database::database(&mut root, beside, outside.file);
    let database = wish.as_ref().and_then(|wish| wish.table.as_ref()).map(ToString::to_string);
    let (list, list_problems) = match wish {
        Some(wish) => table(&mut root, wish, outside.table, list_around),
        None => list(&mut root, beside, outside.file, list_around),
    };
    let list_path = list.as_ref().filter(|_| database.is_none()).map(|list| PathBuf::from(&list.file));
    let list_path = list_path.filter(|path| !path.as_os_str().is_empty());
    let around = set::Surroundings { listen: &settings.listen, timers: &settings.timers, prober: &prober };
    let (mut sets, names) = set::sets(&mut root, &around, list);
    let default_socket = default.map(|(_, number)| number);
    let defaults = socket::Defaults { own: default_socket, ping: prober.socket.map(|socket| socket.0) };
    defaults.apply(&mut sets, &settings.listen);
    let rules = rule::rules(&mut root, &names);
    let default_set = match root.item("default_set") {
        Some(item) => names.resolve(&item),
        None => only_set(&sets, &rules),
    };
    let config = Config {
        settings,
        sets,
        rules,
        default_set,
        default_socket: default_socket.map(SocketId),
        shards: process::shards(&mut root),
        io: io::io(root.section("io")),
        prober,
        shutdown_timeout: root.seconds("shutdown_timeout_s", 0..=86_400, Duration::from_secs(30)),
        log: log::log(root.section("log")),
        control: control::control(root.section("control")),
        path: None,
        list_path,
        database,
        warnings: Problems::default(),
    };
    root.finish();
    (config, list_problems)
}

/// The list file that `dispatcher_list` names, if it does.
fn list(
    root: &mut Section<'_>,
    beside: &Path,
    read_file: ReadFile<'_>,
    around: ListSurroundings<'_>,
) -> (Option<ListSets>, Problems) {
    let Some(item) = root.item("dispatcher_list") else {
        return (None, Problems::default());
    };
    let allowed = "a file like \"/etc/kamailio/dispatcher.list\"";
    let Some(path) = item.text(allowed).map(|text| beside.join(text)) else {
        return (Some(ListSets { file: String::new(), sets: None }), Problems::default());
    };
    let file = path.display().to_string();
    match read_file(&path) {
        Ok(bytes) => {
            let (sets, problems) = list_file::parse(&String::from_utf8_lossy(&bytes), &file, around);
            (Some(ListSets { file, sets: Some(sets) }), problems)
        }
        Err(error) => {
            item.refuse_because(format!("{file}: {error}"), "a file that can be read");
            (Some(ListSets { file, sets: None }), Problems::default())
        }
    }
}

/// The table that `[database]` names.
fn table(
    root: &mut Section<'_>,
    wish: database::Wish<'_>,
    read_table: database::ReadTable<'_>,
    around: ListSurroundings<'_>,
) -> (Option<ListSets>, Problems) {
    if let Some(item) = root.item("dispatcher_list") {
        item.refuse_because("dispatcher_list and [database]", "one of the two");
    }
    let Some(table) = wish.table else {
        return (Some(ListSets { file: String::new(), sets: None }), Problems::default());
    };
    let file = table.to_string();
    let (sets, problems) = match read_table(&table) {
        Ok(rows) => {
            let (sets, problems) = table::parse(&rows, &file, &table.columns, around);
            (Some(sets), problems)
        }
        Err(error) => {
            if let Some(item) = wish.item {
                item.refuse_because(
                    format!("{file}: {error}"),
                    "a table that can be read, version 4 of Kamailio's dispatcher",
                );
            }
            (None, Problems::default())
        }
    };
    (Some(ListSets { file, sets }), problems)
}

/// With one set and no rule there is only one way to mean it. A rule says that not everything goes to one place.
fn only_set(sets: &[SetSpec], rules: &[Rule]) -> Option<SetId> {
    match (sets, rules) {
        ([set], []) => Some(set.id),
        _ => None,
    }
}

fn text_of(path: &Path, file_name: &str) -> Result<String, Problems> {
    let bytes = read(path).map_err(|error| unusable(file_name, &error, "a file that can be read"))?;
    String::from_utf8(bytes).map_err(|error| not_utf8(&error.as_bytes()[..error.utf8_error().valid_up_to()], file_name))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too long from one that just fits.
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() > FILE_BYTES_MAX => Err(String::from("more than 64 MiB")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

fn unusable(file_name: &str, found: &str, allowed: &str) -> Problems {
    let (file, found, allowed) = (file_name.to_owned(), found.to_owned(), allowed.to_owned());
    let (line, column, key, suggestion, kind) = (0, 0, String::new(), None, Kind::Error);
    Problems::new(vec![Problem { file, line, column, key, found, allowed, suggestion, kind }])
}

fn not_utf8(valid: &[u8], file_name: &str) -> Problems {
    let valid = String::from_utf8_lossy(valid);
    let source = Source::new(&valid, file_name);
    source.note(valid.len(), "", "bytes that are not UTF-8".to_owned(), "UTF-8".to_owned(), Kind::Error);
    source.into_problems()
}
