//! The demo's caller: one thread, one socket, many calls.
//!
//! - Calls are placed at even intervals; what falls behind is caught up, so that their number is what was asked for.
//! - Requests are repeated by RFC 3261 §17.1 (timers A, B, E, F) until they are answered.
//! - Every message that comes is checked against what was sent: source, Via, From, To, CSeq, route set. A call that
//!   anything was wrong with does not count as completed, even if it ended with a 200.

use super::call::{Call, Phase};
use super::load::LoadOptions;
use super::port::{Alarms, Dice, Port};
use super::report::{Report, Tally, record};
use super::ua::{self, Answer, T1, T2, TRANSACTION_TIMEOUT, Wish};
use crate::limits;
use crate::sip::{self, Message, Status};
use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Longest wait in one go.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Place,
    /// Of the request that was sent in this phase: timers A and E.
    Repeat(bool),
    /// Timers B and F.
    GiveUp(bool),
    HangUp,
}

/// Repeat or give up the BYE; `INVITE` the INVITE.
const BYE: bool = true;
const INVITE: bool = false;

/// All calls of one source port.
pub(super) struct Caller {
    options: LoadOptions,
    port: Port,
    start: Instant,
    /// The number, over all callers, of the next call.
    next: usize,
    calls: Vec<Call>,
    by_id: HashMap<String, usize>,
    open: usize,
    alarms: Alarms<(usize, Kind)>,
    dice: Dice,
    tally: Arc<Tally>,
    report: Report,
}

impl Caller {
    /// The caller that places the calls number `index`, `index + source_ports` and so on; call 0 at `start`.
    pub(super) fn new(options: LoadOptions, port: Port, index: usize, start: Instant, tally: Arc<Tally>) -> Self {
        Self {
            options,
            port,
            start,
            next: index,
            calls: Vec::new(),
            by_id: HashMap::new(),
            open: 0,
            alarms: Alarms::new(),
            dice: Dice::new(),
            tally,
            report: Report::new(),
        }
    }

    /// Places all calls and sees them to their end, or until the options say that they are lost.
    pub(super) fn run(mut self) -> Report {
        let mut buffer = vec![0; limits::DATAGRAM_BYTES_MAX];
        let end = self.time_of(self.options.calls.saturating_sub(1)) + self.options.last_wait;
        self.schedule();
        while (self.next < self.options.calls || self.open > 0) && Instant::now() < end {
            let wait = self.alarms.wait(Instant::now(), LOOK);
            if let Some((length, source)) = self.port.receive(&mut buffer, wait) {
                self.handle_datagram(Instant::now(), &buffer[..length], source);
            }
            self.handle_alarms(Instant::now());
        }
        self.report_open();
        self.report
    }

    fn report_open(&mut self) {
        for call in self.calls.iter().filter(|call| call.phase != Phase::Over) {
            self.report.fault(format!("{}: still {:?} when time was up", call.id, call.phase));
        }
    }

