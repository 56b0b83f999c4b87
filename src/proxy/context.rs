//! The response context (RFC 3261 §16.7): what a branch's response means for the request.

use super::entry::Cancel;
use super::forward::Hop;
use super::reject::retry_after;
use super::request::Incoming;
use super::response::Answer;
use super::route::Plan;
use super::server::{Content, give};
use super::slab::Id;
use super::{Proxy, Turn};
use crate::dispatcher::{DestinationId, Exhausted, Set, Table};
use crate::sip::{Message, Start, Status, fields, header_is, scan};
use std::net::SocketAddr;

impl Proxy {
    /// A 1xx. RFC 3261 §16.7 item 5: 100 is never forwarded, others at once; RFC 4320 §4.1: none to a non-INVITE.
    pub(super) fn branch_progress(&mut self, turn: &mut Turn<'_>, id: Id, answer: &Answer<'_>) {
        let status = answer.status;
        let Some(client) = self.clients.get_mut(id) else { return };
        client.deadlines.answer_at = super::deadlines::NEVER;
        if !client.machine.is_invite() {
            return;
        }
        match client.cancel {
            Cancel::Sent(_) => {}
            Cancel::Wanted => return self.cancel_branch(turn, id),
            Cancel::No => {
                // RFC 3261 §16.7 item 2: 101-199 reset Timer C; a 100 only starts it.
                if status != Status::TRYING || client.deadlines.timeout_at == super::deadlines::NEVER {
                    client.deadlines.timeout_at = turn.now + self.settings.timers.timer_c;
                }
            }
        }
        if status != Status::TRYING {
            let server = client.server;
            self.respond(turn, server, status, &Content::Relayed(answer.message, &answer.via));
        }
    }

    /// A 2xx. RFC 3261 §16.7 item 5: forwarded at once, each one to an INVITE; item 10: other branches are cancelled.
    pub(super) fn branch_success(&mut self, turn: &mut Turn<'_>, id: Id, answer: &Answer<'_>) {
        let status = answer.status;
        let Some(client) = self.clients.get_mut(id) else { return };
        let (server, invite) = (client.server, client.machine.is_invite());
        let token = client.token.take();
        let first = token.is_some() || client.is_pending;
        if let Some(destination) = client.destination.filter(|_| first && invite) {
            turn.policy.table.states().count_answered(destination.state());
        }
        self.no_longer_pending(id);
        let failed = self.servers.get(server).is_some_and(|server| server.machine.takes_no_success());
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        // RFC 3261 §16.7 item 5: a non-INVITE gets exactly one final response.
        if context.answered && !invite {
            return;
        }
        context.answered = true;
        // After a failure that it has acknowledged the caller takes no 2xx: it is passed on, but begins no dialog.
        let (dialog, ends) = (context.dialog.filter(|_| !failed), context.ends.take());
        let spare = match dialog {
            Some(dialog) => self.confirm_dialog(turn, dialog, answer.message, token),
            None => token,
        };
        if let Some(token) = spare {
            turn.policy.table.states().release(token);
        }
        self.respond(turn, server, status, &Content::Relayed(answer.message, &answer.via));
        if let Some((dialog, tag)) = ends {
            self.dialogs.end_leg(dialog, tag, turn.policy.table.states(), &mut self.wheel);
        }
        self.cancel_call(turn, server, false);
    }

    fn confirm_dialog(
        &mut self,
        turn: &Turn<'_>,
        dialog: Id,
        message: &Message<'_>,
        token: Option<crate::dispatcher::LoadToken>,
    ) -> Option<crate::dispatcher::LoadToken> {
        let tag = message.to().map(|to| self.tag_hash(message.text(to.tag))).unwrap_or_default();
        let expires = turn.now + self.settings.dialog.confirmed;
        let (spare, beyond) = self.dialogs.confirm(dialog, tag, token, expires);
        self.stats.forks_beyond_limit += u64::from(beyond);
        self.dialogs.file(dialog, &mut self.wheel);
        spare
    }

