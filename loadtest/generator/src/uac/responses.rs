//! What responses mean to the callers.

use super::{Callers, State, What};
use crate::check;
use crate::io::{Address, Outbox};
use crate::mix::Kind;
use crate::pool::Handle;
use crate::scan::{Method, Scan, scan, uri_of, values};
use crate::stats::Failure;
use crate::text::{Call, Dialog};
use crate::timers::T1;

/// Routes of one dialog.
const ROUTES_MAX: usize = 16;

impl Callers {
    /// A datagram came to the socket at `place`.
    pub(crate) fn receive(&mut self, place: u16, bytes: &[u8], now: u64, out: &mut Outbox) {
        let Some(scan) = scan(bytes) else { return self.stats.foreign += 1 };
        let Some((number, kind)) = self.run.read(scan.call_id).filter(|_| scan.status != 0) else {
            return self.stats.foreign += 1;
        };
        let call = Call { number, kind };
        let record = self.records.get(number.slot as usize);
        let fresh = record.is_some_and(|record| record.generation == number.generation && record.state != State::Free);
        if fresh {
            self.verify(place, call, &scan, bytes);
        }
        match (scan.method, scan.status) {
            (Method::Invite, 100..200) if fresh => self.provisional(call, &scan, now, out),
            (Method::Invite, 200..300) => self.answered(place, call, fresh, &scan, now, out),
            (Method::Invite, 300..700) => self.refused(place, call, fresh, &scan, out),
            (Method::Bye, 200..700) if fresh && self.state(call) == State::Byeing => self.over(call, scan.status),
            (Method::Cancel, 200..700) if fresh && self.state(call) == State::Cancelling => {
                self.records[number.slot as usize].state = State::Cancelled;
            }
            _ => self.stats.repeated += 1,
        }
    }

    fn state(&self, call: Call) -> State {
        self.records[call.number.slot as usize].state
    }

    fn verify(&mut self, place: u16, call: Call, scan: &Scan<'_>, bytes: &[u8]) {
        let record = &self.records[call.number.slot as usize];
        if record.source != place {
            self.stats.violations.note("a response came to another source than the one that called", bytes);
        }
        if self.plan.verify == 0 || !call.number.generation.is_multiple_of(self.plan.verify) {
            return;
        }
        let branch = match scan.method {
            Method::Cancel => *b"i1",
            Method::Bye => [b'b', b'0' + record.cseq],
            _ => [b'i', b'0' + scan.cseq as u8],
        };
        let source = &self.sources[usize::from(record.source)];
        if let Some(what) = check::response(scan, source, call, branch, self.plan.path) {
            self.stats.violations.note(what, bytes);
        }
        let to = &self.pool.get(record.kept)[usize::from(record.target_bytes + record.routes_bytes)..];
        if record.kept != Handle::NONE && to != scan.to {
            self.stats.violations.note("To of the response is not the dialog's", bytes);
        }
    }

    fn provisional(&mut self, call: Call, scan: &Scan<'_>, now: u64, out: &mut Outbox) {
        let slot = call.number.slot;
        let record = &mut self.records[slot as usize];
        if record.state == State::Inviting {
            record.state = State::Ringing;
            if record.kind == Kind::Cancel {
                // Who does not hear it ring gives up, too: a lost 180 is not sent again.
                self.timers.set(now, T1, slot, call.number.generation, What::GiveUp);
            }
        }
        if scan.status == 100 || record.rang {
            return;
        }
        record.rang = true;
        self.stats.ringing.record(now.saturating_sub(record.intended));
        if record.kind == Kind::Cancel && record.state == State::Ringing {
            self.cancel(call.number, now, out);
        }
    }

