//! `core.sockets_list`, `corex.list_sockets`: where requests come in.

use super::Method;
use super::core::read;
use crate::control::{Answer, Arguments, Control, Value};
use crate::proxy::settings::{Listen, Transport};

pub(super) const METHODS: &[Method] = &[
    read("core.sockets_list", "The listen addresses.", sockets_list),
    read("corex.list_sockets", "The listen addresses, with their names and what Via shows instead.", list_sockets),
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
