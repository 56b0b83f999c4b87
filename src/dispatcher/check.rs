//! What a table must fulfil, and how destinations without a duid get a stable name.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use super::spec::{DestinationSpec, SetId, SetSpec};
use crate::limits::{BRANCHES_MAX, DESTINATIONS_MAX, SETS_MAX, TARGETS_MAX};

/// Why a table cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableError {
    /// More sets than [`SETS_MAX`].
    TooManySets {
        /// How many there are.
        count: usize,
    },
    /// More destinations than [`DESTINATIONS_MAX`].
    TooManyDestinations {
        /// How many there are.
        count: usize,
    },
    /// Two sets with the same number.
    DuplicateSet(SetId),
    /// Two destinations of a set with the same duid.
    DuplicateDuid {
        /// The set.
        set: SetId,
        /// The duid.
        duid: String,
    },
    /// A failover limit outside 1 to [`TARGETS_MAX`].
    FailoverLimit {
        /// The set.
        set: SetId,
        /// The limit that it asks for.
        limit: usize,
    },
    /// A number of branches at once outside 1 to [`BRANCHES_MAX`].
    BranchesMax {
        /// The set.
        set: SetId,
        /// The number that it asks for.
        count: usize,
    },
    /// So many destinations of earlier tables still have calls that there is no state left for a new one: try again when
    /// calls have ended.
    StatesExhausted,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManySets { count } => write!(f, "{count} sets, but at most {SETS_MAX} are possible"),
            Self::TooManyDestinations { count } => {
                write!(f, "{count} destinations, but at most {DESTINATIONS_MAX} are possible")
            }
            Self::DuplicateSet(SetId(set)) => write!(f, "set {set} is defined twice"),
            Self::DuplicateDuid { set: SetId(set), duid } => {
                write!(f, "set {set} has two destinations with duid {duid:?}")
            }
            Self::FailoverLimit { set: SetId(set), limit } => {
                write!(f, "set {set} has failover_limit {limit}, but it must be 1 to {TARGETS_MAX}")
            }
            Self::BranchesMax { set: SetId(set), count } => {
                write!(f, "set {set} has branches_max {count}, but it must be 1 to {BRANCHES_MAX}")
            }
            Self::StatesExhausted => {
                write!(f, "too many removed destinations still have calls: no state is left for a new one")
            }
        }
    }
}

impl core::error::Error for TableError {}

/// Whether `specs` can be a table, but for what [`duids`] looks at.
pub(super) fn check(specs: &[SetSpec]) -> Result<(), TableError> {
    if specs.len() > SETS_MAX {
        return Err(TableError::TooManySets { count: specs.len() });
    }
    let count = specs.iter().map(|spec| spec.destinations.len()).sum();
    if count > DESTINATIONS_MAX {
        return Err(TableError::TooManyDestinations { count });
    }
    let mut seen = BTreeSet::new();
    for SetSpec { id, failover_limit, branches_max, .. } in specs {
        if !seen.insert(*id) {
            return Err(TableError::DuplicateSet(*id));
        }
        if !(1..=TARGETS_MAX).contains(failover_limit) {
            return Err(TableError::FailoverLimit { set: *id, limit: *failover_limit });
        }
        if !(1..=BRANCHES_MAX).contains(branches_max) {
            return Err(TableError::BranchesMax { set: *id, count: *branches_max });
        }
    }
    Ok(())
}

/// The stable name of every destination of a set, in file order: its duid, or one derived from set, URI and socket.
///
/// # Errors
///
/// [`TableError::DuplicateDuid`].
pub fn duids(spec: &SetSpec) -> Result<Vec<String>, TableError> {
    let mut taken = BTreeSet::new();
    for DestinationSpec { duid, .. } in spec.destinations.iter().filter(|destination| !destination.duid.is_empty()) {
        if !taken.insert(duid.clone()) {
            return Err(TableError::DuplicateDuid { set: spec.id, duid: duid.clone() });
        }
    }
    let mut repeats = BTreeMap::new();
    let name = |destination: &DestinationSpec| match destination.duid.as_str() {
        "" => {
            let base = derived_from(spec.id, destination);
            derived_duid(&base, repeats.entry(base.clone()).or_default(), &mut taken)
        }
        duid => duid.to_owned(),
    };
    Ok(spec.destinations.iter().map(name).collect())
}

/// `set/uri`, and `set/uri/socket` where it has a socket of its own: the same URI by two sockets are two destinations.
fn derived_from(SetId(set): SetId, DestinationSpec { uri, socket, .. }: &DestinationSpec) -> String {
    match socket {
        Some(socket) if !socket.name.is_empty() => format!("{set}/{uri}/{}", socket.name),
        _ => format!("{set}/{uri}"),
    }
}

