//! Asking shards: one question is one look at a bounded part of what a shard has; longer lists are put together here.

use super::{Control, Fault};
use crate::limits;
use crate::proxy::Proxy;
use crate::shard::Asked;
use core::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A place in the tables of all shards: what came before it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Place {
    pub(super) shard: u32,
    pub(super) slot: u32,
}

impl Place {
    /// The place behind the one that is written as `SHARD:SLOT`.
    pub(super) fn after(text: &str) -> Option<Self> {
        let (shard, slot) = text.split_once(':')?;
        Some(Self { shard: shard.parse().ok()?, slot: slot.parse::<u32>().ok()?.checked_add(1)? })
    }
}

/// A table of a shard as lists see it.
pub(super) struct Table<T> {
    /// Slots that there are.
    slots: fn(&Proxy) -> u32,
    /// What is in these, in their order.
    rows: Arc<Rows<T>>,
}

/// What is in these slots.
type Rows<T> = dyn Fn(&Proxy, Range<u32>) -> Vec<T> + Send + Sync;

impl<T> Table<T> {
    pub(super) fn new(
        slots: fn(&Proxy) -> u32,
        rows: impl Fn(&Proxy, Range<u32>) -> Vec<T> + Send + Sync + 'static,
    ) -> Self {
        Self { slots, rows: Arc::new(rows) }
    }
}

impl Control {
    /// What `shard` answers to `question`, which visits at most [`limits::INQUIRY_SLOTS`] slots.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        shard: u32,
        question: impl FnOnce(&mut Asked<'_>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let question = move |asked: &mut Asked<'_>| {
            // Who has given up needs no answer.
            let _ = answer.send(question(asked));
        };
        self.inquiries().ask(shard, question).map_err(|busy| Fault::refused(busy.to_string(), "Server Busy"))?;
        match timeout(limits::INQUIRY_TIME_MAX, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Fault::refused(format!("shard {shard} has ended"), "Server Stopping")),
            Err(_) => Err(Fault::refused(format!("shard {shard} does not answer"), "Server Busy")),
        }
    }

    /// The rows of all shards from `from` on, with the shard of each: `limit` of them, or fewer when there are no more. A list taken
    /// while calls come and go may lack what came behind its back.
    pub(super) async fn rows<T: Send + 'static>(
        &self,
        table: &Table<T>,
        from: Place,
        limit: usize,
    ) -> Result<Vec<(u32, T)>, Fault> {
        let mut found = Vec::new();
        let mut place = Some(from);
        while let Some(here) = place.filter(|_| found.len() < limit) {
            let (rows, next) = self.some(table, here).await?;
            found.extend(rows.into_iter().map(|row| (here.shard, row)));
            place = next;
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Shows every row of all shards from `from` on.
    pub(super) async fn each<T: Send + 'static>(
        &self,
        table: &Table<T>,
        from: Place,
        mut show: impl FnMut(T),
    ) -> Result<(), Fault> {
        let mut place = Some(from);
        while let Some(here) = place {
            let (rows, next) = self.some(table, here).await?;
            rows.into_iter().for_each(&mut show);
            place = next;
        }
        Ok(())
    }

    /// What is in the next slots, and where to go on.
    async fn some<T: Send + 'static>(
        &self,
        table: &Table<T>,
        Place { shard, slot }: Place,
    ) -> Result<(Vec<T>, Option<Place>), Fault> {
        let shards = self.inquiries().shards();
        if shard >= shards {
            return Ok((Vec::new(), None));
        }
        let range = slot..slot.saturating_add(limits::INQUIRY_SLOTS);
        let end = range.end;
        let (count, rows) = (table.slots, Arc::clone(&table.rows));
        let look = move |asked: &mut Asked<'_>| (count(asked.proxy), rows(asked.proxy, range));
        let (slots, rows) = self.ask(shard, look).await?;
        let next = if end < slots { Place { shard, slot: end } } else { Place { shard: shard + 1, slot: 0 } };
        Ok((rows, Some(next).filter(|next| next.shard < shards)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::control::{Blame, ControlPlan, EventLog, probe_settings};
    use crate::proxy::Policy;
    use crate::shard::{Inquiries, Lifecycle};
    use arc_swap::ArcSwap;

    fn control(shards: usize) -> Control {
        let config = config::parse(config::BUILT_IN, "built-in config").unwrap();
        let table = crate::dispatcher::Table::build(vec![], None).unwrap();
        let policy = Policy { table, rules: vec![], default_set: None };
        Control::new(ControlPlan {
            grants: None,
            on_reload: |_| {},
            probing: Arc::new(ArcSwap::from_pointee(probe_settings(&config.prober, &config.settings))),
            events: Arc::new(EventLog::new(&config.control)),
            config,
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            counters: vec![],
            inquiries: Inquiries::unanswered(shards),
            drift: Arc::default(),
            lifecycle: Arc::new(Lifecycle::new(shards)),
        })
    }

    #[test]
    fn a_shard_of_which_too_many_ask_is_busy_and_the_fault_says_so() {
        let control = control(2);
        for _ in 0..limits::INQUIRIES_WAITING {
            control.inquiries().ask(1, |_| {}).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let fault = runtime.block_on(control.ask(1, |_| ())).unwrap_err();
        assert_eq!((fault.blame, fault.kamailio), (Blame::Refused, "Server Busy"));
        assert_eq!(
            fault.detail,
            format!("shard 1 is busy: {} questions wait for it already", limits::INQUIRIES_WAITING)
        );
    }

    #[test]
    fn a_shard_that_does_not_answer_is_waited_for_no_longer_than_the_bound() {
        let control = control(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let fault = runtime.block_on(control.ask(0, |_| ())).unwrap_err();
        assert_eq!(fault.detail, "shard 0 does not answer");
    }

    #[test]
    fn a_place_is_behind_the_one_that_is_named() {
        assert_eq!(Place::after("1:7"), Some(Place { shard: 1, slot: 8 }));
        for wrong in ["", "7", "a:1", "1:", "1:4294967295", "-1:0"] {
            assert_eq!(Place::after(wrong), None, "{wrong}");
        }
    }
}