    /// A 3xx-6xx.
    pub(super) fn branch_failure(&mut self, turn: &mut Turn<'_>, id: Id, answer: &Answer<'_>) {
        let status = answer.status;
        let Some(client) = self.clients.get(id) else { return };
        let (server, was_pending, invite) = (client.server, client.is_pending, client.machine.is_invite());
        let retry = self.set_of(turn, server).is_some_and(|set| set.failover_codes.contains(status.code()));
        self.release_branch(turn, id, retry);
        self.no_longer_pending(id);
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        if context.answered {
            return;
        }
        if status == Status::REQUEST_TIMEOUT && !invite {
            // RFC 4320 §4.2: a non-INVITE never gets a 408: it is as if nothing had come.
            self.note_timeout(server);
        } else if was_pending || context.cancelled || status != Status::REQUEST_TERMINATED {
            // Not the 487 to a CANCEL that the caller did not ask for: that branch was given up, as a time-out.
            self.keep_best(server, answer.message, status);
        }
        if status.code() >= 600 {
            // RFC 3261 §16.7 item 5: a 6xx ends the search: no new branches, pending ones are cancelled.
            if let Some(server) = self.servers.get_mut(server) {
                server.context.gives_up = true;
            }
            self.cancel_call(turn, server, false);
        }
        if was_pending {
            self.advance_from(turn, id, server, retry);
        }
    }

    /// A branch that ends without a response: it timed out, or could not be reached (RFC 3261 §16.8, §16.9).
    pub(super) fn branch_lost(&mut self, turn: &mut Turn<'_>, id: Id, timed_out: bool) {
        let Some(client) = self.clients.get(id) else { return };
        let (server, was_pending) = (client.server, client.is_pending);
        self.release_branch(turn, id, true);
        self.no_longer_pending(id);
        if timed_out {
            self.note_timeout(server);
        } else if let Some(server) = self.servers.get_mut(server) {
            server.context.unreachable = true;
        }
        if was_pending {
            self.advance_from(turn, id, server, true);
        }
    }

    /// Nothing answered within the set's time: the next target gets its turn when there is one. The silent branch stays until
    /// Timer B, cancelled as soon as it shows life.
    pub(super) fn answer_timeout(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.deadlines.answer_at = super::deadlines::NEVER;
        let server = client.server;
        let cancelled = self.servers.get(server).is_some_and(|server| server.context.cancelled);
        if !cancelled && !self.has_next_target(turn, server) {
            return;
        }
        self.stats.answer_timeouts += 1;
        if let Some(client) = self.clients.get_mut(id) {
            client.deadlines.retransmit_at = super::deadlines::NEVER;
            client.cancel = Cancel::Wanted;
            if let Some(destination) = client.destination {
                turn.policy.table.states().count_failed(destination.state());
            }
        }
        self.no_longer_pending(id);
        self.note_timeout(server);
        self.advance_from(turn, id, server, true);
    }

    fn note_timeout(&mut self, server: Id) {
        if let Some(server) = self.servers.get_mut(server) {
            server.context.timed_out = true;
        }
    }

    /// Gives the branch's load back and counts its failure, if it is one of the destination's.
    fn release_branch(&mut self, turn: &Turn<'_>, id: Id, failed: bool) {
        let states = turn.policy.table.states();
        let Some(client) = self.clients.get_mut(id) else { return };
        if let Some(token) = client.token.take() {
            states.release(token);
        }
        if let Some(destination) = client.destination.filter(|_| failed && client.is_pending) {
            states.count_failed(destination.state());
        }
    }

    fn no_longer_pending(&mut self, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let was = core::mem::replace(&mut client.is_pending, false);
        if let Some(server) = self.servers.get_mut(client.server) {
            server.context.pending -= u8::from(was);
        }
    }

