//! `tm.stats`, `sl.stats`: transactions, and answers without one, as far as they are counted.

use super::Method;
use crate::control::{Answer, Arguments, Control, Value};
use crate::proxy::StatelessReplies;
use std::borrow::Cow;

pub(super) const METHODS: &[Method] = &[
    Method::look("tm.stats", "Transactions: now, so far. Replies are not counted by class.", &[], tm_stats),
    Method::look(
        "sl.stats",
        "Requests that were answered without a transaction, by the code of the answer.",
        &[],
        sl_stats,
    ),
];

/// As Kamailio: some codes by themselves, and of each class the others.
fn sl_stats(control: &Control, _: &Arguments) -> Answer {
    let counts = control.snapshot().stateless_replies.0;
    let members = StatelessReplies::LABELS.into_iter().zip(counts);
    Ok(Value::Struct(members.map(|(label, count)| (Cow::Borrowed(label), Value::count(count))).collect()))
}

/// Kamailio's members, without those for which nothing is counted (`6xx` to `2xx`, `rpl_generated`, `rpl_sent`).
fn tm_stats(control: &Control, _: &Arguments) -> Answer {
    let snapshot = control.snapshot();
    let (proxy, levels) = (&snapshot.proxy, &snapshot.levels);
    Ok(Value::of([
        ("current", Value::count(levels.transactions)),
        ("waiting", Value::count(levels.transactions.saturating_sub(levels.pending_transactions))),
        ("total", Value::count(proxy.transactions_created)),
        ("total_local", Value::count(proxy.keepalives)),
        ("rpl_received", Value::count(proxy.responses)),
        ("created", Value::count(proxy.transactions_created)),
        ("freed", Value::count(proxy.transactions_created.saturating_sub(levels.transactions))),
        ("delayed_free", Value::Int(0)),
    ]))
}
