//! The answering side of calls, without a socket: datagrams in, datagrams out, by RFC 3261.
//!
//! - Any caller's INVITE is answered, from any source and with any Call-ID: 100 and 180 at once, 200 when it has rung.
//!   What is sent reliably is repeated until it is acknowledged, 64*T1 at most (§13.3.1.4, §17.2.1, §17.1.2.2).
//! - Calls are found by our own tag and by the INVITE's transaction (§17.2.3), never by Call-ID.
//! - Only calls that wish for it ([`Wish`]) are hung up by us. Closing down ends those with a wish alone; a stranger's
//!   call that is up stays as it is.
//!
//! Absent: reliable provisional responses, digest, REFER, media.

mod ending;

use super::port::{Alarms, Dice};
use super::ua::{self, Answer, Dialog, SDP, T1, T2, TRANSACTION_TIMEOUT, Wish};
use crate::limits;
use crate::sip::{self, Message, Method, Status};
use arc_swap::ArcSwap;
use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// How long a stranger's call rings.
const RING: Duration = Duration::from_millis(200);

/// What a destination has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DestinationReport {
    /// INVITEs that began a call, those refused while closing down included.
    pub invites: u64,
    /// Calls answered with 200.
    pub answered: u64,
    /// Answered calls that ended with a BYE and its 200.
    pub ended: u64,
    /// Retransmissions, received or sent.
    pub repeats: u64,
    /// Requests inside a call that were not as they must be: of no call, not from where its INVITE came from, or with a
    /// Route left in them.
    pub strays: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ringing,
    /// A final answer of 300 or more waits for its ACK.
    Refused,
    /// A 2xx waits for its ACK.
    Answered,
    Up,
    /// Our BYE waits for its answer.
    Leaving,
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Pick,
    /// With the number of what is repeated: an older one no longer counts.
    Repeat(u32),
    GiveUp(u32),
    HangUp,
    Forget,
}

struct Call {
    state: State,
    tag: String,
    /// Transactions that lead here.
    keys: Vec<String>,
    /// The INVITE to answer, and where it came from.
    invite: Vec<u8>,
    source: SocketAddr,
    dialog: Option<Dialog>,
    wish: Option<Wish>,
    /// What was sent last for the INVITE, or our BYE; and where to.
    sent: (Vec<u8>, SocketAddr),
    repeat: u32,
    interval: Duration,
    /// The transaction of the caller's BYE.
    bye: Option<String>,
}

/// All calls of one destination.
pub(super) struct Callee {
    address: SocketAddr,
    calls: HashMap<u64, Call>,
    by_tag: HashMap<String, u64>,
    by_key: HashMap<String, u64>,
    last: u64,
    alarms: Alarms<(u64, Kind)>,
    dice: Dice,
    closing: bool,
    /// More header lines of the answer to an OPTIONS, each with its line end.
    pub(super) options_headers: Arc<ArcSwap<String>>,
    /// What is to be sent, and where to.
    pub(super) out: Vec<(Vec<u8>, SocketAddr)>,
    pub(super) report: DestinationReport,
    /// Calls with a wish that were answered and are not over.
    pub(super) calls_up: u64,
}

