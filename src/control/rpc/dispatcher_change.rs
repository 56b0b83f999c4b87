//! Which destinations there are: reload, add, remove.
//!
//! What is added and removed here lasts until the next reload, which says that it takes it back.

use super::dispatcher_find::{self, SET};
use super::{Later, Method, Role, Run};
use crate::config::{Added, added};
use crate::control::in_force::InForce;
use crate::control::publish::Changed;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Source, Value};
use crate::dispatcher::SetId;
use std::sync::Arc;

const URI: Param = Param::required("uri", Kind::Text);

const ADD_FAILED: &str = "Adding dispatcher dst failed";
const REMOVE_FAILED: &str = "Removing dispatcher dst failed";

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "dispatcher.reload",
        help: "Reads the config file and its dispatcher_list again; what is known of destinations stays, and no call is touched.",
        params: &[],
        role: Role::Operate,
        run: Run::Later(|control, _| Box::pin(reload(control))),
    },
    Method {
        name: "dispatcher.add",
        help: "Adds a destination to a set, which comes when it is not there, until the next reload.",
        params: &[
            SET,
            URI,
            Param::optional("flags", Kind::Int),
            Param::optional("priority", Kind::Int),
            Param::optional("attrs", Kind::Text),
        ],
        role: Role::Operate,
        run: Run::Later(add),
    },
    Method {
        name: "dispatcher.remove",
        help: "Removes all destinations with that URI from a set, until the next reload; their calls go on.",
        params: &[SET, URI],
        role: Role::Operate,
        run: Run::Later(remove),
    },
];

async fn reload(control: Arc<Control>) -> Answer {
    control.reload(Source::File, "dispatcher.reload").await?;
    Ok(Value::fixed("Ok. Dispatcher successfully reloaded."))
}

fn add(control: Arc<Control>, arguments: Arguments) -> Later {
    let change = move |_: &Control, now: &InForce| {
        let number =
            |index, name| arguments.int_in(index, name, 0..=i64::MAX).map(|number| number.unwrap_or_default() as u64);
        let set = arguments.int_in(0, SET.name, 0..=u32::MAX.into())?.unwrap_or_default();
        let columns = Added {
            uri: arguments.text(1).unwrap_or_default(),
            flags: number(2, "flags")?,
            priority: number(3, "priority")?,
            attrs: arguments.text(4).unwrap_or_default(),
        };
        let added = added(&columns, SetId(set as u32), now.sets.to_vec(), &now.file);
        let (sets, odd) = added.map_err(|problems| Fault::refused(problems.to_string(), ADD_FAILED))?;
        odd.iter().for_each(|problem| tracing::warn!(%problem, "config"));
        tracing::info!(set, uri = columns.uri, "destination added until the next reload");
        Ok((Some(now.with_sets(sets)), ()))
    };
    Box::pin(async move {
        control.change(change).await.map_err(|fault| failed(fault, ADD_FAILED))?;
        Ok(Value::fixed("Ok. Dispatcher destination added."))
    })
}

fn remove(control: Arc<Control>, arguments: Arguments) -> Later {
    let change = move |control: &Control, now: &InForce| {
        let (number, uri) = (arguments.int(0).unwrap_or_default(), arguments.text(1).unwrap_or_default());
        let policy = control.policy();
        let set = dispatcher_find::set(&policy, number, REMOVE_FAILED);
        let known = set.as_ref().is_ok_and(|set| set.destinations.iter().any(|known| known.uri == uri));
        if !known {
            return nothing_to_remove(now, number, uri);
        }
        let mut sets = now.sets.to_vec();
        for spec in sets.iter_mut().filter(|spec| i64::from(spec.id.0) == number) {
            spec.destinations.retain(|known| known.uri != uri);
        }
        tracing::info!(set = number, uri, "destination removed until the next reload");
        Ok((Some(now.with_sets(sets)), ()))
    };
    Box::pin(async move {
        control.change(change).await.map_err(|fault| failed(fault, REMOVE_FAILED))?;
        Ok(Value::fixed("Ok. Dispatcher destination removed."))
    })
}

/// What is not there is as good as removed, for Kamailio; a URI that could not be there is a fault.
fn nothing_to_remove(now: &InForce, set: i64, uri: &str) -> Changed<()> {
    let columns = Added { uri, ..Added::default() };
    if let Err(problems) = added(&columns, SetId(0), Vec::new(), &now.file) {
        return Err(Fault::refused(problems.to_string(), REMOVE_FAILED));
    }
    tracing::warn!(set, uri, "to be removed, and not there");
    Ok((None, ()))
}

/// What a table that cannot be is called here; other faults have their own text.
fn failed(fault: Fault, kamailio: &'static str) -> Fault {
    if fault.kamailio == "Reload Failed" { Fault { kamailio, ..fault } } else { fault }
}
