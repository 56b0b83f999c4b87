//! Rates: the difference of two answers over the time between them.

use super::overview::{Flow, Overview, Shard};
use std::collections::HashMap;

/// Per second, of a destination or a set.
pub(super) type Rate = Flow<f64>;

/// Per second, of one shard, or of all.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct ShardRate {
    pub(super) flow: Rate,
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
    pub(super) sets: Vec<Option<Rate>>,
    /// All sets together, but those that are not known.
    pub(super) every_set: Option<Rate>,
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
        let of_flow =
            |before: Flow<u64>, now: Flow<u64>| before.with(now, |before, now| per_second(before, now, seconds));
        let known: HashMap<_, _> = before.destinations.iter().map(|it| ((it.set, it.duid.as_str()), it.flow)).collect();
        let destinations = now.destinations.iter().map(|it| (known.get(&(it.set, it.duid.as_str())), it.flow));
        let known: HashMap<u64, _> = before.sets.iter().map(|it| (it.number, it.flow)).collect();
        let sets = now.sets.iter().map(|it| (known.get(&it.number), it.flow));
        // The total of a set falls when a destination is removed, too: then it tells nothing of the others.
        let of_set = |before: Flow<u64>, now: Flow<u64>| {
            before.with(now, |before, now| now.saturating_sub(before) as f64 / seconds)
        };
        let sets: Vec<_> = sets.map(|(before, now)| before.map(|before| of_set(*before, now))).collect();
        let of_shard =
            |it: &Shard| before.shards.iter().find(|old| old.number == it.number).map(|old| shard(old, it, seconds));
        let shards: Vec<_> = now.shards.iter().map(of_shard).collect();
        Self {
            destinations: destinations.map(|(before, now)| before.map(|before| of_flow(*before, now))).collect(),
            every_set: sets.iter().copied().flatten().reduce(added),
            sets,
            total: shards.iter().copied().collect::<Option<Vec<_>>>().map(sum),
            shards,
        }
    }

    /// Of an answer that has none before it.
    pub(super) fn unknown(now: &Overview) -> Self {
        let (destinations, sets) = (vec![None; now.destinations.len()], vec![None; now.sets.len()]);
        Self { destinations, sets, shards: vec![None; now.shards.len()], ..Self::default() }
    }
}

fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    now.checked_sub(before).unwrap_or(now) as f64 / seconds
}

fn shard(before: &Shard, now: &Shard, seconds: f64) -> ShardRate {
    ShardRate {
        flow: before.flow.with(now.flow, |before, now| per_second(before, now, seconds)),
        received: per_second(before.received, now.received, seconds),
        sent: per_second(before.sent, now.sent, seconds),
        lost: per_second(before.lost, now.lost, seconds),
    }
}

fn added(one: Rate, other: Rate) -> Rate {
    one.with(other, |one, other| one + other)
}

fn sum(shards: Vec<ShardRate>) -> ShardRate {
    shards.into_iter().fold(ShardRate::default(), |all, it| ShardRate {
        flow: added(all.flow, it.flow),
        received: all.received + it.received,
        sent: all.sent + it.sent,
        lost: all.lost + it.lost,
    })
}

#[cfg(test)]
mod tests {
    use super::super::overview::{Destination, Set};
    use super::*;

    fn overview(at_ms: u64, requests: &[(&str, u64)]) -> Overview {
        let of = |(duid, requests): &(&str, u64)| Destination {
            set: 1,
            duid: (*duid).to_owned(),
            flow: Flow { calls: *requests, failed: requests / 10, ..Flow::default() },
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
    }

    #[test]
    fn sets_have_rates_of_their_own_and_those_that_are_known_together() {
        let with = |at_ms, calls: &[(u64, u64)]| Overview {
            at_ms,
            sets: calls
                .iter()
                .map(|(number, calls)| Set {
                    number: *number,
                    flow: Flow { calls: *calls, ..Flow::default() },
                    ..Set::default()
                })
                .collect(),
            ..Overview::default()
        };
        let rates = Rates::between(&with(0, &[(1, 10), (2, 20)]), &with(2_000, &[(2, 70), (3, 5), (1, 11)]));
        let calls: Vec<_> = rates.sets.iter().map(|rate| rate.map(|rate| rate.calls)).collect();
        assert_eq!((calls, rates.every_set.map(|rate| rate.calls)), (vec![Some(25.0), None, Some(0.5)], Some(25.5)));
        assert_eq!(Rates::between(&with(0, &[]), &with(2_000, &[(3, 5)])).every_set, None);
        let less = Rates::between(&with(0, &[(1, 1_000)]), &with(1_000, &[(1, 30)]));
        assert_eq!(less.every_set, Some(Rate::default()), "a destination was removed with its calls");
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