impl Callee {
    /// A callee that is reached at `address`.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            calls: HashMap::new(),
            by_tag: HashMap::new(),
            by_key: HashMap::new(),
            last: 0,
            alarms: Alarms::new(),
            dice: Dice::new(),
            closing: false,
            options_headers: Arc::default(),
            out: Vec::new(),
            report: DestinationReport::default(),
            calls_up: 0,
        }
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, bytes: &[u8], source: SocketAddr) {
        let message = sip::scan(bytes);
        if message.defect.is_some() {
            return;
        }
        match message.method() {
            Some(Method::Invite) => self.invite(now, &message, source),
            Some(Method::Ack) => self.ack(now, &message, source),
            Some(Method::Cancel) => self.cancel(now, &message, source),
            Some(Method::Bye) => self.bye(now, &message, source),
            Some(Method::Options) if self.closing => self.answer_plain(&message, source, Status::SERVICE_UNAVAILABLE),
            Some(Method::Options) => self.answer_options(&message, source),
            Some(Method::Info | Method::Update) => self.answer_plain(&message, source, Status::OK),
            Some(_) => self.answer_plain(&message, source, Status::METHOD_NOT_ALLOWED),
            None => self.response(now, &message),
        }
    }

    pub(super) fn handle_alarms(&mut self, now: Instant) {
        while let Some((id, kind)) = self.alarms.due(now) {
            let Some((state, repeat)) = self.calls.get(&id).map(|call| (call.state, call.repeat)) else { continue };
            match kind {
                Kind::Pick if state == State::Ringing => self.pick_up(now, id),
                Kind::Repeat(number) if number == repeat => self.repeat(now, id),
                Kind::GiveUp(number) if number == repeat => self.give_up(now, id),
                Kind::HangUp if state == State::Up => self.hang_up(now, id),
                Kind::Forget => self.forget(id),
                _ => {}
            }
        }
    }

    /// Time until [`Self::handle_alarms`] has something to do, at most `longest`.
    pub(super) fn wait(&self, now: Instant, longest: Duration) -> Duration {
        self.alarms.wait(now, longest)
    }

    /// From now on new calls get 503, as do ringing ones; those with a wish that are up are hung up.
    pub(super) fn close_down(&mut self, now: Instant) {
        self.closing = true;
        let ids: Vec<(u64, State)> = self.calls.iter().map(|(id, call)| (*id, call.state)).collect();
        for (id, state) in ids {
            match state {
                State::Ringing => self.finally(now, id, Status::SERVICE_UNAVAILABLE),
                State::Up if self.calls.get(&id).is_some_and(|call| call.wish.is_some()) => self.hang_up(now, id),
                _ => {}
            }
        }
    }

    /// Whether no call with a wish is left to be ended.
    pub(super) fn is_closed_down(&self) -> bool {
        self.calls.values().all(|call| call.wish.is_none() || call.state == State::Over)
    }

    /// New calls are taken again.
    pub(super) fn open_up(&mut self) {
        self.closing = false;
    }

    fn invite(&mut self, now: Instant, message: &Message<'_>, source: SocketAddr) {
        let key = key(message);
        if let Some(id) = self.by_key.get(&key).copied() {
            return self.invite_again(id);
        }
        if !ua::to_tag(message).is_empty() {
            return self.invite_inside(now, message, source, key);
        }
        let tag = self.dice.token();
        let dialog = Dialog::of_callee(message, &tag);
        if dialog.is_none() || self.calls.len() >= limits::DEMO_CALLS_PER_DESTINATION {
            let status = if dialog.is_none() { Status::BAD_REQUEST } else { Status::SERVICE_UNAVAILABLE };
            return self.answer_plain(message, source, status);
        }
        self.report.invites += 1;
        self.last += 1;
        let call = Call {
            state: State::Ringing,
            tag: tag.clone(),
            keys: vec![key.clone()],
            invite: message.bytes.to_vec(),
            source,
            dialog,
            wish: Wish::of(message),
            sent: (Vec::new(), source),
            repeat: 0,
            interval: T1,
            bye: None,
        };
        let ring = call.wish.map_or(RING, |wish| wish.ring);
        self.calls.insert(self.last, call);
        self.by_tag.insert(tag, self.last);
        self.by_key.insert(key, self.last);
        self.ring(now, self.last, ring);
    }

    fn ring(&mut self, now: Instant, id: u64, ring: Duration) {
        if self.closing {
            return self.finally(now, id, Status::SERVICE_UNAVAILABLE);
        }
        self.answer_invite(id, Status::TRYING);
        if let Some(ringing) = Status::new(180) {
            self.answer_invite(id, ringing);
        }
        self.alarms.set(now + ring, (id, Kind::Pick));
    }

    // RFC 3261 §17.2.1: the last response again.
    fn invite_again(&mut self, id: u64) {
        self.report.repeats += 1;
        let unacknowledged = |call: &&Call| matches!(call.state, State::Ringing | State::Refused | State::Answered);
        if let Some(call) = self.calls.get(&id).filter(unacknowledged) {
            self.out.push(call.sent.clone());
        }
    }

    /// An INVITE inside a call is answered at once (RFC 3261 §14.2).
    fn invite_inside(&mut self, now: Instant, message: &Message<'_>, source: SocketAddr, key: String) {
        let Some(id) = self.find(message, source).filter(|id| self.state(*id) == Some(State::Up)) else {
            return self.answer_plain(message, source, Status::CALL_DOES_NOT_EXIST);
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.keys.push(key.clone());
            call.invite = message.bytes.to_vec();
        }
        self.by_key.insert(key, id);
        self.finally(now, id, Status::OK);
    }

    fn pick_up(&mut self, now: Instant, id: u64) {
        self.report.answered += 1;
        self.calls_up += u64::from(self.calls.get(&id).is_some_and(|call| call.wish.is_some()));
        self.finally(now, id, Status::OK);
    }

    fn finally(&mut self, now: Instant, id: u64, status: Status) {
        self.answer_invite(id, status);
        if let Some(call) = self.calls.get_mut(&id) {
            call.state = if status.is_success() { State::Answered } else { State::Refused };
        }
        self.insist(now, id);
    }

    fn answer_invite(&mut self, id: u64, status: Status) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let contact = format!("Contact: <sip:demo@{}>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n", self.address);
        let tag = if status == Status::TRYING { "" } else { &call.tag };
        let body = if status.is_success() { SDP } else { "" };
        let answer = Answer { status, tag, headers: &contact, body };
        if let Some(sent) = answer.write(&sip::scan(&call.invite), call.source) {
            call.sent = sent;
            self.out.push(call.sent.clone());
        }
    }

    /// What was sent last is repeated until it is acknowledged.
    fn insist(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.repeat += 1;
        call.interval = T1;
        self.alarms.set(now + T1, (id, Kind::Repeat(call.repeat)));
        self.alarms.set(now + TRANSACTION_TIMEOUT, (id, Kind::GiveUp(call.repeat)));
    }

    fn repeat(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        self.report.repeats += 1;
        self.out.push(call.sent.clone());
        call.interval = (call.interval * 2).min(T2);
        self.alarms.set(now + call.interval, (id, Kind::Repeat(call.repeat)));
    }

    // RFC 3261 §13.3.1.4: a 2xx that is never acknowledged ends the call; whatever else stays unanswered is over.
    fn give_up(&mut self, now: Instant, id: u64) {
        if self.state(id) == Some(State::Answered) { self.hang_up(now, id) } else { self.over(now, id) }
    }

    fn ack(&mut self, now: Instant, message: &Message<'_>, source: SocketAddr) {
        let Some(id) = self.by_tag.get(&*String::from_utf8_lossy(ua::to_tag(message))).copied() else {
            self.report.strays += 1;
            return;
        };
        match self.state(id) {
            Some(State::Refused) => self.over(now, id),
            Some(State::Answered) => {
                self.check(message, source, id);
                self.up(now, id);
            }
            _ => self.report.repeats += 1,
        }
    }

    fn up(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.repeat += 1;
        call.state = State::Up;
        let first = call.keys.len() == 1;
        let wish = call.wish.filter(|_| first);
        if self.closing && wish.is_some() {
            self.hang_up(now, id);
        } else if let Some(after) = wish.and_then(|wish| wish.bye_after) {
            self.alarms.set(now + after, (id, Kind::HangUp));
        }
    }

    fn state(&self, id: u64) -> Option<State> {
        self.calls.get(&id).map(|call| call.state)
    }

    /// The call of a request inside one, by our tag and Call-ID.
    fn find(&mut self, message: &Message<'_>, source: SocketAddr) -> Option<u64> {
        let id = self.by_tag.get(&*String::from_utf8_lossy(ua::to_tag(message))).copied();
        let call_id = message.call_id();
        let of_dialog = |call: &Call| call.dialog.as_ref().is_some_and(|dialog| dialog.call_id.as_bytes() == call_id);
        match id.filter(|id| self.calls.get(id).is_some_and(of_dialog)) {
            Some(id) => {
                self.check(message, source, id);
                Some(id)
            }
            None => {
                self.report.strays += 1;
                None
            }
        }
    }

    // RFC 3261 §16.12: who record-routed the INVITE is on the way of the rest, and takes its Route away.
    fn check(&mut self, message: &Message<'_>, source: SocketAddr, id: u64) {
        let same_way = self.calls.get(&id).is_some_and(|call| call.source == source);
        self.report.strays += u64::from(!same_way || message.head.route.is_set());
    }

    fn answer_options(&mut self, message: &Message<'_>, source: SocketAddr) {
        let tag = self.dice.token();
        let headers = self.options_headers.load();
        let answer = Answer { tag: &tag, headers: headers.as_str(), ..Answer::plain(Status::OK) };
        self.out.extend(answer.write(message, source));
    }

    fn answer_plain(&mut self, message: &Message<'_>, source: SocketAddr, status: Status) {
        let tag = self.dice.token();
        let allow =
            if status == Status::METHOD_NOT_ALLOWED { "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n" } else { "" };
        let answer = Answer { tag: &tag, headers: allow, ..Answer::plain(status) };
        self.out.extend(answer.write(message, source));
    }
}

/// RFC 3261 §17.2.3: branch and sent-by of the top Via tell transactions apart; without a branch, its whole value does.
fn key(message: &Message<'_>) -> String {
    let whole = ua::text(message, message.head.via.value);
    match message.top_via() {
        Ok(via) if via.has_cookie(message.bytes) => {
            let part = |span| String::from_utf8_lossy(message.text(span)).to_ascii_lowercase();
            format!("{} {}:{}", ua::text(message, via.branch), part(via.host), via.port.unwrap_or(5060))
        }
        _ => format!("{whole} {} {}", ua::text(message, message.head.call_id.value), message.head.cseq_number),
    }
}

#[cfg(test)]
mod tests;
