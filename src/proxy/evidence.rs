//! What real calls show about a destination: the one place where the call path tells [`States`] about it.
//!
//! Each function is called once for the fact that it names: only for requests that the dispatcher placed, and only while the
//! branch could still decide its request. What a destination answers to a CANCEL, to a branch that was given up, or after another
//! branch has won, is no evidence; but who said nothing at all until the end was silent, whoever won.

use super::Policy;
use crate::dispatcher::{DestinationId, States};
use crate::sip::{Message, Status, fields, header_is};
use crate::time::Instant;
use core::time::Duration;

/// `destination` while the table in force has it: the slot of one that a reload has removed may be another's. Only who holds load
/// of a destination, as an INVITE does, holds its slot too.
pub(super) fn of(policy: &Policy, destination: Option<DestinationId>) -> Option<DestinationId> {
    destination.filter(|destination| policy.table.destination(*destination).is_some())
}

/// The first response to an INVITE came after `waited`, whatever it says; 100 counts. A final one is told again, by
/// [`success`] or [`failure`].
pub(super) fn first_response(states: &States, from: DestinationId, status: Status, waited: Duration) {
    states.note_response_time(from.state(), waited);
    if status.is_provisional() {
        states.note_answer(from.state(), status.code());
    }
}

/// An INVITE got its first 2xx, after `waited`.
pub(super) fn success(states: &States, from: DestinationId, status: Status, waited: Duration) {
    states.count_answered(from.state());
    states.note_setup(from.state(), waited);
    states.note_answer(from.state(), status.code());
}

/// A final response of 300 to 699 came. `is_failover`: its set sends requests on for this code. `retry_after_s`: what a 503 asks
/// for, seconds (RFC 3261 §20.33); 0 when it asks for nothing.
pub(super) fn failure(
    states: &States,
    from: DestinationId,
    now: Instant,
    status: Status,
    is_failover: bool,
    retry_after_s: u32,
) {
    states.note_answer(from.state(), status.code());
    if is_failover {
        states.count_failed(from.state());
    }
    if retry_after_s > 0 {
        states.hold_off(from.state(), now + Duration::from_secs(retry_after_s.into()));
    }
}

/// Nothing came within the set's answer time-out, and the request went on.
pub(super) fn answer_timeout(states: &States, of: DestinationId) {
    states.count_failed(of.state());
    states.note_timeout(of.state());
}

/// Nothing came until Timer B or F, or a CANCEL changed nothing (RFC 3261 §17.1.1.2, §17.1.2.2, §9.1).
pub(super) fn transaction_timeout(states: &States, of: DestinationId) {
    states.count_failed(of.state());
    states.note_timeout(of.state());
}

/// The request could not be sent, or an ICMP error came back (RFC 3261 §18.4).
pub(super) fn unreachable(states: &States, to: DestinationId) {
    states.count_failed(to.state());
    states.note_unreachable(to.state());
}

/// The seconds in Retry-After of a 503 (RFC 3261 §20.33); 0 without one.
pub(super) fn retry_after_s(response: &Message<'_>, status: Status) -> u32 {
    if status != Status::SERVICE_UNAVAILABLE {
        return 0;
    }
    let field = fields(response).find(|field| header_is(response.text(field.name), b"retry-after"));
    field.map_or(0, |field| leading_number(response.text(field.value)))
}

/// The decimal number that `text` begins with, white space before it left out; 0 without one, and at most 2^32 - 1.
pub(super) fn leading_number(text: &[u8]) -> u32 {
    let digits = text.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u32, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::scan;

    #[test]
    fn retry_after_is_read_from_a_503_only() {
        // RFC 3261 §20.33
        let seconds = |status: u16, line: &str| {
            let text = format!("SIP/2.0 {status} X\r\n{line}\r\n\r\n");
            retry_after_s(&scan(text.as_bytes()), Status::new(status).unwrap())
        };
        assert_eq!(seconds(503, "Retry-After: 18000;duration=3600"), 18_000);
        assert_eq!(seconds(503, "retry-after:\r\n 120 (in a meeting)"), 120);
        assert_eq!(seconds(503, "Retry-After: soon"), 0);
        assert_eq!(seconds(503, "Retry-After: 99999999999999"), u32::MAX);
        assert_eq!(seconds(503, "X: 1"), 0);
        assert_eq!(seconds(480, "Retry-After: 5"), 0);
    }
}
