//! `dispatcher.modify`: another share, priority or bound for one destination, until the next reload.

use super::dispatcher_find::{self, DESTINATION, SET};
use super::{Later, Method, Role, Run};
use crate::config;
use crate::control::diff_fields::destination_fields;
use crate::control::in_force::InForce;
use crate::control::{Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::DestinationSpec;
use std::borrow::Cow;
use std::sync::Arc;

const FIRST: usize = 2;

pub(super) const METHODS: &[Method] = &[Method {
    name: "dispatcher.modify",
    help: "Changes weight, rweight, priority, maxload, calls_per_second_max or attrs of a destination, by duid or URI, until the next \
           reload; what is left out stays.",
    params: &[
        SET,
        DESTINATION,
        Param::optional("weight", Kind::Int),
        Param::optional("rweight", Kind::Int),
        Param::optional("priority", Kind::Int),
        Param::optional("maxload", Kind::Int),
        Param::optional("calls_per_second_max", Kind::Int),
        Param::optional("attrs", Kind::Text),
    ],
    role: Role::Operate,
    run: Run::Later(modify),
}];

fn modify(control: Arc<Control>, arguments: Arguments) -> Later {
    let change = move |control: &Control, now: &InForce| {
        let policy = control.policy();
        let (set, position) = dispatcher_find::named(&policy, &arguments)?;
        let spec = now.set(set.id).and_then(|set| set.destinations.get(position)).cloned();
        let before = spec.ok_or_else(|| Fault::internal("the table has what the config has not"))?;
        let mut after = before.clone();
        change_spec(&mut after, &arguments)?;
        let fields = destination_fields(&before, &after);
        let next = now.edited(set.id, position, |spec| *spec = after)?;
        let (set, duid) = (set.id.0, set.destinations[position].duid.clone());
        for (key, from, to) in &fields {
            tracing::info!(set, duid, key, from, to, "destination modified until the next reload");
        }
        let changed = fields.into_iter().map(|(key, from, to)| {
            (Cow::Borrowed(key), Value::of([("from", Value::from(from)), ("to", Value::from(to))]))
        });
        let answer = Value::of([
            ("set", Value::from(set)),
            ("duid", Value::from(duid)),
            ("changed", Value::Struct(changed.collect())),
            ("lasts", Value::fixed("until the next reload")),
        ]);
        Ok((Some(next), answer))
    };
    Box::pin(async move { control.change(change).await })
}

fn change_spec(spec: &mut DestinationSpec, arguments: &Arguments) -> Result<(), Fault> {
    let number =
        |index: usize, allowed| arguments.int_in(FIRST + index, METHODS[0].params[FIRST + index].name, allowed);
    // All of these bounds fit 32 bits.
    if let Some(weight) = number(0, 0..=config::WEIGHT_MAX)? {
        spec.weight = weight as u32;
    }
    if let Some(rweight) = number(1, 0..=config::WEIGHT_MAX)? {
        spec.rweight = rweight as u32;
    }
    if let Some(priority) = number(2, i32::MIN.into()..=i32::MAX.into())? {
        spec.priority = priority as i32;
    }
    if let Some(maxload) = number(3, 0..=config::MAXLOAD_MAX)? {
        spec.maxload = maxload as u32;
    }
    if let Some(calls) = number(4, 0..=config::CALLS_PER_SECOND_MAX)? {
        spec.calls_per_second_max = calls as u32;
    }
    if let Some(attrs) = arguments.text(FIRST + 5) {
        if attrs.len() > config::ATTRS_BYTES_MAX || attrs.chars().any(char::is_control) {
            let most = config::ATTRS_BYTES_MAX;
            return Err(Fault::parameters(format!("attrs: allowed: at most {most} bytes without control characters")));
        }
        spec.attrs = attrs.to_owned();
    }
    Ok(())
}
