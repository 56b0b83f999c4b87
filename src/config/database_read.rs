//! Reads the rows of a table, on a thread of its own, within its time.

use super::database::{DatabasePlace, DatabaseTable};
use super::table::Row;
use crate::limits;
use core::time::Duration;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};

/// Kamailio's version of the table that has these columns.
const TABLE_VERSION: &str = "4";

/// The rows of `table`, in the order of their ids.
///
/// # Errors
///
/// Why they could not be read, for people.
pub(super) fn rows(table: &DatabaseTable) -> Result<Vec<Row>, String> {
    // Whoever asks may be in a runtime, which would not let another one begin on its thread.
    std::thread::scope(|scope| scope.spawn(|| rows_here(table)).join())
        .unwrap_or_else(|_| Err(String::from("the database client panicked")))
}

fn rows_here(table: &DatabaseTable) -> Result<Vec<Row>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let answer = runtime.block_on(async { tokio::time::timeout(table.timeout, ask(table)).await });
    // A name that is still looked up is not waited for.
    runtime.shutdown_background();
    let rows = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", table.timeout.as_secs())))?;
    match rows.len() > limits::DESTINATIONS_MAX {
        true => Err(format!("more than {} rows", limits::DESTINATIONS_MAX)),
        false => Ok(rows),
    }
}

/// Asks through one connection for the version of the table, and then for its rows.
macro_rules! ask_through {
    ($options:expr, $table:expr, $text:literal) => {{
        let mut connection = $options.disable_statement_logging().connect().await.map_err(said)?;
        let sql = version_sql($table, $text);
        let found = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_optional(&mut connection).await;
        let found = found.map_err(|error| format!("its version: {}", said(error)))?;
        check_version(found.map(|row| row.try_get(0)).transpose().map_err(said)?)?;
        let sql = rows_sql($table, $text);
        let found = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut connection).await.map_err(said)?;
        let cells = |row: &_| row_of(|column| sqlx::Row::try_get(row, column));
        let rows = found.iter().map(cells).collect::<Result<Vec<Row>, _>>().map_err(said)?;
        // All is read: how it ends is of no interest.
        let _ = connection.close().await;
        Ok(rows)
    }};
}

async fn ask(table: &DatabaseTable) -> Result<Vec<Row>, String> {
    match &table.place {
        DatabasePlace::Sqlite(path) => {
            let wait = table.timeout.saturating_sub(Duration::from_millis(100));
            let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(wait);
            ask_through!(options, table, "TEXT")
        }
        DatabasePlace::Postgres(options) => ask_through!((**options).clone(), table, "TEXT"),
        DatabasePlace::Mysql(options) => ask_through!((**options).clone(), table, "CHAR"),
    }
}

/// What the client says, on one line.
fn said(error: sqlx::Error) -> String {
    error.to_string().replace('\n', " ")
}

fn check_version(version: Option<Option<String>>) -> Result<(), String> {
    match version.flatten().as_deref() {
        Some(TABLE_VERSION) => Ok(()),
        Some(other) => Err(format!("its version in the table version is {other}, not {TABLE_VERSION}")),
        None => Err(format!("it has no row in the table version, which would say {TABLE_VERSION}")),
    }
}

/// The tables `version` and `dispatcher` are in one schema.
fn version_sql(table: &DatabaseTable, text: &str) -> String {
    let (schema, name) = table.table.rsplit_once('.').unwrap_or(("", &table.table));
    let dot = if schema.is_empty() { "" } else { "." };
    format!("SELECT CAST(table_version AS {text}) FROM {schema}{dot}version WHERE table_name = '{name}'")
}

/// All columns as text, whatever types they have there. Their new names keep ORDER BY from taking the text for the number.
fn rows_sql(table: &DatabaseTable, text: &str) -> String {
    let names = &table.columns;
    let columns = ["id", &names.set, &names.destination, &names.flags, &names.priority, &names.attrs];
    let columns: Vec<String> =
        columns.iter().enumerate().map(|(index, name)| format!("CAST({name} AS {text}) AS column_{index}")).collect();
    let (columns, most) = (columns.join(", "), limits::DESTINATIONS_MAX + 1);
    format!("SELECT {columns} FROM {} ORDER BY id LIMIT {most}", table.table)
}

fn row_of<E>(cell: impl Fn(usize) -> Result<Option<String>, E>) -> Result<Row, E> {
    Ok(Row { id: cell(0)?, set: cell(1)?, destination: cell(2)?, flags: cell(3)?, priority: cell(4)?, attrs: cell(5)? })
}
