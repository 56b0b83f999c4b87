//! Several branches at once: which targets get a request now, and how far each branch may fork on.
//!
//! A set of `parallel` has up to `branches_max` branches of a request running (RFC 3261 §16.6: a proxy may forward to its whole target
//! set at once), every other set one; the targets behind them come in one for one as branches fail. The branches that run share
//! the request's Max-Breadth (RFC 5393 §5.3.3): what has ended, or was given up without a sign of life, leaves its share to
//! the next one. A request with too little for all begins with fewer, and goes on from target to target.
//!
//! The branches of a request are a list that runs through their client transactions: as many as there may be, in no memory of its own.

use super::entry::Client;
use super::forward::breadth_of;
use super::request::Incoming;
use super::route::Plan;
use super::slab::{Id, Slab};
use super::{Proxy, Turn};

/// The end of a list.
const NONE: u32 = u32::MAX;

/// A place in the list of a request's branches: the slot of a live client transaction, or the end.
///
/// Who is in the list is alive: [`Proxy::remove_client`] takes it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link(u32);

impl Link {
    /// The end; at the start of a list: it is empty.
    pub(crate) const END: Self = Self(NONE);

    /// To a branch that is alive.
    pub(crate) const fn to(id: Id) -> Self {
        Self(id.index)
    }

    pub(crate) const fn is_end(self) -> bool {
        self.0 == NONE
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::END
    }
}

impl Proxy {
    /// [`Proxy::start_targets`] for a new request of a set that has several branches at once.
    #[cold]
    pub(super) fn fork(&mut self, turn: &mut Turn<'_>, server: Id, incoming: &Incoming<'_>, plan: &Plan) {
        if !self.start_targets(turn, server, incoming, plan, None) {
            self.advance(turn, server, true);
        }
    }

    /// Starts a branch to each of the next targets while more may run; whether any was started. `leaving`: a branch that is given
    /// up for it, and counts as gone.
    pub(super) fn start_targets(
        &mut self,
        turn: &mut Turn<'_>,
        server: Id,
        incoming: &Incoming<'_>,
        plan: &Plan,
        leaving: Option<Id>,
    ) -> bool {
        let mut started = 0;
        while let Some(breadth) = self.share(turn, server, incoming, leaving)
            && let Some(hop) = self.next_target(turn, server, breadth)
        {
            started += u64::from(self.start_branch(turn, server, incoming, plan, hop).is_ok());
        }
        self.stats.forks += started.saturating_sub(1);
        started > 0
    }

    /// RFC 5393 §5.3.3: the Max-Breadth of the next branch: an even part of what the running ones leave of the request's own; none
    /// when no further one may run.
    fn share(&self, turn: &Turn<'_>, server: Id, incoming: &Incoming<'_>, leaving: Option<Id>) -> Option<u8> {
        let at_once = self.set_of(turn, server).map_or(1, |set| set.branches_max);
        let context = &self.servers.get(server)?.context;
        let (mut running, mut left) = (0_u8, breadth_of(incoming.message));
        let mut next = context.branches;
        while let Some((id, client)) = at(&self.clients, next) {
            if client.is_pending && Some(id) != leaving {
                running += 1;
                left = left.saturating_sub(client.breadth);
            }
            next = client.next_branch;
        }
        let targets = (context.targets.len() as u8).saturating_sub(context.tried);
        let places = at_once.saturating_sub(running).min(targets).min(left);
        (places > 0).then(|| left / places)
    }

    /// How many branches of `server` may still bring its final response, but for the one that is `leaving`.
    pub(super) fn pending_beside(&self, server: Id, leaving: Option<Id>) -> u8 {
        let leaves = leaving.and_then(|id| self.clients.get(id)).is_some_and(|client| client.is_pending);
        let pending = self.servers.get(server).map_or(0, |server| server.context.pending);
        pending.saturating_sub(u8::from(leaves))
    }

    /// The branch at `link`, and the link to the one behind it.
    pub(super) fn branch_at(&self, link: Link) -> Option<(Id, Link)> {
        at(&self.clients, link).map(|(id, client)| (id, client.next_branch))
    }

    /// The branches of `server`, oldest first.
    pub(super) fn branches_of(&self, server: Id) -> impl Iterator<Item = &Client> {
        let mut next = self.servers.get(server).map_or(Link::END, |server| server.context.branches);
        core::iter::from_fn(move || {
            let (_, client) = at(&self.clients, next)?;
            next = client.next_branch;
            Some(client)
        })
    }

    /// Puts branch `id` at the end of the list of `server`, which has others.
    #[cold]
    pub(super) fn link_branch(&mut self, server: Id, id: Id) {
        let Some(mut last) = self.servers.get(server).map(|server| server.context.branches) else { return };
        while let Some((_, client)) = at(&self.clients, last)
            && !client.next_branch.is_end()
        {
            last = client.next_branch;
        }
        self.relink(last, Link::to(id));
    }

    /// Takes branch `id`, which is gone and had `behind` behind it, out of the list of `server`.
    pub(super) fn unlink_branch(&mut self, server: Id, id: Id, behind: Link) {
        let Some(context) = self.servers.get_mut(server).map(|server| &mut server.context) else { return };
        if context.branches == Link::to(id) {
            context.branches = behind;
            return;
        }
        let mut before = context.branches;
        while let Some((_, client)) = at(&self.clients, before) {
            if client.next_branch == Link::to(id) {
                return self.relink(before, behind);
            }
            before = client.next_branch;
        }
    }

    fn relink(&mut self, place: Link, next: Link) {
        let id = self.clients.id_at(place.0);
        if let Some(client) = id.and_then(|id| self.clients.get_mut(id)) {
            client.next_branch = next;
        }
    }
}

fn at(clients: &Slab<Client>, link: Link) -> Option<(Id, &Client)> {
    let id = clients.id_at(link.0)?;
    clients.get(id).map(|client| (id, client))
}
