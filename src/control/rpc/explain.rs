//! `dispatcher.explain`: what would become of a request, step by step, by the code that routes.

use super::Method;
use crate::config::algorithm_name;
use crate::control::{Answer, Arguments, Control, Fault, Kind, Param, Value};
use crate::dispatcher::{Admin, Destination, Health, Set, States, Verdict};
use crate::proxy::{Datagram, Explanation, Mismatch, Outcome, Policy, Proxy, Rule, SetStep, ShardId, SocketId};
use crate::shard::clock;
use std::net::SocketAddr;

pub(super) const METHODS: &[Method] = &[Method::look(
    "dispatcher.explain",
    "What would become of a request, pasted as text, if it came now from source: each rule, set and destination, and why.",
    &[Param::required("request", Kind::Text), Param::optional("source", Kind::Text)],
    explain,
)];

/// Who sent it when nobody says: an address that nobody has (RFC 5737).
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 0)), 5060);

fn explain(control: &Control, arguments: &Arguments) -> Answer {
    let bytes = on_the_wire(arguments.text(0).unwrap_or_default());
    let source = match arguments.text(1) {
        None => NOBODY,
        Some(text) => {
            let parsed = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, 5060)));
            parsed.map_err(|_| Fault::parameters(format!("source is {text}; allowed: ADDRESS or ADDRESS:PORT")))?
        }
    };
    let (policy, now) = (control.policy(), clock::now());
    let seed = clock::seed().map_err(|error| Fault::internal(format!("random numbers: {error}")))?;
    let mut proxy = Proxy::new(control.settings().clone(), ShardId { index: 0, count: 1 }, seed, now);
    let datagram = Datagram { source, socket: SocketId(0), bytes: &bytes };
    let explanation = proxy.explain(now, &policy, datagram);
    Ok(shown(&policy, &explanation))
}

/// A request as it would be received: what was pasted has the line ends of its editor, and no empty line at its end.
fn on_the_wire(text: &str) -> Vec<u8> {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.trim_start().split_once("\n\n").unwrap_or((text.trim(), ""));
    let head = head.trim_end().replace('\n', "\r\n");
    format!("{head}\r\n\r\n{}", body.replace('\n', "\r\n")).into_bytes()
}

fn shown(policy: &Policy, explanation: &Explanation) -> Value {
    let (outcome, answer) = match &explanation.outcome {
        Outcome::Dispatched => ("dispatched", Value::Null),
        Outcome::Routed(address) => ("routed by its Route or Request-URI", Value::from(address.to_string())),
        Outcome::Answered(code, why) => ("answered", Value::from(format!("{code} {why}").trim_end())),
        Outcome::Dropped(why) => ("dropped", Value::fixed(why)),
        Outcome::Ours => ("an OPTIONS that asks us", Value::fixed("200")),
    };
    let rules = (1..).zip(&policy.rules).zip(&explanation.rules);
    let rules = rules.map(|((number, rule), mismatch)| shown_rule(number, rule, *mismatch)).collect();
    let taken = explanation.rules.last() == Some(&None);
    let default_set = policy.default_set.filter(|_| !taken && !explanation.sets.is_empty());
    let sets = explanation.sets.iter().filter_map(|step| Some(shown_set(policy, policy.table.set(step.set)?, step)));
    Value::of([
        ("outcome", Value::fixed(outcome)),
        ("answer", answer),
        ("rules", Value::Array(rules)),
        ("default_set", default_set.map_or(Value::Null, |set| Value::from(set.0))),
        ("sets", Value::Array(sets.collect())),
    ])
}

