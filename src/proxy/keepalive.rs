//! Keepalives of calls (Kamailio's `ka_timer`): an OPTIONS within the dialog to each end, at a slow pace, as if from the other end.
//!
//! Whatever an end answers but 408 and 481 says that the call lives. An end that fails several times in a row ends the call: both
//! ends get a BYE, and the load is given back.
//!
//! CSeq (RFC 3261 §12.2.1.1, §12.2.2): an OPTIONS has the number that the end has seen last from the other one, which is not lower
//! and so in order, and which leaves the numbers of the ends' own next requests as they are. Only the BYE, the last request there
//! is, has one more. An end that has seen none gets 0.
//!
//! These are client transactions without a server transaction: nobody else hears of them. While keepalives are off nothing of this
//! is kept, filed or sent.

use super::Proxy;
use super::Turn;
use super::context::Lost;
use super::deadlines::{NEVER, Owner};
use super::ends::{CallerOf, End};
use super::entry::Purpose;
use super::forward::Hop;
use super::request::{Incoming, may_be_target};
use super::settings::KeepaliveTo;
use super::slab::Id;
use crate::limits;
use crate::sip::{Message, Method, Status, scan};
use core::time::Duration;

impl Proxy {
    pub(super) const fn keeps_alive(&self) -> bool {
        !self.settings.keepalive.interval.is_zero()
    }

    /// Whether the ends of calls are remembered: to be asked, or to be told of.
    pub(super) const fn keeps_ends(&self) -> bool {
        self.settings.dialog_details || self.keeps_alive()
    }

    // Each of the following is asked for behind `keeps_ends`: the call path has none of it in it while they are off.

    /// A dialog begins.
    #[inline(never)]
    pub(super) fn open_ends(&mut self, turn: &Turn<'_>, dialog: Id, incoming: &Incoming<'_>) {
        let caller = self.tag_hash(incoming.message.text(incoming.from.tag));
        self.ends.open(turn.now, dialog, caller);
    }

    /// The 2xx `answer` of `branch` made a leg of `dialog`: its ends are remembered. The dialog's deadlines are to be filed.
    #[inline(never)]
    pub(super) fn keep_ends(&mut self, turn: &Turn<'_>, dialog: Id, tag: u32, branch: Id, answer: &Message<'_>) {
        if !self.dialogs.is_live(dialog, tag) || self.ends.find(dialog, tag).is_some() {
            return;
        }
        let Self { clients, servers, ends, scratch, buffers, .. } = self;
        let Some(client) = clients.get(branch) else { return };
        let Some(server) = servers.get(client.server) else { return };
        let caller = match &server.request {
            Some(invite) => CallerOf::Invite(invite),
            None => CallerOf::Leg(ends.of(dialog).first().copied().unwrap_or(Id::NOBODY)),
        };
        // Calls that are to come go first.
        let has_room = buffers.in_use_bytes() <= self.settings.stored_bytes_max / limits::ENDS_STORED_PART;
        let (leg, sockets) = ((turn.now, dialog, tag), [server.socket, client.socket]);
        let fits = has_room && ends.insert(leg, sockets, (caller, answer), scratch, buffers);
        self.stats.keepalives_skipped += u64::from(!fits);
        if !self.keeps_alive() {
            return;
        }
        let interval_ms = self.settings.keepalive.interval.as_millis() as u64;
        let spread = Duration::from_millis(self.random.below(interval_ms));
        if let Some(dialog) = self.dialogs.get_mut(dialog).filter(|dialog| dialog.deadlines.retransmit_at == NEVER) {
            // Calls that begin together are asked at times that are spread evenly over the interval.
            dialog.deadlines.retransmit_at = turn.now + self.settings.keepalive.interval / 2 + spread;
        }
    }

    /// A request of the dialog passes: its CSeq number, and who hangs up.
    #[inline(never)]
    pub(super) fn note_passing(&mut self, turn: &Turn<'_>, incoming: &Incoming<'_>, dialog: Id, tags: [u32; 2]) {
        // Until the BYE is over its dialog is one that 481 is right about; a challenged one goes on.
        let over = turn.now + self.settings.timers.transaction_timeout();
        let quiet_until = (incoming.method == Method::Bye).then_some(over);
        self.ends.passes(dialog, tags, incoming.message.head.cseq_number, quiet_until);
    }

    /// RFC 3261 §12.2.1.2: the re-INVITE or UPDATE of `branch` got a 2xx.
    #[inline(never)]
    pub(super) fn refresh_ends(&mut self, dialog: Id, branch: Id, answer: &Message<'_>) {
        let Some(sent) = self.clients.get(branch).and_then(|client| client.sent.as_deref()) else { return };
        let request = scan(sent);
        let (Ok(from), Ok(to)) = (request.from(), request.to()) else { return };
        let tags = [from, to].map(|name| self.tag_hash(request.text(name.tag)));
        let Self { ends, scratch, buffers, .. } = self;
        let fits = ends.refresh(dialog, tags, (&request, answer), scratch, buffers);
        self.stats.keepalives_skipped += u64::from(!fits);
    }

    /// Lets go of the ends of legs that have ended.
    #[inline]
    pub(super) fn settle_ends(&mut self, dialog: Id) {
        if self.keeps_ends() {
            self.let_go(dialog);
        }
    }

    #[inline(never)]
    fn let_go(&mut self, dialog: Id) {
        let Self { ends, dialogs, buffers, .. } = self;
        ends.retain(dialog, |tag| dialogs.is_live(dialog, tag), buffers);
    }

