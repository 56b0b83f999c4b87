//! Server transactions (RFC 3261 §17.2, RFC 6026 §7.1): the tables decide, this room does what they say.

use super::buffers::{Buffer, Buffers};
use super::deadlines::{Deadlines, NEVER, Owner};
use super::entry::{ResponseContext, Server, ServerMachine};
use super::reject::server_line;
use super::request::Incoming;
use super::settings::{DialogLifetimes, Settings};
use super::slab::Id;
use super::transaction::{Actions, ServerEvent, invite_server, non_invite_server};
use super::{Proxy, Turn};
use crate::sip::{Message, Method, Reply, Span, Splice, Status, Via, reply, scan};
use crate::time::Instant;
use core::time::Duration;

/// The response that a server transaction sends.
pub(super) enum Content<'a> {
    /// One that we write ourselves, with this phrase and the header lines in `scratch`.
    Own(&'a str),
    /// The 100 for a request that has just been read (RFC 3261 §17.2.1).
    Trying(&'a Incoming<'a>),
    /// One that came from a branch, with its top Via, which is ours and is taken off (RFC 3261 §16.7 item 3).
    Relayed(&'a Message<'a>, &'a Via),
    /// The best of several, with header lines to add.
    Best(&'a Message<'a>, &'a [u8]),
}

impl Proxy {
    /// A new server transaction for `incoming`; `None` when there is no room.
    pub(super) fn insert_server(&mut self, turn: &Turn<'_>, incoming: &Incoming<'_>, key: u64) -> Option<Id> {
        // Before the request takes memory that a refused transaction could not give back.
        if self.servers.is_full() {
            return None;
        }
        let message = incoming.message;
        let request = self.buffers.store(&message.bytes[..message.end()])?;
        let invite = incoming.method == Method::Invite;
        let mut deadlines = Deadlines::default();
        let machine = if invite {
            ServerMachine::Invite(invite_server::State::Proceeding)
        } else {
            // RFC 4320 §4.2: after 64*T1 nobody waits for an answer. §4.1: a 100 when the caller's Timer E has reached T2.
            deadlines.timeout_at = turn.now + self.settings.timers.transaction_timeout();
            deadlines.answer_at = turn.now + time_to_t2(self.settings.timers.t1, self.settings.timers.t2);
            ServerMachine::NonInvite(non_invite_server::State::Trying)
        };
        let server = Server {
            machine,
            key,
            request: Some(request),
            response: None,
            source: incoming.source,
            reply_to: incoming.via.reply_address(incoming.source),
            socket: incoming.socket,
            deadlines,
            context: ResponseContext::default(),
        };
        let id = self.servers.insert(server)?;
        self.index.insert(key, id.index);
        self.unanswered += 1;
        self.stats.transactions_created += 1;
        if !invite {
            self.settle_server(turn, id);
        }
        Some(id)
    }

    /// Takes a step without a response of its own; whether the event is to be passed up.
    pub(super) fn server_event(&mut self, turn: &mut Turn<'_>, id: Id, event: ServerEvent) -> bool {
        let Some(server) = self.servers.get_mut(id) else { return false };
        let was_unanswered = server.machine.is_unanswered();
        let Some(actions) = server.machine.step(event) else { return false };
        if was_unanswered && !server.machine.is_unanswered() {
            self.unanswered -= 1;
        }
        // Nobody waits for an answer any more: no branch is to go on for it.
        server.context.answered |= actions.has(Actions::FAIL);
        server_timers(&mut server.deadlines, actions, turn.now, &self.settings.timers);
        if !server.machine.is_unanswered() && !server.machine.repeats() {
            give(&mut self.buffers, server.response.take());
        }
        if actions.has(Actions::RESEND) {
            self.resend_response(turn, id, event);
        }
        self.settle_server(turn, id);
        actions.has(Actions::PASS_UP)
    }

    /// Sends the last response again; an INVITE that only got our 100 gets it again (RFC 3261 §17.2.1).
    fn resend_response(&mut self, turn: &mut Turn<'_>, id: Id, event: ServerEvent) {
        let Some(server) = self.servers.get_mut(id) else { return };
        if let Some(response) = &server.response {
            self.stats.response_retransmissions_sent += u64::from(event == ServerEvent::Retransmit);
            turn.out.push(server.socket, server.reply_to, |arena| arena.extend_from_slice(response));
        } else if server.machine.is_unanswered() {
            self.answer(turn, id, Status::TRYING, "");
        }
    }

    /// Answers with a response of our own, without further headers.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>, id: Id, status: Status, reason: &str) {
        self.scratch.clear();
        self.answer_with_scratch(turn, id, status, reason);
    }

    /// RFC 3261 §17.2.1: an INVITE is answered with 100 within 200 ms; we know nothing sooner, so at once.
    pub(super) fn answer_trying(&mut self, turn: &mut Turn<'_>, id: Id, incoming: &Incoming<'_>) {
        self.scratch.clear();
        server_line(&self.settings.server, &mut self.scratch);
        self.respond(turn, id, Status::TRYING, &Content::Trying(incoming));
    }

    /// Answers with a response of our own and the header lines in `scratch`.
    pub(super) fn answer_with_scratch(&mut self, turn: &mut Turn<'_>, id: Id, status: Status, reason: &str) {
        server_line(&self.settings.server, &mut self.scratch);
        self.respond(turn, id, status, &Content::Own(reason));
    }

    /// Sends a response by the server transaction `id`, when its state allows one.
    pub(super) fn respond(&mut self, turn: &mut Turn<'_>, id: Id, status: Status, content: &Content<'_>) {
        let event = match status {
            status if status.is_provisional() => ServerEvent::Provisional,
            status if status.is_success() => ServerEvent::Success,
            _ => ServerEvent::Failure,
        };
        let Some(server) = self.servers.get_mut(id) else { return };
        let was_unanswered = server.machine.is_unanswered();
        let Some(actions) = server.machine.step(event) else { return };
        if was_unanswered && !server.machine.is_unanswered() {
            self.unanswered -= 1;
            self.count_final(turn, id, status);
        }
        if actions.has(Actions::SEND) {
            self.send_response(turn, id, status, content, actions);
        }
        let Some(server) = self.servers.get_mut(id) else { return };
        server_timers(&mut server.deadlines, actions, turn.now, &self.settings.timers);
        if !server.machine.is_unanswered() {
            // No branch is started any more, and the stored response answers retransmissions.
            server.deadlines.answer_at = NEVER;
            give(&mut self.buffers, server.request.take());
            if !server.machine.repeats() {
                give(&mut self.buffers, server.response.take());
            }
        }
        self.settle_server(turn, id);
    }

    fn count_final(&mut self, turn: &Turn<'_>, id: Id, status: Status) {
        if self.servers.get(id).is_some_and(|server| server.context.is_call) {
            self.stats.calls_answered += u64::from(status.is_success());
            self.stats.calls_failed += u64::from(!status.is_success());
            if self.decisions.is_due() {
                self.note_decision(turn, id, status);
            }
        }
    }

    fn send_response(&mut self, turn: &mut Turn<'_>, id: Id, status: Status, content: &Content<'_>, actions: Actions) {
        let Self { servers, splice, keys, buffers, scratch, stats, .. } = self;
        let Some(server) = servers.get_mut(id) else { return };
        let bytes = turn.out.push(server.socket, server.reply_to, |arena| match content {
            Content::Relayed(message, via) => pop_via(message, via, b"", splice, arena),
            Content::Best(message, extra) => {
                let via = message.top_via().unwrap_or_default();
                pop_via(message, &via, extra, splice, arena);
            }
            Content::Trying(incoming) => {
                let via = Some((&incoming.via, &incoming.stamp));
                let answer = Reply { status, reason: "", to_tag: b"", headers: scratch, via, feedback: None };
                reply(incoming.message, incoming.source, &answer, splice, arena);
            }
            Content::Own(reason) => {
                // A transaction that may still answer has its request.
                let message = scan(server.request.as_deref().unwrap_or_default());
                let from_tag = message.from().map(|from| message.text(from.tag)).unwrap_or_default();
                let own_tag = keys.to_tag(keys.hash((message.call_id(), from_tag)));
                // RFC 3261 §8.2.6.1: a 100 gets no To tag.
                let to_tag = if status == Status::TRYING { &[][..] } else { &own_tag };
                let answer = Reply { status, reason, to_tag, headers: scratch, via: None, feedback: None };
                reply(&message, server.source, &answer, splice, arena);
            }
        });
        if actions.has(Actions::STORE) && status != Status::TRYING {
            server.response = match server.response.take() {
                Some(old) => buffers.replace(old, bytes).map_err(|old| buffers.give(old)).ok(),
                None => buffers.store(bytes),
            };
            if server.response.is_none() && !status.is_provisional() {
                // No branch is started any more: what the request takes is better used for the answer to its retransmissions.
                give(buffers, server.request.take());
                server.response = buffers.store(bytes);
            }
            // Without it a retransmission gets no answer: said, and healed by the next response or the caller's timer.
            stats.refused_full += u64::from(server.response.is_none());
        }
    }

    /// Files the next deadline, or lets the transaction go when it has ended and its branches too (RFC 3261 §16.7 item 9).
    pub(super) fn settle_server(&mut self, turn: &Turn<'_>, id: Id) {
        let Some(server) = self.servers.get_mut(id) else { return };
        if server.machine.is_terminated() && server.context.branches.is_end() {
            return self.remove_server(turn, id);
        }
        server.deadlines.file(&mut self.wheel, Owner::Server(id.index));
    }

    /// Forgets a server transaction that has no branches.
    pub(super) fn remove_server(&mut self, turn: &Turn<'_>, id: Id) {
        let Some(mut server) = self.servers.remove(id) else { return };
        self.unanswered -= usize::from(server.machine.is_unanswered());
        self.index.remove(server.key, id.index);
        server.deadlines.cancel(&mut self.wheel);
        let context = &mut server.context;
        let best = context.best.take().map(|(_, buffer)| buffer);
        for buffer in [server.request.take(), server.response.take(), context.challenges.take(), best] {
            give(&mut self.buffers, buffer);
        }
        if let Some((dialog, tag)) = context.ends {
            self.end_leg(turn, dialog, tag);
        }
        if let Some(dialog) = context.dialog {
            let Settings { dialog: DialogLifetimes { no_ack, .. }, timers, .. } = &self.settings;
            let ack_by = turn.now + no_ack.saturating_sub(timers.transaction_timeout());
            self.dialogs.leave_transaction(dialog, ack_by, turn.policy.table.states(), &mut self.wheel);
            self.settle_ends(dialog);
        }
    }
}

/// Gives a stored message back to the pool.
pub(super) fn give(buffers: &mut Buffers, buffer: Option<Buffer>) {
    if let Some(buffer) = buffer {
        buffers.give(buffer);
    }
}

fn server_timers(deadlines: &mut Deadlines, actions: Actions, now: Instant, timers: &super::Timers) {
    if actions.has(Actions::START_RETRANSMIT) {
        deadlines.interval = timers.t1;
        deadlines.retransmit_at = now + timers.t1;
    }
    if actions.has(Actions::DOUBLE) {
        // RFC 3261 §17.2.1: Timer G doubles up to T2.
        deadlines.interval = (deadlines.interval * 2).min(timers.t2);
        deadlines.retransmit_at = now + deadlines.interval;
    }
    if actions.has(Actions::STOP_RETRANSMIT) {
        deadlines.retransmit_at = NEVER;
    }
    if actions.has(Actions::TIMEOUT_64_T1) {
        deadlines.timeout_at = now + timers.transaction_timeout();
    }
    if actions.has(Actions::TIMEOUT_T4) {
        deadlines.timeout_at = now + timers.t4;
    }
}

/// When Timer E of the caller, which doubles from T1, is set to T2 (RFC 4320 §4.1: 3.5 s by default).
fn time_to_t2(t1: Duration, t2: Duration) -> Duration {
    let (mut interval, mut sum) = (t1, Duration::ZERO);
    while interval < t2 && !interval.is_zero() {
        sum += interval;
        interval *= 2;
    }
    sum
}

/// Appends a response without its topmost Via value, which is ours (RFC 3261 §16.7 item 3).
pub(super) fn pop_via(message: &Message<'_>, via: &Via, extra: &[u8], splice: &mut Splice, out: &mut Vec<u8>) {
    splice.clear();
    let line = message.head.via;
    splice.remove(match via.next {
        Some(next) => Span { start: line.value.start, end: next },
        None => line.line,
    });
    if !extra.is_empty() {
        splice.insert_bytes(message.head.headers_end, extra);
    }
    if !message.bytes.starts_with(b"SIP/2.0") {
        // RFC 3261 §7.1: the version is sent in upper case; empty lines before it are not passed on.
        let start = message.bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
        splice.replace_bytes(Span::new(0, start + 7), b"SIP/2.0");
    }
    splice.write(message.bytes, message.end(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_100_to_a_non_invite_waits_until_timer_e_is_t2() {
        // RFC 4320 §4.1
        assert_eq!(time_to_t2(Duration::from_millis(500), Duration::from_secs(4)), Duration::from_millis(3500));
        assert_eq!(time_to_t2(Duration::from_secs(4), Duration::from_secs(4)), Duration::ZERO);
    }

    #[test]
    fn only_the_topmost_via_value_is_taken_off() {
        // RFC 3261 §16.7 item 3
        let popped = |text: &str| {
            let mut out = Vec::new();
            let message = scan(text.as_bytes());
            pop_via(&message, &message.top_via().unwrap(), b"", &mut Splice::new(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            popped("SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a , SIP/2.0/UDP b\r\nVia: SIP/2.0/UDP c\r\n\r\n"),
            "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP b\r\nVia: SIP/2.0/UDP c\r\n\r\n"
        );
        assert_eq!(popped("\r\nsip/2.0 200 \r\nX: y\r\nVia: SIP/2.0/UDP a\r\n\r\nz"), "SIP/2.0 200 \r\nX: y\r\n\r\nz");
    }
}
