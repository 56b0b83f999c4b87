//! A slab with generations: where a shard keeps transactions, response contexts and dialogs.
//!
//! Policy:
//! - An [`Id`] is a place and the generation of what was put there. It may travel outside (in our Via branch, in a
//!   Record-Route cookie) and come back late: an id whose value is gone finds nothing, even if the place is taken again.
//! - The generation of a place grows by one at each removal, and wraps. An old id is mistaken for a new one only after
//!   2^32 removals at one place. Generations start where the owner says, so a restart can keep clear of old ids.
//! - Room for all is reserved at the first value (see `memory`), touched as it is needed and never given back; the place freed last
//!   is used first (it is warm).
//!
//! Invariant: the free list runs through exactly the vacant entries.

use super::memory::{Prepare, as_it_comes, grow, make_room};
use core::ops::Range;

/// Ends the free list.
const NONE: u32 = u32::MAX;

/// Names one value in one slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    /// The place in the slab: below `capacity_max`.
    pub(crate) index: u32,
    /// Which of the values that have been at this place is meant.
    pub(crate) generation: u32,
}

impl Id {
    /// Names nothing: no slab has so many places.
    pub(crate) const NOBODY: Self = Self { index: NONE, generation: 0 };
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Value(T),
    Vacant { next: u32 },
}

/// A bounded set of values that are found by [`Id`] in one step.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    capacity_max: u32,
    first_generation: u32,
    prepare: Prepare,
}

impl<T> Slab<T> {
    /// An empty slab for at most `max` values (and never more than 2^32 - 1); the first value at each place gets
    /// `first_generation`. Allocates nothing yet.
    pub(crate) fn with_capacity_max(max: usize, first_generation: u32) -> Self {
        let capacity_max = u32::try_from(max).unwrap_or(NONE);
        Self { entries: Vec::new(), free: NONE, len: 0, capacity_max, first_generation, prepare: as_it_comes }
    }

    /// The same, whose memory is shown to `prepare`.
    pub(crate) fn prepared_by(self, prepare: Prepare) -> Self {
        Self { prepare, ..self }
    }

    /// Shows `touch` the memory of the first `count` places, which it makes now; for a slab without values.
    pub(crate) fn make_room(&mut self, count: usize, touch: Prepare) {
        make_room(&mut self.entries, count, self.capacity_max as usize, self.prepare, touch);
    }

    /// Whether there is no room: what a value would hold need not be made.
    pub(crate) const fn is_full(&self) -> bool {
        self.len == self.capacity_max
    }

