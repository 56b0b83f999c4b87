//! Lists too long for one answer: how many entries, and behind which.

use crate::control::asking::Place;
use crate::control::{Arguments, Fault, Kind, Param};
use crate::limits;

/// How many entries are wanted.
pub(super) const LIMIT: Param = Param::optional("limit", Kind::Int);

/// Behind which entry to go on.
pub(super) const AFTER: Param = Param::optional("after", Kind::Text);

/// The number of entries at `index` of the arguments.
pub(super) fn limit(arguments: &Arguments, index: usize) -> Result<usize, Fault> {
    let wanted = arguments.int_in(index, LIMIT.name, 1..=limits::LIST_ENTRIES_MAX as i64)?;
    Ok(wanted.map_or(limits::LIST_ENTRIES_DEFAULT, |wanted| wanted as usize))
}

/// The place that the argument at `index` names.
pub(super) fn after(arguments: &Arguments, index: usize) -> Result<Place, Fault> {
    let Some(text) = arguments.text(index) else { return Ok(Place::default()) };
    Place::after(text).ok_or_else(|| {
        Fault::parameters(format!("after is {text}; allowed: H_ENTRY:H_ID of the last entry so far, like 0:4711"))
    })
}
