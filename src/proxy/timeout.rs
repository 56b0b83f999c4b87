//! Time passes, and sends fail: what is due is done.

use super::context::Lost;
use super::deadlines::{NEVER, Owner};
use super::dialog::State;
use super::entry::{Cancel, Purpose};
use super::slab::Id;
use super::transaction::{Actions, ClientEvent, ServerEvent};
use super::{Outbox, Policy, Proxy, Turn};
use crate::sip::{Message, Method, Status, Via, scan};
use crate::time::Instant;
use std::net::SocketAddr;

impl Proxy {
    /// Does what is due by `now`, at most [`super::Settings::timers_per_turn`] timers or an outbox full; the rest is due again at once.
    pub fn handle_timeout(&mut self, now: Instant, policy: &Policy, out: &mut Outbox) {
        let mut turn = Turn { now, policy, out };
        for _ in 0..self.settings.timers_per_turn {
            if turn.out.is_full() {
                return;
            }
            match self.wheel.pop_due(now) {
                None => return,
                Some((_, Owner::Server(index))) => self.server_due(&mut turn, index),
                Some((_, Owner::Client(index))) => self.client_due(&mut turn, index),
                Some((_, Owner::Dialog(index))) => self.dialog_due(&mut turn, index),
            }
        }
    }

    /// A message that we sent to `destination` did not get there: the send failed, or an ICMP error came back. `sent` is that
    /// message, or as much of it as the error quotes (RFC 3261 §18.4, §16.9).
    pub fn handle_send_error(
        &mut self,
        now: Instant,
        policy: &Policy,
        destination: SocketAddr,
        sent: &[u8],
        out: &mut Outbox,
    ) {
        let mut turn = Turn { now, policy, out };
        let message = scan(sent);
        if message.status().is_some() {
            // RFC 3261 §16.9: a response that cannot be sent is dropped.
            self.stats.response_send_errors += 1;
            return self.response_not_sent(&mut turn, &message);
        }
        let branch = Via::parse(sent, message.head.via.value).map(|via| via.branch.of(sent)).unwrap_or_default();
        let Some(id) = self.keys.transaction(branch) else { return };
        self.stats.request_send_errors += 1;
        let ours = self.clients.get(id).is_some_and(|client| client.address == destination);
        // The ACK and the CANCEL of an INVITE share its branch; what becomes of them does not change it.
        if !ours || matches!(message.method(), Some(Method::Ack | Method::Cancel)) {
            return;
        }
        if let Some(actions) = self.client_event(&mut turn, id, ClientEvent::TransportError) {
            self.client_failed(&mut turn, id, actions, Lost::Unreachable);
        }
    }

    /// RFC 6026 §7.1: its server transaction hears of it, and lives on.
    fn response_not_sent(&mut self, turn: &mut Turn<'_>, message: &Message<'_>) {
        let (Ok(via), Ok(from)) = (message.top_via(), message.from()) else { return };
        let method = message.text(message.head.cseq_method);
        let key = self.key(message, &via, message.text(from.tag), method);
        if let Some(id) = self.find_server(key) {
            self.server_event(turn, id, ServerEvent::TransportError);
        }
    }

    fn server_due(&mut self, turn: &mut Turn<'_>, index: u32) {
        let Some(id) = self.servers.id_at(index) else { return self.stats.bugs += 1 };
        let Some(server) = self.servers.get_mut(id) else { return };
        server.deadlines.fired();
        if server.deadlines.answer_at <= turn.now {
            server.deadlines.answer_at = NEVER;
            // RFC 4320 §4.1: after this long a non-INVITE must hear a 100.
            self.answer(turn, id, Status::TRYING, "");
        }
        if self.servers.get(id).is_some_and(|server| server.deadlines.retransmit_at <= turn.now) {
            self.server_event(turn, id, ServerEvent::Retransmit);
        }
        if self.servers.get(id).is_some_and(|server| server.deadlines.timeout_at <= turn.now) {
            if let Some(server) = self.servers.get_mut(id) {
                server.deadlines.timeout_at = NEVER;
            }
            self.server_event(turn, id, ServerEvent::Timeout);
        }
        self.settle_server(turn, id);
    }

