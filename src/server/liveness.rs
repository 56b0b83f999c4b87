//! Whether every shard gets on: the rule behind systemd's watchdog.

use crate::limits;
use crate::time::Instant;
use core::time::Duration;

/// When each shard was last seen in another turn than before.
#[derive(Debug)]
pub(super) struct Liveness(Vec<Seen>);

/// What was seen of one shard.
#[derive(Clone, Copy, Debug)]
struct Seen {
    turn: u64,
    at: Instant,
    is_stuck: bool,
}

/// What changed with a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// It has not begun a new turn for this long, more than [`limits::SHARD_STUCK_AFTER`].
    Stuck(Duration),
    /// It gets on again.
    Moves,
}

impl Liveness {
    /// Of shards that are in these turns now.
    pub(super) fn new(turns: impl Iterator<Item = u64>, now: Instant) -> Self {
        Self(turns.map(|turn| Seen { turn, at: now, is_stuck: false }).collect())
    }

    /// Looks at all shards, in their order, and tells `changed` of those that are stuck now and were not, or the other way round.
    pub(super) fn look(
        &mut self,
        turns: impl Iterator<Item = u64>,
        now: Instant,
        mut changed: impl FnMut(usize, Change),
    ) {
        for (shard, (seen, turn)) in self.0.iter_mut().zip(turns).enumerate() {
            if seen.turn != turn {
                (seen.turn, seen.at) = (turn, now);
            }
            let still = now.saturating_since(seen.at);
            let is_stuck = still > limits::SHARD_STUCK_AFTER;
            if is_stuck != seen.is_stuck {
                seen.is_stuck = is_stuck;
                changed(shard, if is_stuck { Change::Stuck(still) } else { Change::Moves });
            }
        }
    }

    /// Whether every shard got on when they were last looked at.
    pub(super) fn is_well(&self) -> bool {
        self.0.iter().all(|seen| !seen.is_stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const STUCK_AFTER_MS: u64 = limits::SHARD_STUCK_AFTER.as_millis() as u64;

    /// Looks at `turns` at a time in ms, and gives what changed and whether all is well.
    fn look(liveness: &mut Liveness, turns: [u64; 2], at_ms: u64) -> (Vec<(usize, Change)>, bool) {
        let mut changes = Vec::new();
        let now = Instant::from_nanos(at_ms * MS);
        liveness.look(turns.into_iter(), now, |shard, change| changes.push((shard, change)));
        (changes, liveness.is_well())
    }

    #[test]
    fn one_shard_that_stands_still_is_enough_and_the_others_do_not_hide_it() {
        let mut liveness = Liveness::new([7, 7].into_iter(), Instant::from_nanos(0));
        assert_eq!(look(&mut liveness, [8, 7], STUCK_AFTER_MS), (vec![], true), "not longer than it may");
        let stuck = Change::Stuck(limits::SHARD_STUCK_AFTER + Duration::from_millis(1));
        assert_eq!(look(&mut liveness, [9, 7], STUCK_AFTER_MS + 1), (vec![(1, stuck)], false));
        assert_eq!(look(&mut liveness, [10, 7], STUCK_AFTER_MS + 50), (vec![], false), "told once");
        assert_eq!(look(&mut liveness, [11, 8], STUCK_AFTER_MS + 100), (vec![(1, Change::Moves)], true));
    }

    #[test]
    fn idle_shards_are_well() {
        let mut liveness = Liveness::new([0, 0].into_iter(), Instant::from_nanos(0));
        let idle_ms = limits::IDLE_WAIT_MAX.as_millis() as u64;
        for turn in 1..100 {
            assert_eq!(look(&mut liveness, [turn, turn], turn * idle_ms), (vec![], true));
        }
    }
}
