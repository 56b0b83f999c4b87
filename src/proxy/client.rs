//! Client transactions (RFC 3261 §17.1, RFC 6026 §7.2): branches and their CANCELs.

use super::deadlines::{Deadlines, NEVER, Owner};
use super::entry::{Cancel, Client, ClientMachine, Purpose};
use super::fork::Link;
use super::forward::{Hop, Parts};
use super::request::Incoming;
use super::route::Plan;
use super::server::give;
use super::slab::Id;
use super::transaction::{Actions, ClientEvent, invite_client, non_invite_client};
use super::{Proxy, Turn};
use crate::dispatcher::{DestinationId, LoadToken};
use crate::sip::{Message, Method, fields, header_is, push_number, scan};

/// A branch could not be started: no room here or there, or no socket of the right family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotStarted;

impl Proxy {
    /// RFC 3261 §16.6: sends the request of server transaction `server` to `hop`, in a new client transaction with a new branch.
    pub(super) fn start_branch(
        &mut self,
        turn: &mut Turn<'_>,
        server: Id,
        incoming: &Incoming<'_>,
        plan: &Plan,
        hop: Hop,
    ) -> Result<(), NotStarted> {
        let Some(socket) = self.leaves_by(incoming.socket, plan, &hop) else {
            self.stats.unresolvable += 1;
            return Err(NotStarted);
        };
        if self.clients.is_full() {
            return Err(self.no_room_for_branch(server));
        }
        let set = self.set_of(turn, server).filter(|_| hop.destination.is_some());
        let overload_control = set.is_some_and(|set| set.overload_control);
        if overload_control {
            self.heed_overload(turn, server, incoming, hop)?;
        }
        let token = self.load_of(turn, server, incoming.method, hop)?;
        let mut client = self.new_client(turn, server, incoming.method, hop, socket);
        client.token = token;
        client.overload_control = overload_control;
        client.deadlines.answer_at = set.map_or(NEVER, |set| turn.now + set.answer_timeout);
        let Some(id) = self.clients.insert(client) else { return Err(NotStarted) };
        let branch = self.keys.branch(id, self.fingerprint(incoming));
        let cookie = self.cookie_for(server, incoming, plan);
        let special = set.filter(|set| set.rewrite_uri || set.attrs_header.is_some());
        let destination =
            special.and(hop.destination).and_then(|destination| turn.policy.table.destination(destination));
        let (mut target, mut attrs) = (None, None);
        if let (Some(set), Some(destination)) = (special, destination) {
            target = set.rewrite_uri.then_some(destination.uri.as_bytes());
            attrs = set.attrs_header.zip(Some(destination.attrs.as_str()).filter(|attrs| !attrs.is_empty()));
        }
        let parts = Parts { branch: &branch, socket, cookie, breadth: hop.breadth, target, attrs, overload_control };
        let bytes = turn.out.push(socket, hop.address, |arena| self.write_request(incoming, plan, &parts, arena));
        let Some(sent) = self.buffers.store(bytes) else {
            turn.out.unpush();
            self.release_branch(turn, id);
            self.clients.remove(id);
            return Err(self.no_room_for_branch(server));
        };
        self.take_branch(turn, server, id, sent);
        Ok(())
    }

    #[cold]
    fn no_room_for_branch(&mut self, server: Id) -> NotStarted {
        self.stats.refused_full += 1;
        // What a set's targets are passed over for is their own room.
        let relayed = self.servers.get_mut(server).filter(|server| server.context.set.is_none());
        relayed.into_iter().for_each(|server| server.context.no_room = true);
        NotStarted
    }

    /// The load of a new call at `hop`. A destination that has no room for it is passed over.
    #[inline]
    fn load_of(
        &mut self,
        turn: &Turn<'_>,
        server: Id,
        method: Method,
        hop: Hop,
    ) -> Result<Option<LoadToken>, NotStarted> {
        let Some(destination) = hop.destination.filter(|_| method == Method::Invite) else { return Ok(None) };
        let token = self.reserve(turn, destination);
        match token {
            Some(_) => self.branch_tokens += 1,
            None => self.servers.get_mut(server).into_iter().for_each(|server| server.context.no_room = true),
        }
        token.map(Some).ok_or(NotStarted)
    }

    /// Takes the load of one more call at `destination`; `None` when that has no room for it now.
    /// Design: a call's load is taken when its branch is sent.
    #[inline]
    fn reserve(&self, turn: &Turn<'_>, destination: DestinationId) -> Option<LoadToken> {
        let table = &turn.policy.table;
        table.states().reserve(table.destination(destination)?, turn.now).ok()
    }

    /// Takes the load token of branch `id` out of it.
    pub(super) fn take_token(&mut self, id: Id) -> Option<LoadToken> {
        let token = self.clients.get_mut(id)?.token.take();
        self.branch_tokens -= usize::from(token.is_some());
        token
    }

