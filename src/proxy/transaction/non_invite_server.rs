//! Non-INVITE server transaction (RFC 3261 §17.2.2).
//!
//! ```text
//!               | request
//!               v
//!             Trying ------ 1xx -----> Proceeding --+ request: resend 1xx
//!   request:    |                          |
//!   nothing   2xx-6xx                   2xx-6xx
//!               v                          v
//!           Completed <--------------------+        request: resend the final response
//!               | Timer J
//!               v
//!           Terminated
//! ```
//! Trying and Proceeding also end by time: nobody waits for an answer after 64*T1 (RFC 4320 §4.2), so then Completed is silent.

use super::{Actions, SERVER_EVENTS, ServerEvent, Step};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

use State::{Completed, Proceeding, Terminated, Trying};

const SEND_STORE: Actions = Actions::SEND.and(Actions::STORE);
/// Timer J.
const FINAL: Actions = SEND_STORE.and(Actions::TIMEOUT_64_T1);

/// RFC 4320 §4.2: too late for any answer; a last retransmission is still absorbed.
const SILENT: Actions = Actions::FAIL.and(Actions::TIMEOUT_T4);

/// Rows: states. Columns: Request, Ack, Provisional, Success, Failure, Retransmit, Timeout, TransportError.
#[rustfmt::skip]
const TABLE: [[Step<State>; SERVER_EVENTS]; 4] = [
    [ // Trying
        Some((Trying, Actions::NONE)),
        None,
        Some((Proceeding, SEND_STORE)),
        Some((Completed, FINAL)),
        Some((Completed, FINAL)),
        None,
        Some((Completed, SILENT)),
        Some((Trying, Actions::NONE)),
    ],
    [ // Proceeding
        Some((Proceeding, Actions::RESEND)),
        None,
        Some((Proceeding, SEND_STORE)),
        Some((Completed, FINAL)),
        Some((Completed, FINAL)),
        None,
        Some((Completed, SILENT)),
        Some((Proceeding, Actions::NONE)),
    ],
    [ // Completed
        Some((Completed, Actions::RESEND)),
        None,
        None,
        None,
        None,
        None,
        Some((Terminated, Actions::NONE)), // Timer J
        Some((Completed, Actions::NONE)),
    ],
    [None; SERVER_EVENTS], // Terminated
];

/// What happens in `state` on `event`.
#[inline]
pub(crate) const fn step(state: State, event: ServerEvent) -> Step<State> {
    TABLE[state as usize][event as usize]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SERVER, picture};
    use super::*;

    #[test]
    fn every_state_and_event_is_as_the_figure_says() {
        // RFC 3261 §17.2.2, RFC 4320 §4.2
        assert_eq!(
            picture(&[Trying, Proceeding, Completed, Terminated], &SERVER, step),
            "Trying Request > Trying
Trying Provisional > Proceeding SEND|STORE
Trying Success > Completed SEND|STORE|TIMEOUT_64_T1
Trying Failure > Completed SEND|STORE|TIMEOUT_64_T1
Trying Timeout > Completed TIMEOUT_T4|FAIL
Trying TransportError > Trying
Proceeding Request > Proceeding RESEND
Proceeding Provisional > Proceeding SEND|STORE
Proceeding Success > Completed SEND|STORE|TIMEOUT_64_T1
Proceeding Failure > Completed SEND|STORE|TIMEOUT_64_T1
Proceeding Timeout > Completed TIMEOUT_T4|FAIL
Proceeding TransportError > Proceeding
Completed Request > Completed RESEND
Completed Timeout > Terminated
Completed TransportError > Completed"
        );
    }
}
