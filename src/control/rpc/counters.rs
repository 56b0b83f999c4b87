//! All counters in groups: Kamailio's groups and names where the meaning is the same, everything of ours in the group `siplane`.

use super::memory::Memory;
use crate::control::Control;
use crate::proxy::StatelessReplies;
use crate::shard::{Levels, Snapshot};

/// One counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counter {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) value: u64,
}

/// What Kamailio's sl module calls the counters of [`StatelessReplies`], in their order.
const STATELESS_REPLIES: [&str; StatelessReplies::COUNT] = [
    "200_replies",
    "202_replies",
    "2xx_replies",
    "300_replies",
    "301_replies",
    "302_replies",
    "3xx_replies",
    "400_replies",
    "401_replies",
    "403_replies",
    "404_replies",
    "407_replies",
    "408_replies",
    "483_replies",
    "4xx_replies",
    "500_replies",
    "5xx_replies",
    "6xx_replies",
    "xxx_replies",
];

/// All of them, ordered by group and name as Kamailio does, those of ours as they are counted.
pub(super) fn counters(control: &Control) -> Vec<Counter> {
    let snapshot = control.snapshot();
    let mut counters: Vec<Counter> = kamailios(&snapshot).into();
    counters.extend(memory(&Memory::of(control)));
    let replies = STATELESS_REPLIES.into_iter().zip(snapshot.stateless_replies.0);
    counters.extend(replies.map(|(name, value)| counter("sl", name, value)));
    counters.sort_by_key(|counter| (counter.group, counter.name));
    let levels = Levels::NAMES.into_iter().zip(snapshot.levels.as_array());
    counters.extend(snapshot.counters().chain(levels).map(|(name, value)| Counter { group: "siplane", name, value }));
    counters
}

/// Calls by the state of their dialog.
pub(super) struct Calls {
    /// Without an answer yet.
    pub(super) early: u64,
    /// Answered.
    pub(super) active: u64,
}

impl Calls {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let proxy = &snapshot.proxy;
        let over = proxy.dialogs_ended + proxy.dialogs_expired + proxy.dialogs_unacked + proxy.dialogs_dead;
        // Shards publish at their own moments, so that a sum may be off for one.
        let active = proxy.dialogs_confirmed.saturating_sub(over).min(snapshot.levels.dialogs);
        Self { early: snapshot.levels.dialogs - active, active }
    }
}

const fn counter(group: &'static str, name: &'static str, value: u64) -> Counter {
    Counter { group, name, value }
}

fn kamailios(snapshot: &Snapshot) -> [Counter; 16] {
    let (proxy, levels, calls) = (&snapshot.proxy, &snapshot.levels, Calls::of(snapshot));
    [
        counter("core", "rcv_requests", proxy.requests),
        counter("core", "rcv_replies", proxy.responses),
        counter("core", "drop_replies", proxy.stray_responses + proxy.foreign_responses),
        counter("core", "drop_requests", proxy.stray_acks),
        counter("core", "bad_msg_hdr", snapshot.defects.0.iter().sum()),
        counter("dialog", "active_dialogs", calls.active),
        counter("dialog", "early_dialogs", calls.early),
        counter("dialog", "expired_dialogs", proxy.dialogs_expired),
        counter("dialog", "failed_dialogs", proxy.calls_failed),
        counter("dialog", "processed_dialogs", proxy.dialogs_created),
        counter("sl", "sent_replies", proxy.stateless_replies),
        counter("tmx", "UAS_transactions", proxy.transactions_created),
        counter("tmx", "UAC_transactions", proxy.keepalives),
        counter("tmx", "active_transactions", levels.pending_transactions),
        counter("tmx", "inuse_transactions", levels.transactions),
        counter("tmx", "rpl_received", proxy.responses),
    ]
}

fn memory(memory: &Memory) -> [Counter; 6] {
    [
        counter("shmem", "fragments", 0),
        counter("shmem", "free_size", memory.free()),
        counter("shmem", "max_used_size", memory.max_used),
        counter("shmem", "real_used_size", memory.real_used),
        counter("shmem", "total_size", memory.total),
        counter("shmem", "used_size", memory.used),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_early_until_they_are_answered_and_active_until_they_end() {
        let mut snapshot = Snapshot::default();
        (snapshot.levels.dialogs, snapshot.proxy.dialogs_confirmed) = (5, 10);
        (snapshot.proxy.dialogs_ended, snapshot.proxy.dialogs_expired) = (4, 1);
        (snapshot.proxy.dialogs_unacked, snapshot.proxy.dialogs_dead) = (1, 1);
        let calls = Calls::of(&snapshot);
        assert_eq!((calls.active, calls.early), (3, 2));
        snapshot.proxy.dialogs_confirmed = 100;
        assert_eq!(Calls::of(&snapshot).active, 5, "never more than there are dialogs");
    }
}
