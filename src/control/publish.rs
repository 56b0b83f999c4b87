//! One change at a time: build the next table from the one in force, publish it, and let go of the old one here, not in a shard.
//!
//! # Policy
//!
//! - A change sees what the one before it left, and is in force when its answer is given. Changes queue in the order of their coming.
//! - Reading files and building a table are work for a thread of the runtime's pool: the doors go on answering meanwhile.
//! - A policy that is no longer in force is kept until no shard and no prober looks at it any more, and then freed by the control side:
//!   ten thousand destinations are not freed between two datagrams.

use super::in_force::InForce;
use super::{Control, Fault, Value, diff, state_file};
use crate::dispatcher::{Table, TableError};
use crate::proxy::Policy;
use crate::shard::clock;
use std::sync::{Arc, Mutex, PoisonError};

/// Policies that were in force.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<Vec<Arc<Policy>>>);

impl Retired {
    fn add(&self, policy: Arc<Policy>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(policy);
        self.sweep();
    }

    /// Frees those that nobody looks at any more.
    pub(super) fn sweep(&self) {
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, free): (Vec<_>, Vec<_>) = policies.drain(..).partition(|policy| Arc::strong_count(policy) > 1);
        *policies = kept;
        drop(policies);
        drop(free);
    }
}

/// What a change comes to: the config that it leaves, when that is another one, and its answer.
pub(super) type Changed<T> = Result<(Option<InForce>, T), Fault>;

impl Control {
    /// Makes one change, after those that came before.
    ///
    /// # Errors
    /// What `make` says, or why there can be no such table; nothing has changed then.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(&Self, &InForce) -> Changed<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let _turn = self.changes.lock().await;
        let control = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || control.change_now(make));
        work.await.unwrap_or_else(|error| Err(Fault::internal(format!("the change did not end: {error}"))))
    }

    fn change_now<T>(&self, make: impl FnOnce(&Self, &InForce) -> Changed<T>) -> Result<T, Fault> {
        let (next, answer) = make(self, &self.in_force())?;
        if let Some(next) = next {
            self.publish(&next).map_err(|error| Fault::refused(error.to_string(), "Reload Failed"))?;
            let changes = diff::between(&self.in_force(), &next).to_string();
            self.in_force.store(Arc::new(next));
            self.tell_table("published", &changes);
        }
        // Also without a new table: what operators say of destinations is kept over restarts.
        self.state_file.save(|| state_file::text(&self.policy().table));
        Ok(answer)
    }

    /// Tells what table is in force from now on.
    pub(super) fn tell_table(&self, kind: &'static str, changes: &str) {
        let policy = self.policy();
        let sets = policy.table.sets();
        let destinations: usize = sets.iter().map(|set| set.destinations.len()).sum();
        let counts = [("sets", Value::from(sets.len())), ("destinations", Value::from(destinations))];
        self.events().push(kind, [("summary", Value::from(changes))].into_iter().chain(counts).collect());
    }

    fn publish(&self, next: &InForce) -> Result<(), TableError> {
        let table = Table::build(next.sets.to_vec(), Some((&self.policy().table, clock::now())))?;
        let policy = Policy { table, rules: next.file.rules.clone(), default_set: next.file.default_set };
        self.retired.add(self.published().swap(Arc::new(policy)));
        let active = self.probing().load().active;
        let probing = super::probe_settings(&next.file.prober, &next.file.settings);
        let probing = crate::prober::ProbeSettings { active, ..probing };
        if **self.probing().load() != probing {
            self.probing().store(Arc::new(probing));
        }
        Ok(())
    }
}
