//! What may be looked at from beside the call path: views of slots, by ranges of their tables, so that whoever looks can go on later
//! from where it stopped. Nothing here changes anything or allocates.

use super::Proxy;
use super::dialog::{Dialog, Leg, State};
use super::ends::{End, Ends};
use super::entry::{Client, Server};
use super::settings::SocketId;
use super::slab::Id;
use crate::dispatcher::{DestinationId, LoadToken, StateIndex};
use crate::time::Instant;
use core::ops::Range;
use std::net::SocketAddr;

/// Where a dialog stands (RFC 3261 §12), in the steps that Kamailio tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialogStage {
    /// Its INVITE has no answer yet but our own 100.
    Unanswered,
    /// A provisional answer was passed on.
    Early,
    /// A 2xx was passed on, whose ACK has not passed yet.
    Unacknowledged,
    /// The ACK has passed.
    Confirmed,
    /// It is over; its slot stays while the INVITE may bring more 2xx.
    Terminated,
}

/// One dialog.
#[derive(Clone, Copy, Debug)]
pub struct DialogView<'a> {
    proxy: &'a Proxy,
    id: Id,
    dialog: &'a Dialog,
}

/// The INVITE that began a dialog, as received.
#[derive(Clone, Copy, Debug)]
pub struct InviteView<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub source: SocketAddr,
    /// By which socket.
    pub socket: SocketId,
}

/// One leg of a dialog: a 2xx.
#[derive(Clone, Copy, Debug)]
pub struct LegView<'a> {
    leg: &'a Leg,
    ends: Option<&'a Ends>,
}

/// What is kept of the two ends of a leg.
#[derive(Clone, Copy, Debug)]
pub struct EndsView<'a>(&'a Ends);

/// What is kept of one end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartyView<'a> {
    /// The value of From or To: name, URI and tag.
    pub name: &'a [u8],
    /// The URI of its Contact; empty without one.
    pub contact: &'a [u8],
    /// Route values on the way to it.
    pub route_set: &'a [u8],
    /// The highest CSeq number of its requests; 0 when it has sent none.
    pub cseq: u32,
    /// The socket that faces it.
    pub socket: SocketId,
}

/// A branch that holds load of a destination.
#[derive(Clone, Copy, Debug)]
pub struct BranchView<'a> {
    slot: u32,
    client: &'a Client,
    state: StateIndex,
}

/// One server transaction.
#[derive(Clone, Copy, Debug)]
pub struct TransactionView<'a> {
    /// Slot and generation.
    pub slot: u32,
    /// See [`TransactionView::slot`].
    pub generation: u32,
    /// Branches that exist.
    pub branches: usize,
    server: &'a Server,
}

impl<'a> DialogView<'a> {
    /// Its slot.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.id.index
    }

    /// Which of the dialogs that were in the slot.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.id.generation
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> DialogStage {
        match self.dialog.state {
            State::Early if self.server().is_some_and(|server| server.response.is_some()) => DialogStage::Early,
            State::Early => DialogStage::Unanswered,
            State::Confirmed if self.dialog.legs.iter().any(|leg| leg.acked && !leg.ended) => DialogStage::Confirmed,
            State::Confirmed => DialogStage::Unacknowledged,
            State::Terminated => DialogStage::Terminated,
        }
    }

    /// When its INVITE came; of an answered one only kept with the details ([`super::Settings::dialog_details`]).
    #[must_use]
    pub fn began_at(&self) -> Option<Instant> {
        self.proxy.ends.began_at(self.id).or_else(|| {
            let early_ns = self.proxy.settings.dialog.early.as_nanos() as u64;
            let expires_ns = self.dialog.deadlines.timeout_at.as_nanos();
            (self.dialog.state == State::Early).then(|| Instant::from_nanos(expires_ns.saturating_sub(early_ns)))
        })
    }

    /// When it is forgotten without further news; none when it has ended.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        (self.dialog.state != State::Terminated).then_some(self.dialog.deadlines.timeout_at)
    }

    /// Its INVITE, while that has no final answer.
    #[must_use]
    pub fn invite(&self) -> Option<InviteView<'a>> {
        let server = self.server()?;
        let Server { source, socket, .. } = *server;
        Some(InviteView { bytes: server.request.as_deref()?, source, socket })
    }

    /// Its legs, in the order of their 2xx.
    pub fn legs(&self) -> impl Iterator<Item = LegView<'a>> + use<'a> {
        let (proxy, id) = (self.proxy, self.id);
        self.dialog.legs.iter().map(move |leg| {
            let ends = proxy.ends.find(id, leg.tag).and_then(|id| proxy.ends.get(id));
            LegView { leg, ends }
        })
    }

    /// The destination that its INVITE went to last, while it has no 2xx.
    #[must_use]
    pub fn ringing_at(&self) -> Option<DestinationId> {
        self.proxy.branches_of(self.dialog.transaction?).last().and_then(|client| client.destination)
    }

    fn server(&self) -> Option<&'a Server> {
        self.proxy.servers.get(self.dialog.transaction?)
    }
}

