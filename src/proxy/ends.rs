//! What a keepalive, or somebody who asks, must know of both ends of a leg (RFC 3261 §12.1): names with tags, remote targets, route
//! sets, CSeq numbers.
//!
//! Kept only while keepalives or `dialog_details` are on: a record for each leg, its text in one buffer of the shard's pool, and a few
//! words for each dialog slot, beside the dialogs, which stay as small as they are. All of it is learnt from the INVITE as it was
//! sent and from its 2xx; a re-INVITE or UPDATE changes targets (§12.2.1.2), and requests that pass raise CSeq numbers.

use super::buffers::{Buffer, Buffers};
use super::settings::SocketId;
use super::slab::{Id, Slab};
use super::view::PartyView;
use crate::sip::{Message, Method, NameAddr, Scheme, Span, Uri, fields, header_is, push_number};
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

/// A part of the text of [`Ends`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    CallId,
    /// Its From or To value, tag included.
    Name(End),
    /// Its Contact URI; empty when it has said none that can be asked.
    Target(End),
    /// Route values on the way to it, with commas between.
    Routes(End),
}

impl Part {
    const COUNT: usize = 7;

    const fn place(self) -> usize {
        match self {
            Self::CallId => 0,
            Self::Name(end) => 1 + end as usize,
            Self::Target(end) => 3 + end as usize,
            Self::Routes(end) => 5 + end as usize,
        }
    }
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
    /// Where each part of the text ends.
    parts: [u32; Part::COUNT],
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
        let start = if at == 0 { 0 } else { self.parts[at - 1] };
        Span { start, end: self.parts[at] }
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

    /// Where a request to `end` goes first (RFC 3261 §12.2.1.1, §8.1.2); `None` when that is no address.
    pub(crate) fn next_hop(&self, end: End) -> Option<SocketAddr> {
        let (target, routes) = (self.part(Part::Target(end)), self.part(Part::Routes(end)));
        if target.is_empty() {
            return None;
        }
        let next = if routes.is_empty() { target } else { first_route(routes)?.of(routes) };
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
        let target = contact(message);
        if target.is_empty() || target == self.part(Part::Target(end)) {
            return true;
        }
        let (part, Some(old)) = (self.span(Part::Target(end)), self.text.take()) else { return true };
        scratch.clear();
        put(scratch, &[&old[..part.start as usize], target, &old[part.end as usize..]]);
        let replaced = buffers.replace(old, scratch);
        if replaced.is_ok() {
            let place = Part::Target(end).place();
            self.parts[place..].iter_mut().for_each(|end| *end = *end + target.len() as u32 - part.len() as u32);
        }
        let fits = replaced.is_ok();
        self.text = Some(replaced.unwrap_or_else(|old| old));
        fits
    }
}

/// What is kept for each dialog slot.
#[derive(Clone, Copy, Debug)]
struct Head {
    first: Option<Id>,
    /// Which of the dialogs that were in the slot.
    generation: u32,
    began_at: Instant,
    /// The hash of the caller's tag.
    caller: u32,
    /// The leg that requests before the 2xx were of, and the CSeq numbers that each end has seen in them.
    early: (u32, [u32; 2]),
}

const NO_HEAD: Head =
    Head { first: None, generation: 0, began_at: Instant::from_nanos(0), caller: 0, early: (0, [0; 2]) };

/// The ends of all legs of one shard. Empty, and without memory, while neither keepalives nor details are kept.
#[derive(Debug)]
pub(crate) struct EndsTable {
    slots: Slab<Ends>,
    heads: Vec<Head>,
    /// Keepalives that wait for their answers.
    pub(crate) unanswered: usize,
}

