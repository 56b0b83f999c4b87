//! Sets and destinations as callers name them.

use crate::control::{Arguments, Fault, Kind, Param};
use crate::dispatcher::{Destination, Set, SetId};
use crate::proxy::Policy;

/// Names that a fault lists at most.
const LISTED_MAX: usize = 20;

/// A set, by its number: the first parameter of most methods.
pub(super) const SET: Param = Param::required("set", Kind::Int);

/// A destination of it, by duid or URI: the second one.
pub(super) const DESTINATION: Param = Param::required("destination", Kind::Text);

/// How a destination is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// By its URI, as Kamailio compares it: whole, ASCII case ignored; the first of equals in Kamailio's order.
    Uri,
    /// By its duid, ASCII case ignored.
    Duid,
}

/// The number of a set; none when it is none that a set can have.
pub(super) fn set_id(number: i64) -> Option<SetId> {
    u32::try_from(number).ok().map(SetId)
}

/// The set with that number. `kamailio` is what Kamailio says when there is none.
pub(super) fn set<'t>(policy: &'t Policy, number: i64, kamailio: &'static str) -> Result<&'t Set, Fault> {
    set_id(number).and_then(|id| policy.table.set(id)).ok_or_else(|| no_set(policy, number, kamailio))
}

/// That there is no set which is called so, and those that there are.
pub(super) fn no_set(policy: &Policy, called: impl core::fmt::Display, kamailio: &'static str) -> Fault {
    let sets = policy.table.sets();
    let named = sets.iter().map(|set| format!("{} {}", set.id.0, set.name).trim_end().to_owned());
    Fault::not_found(format!("no set {called}; sets: {}", listed(named, sets.len())), kamailio)
}

/// The position in `set` of the destination that `name` names as `key`.
pub(super) fn position(set: &Set, name: &str, key: Key, kamailio: &'static str) -> Result<usize, Fault> {
    let is_named = |destination: &Destination| match key {
        Key::Uri => destination.uri.eq_ignore_ascii_case(name),
        Key::Duid => destination.duid.eq_ignore_ascii_case(name),
    };
    let named = (0..set.destinations.len()).filter(|position| is_named(&set.destinations[*position]));
    named.max_by_key(|position| (set.destinations[*position].priority, *position)).ok_or_else(|| {
        let known = set.destinations.iter().map(|known| match key {
            Key::Uri => known.uri.clone(),
            Key::Duid => known.duid.clone(),
        });
        let (what, names) = (["destination", "duid"][key as usize], listed(known, set.destinations.len()));
        Fault::not_found(format!("no {what} {name} in set {}; those there: {names}", set.id.0), kamailio)
    })
}

/// What the first two arguments, [`SET`] and [`DESTINATION`], name.
pub(super) fn named<'t>(policy: &'t Policy, arguments: &Arguments) -> Result<(&'t Set, usize), Fault> {
    either(policy, arguments.int(0).unwrap_or_default(), arguments.text(1).unwrap_or_default())
}

/// The set with that number, and the position in it of the destination that `name` names by duid or by URI. A URI that is there twice
/// names nothing: by their duids they can be told apart.
fn either<'t>(policy: &'t Policy, number: i64, name: &str) -> Result<(&'t Set, usize), Fault> {
    const KAMAILIO: &str = "Destination Not Found";
    let set = set(policy, number, KAMAILIO)?;
    if let Ok(position) = position(set, name, Key::Duid, KAMAILIO) {
        return Ok((set, position));
    }
    let position = position(set, name, Key::Uri, KAMAILIO)?;
    let same: Vec<_> = set.destinations.iter().filter(|known| known.uri.eq_ignore_ascii_case(name)).collect();
    if same.len() > 1 {
        let duids = listed(same.iter().map(|known| known.duid.clone()), same.len());
        return Err(Fault::parameters(format!("{name} is there {} times in set {number}; duids: {duids}", same.len())));
    }
    Ok((set, position))
}

fn listed(names: impl Iterator<Item = String>, count: usize) -> String {
    let mut listed: Vec<String> = names.take(LISTED_MAX).collect();
    match count {
        0 => return String::from("none"),
        count if count > LISTED_MAX => listed.push(format!("and {} more", count - LISTED_MAX)),
        _ => {}
    }
    listed.join(", ")
}
