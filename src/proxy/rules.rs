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
    /// What to do with a new request; `None`: nobody takes it.
    pub(crate) fn action(&self, facts: &Facts<'_>) -> Option<Action> {
        let rule = self.rules.iter().find(|rule| takes(rule, facts));
        rule.map(|rule| rule.action).or_else(|| self.default_set.map(Action::Set))
    }
}

fn takes(rule: &Rule, facts: &Facts<'_>) -> bool {
    let bytes = facts.message.bytes;
    let any = |empty: bool, hit: bool| empty || hit;
    let method = facts.message.text(facts.message.head.method);
    let user = facts.uri.user.of(bytes);
    let host = facts.uri.host.of(bytes);
    any(rule.methods.is_empty(), rule.methods.iter().any(|name| name.matches(method)))
        && any(
            rule.user_prefixes.is_empty(),
            rule.user_prefixes.iter().any(|prefix| user.starts_with(prefix.as_bytes())),
        )
        && any(rule.domains.is_empty(), rule.domains.iter().any(|domain| host.eq_ignore_ascii_case(domain.as_bytes())))
        && any(rule.sources.is_empty(), rule.sources.iter().any(|network| network.contains(facts.source)))
        && rule.headers.iter().all(|wanted| has_header(facts.message, wanted))
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
        policy.action(&Facts { message: &message, uri: &uri, source })
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