impl<'a> LegView<'a> {
    /// Whose load it holds.
    #[must_use]
    pub fn state(&self) -> Option<StateIndex> {
        self.leg.token.as_ref().map(LoadToken::state)
    }

    /// Whether its ACK has passed.
    #[must_use]
    pub const fn is_acked(&self) -> bool {
        self.leg.acked
    }

    /// Whether it is over.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.leg.ended
    }

    /// What is kept of its ends, with [`super::Settings::dialog_details`] or keepalives.
    #[must_use]
    pub fn ends(&self) -> Option<EndsView<'a>> {
        self.ends.map(EndsView)
    }
}

impl<'a> EndsView<'a> {
    /// When its 2xx came.
    #[must_use]
    pub const fn answered_at(&self) -> Instant {
        self.0.answered_at
    }

    /// Its Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        self.0.call_id()
    }

    /// Who sent the INVITE.
    #[must_use]
    pub fn caller(&self) -> PartyView<'a> {
        self.0.party(End::Caller)
    }

    /// Who answered it.
    #[must_use]
    pub fn callee(&self) -> PartyView<'a> {
        self.0.party(End::Destination)
    }
}

impl<'a> BranchView<'a> {
    /// Its slot.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Whose load it holds.
    #[must_use]
    pub const fn state(&self) -> StateIndex {
        self.state
    }

    /// When it was sent.
    #[must_use]
    pub const fn sent_at(&self) -> Instant {
        self.client.sent_at
    }

    /// Whether any answer came, 100 included.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        !self.client.machine.is_unheard()
    }

    /// Its INVITE as it was sent.
    #[must_use]
    pub fn invite(&self) -> &'a [u8] {
        self.client.sent.as_deref().unwrap_or_default()
    }
}

impl<'a> TransactionView<'a> {
    /// Whether it is of an INVITE.
    #[must_use]
    pub const fn is_invite(&self) -> bool {
        self.server.machine.is_invite()
    }

    /// Whether it has no final answer yet.
    #[must_use]
    pub const fn is_unanswered(&self) -> bool {
        self.server.machine.is_unanswered()
    }

    /// Its request as received; none when that is not needed any more: it has its final answer.
    #[must_use]
    pub fn request(&self) -> Option<&'a [u8]> {
        self.server.request.as_deref()
    }

    /// Where it came from.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        self.server.source
    }
}

impl Proxy {
    /// Dialog slots that there are, vacant ones included: where a range ends.
    #[must_use]
    pub fn dialog_slots(&self) -> u32 {
        self.dialogs.places()
    }

    /// The dialogs in these slots.
    pub fn dialogs_in(&self, slots: Range<u32>) -> impl Iterator<Item = DialogView<'_>> {
        self.dialogs.range(slots).map(|(id, dialog)| DialogView { proxy: self, id, dialog })
    }

    /// Slots of client transactions that there are.
    #[must_use]
    pub fn branch_slots(&self) -> u32 {
        self.clients.places()
    }

    /// The branches in these slots that hold load.
    pub fn branches_in(&self, slots: Range<u32>) -> impl Iterator<Item = BranchView<'_>> {
        self.clients.range(slots).filter_map(|(Id { index: slot, .. }, client)| {
            let state = client.token.as_ref()?.state();
            Some(BranchView { slot, client, state })
        })
    }

    /// Slots of server transactions that there are.
    #[must_use]
    pub fn transaction_slots(&self) -> u32 {
        self.servers.places()
    }

    /// The server transactions in these slots.
    pub fn transactions_in(&self, slots: Range<u32>) -> impl Iterator<Item = TransactionView<'_>> {
        self.servers.range(slots).map(|(Id { index: slot, generation }, server)| {
            let branches = self.branches_of(Id { index: slot, generation }).count();
            TransactionView { slot, generation, branches, server }
        })
    }
}
