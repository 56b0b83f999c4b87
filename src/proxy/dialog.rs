//! Dialogs (RFC 3261 §12): early, confirmed, terminated.
//!
//! A slot is made for each initial INVITE before it is forwarded, because the Record-Route that we put into it carries the slot's
//! cookie. In-dialog requests follow their Route, not the dispatcher: the dialog counts and ends calls, it does not route them.
//! Several 2xx with different To tags (RFC 3261 §13.2.2.4) are legs of one slot; it is terminated when all of them are.
//! What the slot holds of call load is given back once, when it is terminated or expires.

use super::deadlines::{Deadlines, Owner};
use super::slab::{Id, Slab};
use super::timer::Wheel;
use crate::dispatcher::{LoadToken, States};
use crate::limits;
use crate::time::Instant;
use smallvec::SmallVec;

/// Where a dialog stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Its INVITE has no final answer.
    Early,
    /// A 2xx came.
    Confirmed,
    /// Every leg has ended; the slot stays while its INVITE transaction may bring more legs.
    Terminated,
}

/// One 2xx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Leg {
    tag: u32,
    ended: bool,
}

/// One dialog slot.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) state: State,
    /// Keyed hash of Call-ID and the caller's tag: a cookie from another call does not fit.
    call: u32,
    legs: SmallVec<[Leg; 1]>,
    token: Option<LoadToken>,
    /// The INVITE transaction that made it, while it lives.
    pub(crate) transaction: Option<Id>,
    pub(crate) deadlines: Deadlines,
}

/// The dialogs of one shard.
#[derive(Debug)]
pub(crate) struct Dialogs {
    slots: Slab<Dialog>,
}

