//! `dlg.*`: the calls there are, asked from the shards.

use super::paging::{AFTER, LIMIT, after, limit};
use super::{Later, Method, Role, Run};
use crate::control::asking::{Place, Table};
use crate::control::rows::{DialogRow, dialog_rows};
use crate::control::{Answer, Arguments, Control, Fault, Value};
use crate::proxy::{DialogStage, Proxy};
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "dlg.list",
        help: "The calls there are, with their two ends; behind one of them, named by h_entry:h_id.",
        params: &[LIMIT, AFTER],
        role: Role::Read,
        run: Run::Later(list),
    },
    Method {
        name: "dlg.briefing",
        help: "The calls there are, with URIs and tags alone; behind one of them, named by h_entry:h_id.",
        params: &[LIMIT, AFTER],
        role: Role::Read,
        run: Run::Later(briefing),
    },
    Method {
        name: "dlg.stats_active",
        help: "How many calls are in which state, counted one by one.",
        params: &[],
        role: Role::Read,
        run: Run::Later(stats_active),
    },
];

async fn page(control: &Control, arguments: &Arguments) -> Result<Vec<(u32, DialogRow)>, Fault> {
    let dialogs = Table::new(Proxy::dialog_slots, dialog_rows);
    control.rows(&dialogs, after(arguments, 1)?, limit(arguments, 0)?).await
}

fn list(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move {
        let rows = page(&control, &arguments).await?;
        Ok(Value::Array(rows.iter().map(|(shard, row)| row.entry(*shard, &control)).collect()))
    })
}

fn briefing(control: Arc<Control>, arguments: Arguments) -> Later {
    Box::pin(async move {
        let rows = page(&control, &arguments).await?;
        Ok(Value::Array(rows.iter().map(|(shard, row)| row.brief(*shard)).collect()))
    })
}

fn stats_active(control: Arc<Control>, _: Arguments) -> Later {
    Box::pin(async move { counted(&control).await })
}

async fn counted(control: &Control) -> Answer {
    let stages = |proxy: &Proxy, slots| proxy.dialogs_in(slots).map(|dialog| dialog.stage()).collect();
    let stages = Table::new(Proxy::dialog_slots, stages);
    let mut counts = [0_u64; 4];
    let count = |stage| place(stage).into_iter().for_each(|place| counts[place] += 1);
    control.each(&stages, Place::default(), count).await?;
    let [starting, connecting, answering, ongoing] = counts;
    Ok(Value::of([
        ("starting", Value::from(starting)),
        ("connecting", Value::from(connecting)),
        ("answering", Value::from(answering)),
        ("ongoing", Value::from(ongoing)),
        ("all", Value::from(counts.iter().sum::<u64>())),
    ]))
}

const fn place(stage: DialogStage) -> Option<usize> {
    match stage {
        DialogStage::Unanswered => Some(0),
        DialogStage::Early => Some(1),
        DialogStage::Unacknowledged => Some(2),
        DialogStage::Confirmed => Some(3),
        DialogStage::Terminated => None,
    }
}
