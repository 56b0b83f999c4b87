//! What is copied of a dialog on its shard, and how it is shown: Kamailio's fields, as far as they are known.

use super::{Control, Value};
use crate::dispatcher::{DestinationId, StateIndex};
use crate::proxy::{DialogStage, DialogView, EndsView, InviteView, PartyView, Proxy, SocketId};
use crate::sip::{NameAddr, Span, fields, find_call_id, header_is, scan};
use crate::time::Instant;
use core::ops::Range;

/// What is said in the place of what is not kept.
const DETAILS_OFF: &str = "off: [dialog] details = true keeps Call-ID, URIs, tags and times of answered calls";

/// One dialog.
#[derive(Clone, Debug)]
pub(super) struct DialogRow {
    slot: u32,
    generation: u32,
    stage: DialogStage,
    began_at: Option<Instant>,
    answered_at: Option<Instant>,
    expires_at: Option<Instant>,
    /// Whose load its legs hold.
    states: Vec<StateIndex>,
    ringing_at: Option<DestinationId>,
    legs: usize,
    source: Source,
}

/// Where its text comes from.
#[derive(Clone, Debug)]
enum Source {
    /// The INVITE, by this socket.
    Invite(Vec<u8>, SocketId),
    /// The Call-ID, and caller and callee.
    Ends(Vec<u8>, [Party; 2]),
    /// Nothing is kept.
    Nothing,
}

/// One end, copied.
#[derive(Clone, Debug, Default)]
struct Party {
    name: Vec<u8>,
    contact: Vec<u8>,
    route_set: Vec<u8>,
    cseq: u32,
    socket: Option<SocketId>,
}

/// The dialogs in these slots.
pub(super) fn dialog_rows(proxy: &Proxy, slots: Range<u32>) -> Vec<DialogRow> {
    proxy.dialogs_in(slots).map(|dialog| DialogRow::copy(&dialog)).collect()
}

/// Those of them that have this Call-ID, as far as it is kept.
pub(super) fn dialogs_of(proxy: &Proxy, slots: Range<u32>, call_id: &[u8]) -> Vec<DialogRow> {
    let is_it = |dialog: &DialogView<'_>| {
        let answered = dialog.legs().find_map(|leg| leg.ends()).map(|ends| ends.call_id() == call_id);
        let ringing = || dialog.invite().is_some_and(|invite| find_call_id(invite.bytes) == Some(call_id));
        answered.unwrap_or_else(ringing)
    };
    proxy.dialogs_in(slots).filter(is_it).map(|dialog| DialogRow::copy(&dialog)).collect()
}

impl DialogRow {
    fn copy(dialog: &DialogView<'_>) -> Self {
        // Of several legs the first that goes on is shown.
        let ends = dialog.legs().filter(|leg| !leg.has_ended()).find_map(|leg| leg.ends());
        Self {
            slot: dialog.slot(),
            generation: dialog.generation(),
            stage: dialog.stage(),
            began_at: dialog.began_at(),
            answered_at: ends.map(|ends| ends.answered_at()),
            expires_at: dialog.expires_at(),
            states: dialog.legs().filter_map(|leg| leg.state()).collect(),
            ringing_at: dialog.ringing_at(),
            legs: dialog.legs().filter(|leg| !leg.has_ended()).count(),
            source: Source::copy(ends, dialog.invite()),
        }
    }