    #[inline]
    pub(super) fn new_client(
        &self,
        turn: &Turn<'_>,
        server: Id,
        method: Method,
        hop: Hop,
        socket: super::SocketId,
    ) -> Client {
        let timers = &self.settings.timers;
        let machine = if method == Method::Invite {
            ClientMachine::Invite(invite_client::State::Calling)
        } else {
            ClientMachine::NonInvite(non_invite_client::State::Trying)
        };
        let deadlines = Deadlines {
            // RFC 3261 §17.1.1.2, §17.1.2.2: Timers A and E start at T1, B and F are 64*T1.
            retransmit_at: turn.now + timers.t1,
            interval: timers.t1,
            timeout_at: turn.now + timers.transaction_timeout(),
            ..Deadlines::default()
        };
        Client {
            machine,
            method,
            purpose: Purpose::Branch,
            server,
            address: hop.address,
            socket,
            sent: None,
            destination: hop.destination,
            token: None,
            cancel: Cancel::No,
            is_pending: true,
            overload_control: false,
            breadth: hop.breadth,
            next_branch: Link::END,
            sent_at: turn.now,
            deadlines,
        }
    }

    /// The cookie of the dialog that the request begins or belongs to, when our Record-Route goes into it.
    fn cookie_for(&self, server: Id, incoming: &Incoming<'_>, plan: &Plan) -> Option<super::branch::CookieText> {
        if !incoming.method.record_routes() {
            return None;
        }
        let begins = self.servers.get(server).and_then(|server| server.context.dialog);
        let belongs = || plan.cookie.filter(|id| self.dialogs.belongs(*id, self.call_hash(incoming.message)));
        begins.or_else(belongs).map(|dialog| self.keys.cookie(dialog))
    }

    fn take_branch(&mut self, turn: &Turn<'_>, server: Id, id: Id, sent: super::buffers::Buffer) {
        let (Some(client), Some(context)) = (self.clients.get_mut(id), self.servers.get_mut(server)) else { return };
        let context = &mut context.context;
        client.sent = Some(sent);
        if let Some(destination) = client.destination {
            turn.policy.table.states().count_selected(destination.state());
            // Its place is the one before those that are still to come.
            context.sent |= 1 << context.tried.saturating_sub(1);
        }
        context.pending += 1;
        client.deadlines.file(&mut self.wheel, Owner::Client(id.index));
        if context.branches.is_end() {
            context.branches = Link::to(id);
        } else {
            self.link_branch(server, id);
        }
    }

    /// Takes a step; what the tables want done beyond timers and retransmissions is given back.
    pub(super) fn client_event(&mut self, turn: &mut Turn<'_>, id: Id, event: ClientEvent) -> Option<Actions> {
        let client = self.clients.get_mut(id)?;
        let actions = client.machine.step(event)?;
        client_timers(client, actions, turn.now, &self.settings.timers);
        if actions.has(Actions::RESEND)
            && let Some(sent) = &client.sent
        {
            self.stats.retransmissions_sent += 1;
            turn.out.push(client.socket, client.address, |arena| arena.extend_from_slice(sent));
        }
        Some(actions)
    }

    /// Files the next deadline, or forgets the transaction when it has ended.
    pub(super) fn settle_client(&mut self, turn: &Turn<'_>, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.machine.is_terminated() {
            return self.remove_client(turn, id);
        }
        client.deadlines.file(&mut self.wheel, Owner::Client(id.index));
    }

    /// Forgets a client transaction: its load is given back, its server transaction hears of it, its CANCEL goes with it.
    pub(super) fn remove_client(&mut self, turn: &Turn<'_>, id: Id) {
        self.release_branch(turn, id);
        let Some(mut client) = self.clients.remove(id) else { return };
        client.deadlines.cancel(&mut self.wheel);
        give(&mut self.buffers, client.sent.take());
        if let Cancel::Sent(Some(cancel)) = client.cancel {
            self.remove_client(turn, cancel);
        }
        if let Purpose::Keepalive(..) = client.purpose {
            self.ends.unanswered -= 1;
        }
        if client.purpose == Purpose::Branch {
            self.unlink_branch(client.server, id, client.next_branch);
            if let Some(server) = self.servers.get_mut(client.server) {
                server.context.pending -= u8::from(client.is_pending);
            }
            self.settle_server(turn, client.server);
        }
    }

    /// RFC 3261 §17.1.1.3: acknowledges a final response other than 2xx on its own hop.
    pub(super) fn send_ack(&mut self, turn: &mut Turn<'_>, id: Id, response: &Message<'_>) {
        let Some(client) = self.clients.get(id) else { return };
        let Some(sent) = &client.sent else { return };
        let to = response.text(response.head.to.line);
        turn.out.push(client.socket, client.address, |arena| derive(&scan(sent), b"ACK", to, arena));
    }

    /// RFC 3261 §9.1: cancels a branch that has sent a provisional response; one that has not is cancelled when it does.
    pub(super) fn cancel_branch(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.machine.is_invite() || !client.machine.is_unanswered() || matches!(client.cancel, Cancel::Sent(_)) {
            return;
        }
        client.cancel = Cancel::Wanted;
        if client.machine.is_proceeding() {
            self.send_cancel(turn, id);
        }
    }

    fn send_cancel(&mut self, turn: &mut Turn<'_>, invite: Id) {
        let Some(client) = self.clients.get(invite) else { return };
        let Some(sent) = &client.sent else { return };
        let (server, address, socket) = (client.server, client.address, client.socket);
        let hop = Hop::routed(address, 0);
        // RFC 3261 §9.1: same address, port and branch as the INVITE.
        let bytes = turn.out.push(socket, address, |arena| {
            let sent = scan(sent);
            derive(&sent, b"CANCEL", sent.text(sent.head.to.line), arena);
        });
        let stored = if self.clients.is_full() { None } else { self.buffers.store(bytes) };
        let mut cancel = self.new_client(turn, server, Method::Cancel, hop, socket);
        (cancel.purpose, cancel.sent, cancel.is_pending) = (Purpose::Cancel(invite), stored, false);
        let id = self.clients.insert(cancel);
        if let Some(id) = id {
            self.settle_client(turn, id);
        } else {
            // It is sent once all the same, only not repeated.
            self.stats.refused_full += 1;
        }
        if let Some(client) = self.clients.get_mut(invite) {
            client.cancel = Cancel::Sent(id);
            client.deadlines.answer_at = NEVER;
            // RFC 3261 §9.1: without a final response within 64*T1 the INVITE counts as cancelled.
            client.deadlines.timeout_at = turn.now + self.settings.timers.transaction_timeout();
        }
        self.settle_client(turn, invite);
    }
}

