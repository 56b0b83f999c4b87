//! Kamailio's `dispatcher` table: rows in, destinations and problems with their rows and columns out.
//!
//! A row means what a line of a list with the same columns means ([`super::list_file`]), but that a priority may be negative. Kamailio
//! loads rows in whatever order the database gives them, and turns equal priorities round; here they keep the order of their ids.

use super::list_destination::shown;
use super::list_file::{ListSet, ListSurroundings, Notes, Place, Reading};
use super::list_line::Columns;
use super::problem::Problems;
use crate::dispatcher::SetId;

/// One row, as the database writes its values; none: NULL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Row {
    pub(super) id: Option<String>,
    pub(super) set: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) flags: Option<String>,
    pub(super) priority: Option<String>,
    pub(super) attrs: Option<String>,
}

/// What the columns are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ColumnNames {
    pub(super) set: String,
    pub(super) destination: String,
    pub(super) flags: String,
    pub(super) priority: String,
    pub(super) attrs: String,
}

/// Reads `rows`; problems call them `table`. The sets are in the order in which they first appear.
pub(super) fn parse(
    rows: &[Row],
    table: &str,
    names: &ColumnNames,
    around: ListSurroundings<'_>,
) -> (Vec<ListSet>, Problems) {
    let names = [
        ("set", names.set.as_str()),
        ("uri", names.destination.as_str()),
        ("flags", names.flags.as_str()),
        ("priority", names.priority.as_str()),
        ("attrs", names.attrs.as_str()),
    ];
    let mut notes = Notes::of_table(table, &names);
    let mut reading = Reading::default();
    for row in rows {
        notes.place = Place::Row(row.id.clone().unwrap_or_default());
        take(row, &mut reading, &mut notes, around);
    }
    (reading.finish(&mut notes), notes.into_problems())
}

fn take(row: &Row, reading: &mut Reading, notes: &mut Notes<'_>, around: ListSurroundings<'_>) {
    let Some(set) = number::<u32>("set", row.set.as_deref(), notes) else { return };
    // Also of a row that is left out: rules may name its set.
    reading.set(SetId(set), notes);
    let (Some(flags), Some(priority)) = (
        number::<u32>("flags", row.flags.as_deref().or(Some("0")), notes),
        number::<i32>("priority", row.priority.as_deref().or(Some("0")), notes),
    ) else {
        return;
    };
    let columns = Columns {
        set: Some(u64::from(set)),
        uri: row.destination.as_deref().unwrap_or_default(),
        flags: u64::from(flags),
        priority: i64::from(priority),
        attrs: row.attrs.as_deref().unwrap_or_default(),
        ..Columns::default()
    };
    reading.take(&columns, notes, around);
}

/// An integer type with its bounds.
trait Bounded: core::str::FromStr {
    const ALLOWED: &'static str;
}

impl Bounded for u32 {
    const ALLOWED: &'static str = "0 to 4294967295";
}

impl Bounded for i32 {
    const ALLOWED: &'static str = "-2147483648 to 2147483647";
}

/// The number in a column; without one the row is left out, which is noted.
fn number<T: Bounded>(column: &str, value: Option<&str>, notes: &mut Notes<'_>) -> Option<T> {
    let number = value.and_then(|value| value.parse().ok());
    if number.is_none() {
        notes.leave_out(column, value.map_or_else(|| String::from("NULL"), shown), T::ALLOWED);
    }
    number
}