    fn time_of(&self, number: usize) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / f64::from(self.options.calls_per_second))
    }

    fn schedule(&mut self) {
        if self.next < self.options.calls {
            self.alarms.set(self.time_of(self.next), (0, Kind::Place));
        }
    }

    fn handle_alarms(&mut self, now: Instant) {
        while let Some((index, kind)) = self.alarms.due(now) {
            match (kind, self.calls.get(index).map(|call| call.phase)) {
                (Kind::Place, _) => self.place(now),
                (Kind::Repeat(INVITE), Some(Phase::Calling)) => self.repeat(now, index, INVITE, Duration::MAX),
                (Kind::Repeat(BYE), Some(Phase::Leaving)) => self.repeat(now, index, BYE, T2),
                (Kind::GiveUp(INVITE), Some(Phase::Calling)) => self.lose(index, "the INVITE was never answered"),
                (Kind::GiveUp(BYE), Some(Phase::Leaving)) => self.lose(index, "the BYE was never answered"),
                (Kind::HangUp, Some(Phase::Up)) => self.hang_up(now, index),
                _ => {}
            }
        }
    }

    fn place(&mut self, now: Instant) {
        let talk = self.dice.between(&self.options.talk);
        let bye_after = self.dice.percent(self.options.callee_hangs_up_percent).then_some(talk);
        let wish = Wish { ring: self.dice.between(&self.options.ring), bye_after };
        let call = Call::new(&mut self.dice, self.port.address(), self.options.proxy, wish, talk);
        let index = self.calls.len();
        self.port.send(&call.pending, self.options.proxy);
        self.by_id.insert(call.id.clone(), index);
        self.calls.push(call);
        self.insist(now, index, INVITE);
        self.open += 1;
        self.report.placed += 1;
        self.next += self.options.source_ports;
        self.schedule();
    }

    fn insist(&mut self, now: Instant, index: usize, which: bool) {
        self.alarms.set(now + T1, (index, Kind::Repeat(which)));
        self.alarms.set(now + TRANSACTION_TIMEOUT, (index, Kind::GiveUp(which)));
    }

    fn repeat(&mut self, now: Instant, index: usize, which: bool, longest: Duration) {
        let call = &mut self.calls[index];
        let next_hop = call.dialog.as_ref().and_then(|dialog| dialog.next_hop()).unwrap_or(self.options.proxy);
        self.port.send(&call.pending, next_hop);
        call.interval = (call.interval * 2).min(longest);
        self.report.retransmissions += 1;
        self.alarms.set(now + call.interval, (index, Kind::Repeat(which)));
    }

    fn hang_up(&mut self, now: Instant, index: usize) {
        let call = &mut self.calls[index];
        call.phase = Phase::Leaving;
        if let Some(next_hop) = call.bye(&mut self.dice, self.port.address()) {
            self.port.send(&call.pending, next_hop);
        }
        self.insist(now, index, BYE);
    }

    fn handle_datagram(&mut self, now: Instant, bytes: &[u8], source: SocketAddr) {
        let message = sip::scan(bytes);
        let call_id = String::from_utf8_lossy(message.call_id()).into_owned();
        let Some(index) = self.by_id.get(&call_id).copied().filter(|_| message.defect.is_none()) else {
            return self.report.fault(format!("from {source}: {:?}, call {call_id:?}", message.defect));
        };
        if source != self.options.proxy && self.options.record_routed {
            self.fault(index, "came around the proxy");
        }
        match message.status() {
            Some(status) => self.response(now, index, &message, status),
            None => self.request(index, &message, source),
        }
    }

    fn response(&mut self, now: Instant, index: usize, message: &Message<'_>, status: Status) {
        if let Err(fault) = self.calls[index].check_answer(message, status, self.port.address()) {
            return self.fault(index, fault);
        }
        let invite = message.text(message.head.cseq_method) == b"INVITE";
        match (invite, self.calls[index].phase) {
            (true, Phase::Calling | Phase::Proceeding) if status.is_provisional() => {
                self.proceed(now, index, message, status)
            }
            (true, Phase::Calling | Phase::Proceeding) if status.is_success() => self.answered(now, index, message),
            (true, Phase::Calling | Phase::Proceeding) => self.refused(index, message, status),
            (true, _) if !status.is_provisional() => self.answered_again(index, message, status),
            (false, Phase::Leaving) if status.is_success() => self.end(index),
            (false, Phase::Leaving) if !status.is_provisional() => self.lose(index, "the BYE was refused"),
            _ => self.report.repeats += u64::from(!status.is_provisional()),
        }
    }

    fn proceed(&mut self, now: Instant, index: usize, message: &Message<'_>, status: Status) {
        let call = &mut self.calls[index];
        call.phase = Phase::Proceeding;
        self.report.moved += u64::from(call.has_moved(message));
        if status != Status::TRYING {
            record(&mut self.report.ringing_us, now - call.placed);
        }
    }

    fn answered(&mut self, now: Instant, index: usize, message: &Message<'_>) {
        let call = &mut self.calls[index];
        self.report.moved += u64::from(call.has_moved(message));
        let Some(next_hop) = call.confirm(message, &mut self.dice, self.port.address()) else {
            return self.lose(index, "the 200 has no usable Contact or Record-Route");
        };
        call.phase = Phase::Up;
        self.port.send(&call.ack, next_hop);
        record(&mut self.report.setup_us, now - call.placed);
        self.report.answered += 1;
        self.tally.count_answered();
        if let Some(by) = ua::contact(message).and_then(|uri| ua::uri_address(&uri)) {
            *self.report.answered_by.entry(by).or_default() += 1;
        }
        if call.wish.bye_after.is_none() {
            self.alarms.set(now + call.talk, (index, Kind::HangUp));
        }
        let routed = call.dialog.as_ref().is_some_and(|dialog| dialog.begins_at(self.options.proxy));
        if routed != self.options.record_routed {
            self.fault(index, "the proxy is not, or should not be, in the route set");
        }
    }

    fn refused(&mut self, index: usize, message: &Message<'_>, status: Status) {
        let ack = self.calls[index].ack_refusal(message, self.port.address(), self.options.proxy);
        self.port.send(&ack, self.options.proxy);
        *self.report.refused.entry(status.code()).or_default() += 1;
        self.lose(index, "the INVITE was refused");
    }

    // RFC 3261 §13.2.2.4, §17.1.1.2: every final answer is acknowledged each time that it comes.
    fn answered_again(&mut self, index: usize, message: &Message<'_>, status: Status) {
        self.report.repeats += 1;
        let call = &self.calls[index];
        let next_hop = call.dialog.as_ref().and_then(|dialog| dialog.next_hop());
        match next_hop.filter(|_| status.is_success()) {
            Some(next_hop) => self.port.send(&call.ack, next_hop),
            None => {
                self.port.send(&call.ack_refusal(message, self.port.address(), self.options.proxy), self.options.proxy)
            }
        }
    }

    fn request(&mut self, index: usize, message: &Message<'_>, source: SocketAddr) {
        if let Err(fault) = self.calls[index].check_request(message, self.port.address()) {
            self.fault(index, fault);
            return self.answer(message, source, Status::CALL_DOES_NOT_EXIST);
        }
        self.answer(message, source, Status::OK);
        match self.calls[index].phase {
            Phase::Up => self.end(index),
            // Both hang up at once: our own BYE still waits for its answer.
            Phase::Leaving => {}
            _ => self.report.repeats += 1,
        }
    }

    fn answer(&self, message: &Message<'_>, source: SocketAddr, status: Status) {
        if let Some((bytes, to)) = Answer::plain(status).write(message, source) {
            self.port.send(&bytes, to);
        }
    }

    fn fault(&mut self, index: usize, fault: &str) {
        let call = &mut self.calls[index];
        call.faulty = true;
        self.report.fault(format!("{}: {fault}", call.id));
    }

    fn lose(&mut self, index: usize, fault: &str) {
        self.fault(index, fault);
        self.end(index);
    }

    fn end(&mut self, index: usize) {
        let call = &mut self.calls[index];
        call.phase = Phase::Over;
        call.pending = Vec::new();
        self.report.completed += u64::from(!call.faulty);
        self.open -= 1;
        if call.dialog.is_none() {
            self.tally.count_unanswered();
        }
    }
}