impl EndsTable {
    pub(crate) fn new(max: usize, first_generation: u32) -> Self {
        Self { slots: Slab::with_capacity_max(max, first_generation), heads: Vec::new(), unanswered: 0 }
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
            self.heads.resize(at + 1, NO_HEAD);
        }
        debug_assert!(self.heads[at].first.is_none(), "ends of a dialog that is gone");
        self.heads[at] = Head { generation: dialog.generation, began_at: now, caller, ..NO_HEAD };
    }

    /// When `dialog` began; none when nothing is kept of it.
    pub(crate) fn began_at(&self, dialog: Id) -> Option<Instant> {
        let head = self.heads.get(dialog.index as usize)?;
        (head.generation == dialog.generation && head.began_at != NO_HEAD.began_at).then_some(head.began_at)
    }

    /// The legs of `dialog` whose ends are known.
    pub(crate) fn of(&self, dialog: Id) -> SmallVec<[Id; 8]> {
        let first = self.heads.get(dialog.index as usize).and_then(|head| head.first);
        let next = |id: &Id| self.slots.get(*id).and_then(|ends| ends.next);
        let ids = core::iter::successors(first, next);
        ids.filter(|id| self.slots.get(*id).is_some_and(|ends| ends.dialog == dialog)).collect()
    }

    pub(crate) fn find(&self, dialog: Id, tag: u32) -> Option<Id> {
        self.of(dialog).into_iter().find(|id| self.slots.get(*id).is_some_and(|ends| ends.tag == tag))
    }

    /// Adds the leg, with the time of its 2xx, that `answer` confirms, with its INVITE as it was sent; `false` when there is no room for
    /// it. `sockets` face caller and destination.
    pub(crate) fn insert(
        &mut self,
        leg: (Instant, Id, u32),
        sockets: [SocketId; 2],
        (invite, answer): (&Message<'_>, &Message<'_>),
        scratch: &mut Vec<u8>,
        buffers: &mut Buffers,
    ) -> bool {
        let (answered_at, dialog, tag) = leg;
        let Some(head) = self.heads.get_mut(dialog.index as usize) else { return true };
        let early = if head.early.0 == tag { head.early.1 } else { [0; 2] };
        let seen = [early[0], early[1].max(invite.head.cseq_number)];
        let known =
            |end: End| Known { cseq: seen[end as usize], socket: sockets[end as usize], failures: 0, asked: false };
        let parts = write_parts(invite, answer, scratch);
        if self.slots.is_full() {
            return false;
        }
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

/// Writes the text of a leg; where its parts end.
fn write_parts(invite: &Message<'_>, answer: &Message<'_>, text: &mut Vec<u8>) -> [u32; Part::COUNT] {
    text.clear();
    let mut parts = [0; Part::COUNT];
    let mut at = 0;
    let mut end_part = |text: &Vec<u8>| {
        parts[at] = text.len() as u32;
        at += 1;
    };
    let names = [invite.text(invite.head.from.value), answer.text(answer.head.to.value)];
    for part in [invite.call_id(), names[0], names[1], contact(invite), contact(answer)] {
        text.extend_from_slice(part);
        end_part(text);
    }
    let (sent, got) = (record_routes(invite), record_routes(answer));
    // RFC 3261 §12.1.1: the caller is reached by what the INVITE brought, in its order; on top of it are our own values.
    let own = if sent.first().is_some_and(|value| has_param(value, b"r2")) { 2 } else { 1 };
    put_list(text, sent.iter().skip(own).copied());
    end_part(text);
    // RFC 3261 §12.1.2: the destination by what came on top of ours, in reverse order.
    put_list(text, got[..got.len().saturating_sub(sent.len())].iter().rev().copied());
    end_part(text);
    parts
}

fn put_list<'a>(text: &mut Vec<u8>, values: impl Iterator<Item = &'a [u8]>) {
    for (at, value) in values.enumerate() {
        put(text, &[if at == 0 { b"" } else { b", " }, value]);
    }
}

/// The values of all Record-Route headers, in order; those that cannot be read end the list.
fn record_routes<'a>(message: &Message<'a>) -> SmallVec<[&'a [u8]; 8]> {
    let mut values = SmallVec::new();
    for field in fields(message).filter(|field| header_is(message.text(field.name), b"record-route")) {
        let mut rest = Some(field.value);
        while let Some(value) = rest.and_then(|rest| NameAddr::parse(message.bytes, rest)) {
            values.push(message.text(value.value).trim_ascii());
            rest = value.next.map(|next| Span { start: next, end: field.value.end });
        }
    }
    values
}

fn has_param(value: &[u8], name: &[u8]) -> bool {
    let uri = first_route(value).and_then(|uri| Uri::parse(value, uri));
    uri.is_some_and(|uri| uri.has_param(value, name))
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

/// The URI of the Contact of `message`, when it is one that a request of ours can have; empty otherwise.
fn contact<'a>(message: &Message<'a>) -> &'a [u8] {
    let field = fields(message).find(|field| header_is(message.text(field.name), b"contact"));
    let value = field.and_then(|field| NameAddr::parse(message.bytes, field.value));
    let Some(uri) = value.map(|value| value.uri) else { return b"" };
    let parsed = Uri::parse(message.bytes, uri);
    // RFC 3261 §19.1.1: no headers in a Request-URI. Only UDP is there yet, and so no sips.
    let fits = parsed.is_some_and(|parsed| parsed.scheme == Scheme::Sip && !parsed.headers.is_set());
    let text = message.text(uri);
    if fits && text.iter().all(u8::is_ascii_graphic) { text } else { b"" }
}

#[cfg(test)]
#[path = "ends/tests.rs"]
mod tests;
