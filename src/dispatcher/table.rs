//! One immutable snapshot of all sets, and how the next one is made from it.
//!
//! # Policy
//!
//! - A destination is known by its set and its duid, or by set, URI and socket where it has none. As long as both stay, its health,
//!   admin, load and counters stay, whatever else a reload changes: order, weight, even the address.
//! - What an operator said at run time stays too, until the config's own `disabled` of that destination changes: then the
//!   config has the newer word.
//! - A set's turn counter goes on where it was.
//! - A table is checked whole before anything is touched; one that does not pass leaves all as it was.
//!
//! # Invariants
//!
//! - Every destination of a living table holds its slot in the states. Dropping the last table that holds it lets go;
//!   the slot is free for another destination when its load is 0, which a later build finds out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::{TableError, check, duids};
use super::set::{Destination, Position, Set};
use super::spec::{SetId, SetSpec};
use super::standing::Admin;
use super::state::{DestinationId, StateIndex, States};
use crate::time::Instant;

/// All sets with the states of their destinations; published whole, never changed.
#[derive(Debug)]
pub struct Table {
    /// In the order of their numbers.
    sets: Vec<Set>,
    /// By slot: which set, and which of its destinations.
    places: Vec<Option<(u32, u32)>>,
    slots: Slots,
}

impl Table {
    /// Checks `specs` and makes a table of them that carries on from `previous` at this time, or starts with fresh states.
    ///
    /// The config's `disabled` takes effect at once, not when the table is published: build only what is to be published.
    ///
    /// # Errors
    ///
    /// What [`TableError`] lists; nothing has changed then.
    pub fn build(specs: Vec<SetSpec>, previous: Option<(&Self, Instant)>) -> Result<Self, TableError> {
        check(&specs)?;
        let duids = specs.iter().map(duids).collect::<Result<Vec<_>, _>>()?;
        let previous = Previous::new(previous);
        let mut slots = Slots { states: previous.states(), ids: Vec::new(), next: 0 };
        for (spec, duids) in specs.iter().zip(&duids) {
            slots.take_all(spec.id, duids, &previous)?;
        }
        let mut ids = slots.ids.iter().copied();
        let set = |(spec, duids)| make_set(spec, duids, &mut ids, &previous);
        let mut sets: Vec<Set> = specs.into_iter().zip(duids).map(set).collect();
        sets.sort_unstable_by_key(|set| set.id);
        sets.iter().for_each(|set| previous.obey_config(set, &slots.states));
        Ok(Self { places: places(&sets), sets, slots })
    }

    /// The set with that number.
    #[must_use]
    pub fn set(&self, id: SetId) -> Option<&Set> {
        self.sets.binary_search_by_key(&id, |set| set.id).ok().map(|index| &self.sets[index])
    }

    /// All sets in the order of their numbers.
    #[must_use]
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }

    /// The numbers of the sets without destinations: allowed, but worth a warning.
    pub fn empty_sets(&self) -> impl Iterator<Item = SetId> {
        self.sets.iter().filter(|set| set.destinations.is_empty()).map(|set| set.id)
    }

    /// The destination that a target set names; none when this table no longer has it.
    #[must_use]
    pub fn destination(&self, id: DestinationId) -> Option<&Destination> {
        self.with_state(id.state()).filter(|destination| destination.id == id)
    }

    /// The destination that has this state now.
    #[must_use]
    pub fn with_state(&self, state: StateIndex) -> Option<&Destination> {
        let (set, position) = (*self.places.get(state.value() as usize)?)?;
        self.sets.get(set as usize)?.destinations.get(position as usize)
    }

    /// The states of all destinations, the same for every table that descends from one.
    #[must_use]
    pub fn states(&self) -> &Arc<States> {
        &self.slots.states
    }
}

/// The slots that a table holds, from the moment each is taken: whoever fails half-way lets go of all.
#[derive(Debug)]
struct Slots {
    states: Arc<States>,
    ids: Vec<DestinationId>,
    /// No slot below is free.
    next: u32,
}

