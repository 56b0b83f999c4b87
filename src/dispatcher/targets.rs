//! The ordered target set of one request: a list of fixed size that lives in the response context.

use core::ops::Deref;

use super::state::DestinationId;
use crate::limits::TARGETS_MAX;

/// At most [`TARGETS_MAX`] destinations in the order in which a request tries them; no duplicates.
///
/// A plain value of 66 bytes; it reads like a slice.
#[derive(Clone, Copy)]
pub struct Targets {
    ids: [DestinationId; TARGETS_MAX],
    len: u8,
}

impl Targets {
    /// A list without targets.
    #[must_use]
    pub const fn new() -> Self {
        Self { ids: [DestinationId::NONE; TARGETS_MAX], len: 0 }
    }

    /// Forgets all targets.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a target at the end; a full list stays as it is.
    pub(super) fn push(&mut self, id: DestinationId) {
        if let Some(place) = self.ids.get_mut(usize::from(self.len)) {
            *place = id;
            self.len += 1;
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [DestinationId] {
        &mut self.ids[..usize::from(self.len)]
    }
}

impl Deref for Targets {
    type Target = [DestinationId];

    fn deref(&self) -> &[DestinationId] {
        &self.ids[..usize::from(self.len)]
    }
}

impl Default for Targets {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Targets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::States;

    #[test]
    fn a_full_list_takes_no_more_and_a_cleared_one_is_empty() {
        let states = States::new();
        let ids: Vec<_> = (0..20).map(|_| states.claim(0).unwrap()).collect();
        let mut targets = Targets::new();
        ids.iter().for_each(|id| targets.push(*id));
        assert_eq!(*targets, ids[..TARGETS_MAX]);
        targets.clear();
        assert!(targets.is_empty());
        assert_eq!(size_of::<Targets>(), 66);
    }
}