/// `base`, with `#2` and so on for those that have the same. `repeats` counts them.
fn derived_duid(base: &str, repeats: &mut u32, taken: &mut BTreeSet<String>) -> String {
    loop {
        *repeats += 1;
        let duid = if *repeats == 1 { base.to_owned() } else { format!("{base}#{repeats}") };
        if taken.insert(duid.clone()) {
            return duid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::fixture::{destination, set};
    use crate::dispatcher::{Algorithm, OutgoingSocket, Table};

    fn named(duid: &str, number: usize) -> DestinationSpec {
        DestinationSpec { duid: duid.to_owned(), ..destination(number, 1) }
    }

    #[test]
    fn the_same_uri_twice_makes_two_destinations_with_names_of_their_own() {
        let twice = vec![destination(0, 1), destination(0, 1), named("1/sip:192.0.2.1:5000#2", 3), destination(0, 1)];
        let table = Table::build(vec![set(1, Algorithm::Random, twice)], None).unwrap();
        let duids: Vec<_> = table.sets()[0].destinations.iter().map(|known| known.duid.as_str()).collect();
        let uri = "1/sip:192.0.2.1:5000";
        assert_eq!(duids, [uri, &format!("{uri}#3"), &format!("{uri}#2"), &format!("{uri}#4")]);
    }

    #[test]
    fn the_same_uri_by_two_sockets_makes_two_destinations_and_a_default_socket_changes_no_name() {
        let by = |number, name: &str| DestinationSpec {
            socket: Some(OutgoingSocket { number, name: name.to_owned() }),
            ..destination(0, 1)
        };
        let specs = vec![by(1, "udp:192.0.2.1:5070"), destination(0, 1), by(0, "udp:192.0.2.1:5060"), by(3, "")];
        let first = Table::build(vec![set(1, Algorithm::Random, specs.clone())], None).unwrap();
        let named = |table: &Table| {
            let all = &table.sets()[0].destinations;
            all.iter().map(|known| (known.duid.clone(), known.socket)).collect::<Vec<_>>()
        };
        let uri = "1/sip:192.0.2.1:5000";
        let expected = [
            (format!("{uri}/udp:192.0.2.1:5070"), Some(1)),
            (uri.to_owned(), None),
            (format!("{uri}/udp:192.0.2.1:5060"), Some(0)),
            (format!("{uri}#2"), Some(3)),
        ];
        assert_eq!(named(&first), expected);
        // Each keeps its state when their order changes.
        let turned = vec![specs[2].clone(), specs[0].clone(), specs[1].clone(), specs[3].clone()];
        let second =
            Table::build(vec![set(1, Algorithm::Random, turned)], Some((&first, crate::time::Instant::from_nanos(1))))
                .unwrap();
        let ids = |table: &Table| table.sets()[0].destinations.iter().map(|known| known.id).collect::<Vec<_>>();
        let before = ids(&first);
        assert_eq!(ids(&second), [before[2], before[0], before[1], before[3]]);
    }

    #[test]
    fn a_table_that_does_not_pass_says_why() {
        let empty = |id| set(id, Algorithm::Random, Vec::new());
        let limit = |failover_limit| vec![SetSpec { failover_limit, ..empty(3) }];
        let branches = |branches_max| vec![SetSpec { branches_max, ..empty(6) }];
        let duids = vec![set(4, Algorithm::Random, vec![named("x", 0), named("y", 1), named("x", 2)])];
        let many = vec![set(5, Algorithm::Random, vec![destination(0, 1); DESTINATIONS_MAX + 1])];
        let cases = [
            (vec![empty(1), empty(2), empty(1)], TableError::DuplicateSet(SetId(1))),
            (limit(0), TableError::FailoverLimit { set: SetId(3), limit: 0 }),
            (limit(TARGETS_MAX + 1), TableError::FailoverLimit { set: SetId(3), limit: TARGETS_MAX + 1 }),
            (branches(0), TableError::BranchesMax { set: SetId(6), count: 0 }),
            (branches(BRANCHES_MAX + 1), TableError::BranchesMax { set: SetId(6), count: BRANCHES_MAX + 1 }),
            (duids, TableError::DuplicateDuid { set: SetId(4), duid: "x".to_owned() }),
            (vec![empty(1); SETS_MAX + 1], TableError::TooManySets { count: SETS_MAX + 1 }),
            (many, TableError::TooManyDestinations { count: DESTINATIONS_MAX + 1 }),
        ];
        for (specs, expected) in cases {
            let error = Table::build(specs, None).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().is_empty());
        }
    }
}
