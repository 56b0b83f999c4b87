//! Dialogs (RFC 3261 §12): early, confirmed, terminated.
//!
//! A slot is made for each initial INVITE before it is forwarded, because the Record-Route that we put into it carries the slot's
//! cookie. In-dialog requests follow their Route, not the dispatcher: the dialog counts and ends calls, it does not route them.
//! Several 2xx with different To tags (RFC 3261 §13.2.2.4) are legs of one slot; it is terminated when all of them are.
//!
//! # How a call's load ends
//!
//! Each leg keeps the token of the branch that brought its 2xx, so load is where the call is also when two destinations have
//! answered. It is given back once, when the leg ends: by BYE, when nobody acknowledges it ([`DialogLifetimes::no_ack`]), or with
//! the dialog when that lives beyond its lifetime or its session timer (RFC 4028). A leg that shares its branch with one that
//! goes on leaves it the token.

use super::deadlines::{Deadlines, NEVER, Owner};
use super::memory::Prepare;
use super::settings::DialogLifetimes;
use super::slab::{Id, Slab};
use super::timer::Wheel;
use crate::dispatcher::{LoadToken, StateIndex, States};
use crate::limits;
use crate::time::Instant;
use core::ops::Range;
use core::time::Duration;
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
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) tag: u32,
    /// The slot of the branch that brought it: legs with the same one are at the same destination.
    branch: u32,
    pub(crate) token: Option<LoadToken>,
    pub(crate) acked: bool,
    pub(crate) ended: bool,
}

/// A 2xx to the INVITE that began a dialog.
#[derive(Debug)]
pub(crate) struct Success {
    /// Hash of its To tag.
    pub(crate) tag: u32,
    /// The slot of its branch.
    pub(crate) branch: u32,
    /// What that branch holds of load.
    pub(crate) token: Option<LoadToken>,
    /// Its Session-Expires, seconds; 0 without one.
    pub(crate) session_s: u32,
}

/// What became of a [`Success`].
#[derive(Debug)]
pub(crate) struct Confirmed {
    /// The dialog has no use for it: it has one already, or is gone.
    pub(crate) spare: Option<LoadToken>,
    /// The leg was refused because there are too many.
    pub(crate) beyond_limit: bool,
    /// It made a call of the dialog.
    pub(crate) is_call: bool,
}

/// One dialog slot.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) state: State,
    /// Keyed hash of Call-ID and the caller's tag: a cookie from another call does not fit.
    call: u32,
    /// The session interval that the last 2xx said (RFC 4028), seconds; 0 without one.
    session_s: u32,
    pub(crate) legs: SmallVec<[Leg; 1]>,
    /// The INVITE transaction that made it, while it lives.
    pub(crate) transaction: Option<Id>,
    /// `timeout_at`: its lifetime; `answer_at`: when legs without ACK are given up; `retransmit_at`: its next keepalive.
    pub(crate) deadlines: Deadlines,
}

impl Dialog {
    fn lives_until(&self, now: Instant, lifetimes: &DialogLifetimes) -> Instant {
        // RFC 4028 §8.3: when the session has expired its state may go; a tenth more for refreshes that are on their way.
        let session = Duration::from_millis(u64::from(self.session_s) * 1100);
        now + if self.session_s == 0 { lifetimes.confirmed } else { session.min(lifetimes.confirmed) }
    }

    fn is_over(&self) -> bool {
        self.legs.iter().all(|leg| leg.ended)
    }
}

/// The dialogs of one shard.
#[derive(Debug)]
pub(crate) struct Dialogs {
    slots: Slab<Dialog>,
    /// Load tokens in them.
    tokens: usize,
}

impl Dialogs {
    pub(crate) fn new(max: usize, first_generation: u32, prepare: Prepare) -> Self {
        Self { slots: Slab::with_capacity_max(max, first_generation).prepared_by(prepare), tokens: 0 }
    }

