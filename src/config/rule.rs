//! `[[rule]]`: which requests go to which set. Rules are tried in file order, and the first that takes a request wins.

use super::address::{self, HostPort};
use super::problem::nearest;
use super::reader::{Item, Section};
use super::set::SetNames;
use crate::limits;
use crate::proxy::settings::{Action, HeaderMatch, MethodName, Network, Rule, ValueMatch};
use crate::sip::Status;

/// Values that one condition of a rule may list.
const VALUES_MAX: usize = 1_024;

/// Methods that can start something (RFC 3261, 3262, 3265, 3311, 3428, 3515, 3903, 6086).
const METHODS: [&str; 10] =
    ["INVITE", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "INFO", "UPDATE"];

/// Reads all `[[rule]]`.
pub(super) fn rules(root: &mut Section<'_>, names: &SetNames) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for section in root.sections("rule", limits::RULES_MAX) {
        let behind_all = rules.last().is_some_and(takes_everything);
        rules.extend(rule(section, names, behind_all));
    }
    rules
}

fn takes_everything(rule: &Rule) -> bool {
    let Rule { methods, user_prefixes, domains, sources, headers, action: _ } = rule;
    methods.is_empty() && user_prefixes.is_empty() && domains.is_empty() && sources.is_empty() && headers.is_empty()
}

fn rule(mut section: Section<'_>, names: &SetNames, behind_all: bool) -> Option<Rule> {
    if behind_all {
        section.warn("a rule behind one without conditions", "a place above it: that one takes everything");
    }
    let methods = values(&mut section, "methods", method);
    let user_prefixes = values(&mut section, "user_prefix", user_prefix);
    let domains = values(&mut section, "domain", domain);
    let sources = values(&mut section, "source", source);
    let headers = values(&mut section, "header", header);
    let action = action(&mut section, names);
    section.finish();
    Some(Rule { methods, user_prefixes, domains, sources, headers, action: action? })
}

/// One value or a list of them; those that cannot be read are noted and left out.
fn values<T>(section: &mut Section<'_>, key: &'static str, read: fn(&Item<'_>) -> Option<T>) -> Vec<T> {
    let Some(item) = section.item(key) else {
        return Vec::new();
    };
    let items = item.one_or_list();
    if items.is_empty() || items.len() > VALUES_MAX {
        // An empty list would read as "any", which is the opposite of what it looks like.
        item.refuse_because(format!("{} values", items.len()), format!("1 to {VALUES_MAX}, or no {key} for any"));
    }
    items.iter().filter_map(read).collect()
}

fn method(item: &Item<'_>) -> Option<MethodName> {
    let allowed = "a method like INVITE";
    let text = item.text(allowed)?;
    if !is_token(text) {
        item.refuse(allowed);
        return None;
    }
    if !METHODS.contains(&text) {
        // RFC 3261 §7.1: methods are case-sensitive, so `invite` is an extension method that nobody sends.
        item.warn_near(format!("\"{text}\""), METHODS.join(", "), nearest(text, METHODS));
    }
    Some(MethodName(text.into()))
}

fn user_prefix(item: &Item<'_>) -> Option<String> {
    let allowed = "the start of a user part, like +4930";
    let text = item.text(allowed)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"@<>\"".contains(&byte)) {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

fn domain(item: &Item<'_>) -> Option<String> {
    let allowed = "a host without a port, like example.com";
    let text = item.text(allowed)?;
    if HostPort::parse(text).is_none_or(|place| place.port.is_some()) {
        item.refuse(allowed);
        return None;
    }
    Some(text.to_owned())
}

fn source(item: &Item<'_>) -> Option<Network> {
    let allowed = "a network like 192.0.2.0/24 or 2001:db8::/32, or an IP address";
    let network = address::network(item.text(allowed)?);
    if network.is_none() {
        item.refuse(allowed);
    }
    network
}

fn header(item: &Item<'_>) -> Option<HeaderMatch> {
    let mut section =
        item.section("{ name = \"X-Tenant\" }, with value = \"…\" or prefix = \"…\" if not any value will do")?;
    let name = section.required("name", "the name of a header").and_then(|name| header_name(&name));
    let value = section.item("value");
    let prefix = section.item("prefix");
    if value.is_some() && prefix.is_some() {
        section.refuse("", "both value and prefix", "one of them");
    }
    section.finish();
    let exact = value.and_then(|item| header_value(&item)).map(ValueMatch::Exact);
    let value = exact.or_else(|| prefix.and_then(|item| header_value(&item)).map(ValueMatch::Prefix));
    Some(HeaderMatch { name: name?, value })
}

fn header_name(item: &Item<'_>) -> Option<Box<str>> {
    let allowed = "the name of a header, like X-Tenant";
    let text = item.text(allowed)?;
    if !is_token(text) {
        item.refuse(allowed);
        return None;
    }
    Some(text.into())
}

fn header_value(item: &Item<'_>) -> Option<Box<str>> {
    let allowed = "a text on one line, without white space around it";
    let text = item.text(allowed)?;
    if text.chars().any(char::is_control) || text.trim() != text {
        item.refuse(allowed);
        return None;
    }
    Some(text.into())
}

fn action(section: &mut Section<'_>, names: &SetNames) -> Option<Action> {
    let set = section.item("set");
    let reject = section.item("reject");
    match (set, reject) {
        (Some(set), None) => names.resolve(&set).map(Action::Set),
        (None, Some(reject)) => reject.number(400..=699, "").and_then(Status::new).map(Action::Reject),
        (Some(_), Some(_)) => {
            section.refuse("", "both set and reject", "one of them");
            None
        }
        (None, None) => {
            section.refuse("", "neither set nor reject", "set = 1 (an id or a name) or reject = 403");
            None
        }
    }
}

/// RFC 3261 §25.1: `token`.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}
