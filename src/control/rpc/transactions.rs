//! `tm.list`: the transactions there are, asked from the shards.

use super::paging::{AFTER, LIMIT, after, limit};
use super::{Later, Method, Role, Run};
use crate::control::asking::Table;
use crate::control::rows::text;
use crate::control::{Arguments, Control, Value};
use crate::proxy::{Proxy, TransactionView};
use crate::sip::scan;
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[Method {
    name: "tm.list",
    help: "The server transactions there are; behind one of them, named by cell:tindex. Those that have their answer keep no request.",
    params: &[LIMIT, AFTER],
    role: Role::Read,
    run: Run::Later(list),
}];

struct Row {
    slot: u32,
    generation: u32,
    is_invite: bool,
    is_unanswered: bool,
    branches: usize,
    source: String,
    request: Option<Vec<u8>>,
}

impl Row {
    fn copy(transaction: TransactionView<'_>) -> Self {
        Self {
            slot: transaction.slot,
            generation: transaction.generation,
            is_invite: transaction.is_invite(),
            is_unanswered: transaction.is_unanswered(),
            branches: transaction.branches,
            source: transaction.source().to_string(),
            request: transaction.request().map(<[u8]>::to_vec),
        }
    }

    fn entry(&self, shard: u32) -> Value {
        let message = scan(self.request.as_deref().unwrap_or_default());
        let is_kept = self.request.is_some();
        let part = |bytes: &[u8]| if is_kept { text(bytes) } else { Value::Null };
        let method = match (is_kept, self.is_invite) {
            (true, _) => part(message.text(message.head.method)),
            (false, true) => Value::fixed("INVITE"),
            (false, false) => Value::Null,
        };
        Value::of([
            ("cell", Value::from(shard)),
            ("tindex", Value::from(self.slot)),
            ("tlabel", Value::from(self.generation)),
            ("method", method),
            ("from", part(message.text(message.head.from.value))),
            ("to", part(message.text(message.head.to.value))),
            ("callid", part(message.call_id())),
            ("cseq", part(message.text(message.head.cseq.value))),
            ("source", Value::from(self.source.as_str())),
            ("answered", Value::from(if self.is_unanswered { "no" } else { "yes" })),
            ("outgoings", Value::from(self.branches)),
        ])
    }
}

fn list(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move {
        let rows = |proxy: &Proxy, slots| proxy.transactions_in(slots).map(Row::copy).collect();
        let transactions = Table::new(Proxy::transaction_slots, rows);
        let rows = control.rows(&transactions, after(&arguments, 1)?, limit(&arguments, 0)?).await?;
        Ok(Value::Array(rows.iter().map(|(shard, row)| row.entry(*shard)).collect()))
    })
}