    /// The element of `dlg.list`.
    pub(super) fn entry(&self, shard: u32, control: &Control) -> Value {
        let Known { call_id, parties: [caller, callee] } = self.source.known();
        let mut members = vec![
            ("h_entry", Value::from(shard)),
            ("h_id", Value::from(self.slot)),
            ("generation", Value::from(self.generation)),
            ("ref", Value::Int(1)),
            ("call-id", call_id),
            ("from_uri", caller.uri()),
            ("to_uri", callee.uri()),
            ("state", Value::Int(self.state())),
        ];
        members.extend(self.times(control));
        members.push(("legs", Value::from(self.legs)));
        members.push(("destinations", self.destinations(control)));
        members.push(("caller", caller.shown(control)));
        members.push(("callee", callee.shown(control)));
        if matches!(self.source, Source::Nothing) && self.legs > 0 {
            members.push(("details", Value::fixed(DETAILS_OFF)));
        }
        Value::Struct(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The element of `dlg.briefing`.
    pub(super) fn brief(&self, shard: u32) -> Value {
        let Known { call_id, parties: [caller, callee] } = self.source.known();
        Value::of([
            ("h_entry", Value::from(shard)),
            ("h_id", Value::from(self.slot)),
            ("from_uri", caller.uri()),
            ("to_uri", callee.uri()),
            ("call-id", call_id),
            ("from_tag", caller.tag()),
            ("to_tag", callee.tag()),
        ])
    }

    /// The tag of the caller; null where it is not known.
    pub(super) fn caller_tag(&self) -> Value {
        self.source.known().parties[0].tag()
    }

    /// Kamailio's number of its state.
    const fn state(&self) -> i64 {
        match self.stage {
            DialogStage::Unanswered => 1,
            DialogStage::Early => 2,
            DialogStage::Unacknowledged => 3,
            DialogStage::Confirmed => 4,
            DialogStage::Terminated => 5,
        }
    }

    /// Seconds since 1970, 0 for what is not known, as Kamailio has it; `timeout` is when it is forgotten without further news.
    fn times(&self, control: &Control) -> [(&'static str, Value); 6] {
        let date = |at: Option<Instant>| Value::Int(at.map_or(0, |at| control.unix_time(at)));
        let duration = self.answered_at.map_or(0, |at| control.seconds_since(at));
        let lifetimes = control.settings().dialog;
        let lifetime = if self.legs > 0 { lifetimes.confirmed } else { lifetimes.early };
        [
            ("start_ts", date(self.answered_at)),
            ("init_ts", date(self.began_at)),
            ("end_ts", Value::Int(0)),
            ("duration", Value::Int(duration)),
            ("timeout", date(self.expires_at)),
            ("lifetime", Value::from(lifetime.as_secs())),
        ]
    }

    /// Where the call is, or, while it rings, where it was sent last.
    fn destinations(&self, control: &Control) -> Value {
        let policy = control.policy();
        let mut found: Vec<_> = self.states.iter().filter_map(|state| policy.table.with_state(*state)).collect();
        if found.is_empty() {
            found.extend(self.ringing_at.and_then(|id| policy.table.destination(id)));
        }
        let shown = found.into_iter().map(|known| {
            Value::of([
                ("set", Value::from(known.set.0)),
                ("uri", Value::from(known.uri.as_str())),
                ("duid", Value::from(known.duid.as_str())),
            ])
        });
        Value::Array(shown.collect())
    }
}

impl Source {
    fn copy(ends: Option<EndsView<'_>>, invite: Option<InviteView<'_>>) -> Self {
        match (ends, invite) {
            (Some(ends), _) => {
                Self::Ends(ends.call_id().to_vec(), [ends.caller(), ends.callee()].map(|party| Party::copy(&party)))
            }
            (None, Some(invite)) => Self::Invite(invite.bytes.to_vec(), invite.socket),
            (None, None) => Self::Nothing,
        }
    }

    fn known(&self) -> Known {
        match self {
            Self::Ends(call_id, parties) => Known { call_id: text(call_id), parties: parties.clone() },
            Self::Invite(bytes, socket) => {
                let message = scan(bytes);
                let contact = fields(&message).find(|field| header_is(message.text(field.name), b"contact"));
                let contact = contact.and_then(|field| NameAddr::parse(bytes, field.value)).map(|value| value.uri);
                let caller = Party {
                    name: message.text(message.head.from.value).to_vec(),
                    contact: contact.map(|uri| message.text(uri).to_vec()).unwrap_or_default(),
                    route_set: Vec::new(),
                    cseq: message.head.cseq_number,
                    socket: Some(*socket),
                };
                let callee = Party { name: message.text(message.head.to.value).to_vec(), ..Party::default() };
                Known { call_id: text(message.call_id()), parties: [caller, callee] }
            }
            Self::Nothing => Known { call_id: Value::Null, parties: Default::default() },
        }
    }
}

/// The Call-ID, caller and callee.
struct Known {
    call_id: Value,
    parties: [Party; 2],
}

impl Party {
    fn copy(party: &PartyView<'_>) -> Self {
        Self {
            name: party.name.to_vec(),
            contact: party.contact.to_vec(),
            route_set: party.route_set.to_vec(),
            cseq: party.cseq,
            socket: Some(party.socket),
        }
    }

    fn part(&self, of: impl Fn(NameAddr) -> Span) -> Value {
        let value = NameAddr::parse(&self.name, Span::new(0, self.name.len()));
        value.map_or(Value::Null, |value| text(of(value).of(&self.name)))
    }

    fn uri(&self) -> Value {
        self.part(|value| value.uri)
    }

    fn tag(&self) -> Value {
        self.part(|value| value.tag)
    }

    fn shown(&self, control: &Control) -> Value {
        let socket = self.socket.and_then(|socket| control.settings().listen.get(usize::from(socket.0)));
        Value::of([
            ("tag", self.tag()),
            ("contact", text(&self.contact)),
            ("cseq", if self.cseq == 0 { Value::Null } else { Value::from(self.cseq.to_string()) }),
            ("route_set", text(&self.route_set)),
            ("socket", socket.map_or(Value::Null, |listen| Value::from(format!("udp:{}", listen.address)))),
        ])
    }
}

/// Text of a message; null when it is empty.
pub(super) fn text(bytes: &[u8]) -> Value {
    Value::text_or_null(&String::from_utf8_lossy(bytes))
}
