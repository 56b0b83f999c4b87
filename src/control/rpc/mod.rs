//! Every method, once.

mod audit;
mod calls;
mod calls_of;
mod config;
mod core;
mod counters;
mod decisions;
mod dialog_find;
mod dialogs;
mod dispatcher_change;
mod dispatcher_find;
mod dispatcher_get;
mod dispatcher_hash;
mod dispatcher_letters;
mod dispatcher_list;
mod dispatcher_modify;
mod dispatcher_state;
mod events;
mod explain;
mod memory;
mod overview;
mod paging;
mod sockets;
mod statistics;
mod system;
mod threads;
mod trace;
mod transactions;

use super::{Answer, Arguments, Control, Fault, Given, Param, who};
pub use crate::config::Role;
pub(super) use events::FOLLOW;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that takes its time.
pub type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// How a method runs.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// It ends at once.
    Now(fn(&Control, &Arguments) -> Answer),
    /// It waits for something.
    Later(fn(Arc<Control>, Arguments) -> Later),
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name, as Kamailio has it where Kamailio has it.
    pub name: &'static str,
    /// What it does, in a sentence for people.
    pub help: &'static str,
    /// What it takes.
    pub params: &'static [Param],
    /// Who may call it.
    pub role: Role,
    /// What it does.
    pub run: Run,
}

impl Method {
    /// One that looks, and ends at once.
    const fn look(
        name: &'static str,
        help: &'static str,
        params: &'static [Param],
        run: fn(&Control, &Arguments) -> Answer,
    ) -> Self {
        Self { name, help, params, role: Role::Read, run: Run::Now(run) }
    }
}

/// All methods, by area.
pub const METHODS: &[&[Method]] = &[
    calls::METHODS,
    calls_of::METHODS,
    config::METHODS,
    core::METHODS,
    decisions::METHODS,
    dialog_find::METHODS,
    dialogs::METHODS,
    dispatcher_change::METHODS,
    dispatcher_get::METHODS,
    dispatcher_hash::METHODS,
    dispatcher_list::METHODS,
    dispatcher_modify::METHODS,
    dispatcher_state::METHODS,
    events::METHODS,
    explain::METHODS,
    memory::METHODS,
    overview::METHODS,
    sockets::METHODS,
    statistics::METHODS,
    system::METHODS,
    threads::METHODS,
    trace::METHODS,
    transactions::METHODS,
];

/// The method of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Method> {
    all().find(|method| method.name == name)
}

/// All methods.
pub(super) fn all() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().flatten()
}

/// Calls the method `name` for somebody of this `role`.
pub(super) async fn call(control: &Arc<Control>, role: Role, name: &str, given: Given) -> Answer {
    let method = find(name).ok_or_else(|| Fault::no_such_method(name))?;
    if !role.allows(method.role) {
        return Err(Fault::role(name, method.role.name()));
    }
    let arguments = Arguments::bind(method.params, given)?;
    match (method.run, method.role) {
        (Run::Now(run), _) => audited(control, method, &arguments, async { run(control, &arguments) }).await,
        (Run::Later(run), Role::Read) => run(Arc::clone(control), arguments).await,
        (Run::Later(run), _) => change(Arc::clone(control), method, arguments, run).await,
    }
}

/// Whoever asked may go away meanwhile, and an HTTP connection then forgets the answer: what has begun to change something comes to its
/// end, with all that waits for its turn behind it, and is told.
async fn change(
    control: Arc<Control>,
    method: &'static Method,
    arguments: Arguments,
    run: fn(Arc<Control>, Arguments) -> Later,
) -> Answer {
    let work = async move {
        let given = arguments.clone();
        audited(&control, method, &given, run(Arc::clone(&control), arguments)).await
    };
    let ended = tokio::spawn(who::with_mine(work)).await;
    ended.unwrap_or_else(|error| Err(Fault::internal(format!("{} did not end: {error}", method.name))))
}

async fn audited(
    control: &Control,
    method: &Method,
    arguments: &Arguments,
    work: impl Future<Output = Answer>,
) -> Answer {
    let told = audit::begin(method, arguments);
    let answer = work.await;
    if let Some(told) = told {
        audit::tell(control, method, told, &answer);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_methods_share_a_name_and_each_has_help() {
        let mut names: Vec<_> = all().map(|method| method.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(all().all(|method| method.help.ends_with('.')));
    }
}
