//! What the tables of a shard hold: server transactions with their response contexts, and client transactions.

use super::buffers::Buffer;
use super::deadlines::Deadlines;
use super::ends::End;
use super::fork::Link;
use super::settings::SocketId;
use super::slab::Id;
use super::transaction::{
    Actions, ClientEvent, ServerEvent, invite_client, invite_server, non_invite_client, non_invite_server,
};
use crate::dispatcher::{DestinationId, LoadToken, SetId, Targets};
use crate::sip::{Method, Status};
use crate::time::Instant;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// The state of a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerMachine {
    Invite(invite_server::State),
    NonInvite(non_invite_server::State),
}

impl ServerMachine {
    /// Takes the step that the tables say; `None`, and no change, when the event is not expected.
    pub(crate) fn step(&mut self, event: ServerEvent) -> Option<Actions> {
        let (next, actions) = match *self {
            Self::Invite(state) => {
                invite_server::step(state, event).map(|(next, actions)| (Self::Invite(next), actions))
            }
            Self::NonInvite(state) => {
                non_invite_server::step(state, event).map(|(next, actions)| (Self::NonInvite(next), actions))
            }
        }?;
        *self = next;
        Some(actions)
    }

    pub(crate) const fn is_invite(self) -> bool {
        matches!(self, Self::Invite(_))
    }

    pub(crate) const fn is_terminated(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_server::State::Terminated) | Self::NonInvite(non_invite_server::State::Terminated)
        )
    }

    /// Whether the caller has acknowledged a final response other than 2xx, or does not wait any more: it takes no 2xx then.
    pub(crate) const fn takes_no_success(self) -> bool {
        matches!(self, Self::Invite(invite_server::State::Confirmed | invite_server::State::Terminated))
    }

    /// Whether its final response may have to be sent again. After a 2xx to an INVITE, or the ACK, it never is (RFC 6026 §7.1).
    pub(crate) const fn repeats(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_server::State::Completed) | Self::NonInvite(non_invite_server::State::Completed)
        )
    }

    /// Whether no final response was sent yet.
    pub(crate) const fn is_unanswered(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_server::State::Proceeding)
                | Self::NonInvite(non_invite_server::State::Trying | non_invite_server::State::Proceeding)
        )
    }
}

/// The state of a client transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientMachine {
    Invite(invite_client::State),
    NonInvite(non_invite_client::State),
}

impl ClientMachine {
    /// Takes the step that the tables say; `None`, and no change, when the event is not expected.
    pub(crate) fn step(&mut self, event: ClientEvent) -> Option<Actions> {
        let (next, actions) = match *self {
            Self::Invite(state) => {
                invite_client::step(state, event).map(|(next, actions)| (Self::Invite(next), actions))
            }
            Self::NonInvite(state) => {
                non_invite_client::step(state, event).map(|(next, actions)| (Self::NonInvite(next), actions))
            }
        }?;
        *self = next;
        Some(actions)
    }

    pub(crate) const fn is_invite(self) -> bool {
        matches!(self, Self::Invite(_))
    }

    pub(crate) const fn is_terminated(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_client::State::Terminated) | Self::NonInvite(non_invite_client::State::Terminated)
        )
    }

    /// Whether it has a 2xx to an INVITE, or any final response to another request: what was sent is never sent again, acknowledged
    /// or cancelled (RFC 6026 §7.2, RFC 3261 §17.1.2.2).
    pub(crate) const fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_client::State::Accepted) | Self::NonInvite(non_invite_client::State::Completed)
        )
    }

    /// Whether a provisional came and no final yet: what a CANCEL may be sent for (RFC 3261 §9.1).
    pub(crate) const fn is_proceeding(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_client::State::Proceeding) | Self::NonInvite(non_invite_client::State::Proceeding)
        )
    }

    /// Whether no response at all came yet.
    pub(crate) const fn is_unheard(self) -> bool {
        matches!(self, Self::Invite(invite_client::State::Calling) | Self::NonInvite(non_invite_client::State::Trying))
    }

    /// Whether no final response came yet.
    pub(crate) const fn is_unanswered(self) -> bool {
        self.is_proceeding() || self.is_unheard()
    }
}

/// A server transaction and what the proxy core knows of its request.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) machine: ServerMachine,
    /// Its place in the index.
    pub(crate) key: u64,
    /// The request as received. Gone for a moment while it is worked on.
    pub(crate) request: Option<Buffer>,
    /// The last response sent, for retransmission.
    pub(crate) response: Option<Buffer>,
    /// Where the request came from.
    pub(crate) source: SocketAddr,
    /// Where responses go.
    pub(crate) reply_to: SocketAddr,
    /// The socket that the request came in on; responses leave by it (RFC 3581 §4).
    pub(crate) socket: SocketId,
    pub(crate) deadlines: Deadlines,
    pub(crate) context: ResponseContext,
}

