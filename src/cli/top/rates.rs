//! Rates: the difference of two answers over the time between them.

use super::overview::{Destination, Overview, Shard};
use std::collections::HashMap;

/// Per second, of one destination, or of several together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Rate {
    pub(super) calls: f64,
    pub(super) answered: f64,
    pub(super) failed: f64,
    pub(super) failovers: f64,
}

/// Per second, of one shard, or of all.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct ShardRate {
    pub(super) calls: f64,
    pub(super) answered: f64,
    pub(super) failed: f64,
    pub(super) failovers: f64,
    pub(super) received: f64,
    pub(super) sent: f64,
    pub(super) lost: f64,
}

/// What goes on at the time of an answer. Nothing is known of what the answer before it did not have.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Rates {
    /// In the order of the answer.
    pub(super) destinations: Vec<Option<Rate>>,
    /// In the order of the answer.
    pub(super) shards: Vec<Option<ShardRate>>,
    /// All shards together.
    pub(super) total: Option<ShardRate>,
}

impl Rates {
    /// What went on between two answers. A total that has fallen began again at 0 in between (siplane has started again, or a
    /// destination came back into the table), so all that it has now is new. A clock that was set back tells nothing.
    pub(super) fn between(before: &Overview, now: &Overview) -> Self {
        let seconds = now.at_ms.saturating_sub(before.at_ms) as f64 / 1e3;
        if seconds == 0.0 {
            return Self::unknown(now);
        }
        let known: HashMap<(u64, &str), &Destination> =
            before.destinations.iter().map(|it| ((it.set, it.duid.as_str()), it)).collect();
        let of_destination =
            |it: &Destination| known.get(&(it.set, it.duid.as_str())).map(|old| destination(old, it, seconds));
        let of_shard =
            |it: &Shard| before.shards.iter().find(|old| old.number == it.number).map(|old| shard(old, it, seconds));
        let shards: Vec<_> = now.shards.iter().map(of_shard).collect();
        let total = shards.iter().copied().collect::<Option<Vec<_>>>().map(sum);
        Self { destinations: now.destinations.iter().map(of_destination).collect(), shards, total }
    }

    /// Of an answer that has none before it.
    pub(super) fn unknown(now: &Overview) -> Self {
        Self { destinations: vec![None; now.destinations.len()], shards: vec![None; now.shards.len()], total: None }
    }

    /// Of all destinations of `now` that `counts` together; those that are not known count nothing, but if none is, nothing is known.
    pub(super) fn of_set(&self, now: &Overview, counts: impl Fn(&Destination) -> bool) -> Option<Rate> {
        let of = now.destinations.iter().zip(&self.destinations).filter(|(it, _)| counts(it));
        of.filter_map(|(_, rate)| *rate).reduce(|all, rate| Rate {
            calls: all.calls + rate.calls,
            answered: all.answered + rate.answered,
            failed: all.failed + rate.failed,
            failovers: all.failovers + rate.failovers,
        })
    }
}

fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    now.checked_sub(before).unwrap_or(now) as f64 / seconds
}

fn destination(before: &Destination, now: &Destination, seconds: f64) -> Rate {
    Rate {
        calls: per_second(before.requests, now.requests, seconds),
        answered: per_second(before.answered, now.answered, seconds),
        failed: per_second(before.failed, now.failed, seconds),
        failovers: per_second(before.failovers, now.failovers, seconds),
    }
}

fn shard(before: &Shard, now: &Shard, seconds: f64) -> ShardRate {
    ShardRate {
        calls: per_second(before.calls, now.calls, seconds),
        answered: per_second(before.answered, now.answered, seconds),
        failed: per_second(before.failed, now.failed, seconds),
        failovers: per_second(before.failovers, now.failovers, seconds),
        received: per_second(before.received, now.received, seconds),
        sent: per_second(before.sent, now.sent, seconds),
        lost: per_second(before.lost, now.lost, seconds),
    }
}

fn sum(shards: Vec<ShardRate>) -> ShardRate {
    shards.into_iter().fold(ShardRate::default(), |all, it| ShardRate {
        calls: all.calls + it.calls,
        answered: all.answered + it.answered,
        failed: all.failed + it.failed,
        failovers: all.failovers + it.failovers,
        received: all.received + it.received,
        sent: all.sent + it.sent,
        lost: all.lost + it.lost,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(at_ms: u64, requests: &[(&str, u64)]) -> Overview {
        let of = |(duid, requests): &(&str, u64)| Destination {
            set: 1,
            duid: (*duid).to_owned(),
            requests: *requests,
            failed: requests / 10,
            ..Destination::default()
        };
        Overview { at_ms, destinations: requests.iter().map(of).collect(), ..Overview::default() }
    }

    fn calls(before: &Overview, now: &Overview) -> Vec<Option<f64>> {
        Rates::between(before, now).destinations.iter().map(|rate| rate.map(|rate| rate.calls)).collect()
    }

    #[test]
    fn a_rate_is_the_difference_of_two_totals_over_the_time_between_them_whatever_their_order() {
        let before = overview(10_000, &[("a", 100), ("b", 40)]);
        let now = overview(12_000, &[("b", 41), ("a", 150), ("new", 7)]);
        assert_eq!(calls(&before, &now), [Some(0.5), Some(25.0), None]);
        let rates = Rates::between(&before, &now);
        assert_eq!(rates.destinations[1].map(|rate| rate.failed), Some(2.5));
        assert_eq!(rates.of_set(&now, |it| it.set == 1).map(|rate| rate.calls), Some(25.5));
        assert_eq!(rates.of_set(&now, |it| it.duid == "new"), None);
    }

    #[test]
    fn a_total_that_falls_began_again_at_nothing() {
        let before = overview(10_000, &[("a", 1_000)]);
        let now = overview(11_000, &[("a", 30)]);
        assert_eq!(calls(&before, &now), [Some(30.0)]);
    }

    #[test]
    fn without_time_between_two_answers_nothing_is_known() {
        let before = overview(10_000, &[("a", 100)]);
        assert_eq!(calls(&before, &overview(10_000, &[("a", 150)])), [None]);
        assert_eq!(calls(&before, &overview(9_000, &[("a", 150)])), [None]);
    }

    #[test]
    fn shards_are_added_up_unless_one_of_them_is_not_known() {
        let with = |at_ms, received: &[u64]| Overview {
            at_ms,
            shards: (0..)
                .zip(received)
                .map(|(number, it)| Shard { number, received: *it, ..Shard::default() })
                .collect(),
            ..Overview::default()
        };
        let rates = Rates::between(&with(0, &[100, 10]), &with(1_000, &[300, 20]));
        assert_eq!(
            rates.shards.iter().map(|rate| rate.map(|rate| rate.received)).collect::<Vec<_>>(),
            [Some(200.0), Some(10.0)]
        );
        assert_eq!(rates.total.map(|rate| rate.received), Some(210.0));
        assert_eq!(Rates::between(&with(0, &[100]), &with(1_000, &[300, 20])).total, None);
    }
}
