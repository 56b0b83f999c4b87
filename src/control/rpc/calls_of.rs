//! `calls.of`: which calls make up the load of a destination.

use super::dispatcher_find::{self, DESTINATION, SET};
use super::paging::{LIMIT, limit};
use super::{Later, Method, Role, Run};
use crate::control::asking::{Place, Table};
use crate::control::rows::text;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::StateIndex;
use crate::limits::FORKS_MAX;
use crate::proxy::{BranchView, Proxy};
use crate::sip::find_call_id;
use crate::time::Instant;
use core::ops::Range;
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[Method {
    name: "calls.of",
    help: "The calls that make up the load of a destination, named by its set and its uri or duid; behind next of an earlier answer.",
    params: &[SET, DESTINATION, LIMIT, Param::optional("after", Kind::Text)],
    role: Role::Read,
    run: Run::Later(calls_of),
}];

/// One token of load.
struct Holder {
    slot: u32,
    call_id: Vec<u8>,
    since: Option<Instant>,
    stage: &'static str,
}

/// How the tables are called in which the load of calls lies that are not answered yet, and of those that are: it passes from the first
/// to the second.
const TABLES: [&str; 2] = ["b", "d"];

fn table(name: &str, state: StateIndex) -> Table<Holder> {
    match name {
        "b" => Table::new(Proxy::branch_slots, move |proxy, slots| branches(proxy, slots, state)),
        _ => Table::new(Proxy::dialog_slots, move |proxy, slots| legs(proxy, slots, state)),
    }
}

fn branches(proxy: &Proxy, slots: Range<u32>, state: StateIndex) -> Vec<Holder> {
    let holder = |branch: BranchView<'_>| Holder {
        slot: branch.slot(),
        call_id: find_call_id(branch.invite()).unwrap_or_default().to_vec(),
        since: Some(branch.sent_at()),
        stage: if branch.is_heard() { "ringing" } else { "sent" },
    };
    proxy.branches_in(slots).filter(|branch| branch.state() == state).map(holder).collect()
}

fn legs(proxy: &Proxy, slots: Range<u32>, state: StateIndex) -> Vec<Holder> {
    let mut holders = Vec::new();
    for dialog in proxy.dialogs_in(slots) {
        holders.extend(dialog.legs().filter(|leg| leg.state() == Some(state)).map(|leg| {
            let ends = leg.ends();
            Holder {
                slot: dialog.slot(),
                call_id: ends.map(|ends| ends.call_id().to_vec()).unwrap_or_default(),
                since: ends.map(|ends| ends.answered_at()),
                stage: if leg.is_acked() { "confirmed" } else { "answered" },
            }
        }));
    }
    holders
}

fn calls_of(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move { list(&control, &arguments).await })
}

async fn list(control: &Control, arguments: &Arguments) -> Answer {
    let policy = control.policy();
    let (set, position) = dispatcher_find::named(&policy, arguments)?;
    let destination = &set.destinations[position];
    let (limit, (first, mut from)) = (limit(arguments, 2)?, begin(arguments)?);
    let (mut calls, mut next) = (Vec::new(), Value::Null);
    for name in TABLES.into_iter().skip(first) {
        let room = limit.saturating_sub(calls.len()).max(1);
        // What is behind the last one that is wanted says whether there are more.
        let mut found = control.rows(&table(name, destination.state), from, room + FORKS_MAX + 1).await?;
        let cut = whole(&found, room);
        if cut < found.len() {
            found.truncate(cut);
            next = found.last().map_or(Value::Null, |(shard, it)| Value::from(format!("{name}:{shard}:{}", it.slot)));
        }
        calls.extend(found.iter().map(|(shard, holder)| shown(control, *shard, holder)));
        if next != Value::Null {
            break;
        }
        from = Place::default();
    }
    Ok(Value::of([
        ("set", Value::from(destination.set.0)),
        ("uri", Value::from(destination.uri.as_str())),
        ("duid", Value::from(destination.duid.as_str())),
        ("load", Value::from(policy.table.states().load(destination.state))),
        ("calls", Value::Array(calls)),
        ("next", next),
    ]))
}

/// How many of these are shown: as many as there is room for, and the rest of the last one's slot, so that the next list goes on behind it.
fn whole(found: &[(u32, Holder)], room: usize) -> usize {
    let place = |at: usize| found.get(at).map(|(shard, holder)| (*shard, holder.slot));
    let mut cut = room.min(found.len());
    while cut > 0 && cut < found.len() && place(cut) == place(cut - 1) {
        cut += 1;
    }
    cut
}

fn shown(control: &Control, shard: u32, holder: &Holder) -> Value {
    Value::of([
        ("shard", Value::from(shard)),
        ("call-id", text(&holder.call_id)),
        ("since", holder.since.map_or(Value::Null, |at| Value::Int(control.unix_time(at)))),
        ("seconds", holder.since.map_or(Value::Null, |at| Value::Int(control.seconds_since(at)))),
        ("state", Value::fixed(holder.stage)),
    ])
}

/// Which table to begin with, and where in it.
fn begin(arguments: &Arguments) -> Result<(usize, Place), Fault> {
    let Some(text) = arguments.text(3) else { return Ok((0, Place::default())) };
    let parsed = text.split_once(':').and_then(|(name, place)| {
        let table = TABLES.iter().position(|known| *known == name)?;
        Some((table, Place::after(place)?))
    });
    parsed
        .ok_or_else(|| Fault::parameters(format!("after is {text}; allowed: next of an earlier answer, like d:0:4711")))
}
