//! `system.*`: what methods there are.

use super::{Method, all, find};
use crate::control::arguments::usage;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};

pub(super) const METHODS: &[Method] = &[
    Method::look("system.listMethods", "The names of all methods.", &[], list_methods),
    Method::look(
        "system.methodHelp",
        "What a method does and takes.",
        &[Param::required("method", Kind::Text)],
        method_help,
    ),
];

fn list_methods(_: &Control, _: &Arguments) -> Answer {
    let mut names: Vec<_> = all().map(|method| method.name).collect();
    names.sort_unstable();
    Ok(names.into_iter().collect())
}

fn method_help(_: &Control, arguments: &Arguments) -> Answer {
    let name = arguments.text(0).unwrap_or_default();
    let method = find(name).ok_or_else(|| Fault::no_such_method(name))?;
    Ok(Value::from(format!("{} Takes: {}.", method.help, usage(method.params))))
}
