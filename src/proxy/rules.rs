//! Which rule takes a request: the first whose conditions all hold.

use super::settings::{Action, HeaderMatch, Policy, Rule, ValueMatch};
use crate::sip::{Message, Uri, fields, header_is};
use std::net::IpAddr;

/// What rules look at.
pub(crate) struct Facts<'a> {
    pub(crate) message: &'a Message<'a>,
    /// The Request-URI after RFC 3261 §16.4.
    pub(crate) uri: &'a Uri,
    pub(crate) source: IpAddr,
}

impl Policy {
    /// What to do with a new request, and the number of the rule that says so, [`DEFAULT_SET`] when none does; `None`: nobody takes it.
    pub(crate) fn action(&self, facts: &Facts<'_>) -> Option<(u16, Action)> {
        let rule = (1..).zip(&self.rules).find(|(_, rule)| mismatch(rule, facts).is_none());
        rule.map(|(number, rule)| (number, rule.action))
            .or_else(|| self.default_set.map(|set| (DEFAULT_SET, Action::Set(set))))
    }
}

/// Stands for the number of a rule, which count from 1, where no rule took the request but the default set.
pub const DEFAULT_SET: u16 = 0;

const _: () = assert!(crate::limits::RULES_MAX < u16::MAX as usize);

/// Which condition of a rule a request does not meet; the first of those, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// Its method.
    Method,
    /// How the user part of its Request-URI starts.
    UserPrefix,
    /// The host of its Request-URI.
    Domain,
    /// Where it came from.
    Source,
    /// This one of the rule's headers, from 0.
    Header(usize),
}

/// Why the rule does not take the request; none: it does.
#[inline]
pub(super) fn mismatch(rule: &Rule, facts: &Facts<'_>) -> Option<Mismatch> {
    let bytes = facts.message.bytes;
    let any = |empty: bool, hit: bool| empty || hit;
    let method = facts.message.text(facts.message.head.method);
    if !any(rule.methods.is_empty(), rule.methods.iter().any(|name| name.matches(method))) {
        return Some(Mismatch::Method);
    }
    let user = facts.uri.user.of(bytes);
    let starts = rule.user_prefixes.iter().any(|prefix| user.starts_with(prefix.as_bytes()));
    if !any(rule.user_prefixes.is_empty(), starts) {
        return Some(Mismatch::UserPrefix);
    }
    let host = facts.uri.host.of(bytes);
    let is_there = rule.domains.iter().any(|domain| host.eq_ignore_ascii_case(domain.as_bytes()));
    if !any(rule.domains.is_empty(), is_there) {
        return Some(Mismatch::Domain);
    }
    if !any(rule.sources.is_empty(), rule.sources.iter().any(|network| network.contains(facts.source))) {
        return Some(Mismatch::Source);
    }
    rule.headers.iter().position(|wanted| !has_header(facts.message, wanted)).map(Mismatch::Header)
}

fn has_header(message: &Message<'_>, wanted: &HeaderMatch) -> bool {
    let named = fields(message).filter(|field| header_is(message.text(field.name), wanted.name.as_bytes()));
    named.map(|field| message.text(field.value).trim_ascii()).any(|value| match &wanted.value {
        None => true,
        Some(ValueMatch::Exact(whole)) => value == whole.as_bytes(),
        Some(ValueMatch::Prefix(start)) => value.starts_with(start.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::{MethodName, Network};
    use super::*;
    use crate::dispatcher::{SetId, Table};
    use crate::sip::{Status, scan};

    fn rule(action: Action) -> Rule {
        let (methods, user_prefixes, domains, sources, headers) = Default::default();
        Rule { methods, user_prefixes, domains, sources, headers, action }
    }

    fn action(rules: Vec<Rule>, uri: &str) -> Option<Action> {
        let policy = Policy { table: Table::build(vec![], None).unwrap(), rules, default_set: Some(SetId(99)) };
        let text = format!("INVITE {uri} SIP/2.0\r\ns: hello\r\nX-Tenant: acme-7\r\n\r\n");
        let message = scan(text.as_bytes());
        let uri = Uri::parse(message.bytes, message.head.uri).unwrap();
        let source = "192.0.2.7".parse().unwrap();
        policy.action(&Facts { message: &message, uri: &uri, source }).map(|(_, action)| action)
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_wins() {
        let set = |id| Action::Set(SetId(id));
        let header = |name: &str, value| HeaderMatch { name: name.into(), value };
        let rules = vec![
            Rule { methods: vec![MethodName("REGISTER".into())], ..rule(set(1)) },
            Rule {
                user_prefixes: vec!["+44".into(), "0044".into()],
                domains: vec!["Example.com".into()],
                ..rule(set(2))
            },
            Rule { sources: vec![Network { address: "10.0.0.0".parse().unwrap(), prefix_bits: 8 }], ..rule(set(3)) },
            Rule { headers: vec![header("subject", Some(ValueMatch::Exact("bye".into())))], ..rule(set(4)) },
            Rule {
                headers: vec![header("x-tenant", Some(ValueMatch::Prefix("acme".into())))],
                user_prefixes: vec!["9".into()],
                ..rule(set(5))
            },
            Rule { domains: vec!["blocked.example".into()], ..rule(Action::Reject(Status::FORBIDDEN)) },
        ];
        assert_eq!(action(rules.clone(), "sip:+441@EXAMPLE.com"), Some(set(2)));
        assert_eq!(action(rules.clone(), "sip:+441@example.net"), Some(set(99)));
        assert_eq!(action(rules.clone(), "sip:911@h"), Some(set(5)));
        assert_eq!(action(rules.clone(), "sip:1@blocked.example"), Some(Action::Reject(Status::FORBIDDEN)));
        assert_eq!(action(rules, "sip:1@h"), Some(set(99)));
        let subject = vec![Rule { headers: vec![header("Subject", None)], ..rule(set(6)) }];
        assert_eq!(action(subject, "sip:1@h"), Some(set(6)), "a compact name counts as its long one");
    }
}
