//! Answers that need no transaction (RFC 3261 §8.2.7): what is wrong, full, or meant for us alone.

use super::checks::{Refusal, unsupported};
use super::request::Incoming;
use super::slab::Id;
use super::{Datagram, Proxy, Turn};
use crate::sip::{Blame, Defect, Feedback, Message, Method, Reply, Start, Status, push_number, reply, reply_address};

/// Retry-After of a refusal for lack of room or because we stop, seconds.
const RETRY_AFTER_S: u32 = 10;
/// Methods that go through us; others do too, this is what an OPTIONS answer says (RFC 3261 §11.2).
const ALLOW: &[u8] =
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, SUBSCRIBE, NOTIFY, PUBLISH, INFO, REFER, MESSAGE, \
                       UPDATE\r\nAccept: application/sdp\r\n";

impl Proxy {
    /// What is wrong with the message decides: a request is answered, an ACK, a response or noise is dropped.
    pub(super) fn reject_defect(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        datagram: Datagram<'_>,
        defect: Defect,
    ) {
        self.defects.0[defect as usize] += 1;
        let Blame::Reject(status, phrase) = defect.blame() else { return };
        // Who cannot be sure of the method in a broken first line asks CSeq.
        let is_ack = message.text(message.head.cseq_method) == b"ACK";
        match message.head.start {
            // RFC 3261 §17.1.1.3: an ACK is never answered, however broken; §18.3: nor is a response.
            Start::Request(method) if method != Method::Ack && !is_ack => {
                self.reply(turn, message, datagram, status, phrase)
            }
            _ => {}
        }
    }

    pub(super) fn refuse(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>, refusal: Refusal) {
        self.scratch.clear();
        match refusal {
            Refusal::BadExtension => unsupported(incoming.message, &mut self.scratch),
            Refusal::Loop => self.stats.loops += 1,
            Refusal::Vias(defect) => self.defects.0[defect as usize] += 1,
            Refusal::TooManyHops | Refusal::MaxBreadth => {}
        }
        self.reply_with_scratch(turn, incoming.message, incoming.datagram(), refusal.status(), "");
    }

    /// 503 with Retry-After: no room, no destination, or stopping.
    pub(super) fn refuse_for_now(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>, retry_after_s: u32) {
        self.scratch.clear();
        retry_after(retry_after_s, &mut self.scratch);
        self.reply_with_scratch(turn, incoming.message, incoming.datagram(), Status::SERVICE_UNAVAILABLE, "");
    }

    pub(super) fn refuse_full(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>) {
        self.stats.refused_full += 1;
        self.refuse_for_now(turn, incoming, RETRY_AFTER_S);
    }

    /// Takes a request back whose branch had no room: it went nowhere, and a BYE has ended nothing. What is kept of it would only take
    /// room from the next try.
    pub(super) fn take_back(&mut self, turn: &mut Turn<'_>, id: Id, incoming: &Incoming<'_>) {
        if let Some(server) = self.servers.get_mut(id) {
            server.context.ends = None;
        }
        self.remove_server(turn, id);
        self.refuse_for_now(turn, incoming, RETRY_AFTER_S);
    }

    pub(super) fn refuse_draining(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>) {
        self.stats.refused_draining += 1;
        self.refuse_for_now(turn, incoming, RETRY_AFTER_S);
    }

    /// RFC 3261 §11.2: an OPTIONS that asks us.
    pub(super) fn answer_options(&mut self, turn: &mut Turn<'_>, incoming: &Incoming<'_>) {
        self.scratch.clear();
        self.scratch.extend_from_slice(ALLOW);
        self.reply_with_scratch(turn, incoming.message, incoming.datagram(), Status::OK, "");
    }

    pub(super) fn reply(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        datagram: Datagram<'_>,
        status: Status,
        phrase: &str,
    ) {
        self.scratch.clear();
        self.reply_with_scratch(turn, message, datagram, status, phrase);
    }

    /// Answers `message` with the header lines in `scratch`, unless it is an ACK (RFC 3261 §17.1.1.3).
    pub(super) fn reply_with_scratch(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        datagram: Datagram<'_>,
        status: Status,
        reason: &str,
    ) {
        self.reply_with(turn, message, datagram, (status, reason), None);
    }

    /// The same, with a report to a client that offered to heed it.
    pub(super) fn reply_with_feedback(
        &mut self,
        turn: &mut Turn<'_>,
        incoming: &Incoming<'_>,
        status: Status,
        feedback: &Feedback,
    ) {
        self.reply_with(turn, incoming.message, incoming.datagram(), (status, ""), Some(feedback));
    }

    fn reply_with(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        datagram: Datagram<'_>,
        (status, reason): (Status, &str),
        feedback: Option<&Feedback>,
    ) {
        let Some(address) = reply_address(message, datagram.source) else { return };
        if message.method() == Some(Method::Ack) {
            return;
        }
        self.stats.stateless_replies += 1;
        self.stateless_replies.note(status.code());
        let from_tag = message.from().map(|from| message.text(from.tag)).unwrap_or_default();
        let to_tag = self.own_tag(message.call_id(), from_tag);
        server_line(&self.settings.server, &mut self.scratch);
        let answer = Reply { status, reason, to_tag: &to_tag, headers: &self.scratch, via: None, feedback };
        let splice = &mut self.splice;
        turn.out.push(datagram.socket, address, |arena| reply(message, datagram.source, &answer, splice, arena));
    }

    /// The To tag of our own answers in this call: an ACK that brings it back is for us (RFC 3261 §8.2.7).
    pub(super) fn own_tag(&self, call_id: &[u8], from_tag: &[u8]) -> [u8; 8] {
        self.keys.to_tag(self.keys.hash((call_id, from_tag)))
    }
}

/// `Retry-After`, when it is not 0.
pub(super) fn retry_after(seconds: u32, out: &mut Vec<u8>) {
    if seconds > 0 {
        out.extend_from_slice(b"Retry-After: ");
        push_number(seconds, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// `Server`, when one is configured.
pub(super) fn server_line(server: &str, out: &mut Vec<u8>) {
    if !server.is_empty() {
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(server.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
