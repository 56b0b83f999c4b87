//! What has happened: the last events are kept, followers and the hook get each one as it comes.
//!
//! # Policy
//!
//! - Every event has a number, one higher than that of the one before it, from 1 on since the start of the process: who has seen number
//!   n asks for what came after n, and sees by the numbers whether something is missing.
//! - Writing one never waits for a reader: the ring forgets its oldest, a follower that does not keep up is told so and dropped, and
//!   what the hook's queue has no room for is counted and logged.
//! - Destinations speak through the prober ([`crate::prober::Told`]), all else through what does it: reload, methods, the utilisation
//!   alarm.

pub(super) mod alarm;
mod hook;
mod record;

pub(super) use record::{Members, Record};

use super::Value;
use crate::config::ControlSettings;
use crate::limits;
use crate::prober::Told;
use hook::Hook;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// The event log.
#[derive(Debug)]
pub struct EventLog {
    kept: Mutex<Kept>,
    news: broadcast::Sender<Arc<Record>>,
    hook: Option<Hook>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Arc<Record>>,
    /// The number of the last one.
    last: u64,
}

/// What came after some number.
#[derive(Debug)]
pub(super) struct Page {
    /// The events, oldest first.
    pub(super) records: Vec<Arc<Record>>,
    /// How many that came after it are forgotten.
    pub(super) missed: u64,
    /// The number of the last event of all.
    pub(super) last: u64,
}

impl EventLog {
    /// An empty log; events go to the hook that `settings` name, too.
    #[must_use]
    pub fn new(settings: &ControlSettings) -> Self {
        let (news, _) = broadcast::channel(limits::FOLLOWER_EVENTS_MAX);
        Self { kept: Mutex::default(), news, hook: settings.hook.clone().map(Hook::new) }
    }

    /// Takes what the prober tells.
    pub fn tell(&self, told: Told<'_>) {
        match told {
            Told::Event(event, table) => {
                if let Some((kind, at, members)) = record::read(event, table) {
                    self.add(kind, at, members);
                }
            }
            Told::Lost(count) => self.push("events-lost", vec![("count", Value::from(count))]),
        }
    }

    /// Adds an event that happens now.
    pub(super) fn push(&self, kind: &'static str, members: Members) {
        self.add(kind, SystemTime::now(), members);
    }

    fn add(&self, kind: &'static str, at: SystemTime, members: Members) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        let record = Arc::new(Record { sequence: kept.last, at, kind, members });
        if kept.records.len() >= limits::EVENTS_KEPT {
            kept.records.pop_front();
        }
        kept.records.push_back(Arc::clone(&record));
        if let Some(hook) = &self.hook {
            hook.offer(&record);
        }
        // Within the lock: followers get them in order. An error says that there are none.
        let _ = self.news.send(record);
    }

    /// At most `most` events after number `after`; when there are more, the first of them.
    pub(super) fn page(&self, after: u64, most: usize) -> Page {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).page(after, most)
    }

    /// All events after number `after` that are kept, and those that come from now on.
    pub(super) fn follow(&self, after: u64) -> (Page, broadcast::Receiver<Arc<Record>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.page(after, limits::EVENTS_KEPT), self.news.subscribe())
    }

    /// How many follow.
    pub(super) fn followers(&self) -> usize {
        self.news.receiver_count()
    }

    /// Runs the hook for each event, if there is one, until the runtime ends.
    pub(super) async fn serve_hook(self: Arc<Self>) {
        if let Some(hook) = &self.hook {
            hook.serve().await;
        }
    }
}

impl Kept {
    fn page(&self, after: u64, most: usize) -> Page {
        let first = self.last + 1 - self.records.len() as u64;
        let missed = first.saturating_sub(after.saturating_add(1));
        let records = self.records.iter().filter(|record| record.sequence > after).take(most).cloned().collect();
        Page { records, missed, last: self.last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(page: &Page) -> Vec<u64> {
        page.records.iter().map(|record| record.sequence).collect()
    }

    #[test]
    fn the_ring_keeps_the_last_ones_and_tells_how_many_of_those_asked_for_are_forgotten() {
        let log = EventLog::new(&ControlSettings::default());
        assert_eq!((log.page(0, 10).missed, log.page(0, 10).last), (0, 0));
        let count = limits::EVENTS_KEPT as u64 + 5;
        (0..count).for_each(|_| log.push("up", Vec::new()));
        let page = log.page(0, 3);
        assert_eq!((numbers(&page), page.missed, page.last), (vec![6, 7, 8], 5, count));
        let page = log.page(5, limits::EVENTS_KEPT);
        assert_eq!((page.records.len(), page.missed), (limits::EVENTS_KEPT, 0));
        let page = log.page(count - 2, 10);
        assert_eq!((numbers(&page), page.missed), (vec![count - 1, count], 0));
        assert!(log.page(u64::MAX, 10).records.is_empty());
    }

    #[test]
    fn who_follows_gets_what_is_kept_and_then_what_comes_without_a_gap() {
        let log = EventLog::new(&ControlSettings::default());
        log.push("up", Vec::new());
        let (page, mut news) = log.follow(0);
        assert_eq!((numbers(&page), log.followers()), (vec![1], 1));
        log.push("down", Vec::new());
        assert_eq!(news.try_recv().map(|record| (record.sequence, record.kind)), Ok((2, "down")));
        drop(news);
        assert_eq!(log.followers(), 0);
    }

    #[test]
    fn a_follower_that_does_not_keep_up_holds_nobody_up_and_learns_how_many_it_missed() {
        let log = EventLog::new(&ControlSettings::default());
        let (_, mut news) = log.follow(0);
        (0..limits::FOLLOWER_EVENTS_MAX + 7).for_each(|_| log.push("up", Vec::new()));
        assert!(matches!(news.try_recv(), Err(broadcast::error::TryRecvError::Lagged(7))));
    }
}
