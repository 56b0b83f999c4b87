//! From target to target (RFC 3261 §16.5, §16.6): the rest of the target set, then the set's fallback.
//!
//! A chain of sets ends at [`limits::CHAIN_MAX`] sets, and an address gets a request once by each socket, whichever sets name it. The
//! set that a branch's target is of says which codes send the request on and how long an answer is waited for; the last set that was
//! entered says what is answered when nothing is left.

use super::context::Lost;
use super::deadlines::NEVER;
use super::entry::{Cancel, ResponseContext};
use super::evidence;
use super::forward::Hop;
use super::hash_key::hash_key;
use super::overload::goes_first;
use super::request::Incoming;
use super::route::Plan;
use super::rules::DEFAULT_SET;
use super::slab::Id;
use super::{Proxy, SocketId, Turn};
use crate::dispatcher::{Destination, DestinationId, Input, Set, Table, Targets};
use crate::limits;
use crate::sip::{Start, scan};
use crate::time::Instant;
use std::net::SocketAddr;

/// The target set that a new request begins with.
pub(super) struct Choice<'p> {
    pub(super) set: &'p Set,
    pub(super) targets: Targets,
    /// Sets of the chain entered, this one included.
    pub(super) sets: u8,
    /// The rule that named the first of them.
    pub(super) rule: u16,
}

impl<'p> Choice<'p> {
    /// The targets that `select` gives of `first`, or of the first set of its chain of which it gives any.
    #[inline]
    pub(super) fn by(table: &'p Table, first: &'p Set, mut select: impl FnMut(&'p Set, &mut Targets)) -> Self {
        let mut choice = Self { set: first, targets: Targets::new(), sets: 1, rule: DEFAULT_SET };
        select(first, &mut choice.targets);
        while choice.targets.is_empty()
            && let Some(next) = fallback(table, choice.set, choice.sets)
        {
            (choice.set, choice.sets) = (next, choice.sets + 1);
            select(next, &mut choice.targets);
        }
        choice
    }
}

/// What selection looks at of a request that comes at `now`.
#[inline]
pub(super) fn input<'a>(
    now: Instant,
    set: &Set,
    incoming: &Incoming<'a>,
    plan: &Plan,
    scratch: &'a mut Vec<u8>,
) -> Input<'a> {
    let (hash_key, hash_host) = hash_key(set.algorithm, incoming, plan, scratch).parts();
    Input { hash_key, hash_host, now, prioritized: goes_first(set, incoming) }
}

