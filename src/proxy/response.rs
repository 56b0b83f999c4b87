//! A response comes in: by its top Via to its client transaction, and from there to the response context (RFC 3261 §16.7).

use super::entry::{Cancel, Purpose};
use super::evidence;
use super::server::give;
use super::slab::Id;
use super::transaction::{Actions, ClientEvent};
use super::{Proxy, Turn};
use crate::sip::{Message, Method, Span, Status, Via, fields_in, header_is};
use memchr::memchr2_iter;
use std::net::SocketAddr;

/// A response of one of our branches.
pub(super) struct Answer<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) status: Status,
    /// Its top Via, which is ours.
    pub(super) via: Via,
    /// Where it came from.
    pub(super) source: SocketAddr,
}

impl Proxy {
    pub(super) fn response(&mut self, turn: &mut Turn<'_>, message: &Message<'_>, status: Status, source: SocketAddr) {
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
            // RFC 6026 §7.3: a response that matches no transaction is not forwarded, but for what had none (RFC 3261 §16.11).
            self.stats.stray_responses += u64::from(!self.relay_stateless(turn, message, status, &via));
            return;
        };
        let only_via = via.next.is_none() && message.head.via_lines == 1;
        if only_via && self.clients.get(id).is_some_and(|client| client.purpose == Purpose::Branch) {
            // RFC 3261 §16.7 item 3: without another Via it is not for forwarding; what it answers had one.
            self.stats.stray_responses += 1;
            return;
        }
        self.client_response(turn, id, &Answer { message, status, via, source });
    }

    /// RFC 3261 §17.1.3: the client transaction with this branch and the method in CSeq.
    fn client_of(&self, message: &Message<'_>, branch: &[u8]) -> Option<Id> {
        let id = self.keys.transaction(branch)?;
        let client = self.clients.get(id)?;
        let method = message.text(message.head.cseq_method);
        let is_for = |id: Id| {
            let Some(client) = self.clients.get(id) else { return false };
            if client.method != Method::Other {
                return method == client.method.name().as_bytes();
            }
            let sent = client.sent.as_deref().and_then(|sent| sent.strip_prefix(method));
            sent.is_some_and(|rest| rest.starts_with(b" "))
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
        self.note_first(turn, id, answer.status);
        if self.clients.get(id).is_some_and(|client| client.overload_control) {
            self.note_overload(turn, id, answer);
        }
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
        } else if actions.has(Actions::PASS_UP) {
            self.own_answered(turn, id, answer.status);
        }
        self.forget_sent(id);
        self.settle_client(turn, id);
    }

    /// What was sent and never will be again is forgotten, but for the name of a method that only the request says.
    fn forget_sent(&mut self, id: Id) {
        let Some(client) = self.clients.get_mut(id).filter(|client| client.machine.is_settled()) else { return };
        if client.method != Method::Other {
            give(&mut self.buffers, client.sent.take());
        }
    }

    /// How long the dispatcher's choice took to answer an INVITE at all.
    fn note_first(&mut self, turn: &Turn<'_>, id: Id, status: Status) {
        let Some(client) = self.clients.get_mut(id).filter(|client| client.machine.is_unheard()) else { return };
        if let Some(destination) = client.destination.filter(|_| client.machine.is_invite()) {
            let waited = turn.now.saturating_since(client.sent_at);
            let states = turn.policy.table.states();
            evidence::first_response(states, destination, status, waited);
            client.token.iter_mut().for_each(|token| states.note_response(token));
        }
    }
}

/// The interval in Session-Expires, seconds (RFC 4028 §4); 0 without one. Its name has an x in each spelling, and few others have:
/// that is quicker to look for than the name line by line.
pub(super) fn session_interval_s(message: &Message<'_>) -> u32 {
    const BEFORE_X: usize = "session-e".len();
    let (bytes, start, end) = (message.bytes, message.head.headers as usize, message.head.headers_end as usize);
    for at in memchr2_iter(b'x', b'X', &bytes[start..end]).map(|at| start + at) {
        let name = match bytes[at - 1] {
            b'\n' => at,
            b'e' | b'E' if at >= start + BEFORE_X && bytes[at - BEFORE_X - 1] == b'\n' => at - BEFORE_X,
            _ => continue,
        };
        let field = fields_in(bytes, Span::new(name, end)).next();
        if let Some(field) = field.filter(|field| header_is(message.text(field.name), b"session-expires")) {
            return evidence::leading_number(message.text(field.value));
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::scan;

    #[test]
    fn the_session_interval_is_read_in_every_spelling_of_its_header() {
        // RFC 4028 §4
        let seconds = |lines: &str| {
            let text = format!("SIP/2.0 200 OK\r\nServer: x\r\n{lines}Supported: timer\r\n\r\nSession-Expires: 7\r\n");
            session_interval_s(&scan(text.as_bytes()))
        };
        assert_eq!(seconds("Session-Expires: 1800;refresher=uas\r\n"), 1800);
        assert_eq!(seconds("x:90\r\n"), 90);
        assert_eq!(seconds("session-EXPIRES :\r\n 4000 ; refresher=uac\r\n"), 4000);
        assert_eq!(seconds("X-Session-Expires: 5\r\nSubject: Session-Expires: 5\r\n"), 0);
        assert_eq!(seconds(""), 0);
    }
}
