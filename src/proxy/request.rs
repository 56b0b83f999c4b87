//! A request comes in: retransmission, CANCEL, ACK, or a new one that is checked, routed and forwarded.

use super::failover::Choice;
use super::forward::{Hop, breadth_of};
use super::route::Plan;
use super::rules::Facts;
use super::settings::{Action, PreloadedRoute, SocketId};
use super::slab::Id;
use super::transaction::ServerEvent;
use super::{Datagram, Proxy, Turn};
use crate::dispatcher::{Destination, Set, Table};
use crate::sip::{Defect, Message, Method, NameAddr, Stamp, Status, Via};
use std::net::SocketAddr;

/// A request whose syntax is in order, and what was read of it.
pub(super) struct Incoming<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) method: Method,
    pub(super) via: Via,
    pub(super) stamp: Stamp,
    pub(super) from: NameAddr,
    pub(super) to: NameAddr,
    pub(super) source: SocketAddr,
    pub(super) socket: SocketId,
}

impl<'a> Incoming<'a> {
    pub(super) fn read(
        message: &'a Message<'a>,
        method: Method,
        source: SocketAddr,
        socket: SocketId,
    ) -> Result<Self, Defect> {
        let (via, from, to) = (message.top_via()?, message.from()?, message.to()?);
        let stamp = Stamp::new(message.bytes, &via, source);
        Ok(Self { message, method, via, stamp, from, to, source, socket })
    }

    pub(super) fn datagram(&self) -> Datagram<'a> {
        Datagram { source: self.source, socket: self.socket, bytes: self.message.bytes }
    }

    /// Whether it belongs to a dialog (RFC 3261 §12.2): only then its To has a tag.
    pub(super) const fn in_dialog(&self) -> bool {
        self.to.tag.is_set()
    }
}