    /// The interval of `dialog` is over. RFC 3261 §13.3.1.4: before the ACK its 2xx is still repeated, and an end may not know of it yet.
    pub(super) fn keepalive_due(&mut self, turn: &mut Turn<'_>, dialog: Id) {
        let mut legs = self.ends.of(dialog);
        if let Some(dialog) = self.dialogs.get_mut(dialog) {
            let next = turn.now + self.settings.keepalive.interval;
            dialog.deadlines.retransmit_at = if legs.is_empty() { NEVER } else { next };
        }
        legs.retain(|leg| self.ends.get(*leg).is_some_and(|ends| self.dialogs.is_acked(dialog, ends.tag)));
        let asked: &[End] = match self.settings.keepalive.to {
            KeepaliveTo::Both => &End::BOTH,
            KeepaliveTo::Caller => &[End::Caller],
            KeepaliveTo::Destination => &[End::Destination],
        };
        for leg in legs {
            asked.iter().for_each(|end| self.ask(turn, leg, *end));
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>, leg: Id, end: End) {
        let Some(ends) = self.ends.get(leg) else { return };
        if ends.known(end).asked || turn.now < ends.quiet_until {
            return;
        }
        // Half of the room for client transactions at most: calls come first.
        if self.ends.unanswered >= self.settings.keepalives_unanswered_max.min(self.settings.transactions_max) {
            self.stats.keepalives_skipped += 1;
            return;
        }
        if self.send_own(turn, leg, end, Method::Options) {
            self.stats.keepalives += 1;
            self.ends.unanswered += 1;
            self.ends.get_mut(leg).into_iter().for_each(|ends| ends.known_mut(end).asked = true);
        }
    }

    /// Sends an OPTIONS or a BYE of our own to `end`; whether it could.
    fn send_own(&mut self, turn: &mut Turn<'_>, leg: Id, end: End, method: Method) -> bool {
        let Some(ends) = self.ends.get(leg) else { return false };
        let address = ends.next_hop(end).filter(|address| may_be_target(*address));
        let way = address.and_then(|address| Some((address, self.names.outgoing(ends.known(end).socket, &address)?)));
        let Some((address, socket)) = way else {
            self.stats.unresolvable += 1;
            return false;
        };
        let mut client = self.new_client(turn, Id::NOBODY, method, Hop::routed(address, 0), socket);
        let (purpose, more) = match method {
            Method::Bye => (Purpose::Bye, 1),
            _ => (Purpose::Keepalive(leg, end), 0),
        };
        (client.purpose, client.is_pending) = (purpose, false);
        let Some(id) = self.clients.insert(client) else {
            self.stats.keepalives_skipped += 1;
            return false;
        };
        let (branch, via) = (self.keys.branch(id, 0), self.names.via(socket));
        let cseq = ends.known(end).cseq + more;
        let bytes =
            turn.out.push(socket, address, |arena| ends.write_request(end, method, cseq, [via, &branch], arena));
        let Some(sent) = self.buffers.store(bytes) else {
            turn.out.unpush();
            self.clients.remove(id);
            self.stats.keepalives_skipped += 1;
            return false;
        };
        if let Some(client) = self.clients.get_mut(id) {
            client.sent = Some(sent);
            client.deadlines.file(&mut self.wheel, Owner::Client(id.index));
        }
        true
    }

    /// A response to an OPTIONS or a BYE of our own: it is for nobody else.
    pub(super) fn own_answered(&mut self, turn: &mut Turn<'_>, id: Id, status: Status) {
        let Some(client) = self.clients.get(id).filter(|_| !status.is_provisional()) else { return };
        let purpose = client.purpose;
        if let Purpose::Keepalive(leg, end) = purpose {
            // What Timer K would absorb is a stray response without it, and dropped as well: the memory is free at once.
            self.remove_client(turn, id);
            let failed = matches!(status, Status::REQUEST_TIMEOUT | Status::CALL_DOES_NOT_EXIST);
            self.keepalive_over(turn, leg, end, !failed);
        }
    }

    /// An OPTIONS or a BYE of our own has had no answer, or could not be sent.
    pub(super) fn own_failed(&mut self, turn: &mut Turn<'_>, id: Id, lost: Lost) {
        let Some(purpose) = self.clients.get(id).map(|client| client.purpose) else { return };
        if let Purpose::Keepalive(leg, end) = purpose {
            self.stats.transaction_timeouts += u64::from(lost == Lost::TimedOut);
            self.remove_client(turn, id);
            self.keepalive_over(turn, leg, end, false);
        }
    }

    fn keepalive_over(&mut self, turn: &mut Turn<'_>, leg: Id, end: End, alive: bool) {
        let Some(ends) = self.ends.get_mut(leg) else { return };
        let is_quiet = turn.now < ends.quiet_until;
        let known = ends.known_mut(end);
        known.asked = false;
        if alive {
            known.failures = 0;
        } else if !is_quiet {
            known.failures = known.failures.saturating_add(1);
            let dead = known.failures >= self.settings.keepalive.failures_max;
            self.stats.keepalive_failures += 1;
            if dead {
                self.end_dead(turn, leg);
            }
        }
    }

    /// An end of `leg` is dead: BYE to both (Kamailio does so too), in case that it is not, and the leg is over.
    fn end_dead(&mut self, turn: &mut Turn<'_>, leg: Id) {
        for end in End::BOTH {
            self.send_own(turn, leg, end, Method::Bye);
        }
        let Some((dialog, tag)) = self.ends.get(leg).map(|ends| (ends.dialog, ends.tag)) else { return };
        let ended = self.dialogs.end_leg(dialog, tag, turn.policy.table.states(), &mut self.wheel);
        self.stats.dialogs_dead += u64::from(ended);
        self.settle_ends(dialog);
    }
}
