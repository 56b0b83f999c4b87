//! What a keepalive, or somebody who asks, must know of both ends of a leg (RFC 3261 §12.1): names with tags, remote targets, route
//! sets, CSeq numbers.
//!
//! Kept only while keepalives or `dialog_details` are on: a record for each leg, its text in one buffer of the shard's pool, and a few
//! words for each dialog slot, beside the dialogs, which stay as small as they are. All of it is copied from the INVITE as it was
//! received and from its 2xx; a re-INVITE or UPDATE changes targets (§12.2.1.2), and requests that pass raise CSeq numbers. What it
//! means is read when somebody asks: most calls end before anybody does.

use super::buffers::{Buffer, Buffers};
use super::memory::{Prepare, grow};
use super::settings::SocketId;
use super::slab::{Id, Slab};
use super::view::PartyView;
use crate::sip::{Message, Method, NameAddr, Scheme, Span, Uri, Way, push_number, route_values};
use crate::time::Instant;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// One end of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum End {
    /// Who sent the INVITE.
    Caller,
    /// Who answered it.
    Destination,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Caller, Self::Destination];

    const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Destination,
            Self::Destination => Self::Caller,
        }
    }
}

/// A part of the text of [`Ends`]: after the Call-ID what is of the caller, which all legs share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    CallId,
    /// Its From or To value, tag included.
    Name(End),
    /// Its Contact URI; empty when it has said none.
    Target(End),
    /// Route values on the way to it, with commas between.
    Routes(End),
}

impl Part {
    const COUNT: usize = 7;

    const fn place(self) -> usize {
        match self {
            Self::CallId => 0,
            Self::Name(end) => 1 + 3 * end as usize,
            Self::Target(end) => 2 + 3 * end as usize,
            Self::Routes(end) => 3 + 3 * end as usize,
        }
    }
}

/// Where each part of a text ends: it is no longer than a [`Buffer`] may be.
type PartEnds = [u16; Part::COUNT];

const fn span([start, end]: [u16; 2]) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// Where the caller of a new leg is learnt from.
pub(crate) enum CallerOf<'a> {
    /// The INVITE as it was received.
    Invite(&'a [u8]),
    /// That is gone: another leg of the dialog.
    Leg(Id),
}

/// What is known of one end beside its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The highest CSeq number of requests that it got from the other end; 0 when it got none.
    pub(crate) cseq: u32,
    /// The socket that faces it.
    pub(crate) socket: SocketId,
    /// Keepalives in a row that failed.
    pub(crate) failures: u8,
    /// A keepalive of ours waits for its answer.
    pub(crate) asked: bool,
}

/// Both ends of one leg of a dialog.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) dialog: Id,
    /// The hash of the far tag: which leg.
    pub(crate) tag: u32,
    /// When its 2xx came.
    pub(crate) answered_at: Instant,
    /// Somebody is hanging up: until then a failure means nothing.
    pub(crate) quiet_until: Instant,
    known: [Known; 2],
    /// Taken out only while it is replaced.
    text: Option<Buffer>,
    parts: PartEnds,
    next: Option<Id>,
}

impl Ends {
    pub(crate) const fn known(&self, end: End) -> &Known {
        &self.known[end as usize]
    }

    pub(crate) const fn known_mut(&mut self, end: End) -> &mut Known {
        &mut self.known[end as usize]
    }

    fn span(&self, part: Part) -> Span {
        let at = part.place();
        span([if at == 0 { 0 } else { self.parts[at - 1] }, self.parts[at]])
    }

    fn part(&self, part: Part) -> &[u8] {
        self.span(part).of(self.text.as_deref().unwrap_or_default())
    }

    pub(crate) fn call_id(&self) -> &[u8] {
        self.part(Part::CallId)
    }

