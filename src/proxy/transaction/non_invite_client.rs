//! Non-INVITE client transaction (RFC 3261 §17.1.2).
//!
//! ```text
//!                | request
//!   Timer E:     v
//!   resend <-- Trying ---- 1xx ----> Proceeding --+ Timer E: resend every T2
//!                | | Timer F, error     | | Timer F
//!             2xx-6xx +-> Terminated  2xx-6xx +-> Terminated
//!                v                      v
//!             Completed <---------------+      responses: absorbed
//!                | Timer K
//!                v
//!             Terminated
//! ```

use super::{Actions, CLIENT_EVENTS, ClientEvent, Step};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

use State::{Completed, Proceeding, Terminated, Trying};

/// Timer K.
const FINAL: Actions = Actions::STOP_RETRANSMIT.and(Actions::PASS_UP).and(Actions::TIMEOUT_T4);

/// Rows: states. Columns: Provisional, Success, Failure, Retransmit, Timeout, TransportError.
#[rustfmt::skip]
const TABLE: [[Step<State>; CLIENT_EVENTS]; 4] = [
    [ // Trying
        Some((Proceeding, Actions::PASS_UP)),
        Some((Completed, FINAL)),
        Some((Completed, FINAL)),
        Some((Trying, Actions::RESEND.and(Actions::DOUBLE))), // Timer E
        Some((Terminated, Actions::FAIL)), // Timer F
        Some((Terminated, Actions::FAIL)),
    ],
    [ // Proceeding
        Some((Proceeding, Actions::PASS_UP)),
        Some((Completed, FINAL)),
        Some((Completed, FINAL)),
        Some((Proceeding, Actions::RESEND.and(Actions::SLOW))), // Timer E at T2
        Some((Terminated, Actions::FAIL)), // Timer F
        Some((Terminated, Actions::FAIL)),
    ],
    [ // Completed
        None,
        None,
        None,
        None,
        Some((Terminated, Actions::NONE)), // Timer K
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
        // RFC 3261 §17.1.2.2
        assert_eq!(
            picture(&[Trying, Proceeding, Completed, Terminated], &CLIENT, step),
            "Trying Provisional > Proceeding PASS_UP
Trying Success > Completed STOP_RETRANSMIT|TIMEOUT_T4|PASS_UP
Trying Failure > Completed STOP_RETRANSMIT|TIMEOUT_T4|PASS_UP
Trying Retransmit > Trying RESEND|DOUBLE
Trying Timeout > Terminated FAIL
Trying TransportError > Terminated FAIL
Proceeding Provisional > Proceeding PASS_UP
Proceeding Success > Completed STOP_RETRANSMIT|TIMEOUT_T4|PASS_UP
Proceeding Failure > Completed STOP_RETRANSMIT|TIMEOUT_T4|PASS_UP
Proceeding Retransmit > Proceeding RESEND|SLOW
Proceeding Timeout > Terminated FAIL
Proceeding TransportError > Terminated FAIL
Completed Timeout > Terminated"
        );
    }
}
