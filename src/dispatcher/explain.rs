//! Why a request would get the targets that it would get, without being one: the same selection, on a copy of what it counts.

use core::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use super::random::Random;
use super::select::{Draft, Input};
use super::set::{Counts, Set};
use super::state::States;
use super::targets::Targets;

/// What selection says about one destination of a set, for one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may get the request.
    Open,
    /// Health or admin keep requests away.
    Unavailable,
    /// It is only used when no other destination is available, or it is the turn of those that are.
    LastResort,
    /// It has as many calls, or as many in this second, as it may have.
    NoRoom,
    /// It wants no such request now: overload control.
    Overloaded,
    /// Slow start gives its turn to others.
    HeldBack,
}

/// What selection would make of a request.
#[derive(Clone, Debug)]
pub struct SetView {
    /// What it says about each destination, in file order.
    pub verdicts: Vec<Verdict>,
    /// Whether the destination that would have come first sheds the request because of its own overload.
    pub is_shed: bool,
    /// The number of the turn that the request would take.
    pub turn: u64,
}

impl Set {
    /// Fills `targets` as [`Set::select`] would for a request that came now, and says why; nothing is counted, drawn or changed. Where
    /// chance decides, this is one outcome of many.
    pub fn explain(&self, states: &States, input: &Input<'_>, random: &mut Random, targets: &mut Targets) -> SetView {
        let counts = self.position.copy();
        let (turn, request) = (counts.turns.load(Ordering::Relaxed), counts.requests.load(Ordering::Relaxed));
        let mut is_shed = false;
        let sheds = |state| {
            is_shed = states.would_shed(state, input.prioritized, input.now);
            is_shed
        };
        self.select_by(&counts, sheds, (states, input, random), targets);
        let mut unused = Targets::new();
        let mut draft = Draft::new(self, states, input, &mut unused);
        draft.resume(is_shed, request);
        let verdicts = (0..self.destinations.len()).map(|position| draft.verdict(position)).collect();
        SetView { verdicts, is_shed, turn }
    }
}

impl Counts {
    fn copy(&self) -> Self {
        let copy = |count: &AtomicU64| CachePadded::new(AtomicU64::new(count.load(Ordering::Relaxed)));
        Self { turns: copy(&self.turns), requests: copy(&self.requests), is_copy: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::fixture::{ALGORITHMS, destination, set};
    use crate::dispatcher::{
        Admin, Algorithm, DestinationSpec, OverloadAlgorithm, OverloadReport, SetSpec, Table, TableError,
    };
    use crate::time::Instant;
    use core::time::Duration;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    fn input() -> Input<'static> {
        Input { hash_key: b"call-7", ..Input::at(NOW) }
    }

    fn table(spec: SetSpec) -> Table {
        Table::build(vec![spec], None).unwrap_or_else(|error: TableError| panic!("{error}"))
    }

    fn verdicts(table: &Table) -> Vec<Verdict> {
        table.sets()[0].explain(table.states(), &input(), &mut Random::new(1), &mut Targets::new()).verdicts
    }

    #[test]
    fn under_every_algorithm_the_next_request_gets_what_was_explained_as_often_as_it_is() {
        for algorithm in ALGORITHMS {
            let members = (0..5).map(|number| destination(number, number as u32)).collect();
            let table = table(set(1, algorithm, members));
            let (set, states) = (&table.sets()[0], table.states());
            for seed in 0..20 {
                let mut explained = [Targets::new(), Targets::new()];
                for targets in &mut explained {
                    set.explain(states, &input(), &mut Random::new(seed), targets);
                }
                let mut selected = Targets::new();
                set.select(states, &input(), &mut Random::new(seed), &mut selected);
                assert!(explained.iter().all(|targets| **targets == *selected), "{algorithm:?}: {explained:?}");
            }
        }
    }

    #[test]
    fn each_destination_that_is_passed_over_is_told_why() {
        let members = vec![
            destination(0, 1),
            destination(1, 1),
            DestinationSpec { maxload: 1, ..destination(2, 1) },
            DestinationSpec { last_resort: true, ..destination(3, 1) },
        ];
        let table = table(set(1, Algorithm::Priority, members));
        let states = table.states();
        let at = |position: usize| table.sets()[0].destinations[position].state;
        states.set_admin(at(1), Admin::Draining, NOW);
        let token = states.take_load(at(2));
        assert_eq!(verdicts(&table), [Verdict::Open, Verdict::Unavailable, Verdict::NoRoom, Verdict::LastResort]);
        states.release(token);
        assert_eq!(verdicts(&table)[2], Verdict::Open);
    }

    #[test]
    fn what_overload_control_would_shed_is_told_and_nothing_is_drawn() {
        let members = vec![destination(0, 1), destination(1, 1)];
        let table = table(set(1, Algorithm::RoundRobinOverload, members));
        let (states, first) = (table.states(), table.sets()[0].destinations[0].state);
        let validity = Duration::from_secs(60);
        let report = OverloadReport { algorithm: OverloadAlgorithm::Loss, value: 100, validity, sequence: 1 };
        assert!(states.set_overload(first, &report, NOW));
        for _ in 0..3 {
            let mut targets = Targets::new();
            let view = table.sets()[0].explain(states, &input(), &mut Random::new(1), &mut targets);
            assert_eq!((view.is_shed, view.turn), (true, 0));
            assert_eq!(view.verdicts, [Verdict::Overloaded, Verdict::Open]);
            assert_eq!(targets[..], [table.sets()[0].destinations[1].id]);
        }
        assert_eq!(states.overload(first, NOW).shed, 0);
    }

    #[test]
    fn slow_start_is_told_for_the_request_whose_turn_it_would_be() {
        let spec = SetSpec { slow_start: Duration::from_secs(100), ..set(1, Algorithm::RoundRobin, vec![]) };
        let table = table(SetSpec { destinations: vec![destination(0, 1), destination(1, 1)], ..spec });
        let (states, second) = (table.states(), table.sets()[0].destinations[1].state);
        states.set_admin(second, Admin::Disabled, NOW);
        states.set_admin(second, Admin::Enabled, NOW);
        let mut seen = Vec::new();
        for _ in 0..40 {
            seen.push(verdicts(&table)[1]);
            assert_eq!(verdicts(&table)[1], seen[seen.len() - 1], "asking again is no request");
            table.sets()[0].select(states, &input(), &mut Random::new(1), &mut Targets::new());
        }
        let held_back = seen.iter().filter(|verdict| **verdict == Verdict::HeldBack).count();
        assert!((25..40).contains(&held_back), "nine of ten: {held_back}");
    }
}