fn shown_rule(number: u32, rule: &Rule, mismatch: Option<Mismatch>) -> Value {
    let why = match mismatch {
        None => Value::Null,
        Some(Mismatch::Method) => {
            let names: Vec<_> = rule.methods.iter().map(|name| &*name.0).collect();
            Value::from(format!("its method is none of {}", names.join(", ")))
        }
        Some(Mismatch::UserPrefix) => Value::from(format!(
            "the user part of its Request-URI starts with none of {}",
            rule.user_prefixes.join(", ")
        )),
        Some(Mismatch::Domain) => {
            Value::from(format!("the host of its Request-URI is none of {}", rule.domains.join(", ")))
        }
        Some(Mismatch::Source) => {
            let networks = rule.sources.iter().map(|network| format!("{}/{}", network.address, network.prefix_bits));
            Value::from(format!("it does not come from {}", networks.collect::<Vec<_>>().join(", ")))
        }
        Some(Mismatch::Header(at)) => {
            let name = rule.headers.get(at).map_or("?", |header| &*header.name);
            Value::from(format!("it has no header {name} of that value"))
        }
    };
    let taken = Value::from(mismatch.is_none());
    let action = match rule.action {
        crate::proxy::Action::Set(set) => Value::from(format!("set {}", set.0)),
        crate::proxy::Action::Reject(status) => Value::from(format!("reject {}", status.code())),
    };
    Value::of([("rule", Value::from(number)), ("taken", taken), ("why_not", why), ("action", action)])
}

fn shown_set(policy: &Policy, set: &Set, step: &SetStep) -> Value {
    let states = policy.table.states();
    let verdicts = set.destinations.iter().zip(&step.view.verdicts);
    let candidates = verdicts.map(|(destination, verdict)| candidate(states, destination, *verdict, step));
    let uris = step.targets.iter().filter_map(|target| policy.table.destination(*target));
    Value::of([
        ("set", Value::from(set.id.0)),
        ("name", Value::text_or_null(&set.name)),
        ("algorithm", Value::from(algorithm_name(set.algorithm))),
        ("turn", Value::from(step.view.turn)),
        ("hashed", Value::text_or_null(&step.hashed)),
        ("first_choice_sheds", Value::from(step.view.is_shed)),
        ("failover_limit", Value::from(set.failover_limit)),
        ("at_once", Value::from(u32::from(set.branches_max))),
        ("candidates", Value::Array(candidates.collect())),
        ("targets", Value::Array(uris.map(|known| Value::from(known.uri.as_str())).collect())),
    ])
}

fn candidate(states: &States, destination: &Destination, verdict: Verdict, step: &SetStep) -> Value {
    let at = destination.state;
    let rank = step.targets.iter().position(|target| *target == destination.id);
    let bound = |bound: u32| if bound == 0 { Value::Null } else { Value::from(bound) };
    Value::of([
        ("uri", Value::from(destination.uri.as_str())),
        ("duid", Value::from(destination.duid.as_str())),
        ("state", Value::fixed(states.health(at).name())),
        ("admin", Value::fixed(states.admin(at).name())),
        ("available", Value::from(states.is_available(at))),
        ("load", Value::from(states.load(at))),
        ("weight", Value::from(destination.weight)),
        ("rweight", Value::from(destination.rweight)),
        ("priority", Value::from(destination.priority)),
        ("maxload", bound(destination.maxload)),
        ("calls_per_second_max", bound(destination.calls_per_second_max)),
        ("target", rank.map_or(Value::Null, |rank| Value::from(rank + 1))),
        ("why_not", if rank.is_some() { Value::Null } else { Value::fixed(why_not(states, destination, verdict)) }),
    ])
}

fn why_not(states: &States, destination: &Destination, verdict: Verdict) -> &'static str {
    let is_at_maxload = destination.maxload > 0 && states.load(destination.state) >= u64::from(destination.maxload);
    match verdict {
        Verdict::Open => "it is behind as many targets as failover_limit allows",
        Verdict::Unavailable if states.admin(destination.state) != Admin::Enabled => {
            "an operator or the config keeps calls away"
        }
        Verdict::Unavailable if states.health(destination.state) == Health::Inactive => "it is inactive",
        Verdict::Unavailable => "it is ejected or held off because of what calls said",
        Verdict::LastResort => "it is a last resort, and others are available",
        Verdict::NoRoom if is_at_maxload => "it has as many calls as maxload allows",
        Verdict::NoRoom => "it has as many calls as it may have now, or as may come in a second",
        Verdict::Overloaded => "it wants fewer requests: overload control",
        Verdict::HeldBack => "it starts slowly, and this request goes to others",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_text_becomes_what_would_be_on_the_wire() {
        assert_eq!(on_the_wire("\nINVITE x\nTo: y\n"), b"INVITE x\r\nTo: y\r\n\r\n");
        assert_eq!(on_the_wire("INVITE x\r\nTo: y\r\n\r\nv=0\n"), b"INVITE x\r\nTo: y\r\n\r\nv=0\r\n");
    }
}
