//! INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1 and its figure 5).
//!
//! ```text
//!                 | INVITE
//!                 v
//!  INVITE      Proceeding ---- 2xx ----> Accepted --+ INVITE: absorbed; 2xx: sent; ACK: passed up
//!  resend 1xx <-- |                          | Timer L
//!           300-699                          v
//!                 v                     Terminated
//!  INVITE, G:  Completed ---- ACK ----> Confirmed --+ ACK, INVITE: absorbed
//!  resend  <----- | Timer H                  | Timer I
//!                 v                          v
//!            Terminated                 Terminated
//! ```
//! A 2xx that comes from another branch after a failure was sent is passed on all the same (RFC 3261 §16.7 item 5), also
//! when this transaction has ended (item 9); the failure is not repeated after it, so the state is then Confirmed.

use super::{Actions, SERVER_EVENTS, ServerEvent, Step};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};

const SEND_STORE: Actions = Actions::SEND.and(Actions::STORE);

/// No retransmission of the failure may follow a 2xx (RFC 3261 §16.7 item 5); as in Accepted, 2xx may come for 64*T1.
const LATE_SUCCESS: Actions = Actions::SEND.and(Actions::STOP_RETRANSMIT).and(Actions::TIMEOUT_64_T1);

/// Rows: states. Columns: Request, Ack, Provisional, Success, Failure, Retransmit, Timeout, TransportError.
#[rustfmt::skip]
const TABLE: [[Step<State>; SERVER_EVENTS]; 5] = [
    [ // Proceeding
        Some((Proceeding, Actions::RESEND)),
        None,
        Some((Proceeding, SEND_STORE)),
        Some((Accepted, Actions::SEND.and(Actions::TIMEOUT_64_T1))), // Timer L
        Some((Completed, SEND_STORE.and(Actions::START_RETRANSMIT).and(Actions::TIMEOUT_64_T1))), // Timers G, H
        None,
        None,
        Some((Proceeding, Actions::NONE)), // RFC 6026 §7.1: a failed send does not end it
    ],
    [ // Completed
        Some((Completed, Actions::RESEND)),
        Some((Confirmed, Actions::STOP_RETRANSMIT.and(Actions::TIMEOUT_T4))), // Timer I
        None,
        Some((Confirmed, LATE_SUCCESS)),
        None,
        Some((Completed, Actions::RESEND.and(Actions::DOUBLE))), // Timer G
        Some((Terminated, Actions::FAIL)), // Timer H: the ACK never came
        Some((Completed, Actions::NONE)),
    ],
    [ // Confirmed
        Some((Confirmed, Actions::NONE)),
        Some((Confirmed, Actions::NONE)),
        None,
        Some((Confirmed, Actions::SEND)),
        None,
        None,
        Some((Terminated, Actions::NONE)), // Timer I
        Some((Confirmed, Actions::NONE)),
    ],
    [ // Accepted
        Some((Accepted, Actions::NONE)),
        Some((Accepted, Actions::PASS_UP)),
        None,
        Some((Accepted, Actions::SEND)),
        None,
        None,
        Some((Terminated, Actions::NONE)), // Timer L
        Some((Accepted, Actions::NONE)),
    ],
    [ // Terminated, while a branch still lives
        None,
        None,
        None,
        Some((Terminated, Actions::SEND)), // RFC 3261 §16.7 item 9: statelessly
        None,
        None,
        None,
        None,
    ],
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
        // RFC 3261 §17.2.1, RFC 6026 §7.1
        let states = [Proceeding, Completed, Confirmed, Accepted, Terminated];
        assert_eq!(
            picture(&states, &SERVER, step),
            "Proceeding Request > Proceeding RESEND
Proceeding Provisional > Proceeding SEND|STORE
Proceeding Success > Accepted SEND|TIMEOUT_64_T1
Proceeding Failure > Completed SEND|STORE|START_RETRANSMIT|TIMEOUT_64_T1
Proceeding TransportError > Proceeding
Completed Request > Completed RESEND
Completed Ack > Confirmed STOP_RETRANSMIT|TIMEOUT_T4
Completed Success > Confirmed SEND|STOP_RETRANSMIT|TIMEOUT_64_T1
Completed Retransmit > Completed RESEND|DOUBLE
Completed Timeout > Terminated FAIL
Completed TransportError > Completed
Confirmed Request > Confirmed
Confirmed Ack > Confirmed
Confirmed Success > Confirmed SEND
Confirmed Timeout > Terminated
Confirmed TransportError > Confirmed
Accepted Request > Accepted
Accepted Ack > Accepted PASS_UP
Accepted Success > Accepted SEND
Accepted Timeout > Terminated
Accepted TransportError > Accepted
Terminated Success > Terminated SEND"
        );
    }
}
