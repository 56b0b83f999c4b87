//! The callees: they answer what the call's kind says, and send final responses again until the ACK comes.
//!
//! A response goes to where its request came from, and has the request's Vias and Record-Routes byte for byte: RFC 3581's additions
//! to the top Via are left out, as a proxy that sends from the port its Via names does not need them.

mod write;

use crate::check::{self, Path, callee_of};
use crate::io::{Address, Outbox};
use crate::mix::Kind;
use crate::number::{Number, Run};
use crate::pool::{Handle, Pool};
use crate::scan::{Method, Scan, scan, tag_of};
use crate::stats::CalleeStats;
use crate::timers::{MS, T1, Timers, capped};

/// Nobody's index.
const NOBODY: u16 = u16::MAX;
const OK: &[u8] = b"SIP/2.0 200 OK\r\n";

/// How callees behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    /// How long it rings before the 200, nanoseconds.
    pub(crate) ring: u64,
    /// Whether a 100 is sent first.
    pub(crate) trying: bool,
    /// Whether final responses are sent again without an ACK, and how long, nanoseconds.
    pub(crate) resend: bool,
    pub(crate) timeout: u64,
    /// Every how many calls are looked at closely; 0: none.
    pub(crate) verify: u32,
    pub(crate) path: Path,
    /// Bytes added behind each response, for what is between to cut off.
    pub(crate) pad: usize,
    /// Whether a Record-Route line is made up, of the length that one of siplane's has.
    pub(crate) record_route: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Ringing,
    /// 200 sent, no ACK yet.
    Answered,
    Confirmed,
    /// A final response other than 2xx sent, no ACK yet.
    Refused,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    generation: u32,
    state: State,
    kind: Kind,
    callee: u16,
    refused_by: u16,
    status: u16,
    cseq: u32,
    sends: u8,
    /// Whether the answer had its ACK.
    acked: bool,
    /// Where Record-Routes begin in what is kept.
    routes_at: u16,
    kept: Handle,
    to: Address,
    since: u64,
}

const FREE: Record = Record {
    generation: 0,
    state: State::Free,
    kind: Kind::Ok,
    callee: NOBODY,
    refused_by: NOBODY,
    status: 0,
    cseq: 0,
    sends: 0,
    acked: false,
    routes_at: 0,
    kept: Handle::NONE,
    to: Address::NONE,
    since: 0,
};

/// One request of a call of ours.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    callee: u16,
    source: Address,
    now: u64,
    scan: &'a Scan<'a>,
    number: Number,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Answer,
    Again,
}

/// All callees of a run; their sockets begin at place `first`.
#[derive(Debug)]
pub(crate) struct Callees {
    conduct: Conduct,
    run: Run,
    first: u16,
    /// Of each callee the URI of its Contact, and the whole line.
    targets: Vec<Vec<u8>>,
    contacts: Vec<Vec<u8>>,
    padding: Vec<u8>,
    records: Vec<Record>,
    timers: Timers<What>,
    pool: Pool,
    scratch: Vec<u8>,
    pub(crate) stats: CalleeStats,
}

impl Callees {
    pub(crate) fn new(conduct: Conduct, run: Run, first: u16, addresses: &[Address]) -> Self {
        let targets: Vec<_> =
            addresses.iter().enumerate().map(|(at, address)| format!("sip:callee{at}@{address}")).collect();
        Self {
            conduct,
            run,
            first,
            contacts: targets.iter().map(|target| format!("Contact: <{target}>\r\n").into_bytes()).collect(),
            targets: targets.into_iter().map(String::into_bytes).collect(),
            padding: vec![b' '; conduct.pad],
            records: Vec::new(),
            timers: Timers::new(),
            pool: Pool::default(),
            scratch: Vec::with_capacity(2048),
            stats: CalleeStats { calls: vec![0; addresses.len()], ..CalleeStats::default() },
        }
    }

