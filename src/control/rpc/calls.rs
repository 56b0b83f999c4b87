//! `tm.stats`: transactions, as far as they are counted.

use super::Method;
use super::core::read;
use crate::control::{Answer, Arguments, Control, Value};

pub(super) const METHODS: &[Method] =
    &[read("tm.stats", "Transactions: now, so far. Replies are not counted by class.", tm_stats)];

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