    pub(crate) fn party(&self, end: End) -> PartyView<'_> {
        PartyView {
            name: self.part(Part::Name(end)),
            contact: self.part(Part::Target(end)),
            route_set: self.part(Part::Routes(end)),
            // What the other end has seen.
            cseq: self.known(end.other()).cseq,
            socket: self.known(end).socket,
        }
    }

    /// Where a request to `end` goes first (RFC 3261 §12.2.1.1, §8.1.2); `None` when that is no address, or its Contact none that a
    /// request of ours can have.
    pub(crate) fn next_hop(&self, end: End) -> Option<SocketAddr> {
        let (target, routes) = (self.part(Part::Target(end)), self.part(Part::Routes(end)));
        let uri = Uri::parse(target, Span::new(0, target.len()))?;
        // RFC 3261 §19.1.1: no headers in a Request-URI. Only UDP is there yet, and so no sips.
        if uri.scheme != Scheme::Sip || uri.headers.is_set() || !target.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        if routes.is_empty() {
            return uri.address(target);
        }
        let next = first_route(routes)?.of(routes);
        Uri::parse(next, Span::new(0, next.len()))?.address(next)
    }

    /// Appends a request to `end` as if from the other one (RFC 3261 §12.2.1.1); `via` is our whole Via line.
    pub(crate) fn write_request(&self, end: End, method: Method, cseq: u32, via: [&[u8]; 2], out: &mut Vec<u8>) {
        let name = method.name().as_bytes();
        let (target, routes) = (self.part(Part::Target(end)), self.part(Part::Routes(end)));
        let strict = first_route(routes).filter(|uri| !is_loose(routes, *uri));
        let uri = strict.map_or(target, |uri| uri.of(routes));
        put(out, &[name, b" ", uri, b" SIP/2.0\r\n", via[0], via[1], b"\r\nMax-Forwards: 70\r\n"]);
        match strict {
            // RFC 3261 §12.2.1.1: a strict router gets its own URI as Request-URI, and the target goes to the end of the route.
            Some(_) => {
                put(out, &[b"Route: "]);
                let rest = first_value(routes).and_then(|value| value.next).map(|next| &routes[next as usize..]);
                rest.into_iter().for_each(|rest| put(out, &[rest, b", "]));
                put(out, &[b"<", target, b">\r\n"]);
            }
            None if !routes.is_empty() => put(out, &[b"Route: ", routes, b"\r\n"]),
            None => {}
        }
        let names = [end.other(), end].map(|end| self.part(Part::Name(end)));
        put(
            out,
            &[b"From: ", names[0], b"\r\nTo: ", names[1], b"\r\nCall-ID: ", self.part(Part::CallId), b"\r\nCSeq: "],
        );
        push_number(cseq, out);
        put(out, &[b" ", name, b"\r\n"]);
        if method == Method::Options {
            // RFC 3261 §11.1
            put(out, &[b"Accept: application/sdp\r\n"]);
        }
        put(out, &[b"Content-Length: 0\r\n\r\n"]);
    }

    /// RFC 3261 §12.2.1.2: `end` is now reached at the Contact of `message`, if it has one. `false` when there is no room for it.
    fn set_target(&mut self, end: End, message: &Message<'_>, scratch: &mut Vec<u8>, buffers: &mut Buffers) -> bool {
        let target = Way::back(message.bytes).contact;
        if target.is_empty() || target == self.part(Part::Target(end)) {
            return true;
        }
        let (part, Some(old)) = (self.span(Part::Target(end)), self.text.take()) else { return true };
        scratch.clear();
        put(scratch, &[&old[..part.start as usize], target, &old[part.end as usize..]]);
        let replaced = buffers.replace(old, scratch);
        if replaced.is_ok() {
            let place = Part::Target(end).place();
            self.parts[place..].iter_mut().for_each(|end| *end = *end - part.len() as u16 + target.len() as u16);
        }
        let fits = replaced.is_ok();
        self.text = Some(replaced.unwrap_or_else(|old| old));
        fits
    }
}

/// What is kept for each dialog slot.
#[derive(Clone, Copy, Debug)]
struct First {
    first: Option<Id>,
    /// Which of the dialogs that were in the slot.
    generation: u32,
    began_at: Instant,
    /// The hash of the caller's tag.
    caller: u32,
    /// The leg that requests before the 2xx were of, and the CSeq numbers that each end has seen in them.
    early: (u32, [u32; 2]),
}

const NO_HEAD: First =
    First { first: None, generation: 0, began_at: Instant::from_nanos(0), caller: 0, early: (0, [0; 2]) };

/// The ends of all legs of one shard. Empty, and without memory, while neither keepalives nor details are kept.
#[derive(Debug)]
pub(crate) struct EndsTable {
    slots: Slab<Ends>,
    heads: Vec<First>,
    max: usize,
    prepare: Prepare,
    /// Keepalives that wait for their answers.
    pub(crate) unanswered: usize,
}