    /// Puts a value in. None when the slab is full: the value is dropped and the caller counts it.
    pub(crate) fn insert(&mut self, value: T) -> Option<Id> {
        if self.is_full() {
            return None;
        }
        self.len += 1;
        let index = self.free;
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return Some(self.push(value));
        };
        if let Content::Vacant { next } = entry.content {
            self.free = next;
        }
        entry.content = Content::Value(value);
        Some(Id { index, generation: entry.generation })
    }

    /// The value, if it is still there.
    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.get_at(id.index, id.generation)
    }

    /// The value, if it is still there.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.entries.get_mut(id.index as usize)? {
            Entry { generation, content: Content::Value(value) } if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The id of the value at place `index`; None when the place is vacant or there is no such place.
    pub(crate) fn id_at(&self, index: u32) -> Option<Id> {
        let entry = self.entries.get(index as usize)?;
        matches!(entry.content, Content::Value(_)).then_some(Id { index, generation: entry.generation })
    }

    /// The value at place `index`, with its id.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<(Id, &T)> {
        match self.entries.get(index as usize)? {
            Entry { generation, content: Content::Value(value) } => {
                Some((Id { index, generation: *generation }, value))
            }
            Entry { .. } => None,
        }
    }

    /// The same as [`Slab::get`], for an id that came apart: any two numbers may be asked for.
    #[inline]
    pub(crate) fn get_at(&self, index: u32, generation: u32) -> Option<&T> {
        match self.entries.get(index as usize)? {
            Entry { generation: of_value, content: Content::Value(value) } if *of_value == generation => Some(value),
            _ => None,
        }
    }

    /// Takes the value out, if it is still there; its id finds nothing from now on.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        let entry = self.entries.get_mut(id.index as usize)?;
        let vacant = Content::Vacant { next: self.free };
        let Content::Value(value) = std::mem::replace(&mut entry.content, vacant) else {
            return None;
        };
        entry.generation = entry.generation.wrapping_add(1);
        self.free = id.index;
        self.len -= 1;
        Some(value)
    }

    /// Number of values inside.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// All values in order of their index. Visits vacant places too: not for the data path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| match &entry.content {
            Content::Value(value) => Some((Id { index, generation: entry.generation }, value)),
            Content::Vacant { .. } => None,
        })
    }

    /// Places that there are, vacant ones included.
    pub(crate) const fn places(&self) -> u32 {
        // Never more than capacity_max.
        self.entries.len() as u32
    }

    /// The values in these places; what is beyond the last one is none.
    pub(crate) fn range(&self, places: Range<u32>) -> impl Iterator<Item = (Id, &T)> {
        let end = places.end.min(self.places());
        let entries = self.entries.get(places.start as usize..end as usize).unwrap_or_default();
        (places.start..).zip(entries).filter_map(|(index, entry)| match &entry.content {
            Content::Value(value) => Some((Id { index, generation: entry.generation }, value)),
            Content::Vacant { .. } => None,
        })
    }

    /// Adds a place: no other is vacant.
    fn push(&mut self, value: T) -> Id {
        let length = self.entries.len();
        if length == self.entries.capacity() {
            grow(&mut self.entries, self.capacity_max as usize, self.prepare);
        }
        self.entries.push(Entry { generation: self.first_generation, content: Content::Value(value) });
        Id { index: length as u32, generation: self.first_generation }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_id_of_a_removed_value_finds_nothing_when_the_place_is_taken_again() {
        let mut slab = Slab::with_capacity_max(4, 7);
        let old = slab.insert("old").unwrap();
        assert_eq!(old, Id { index: 0, generation: 7 });
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new").unwrap();
        assert_eq!(new, Id { index: 0, generation: 8 });
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!((slab.get(new), slab.get_at(0, 8), slab.get_at(9, 8)), (Some(&"new"), Some(&"new"), None));
    }

    #[test]
    fn a_vacant_place_is_not_found_by_its_next_generation() {
        let mut slab = Slab::with_capacity_max(1, 0);
        let id = slab.insert('a').unwrap();
        slab.remove(id);
        assert_eq!(slab.get_at(0, 1), None);
        assert_eq!(slab.remove(Id { index: 0, generation: 1 }), None);
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn generations_wrap_from_the_last_to_zero() {
        let mut slab = Slab::with_capacity_max(1, u32::MAX);
        let last = slab.insert('a').unwrap();
        assert_eq!(slab.remove(last), Some('a'));
        assert_eq!(slab.insert('b'), Some(Id { index: 0, generation: 0 }));
        assert_eq!(slab.get(last), None);
    }

    #[test]
    fn the_place_freed_last_is_used_first() {
        let mut slab = Slab::with_capacity_max(3, 0);
        let ids: Vec<_> = (0..3).map(|i| slab.insert(i).unwrap()).collect();
        slab.remove(ids[0]);
        slab.remove(ids[2]);
        assert_eq!(slab.insert(3).unwrap().index, 2);
        assert_eq!(slab.insert(4).unwrap().index, 0);
        assert_eq!(slab.insert(5), None);
    }

    #[test]
    fn memory_stays_within_the_bound_and_still_once_it_is_reached() {
        let mut slab = Slab::with_capacity_max(100, 0);
        let ids: Vec<_> = (0..100).map(|i| slab.insert(i).unwrap()).collect();
        let memory = (slab.entries.capacity(), slab.entries.as_ptr());
        assert_eq!(memory.0, 100);
        ids.into_iter().for_each(|id| assert!(slab.remove(id).is_some()));
        (0..100).for_each(|i| assert!(slab.insert(i).is_some()));
        assert_eq!((slab.entries.capacity(), slab.entries.as_ptr()), memory);
    }

    #[test]
    fn a_range_shows_the_values_in_its_places_and_ends_with_the_slab() {
        let mut slab = Slab::with_capacity_max(9, 0);
        let ids: Vec<_> = (0..6).map(|i| slab.insert(i).unwrap()).collect();
        slab.remove(ids[2]);
        let shown = |places| slab.range(places).map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!((slab.places(), shown(0..3), shown(3..99)), (6, vec![0, 1], vec![3, 4, 5]));
        assert_eq!((shown(6..9), shown(9..12)), (vec![], vec![]));
    }

    #[test]
    fn a_slab_for_nothing_refuses_everything() {
        assert_eq!(Slab::with_capacity_max(0, 0).insert(1), None);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64),
        Remove(usize),
        Write(usize, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => any::<u64>().prop_map(Op::Insert),
            3 => any::<usize>().prop_map(Op::Remove),
            1 => (any::<usize>(), any::<u64>()).prop_map(|(which, value)| Op::Write(which, value)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_history_agrees_with_a_map(max in 0_usize..40, first in any::<u32>(), ops in vec(op(), 0..300)) {
            let mut slab = Slab::with_capacity_max(max, first);
            let mut issued: Vec<Id> = Vec::new();
            let mut model: BTreeMap<(u32, u32), u64> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(value) => {
                        let id = slab.insert(value);
                        prop_assert_eq!(id.is_some(), model.len() < max);
                        if let Some(id) = id {
                            prop_assert!(!issued.contains(&id), "an id was issued twice");
                            issued.push(id);
                            model.insert((id.index, id.generation), value);
                        }
                    }
                    Op::Remove(which) if !issued.is_empty() => {
                        let id = issued[which % issued.len()];
                        prop_assert_eq!(slab.remove(id), model.remove(&(id.index, id.generation)));
                    }
                    Op::Write(which, value) if !issued.is_empty() => {
                        let id = issued[which % issued.len()];
                        let ours = slab.get_mut(id).map(|v| std::mem::replace(v, value));
                        let models = model.get_mut(&(id.index, id.generation)).map(|v| std::mem::replace(v, value));
                        prop_assert_eq!(ours, models);
                    }
                    Op::Remove(_) | Op::Write(..) => {}
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            for id in issued {
                prop_assert_eq!(slab.get(id), model.get(&(id.index, id.generation)));
            }
            let listed: Vec<_> = slab.iter().map(|(id, value)| ((id.index, id.generation), *value)).collect();
            prop_assert_eq!(listed, model.into_iter().collect::<Vec<_>>());
        }
    }
}
