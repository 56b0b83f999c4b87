//! What operators say of destinations: `set_state` and its like in Kamailio's words, drain, enable and disable in ours, and whether
//! anything is probed.
//!
//! What is said here is kept: over reloads always, over restarts where `[control] state_file` is set (but not health, which is evidence).
//! The letter `p` of `set_state` marks for probing until the next reload, as it does in Kamailio.

use super::dispatcher_find::{self, DESTINATION, Key, SET};
use super::dispatcher_letters::Mark;
use super::{Later, Method, Role, Run};
use crate::control::in_force::InForce;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::{Admin, Set};
use crate::prober::ProbeSettings;
use crate::proxy::Policy;
use crate::shard::clock;
use std::sync::Arc;

/// What Kamailio says when there is no such destination.
const FAILED: &str = "State Update Failed";

const STATE: Param = Param::required("state", Kind::Text);

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "dispatcher.set_state",
        help: "Marks a destination of a set, by URI, or all of them: a active, i inactive, d disabled, t trying, with p to probe it.",
        params: &[STATE, SET, Param::required("uri", Kind::Text)],
        role: Role::Operate,
        run: Run::Later(|control, arguments| Box::pin(set_state(control, arguments, Key::Uri))),
    },
    Method {
        name: "dispatcher.set_duid_state",
        help: "The same for a destination by its duid.",
        params: &[STATE, SET, Param::required("duid", Kind::Text)],
        role: Role::Operate,
        run: Run::Later(|control, arguments| Box::pin(set_state(control, arguments, Key::Duid))),
    },
    word(
        "dispatcher.drain",
        "Sends a destination, by duid or URI, no new calls; those it has go on, and how many is answered.",
        |control, arguments| say(control, arguments, Admin::Draining),
    ),
    word(
        "dispatcher.enable",
        "Takes back a drain or a disable; the destination gets calls again when it is healthy.",
        |control, arguments| say(control, arguments, Admin::Enabled),
    ),
    word(
        "dispatcher.disable",
        "Sends a destination, by duid or URI, neither calls nor probes; those calls that it has go on.",
        |control, arguments| say(control, arguments, Admin::Disabled),
    ),
    Method {
        name: "dispatcher.ping_active",
        help: "Whether anything is probed; 0 ends all probes and leaves all as they left it, 1 goes on.",
        params: &[Param::optional("state", Kind::Int)],
        role: Role::Operate,
        run: Run::Now(ping_active),
    },
];

/// What an operator says of one destination.
const fn word(name: &'static str, help: &'static str, run: fn(Arc<Control>, Arguments) -> Later) -> Method {
    Method { name, help, params: &[SET, DESTINATION], role: Role::Operate, run: Run::Later(run) }
}

async fn set_state(control: Arc<Control>, arguments: Arguments, key: Key) -> Answer {
    let mark = Mark::parse(arguments.text(0).unwrap_or_default())?;
    let (number, name) = (arguments.int(1).unwrap_or_default(), arguments.text(2).unwrap_or_default().to_owned());
    let change = move |control: &Control, now: &InForce| {
        let policy = control.policy();
        let marked = marked(&policy, number, &name, key)?;
        let at = clock::now();
        for (set, position) in &marked {
            mark.put(policy.table.states(), &set.destinations[*position], at);
        }
        Ok((reflagged(now, &marked, mark.probing), ()))
    };
    control.change(change).await?;
    Ok(Value::fixed("Ok. Dispatcher state updated."))
}

/// Whom it is said of. All of a set that is not there are nobody, and no fault, as in Kamailio.
fn marked<'t>(policy: &'t Policy, number: i64, name: &str, key: Key) -> Result<Vec<(&'t Set, usize)>, Fault> {
    let set = dispatcher_find::set(policy, number, FAILED);
    if name == "all" {
        return Ok(set.map_or(Vec::new(), |set| (0..set.destinations.len()).map(|position| (set, position)).collect()));
    }
    let set = set?;
    Ok(vec![(set, dispatcher_find::position(set, name, key, FAILED)?)])
}

/// The sets with these marked for probing, or not; none when they are so already.
fn reflagged(now: &InForce, marked: &[(&Set, usize)], probing: bool) -> Option<InForce> {
    let differs = |(set, position): &&(&Set, usize)| {
        let probe = &set.destinations[*position].probe;
        probe.flagged != probing || (probing && probe.never)
    };
    marked.iter().find(differs)?;
    let mut sets = now.sets.to_vec();
    for (set, position) in marked {
        let spec = sets.iter_mut().find(|known| known.id == set.id);
        if let Some(spec) = spec.and_then(|spec| spec.destinations.get_mut(*position)) {
            spec.probe.flagged = probing;
            spec.probe.never &= !probing;
        }
    }
    Some(now.with_sets(sets))
}

fn say(control: Arc<Control>, arguments: Arguments, admin: Admin) -> Later {
    let change = move |control: &Control, _: &InForce| {
        let policy = control.policy();
        let (set, position) = dispatcher_find::named(&policy, &arguments)?;
        let (destination, states) = (&set.destinations[position], policy.table.states());
        states.set_admin(destination.state, admin, clock::now());
        let answer = Value::of([
            ("set", Value::from(set.id.0)),
            ("duid", Value::from(destination.duid.as_str())),
            ("uri", Value::from(destination.uri.as_str())),
            ("admin", Value::fixed(admin.name())),
            ("calls", Value::from(states.load(destination.state))),
        ]);
        Ok((None, answer))
    };
    Box::pin(async move { control.change(change).await })
}

fn ping_active(control: &Control, arguments: &Arguments) -> Answer {
    let number = |active| Value::Int(i64::from(active));
    let old = ("OldPingState", number(control.probing().load().active));
    let active = match arguments.int(0) {
        // Kamailio's way to ask.
        None | Some(..0) => return Ok(Value::of([old])),
        Some(state @ 0..=1) => state == 1,
        Some(state) => return Err(Fault::parameters(format!("state: found {state}, allowed: 0, 1"))),
    };
    control.probing().rcu(|settings| ProbeSettings { active, ..ProbeSettings::clone(settings) });
    Ok(Value::of([("NewPingState", number(active)), old]))
}
