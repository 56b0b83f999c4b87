//! The readers of the control side, which nobody outside of it sees: their source is included as it is, above a control side that knows
//! every method and what each takes, runs none, and gives the method `echo` back what it was given.

#[path = "control/doors.rs"]
pub(crate) mod doors;

pub(crate) use siplane::control::{Answer, Fault, Given, Value};

/// Nothing is run, so nothing is needed for it.
pub(crate) struct Control;

/// What the doors call.
pub(crate) mod rpc {
    use super::{Answer, Control, Fault, Given, Value};
    pub(crate) use siplane::control::Role;
    use siplane::control::{Arguments, find};
    use std::sync::Arc;

    pub(crate) async fn call(_: &Arc<Control>, role: Role, name: &str, given: Given) -> Answer {
        if name == "echo" {
            return Ok(match given {
                Given::List(values) => Value::Array(values),
                Given::Named(members) => Value::Struct(members),
            });
        }
        let method = find(name).ok_or_else(|| Fault::no_such_method(name))?;
        if !role.allows(method.role) {
            return Err(Fault::role(name, method.role.name()));
        }
        Arguments::bind(method.params, given).map(|_| Value::fixed("bound"))
    }
}