impl EndsTable {
    pub(crate) fn new(max: usize, first_generation: u32, prepare: Prepare) -> Self {
        let slots = Slab::with_capacity_max(max, first_generation).prepared_by(prepare);
        Self { slots, heads: Vec::new(), max, prepare, unanswered: 0 }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&Ends> {
        self.slots.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Ends> {
        self.slots.get_mut(id)
    }

    /// A dialog begins at `now` whose caller has this tag.
    pub(crate) fn open(&mut self, now: Instant, dialog: Id, caller: u32) {
        let at = dialog.index as usize;
        if self.heads.len() <= at {
            if self.heads.capacity() <= at {
                grow(&mut self.heads, self.max, self.prepare);
            }
            self.heads.resize(at + 1, NO_HEAD);
        }
        debug_assert!(self.heads[at].first.is_none(), "ends of a dialog that is gone");
        self.heads[at] = First { generation: dialog.generation, began_at: now, caller, ..NO_HEAD };
    }

    /// When `dialog` began; none when nothing is kept of it.
    pub(crate) fn began_at(&self, dialog: Id) -> Option<Instant> {
        let head = self.heads.get(dialog.index as usize)?;
        (head.generation == dialog.generation && head.began_at != NO_HEAD.began_at).then_some(head.began_at)
    }

    /// The legs of `dialog` whose ends are known.
    pub(crate) fn of(&self, dialog: Id) -> SmallVec<[Id; 8]> {
        self.legs(dialog).map(|(id, _)| id).collect()
    }

    fn legs(&self, dialog: Id) -> impl Iterator<Item = (Id, &Ends)> {
        let mut next = self.heads.get(dialog.index as usize).and_then(|head| head.first);
        let legs = core::iter::from_fn(move || {
            let id = next?;
            let ends = self.slots.get(id)?;
            next = ends.next;
            Some((id, ends))
        });
        legs.filter(move |(_, ends)| ends.dialog == dialog)
    }

    pub(crate) fn find(&self, dialog: Id, tag: u32) -> Option<Id> {
        self.legs(dialog).find(|(_, ends)| ends.tag == tag).map(|(id, _)| id)
    }

    /// Adds the leg, with the time of its 2xx, that `answer` confirms; `false` when there is no room for it. `sockets` face caller
    /// and destination.
    pub(crate) fn insert(
        &mut self,
        leg: (Instant, Id, u32),
        sockets: [SocketId; 2],
        (caller, answer): (CallerOf<'_>, &Message<'_>),
        scratch: &mut Vec<u8>,
        buffers: &mut Buffers,
    ) -> bool {
        let (answered_at, dialog, tag) = leg;
        if self.slots.is_full() {
            return false;
        }
        // RFC 3261 §16.6 item 4: where the sockets differ, our Record-Route has two values.
        let own = if sockets[0] == sockets[1] { 1 } else { 2 };
        let Some(parts) = self.write_text(caller, answer, own, scratch) else { return false };
        let Some(head) = self.heads.get_mut(dialog.index as usize) else { return true };
        let early = if head.early.0 == tag { head.early.1 } else { [0; 2] };
        // RFC 3261 §8.2.6.2: what the 2xx copied from the INVITE: CSeq, Call-ID and From.
        let seen = [early[0], early[1].max(answer.head.cseq_number)];
        let known =
            |end: End| Known { cseq: seen[end as usize], socket: sockets[end as usize], failures: 0, asked: false };
        let Some(text) = buffers.store(scratch) else { return false };
        let ends = Ends {
            dialog,
            tag,
            answered_at,
            quiet_until: Instant::from_nanos(0),
            known: End::BOTH.map(known),
            text: Some(text),
            parts,
            next: head.first,
        };
        head.first = self.slots.insert(ends);
        true
    }

    /// Writes the text of a leg; where its parts end. `None` when it cannot be known or is too long to be kept. `own`: how many values
    /// our Record-Route had.
    fn write_text(
        &self,
        caller: CallerOf<'_>,
        answer: &Message<'_>,
        own: usize,
        text: &mut Vec<u8>,
    ) -> Option<PartEnds> {
        const SHARED: usize = Part::Routes(End::Caller).place() + 1;
        text.clear();
        let mut parts = [0; Part::COUNT];
        let below = match caller {
            CallerOf::Invite(invite) => {
                let way = Way::back(invite);
                let plain = [answer.call_id(), answer.text(answer.head.from.value), way.contact];
                // RFC 3261 §12.1.1: the caller is reached by what the INVITE brought, in its order.
                put_parts(text, &mut parts[..SHARED], plain, way.record_routes.iter().copied());
                way.record_routes.len()
            }
            CallerOf::Leg(leg) => {
                let leg = self.slots.get(leg)?;
                let shared = leg.text.as_deref()?.get(..leg.parts[SHARED - 1].into())?;
                text.extend_from_slice(shared);
                parts[..SHARED].copy_from_slice(&leg.parts[..SHARED]);
                let routes = leg.part(Part::Routes(End::Caller));
                route_values(routes, Span::new(0, routes.len())).count()
            }
        };
        let Way { contact, record_routes: routes, .. } = Way::back(answer.bytes);
        let plain = [answer.text(answer.head.to.value), contact];
        // RFC 3261 §12.1.2: the destination by what came on top of ours, in reverse order.
        let above = routes.len().saturating_sub(own + below);
        put_parts(text, &mut parts[SHARED..], plain, routes[..above].iter().rev().copied());
        (text.len() <= u16::MAX.into()).then_some(parts)
    }

    /// Lets go of the legs of `dialog` that do not live.
    pub(crate) fn retain(&mut self, dialog: Id, lives: impl Fn(u32) -> bool, buffers: &mut Buffers) {
        let mut kept = None;
        for id in self.of(dialog) {
            let Some(ends) = self.slots.get_mut(id) else { continue };
            if lives(ends.tag) {
                ends.next = kept;
                kept = Some(id);
            } else if let Some(text) = self.slots.remove(id).and_then(|ends| ends.text) {
                buffers.give(text);
            }
        }
        if let Some(head) = self.heads.get_mut(dialog.index as usize) {
            head.first = kept;
        }
    }

    /// Which leg a request with these tags is of, and which end gets it.
    fn direction(&self, dialog: Id, from: u32, to: u32) -> (u32, End) {
        let caller = self.heads.get(dialog.index as usize).map(|head| head.caller);
        if caller == Some(from) { (to, End::Destination) } else { (from, End::Caller) }
    }

    /// A request with these tags and this CSeq number passes (RFC 3261 §12.2.2).
    pub(crate) fn passes(&mut self, dialog: Id, [from, to]: [u32; 2], cseq: u32, quiet_until: Option<Instant>) {
        let (tag, end) = self.direction(dialog, from, to);
        if let Some(ends) = self.find(dialog, tag).and_then(|id| self.slots.get_mut(id)) {
            ends.known[end as usize].cseq = ends.known[end as usize].cseq.max(cseq);
            ends.quiet_until = quiet_until.unwrap_or(ends.quiet_until);
        } else if let Some(head) = self.heads.get_mut(dialog.index as usize) {
            if head.early.0 != tag {
                head.early = (tag, [0; 2]);
            }
            head.early.1[end as usize] = head.early.1[end as usize].max(cseq);
        }
    }

    /// RFC 3261 §12.2.1.2, §12.2.2: `request`, with these tags, got the 2xx `answer`: each end may be at another target now.
    /// `false` when there is no room for one.
    pub(crate) fn refresh(
        &mut self,
        dialog: Id,
        [from, to]: [u32; 2],
        (request, answer): (&Message<'_>, &Message<'_>),
        scratch: &mut Vec<u8>,
        buffers: &mut Buffers,
    ) -> bool {
        let (tag, end) = self.direction(dialog, from, to);
        let Some(ends) = self.find(dialog, tag).and_then(|id| self.slots.get_mut(id)) else { return true };
        ends.set_target(end.other(), request, scratch, buffers) & ends.set_target(end, answer, scratch, buffers)
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends the plain parts, and as the last one the routes with commas between; `ends` get where each ends.
fn put_parts<'a, const N: usize>(
    text: &mut Vec<u8>,
    ends: &mut [u16],
    plain: [&[u8]; N],
    routes: impl Iterator<Item = &'a [u8]>,
) {
    for (part, end) in plain.into_iter().zip(&mut *ends) {
        text.extend_from_slice(part);
        *end = text.len() as u16;
    }
    for (at, value) in routes.enumerate() {
        put(text, &[if at == 0 { b"" } else { b", " }, value]);
    }
    ends[N] = text.len() as u16;
}

fn first_value(routes: &[u8]) -> Option<NameAddr> {
    NameAddr::parse(routes, Span::new(0, routes.len()))
}

/// The URI of the first value of a route set.
fn first_route(routes: &[u8]) -> Option<Span> {
    first_value(routes).map(|value| value.uri)
}

fn is_loose(routes: &[u8], uri: Span) -> bool {
    Uri::parse(routes, uri).is_some_and(|uri| uri.has_param(routes, b"lr"))
}

#[cfg(test)]
#[path = "ends/tests.rs"]
mod tests;