    /// A datagram came to the socket at `place`.
    pub(crate) fn receive(&mut self, place: u16, source: Address, bytes: &[u8], now: u64, out: &mut Outbox) {
        let callee = place - self.first;
        let Some(scan) = scan(bytes) else { return self.stats.foreign += 1 };
        let Some((number, kind)) = self.run.read(scan.call_id).filter(|_| scan.status == 0) else {
            return self.stats.foreign += 1;
        };
        let slot = number.slot as usize;
        if slot >= self.records.len() {
            self.records.resize((slot + 1).next_power_of_two(), FREE);
        }
        let arrival = Arrival { callee, source, now, scan: &scan, number, kind };
        self.verify(&arrival, bytes);
        match scan.method {
            Method::Invite => self.invite(&arrival, out),
            Method::Ack => self.ack(callee, number),
            Method::Bye => self.bye(&arrival, out),
            Method::Cancel => self.cancel(&arrival, out),
            Method::Other => self.stats.foreign += 1,
        }
    }

    fn verify(&mut self, arrival: &Arrival<'_>, bytes: &[u8]) {
        let Arrival { callee, scan, number, .. } = *arrival;
        let tag = tag_of(scan.to);
        if !tag.is_empty() && callee_of(tag, number) != Some(callee) {
            self.stats
                .violations
                .note("a request inside a dialog reached another callee than the one that answered", bytes);
        }
        let record = &self.records[number.slot as usize];
        let closely = match scan.method {
            Method::Invite | Method::Bye => true,
            // The ACK of a refusal is the proxy's own (RFC 3261 §17.1.1.3), with its own Max-Forwards and no Via of ours.
            Method::Ack => {
                record.generation == number.generation && record.callee == callee && record.state == State::Answered
            }
            Method::Cancel | Method::Other => false,
        };
        if closely && self.conduct.verify > 0 && number.generation.is_multiple_of(self.conduct.verify) {
            let target = (!tag.is_empty()).then(|| &self.targets[usize::from(callee)][..]);
            if let Some(what) = check::request(scan, number, self.run.lengths(number), target, self.conduct.path) {
                self.stats.violations.note(what, bytes);
            }
        }
    }

    /// Sends what is due.
    pub(crate) fn on_time(&mut self, now: u64, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop(now) {
            let record = &mut self.records[timer.slot as usize];
            let number = Number { slot: timer.slot, generation: timer.generation };
            if record.generation != timer.generation {
                continue;
            }
            match (timer.what, record.state) {
                (What::Answer, State::Ringing) => self.finally(number, 200, now, out),
                (What::Again, State::Answered | State::Refused) => self.again(number, now, out),
                _ => {}
            }
        }
    }

    /// When there is something to send without anything coming.
    pub(crate) fn next(&self) -> Option<u64> {
        self.timers.next()
    }

    fn invite(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) {
        let Arrival { callee, source, now, scan, number, kind } = *arrival;
        let record = self.records[number.slot as usize];
        let same = record.state != State::Free && record.generation == number.generation;
        if same && record.callee == callee && record.cseq == scan.cseq {
            return self.invite_again(number, out);
        }
        if record.state != State::Free && number.generation < record.generation {
            self.stats.repeated += 1;
            return;
        }
        if same && record.callee != callee {
            self.stats.moved += 1;
        }
        let refused_by = if same { record.refused_by } else { NOBODY };
        self.pool.release(&mut self.records[number.slot as usize].kept);
        let (kept, routes_at) = self.keep(callee, scan, number);
        let fresh = Record { generation: number.generation, state: State::Ringing, kind, callee, ..FREE };
        self.records[number.slot as usize] =
            Record { refused_by, cseq: scan.cseq, kept, routes_at, to: source, since: now, ..fresh };
        if scan.cseq > 1 {
            return self.finally(number, 200, now, out);
        }
        self.stats.calls[usize::from(callee)] += 1;
        match kind {
            Kind::Busy => self.finally(number, 486, now, out),
            Kind::Unavailable if refused_by == NOBODY || refused_by == callee => {
                self.records[number.slot as usize].refused_by = callee;
                self.finally(number, 503, now, out);
            }
            _ => self.ring(number, now, out),
        }
    }

