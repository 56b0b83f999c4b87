//! `[database]`: which table of which database has destinations.

use super::ReadFile;
use super::reader::{Item, Section};
use super::table::{ColumnNames, Row};
use core::fmt;
use core::time::Duration;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::path::{Path, PathBuf};

const URL_ALLOWED: &str =
    "sqlite:///PATH, postgres://USER:PASSWORD@HOST/DATABASE or mysql://USER:PASSWORD@HOST/DATABASE";

/// How long a database may take, unless the file says.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Bytes of a name in PostgreSQL, the least of the three.
const NAME_BYTES_MAX: usize = 63;

/// How a table is read: its rows, or why not.
pub(super) type ReadTable<'r> = &'r dyn Fn(&DatabaseTable) -> Result<Vec<Row>, String>;

/// A table, and how it is reached. It has a password, and no `Debug` that would tell it.
pub(super) struct DatabaseTable {
    pub(super) place: DatabasePlace,
    /// The table's name, with its schema if that was given.
    pub(super) table: String,
    pub(super) columns: ColumnNames,
    /// The longest time for everything: connecting, asking, reading.
    pub(super) timeout: Duration,
}

/// Where a database is.
pub(super) enum DatabasePlace {
    /// A file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
    /// A MySQL or MariaDB server.
    Mysql(Box<MySqlConnectOptions>),
}

impl fmt::Display for DatabaseTable {
    /// The table for people: `table dispatcher of postgres://127.0.0.1:5432/kamailio`, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} of ", self.table)?;
        match &self.place {
            DatabasePlace::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            DatabasePlace::Postgres(server) => {
                server_name(f, "postgres", server.get_socket(), server.get_host(), server.get_port())?;
                write!(f, "/{}", server.get_database().unwrap_or_default())
            }
            DatabasePlace::Mysql(server) => {
                server_name(f, "mysql", server.get_socket(), server.get_host(), server.get_port())?;
                write!(f, "/{}", server.get_database().unwrap_or_default())
            }
        }
    }
}

fn server_name(
    f: &mut fmt::Formatter<'_>,
    scheme: &str,
    socket: Option<&PathBuf>,
    host: &str,
    port: u16,
) -> fmt::Result {
    match socket {
        Some(socket) => write!(f, "{scheme}:{}", socket.display()),
        None => write!(f, "{scheme}://{host}:{port}"),
    }
}

/// What `[database]` asks for.
pub(super) struct Wish<'a> {
    /// The key that names the database, for what is wrong with it.
    pub(super) item: Option<Item<'a>>,
    /// None: it cannot be told, which is noted.
    pub(super) table: Option<DatabaseTable>,
}

/// Reads `[database]`, if it is there. A file that it names is looked for in `beside`.
pub(super) fn database<'a>(root: &mut Section<'a>, beside: &Path, read_file: ReadFile<'_>) -> Option<Wish<'a>> {
    let mut section = root.item("database")?.section("a table, [database]")?;
    let (item, place) = url(&mut section, beside, read_file);
    let table = name(&mut section, "table", "dispatcher", 2);
    let mut column = |key, default| name(&mut section, key, default, 1);
    let columns = ColumnNames {
        set: column("setid_col", "setid"),
        destination: column("destination_col", "destination"),
        flags: column("flags_col", "flags"),
        priority: column("priority_col", "priority"),
        attrs: column("attrs_col", "attrs"),
    };
    let timeout = section.seconds("timeout_s", 1..=300, TIMEOUT_DEFAULT);
    section.finish();
    Some(Wish { item, table: place.map(|place| DatabaseTable { place, table, columns, timeout }) })
}

/// The key that has the URL, and what that names.
fn url<'a>(
    section: &mut Section<'a>,
    beside: &Path,
    read_file: ReadFile<'_>,
) -> (Option<Item<'a>>, Option<DatabasePlace>) {
    let (item, place) = match (section.item("url"), section.item("url_file")) {
        (Some(item), None) => {
            let place = item.as_text().map(|text| place(text, beside));
            (item, place.unwrap_or_else(|| Err(String::from("no text"))))
        }
        (None, Some(item)) => {
            let place = in_file(&item, beside, read_file).and_then(|text| place(text.trim(), beside));
            (item, place)
        }
        (None, None) => {
            section.refuse("url", "neither url nor url_file", URL_ALLOWED);
            return (None, None);
        }
        (Some(_), Some(item)) => {
            item.refuse_because("url and url_file", "one of the two");
            return (None, None);
        }
    };
    // Never the value itself: it may have a password.
    let place = place.map_err(|found| item.refuse_because(found, URL_ALLOWED)).ok();
    (Some(item), place)
}

fn in_file(item: &Item<'_>, beside: &Path, read_file: ReadFile<'_>) -> Result<String, String> {
    let path = beside.join(item.as_text().ok_or("no text")?);
    let bytes = read_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{}: no UTF-8", path.display()))
}

/// What a URL names; why not, without anything of it that could be a password.
fn place(url: &str, beside: &Path) -> Result<DatabasePlace, String> {
    let unusable = |error: sqlx::Error| {
        format!("no URL ({error}); characters like / @ : # of a password are written %2F %40 %3A %23")
    };
    let place = match url.split_once(':') {
        Some(("sqlite", path)) => sqlite(path, beside)?,
        Some(("postgres" | "postgresql", _)) => DatabasePlace::Postgres(Box::new(url.parse().map_err(unusable)?)),
        Some(("mysql" | "mariadb", _)) => DatabasePlace::Mysql(Box::new(url.parse().map_err(unusable)?)),
        _ => return Err(String::from("none of these kinds of database")),
    };
    let name = match &place {
        DatabasePlace::Sqlite(_) => None,
        DatabasePlace::Postgres(server) => server.get_database(),
        DatabasePlace::Mysql(server) => server.get_database(),
    };
    // A / in a password ends the host: what is behind it must not be told as the name of a database.
    match name.is_some_and(|name| name.contains(['@', '/', ':'])) {
        true => {
            Err(String::from("a database's name with @ : or /; such characters of a password are written %40 %3A %2F"))
        }
        false => Ok(place),
    }
}

/// `//PATH`, `///PATH` and `PATH`; SQLAlchemy and Kamailio write an absolute one with four slashes.
fn sqlite(path: &str, beside: &Path) -> Result<DatabasePlace, String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = if path.starts_with("//") { &path[1..] } else { path };
    match path.is_empty() || path.contains('?') {
        true => Err(String::from("no path of a SQLite file, or parameters behind ?, of which there are none")),
        false => Ok(DatabasePlace::Sqlite(beside.join(path))),
    }
}

/// A name that needs no quotes in SQL, so that it can be nothing but a name there; of at most `parts` parts with dots between them.
fn name(section: &mut Section<'_>, key: &'static str, default: &str, parts: usize) -> String {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.len() <= NAME_BYTES_MAX
    };
    let Some(item) = section.item(key) else { return default.to_owned() };
    let text = item.as_text().unwrap_or_default();
    if text.split('.').count() > parts || !text.split('.').all(is_name) {
        item.refuse("a name of letters, digits and _, at most 63; a table may have its schema and a dot before it");
    }
    text.to_owned()
}
