//! A response comes in: by its top Via to its client transaction, and from there to the response context (RFC 3261 §16.7).

use super::entry::{Cancel, Purpose};
use super::slab::Id;
use super::transaction::{Actions, ClientEvent};
use super::{Proxy, Turn};
use crate::sip::{Message, Status, Via};

/// A response of one of our branches.
pub(super) struct Answer<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) status: Status,
    /// Its top Via, which is ours.
    pub(super) via: Via,
}

impl Proxy {
    pub(super) fn response(&mut self, turn: &mut Turn<'_>, message: &Message<'_>, status: Status) {
        self.stats.responses += 1;
        let Ok(via) = message.top_via() else {
            self.defects.0[crate::sip::Defect::Via as usize] += 1;
            return;
        };
        // RFC 3261 §18.1.2: a response whose top Via is not ours is discarded.
        if !self.names.is_us(message.text(via.host), via.port) {
            self.stats.foreign_responses += 1;
            return;
        }
        let Some(id) = self.client_of(message, message.text(via.branch)) else {
            // RFC 6026 §7.3: a response that matches no transaction is not forwarded.
            self.stats.stray_responses += 1;
            return;
        };
        let only_via = via.next.is_none() && message.head.via_lines == 1;
        if only_via && self.clients.get(id).is_some_and(|client| client.purpose == Purpose::Branch) {
            // RFC 3261 §16.7 item 3: without another Via it is not for forwarding; what it answers had one.
            self.stats.stray_responses += 1;
            return;
        }
        self.client_response(turn, id, &Answer { message, status, via });
    }

    /// RFC 3261 §17.1.3: the client transaction with this branch and the method in CSeq.
    fn client_of(&self, message: &Message<'_>, branch: &[u8]) -> Option<Id> {
        let id = self.keys.transaction(branch)?;
        let client = self.clients.get(id)?;
        let method = message.text(message.head.cseq_method);
        let is_for = |id: Id| {
            let sent = self.clients.get(id).and_then(|client| client.sent.as_deref());
            sent.is_some_and(|sent| sent.strip_prefix(method).is_some_and(|rest| rest.starts_with(b" ")))
        };
        match client.cancel {
            Cancel::Sent(cancel) if method == b"CANCEL" => cancel.filter(|cancel| is_for(*cancel)),
            _ => is_for(id).then_some(id),
        }
    }

    fn client_response(&mut self, turn: &mut Turn<'_>, id: Id, answer: &Answer<'_>) {
        let event = match answer.status {
            status if status.is_provisional() => ClientEvent::Provisional,
            status if status.is_success() => ClientEvent::Success,
            _ => ClientEvent::Failure,
        };
        // Late and repeated responses that the state does not expect end here.
        let Some(actions) = self.client_event(turn, id, event) else { return };
        if actions.has(Actions::ACK) {
            self.send_ack(turn, id, answer.message);
        }
        let is_branch = self.clients.get(id).is_some_and(|client| client.purpose == Purpose::Branch);
        if actions.has(Actions::PASS_UP) && is_branch {
            match event {
                ClientEvent::Provisional => self.branch_progress(turn, id, answer),
                ClientEvent::Success => self.branch_success(turn, id, answer),
                _ => self.branch_failure(turn, id, answer),
            }
        }
        self.settle_client(turn, id);
    }
}
