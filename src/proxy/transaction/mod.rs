//! The four transaction machines of RFC 3261 §17 with RFC 6026, as tables: state × event → next state and what to do.
//!
//! A cell that is `None` is an event that the state does not expect: it changes nothing and the caller drops what caused it.
//! The tables know no message, timer or socket; the caller does what [`Actions`] says.

pub(crate) mod invite_client;
pub(crate) mod invite_server;
pub(crate) mod non_invite_client;
pub(crate) mod non_invite_server;

/// What a server transaction is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum ServerEvent {
    /// The request came again.
    Request,
    /// An ACK came with its branch (INVITE only).
    Ack,
    /// A 1xx is to be sent.
    Provisional,
    /// A 2xx is to be sent.
    Success,
    /// A 3xx-6xx is to be sent.
    Failure,
    /// Timer G.
    Retransmit,
    /// Timer H, I, J or L: the state says which.
    Timeout,
    /// A response could not be sent.
    TransportError,
}

/// What a client transaction is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum ClientEvent {
    /// A 1xx came.
    Provisional,
    /// A 2xx came.
    Success,
    /// A 3xx-6xx came.
    Failure,
    /// Timer A or E.
    Retransmit,
    /// Timer B, D, F, K or M: the state says which.
    Timeout,
    /// The request could not be sent, or drew an ICMP error.
    TransportError,
}

pub(crate) const SERVER_EVENTS: usize = 8;
pub(crate) const CLIENT_EVENTS: usize = 6;

/// What the caller does after a step: any of these together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Actions(u16);

impl Actions {
    pub(crate) const NONE: Self = Self(0);
    /// Send the response that the event is about.
    pub(crate) const SEND: Self = Self(1);
    /// Keep that response for retransmission.
    pub(crate) const STORE: Self = Self(1 << 1);
    /// Send the last message again.
    pub(crate) const RESEND: Self = Self(1 << 2);
    /// Retransmit after T1 from now.
    pub(crate) const START_RETRANSMIT: Self = Self(1 << 3);
    /// Retransmit after twice the last interval.
    pub(crate) const DOUBLE: Self = Self(1 << 4);
    /// No more retransmissions.
    pub(crate) const STOP_RETRANSMIT: Self = Self(1 << 5);
    /// Time out 64*T1 from now.
    pub(crate) const TIMEOUT_64_T1: Self = Self(1 << 6);
    /// Time out T4 from now.
    pub(crate) const TIMEOUT_T4: Self = Self(1 << 7);
    /// Time out by Timer D.
    pub(crate) const TIMEOUT_D: Self = Self(1 << 8);
    /// No time-out any more.
    pub(crate) const STOP_TIMEOUT: Self = Self(1 << 9);
    /// Answer the final response with an ACK of this hop (RFC 3261 §17.1.1.3).
    pub(crate) const ACK: Self = Self(1 << 10);
    /// Pass the message up to the proxy core.
    pub(crate) const PASS_UP: Self = Self(1 << 11);
    /// Tell the proxy core that this transaction failed.
    pub(crate) const FAIL: Self = Self(1 << 12);
    /// Retransmit every T2 (RFC 3261 §17.1.2.2: a provisional came).
    pub(crate) const SLOW: Self = Self(1 << 13);

    const NAMES: [&str; 14] = [
        "SEND",
        "STORE",
        "RESEND",
        "START_RETRANSMIT",
        "DOUBLE",
        "STOP_RETRANSMIT",
        "TIMEOUT_64_T1",
        "TIMEOUT_T4",
        "TIMEOUT_D",
        "STOP_TIMEOUT",
        "ACK",
        "PASS_UP",
        "FAIL",
        "SLOW",
    ];

    /// These and those.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `one` is among them.
    #[inline]
    pub(crate) const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

impl core::fmt::Debug for Actions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = (0..Self::NAMES.len()).filter(|bit| self.0 >> bit & 1 == 1).map(|bit| Self::NAMES[bit]);
        f.write_str(&names.collect::<Vec<_>>().join("|"))
    }
}

/// One cell of a table: the next state and what to do.
pub(crate) type Step<State> = Option<(State, Actions)>;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::fmt::Debug;

    pub(crate) const SERVER: [ServerEvent; SERVER_EVENTS] = [
        ServerEvent::Request,
        ServerEvent::Ack,
        ServerEvent::Provisional,
        ServerEvent::Success,
        ServerEvent::Failure,
        ServerEvent::Retransmit,
        ServerEvent::Timeout,
        ServerEvent::TransportError,
    ];
    pub(crate) const CLIENT: [ClientEvent; CLIENT_EVENTS] = [
        ClientEvent::Provisional,
        ClientEvent::Success,
        ClientEvent::Failure,
        ClientEvent::Retransmit,
        ClientEvent::Timeout,
        ClientEvent::TransportError,
    ];

    /// Every state × event that is expected, one per line.
    pub(crate) fn picture<S: Debug + Copy, E: Debug + Copy>(
        states: &[S],
        events: &[E],
        step: impl Fn(S, E) -> Step<S>,
    ) -> String {
        let cells = states.iter().flat_map(|state| events.iter().map(move |event| (*state, *event)));
        let lines = cells.filter_map(|(state, event)| {
            let (next, actions) = step(state, event)?;
            Some(format!("{state:?} {event:?} > {next:?} {actions:?}").trim_end().to_owned())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