/// Where a request goes.
pub(super) enum Decision<'a> {
    /// The dispatcher chooses, as the rule with this number says.
    Set(&'a Set, u16),
    /// Its Route or Request-URI says.
    Address(SocketAddr),
    /// An OPTIONS that asks us.
    Options,
    /// Nowhere: this is the answer.
    Answer(Status, &'static str),
}

impl Proxy {
    pub(super) fn request(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        method: Method,
        datagram: Datagram<'_>,
    ) {
        self.stats.requests += 1;
        let incoming = match Incoming::read(message, method, datagram.source, datagram.socket) {
            Ok(incoming) => incoming,
            Err(defect) => return self.reject_defect(turn, message, datagram, defect),
        };
        let key = self.key_of(&incoming, message.text(message.head.method));
        match self.find_server(key) {
            Some(id) if method == Method::Ack => self.ack_for(turn, id, &incoming),
            Some(id) => self.retransmitted(turn, id),
            None if method == Method::Ack => self.forward_ack(turn, &incoming),
            None if self.leaves_out(&incoming) => self.leave_out(turn, &incoming),
            None => self.new_request(turn, &incoming, key),
        }
    }

    /// RFC 3261 §17.2.3: branch, sent-by and method, an ACK counting as its INVITE; without the magic cookie, the RFC 2543 rules.
    /// The far tag is left out there, since the INVITE has none and its ACK has. The host is compared as spelled: one sender
    /// spells itself one way.
    pub(super) fn key(&self, message: &Message<'_>, via: &Via, from_tag: &[u8], method: &[u8]) -> u64 {
        let method = if method == b"ACK" { b"INVITE" } else { method };
        if via.has_cookie(message.bytes) {
            return self.keys.hash((message.text(via.branch), message.text(via.host), via.port, method));
        }
        let old = (message.text(message.head.uri), from_tag, message.call_id());
        self.keys.hash((old, message.head.cseq_number, message.text(via.value), method))
    }

    fn key_of(&self, incoming: &Incoming<'_>, method: &[u8]) -> u64 {
        self.key(incoming.message, &incoming.via, incoming.message.text(incoming.from.tag), method)
    }

    pub(super) fn find_server(&self, key: u64) -> Option<Id> {
        let is_it = |slot: u32| self.servers.at(slot).is_some_and(|(_, server)| server.key == key);
        self.servers.id_at(self.index.find(key, is_it)?)
    }

    fn retransmitted(&mut self, turn: &mut Turn<'_>, id: Id) {
        self.stats.request_retransmissions += 1;
        self.server_event(turn, id, ServerEvent::Request);
    }

    fn new_request(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>, key: u64) {
        if incoming.method == Method::Cancel
            && let Some(invite) = self.find_server(self.key_of(incoming, b"INVITE"))
        {
            return self.cancel(turn, incoming, key, invite);
        }
        let plan = match Plan::new(incoming.message, &self.names, &self.keys) {
            Ok(plan) => plan,
            Err(defect) => return self.reject_defect(turn, incoming.message, incoming.datagram(), defect),
        };
        let policy = turn.policy;
        let decision = match self.decide(policy, incoming, &plan) {
            // RFC 3261 §16.3 item 3: an OPTIONS that we answer ourselves may have no hops left.
            Decision::Options => return self.answer_options(turn, incoming),
            decision => decision,
        };
        if let Err(refusal) = self.check(incoming) {
            return self.refuse(turn, incoming, refusal);
        }
        if self.draining && !incoming.in_dialog() {
            return self.refuse_draining(turn, incoming);
        }
        match decision {
            // RFC 3261 §16.10: a CANCEL whose INVITE we do not know is forwarded statelessly.
            Decision::Set(set, _) if incoming.method == Method::Cancel => {
                match any_of(set, &policy.table, breadth_of(incoming.message)) {
                    Some(hop) => self.forward_stateless(turn, incoming, &plan, hop),
                    // RFC 3261 §9.2: nothing to cancel, and nobody to ask.
                    None => {
                        self.reply(turn, incoming.message, incoming.datagram(), Status::CALL_DOES_NOT_EXIST, "");
                    }
                }
            }
            Decision::Address(address) if incoming.method == Method::Cancel => {
                self.forward_stateless(turn, incoming, &plan, Hop::routed(address, breadth_of(incoming.message)));
            }
            Decision::Set(set, rule) => self.dispatch(turn, incoming, &plan, key, (set, rule)),
            Decision::Address(address) => self.relay(turn, incoming, &plan, key, address),
            Decision::Answer(status, phrase) => self.reply(turn, incoming.message, incoming.datagram(), status, phrase),
            Decision::Options => {}
        }
    }

    /// RFC 3261 §16.5: where the request goes.
    pub(super) fn decide<'p>(
        &mut self,
        policy: &'p super::Policy,
        incoming: &Incoming<'_>,
        plan: &Plan,
    ) -> Decision<'p> {
        let bytes = incoming.message.bytes;
        if let Some(next) = &plan.next {
            if !incoming.in_dialog() && self.settings.preloaded_route == PreloadedRoute::Reject {
                return Decision::Answer(Status::FORBIDDEN, "Preloaded Route Not Allowed");
            }
            return self.resolved(next.uri.address(bytes));
        }
        let us = self.names.is_us(plan.uri.host.of(bytes), plan.uri.port);
        if us && incoming.method == Method::Options && !plan.uri.user.is_set() {
            return Decision::Options;
        }
        match (incoming.in_dialog(), us) {
            // A dialog that we are not part of: its Route would have said where it goes.
            (true, true) => Decision::Answer(Status::CALL_DOES_NOT_EXIST, ""),
            (true, false) => self.resolved(plan.uri.address(bytes)),
            (false, _) => self.by_rules(policy, incoming, plan),
        }
    }

    /// A name as next hop cannot be looked up here: RFC 3261 §16.6 item 7 makes that a failed target.
    fn resolved<'p>(&mut self, address: Option<SocketAddr>) -> Decision<'p> {
        match address.filter(|address| may_be_target(*address)) {
            Some(address) => Decision::Address(address),
            None => {
                self.stats.unresolvable += 1;
                Decision::Answer(Status::SERVER_INTERNAL_ERROR, "Next Hop Not Resolved")
            }
        }
    }

    fn by_rules<'p>(&mut self, policy: &'p super::Policy, incoming: &Incoming<'_>, plan: &Plan) -> Decision<'p> {
        let facts = Facts { message: incoming.message, uri: &plan.uri, source: incoming.source.ip() };
        match policy.action(&facts) {
            Some((_, Action::Reject(status))) => Decision::Answer(status, ""),
            Some((rule, Action::Set(id))) => match policy.table.set(id) {
                Some(set) => Decision::Set(set, rule),
                None => Decision::Answer(Status::NOT_FOUND, ""),
            },
            None => {
                self.stats.unrouted += 1;
                Decision::Answer(self.settings.unrouted, "")
            }
        }
    }

    /// A new request for a set: the whole target set at once, then the first branch, or as many as the set has at once (RFC 3261
    /// §16.6).
    fn dispatch(
        &mut self,
        turn: &mut Turn<'_>,
        incoming: &Incoming<'_>,
        plan: &Plan,
        key: u64,
        (set, rule): (&Set, u16),
    ) {
        let choice = Choice { rule, ..self.choose(turn, incoming, plan, set) };
        if choice.targets.is_empty() {
            self.stats.no_destination += 1;
            if incoming.method == Method::Invite {
                self.note_no_target(turn, incoming, &choice);
            }
            return self.refuse_for_now(turn, incoming, choice.set.retry_after_s);
        }
        let Some(id) = self.open(turn, incoming, plan, key, Some(&choice)) else { return };
        if choice.set.branches_max > 1 {
            return self.fork(turn, id, incoming, plan);
        }
        let hop = self.next_target(turn, id, breadth_of(incoming.message));
        self.first_branch(turn, id, incoming, plan, hop);
    }

    /// A request whose next hop is known: in-dialog, or with a Route of its own.
    fn relay(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>, plan: &Plan, key: u64, address: SocketAddr) {
        let Some(id) = self.open(turn, incoming, plan, key, None) else { return };
        let hop = Hop::routed(address, breadth_of(incoming.message));
        if self.start_branch(turn, id, incoming, plan, hop).is_ok() {
            return;
        }
        if self.servers.get(id).is_some_and(|server| server.context.no_room) {
            return self.take_back(turn, id, incoming);
        }
        self.advance(turn, id, true);
    }

    fn first_branch(&mut self, turn: &mut Turn<'_>, id: Id, incoming: &Incoming<'_>, plan: &Plan, hop: Option<Hop>) {
        let started = hop.is_some_and(|hop| self.start_branch(turn, id, incoming, plan, hop).is_ok());
        if !started {
            self.advance(turn, id, true);
        }
    }

    /// Makes the server transaction, answers an INVITE with 100, and makes the dialog that an initial INVITE begins.
    fn open(
        &mut self,
        turn: &mut Turn<'_>,
        incoming: &Incoming<'_>,
        plan: &Plan,
        key: u64,
        dispatched: Option<&Choice<'_>>,
    ) -> Option<Id> {
        let Some(id) = self.insert_server(turn, incoming, key) else {
            self.refuse_full(turn, incoming);
            return None;
        };
        if incoming.method == Method::Invite && !incoming.in_dialog() && !self.open_dialog(turn, incoming, id) {
            self.remove_server(turn, id);
            self.refuse_full(turn, incoming);
            return None;
        }
        let is_call = dispatched.is_some() && incoming.method == Method::Invite;
        self.stats.calls += u64::from(is_call);
        let cookie = self.dialog_of(incoming, plan);
        let ends = cookie.and_then(|dialog| self.join_dialog(turn, incoming, dialog));
        if let Some(server) = self.servers.get_mut(id) {
            let context = &mut server.context;
            context.is_call = is_call;
            context.ends = ends;
            context.refreshes = cookie.filter(|_| matches!(incoming.method, Method::Invite | Method::Update));
            if let Some(Choice { set, targets, sets, rule }) = dispatched {
                (context.set, context.targets, context.sets, context.rule) = (Some(set.id), *targets, *sets, *rule);
            }
        }
        if incoming.method == Method::Invite {
            self.answer_trying(turn, id, incoming);
        }
        Some(id)
    }

    fn open_dialog(&mut self, turn: &Turn<'_>, incoming: &Incoming<'_>, server: Id) -> bool {
        let call = self.call_hash(incoming.message);
        let expires = turn.now + self.settings.dialog.early;
        let Some(dialog) = self.dialogs.insert(call, expires, &mut self.wheel) else { return false };
        self.stats.dialogs_created += 1;
        if let Some(dialog) = self.dialogs.get_mut(dialog) {
            dialog.transaction = Some(server);
        }
        if self.keeps_ends() {
            self.open_ends(turn, dialog, incoming);
        }
        if let Some(server) = self.servers.get_mut(server) {
            server.context.dialog = Some(dialog);
        }
        true
    }

    /// The dialog of an in-dialog request; one whose cookie names none of ours is counted.
    fn dialog_of(&mut self, incoming: &Incoming<'_>, plan: &Plan) -> Option<Id> {
        let named = plan.cookie.filter(|_| incoming.in_dialog())?;
        let belongs = self.dialogs.belongs(named, self.call_hash(incoming.message));
        self.stats.dialog_misses += u64::from(!belongs);
        belongs.then_some(named)
    }

    /// An in-dialog request refreshes its dialog; a BYE names what ends when it is answered.
    fn join_dialog(&mut self, turn: &Turn<'_>, incoming: &Incoming<'_>, dialog: Id) -> Option<(Id, u32)> {
        let message = incoming.message;
        let [from, to] = [incoming.from.tag, incoming.to.tag].map(|tag| self.tag_hash(message.text(tag)));
        if self.keeps_ends() {
            self.note_passing(turn, incoming, dialog, [from, to]);
        }
        if incoming.method == Method::Bye {
            return self.dialogs.leg(dialog, [from, to]).map(|tag| (dialog, tag));
        }
        // Who goes on in the dialog has got its 2xx, even if the ACK was lost on its way to us.
        self.dialogs.acknowledge(dialog, to);
        self.dialogs.refresh(turn.now, dialog, &self.settings.dialog);
        None
    }

    pub(super) fn call_hash(&self, message: &Message<'_>) -> u32 {
        self.keys.hash((b'c', message.call_id())) as u32
    }

    pub(super) fn tag_hash(&self, tag: &[u8]) -> u32 {
        self.keys.hash((b'g', tag)) as u32
    }

    /// RFC 3261 §16.10: a CANCEL whose INVITE we know is answered at once, and every pending branch is cancelled.
    fn cancel(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>, key: u64, invite: Id) {
        match self.insert_server(turn, incoming, key) {
            Some(id) => self.answer(turn, id, Status::OK, ""),
            // It makes room: it is obeyed without room for itself, and its retransmission is answered the same way.
            None => self.reply(turn, incoming.message, incoming.datagram(), Status::OK, ""),
        }
        self.cancel_call(turn, invite, true);
    }
}

/// Where a request goes that has no target set: the same available destination each time (RFC 3261 §16.11).
fn any_of(set: &Set, table: &Table, breadth: u8) -> Option<Hop> {
    let available = |destination: &&Destination| table.states().is_available(destination.state);
    set.destinations.iter().find(available).map(|destination| Hop::chosen(destination, breadth))
}

/// Whether a datagram may be sent there at all: one host, and a port.
pub(super) fn may_be_target(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, std::net::IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_multicast() && !ip.is_unspecified() && !broadcast
}
