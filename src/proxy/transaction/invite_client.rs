//! INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2 and its figure 4).
//!
//! ```text
//!                 | INVITE
//!   Timer A:      v
//!   resend <-- Calling ------ 2xx ------> Accepted --+ 2xx: passed up
//!                 |  | Timer B, error        ^ | Timer M
//!                1xx +--> Terminated        2xx v
//!                 v                          | Terminated
//!             Proceeding --------------------+
//!                 | 300-699: ACK, passed up (from Calling too)
//!                 v
//!             Completed --+ 300-699: ACK again, not passed up
//!                 | Timer D
//!                 v
//!             Terminated
//! ```
//! Timer C is the proxy core's (RFC 3261 §16.6 item 11), not this machine's: in Proceeding nothing here times out.

use super::{Actions, CLIENT_EVENTS, ClientEvent, Step};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

use State::{Accepted, Calling, Completed, Proceeding, Terminated};

const STOP: Actions = Actions::STOP_RETRANSMIT.and(Actions::PASS_UP);
/// Timer M.
const SUCCESS: Actions = STOP.and(Actions::TIMEOUT_64_T1);
const FAILURE: Actions = STOP.and(Actions::ACK).and(Actions::TIMEOUT_D);

/// Rows: states. Columns: Provisional, Success, Failure, Retransmit, Timeout, TransportError.
#[rustfmt::skip]
const TABLE: [[Step<State>; CLIENT_EVENTS]; 5] = [
    [ // Calling
        Some((Proceeding, STOP.and(Actions::STOP_TIMEOUT))),
        Some((Accepted, SUCCESS)),
        Some((Completed, FAILURE)),
        Some((Calling, Actions::RESEND.and(Actions::DOUBLE))), // Timer A
        Some((Terminated, Actions::FAIL)), // Timer B
        Some((Terminated, Actions::FAIL)),
    ],
    [ // Proceeding
        Some((Proceeding, Actions::PASS_UP)),
        Some((Accepted, SUCCESS)),
        Some((Completed, FAILURE)),
        None,
        None,
        None,
    ],
    [ // Completed
        None,
        None,
        Some((Completed, Actions::ACK)),
        None,
        Some((Terminated, Actions::NONE)), // Timer D
        None,
    ],
    [ // Accepted
        None,
        Some((Accepted, Actions::PASS_UP)),
        None,
        None,
        Some((Terminated, Actions::NONE)), // Timer M
        None,
    ],
    [None; CLIENT_EVENTS], // Terminated
];

/// What happens in `state` on `event`.
#[inline]
pub(crate) const fn step(state: State, event: ClientEvent) -> Step<State> {
    TABLE[state as usize][event as usize]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CLIENT, picture};
    use super::*;

    #[test]
    fn every_state_and_event_is_as_the_figure_says() {
        // RFC 3261 §17.1.1.2, RFC 6026 §7.2
        assert_eq!(
            picture(&[Calling, Proceeding, Completed, Accepted, Terminated], &CLIENT, step),
            "Calling Provisional > Proceeding STOP_RETRANSMIT|STOP_TIMEOUT|PASS_UP
Calling Success > Accepted STOP_RETRANSMIT|TIMEOUT_64_T1|PASS_UP
Calling Failure > Completed STOP_RETRANSMIT|TIMEOUT_D|ACK|PASS_UP
Calling Retransmit > Calling RESEND|DOUBLE
Calling Timeout > Terminated FAIL
Calling TransportError > Terminated FAIL
Proceeding Provisional > Proceeding PASS_UP
Proceeding Success > Accepted STOP_RETRANSMIT|TIMEOUT_64_T1|PASS_UP
Proceeding Failure > Completed STOP_RETRANSMIT|TIMEOUT_D|ACK|PASS_UP
Completed Failure > Completed ACK
Completed Timeout > Terminated
Accepted Success > Accepted PASS_UP
Accepted Timeout > Terminated"
        );
    }
}
