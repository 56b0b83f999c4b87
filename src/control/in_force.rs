//! The config in force, what was changed in it at run time, and the one before.

use super::Fault;
use crate::config::Config;
use crate::dispatcher::{SetId, SetSpec};
use std::sync::Arc;

/// The config in force; never changed, only replaced.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    /// What the file says, or what was given in its place; what is fixed at start is as it was at start.
    pub(super) file: Arc<Config>,
    /// The sets that are published: those of the file with what was changed at run time.
    pub(super) sets: Arc<Vec<SetSpec>>,
    /// File and sets before the last reload.
    pub(super) before: Option<(Arc<Config>, Arc<Vec<SetSpec>>)>,
}

impl InForce {
    /// What a process starts with.
    pub(super) fn at_start(config: Config) -> Self {
        Self { sets: Arc::new(config.sets.clone()), file: Arc::new(config), before: None }
    }

    /// The same with other sets.
    pub(super) fn with_sets(&self, sets: Vec<SetSpec>) -> Self {
        Self { sets: Arc::new(sets), ..self.clone() }
    }

    /// The set with that number, as it is configured.
    pub(super) fn set(&self, id: SetId) -> Option<&SetSpec> {
        self.sets.iter().find(|set| set.id == id)
    }

    /// A copy of all sets after `edit` of one destination: that at `position` of set `id`.
    pub(super) fn edited(
        &self,
        id: SetId,
        position: usize,
        edit: impl FnOnce(&mut crate::dispatcher::DestinationSpec),
    ) -> Result<Self, Fault> {
        let mut sets = self.sets.to_vec();
        let set = sets.iter_mut().find(|set| set.id == id);
        let spec = set.and_then(|set| set.destinations.get_mut(position));
        edit(spec.ok_or_else(|| Fault::internal(format!("set {} has no destination {position}", id.0)))?);
        Ok(self.with_sets(sets))
    }
}
