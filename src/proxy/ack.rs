//! ACK: absorbed for a final response of ours or of this hop, passed on for a 2xx (RFC 3261 §17.2.1, §13; RFC 6026 §7.1).

use super::branch::OWN_TAG_BYTES;
use super::forward::{Hop, breadth_of};
use super::request::Incoming;
use super::route::Plan;
use super::slab::Id;
use super::transaction::ServerEvent;
use super::{Proxy, Turn};
use std::net::SocketAddr;

impl Proxy {
    /// An ACK with the branch of an INVITE that we know.
    pub(super) fn ack_for(&mut self, turn: &mut Turn<'_>, id: Id, incoming: &Incoming<'_>) {
        // RFC 6026 §7.1: in Accepted it is passed up, since only a 2xx was sent; RFC 3261 §17.2.1: in Completed it is absorbed.
        if self.server_event(turn, id, ServerEvent::Ack) {
            self.forward_ack(turn, incoming);
        }
    }

    /// An ACK for a 2xx goes end to end, without state, by its Route.
    pub(super) fn forward_ack(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>) {
        let message = incoming.message;
        let hop = match Plan::new(message, &self.names, &self.keys) {
            // RFC 3261 §8.2.7: it acknowledges an answer that we gave without state.
            _ if !incoming.in_dialog() || self.has_own_tag(incoming) => None,
            // RFC 3261 §16.3: what may not be forwarded is dropped, for an ACK is never answered.
            Ok(plan) if self.check(incoming).is_ok() => {
                self.ack_address(incoming, &plan).map(|address| (plan, address))
            }
            _ => None,
        };
        let Some((plan, address)) = hop else {
            self.stats.stray_acks += 1;
            return;
        };
        self.note_ack(incoming, &plan);
        self.forward_stateless(turn, incoming, &plan, Hop::routed(address, breadth_of(incoming.message)));
    }

    /// Whether its To tag is one of ours.
    fn has_own_tag(&self, incoming: &Incoming<'_>) -> bool {
        let message = incoming.message;
        let tag = message.text(incoming.to.tag);
        let own = || self.own_tag(message.call_id(), message.text(incoming.from.tag));
        tag.len() == OWN_TAG_BYTES && tag == own()
    }

    /// The dialog that its Route names knows now that the caller has its 2xx.
    fn note_ack(&mut self, incoming: &Incoming<'_>, plan: &Plan) {
        let message = incoming.message;
        if let Some(dialog) = plan.cookie.filter(|dialog| self.dialogs.belongs(*dialog, self.call_hash(message))) {
            self.dialogs.acknowledge(dialog, self.tag_hash(message.text(incoming.to.tag)));
        }
    }

    fn ack_address(&self, incoming: &Incoming<'_>, plan: &Plan) -> Option<SocketAddr> {
        let bytes = incoming.message.bytes;
        let uri = plan.next.map_or(plan.uri, |next| next.uri);
        let to_us = plan.next.is_none() && self.names.is_us(uri.host.of(bytes), uri.port);
        if to_us { None } else { uri.address(bytes).filter(|address| super::request::may_be_target(*address)) }
    }
}
