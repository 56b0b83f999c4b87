//! Requests that go on without state, and what answers them (RFC 3261 §16.11): the ACK of a 2xx, and a CANCEL whose INVITE we do not
//! know (§16.10).
//!
//! Nothing answers an ACK. What answers such a CANCEL goes back by its next Via, or who sent the CANCEL would repeat it for 64*T1. It
//! goes to nobody else: the branch that we gave the CANCEL is a keyed hash of its Via, Call-ID, CSeq number, address and socket, and the
//! answer must give them back. So it is one datagram for one, smaller by our Via, to an address that asked for it.

use super::forward::{Hop, Parts};
use super::request::Incoming;
use super::route::Plan;
use super::server::pop_via;
use super::settings::SocketId;
use super::{Proxy, Turn};
use crate::sip::{Message, Method, Rport, Status, Via, fields, header_is, values};
use std::net::SocketAddr;

/// Bytes of a branch without its loop detection part.
const UNTIL_FINGERPRINT: usize = 32;

impl Proxy {
    /// Forwards a request without state: the same branch for each retransmission (RFC 3261 §16.11).
    pub(super) fn forward_stateless(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>, plan: &Plan, hop: Hop) {
        let message = incoming.message;
        let Some(socket) = self.leaves_by(incoming.socket, plan, &hop) else {
            self.stats.unresolvable += 1;
            return;
        };
        let is_answered = incoming.method == Method::Cancel;
        let reply_to = is_answered.then(|| (incoming.via.reply_address(incoming.source), incoming.socket));
        let received = self.received(message, &incoming.via, reply_to);
        let branch = self.keys.stateless_branch(received, self.fingerprint(incoming));
        let parts = Parts {
            branch: &branch,
            socket,
            cookie: None,
            breadth: hop.breadth,
            target: None,
            attrs: None,
            overload_control: false,
        };
        turn.out.push(socket, hop.address, |arena| self.write_request(incoming, plan, &parts, arena));
    }

    /// Passes the final answer to a CANCEL on that went on without state; whether it was one.
    #[cold]
    pub(super) fn relay_stateless(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        status: Status,
        via: &Via,
    ) -> bool {
        // RFC 4320 §4.1: no provisional to a non-INVITE.
        if status.is_provisional() || message.text(message.head.cseq_method) != Method::Cancel.name().as_bytes() {
            return false;
        }
        let Some((address, socket)) = self.asked_by(message, via) else { return false };
        let splice = &mut self.splice;
        turn.out.push(socket, address, |arena| pop_via(message, via, b"", splice, arena));
        true
    }

    /// Whose CANCEL `message` answers, and by which socket it came; `None` when we sent none like it.
    fn asked_by(&self, message: &Message<'_>, via: &Via) -> Option<(SocketAddr, SocketId)> {
        let lines = fields(message).filter(|field| header_is(message.text(field.name), b"via"));
        let below = lines.flat_map(|line| values(message.bytes, line.value)).nth(1)?;
        let below = Via::parse(message.bytes, below)?;
        let address = way_back(message, &below)?;
        let branch = message.text(via.branch);
        let is_by = |socket: &SocketId| {
            let ours = self.keys.stateless_branch(self.received(message, &below, Some((address, *socket))), 0);
            branch.len() == ours.len() && branch[..UNTIL_FINGERPRINT] == ours[..UNTIL_FINGERPRINT]
        };
        let socket = (0..self.settings.listen.len() as u8).map(SocketId).find(is_by)?;
        Some((address, socket))
    }

    /// A hash of what makes a request that goes on without state the same: its Via, Call-ID and CSeq number, and who gets the answer.
    fn received(&self, message: &Message<'_>, via: &Via, reply_to: Option<(SocketAddr, SocketId)>) -> u64 {
        let request = (message.text(via.branch), message.call_id(), message.head.cseq_number);
        match reply_to {
            Some(reply_to) => self.keys.hash((request, reply_to)),
            None => self.keys.hash(request),
        }
    }
}

/// Where a response goes by this Via, which is not ours (RFC 3261 §18.2.2, RFC 3581 §4): the inverse of [`Via::reply_address`].
fn way_back(message: &Message<'_>, via: &Via) -> Option<SocketAddr> {
    let port = match via.rport {
        Rport::Port(port) => port,
        _ => via.port.unwrap_or(5060),
    };
    Some(SocketAddr::new(via.address(message.bytes)?, port))
}