    fn client_due(&mut self, turn: &mut Turn<'_>, index: u32) {
        let Some(id) = self.clients.id_at(index) else { return self.stats.bugs += 1 };
        let Some(client) = self.clients.get_mut(id) else { return };
        client.deadlines.fired();
        if client.deadlines.retransmit_at <= turn.now && client.deadlines.timeout_at > turn.now {
            self.client_event(turn, id, ClientEvent::Retransmit);
        }
        if self.clients.get(id).is_some_and(|client| client.deadlines.answer_at <= turn.now) {
            self.answer_timeout(turn, id);
        }
        if self.clients.get(id).is_some_and(|client| client.deadlines.timeout_at <= turn.now) {
            self.client_timeout(turn, id);
        }
        self.settle_client(turn, id);
    }

    fn client_timeout(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.deadlines.timeout_at = NEVER;
        if client.machine.is_invite() && client.machine.is_proceeding() {
            return self.timer_c(turn, id);
        }
        if let Some(actions) = self.client_event(turn, id, ClientEvent::Timeout) {
            self.client_failed(turn, id, actions, Lost::TimedOut);
        }
    }

    /// RFC 3261 §16.8: a call that rings too long is cancelled; §9.1: a cancelled one that stays silent is over.
    fn timer_c(&mut self, turn: &mut Turn<'_>, id: Id) {
        let cancel = self.clients.get(id).map(|client| client.cancel);
        if matches!(cancel, Some(Cancel::Sent(_))) {
            self.branch_lost(turn, id, Lost::TimedOut);
            return self.remove_client(turn, id);
        }
        let Some(server) = self.clients.get(id).map(|client| client.server) else { return };
        self.rang_too_long(server);
        self.cancel_branch(turn, id);
    }

    /// It has rung long enough: no other target is tried.
    fn rang_too_long(&mut self, server: Id) {
        self.stats.timer_c += 1;
        if let Some(server) = self.servers.get_mut(server) {
            server.context.gives_up = true;
        }
    }

    fn client_failed(&mut self, turn: &mut Turn<'_>, id: Id, actions: Actions, lost: Lost) {
        let is_branch = self.clients.get(id).is_some_and(|client| client.purpose == Purpose::Branch);
        if actions.has(Actions::FAIL) && is_branch {
            self.stats.transaction_timeouts += u64::from(lost == Lost::TimedOut);
            self.branch_lost(turn, id, lost);
        } else if actions.has(Actions::FAIL) {
            self.own_failed(turn, id, lost);
        }
        self.settle_client(turn, id);
    }

    fn dialog_due(&mut self, turn: &mut Turn<'_>, index: u32) {
        let Some(id) = self.dialogs.at(index) else { return self.stats.bugs += 1 };
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        dialog.deadlines.fired();
        let states = turn.policy.table.states();
        if dialog.deadlines.answer_at <= turn.now {
            dialog.deadlines.answer_at = NEVER;
            self.stats.dialogs_unacked += u64::from(self.dialogs.end_unacked(id, states, &mut self.wheel));
        }
        if self.dialogs.get_mut(id).is_some_and(|dialog| dialog.deadlines.retransmit_at <= turn.now) {
            self.keepalive_due(turn, id);
        }
        self.dialog_expires(turn, id);
        self.settle_ends(id);
        self.dialogs.file(id, &mut self.wheel);
    }

    fn dialog_expires(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        if dialog.deadlines.timeout_at <= turn.now {
            match (dialog.state, dialog.transaction) {
                (State::Early, Some(server)) => {
                    // It rings longer than the early lifetime: the call is cancelled, and its transaction ends the dialog.
                    dialog.deadlines.timeout_at = turn.now + self.settings.dialog.early;
                    self.rang_too_long(server);
                    self.cancel_call(turn, server, false);
                }
                _ => {
                    self.stats.dialogs_expired += 1;
                    dialog.deadlines.timeout_at = NEVER;
                    self.dialogs.terminate(id, turn.policy.table.states(), &mut self.wheel);
                }
            }
        }
    }
}
