//! What callees write.

use super::{Arrival, Callees, OK};
use crate::check::tag;
use crate::io::Outbox;
use crate::number::Number;
use crate::pool::Handle;
use crate::scan::{Scan, tag_of};
use crate::text::ANSWER;

const EMPTY: &[u8] = b"Content-Length: 0\r\n\r\n";
/// A Record-Route line of the length that one of siplane's has.
const MADE_UP_ROUTE: &[u8] = b"Record-Route: <sip:127.0.0.1:5060;lr;made-up=0123456789abcdef0123456789abcdef>\r\n";

impl Callees {
    /// A response without more than the request's own headers.
    pub(super) fn plain(&self, status: &[u8], arrival: &Arrival<'_>, out: &mut Outbox) {
        out.begin();
        out.put(status);
        copy_head(arrival.scan, &[], |part| {
            out.put(part);
        });
        out.put(EMPTY);
        out.put(&self.padding);
        out.end(self.first + arrival.callee, arrival.source);
    }

    /// Keeps what every response to an INVITE begins with; where Record-Routes begin in it.
    pub(super) fn keep(&mut self, callee: u16, scan: &Scan<'_>, number: Number) -> (Handle, u16) {
        let (kept, tag) = (&mut self.scratch, tag(number, callee));
        kept.clear();
        let tag = if tag_of(scan.to).is_empty() { &tag[..] } else { &[] };
        copy_head(scan, tag, |part| kept.extend_from_slice(part));
        let routes_at = kept.len() as u16;
        scan.record_routes.as_slice().iter().for_each(|line| kept.extend_from_slice(line));
        if self.conduct.record_route && scan.cseq == 1 {
            kept.extend_from_slice(MADE_UP_ROUTE);
        }
        let kept = self.pool.keep(&[kept]).unwrap_or_else(|| {
            self.stats.violations.note("an INVITE's Vias and Record-Routes are too long to be kept", scan.call_id);
            Handle::NONE
        });
        (kept, routes_at)
    }

    /// Writes a response to the INVITE of a call.
    pub(super) fn write(&self, number: Number, status: u16, out: &mut Outbox) {
        let record = &self.records[number.slot as usize];
        let kept = self.pool.get(record.kept);
        if kept.is_empty() {
            return;
        }
        let head = &kept[..usize::from(record.routes_at)];
        let (line, head, contact): (&[u8], _, &[u8]) = match status {
            100 => (b"SIP/2.0 100 Trying\r\n", head, &[]),
            180 => (b"SIP/2.0 180 Ringing\r\n", kept, &self.contacts[usize::from(record.callee)]),
            200 => (OK, kept, &self.contacts[usize::from(record.callee)]),
            486 => (b"SIP/2.0 486 Busy Here\r\n", head, &[]),
            487 => (b"SIP/2.0 487 Request Terminated\r\n", head, &[]),
            _ => (b"SIP/2.0 503 Service Unavailable\r\n", head, &[]),
        };
        out.begin();
        for part in [line, head, contact] {
            out.put(part);
        }
        if status == 200 {
            out.put(b"Content-Type: application/sdp\r\nContent-Length: ");
            out.put_body(ANSWER, self.run.lengths(number));
        } else {
            out.put(EMPTY);
        }
        out.put(&self.padding);
        out.end(self.first + record.callee, record.to);
    }
}

/// RFC 3261 §8.2.6.2: Vias, From, To, Call-ID and CSeq as they came, and our tag in To.
fn copy_head(scan: &Scan<'_>, tag: &[u8], mut put: impl FnMut(&[u8])) {
    scan.vias.as_slice().iter().for_each(|line| put(line));
    [b"From: ", scan.from, b"\r\nTo: ", scan.to].into_iter().for_each(&mut put);
    if !tag.is_empty() {
        put(b";tag=");
        put(tag);
    }
    [b"\r\nCall-ID: ", scan.call_id, b"\r\nCSeq: ", scan.cseq_value, b"\r\n"].into_iter().for_each(put);
}