impl Slots {
    /// One slot per duid: the one that the destination has, else a free one.
    fn take_all(&mut self, set: SetId, duids: &[String], previous: &Previous<'_>) -> Result<(), TableError> {
        for duid in duids {
            let id = match previous.destination(set, duid) {
                Some(known) => {
                    self.states.join(known.id);
                    known.id
                }
                None => {
                    let fresh = self.states.claim(self.next).ok_or(TableError::StatesExhausted)?;
                    self.next = fresh.state().value() + 1;
                    fresh
                }
            };
            self.ids.push(id);
        }
        Ok(())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.states.leave(*id));
    }
}

/// The table before, with its destinations by name.
struct Previous<'a> {
    table: Option<&'a Table>,
    /// When it is replaced; at the start, before any time.
    now: Instant,
    destinations: BTreeMap<(SetId, &'a str), &'a Destination>,
}

impl<'a> Previous<'a> {
    fn new(previous: Option<(&'a Table, Instant)>) -> Self {
        let (table, now) = (previous.map(|(table, _)| table), previous.map_or(Instant::from_nanos(0), |(_, now)| now));
        let all = table.into_iter().flat_map(|table| &table.sets).flat_map(|set| &set.destinations);
        let destinations = all.map(|destination| ((destination.set, destination.duid.as_str()), destination)).collect();
        Self { table, now, destinations }
    }

    fn states(&self) -> Arc<States> {
        self.table.map_or_else(|| Arc::new(States::new()), |table| Arc::clone(table.states()))
    }

    fn destination(&self, set: SetId, duid: &str) -> Option<&'a Destination> {
        self.destinations.get(&(set, duid)).copied()
    }

    fn position(&self, set: SetId) -> Position {
        let known = self.table.and_then(|table| table.set(set));
        known.map_or_else(Position::default, |set| Arc::clone(&set.position))
    }

    /// Tells the states which destinations the config disables or no longer disables, which new ones begin inactive or with a
    /// latency, and what reports of loss count for.
    fn obey_config(&self, set: &Set, states: &States) {
        for destination in &set.destinations {
            states.bound_overload(destination.state, destination.overload);
            let before = self.destination(set.id, &destination.duid);
            if destination.inactive && before.is_none() {
                states.begin_inactive(destination.state, self.now);
            }
            if !destination.latency.is_zero() && before.is_none() {
                states.seed_latency(destination.state, destination.latency);
            }
            let disabled_before = before.is_some_and(|before| before.disabled);
            if destination.disabled != disabled_before {
                let admin = if destination.disabled { Admin::Disabled } else { Admin::Enabled };
                states.configure(destination.state, admin, self.now);
            }
        }
    }
}

/// The set of `spec`; its destinations get the next ones of `ids`.
fn make_set(
    mut spec: SetSpec,
    duids: Vec<String>,
    ids: &mut impl Iterator<Item = DestinationId>,
    previous: &Previous<'_>,
) -> Set {
    let named = core::mem::take(&mut spec.destinations).into_iter().zip(duids).zip(ids);
    let destinations = named.map(|((named, duid), slot)| Destination::new(&spec, slot, duid, named)).collect();
    let position = previous.position(spec.id);
    Set::new(spec, destinations, position)
}

