//! The response context (RFC 3261 §16.7): what a branch's response means for the request.

use super::dialog::Success;
use super::entry::Cancel;
use super::evidence;
use super::reject::retry_after;
use super::response::{Answer, session_interval_s};
use super::server::{Content, give};
use super::slab::Id;
use super::{Proxy, Turn};
use crate::dispatcher::{DestinationId, Exhausted, LoadToken, Set};
use crate::sip::{Message, Status, fields, header_is, scan};

/// How a branch ends without a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lost {
    /// Nothing came in time.
    TimedOut,
    /// It could not be sent.
    Unreachable,
}

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
        let token = self.take_token(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        let (server, invite) = (client.server, client.machine.is_invite());
        let first = token.is_some() || client.is_pending;
        if let Some(destination) = client.destination.filter(|_| first && invite) {
            let waited = turn.now.saturating_since(client.sent_at);
            evidence::success(turn.policy.table.states(), destination, status, waited);
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
        let (dialog, ends, refreshes) = (context.dialog.filter(|_| !failed), context.ends.take(), context.refreshes);
        let spare = match dialog {
            Some(dialog) => self.confirm_dialog(turn, dialog, id, answer.message, token),
            None => token,
        };
        if let Some(token) = spare {
            turn.policy.table.states().release(token);
        }
        if let Some(dialog) = refreshes {
            let session_s = session_interval_s(answer.message);
            if self.keeps_ends() {
                self.refresh_ends(dialog, id, answer.message);
            }
            self.dialogs.set_session(turn.now, dialog, session_s, &self.settings.dialog, &mut self.wheel);
        }
        self.respond(turn, server, status, &Content::Relayed(answer.message, &answer.via));
        if let Some((dialog, tag)) = ends {
            self.end_leg(turn, dialog, tag);
        }
        self.cancel_call(turn, server, false);
    }

    /// The 2xx of branch `id` confirms the dialog; gives back the token that the dialog has no use for.
    fn confirm_dialog(
        &mut self,
        turn: &Turn<'_>,
        dialog: Id,
        id: Id,
        message: &Message<'_>,
        token: Option<LoadToken>,
    ) -> Option<LoadToken> {
        let tag = message.to().map(|to| self.tag_hash(message.text(to.tag))).unwrap_or_default();
        let success = Success { tag, branch: id.index, token, session_s: session_interval_s(message) };
        let confirmed = self.dialogs.confirm(turn.now, dialog, success, &self.settings.dialog);
        self.stats.forks_beyond_limit += u64::from(confirmed.beyond_limit);
        self.stats.dialogs_confirmed += u64::from(confirmed.is_call);
        if self.keeps_ends() {
            self.keep_ends(turn, dialog, tag, id, message);
        }
        self.dialogs.file(dialog, &mut self.wheel);
        confirmed.spare
    }

    /// A BYE is over: the leg with this far tag has ended.
    pub(super) fn end_leg(&mut self, turn: &Turn<'_>, dialog: Id, tag: u32) {
        let ended = self.dialogs.end_leg(dialog, tag, turn.policy.table.states(), &mut self.wheel);
        self.stats.dialogs_ended += u64::from(ended);
        self.settle_ends(dialog);
    }

    /// A 3xx-6xx.
    pub(super) fn branch_failure(&mut self, turn: &mut Turn<'_>, id: Id, answer: &Answer<'_>) {
        let status = answer.status;
        let Some(client) = self.clients.get(id) else { return };
        let (server, was_pending, invite) = (client.server, client.is_pending, client.machine.is_invite());
        let retry = self.set_of_branch(turn, id).is_some_and(|set| set.failover_codes.contains(status.code()));
        self.release_branch(turn, id);
        if let Some(destination) = self.decides(turn, id, false) {
            let retry_after_s = evidence::retry_after_s(answer.message, status);
            evidence::failure(turn.policy.table.states(), destination, turn.now, status, retry, retry_after_s);
        }
        self.no_longer_pending(id);
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        if context.answered {
            return;
        }
        if status == Status::REQUEST_TIMEOUT && !invite {
            // RFC 4320 §4.2: a non-INVITE never gets a 408: it is as if nothing had come.
            self.note_lost(server, Lost::TimedOut);
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
            self.note_decided(server, retry);
            self.advance_from(turn, id, server, retry);
        }
    }

    /// A final response that does not send the request on has decided it, but for what other branches say.
    fn note_decided(&mut self, server: Id, retry: bool) {
        if let Some(server) = self.servers.get_mut(server) {
            server.context.decided |= !retry;
        }
    }

    /// A branch that ends without a response: it timed out, or could not be reached (RFC 3261 §16.8, §16.9).
    pub(super) fn branch_lost(&mut self, turn: &mut Turn<'_>, id: Id, lost: Lost) {
        let Some(client) = self.clients.get(id) else { return };
        let (server, was_pending) = (client.server, client.is_pending);
        self.release_branch(turn, id);
        if let Some(destination) = self.decides(turn, id, true) {
            let states = turn.policy.table.states();
            match lost {
                Lost::TimedOut => evidence::transaction_timeout(states, destination),
                Lost::Unreachable => evidence::unreachable(states, destination),
            }
        }
        self.no_longer_pending(id);
        self.note_lost(server, lost);
        if was_pending {
            self.advance_from(turn, id, server, true);
        }
    }

    pub(super) fn note_lost(&mut self, server: Id, lost: Lost) {
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        match lost {
            Lost::TimedOut => context.timed_out = true,
            Lost::Unreachable => context.unreachable = true,
        }
    }

    /// The destination of branch `id`, when its end is evidence: it could still decide its request. What it says after another has
    /// won is none, nor is what comes of a CANCEL of ours; but who never said anything (`lost`) was not even cancelled.
    fn decides(&self, turn: &Turn<'_>, id: Id, lost: bool) -> Option<DestinationId> {
        let client = self.clients.get(id).filter(|client| client.is_pending)?;
        let context = &self.servers.get(client.server)?.context;
        let declined = context.best.as_ref().is_some_and(|(status, _)| status.code() >= 600);
        let cancelled = (context.answered || declined) && matches!(client.cancel, Cancel::Sent(_));
        evidence::of(turn.policy, client.destination).filter(|_| !cancelled && (lost || !context.answered))
    }

    /// Gives the branch's load back.
    pub(super) fn release_branch(&mut self, turn: &Turn<'_>, id: Id) {
        if let Some(token) = self.take_token(id) {
            turn.policy.table.states().release(token);
        }
    }

    pub(super) fn no_longer_pending(&mut self, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let was = core::mem::replace(&mut client.is_pending, false);
        if let Some(server) = self.servers.get_mut(client.server) {
            server.context.pending -= u8::from(was);
        }
    }

    pub(super) fn set_of<'p>(&self, turn: &Turn<'p>, server: Id) -> Option<&'p Set> {
        let set = self.servers.get(server)?.context.set?;
        turn.policy.table.set(set)
    }

    /// The set that the destination of branch `id` is of, else the one in force for its request.
    fn set_of_branch<'p>(&self, turn: &Turn<'p>, id: Id) -> Option<&'p Set> {
        let client = self.clients.get(id)?;
        let destination = client.destination.and_then(|destination| turn.policy.table.destination(destination));
        match destination {
            Some(destination) => turn.policy.table.set(destination.set),
            None => self.set_of(turn, client.server),
        }
    }

    /// RFC 3261 §16.7 item 6: whether `new` is better than `old`: 6xx first, else the lower class; within 4xx what tells the
    /// caller how to try again. A 487 comes last there: when the caller did not ask for it, it says nothing but that we cancelled.
    fn is_better(new: Status, old: Status) -> bool {
        let rank = |status: Status| match status.code() {
            600.. => 0,
            401 | 407 | 415 | 420 | 484 => 4000,
            487 => 4002,
            code => u32::from(code / 100) * 1000 + 1,
        };
        rank(new) < rank(old)
    }

    fn keep_best(&mut self, server: Id, message: &Message<'_>, status: Status) {
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        let better = context.best.as_ref().is_none_or(|(best, _)| Self::is_better(status, *best));
        let stored = if better { self.buffers.store(&message.bytes[..message.end()]) } else { None };
        // Without room for it the one before stays.
        self.stats.refused_full += u64::from(better && stored.is_none());
        let loser = stored.and_then(|stored| context.best.replace((status, stored)));
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
        let may_go_on = retry && !context.is_over();
        if may_go_on && self.try_next(turn, server, None) {
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
        let destination = evidence::of(turn.policy, self.clients.get(id).and_then(|client| client.destination));
        if self.advance(turn, server, retry)
            && let Some(destination) = destination
        {
            turn.policy.table.states().count_failover(destination.state());
        }
    }

    /// RFC 3261 §16.10, §16.7 item 10: cancels what is pending. `by_caller`: a CANCEL came, so no new target is tried.
    pub(super) fn cancel_call(&mut self, turn: &mut Turn<'_>, server: Id, by_caller: bool) {
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        context.cancelled |= by_caller;
        let mut next = context.branches;
        while let Some((branch, behind)) = self.branch_at(next) {
            self.cancel_branch(turn, branch);
            next = behind;
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
        let full = context.no_room && context.branches.is_end() && context.sent == 0 && context.sent_before.is_empty();
        // RFC 3261 §16.8: what rang too long is a 408, or what a 6xx said, whatever is left to try.
        let unavailable = unavailable.filter(|_| !context.gives_up);
        // RFC 3261 §16.7 item 6: a 6xx is never replaced.
        let moves_on =
            |status: Status| status.code() < 600 && set.is_some_and(|set| set.failover_codes.contains(status.code()));
        let status = best.as_ref().map(|(status, _)| *status);
        self.stats.no_room += u64::from(full && !cancelled);
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
            self.end_leg(turn, dialog, tag);
        }
    }

    fn answer_unavailable(&mut self, turn: &mut Turn<'_>, id: Id, retry_after_s: u32) {
        self.scratch.clear();
        retry_after(retry_after_s, &mut self.scratch);
        self.answer_with_scratch(turn, id, Status::SERVICE_UNAVAILABLE, "");
    }
}