    /// See [`Slab::make_room`].
    pub(crate) fn make_room(&mut self, count: usize, touch: Prepare) {
        self.slots.make_room(count, touch);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Slots that there are, vacant ones included.
    pub(crate) const fn places(&self) -> u32 {
        self.slots.places()
    }

    /// The dialogs in these slots.
    pub(crate) fn range(&self, slots: Range<u32>) -> impl Iterator<Item = (Id, &Dialog)> {
        self.slots.range(slots)
    }

    /// Load tokens that they hold.
    pub(crate) const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whose load they hold, token by token. Visits every slot: not for the data path.
    pub(crate) fn live_tokens(&self) -> impl Iterator<Item = StateIndex> {
        let legs = self.slots.iter().flat_map(|(_, dialog)| &dialog.legs);
        legs.filter_map(|leg| leg.token.as_ref()).map(LoadToken::state)
    }

    /// An early dialog; `None` when the table is full.
    pub(crate) fn insert(&mut self, call: u32, expires: Instant, wheel: &mut Wheel<Owner>) -> Option<Id> {
        let deadlines = Deadlines { timeout_at: expires, ..Deadlines::default() };
        let (legs, transaction) = (SmallVec::new(), None);
        let dialog = Dialog { state: State::Early, call, session_s: 0, legs, transaction, deadlines };
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

    /// Whether the leg with this far tag is there and has not ended.
    pub(crate) fn is_live(&self, id: Id, tag: u32) -> bool {
        self.slots.get(id).is_some_and(|dialog| dialog.legs.iter().any(|leg| leg.tag == tag && !leg.ended))
    }

    /// Whether the ACK of the leg with this far tag has passed (RFC 3261 §13.3.1.4).
    pub(crate) fn is_acked(&self, id: Id, tag: u32) -> bool {
        self.slots.get(id).is_some_and(|dialog| dialog.legs.iter().any(|leg| leg.tag == tag && leg.acked))
    }

    /// Files its next deadline.
    #[inline]
    pub(crate) fn file(&mut self, id: Id, wheel: &mut Wheel<Owner>) {
        if let Some(dialog) = self.slots.get_mut(id) {
            dialog.deadlines.file(wheel, Owner::Dialog(id.index));
        }
    }

    /// A 2xx came, at `now`; its deadlines are to be filed.
    #[must_use]
    #[inline]
    pub(crate) fn confirm(&mut self, now: Instant, id: Id, success: Success, lifetimes: &DialogLifetimes) -> Confirmed {
        let Success { tag, branch, token, session_s } = success;
        let mut confirmed = Confirmed { spare: None, beyond_limit: false, is_call: false };
        let Some(dialog) = self.slots.get_mut(id) else { return Confirmed { spare: token, ..confirmed } };
        let known = dialog.legs.iter().any(|leg| leg.tag == tag);
        if known || dialog.legs.len() >= limits::FORKS_MAX {
            (confirmed.spare, confirmed.beyond_limit) = (token, !known);
        } else {
            self.tokens += usize::from(token.is_some());
            dialog.legs.push(Leg { tag, branch, token, acked: false, ended: false });
            confirmed.is_call = dialog.state != State::Confirmed;
            dialog.state = State::Confirmed;
        }
        dialog.session_s = session_s;
        dialog.deadlines.timeout_at = dialog.lives_until(now, lifetimes);
        confirmed
    }

    /// The ACK of a 2xx passed (RFC 3261 §13.2.2.4), or a later request of the caller, which says as much.
    pub(crate) fn acknowledge(&mut self, id: Id, tag: u32) {
        let Some(dialog) = self.slots.get_mut(id) else { return };
        dialog.legs.iter_mut().filter(|leg| leg.tag == tag).for_each(|leg| leg.acked = true);
        if dialog.legs.iter().all(|leg| leg.acked || leg.ended) {
            dialog.deadlines.answer_at = NEVER;
        }
    }

    /// An in-dialog request came: the call lives on. Filed lazily: the old deadline only looks at the new one.
    pub(crate) fn refresh(&mut self, now: Instant, id: Id, lifetimes: &DialogLifetimes) {
        if let Some(dialog) = self.slots.get_mut(id).filter(|dialog| dialog.state == State::Confirmed) {
            dialog.deadlines.timeout_at = dialog.lives_until(now, lifetimes);
        }
    }

    /// RFC 4028 §8.2: a 2xx to a re-INVITE or UPDATE sets the session timer anew, or ends it when it names none.
    pub(crate) fn set_session(
        &mut self,
        now: Instant,
        id: Id,
        session_s: u32,
        lifetimes: &DialogLifetimes,
        wheel: &mut Wheel<Owner>,
    ) {
        if let Some(dialog) = self.slots.get_mut(id).filter(|dialog| dialog.state == State::Confirmed) {
            dialog.session_s = session_s;
            dialog.deadlines.timeout_at = dialog.lives_until(now, lifetimes);
            self.file(id, wheel);
        }
    }

    /// The leg whose far tag is one of `tags`, when the dialog has it.
    pub(crate) fn leg(&self, id: Id, tags: [u32; 2]) -> Option<u32> {
        let dialog = self.slots.get(id)?;
        dialog.legs.iter().map(|leg| leg.tag).find(|tag| tags.contains(tag))
    }

    /// A BYE ended the leg with this far tag; whether that ended the call.
    pub(crate) fn end_leg(&mut self, id: Id, tag: u32, states: &States, wheel: &mut Wheel<Owner>) -> bool {
        self.end_legs(id, |leg| leg.tag == tag, states, wheel)
    }

    /// Nobody acknowledges the other legs any more; whether that ended the call.
    pub(crate) fn end_unacked(&mut self, id: Id, states: &States, wheel: &mut Wheel<Owner>) -> bool {
        self.end_legs(id, |leg| !leg.acked, states, wheel)
    }

    fn end_legs(&mut self, id: Id, which: impl Fn(&Leg) -> bool, states: &States, wheel: &mut Wheel<Owner>) -> bool {
        let Some(dialog) = self.slots.get_mut(id) else { return false };
        for at in 0..dialog.legs.len() {
            if which(&dialog.legs[at]) && !dialog.legs[at].ended {
                dialog.legs[at].ended = true;
                self.tokens -= usize::from(pass_on(&mut dialog.legs, at, states));
            }
        }
        let ends = dialog.state == State::Confirmed && dialog.is_over();
        if ends {
            self.terminate(id, states, wheel);
        }
        ends
    }

    /// Ends the dialog: its load is given back, and the slot is free unless its INVITE transaction lives.
    pub(crate) fn terminate(&mut self, id: Id, states: &States, wheel: &mut Wheel<Owner>) {
        let Some(dialog) = self.slots.get_mut(id) else { return };
        dialog.state = State::Terminated;
        for leg in &mut dialog.legs {
            leg.ended = true;
            if let Some(token) = leg.token.take() {
                states.release(token);
                self.tokens -= 1;
            }
        }
        if dialog.transaction.is_none() {
            dialog.deadlines.cancel(wheel);
            self.slots.remove(id);
        } else {
            (dialog.deadlines.timeout_at, dialog.deadlines.answer_at) = (NEVER, NEVER);
            dialog.deadlines.retransmit_at = NEVER;
        }
    }

    /// Lets go of all load without giving it back: the process ends.
    pub(crate) fn forget_tokens(&mut self) {
        let ids: Vec<_> = self.slots.iter().map(|(id, _)| id).collect();
        for id in ids {
            let legs = self.slots.get_mut(id).map(|dialog| &mut dialog.legs);
            legs.into_iter().flatten().for_each(|leg| core::mem::forget(leg.token.take()));
        }
    }

    /// Its INVITE transaction is gone: nothing can confirm it any more. Legs that nobody has acknowledged by then, 64*T1 after the
    /// 2xx, get a deadline; the others, nearly all, never need one.
    pub(crate) fn leave_transaction(&mut self, id: Id, ack_by: Instant, states: &States, wheel: &mut Wheel<Owner>) {
        let Some(dialog) = self.slots.get_mut(id) else { return };
        dialog.transaction = None;
        if dialog.state != State::Confirmed {
            return self.terminate(id, states, wheel);
        }
        if dialog.legs.iter().any(|leg| !leg.acked && !leg.ended) {
            dialog.deadlines.answer_at = ack_by;
            self.file(id, wheel);
        }
    }
}

/// The leg at `at` has ended: its token goes to one that lives on the same branch without one, else it is given back. Whether
/// it was given back.
fn pass_on(legs: &mut [Leg], at: usize, states: &States) -> bool {
    let Some(token) = legs[at].token.take() else { return false };
    let branch = legs[at].branch;
    let heir = legs.iter_mut().find(|leg| leg.branch == branch && !leg.ended && leg.token.is_none());
    let Some(leg) = heir else {
        states.release(token);
        return true;
    };
    leg.token = Some(token);
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec, Table};

    const START: Instant = Instant::from_nanos(0);

    struct World {
        dialogs: Dialogs,
        wheel: Wheel<Owner>,
        states: States,
        id: Id,
    }

    fn world() -> World {
        let (mut dialogs, mut wheel) = (Dialogs::new(2, 1, super::super::memory::as_it_comes), Wheel::new(START, 8));
        let id = dialogs.insert(7, START + Duration::from_secs(300), &mut wheel).unwrap();
        World { dialogs, wheel, states: States::new(), id }
    }

    fn confirm(dialogs: &mut Dialogs, id: Id, tag: u32, branch: u32, token: Option<LoadToken>) -> Confirmed {
        let success = Success { tag, branch, token, session_s: 0 };
        dialogs.confirm(START, id, success, &DialogLifetimes::default())
    }

    /// Two destinations.
    fn table() -> Table {
        let destination = |port: u16| DestinationSpec::new("sip:h", ([192, 0, 2, 1], port).into());
        let spec = SetSpec::new(SetId(1), Algorithm::Priority, vec![destination(1), destination(2)]);
        Table::build(vec![spec], None).unwrap()
    }

    #[test]
    fn load_stays_where_a_leg_is_and_goes_with_the_last_one_there() {
        // RFC 3261 §13.2.2.4: two forks below the first branch, and another branch that answered too.
        let World { mut dialogs, mut wheel, id, .. } = world();
        let table = table();
        let states = table.states();
        let [a, b] = [0, 1].map(|at| table.sets()[0].destinations[at].state);
        assert!(confirm(&mut dialogs, id, 1, 10, Some(states.take_load(a))).spare.is_none());
        assert!(confirm(&mut dialogs, id, 2, 10, None).spare.is_none());
        assert!(confirm(&mut dialogs, id, 3, 11, Some(states.take_load(b))).spare.is_none());
        let loads = |dialogs: &Dialogs| {
            assert_eq!(dialogs.tokens(), dialogs.live_tokens().count());
            [a, b].map(|at| (states.load(at), dialogs.live_tokens().filter(|token| *token == at).count()))
        };
        assert_eq!(loads(&dialogs), [(1, 1), (1, 1)]);
        dialogs.end_leg(id, 1, states, &mut wheel);
        assert_eq!(loads(&dialogs), [(1, 1), (1, 1)]);
        dialogs.end_leg(id, 2, states, &mut wheel);
        assert_eq!(loads(&dialogs), [(0, 0), (1, 1)]);
        dialogs.acknowledge(id, 3);
        assert!(!dialogs.end_unacked(id, states, &mut wheel));
        assert!(dialogs.end_leg(id, 3, states, &mut wheel));
        assert_eq!((loads(&dialogs), dialogs.len()), ([(0, 0), (0, 0)], 0));
    }

    #[test]
    fn a_dialog_is_early_until_a_2xx_and_ends_with_its_last_leg() {
        // RFC 3261 §12.1, §13.2.2.4
        let World { mut dialogs, mut wheel, states, id } = world();
        dialogs.get_mut(id).unwrap().transaction = Some(id);
        assert_eq!(dialogs.get_mut(id).unwrap().state, State::Early);
        for (tag, is_call) in [(1, true), (2, false), (1, false)] {
            let confirmed = confirm(&mut dialogs, id, tag, 0, None);
            assert!(confirmed.spare.is_none() && !confirmed.beyond_limit && confirmed.is_call == is_call);
        }
        assert_eq!(dialogs.leg(id, [9, 2]), Some(2));
        assert!(!dialogs.end_leg(id, 1, &states, &mut wheel));
        assert_eq!(dialogs.get_mut(id).unwrap().state, State::Confirmed);
        assert!(dialogs.end_leg(id, 2, &states, &mut wheel));
        assert!(!dialogs.end_leg(id, 2, &states, &mut wheel), "it ends once");
        assert_eq!(dialogs.get_mut(id).unwrap().state, State::Terminated);
        dialogs.leave_transaction(id, START, &states, &mut wheel);
        assert_eq!((dialogs.len(), wheel.len()), (0, 0));
    }

    #[test]
    fn more_forks_than_the_limit_are_refused_and_said() {
        let World { mut dialogs, id, .. } = world();
        for tag in 0..limits::FORKS_MAX as u32 {
            assert!(!confirm(&mut dialogs, id, tag, 0, None).beyond_limit);
        }
        assert!(confirm(&mut dialogs, id, 99, 0, None).beyond_limit);
        assert!(!confirm(&mut dialogs, id, 0, 0, None).beyond_limit, "a retransmission is no new fork");
    }

    #[test]
    fn an_unanswered_invite_leaves_no_dialog() {
        let World { mut dialogs, mut wheel, states, id } = world();
        assert!(dialogs.belongs(id, 7) && !dialogs.belongs(id, 8));
        dialogs.leave_transaction(id, START, &states, &mut wheel);
        assert_eq!((dialogs.len(), wheel.len()), (0, 0));
    }
}
