//! How calls end: hung up by us or by the caller, or given up before they were answered.

use super::{Callee, Kind, State, key};
use crate::cli::demo::ua::{self, TRANSACTION_TIMEOUT};
use crate::sip::{Message, Status};
use core::net::SocketAddr;
use std::time::Instant;

impl Callee {
    pub(super) fn hang_up(&mut self, now: Instant, id: u64) {
        let branch = self.dice.branch();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some((dialog, next_hop)) =
            call.dialog.as_mut().and_then(|dialog| dialog.next_hop().map(|hop| (dialog, hop)))
        else {
            return self.over(now, id);
        };
        dialog.cseq += 1;
        call.sent = (dialog.request("BYE", dialog.cseq, &branch, self.address), next_hop);
        call.state = State::Leaving;
        self.out.push(call.sent.clone());
        self.insist(now, id);
    }

    pub(super) fn bye(&mut self, now: Instant, message: &Message<'_>, source: SocketAddr) {
        let key = key(message);
        let Some(id) = self.find(message, source) else {
            return self.answer_plain(message, source, Status::CALL_DOES_NOT_EXIST);
        };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let again = call.bye.as_ref() == Some(&key);
        self.report.repeats += u64::from(again);
        if call.state == State::Over && !again {
            return self.answer_plain(message, source, Status::CALL_DOES_NOT_EXIST);
        }
        call.bye = Some(key);
        // Our own BYE, if one is out, still waits for its answer.
        if matches!(call.state, State::Answered | State::Up) {
            self.report.ended += 1;
            self.over(now, id);
        }
        self.answer_plain(message, source, Status::OK);
    }

    // RFC 3261 §9.2: found by its INVITE's transaction; 200 to the CANCEL, 487 to the INVITE.
    pub(super) fn cancel(&mut self, now: Instant, message: &Message<'_>, source: SocketAddr) {
        let Some(id) = self.by_key.get(&key(message)).copied() else {
            return self.answer_plain(message, source, Status::CALL_DOES_NOT_EXIST);
        };
        self.answer_plain(message, source, Status::OK);
        if self.state(id) == Some(State::Ringing) {
            self.finally(now, id, Status::REQUEST_TERMINATED);
        }
    }

    /// The answer to our BYE.
    pub(super) fn response(&mut self, now: Instant, message: &Message<'_>) {
        let id = self.by_tag.get(&*String::from_utf8_lossy(ua::from_tag(message))).copied();
        let leaving = id.filter(|id| self.state(*id) == Some(State::Leaving));
        if let (Some(id), Some(status)) = (leaving, message.status().filter(|status| !status.is_provisional())) {
            self.report.ended += u64::from(status.is_success());
            self.over(now, id);
        }
    }

    pub(super) fn over(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let was_up = matches!(call.state, State::Answered | State::Up | State::Leaving);
        self.calls_up -= u64::from(was_up && call.wish.is_some());
        call.state = State::Over;
        call.repeat += 1;
        self.alarms.set(now + TRANSACTION_TIMEOUT, (id, Kind::Forget));
    }

    pub(super) fn forget(&mut self, id: u64) {
        if let Some(call) = self.calls.remove(&id) {
            self.by_tag.remove(&call.tag);
            for key in &call.keys {
                self.by_key.remove(key);
            }
        }
    }
}