    fn invite_again(&mut self, number: Number, out: &mut Outbox) {
        self.stats.repeated += 1;
        match self.records[number.slot as usize].state {
            State::Ringing => self.write(number, 180, out),
            State::Answered | State::Refused => self.write(number, self.records[number.slot as usize].status, out),
            State::Free | State::Confirmed | State::Gone => {}
        }
    }

    fn ring(&mut self, number: Number, now: u64, out: &mut Outbox) {
        if self.conduct.trying {
            self.write(number, 100, out);
        }
        self.write(number, 180, out);
        match (self.records[number.slot as usize].kind, self.conduct.ring) {
            (Kind::Cancel, _) => {}
            (_, 0) => self.finally(number, 200, now, out),
            (_, ring) => self.timers.set(now, ring, number.slot, number.generation, What::Answer),
        }
    }

    /// RFC 3261 §13.3.1.4 and §17.2.1: a final response is sent again at T1, doubling to T2, until the ACK.
    fn finally(&mut self, number: Number, status: u16, now: u64, out: &mut Outbox) {
        let record = &mut self.records[number.slot as usize];
        (record.status, record.sends, record.since) = (status, 1, now);
        record.acked = false;
        record.state = if status == 200 { State::Answered } else { State::Refused };
        self.stats.answered += u64::from(status == 200);
        self.write(number, status, out);
        if self.conduct.resend {
            self.timers.set(now, T1, number.slot, number.generation, What::Again);
        }
    }

    fn again(&mut self, number: Number, now: u64, out: &mut Outbox) {
        let record = &mut self.records[number.slot as usize];
        // A second answer of the same call has set a timer of its own: the first one's comes too early.
        if now < record.since + T1 - MS {
            return;
        }
        if now - record.since >= self.conduct.timeout {
            record.state = State::Gone;
            return self.pool.release(&mut record.kept);
        }
        record.sends += 1;
        let (wait, status) = (capped(record.sends), record.status);
        self.stats.resent += 1;
        self.write(number, status, out);
        self.timers.set(now, wait, number.slot, number.generation, What::Again);
    }

    fn ack(&mut self, callee: u16, number: Number) {
        let record = &mut self.records[number.slot as usize];
        if record.generation != number.generation || record.callee != callee {
            self.stats.repeated += u64::from(record.refused_by != callee);
            return;
        }
        // A proxy of several processes may let the BYE overtake it.
        let first = record.status == 200 && !record.acked;
        record.acked = true;
        self.stats.acked += u64::from(first);
        match record.state {
            State::Answered if record.kind == Kind::Held => record.state = State::Gone,
            State::Answered => record.state = State::Confirmed,
            State::Refused => record.state = State::Gone,
            State::Free | State::Ringing | State::Confirmed | State::Gone => self.stats.repeated += u64::from(!first),
        }
        self.pool.release(&mut record.kept);
    }

    fn bye(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) {
        let Arrival { callee, number, .. } = *arrival;
        let record = &mut self.records[number.slot as usize];
        if record.generation == number.generation && record.callee == callee && record.state != State::Gone {
            self.stats.byes += 1;
            record.state = State::Gone;
            self.pool.release(&mut record.kept);
        } else {
            self.stats.repeated += 1;
        }
        self.plain(OK, arrival, out);
    }

    fn cancel(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) {
        let Arrival { callee, number, now, .. } = *arrival;
        let record = self.records[number.slot as usize];
        let same = record.generation == number.generation && record.callee == callee;
        match record.state {
            State::Ringing if same => {
                self.stats.cancels += 1;
                self.plain(OK, arrival, out);
                self.finally(number, 487, now, out);
            }
            State::Refused | State::Answered | State::Gone if same => {
                self.stats.repeated += 1;
                self.plain(OK, arrival, out);
            }
            _ => self.plain(b"SIP/2.0 481 Call/Transaction Does Not Exist\r\n", arrival, out),
        }
    }
}