    fn set_of<'p>(&self, turn: &Turn<'p>, server: Id) -> Option<&'p Set> {
        let set = self.servers.get(server)?.context.set?;
        turn.policy.table.set(set)
    }

    /// RFC 3261 §16.7 item 6: whether `new` is better than `old`: 6xx first, else the lower class; within 4xx what tells the
    /// caller how to try again.
    fn is_better(new: Status, old: Status) -> bool {
        let rank = |status: Status| match status.code() {
            600.. => 0,
            401 | 407 | 415 | 420 | 484 => 4000,
            code => u32::from(code / 100) * 1000 + 1,
        };
        rank(new) < rank(old)
    }

    fn keep_best(&mut self, server: Id, message: &Message<'_>, status: Status) {
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        let better = context.best.as_ref().is_none_or(|(best, _)| Self::is_better(status, *best));
        let loser = if better {
            let stored = self.buffers.store(&message.bytes[..message.end()]);
            self.stats.refused_full += u64::from(stored.is_none());
            let old = context.best.take();
            context.best = stored.map(|stored| (status, stored));
            old
        } else {
            None
        };
        // RFC 3261 §16.7 item 7: the challenges of all 401 and 407 go into the one that is forwarded.
        if let Some((status, bytes)) = &loser {
            self.keep_challenges(server, &scan(bytes), *status);
        } else if !better {
            self.keep_challenges(server, message, status);
        }
        give(&mut self.buffers, loser.map(|(_, buffer)| buffer));
    }

    fn keep_challenges(&mut self, server: Id, message: &Message<'_>, status: Status) {
        if !matches!(status.code(), 401 | 407) {
            return;
        }
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        self.scratch.clear();
        self.scratch.extend_from_slice(context.challenges.as_deref().unwrap_or_default());
        let challenge = |name: &[u8]| header_is(name, b"www-authenticate") || header_is(name, b"proxy-authenticate");
        for field in fields(message).filter(|field| challenge(message.text(field.name))) {
            self.scratch.extend_from_slice(message.text(field.line));
        }
        give(&mut self.buffers, context.challenges.take());
        context.challenges = self.buffers.store(&self.scratch);
    }

    /// A branch has ended without success: the next target, or the final answer when no branch is left. `retry` says whether the
    /// failure is one that another target may not share. Says whether the request went on.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_>, server: Id, retry: bool) -> bool {
        let Some(context) = self.servers.get(server).map(|server| &server.context) else { return false };
        if context.answered {
            return false;
        }
        let may_go_on = retry && !context.cancelled && !context.gives_up;
        if may_go_on && self.try_next(turn, server) {
            self.stats.failovers += 1;
            return true;
        }
        if self.servers.get(server).is_some_and(|server| server.context.pending == 0) {
            self.finish(turn, server);
        }
        false
    }

    /// [`Proxy::advance`] for branch `id`, whose destination counts what moved on from it.
    fn advance_from(&mut self, turn: &mut Turn<'_>, id: Id, server: Id, retry: bool) {
        let destination = self.clients.get(id).and_then(|client| client.destination);
        if self.advance(turn, server, retry)
            && let Some(destination) = destination
        {
            turn.policy.table.states().count_failover(destination.state());
        }
    }

    /// Starts the next branch by the same steps as the first one, from the stored request.
    fn try_next(&mut self, turn: &mut Turn<'_>, id: Id) -> bool {
        while let Some(hop) = self.next_target(turn, id) {
            let Some(server) = self.servers.get_mut(id) else { return false };
            let (source, socket) = (server.source, server.socket);
            let Some(request) = server.request.take() else { return false };
            let started = self.start_again(turn, id, &request, source, socket, hop);
            match self.servers.get_mut(id) {
                Some(server) => server.request = Some(request),
                None => self.buffers.give(request),
            }
            if started {
                return true;
            }
        }
        false
    }

    fn start_again(
        &mut self,
        turn: &mut Turn<'_>,
        id: Id,
        request: &[u8],
        source: std::net::SocketAddr,
        socket: super::SocketId,
        hop: Hop,
    ) -> bool {
        let message = scan(request);
        let Start::Request(method) = message.head.start else { return false };
        let Ok(incoming) = Incoming::read(&message, method, source, socket) else { return false };
        let Ok(plan) = Plan::new(&message, &self.names, &self.keys) else { return false };
        self.start_branch(turn, id, &incoming, &plan, hop).is_ok()
    }

    /// The next target that is there and available now: states are looked at when a target's turn comes, not when it was chosen.
    pub(super) fn next_target(&mut self, turn: &Turn<'_>, server: Id) -> Option<Hop> {
        let table = &turn.policy.table;
        let context = &mut self.servers.get_mut(server)?.context;
        while let Some(target) = context.targets.get(usize::from(context.tried)).copied() {
            let address = open_target(table, &context.targets, usize::from(context.tried));
            context.tried += 1;
            if let Some(address) = address {
                return Some(Hop { address, destination: Some(target) });
            }
        }
        None
    }

    fn has_next_target(&self, turn: &Turn<'_>, server: Id) -> bool {
        let table = &turn.policy.table;
        let Some(context) = self.servers.get(server).map(|server| &server.context) else { return false };
        let mut rest = usize::from(context.tried)..context.targets.len();
        rest.any(|place| open_target(table, &context.targets, place).is_some())
    }

    /// RFC 3261 §16.10, §16.7 item 10: cancels what is pending. `by_caller`: a CANCEL came, so no new target is tried.
    pub(super) fn cancel_call(&mut self, turn: &mut Turn<'_>, server: Id, by_caller: bool) {
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        context.cancelled |= by_caller;
        let branches = context.branches.clone();
        for branch in branches {
            self.cancel_branch(turn, branch);
        }
    }

    /// All branches have ended without a 2xx: one final answer (RFC 3261 §16.7 item 6).
    fn finish(&mut self, turn: &mut Turn<'_>, id: Id) {
        let set = self.set_of(turn, id);
        let unavailable = set.filter(|set| set.exhausted == Exhausted::ServiceUnavailable);
        let retry_after_s = set.map_or(0, |set| set.retry_after_s);
        let Some(server) = self.servers.get_mut(id) else { return };
        let invite = server.machine.is_invite();
        let context = &mut server.context;
        // A non-INVITE that gets no answer from us may still get one from a branch that was given up.
        context.answered = invite || !context.timed_out || context.best.is_some();
        let (best, challenges, ends) = (context.best.take(), context.challenges.take(), context.ends.take());
        let (cancelled, timed_out) = (context.cancelled, context.timed_out);
        let unreachable = context.unreachable && context.set.is_none();
        // RFC 3261 §16.8: what rang too long is a 408, or what a 6xx said, whatever is left to try.
        let unavailable = unavailable.filter(|_| !context.gives_up);
        // RFC 3261 §16.7 item 6: a 6xx is never replaced.
        let moves_on =
            |status: Status| status.code() < 600 && set.is_some_and(|set| set.failover_codes.contains(status.code()));
        let status = best.as_ref().map(|(status, _)| *status);
        match (&best, status) {
            (_, None) if cancelled && invite => self.answer(turn, id, Status::REQUEST_TERMINATED, ""),
            (_, status) if unavailable.is_some() && status.is_none_or(moves_on) && (invite || !timed_out) => {
                self.answer_unavailable(turn, id, retry_after_s);
            }
            // RFC 3261 §16.7 item 6: a 503 is not passed on: it says "not this proxy" to the one before us.
            (_, Some(Status::SERVICE_UNAVAILABLE)) => self.answer(turn, id, Status::SERVER_INTERNAL_ERROR, ""),
            (Some((_, bytes)), Some(status)) => {
                let challenges =
                    challenges.as_deref().filter(|_| matches!(status.code(), 401 | 407)).unwrap_or_default();
                self.respond(turn, id, status, &Content::Best(&scan(bytes), challenges));
            }
            // RFC 3261 §16.7 item 6: an INVITE that nobody answered gets 408; RFC 4320 §4.2: a non-INVITE never.
            (_, _) if timed_out && invite => self.answer(turn, id, Status::REQUEST_TIMEOUT, ""),
            (_, _) if timed_out => {}
            // RFC 3261 §16.9: a transport error counts as 503 from that target, which goes back as 500 (§16.7 item 6)
            (_, _) if unreachable => self.answer(turn, id, Status::SERVER_INTERNAL_ERROR, ""),
            // unless all of a set is gone: then other requests fare no better.
            (_, _) => self.answer_unavailable(turn, id, retry_after_s),
        }
        give(&mut self.buffers, best.map(|(_, buffer)| buffer));
        give(&mut self.buffers, challenges);
        // A challenged BYE comes again with credentials; any other answer, or none, ends the call (RFC 3261 §15.1.1).
        if let Some((dialog, tag)) = ends.filter(|_| !status.is_some_and(|status| matches!(status.code(), 401 | 407))) {
            self.dialogs.end_leg(dialog, tag, turn.policy.table.states(), &mut self.wheel);
        }
    }

    fn answer_unavailable(&mut self, turn: &mut Turn<'_>, id: Id, retry_after_s: u32) {
        self.scratch.clear();
        retry_after(retry_after_s, &mut self.scratch);
        self.answer_with_scratch(turn, id, Status::SERVICE_UNAVAILABLE, "");
    }
}

/// Where the target at `place` is, when its turn may come: it is there and available now, and no earlier one is at
/// the same address.
/// RFC 3261 §16.5: a target is tried once, also when a set names it twice.
fn open_target(table: &Table, targets: &[DestinationId], place: usize) -> Option<SocketAddr> {
    let (earlier, rest) = targets.split_at_checked(place)?;
    let destination = table.destination(*rest.first()?)?;
    let same = |other: &DestinationId| table.destination(*other).is_some_and(|it| it.address == destination.address);
    let open = table.states().is_available(destination.state) && !earlier.iter().any(same);
    open.then_some(destination.address)
}