    fn answered(&mut self, place: u16, call: Call, fresh: bool, scan: &Scan<'_>, now: u64, out: &mut Outbox) {
        if scan.cseq != 1 {
            return self.answered_inside(call, fresh, scan, now, out);
        }
        // RFC 3261 §12.1.2: the route set is the Record-Routes in reverse order; §13.2.2.4: each 2xx has its ACK.
        let (hop, target) = (self.read_routes(scan), uri_of(scan.contact));
        let hop =
            if self.plan.path.hops == 0 { Some(self.plan.proxy) } else { hop.or_else(|| Address::of_uri(target)) };
        let Some(hop) = hop.filter(|_| !target.is_empty()) else {
            if fresh {
                self.end(call, Err(Failure::Dialog));
            }
            return;
        };
        let dialog = Dialog { target, routes: &self.routes, to: scan.to };
        out.begin();
        self.sources[usize::from(place)].inside(call, b"ACK", scan.cseq as u8, dialog, out);
        out.end(place, hop);
        let early = [State::Inviting, State::Ringing, State::Cancelling, State::Cancelled];
        if !fresh || !early.contains(&self.state(call)) {
            self.stats.repeated += 1;
            return;
        }
        let record = &mut self.records[call.number.slot as usize];
        record.hop = hop;
        self.stats.setup.record(now.saturating_sub(record.intended));
        self.opened(call, target, scan, now, out);
    }

    /// RFC 3261 §12.2: an INVITE inside the dialog leaves its route set as it was; so its ACK goes the way the INVITE went.
    fn answered_inside(&mut self, call: Call, fresh: bool, scan: &Scan<'_>, now: u64, out: &mut Outbox) {
        if fresh {
            self.send_inside(call.number.slot, b"ACK", scan.cseq as u8, out);
        }
        if !fresh || self.state(call) != State::Reinviting {
            self.stats.repeated += 1;
            return;
        }
        self.records[call.number.slot as usize].state = State::Open;
        self.say_goodbye(call.number, now, out);
    }

    /// Writes the Route lines of the dialog that a response makes; where its requests go, unless there is no route.
    fn read_routes(&mut self, scan: &Scan<'_>) -> Option<Address> {
        let mut routes = [&[][..]; ROUTES_MAX];
        let mut count = 0;
        for value in scan.record_routes.as_slice().iter().flat_map(|line| values(line)).take(ROUTES_MAX) {
            routes[count] = value;
            count += 1;
        }
        self.routes.clear();
        for route in routes[..count].iter().rev() {
            for part in [b"Route: ", *route, b"\r\n"] {
                self.routes.extend_from_slice(part);
            }
        }
        Address::of_uri(uri_of(routes[..count].last()?))
    }

    fn opened(&mut self, call: Call, target: &[u8], scan: &Scan<'_>, now: u64, out: &mut Outbox) {
        let (slot, kind) = (call.number.slot, call.kind);
        if kind == Kind::Held {
            self.held += 1;
            return self.end(call, Ok(()));
        }
        let record = &mut self.records[slot as usize];
        let Some(kept) = self.pool.keep(&[target, &self.routes, scan.to]) else {
            return self.end(call, Err(Failure::Dialog));
        };
        (record.kept, record.state) = (kept, State::Open);
        (record.target_bytes, record.routes_bytes) = (target.len() as u16, self.routes.len() as u16);
        if self.plan.hold > 0 {
            self.timers.set(now, self.plan.hold, slot, call.number.generation, What::Hold);
        } else {
            self.hold_is_over(call.number, now, out);
        }
    }

    fn refused(&mut self, place: u16, call: Call, fresh: bool, scan: &Scan<'_>, out: &mut Outbox) {
        if scan.cseq != 1 {
            if fresh && self.state(call) == State::Reinviting {
                self.end(call, Err(Failure::Status(scan.status)));
            }
            return;
        }
        out.begin();
        self.sources[usize::from(place)].beside(call, b"ACK", scan.to, out);
        out.end(place, self.plan.proxy);
        let early = [State::Inviting, State::Ringing, State::Cancelling, State::Cancelled];
        if !fresh || !early.contains(&self.state(call)) {
            self.stats.repeated += 1;
            return;
        }
        let as_wanted = call.kind.expected_status() == scan.status;
        self.end(call, if as_wanted { Ok(()) } else { Err(Failure::Status(scan.status)) });
    }

    fn over(&mut self, call: Call, status: u16) {
        let answered_anyway = matches!(call.kind, Kind::Busy | Kind::Cancel);
        self.end(call, if status == 200 && !answered_anyway { Ok(()) } else { Err(Failure::Status(status)) });
    }
}