impl Dialogs {
    pub(crate) fn new(max: usize, first_generation: u32) -> Self {
        Self { slots: Slab::with_capacity_max(max, first_generation) }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// An early dialog; `None` when the table is full.
    pub(crate) fn insert(&mut self, call: u32, expires: Instant, wheel: &mut Wheel<Owner>) -> Option<Id> {
        let deadlines = Deadlines { timeout_at: expires, ..Deadlines::default() };
        let dialog =
            Dialog { state: State::Early, call, legs: SmallVec::new(), token: None, transaction: None, deadlines };
        let id = self.slots.insert(dialog)?;
        self.file(id, wheel);
        Some(id)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Dialog> {
        self.slots.get_mut(id)
    }

    /// The dialog that a timer of slot `index` is for.
    pub(crate) fn at(&self, index: u32) -> Option<Id> {
        self.slots.id_at(index)
    }

    /// Whether `id` is a dialog of the call with this hash.
    pub(crate) fn belongs(&self, id: Id, call: u32) -> bool {
        self.slots.get(id).is_some_and(|dialog| dialog.call == call)
    }

    /// Files its next deadline.
    pub(crate) fn file(&mut self, id: Id, wheel: &mut Wheel<Owner>) {
        if let Some(dialog) = self.slots.get_mut(id) {
            dialog.deadlines.file(wheel, Owner::Dialog(id.index));
        }
    }

    /// A 2xx with this far tag came. Gives back a token that the dialog has no use for: it has one already, or is gone.
    /// The flag says whether the leg was refused because there are too many.
    #[must_use]
    pub(crate) fn confirm(
        &mut self,
        id: Id,
        tag: u32,
        token: Option<LoadToken>,
        expires: Instant,
    ) -> (Option<LoadToken>, bool) {
        let Some(dialog) = self.slots.get_mut(id) else { return (token, false) };
        let known = dialog.legs.iter().any(|leg| leg.tag == tag);
        let room = dialog.legs.len() < limits::FORKS_MAX;
        if !known && room {
            dialog.legs.push(Leg { tag, ended: false });
            dialog.state = State::Confirmed;
        }
        dialog.deadlines.timeout_at = expires;
        let spare = if dialog.token.is_none() && dialog.state == State::Confirmed {
            dialog.token = token;
            None
        } else {
            token
        };
        (spare, !known && !room)
    }

    /// An in-dialog request came: the call lives on. Filed lazily: the old deadline only looks at the new one.
    pub(crate) fn refresh(&mut self, id: Id, expires: Instant) {
        if let Some(dialog) = self.slots.get_mut(id).filter(|dialog| dialog.state == State::Confirmed) {
            dialog.deadlines.timeout_at = expires;
        }
    }

    /// The leg whose far tag is one of `tags`, when the dialog has it.
    pub(crate) fn leg(&self, id: Id, tags: [u32; 2]) -> Option<u32> {
        let dialog = self.slots.get(id)?;
        dialog.legs.iter().map(|leg| leg.tag).find(|tag| tags.contains(tag))
    }

    /// A BYE ended the leg with this far tag.
    pub(crate) fn end_leg(&mut self, id: Id, tag: u32, states: &States, wheel: &mut Wheel<Owner>) {
        let Some(dialog) = self.slots.get_mut(id) else { return };
        dialog.legs.iter_mut().filter(|leg| leg.tag == tag).for_each(|leg| leg.ended = true);
        if dialog.legs.iter().all(|leg| leg.ended) {
            self.terminate(id, states, wheel);
        }
    }

    /// Ends the dialog: its load is given back, and the slot is free unless its INVITE transaction lives.
    pub(crate) fn terminate(&mut self, id: Id, states: &States, wheel: &mut Wheel<Owner>) {
        let Some(dialog) = self.slots.get_mut(id) else { return };
        dialog.state = State::Terminated;
        if let Some(token) = dialog.token.take() {
            states.release(token);
        }
        if dialog.transaction.is_none() {
            dialog.deadlines.cancel(wheel);
            self.slots.remove(id);
        }
    }

    /// Lets go of all load without giving it back: the process ends.
    pub(crate) fn forget_tokens(&mut self) {
        let ids: Vec<_> = self.slots.iter().map(|(id, _)| id).collect();
        for id in ids {
            core::mem::forget(self.slots.get_mut(id).and_then(|dialog| dialog.token.take()));
        }
    }

    /// Its INVITE transaction is gone: nothing can confirm it any more.
    pub(crate) fn leave_transaction(&mut self, id: Id, states: &States, wheel: &mut Wheel<Owner>) {
        let Some(dialog) = self.slots.get_mut(id) else { return };
        dialog.transaction = None;
        if dialog.state != State::Confirmed {
            self.terminate(id, states, wheel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const START: Instant = Instant::from_nanos(0);

    struct World {
        dialogs: Dialogs,
        wheel: Wheel<Owner>,
        states: States,
        id: Id,
    }

    fn world() -> World {
        let (mut dialogs, mut wheel) = (Dialogs::new(2, 1), Wheel::new(START, 8));
        let id = dialogs.insert(7, START + Duration::from_secs(300), &mut wheel).unwrap();
        World { dialogs, wheel, states: States::new(), id }
    }

    #[test]
    fn a_dialog_is_early_until_a_2xx_and_ends_with_its_last_leg() {
        // RFC 3261 §12.1, §13.2.2.4
        let World { mut dialogs, mut wheel, states, id } = world();
        dialogs.get_mut(id).unwrap().transaction = Some(id);
        assert_eq!(dialogs.get_mut(id).unwrap().state, State::Early);
        for tag in [1, 2, 1] {
            assert!(matches!(dialogs.confirm(id, tag, None, START), (None, false)));
        }
        assert_eq!(dialogs.leg(id, [9, 2]), Some(2));
        dialogs.end_leg(id, 1, &states, &mut wheel);
        assert_eq!(dialogs.get_mut(id).unwrap().state, State::Confirmed);
        dialogs.end_leg(id, 2, &states, &mut wheel);
        assert_eq!(dialogs.get_mut(id).unwrap().state, State::Terminated);
        dialogs.leave_transaction(id, &states, &mut wheel);
        assert_eq!((dialogs.len(), wheel.len()), (0, 0));
    }

    #[test]
    fn more_forks_than_the_limit_are_refused_and_said() {
        let World { mut dialogs, id, .. } = world();
        for tag in 0..limits::FORKS_MAX as u32 {
            assert!(!dialogs.confirm(id, tag, None, START).1);
        }
        assert!(dialogs.confirm(id, 99, None, START).1);
        assert!(!dialogs.confirm(id, 0, None, START).1, "a retransmission is no new fork");
    }

    #[test]
    fn an_unanswered_invite_leaves_no_dialog() {
        let World { mut dialogs, mut wheel, states, id } = world();
        assert!(dialogs.belongs(id, 7) && !dialogs.belongs(id, 8));
        dialogs.leave_transaction(id, &states, &mut wheel);
        assert_eq!((dialogs.len(), wheel.len()), (0, 0));
    }
}