/// RFC 3261 §16.6, §16.7: the branches of one request and the best response so far.
#[derive(Debug, Default)]
pub(crate) struct ResponseContext {
    /// The set that its targets are of; `None` when its Route or Request-URI said where it goes.
    pub(crate) set: Option<SetId>,
    /// The rule that named its first set; [`super::rules::DEFAULT_SET`] when none did.
    pub(crate) rule: u16,
    /// How many sets of the fallback chain it has entered.
    pub(crate) sets: u8,
    /// The target set, in order.
    pub(crate) targets: Targets,
    /// How many of them were tried or passed over.
    pub(crate) tried: u8,
    /// Which of them got the request, one bit for each place.
    pub(crate) sent: u32,
    /// Targets of earlier sets of the chain that got the request.
    pub(crate) sent_before: SmallVec<[DestinationId; 4]>,
    /// Client transactions that exist, oldest first.
    pub(crate) branches: Link,
    /// How many of them may still bring the final response.
    pub(crate) pending: u8,
    /// The best final response so far (RFC 3261 §16.7 item 6), as received.
    pub(crate) best: Option<(Status, Buffer)>,
    /// Challenges of 401 and 407 responses that are not the best one (RFC 3261 §16.7 item 7): raw header lines.
    pub(crate) challenges: Option<Buffer>,
    /// A branch gave nothing at all.
    pub(crate) timed_out: bool,
    /// A branch could not be sent.
    pub(crate) unreachable: bool,
    /// A target had no room for another call, or we had none for the branch of a request without a set.
    pub(crate) no_room: bool,
    /// The caller sent CANCEL.
    pub(crate) cancelled: bool,
    /// No new branches: a 6xx came (RFC 3261 §16.7 item 5), or Timer C fired.
    pub(crate) gives_up: bool,
    /// No new branches, but what runs is waited for: a branch got a final response that does not send the request on.
    pub(crate) decided: bool,
    /// Any final response was passed on.
    pub(crate) answered: bool,
    /// The dialog that this INVITE began.
    pub(crate) dialog: Option<Id>,
    /// The dialog, and the hash of the far tag, that this BYE ends.
    pub(crate) ends: Option<(Id, u32)>,
    /// The dialog whose session timer a 2xx to this re-INVITE or UPDATE sets anew (RFC 4028).
    pub(crate) refreshes: Option<Id>,
    /// An initial INVITE that was dispatched: it counts as a call.
    pub(crate) is_call: bool,
}

/// What a client transaction is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A branch of its server transaction's request.
    Branch,
    /// The CANCEL of this branch.
    Cancel(Id),
    /// A keepalive of this leg, to this end of it.
    Keepalive(Id, End),
    /// A BYE of our own.
    Bye,
}

/// Whether a branch is to be cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cancel {
    No,
    /// As soon as a provisional response comes (RFC 3261 §9.1).
    Wanted,
    /// It was sent, by a client transaction of its own when there was room for one.
    Sent(Option<Id>),
}

/// A client transaction: one branch, or the CANCEL of one.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) machine: ClientMachine,
    /// Of its request; what [`Method::Other`] is called only the request says.
    pub(crate) method: Method,
    pub(crate) purpose: Purpose,
    /// The server transaction that it serves; nobody's when it is our own request.
    pub(crate) server: Id,
    /// Where it was sent.
    pub(crate) address: SocketAddr,
    /// By which socket.
    pub(crate) socket: SocketId,
    /// What was sent.
    pub(crate) sent: Option<Buffer>,
    /// The destination, when the dispatcher chose it.
    pub(crate) destination: Option<DestinationId>,
    /// The call load that this branch puts on its destination.
    pub(crate) token: Option<LoadToken>,
    pub(crate) cancel: Cancel,
    /// Whether its final response is still waited for before the context may go on: not after it was given up.
    pub(crate) is_pending: bool,
    /// Whether it offers overload control, so that its responses may report overload (RFC 7339).
    pub(crate) overload_control: bool,
    /// The Max-Breadth that it was sent with (RFC 5393 §5.3.3).
    pub(crate) breadth: u8,
    /// The next branch of its server transaction.
    pub(crate) next_branch: Link,
    /// When it was sent first.
    pub(crate) sent_at: Instant,
    pub(crate) deadlines: Deadlines,
}
