//! `system.*`: what methods there are.

use super::{Method, Role, Run, all, find};
use crate::control::arguments::usage;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "system.listMethods",
        help: "The names of all methods.",
        params: &[],
        role: Role::Read,
        run: Run::Now(list_methods),
    },
    Method {
        name: "system.methodHelp",
        help: "What a method does and takes.",
        params: &[Param::required("method", Kind::Text)],
        role: Role::Read,
        run: Run::Now(method_help),
    },
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