fn places(sets: &[Set]) -> Vec<Option<(u32, u32)>> {
    let mut places = Vec::new();
    for (index, set) in sets.iter().enumerate() {
        for (position, destination) in set.destinations.iter().enumerate() {
            let slot = destination.state.value() as usize;
            places.resize(places.len().max(slot + 1), None);
            places[slot] = Some((index as u32, position as u32));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::fixture::{destination, set};
    use crate::dispatcher::{Algorithm, DestinationSpec, Health, Input, Random, Targets};
    use crate::limits::DESTINATIONS_MAX;

    const NOW: Instant = Instant::from_nanos(1);

    fn named(duid: &str, number: usize) -> DestinationSpec {
        DestinationSpec { duid: duid.to_owned(), ..destination(number, 1) }
    }

    /// Set 1 with one destination per duid.
    fn build(duids: &[&str], previous: Option<&Table>) -> Table {
        let destinations = duids.iter().enumerate().map(|(number, duid)| named(duid, number)).collect();
        Table::build(vec![set(1, Algorithm::RoundRobin, destinations)], previous.map(|table| (table, NOW))).unwrap()
    }

    fn find<'a>(table: &'a Table, duid: &str) -> &'a Destination {
        let all = &table.set(SetId(1)).unwrap().destinations;
        all.iter().find(|destination| destination.duid == duid).unwrap()
    }

    fn first_target(table: &Table) -> DestinationId {
        let mut targets = Targets::new();
        let input = Input::at(NOW);
        table.sets()[0].select(table.states(), &input, &mut Random::new(1), &mut targets);
        targets[0]
    }

    #[test]
    fn what_is_known_about_a_destination_survives_a_reload_that_moves_it() {
        let old = build(&["a", "b"], None);
        let (states, before) = (Arc::clone(old.states()), find(&old, "b").clone());
        let token = states.take_load(before.state);
        states.set_health(before.state, Health::Trying, NOW);
        states.set_admin(before.state, Admin::Draining, NOW);
        states.count_answered(before.state);
        let new = build(&["b", "c", "a"], Some(&old));
        drop(old);
        let after = find(&new, "b");
        assert_eq!((after.id, after.state), (before.id, before.state));
        assert_ne!(after.address, before.address);
        assert_eq!((states.health(after.state), states.admin(after.state)), (Health::Trying, Admin::Draining));
        assert_eq!((states.load(after.state), states.counters(after.state).answered), (1, 1));
        assert!(Arc::ptr_eq(new.states(), &states));
        states.release(token);
    }

    #[test]
    fn a_destination_without_duid_is_known_by_its_set_and_uri() {
        let old = build(&["", ""], None);
        let uri = &old.sets()[0].destinations[1].uri;
        assert_eq!(old.sets()[0].destinations[1].duid, format!("1/{uri}"));
        let swapped = vec![destination(1, 1), destination(0, 1)];
        let new = Table::build(
            vec![set(
                1,
                Algorithm::Hash(crate::dispatcher::HashInput::CallId, crate::dispatcher::HashKind::Consistent),
                swapped,
            )],
            Some((&old, NOW)),
        );
        let ids = |table: &Table| table.sets()[0].destinations.iter().map(|known| known.id).collect::<Vec<_>>();
        assert_eq!(ids(&new.unwrap()), ids(&old).into_iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn the_same_duid_in_two_sets_makes_two_destinations() {
        let sets = [1, 2].map(|id| set(id, Algorithm::Random, vec![named("a", 0)]));
        let table = Table::build(sets.to_vec(), None).unwrap();
        let states: Vec<_> = table.sets().iter().map(|set| set.destinations[0].state).collect();
        assert_ne!(states[0], states[1]);
    }

    #[test]
    fn the_slot_of_a_destination_that_went_is_used_again_only_when_its_calls_have_ended() {
        let first = build(&["a"], None);
        let (states, gone) = (Arc::clone(first.states()), find(&first, "a").id);
        let token = states.take_load(gone.state());
        let second = build(&["b"], Some(&first));
        drop(first);
        let third = build(&["b", "c"], Some(&second));
        assert_ne!(find(&third, "c").state, gone.state());
        assert_eq!(states.total_load(), 1);
        states.release(token);
        let fourth = build(&["b", "c", "d"], Some(&third));
        assert_eq!(find(&fourth, "d").state, gone.state());
        assert_eq!(fourth.destination(gone), None);
    }

    #[test]
    fn the_slot_of_a_destination_is_not_used_again_while_an_older_table_lives() {
        let first = build(&["a"], None);
        let second = build(&["b"], Some(&first));
        let third = build(&["b", "c"], Some(&second));
        assert_ne!(find(&third, "c").state, find(&first, "a").state);
    }

    #[test]
    fn an_id_names_its_destination_in_every_table_that_has_it_and_nothing_elsewhere() {
        let first = build(&["a", "b"], None);
        let (a, b) = (find(&first, "a").id, find(&first, "b").id);
        let second = build(&["b"], Some(&first));
        assert_eq!(first.destination(a).unwrap().duid, "a");
        assert_eq!(second.destination(b).unwrap().duid, "b");
        assert_eq!(second.destination(a), None);
        assert_eq!(second.destination(DestinationId::NONE), None);
    }

    #[test]
    fn a_reload_goes_on_with_the_turns_where_they_were() {
        let old = build(&["a", "b", "c"], None);
        assert_eq!(first_target(&old), find(&old, "a").id);
        let new = build(&["a", "b", "c"], Some(&old));
        assert_eq!(first_target(&new), find(&old, "b").id);
        assert_eq!(first_target(&old), find(&old, "c").id);
    }

    #[test]
    fn a_new_destination_may_begin_inactive_and_a_known_one_keeps_its_health() {
        let with = |inactive, previous: Option<&Table>| {
            let destinations = vec![DestinationSpec { inactive, ..named("a", 0) }];
            Table::build(vec![set(1, Algorithm::Priority, destinations)], previous.map(|table| (table, NOW))).unwrap()
        };
        let first = with(true, None);
        let state = find(&first, "a").state;
        assert_eq!(first.states().health(state), Health::Inactive);
        first.states().set_health(state, Health::Active, NOW);
        with(true, Some(&first));
        assert_eq!(first.states().health(state), Health::Active);
    }

    #[test]
    fn the_config_disables_and_enables_only_when_it_changes() {
        let with = |disabled, previous: Option<&Table>| {
            let destinations = vec![DestinationSpec { disabled, ..named("a", 0) }];
            Table::build(vec![set(1, Algorithm::Priority, destinations)], previous.map(|table| (table, NOW))).unwrap()
        };
        let admin = |table: &Table| table.states().admin(find(table, "a").state);
        let first = with(true, None);
        assert_eq!(admin(&first), Admin::Disabled);
        first.states().set_admin(find(&first, "a").state, Admin::Enabled, NOW);
        let second = with(true, Some(&first));
        assert_eq!(admin(&second), Admin::Enabled);
        first.states().set_admin(find(&first, "a").state, Admin::Draining, NOW);
        let third = with(false, Some(&second));
        assert_eq!(admin(&third), Admin::Enabled);
    }

    #[test]
    fn a_build_that_runs_out_of_states_lets_go_of_those_it_took() {
        let full = vec![set(1, Algorithm::Random, vec![destination(0, 1); DESTINATIONS_MAX])];
        let old = Table::build(full, None).unwrap();
        let other = || vec![set(2, Algorithm::Random, vec![destination(0, 1); 2])];
        assert_eq!(Table::build(other(), Some((&old, NOW))).unwrap_err(), TableError::StatesExhausted);
        let one_less = vec![set(1, Algorithm::Random, vec![destination(0, 1); DESTINATIONS_MAX - 1])];
        let smaller = Table::build(one_less, Some((&old, NOW))).unwrap();
        drop(old);
        assert_eq!(Table::build(other(), Some((&smaller, NOW))).unwrap_err(), TableError::StatesExhausted);
        let one = vec![set(2, Algorithm::Random, vec![destination(0, 1)])];
        assert!(Table::build(one, Some((&smaller, NOW))).is_ok());
    }

    #[test]
    fn sets_are_found_by_number_and_empty_ones_are_told() {
        let sets = vec![set(7, Algorithm::Random, vec![destination(0, 1)]), set(2, Algorithm::Random, Vec::new())];
        let table = Table::build(sets, None).unwrap();
        assert_eq!(table.set(SetId(7)).unwrap().destinations.len(), 1);
        assert!(table.set(SetId(3)).is_none());
        assert_eq!(table.sets().iter().map(|set| set.id.0).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(table.empty_sets().collect::<Vec<_>>(), [SetId(2)]);
    }
}
