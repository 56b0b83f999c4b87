//! What a destination's own settings change in what it gets: the socket, the Request-URI, a header, the offer of overload control.

use crate::checks::{Checks, Context, Verdict, ensure};
use crate::lines::{all_values, first_line, server_key, text};
use crate::reporter::OFFER;
use siplane::dispatcher::{Destination, Table};
use siplane::proxy::{SocketId, Transmit};
use siplane::sip::scan;

/// Where a request within a call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Caller,
    Callee,
}

impl Checks {
    /// The destination of the published table that a new request goes to.
    pub(crate) fn target<'t>(
        &self,
        table: &'t Table,
        context: &Context,
        out: &Transmit<'_>,
    ) -> Option<&'t Destination> {
        let mut all = table.sets().iter().flat_map(|set| &set.destinations);
        all.find(|destination| context.is_new && destination.address == out.destination)
    }

    /// What is sent for `context` shows in Via that we have overload control only where it is a new request for a set with it.
    pub(crate) fn offers(&self, via: &str, target: Option<&Destination>) -> Verdict {
        // RFC 7339 §4.1, §5.1
        let wanted = target.is_some_and(|target| target.overload_control);
        let offered = via.contains(";oc");
        ensure(offered == wanted && (!wanted || via.ends_with(OFFER)), || {
            format!("{via} offers: {offered}, not {wanted}")
        })
    }

    /// RFC 3261 §16.6 item 2: the first line that a request of `context` has when it goes to `target`.
    pub(crate) fn first_line_for(&self, table: &Table, context: &Context, target: Option<&Destination>) -> Vec<u8> {
        let received = scan(&context.bytes);
        let was = first_line(&received).to_vec();
        let rewrites = |target: &&Destination| table.set(target.set).is_some_and(|set| set.rewrite_uri);
        let Some(target) = target.filter(rewrites) else { return was };
        let line = text(&was);
        let (start, rest) = line.split_once('@').expect("a user part");
        let (_, version) = rest.split_once(' ').expect("a version");
        format!("{start}@{} {version}", target.uri.trim_start_matches("sip:")).into_bytes()
    }

    /// The header lines that are put above those of the request.
    pub(crate) fn lines_for(&self, table: &Table, target: Option<&Destination>) -> Vec<u8> {
        let Some(target) = target.filter(|target| !target.attrs.is_empty()) else { return Vec::new() };
        let header = table.set(target.set).and_then(|set| set.attrs_header);
        header.map_or_else(Vec::new, |name| [name.as_bytes(), b": ", target.attrs.as_bytes(), b"\r\n"].concat())
    }

    /// The socket by which a new request leaves: the destination's own, else the one that it came in on, else one of its family.
    pub(crate) fn leaves_by(&self, context: &Context, target: &Destination, out: &Transmit<'_>) -> Verdict {
        let fits =
            |socket: &SocketId| self.listen[usize::from(socket.0)].address.is_ipv4() == out.destination.is_ipv4();
        let own = target.socket.map(SocketId).or(Some(context.socket)).filter(fits);
        let wanted = own.or_else(|| (0..self.listen.len() as u8).map(SocketId).find(fits));
        ensure(wanted == Some(out.socket), || format!("leaves by {:?}, not by {wanted:?}", out.socket))
    }

    /// Last-resort destinations are for requests that have no other target.
    pub(crate) fn last_resort_waits(&self, table: &Table, context: &Context, target: &Destination) -> Verdict {
        if !target.last_resort || self.table_changes || self.lapsed(context) {
            return Ok(());
        }
        let regular = |it: &&Destination| {
            !it.last_resort && table.states().is_available(it.state) && !self.ledger.is_limited(table, it)
        };
        let other = table.set(target.set).and_then(|set| set.destinations.iter().find(regular));
        ensure(other.is_none(), || format!("{} gets {} although {other:?} is there", target.uri, context.call_id))
    }

    /// A request within a call leaves by the socket of the side that it goes to (RFC 3261 §16.6 item 4, RFC 5658 §6).
    pub(crate) fn keeps_its_socket(&self, context: &Context, out: &Transmit<'_>) -> Verdict {
        let invites = self.calls_of(&context.call_id);
        let mut branches = invites.flat_map(|invite| &invite.branches).map(|branch| &self.branches[branch]);
        let from_callee = branches.any(|branch| branch.destination.ip() == context.source.ip());
        let side = if from_callee { Side::Caller } else { Side::Callee };
        ensure(self.has_socket(&context.call_id, side, out), || {
            format!("{} in {} leaves by {:?}", context.method, context.call_id, out.socket)
        })
    }

    /// Whatever belongs to a call is never held back, whoever is in overload, draining or gone.
    pub(crate) fn goes_on(&self, context: &Context) -> Verdict {
        let message = scan(&context.bytes);
        let via = all_values(&message, "via").swap_remove(0);
        // The ACK of a final response that we gave ends here (RFC 3261 §17.2.1).
        let key = server_key(&via, "INVITE");
        let was_ours = |life| self.contexts.contains_key(&format!("{key} in life {life}"));
        let is_hops = context.method == "ACK" && (self.contexts.contains_key(&key) || (0..self.life).any(was_ours));
        let no_answer = || context.final_sent.as_ref().is_some_and(|sent| sent.0 == 503) && self.lapsed(context);
        let no_room = context.refused || no_answer() || self.is_tight && context.said_before.is_some();
        let stays = context.is_new || context.method == "CANCEL" || is_hops || no_room;
        let sent = stays || !context.branches.is_empty();
        ensure(sent, || format!("{} in {} went nowhere", context.method, context.call_id))
    }

    /// RFC 3261 §16.10, §16.11: a CANCEL of nothing known goes on as often as it comes, and has no answer only when nothing answered it
    /// there.
    pub(crate) fn went_on_each_time(&self, context: &Context) -> bool {
        let branches = || context.branches.iter().map(|branch| &self.branches[branch]);
        let sends: usize = branches().map(|branch| branch.sends as usize).sum();
        sends == context.paths.len() && branches().all(|branch| branch.final_code.is_none())
    }

    /// Whether `out` leaves by the socket that its call has towards `side`.
    pub(crate) fn has_socket(&self, call_id: &str, side: Side, out: &Transmit<'_>) -> bool {
        let mut invites = self.calls_of(call_id);
        if side == Side::Caller {
            return invites.any(|invite| invite.socket == out.socket);
        }
        let mut branches = invites.flat_map(|invite| &invite.branches).map(|branch| &self.branches[branch]);
        branches.any(|branch| branch.destination.ip() == out.destination.ip() && branch.socket == out.socket)
    }

    /// The INVITEs that began this call.
    pub(crate) fn calls_of(&self, call_id: &str) -> impl Iterator<Item = &Context> {
        self.contexts.values().filter(move |c| c.call_id == call_id && c.is_new && c.method == "INVITE")
    }
}
