//! `dlg.dlg_list`: one call, by its Call-ID.

use super::{Later, Method, Role, Run};
use crate::control::asking::{Place, Table};
use crate::control::rows::dialogs_of;
use crate::control::{Answer, Arguments, Control, Kind, Param, Value};
use crate::proxy::{Proxy, owner_of};
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[Method {
    name: "dlg.dlg_list",
    help: "The call with that Call-ID, and that From tag if one is given, as dlg.list shows it; nothing when there is none.",
    params: &[Param::required("call_id", Kind::Text), Param::optional("from_tag", Kind::Text)],
    role: Role::Read,
    run: Run::Later(find),
}];

fn find(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move { look(&control, &arguments).await })
}

/// From the shard that owns the Call-ID on. An answered call of which no details are kept is not found.
async fn look(control: &Control, arguments: &Arguments) -> Answer {
    let (call_id, tag) = (arguments.text(0).unwrap_or_default().to_owned(), arguments.text(1).map(Value::from));
    let shard = owner_of(call_id.as_bytes(), control.inquiries().shards());
    let table = Table::new(Proxy::dialog_slots, move |proxy, slots| {
        let mut rows = dialogs_of(proxy, slots, call_id.as_bytes());
        rows.retain(|row| tag.as_ref().is_none_or(|tag| row.caller_tag() == *tag));
        rows
    });
    let found = control.rows(&table, Place { shard, slot: 0 }, 1).await?.pop();
    // Kamailio answers with nothing at all, which a list without elements is to kamcmd.
    Ok(found.map_or_else(|| Value::Array(Vec::new()), |(shard, row)| row.entry(shard, control)))
}
