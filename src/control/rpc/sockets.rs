//! `core.sockets_list`, `corex.list_sockets`: where requests come in; the names that are ours besides; and that nothing comes by TCP.

use super::Method;
use crate::control::{Answer, Arguments, Control, Fault, Value};
use crate::proxy::settings::{Listen, Transport};

/// What Kamailio says with `disable_tcp=yes`.
const NO_TCP: &str = "tcp support disabled";

pub(super) const METHODS: &[Method] = &[
    Method::look("core.sockets_list", "The listen addresses.", &[], sockets_list),
    Method::look(
        "corex.list_sockets",
        "The listen addresses, with their names and what Via shows instead.",
        &[],
        list_sockets,
    ),
    Method::look("core.aliases_list", "The names besides the listen addresses that are ours.", &[], aliases_list),
    Method::look("corex.list_aliases", "The same in corex's names.", &[], list_aliases),
    Method::look("core.tcp_info", "A fault: siplane speaks UDP.", &[], no_tcp),
    Method::look("core.tcp_options", "A fault: siplane speaks UDP.", &[], no_tcp),
    Method::look("core.tcp_list", "A fault: siplane speaks UDP.", &[], no_tcp),
];

const fn transport(listen: &Listen) -> &'static str {
    match listen.transport {
        Transport::Udp => "udp",
    }
}

/// As Kamailio has it: a struct with one socket in each.
fn sockets_list(control: &Control, _: &Arguments) -> Answer {
    let socket = |listen: &Listen| {
        let address = Value::from(listen.address.ip().to_string());
        let socket = Value::of([
            ("proto", Value::fixed(transport(listen))),
            ("address", address.clone()),
            ("ipaddress", address),
            ("port", Value::from(listen.address.port().to_string())),
            ("mcast", Value::fixed("no")),
            ("mhomed", Value::fixed("no")),
            ("virtual", Value::fixed("no")),
        ]);
        Value::of([("socket", socket)])
    };
    Ok(control.settings().listen.iter().map(socket).collect())
}

fn list_sockets(control: &Control, _: &Arguments) -> Answer {
    let or_dash = |text: &str| if text.is_empty() { Value::fixed("-") } else { Value::from(text) };
    let socket = |listen: &Listen| {
        let address = listen.address.ip().to_string();
        let shown = if listen.advertised == listen.address.to_string() { "" } else { listen.advertised.as_str() };
        Value::of([
            ("PROTO", Value::fixed(transport(listen))),
            ("NAME", Value::from(address.as_str())),
            ("ADDRLIST", Value::of([("ADDR", Value::from(address.as_str()))])),
            ("PORT", Value::from(listen.address.port().to_string())),
            ("MCAST", Value::fixed("no")),
            ("MHOMED", Value::fixed("no")),
            ("VIRTUAL", Value::fixed("no")),
            ("SOCKNAME", or_dash(&listen.name)),
            ("ADVERTISE", or_dash(shown)),
        ])
    };
    Ok(control.settings().listen.iter().map(socket).collect())
}

/// Any port or transport of the name is meant where it has none, which Kamailio writes as `*` and, in corex, as 0.
fn aliases_list(control: &Control, _: &Arguments) -> Answer {
    let alias = |alias: &String| {
        let (host, port) = host_and_port(alias);
        let port = port.map_or_else(|| Value::fixed("*"), Value::from);
        let alias = [("proto", Value::fixed("*")), ("address", Value::from(host)), ("port", port)];
        Value::of([("alias", Value::of(alias))])
    };
    let aliases = control.settings().aliases.iter().map(alias).collect();
    Ok(Value::of([("myself_callbacks", Value::fixed("no")), ("aliases", aliases)]))
}

fn list_aliases(control: &Control, _: &Arguments) -> Answer {
    let alias = |alias: &String| {
        let (host, port) = host_and_port(alias);
        let port = Value::from(port.and_then(|port| port.parse::<u32>().ok()).unwrap_or(0));
        Value::of([("PROTO", Value::fixed("*")), ("ADDR", Value::from(host)), ("PORT", port)])
    };
    Ok(control.settings().aliases.iter().map(alias).collect())
}

/// `sip.example.com:5070`: the host, and the port if there is one.
fn host_and_port(alias: &str) -> (&str, Option<&str>) {
    match alias.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (alias, None),
    }
}

fn no_tcp(_: &Control, _: &Arguments) -> Answer {
    Err(Fault::refused("siplane speaks UDP", NO_TCP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_may_have_a_port() {
        assert_eq!(host_and_port("sip.example.com"), ("sip.example.com", None));
        assert_eq!(host_and_port("sip.example.com:5070"), ("sip.example.com", Some("5070")));
        assert_eq!(host_and_port("[2001:db8::1]"), ("[2001:db8::1]", None));
        assert_eq!(host_and_port("[2001:db8::1]:5070"), ("[2001:db8::1]", Some("5070")));
    }
}