impl Proxy {
    /// The targets of `first`, or of the first set of its chain that has any; the last set looked at is told when none has.
    #[inline]
    pub(super) fn choose<'p>(
        &mut self,
        turn: &Turn<'p>,
        incoming: &Incoming<'_>,
        plan: &Plan,
        first: &'p Set,
    ) -> Choice<'p> {
        let choice = Choice::by(&turn.policy.table, first, |set, targets| {
            self.select(turn, incoming, plan, set, targets);
        });
        self.stats.fallbacks += u64::from(choice.sets) - 1;
        choice
    }

    #[inline]
    fn select(&mut self, turn: &Turn<'_>, incoming: &Incoming<'_>, plan: &Plan, set: &Set, targets: &mut Targets) {
        let Self { random, scratch, .. } = self;
        let input = input(turn.now, set, incoming, plan, scratch);
        set.select(turn.policy.table.states(), &input, random, targets);
    }

    /// The next branches by the same steps as the first one, from the stored request; whether one was started. `leaving`: a branch
    /// that is given up for them.
    pub(super) fn try_next(&mut self, turn: &mut Turn<'_>, id: Id, leaving: Option<Id>) -> bool {
        let Some(server) = self.servers.get_mut(id) else { return false };
        let (source, socket) = (server.source, server.socket);
        let Some(request) = server.request.take() else { return false };
        let before = self.branches_of(id).count();
        let started = self.start_again(turn, id, &request, (source, socket), leaving);
        let states = turn.policy.table.states();
        let to = self.branches_of(id).skip(before).filter_map(|client| client.destination);
        to.for_each(|destination| states.count_taken_over(destination.state()));
        match self.servers.get_mut(id) {
            Some(server) => server.request = Some(request),
            None => self.buffers.give(request),
        }
        started
    }

    fn start_again(
        &mut self,
        turn: &mut Turn<'_>,
        id: Id,
        request: &[u8],
        (source, socket): (SocketAddr, SocketId),
        leaving: Option<Id>,
    ) -> bool {
        let message = scan(request);
        let Start::Request(method) = message.head.start else { return false };
        let Ok(incoming) = Incoming::read(&message, method, source, socket) else { return false };
        let Ok(plan) = Plan::new(&message, &self.names, &self.keys) else { return false };
        loop {
            if self.start_targets(turn, id, &incoming, &plan, leaving) {
                return true;
            }
            // The next set's turn comes when nothing of this one runs any more.
            if self.pending_beside(id, leaving) > 0 || !self.fall_back(turn, id, &incoming, &plan) {
                return false;
            }
        }
    }

    /// Enters the next set of the chain; it may have no targets. Whether there is one.
    fn fall_back(&mut self, turn: &Turn<'_>, id: Id, incoming: &Incoming<'_>, plan: &Plan) -> bool {
        let table = &turn.policy.table;
        let Some(context) = self.servers.get(id).map(|server| &server.context) else { return false };
        let set = context.set.and_then(|set| table.set(set));
        let Some(next) = set.and_then(|set| fallback(table, set, context.sets)) else { return false };
        let mut targets = Targets::new();
        self.select(turn, incoming, plan, next, &mut targets);
        self.stats.fallbacks += 1;
        if let Some(context) = self.servers.get_mut(id).map(|server| &mut server.context) {
            context.enter(next, targets);
        }
        true
    }

    /// The next target that is there and available now: states are looked at when a target's turn comes, not when it was chosen.
    pub(super) fn next_target(&mut self, turn: &Turn<'_>, server: Id, breadth: u8) -> Option<Hop> {
        let table = &turn.policy.table;
        let context = &mut self.servers.get_mut(server)?.context;
        while let Some(target) = context.targets.get(usize::from(context.tried)).copied() {
            let open = open_target(table, context, target, usize::from(context.tried));
            context.tried += 1;
            if let Some(destination) = open {
                return Some(Hop::chosen(destination, breadth));
            }
        }
        None
    }

    /// Nothing answered within the set's time: the next target gets its turn when there is one that takes the request. The silent
    /// branch then stays until Timer B, cancelled as soon as it shows life. So it does beside a branch that goes on; as the last hope
    /// it is waited for as before.
    pub(super) fn answer_timeout(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.deadlines.answer_at = NEVER;
        let (server, destination) = (client.server, evidence::of(turn.policy, client.destination));
        let Some(context) = self.servers.get(server).map(|server| &server.context) else { return };
        let (is_over, answered) = (context.is_over(), context.answered);
        let went_on = !is_over && !answered && self.try_next(turn, server, Some(id));
        if answered || (!is_over && !went_on && self.pending_beside(server, Some(id)) == 0) {
            return;
        }
        self.stats.answer_timeouts += 1;
        if let Some(client) = self.clients.get_mut(id) {
            client.deadlines.retransmit_at = NEVER;
            client.cancel = Cancel::Wanted;
        }
        let states = turn.policy.table.states();
        if let Some(destination) = destination {
            evidence::answer_timeout(states, destination);
        }
        self.no_longer_pending(id);
        self.note_lost(server, Lost::TimedOut);
        if went_on {
            self.stats.failovers += 1;
            destination.into_iter().for_each(|destination| states.count_failover(destination.state()));
        } else {
            self.advance(turn, server, false);
        }
    }
}

impl ResponseContext {
    /// Whether no further branch is started for the request.
    pub(super) const fn is_over(&self) -> bool {
        self.cancelled || self.gives_up || self.decided
    }

    /// Goes on with `targets` of `set`, and remembers which of the last set's got the request.
    fn enter(&mut self, set: &Set, targets: Targets) {
        let Self { targets: old, sent, sent_before, .. } = self;
        let got_it = old.iter().enumerate().filter(|(place, _)| *sent >> place & 1 == 1);
        sent_before.extend(got_it.map(|(_, target)| *target));
        (self.set, self.targets, self.sets) = (Some(set.id), targets, self.sets + 1);
        (self.tried, self.sent) = (0, 0);
    }
}

/// The set behind `set` in a chain of which `entered` sets were entered.
fn fallback<'p>(table: &'p Table, set: &Set, entered: u8) -> Option<&'p Set> {
    let next = set.fallback.filter(|_| usize::from(entered) < limits::CHAIN_MAX)?;
    table.set(next)
}

/// What `target`, at `place`, is when its turn may come: it is there and available now, and nothing was sent to its address by its
/// socket. RFC 3261 §16.5: a target is tried once, also when a set names it twice.
#[inline]
fn open_target<'t>(
    table: &'t Table,
    context: &ResponseContext,
    target: DestinationId,
    place: usize,
) -> Option<&'t Destination> {
    let destination = table.destination(target)?;
    if context.sent == 0 && context.sent_before.is_empty() {
        return table.states().is_available(destination.state).then_some(destination);
    }
    let here = context.targets.iter().take(place).enumerate().filter(|(place, _)| context.sent >> place & 1 == 1);
    let mut sent = here.map(|(_, target)| target).chain(&context.sent_before);
    let is_it = |it: &Destination| it.address == destination.address && it.socket == destination.socket;
    let same = sent.any(|other| table.destination(*other).is_some_and(is_it));
    (!same && table.states().is_available(destination.state)).then_some(destination)
}
