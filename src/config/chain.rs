//! `fallback`: which set is tried after which. Chains end: none is a circle, none is longer than [`limits::CHAIN_MAX`].

use super::reader::Item;
use super::set::SetNames;
use crate::dispatcher::{SetId, SetSpec};
use crate::limits;
use std::collections::BTreeMap;

/// Finds the set that each of `fallbacks` names, gives it to the set with that index, and refuses chains that do not end.
pub(super) fn resolve(sets: &mut [SetSpec], names: &SetNames, fallbacks: &[(usize, Item<'_>)]) {
    for (index, item) in fallbacks {
        sets[*index].fallback = names.resolve(item);
    }
    let next = sets.iter().filter_map(|set| Some((set.id, set.fallback?))).collect();
    for (index, item) in fallbacks {
        match chain(sets[*index].id, &next) {
            Chain::Ends => {}
            Chain::Circle(sets) => item.refuse_because(format!("a circle: {sets}"), "a set whose own fallbacks end"),
            Chain::Long => {
                let found = format!("a chain of more than {} sets", limits::CHAIN_MAX);
                item.refuse_because(found, format!("at most {} sets, with the first", limits::CHAIN_MAX));
            }
        }
    }
}

enum Chain {
    Ends,
    /// It comes back to where it starts: `1 → 2 → 1`.
    Circle(String),
    Long,
}

fn chain(first: SetId, next: &BTreeMap<SetId, SetId>) -> Chain {
    let mut seen = vec![first];
    let mut at = first;
    while let Some(to) = next.get(&at) {
        if *to == first {
            seen.push(first);
            let seen: Vec<String> = seen.iter().map(|set| set.0.to_string()).collect();
            return Chain::Circle(seen.join(" → "));
        }
        if seen.contains(to) {
            // Those who are in the circle tell of it.
            return Chain::Ends;
        }
        if seen.len() == limits::CHAIN_MAX {
            return Chain::Long;
        }
        seen.push(*to);
        at = *to;
    }
    Chain::Ends
}
