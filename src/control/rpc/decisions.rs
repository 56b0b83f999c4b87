//! `dispatcher.decisions`: where the last calls went and what came of it.

use super::paging::{LIMIT, limit};
use super::{Later, Method, Role, Run};
use crate::control::rows::text;
use crate::control::{Answer, Arguments, Control, Value};
use crate::dispatcher::DestinationId;
use crate::proxy::{DEFAULT_SET, Decided, Policy};
use core::cmp::Reverse;
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[Method {
    name: "dispatcher.decisions",
    help: "Where the last calls went and what came of it, newest first: of one call in every decisions_every.",
    params: &[LIMIT],
    role: Role::Read,
    run: Run::Later(decisions),
}];

fn decisions(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move { list(&control, &arguments).await })
}

async fn list(control: &Control, arguments: &Arguments) -> Answer {
    let limit = limit(arguments, 0)?;
    let mut all: Vec<(u32, Decided)> = Vec::new();
    for shard in 0..control.inquiries().shards() {
        let copy = move |asked: &mut crate::shard::Asked<'_>| -> Vec<_> {
            asked.proxy.decisions().take(limit).cloned().collect()
        };
        all.extend(control.ask(shard, copy).await?.into_iter().map(|decided| (shard, decided)));
    }
    all.sort_by_key(|(_, decided)| Reverse(decided.at));
    all.truncate(limit);
    let policy = control.policy();
    Ok(Value::Array(all.iter().map(|(shard, decided)| shown(control, &policy, *shard, decided)).collect()))
}

fn shown(control: &Control, policy: &Policy, shard: u32, decided: &Decided) -> Value {
    let rule = if decided.rule == DEFAULT_SET { Value::fixed("default_set") } else { Value::from(decided.rule) };
    let chosen = decided.targets.first().map_or(Value::Null, |target| name(policy, *target));
    Value::of([
        ("time", Value::Int(control.unix_time(decided.at))),
        ("shard", Value::from(shard)),
        ("call-id", text(decided.call_id())),
        ("rule", rule),
        ("set", Value::from(decided.set.0)),
        ("sets_entered", Value::from(u32::from(decided.sets))),
        ("chosen", chosen),
        ("targets", Value::Array(decided.targets.iter().map(|target| name(policy, *target)).collect())),
        ("tried", Value::Array(decided.tried().map(|target| name(policy, target)).collect())),
        ("code", Value::from(decided.status)),
    ])
}

/// The URI; null when the destination has gone since.
fn name(policy: &Policy, target: DestinationId) -> Value {
    policy.table.destination(target).map_or(Value::Null, |destination| Value::from(destination.uri.as_str()))
}