#[inline]
fn client_timers(client: &mut Client, actions: Actions, now: crate::time::Instant, timers: &super::Timers) {
    let deadlines = &mut client.deadlines;
    if actions.has(Actions::DOUBLE) {
        // RFC 3261 §17.1.1.2: Timer A doubles without bound; §17.1.2.2: Timer E up to T2.
        let doubled = deadlines.interval * 2;
        deadlines.interval = if client.machine.is_invite() { doubled } else { doubled.min(timers.t2) };
        deadlines.retransmit_at = now + deadlines.interval;
    }
    if actions.has(Actions::SLOW) {
        deadlines.retransmit_at = now + timers.t2;
    }
    if actions.has(Actions::STOP_RETRANSMIT) {
        deadlines.retransmit_at = NEVER;
        deadlines.answer_at = NEVER;
    }
    if actions.has(Actions::STOP_TIMEOUT) {
        deadlines.timeout_at = NEVER;
    }
    if actions.has(Actions::TIMEOUT_64_T1) {
        deadlines.timeout_at = now + timers.transaction_timeout();
    }
    if actions.has(Actions::TIMEOUT_D) {
        deadlines.timeout_at = now + timers.d();
    }
    if actions.has(Actions::TIMEOUT_T4) {
        deadlines.timeout_at = now + timers.t4;
    }
}

/// Appends the ACK or CANCEL of the request that we sent: same Request-URI, Via, From, Call-ID, CSeq number and Route
/// (RFC 3261 §9.1, §17.1.1.3), no Require or Proxy-Require.
fn derive(sent: &Message<'_>, method: &[u8], to: &[u8], out: &mut Vec<u8>) {
    let head = &sent.head;
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(sent.text(head.uri));
    out.extend_from_slice(b" SIP/2.0\r\n");
    // RFC 3261 §9.1, §17.1.1.3: a single Via, the topmost of the request: our own line.
    out.extend_from_slice(sent.text(head.via.line));
    out.extend_from_slice(sent.text(head.from.line));
    out.extend_from_slice(to);
    out.extend_from_slice(sent.text(head.call_id.line));
    out.extend_from_slice(b"CSeq: ");
    push_number(head.cseq_number, out);
    out.push(b' ');
    out.extend_from_slice(method);
    out.extend_from_slice(b"\r\n");
    if head.route.is_set() {
        let routes = fields(sent).filter(|field| header_is(sent.text(field.name), b"route"));
        routes.for_each(|field| out.extend_from_slice(sent.text(field.line)));
    }
    out.extend_from_slice(b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_and_cancel_are_made_of_the_request_that_was_sent() {
        // RFC 3261 §9.1, §17.1.1.3
        let sent = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKs\r\nRecord-Route: <sip:us;lr>\r\nv: SIP/2.0/UDP x\r\n\
                    Route: <sip:p;lr>\r\nRequire: 100rel\r\nProxy-Require: sec\r\nf: <sip:c>;tag=1\r\nTo: <sip:a@b>\r\ni: q\r\n\
                    CSeq: 5 INVITE\r\nRoute: <sip:q;lr>\r\nContent-Length: 0\r\n\r\n";
        let mut out = Vec::new();
        derive(&scan(sent.as_bytes()), b"ACK", b"To: <sip:a@b>;tag=2\r\n", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKs\r\nf: <sip:c>;tag=1\r\nTo: <sip:a@b>;tag=2\r\ni: q\r\n\
             CSeq: 5 ACK\r\nRoute: <sip:p;lr>\r\nRoute: <sip:q;lr>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
