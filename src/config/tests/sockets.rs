//! `socket`, `sockname` and their kin: in the config, in a list, and in what a list is converted to.

use super::list_file::ListSurroundings;
use super::*;
use crate::dispatcher::{DestinationSpec, OutgoingSocket};

const TWO: &str = "listen = [\"udp:127.0.0.1:5060\", { address = \"udp:127.0.0.2\", name = \"carrier\" }, \
                   { address = \"udp:[::1]:5060\", name = \"six\", advertise = \"[2001:db8::1]\" }]\n";

fn with_destinations(list: &str) -> String {
    format!("{TWO}[[set]]\nid = 1\ndestinations = {list}\n")
}

/// Number of the socket of calls with its name for the duid, and number of the socket of probes.
type Sockets = (Option<(u8, String)>, Option<u8>);

fn sockets_of(spec: &DestinationSpec) -> Sockets {
    let own = spec.socket.clone().map(|OutgoingSocket { number, name }| (number, name));
    (own, spec.probe.socket)
}

fn own(number: u8, name: &str) -> Option<(u8, String)> {
    Some((number, name.to_owned()))
}

fn sockets(text: &str) -> Vec<Sockets> {
    let config = config(text);
    assert_eq!(config.warnings.to_string(), "", "{text}");
    config.sets[0].destinations.iter().map(sockets_of).collect()
}

#[test]
fn a_listen_address_may_have_a_name_also_as_a_table_of_its_own() {
    let names = |text: &str| {
        let listen = config(&format!("{text}{SET}")).settings.listen;
        listen.into_iter().map(|own| (own.name, own.address.to_string())).collect::<Vec<_>>()
    };
    let of = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(names(TWO), [of("", "127.0.0.1:5060"), of("carrier", "127.0.0.2:5060"), of("six", "[::1]:5060")]);
    let tables = "[[listen]]\naddress = \"udp:127.0.0.1\"\nname = \"a\"\n[[listen]]\naddress = \"udp:127.0.0.2\"\n";
    assert_eq!(names(tables), [of("a", "127.0.0.1:5060"), of("", "127.0.0.2:5060")]);
}

#[test]
fn names_of_listen_addresses_are_checked() {
    let told = |second: &str| {
        problems(&format!("listen = [{{ address = \"udp:127.0.0.1\", name = \"a\" }}, {second}]\n{SET}"))
    };
    assert_eq!(
        told("{ address = \"udp:127.0.0.2\", name = \"a\" }"),
        "f:1: listen[1]: found \"a\" again, allowed: a name of its own (127.0.0.1:5060 has this one)"
    );
    for name in ["", "a b", "udp:a", "127.0.0.1", "1;2", &"x".repeat(65)] {
        assert_eq!(
            told(&format!("{{ address = \"udp:127.0.0.2\", name = \"{name}\" }}")),
            format!(
                "f:1: listen[1].name: found \"{name}\", allowed: letters, digits, -, _ and ., at most 64, and no IP address"
            )
        );
    }
    // RFC 3261 §16.6 item 4: two Record-Route values must differ.
    assert_eq!(
        told("{ address = \"udp:127.0.0.2\", advertise = \"127.0.0.1\" }"),
        "f:1: warning: listen[1]: found 127.0.0.1:5060 advertised, as by 127.0.0.1:5060, allowed: another host or port: \
         requests of a call leave by the first of the two"
    );
    assert_eq!(told("{ address = \"udp:[::1]\", advertise = \"127.0.0.1\" }"), "");
}

#[test]
fn a_destination_asks_for_a_socket_by_address_or_by_name() {
    let list = "[{ uri = \"sip:127.0.0.11\", socket = \"udp:127.0.0.2:5060\" }, { uri = \"sip:127.0.0.11\", sockname = \"carrier\", \
                priority = 1 }, \"sip:127.0.0.11\", { uri = \"sip:127.0.0.12\", socket = \"udp:127.0.0.1\", ping_socket = \"carrier\" }, \
                { uri = \"sip:[::9]\", socket = \"udp:[2001:db8::1]\", ping_socket = \"udp:[::1]:5060\" }]";
    let text = with_destinations(list);
    let config = config(&text);
    let carrier = (own(1, "udp:127.0.0.2:5060"), None);
    let expected = [
        carrier.clone(),
        carrier,
        (None, None),
        (own(0, "udp:127.0.0.1:5060"), Some(1)),
        (own(2, "udp:[::1]:5060"), Some(2)),
    ];
    assert_eq!(config.sets[0].destinations.iter().map(sockets_of).collect::<Vec<_>>(), expected);
    // The same URI by the same socket is odd, by another one it is not.
    let again = "sip:127.0.0.11 again, allowed: each URI once in a set; a larger share is a larger weight";
    assert_eq!(config.warnings.to_string(), format!("f:4: warning: set[0].destinations[1]: found {again}"));
}

#[test]
fn a_socket_that_is_none_of_ours_or_of_the_other_family_is_an_error_that_names_those_that_exist() {
    let all = "a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 (\"carrier\"), udp:[::1]:5060 (\"six\")";
    let cases = [
        (
            "socket = \"udp:127.0.0.3:5060\"",
            "socket",
            "\"udp:127.0.0.3:5060\"",
            all,
            " (did you mean \"udp:127.0.0.1:5060\"?)",
        ),
        ("socket = \"tcp:127.0.0.9\"", "socket", "\"tcp:127.0.0.9\"", all, ""),
        ("socket = 7", "socket", "7", all, ""),
        ("sockname = \"carier\"", "sockname", "\"carier\"", all, " (did you mean \"carrier\"?)"),
        ("ping_socket = \"nothing\"", "ping_socket", "\"nothing\"", all, ""),
        (
            "socket = \"udp:127.0.0.1\", sockname = \"carrier\"",
            "sockname",
            "sockname beside socket",
            "one of the two",
            "",
        ),
        (
            "sockname = \"six\"",
            "sockname",
            "udp:[::1]:5060 (\"six\"), which is IPv6 and sends nothing to 127.0.0.11:5060",
            "a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 (\"carrier\")",
            "",
        ),
        (
            "ping_socket = \"udp:[::1]\"",
            "ping_socket",
            "udp:[::1]:5060 (\"six\"), which is IPv6 and sends nothing to 127.0.0.11:5060",
            "a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 (\"carrier\")",
            "",
        ),
    ];
    for (keys, key, found, allowed, near) in cases {
        let text = with_destinations(&format!("[{{ uri = \"sip:127.0.0.11\", {keys} }}]"));
        let expected = format!("f:4: set[0].destinations[0].{key}: found {found}, allowed: {allowed}{near}");
        assert_eq!(problems(&text), expected);
    }
    // No listen address is known: that is told, and nothing else.
    let text = with_destinations("[{ uri = \"sip:127.0.0.11\", sockname = \"carrier\" }]").replace("udp:", "xyz:");
    assert!(!problems(&text).contains("sockname"), "{}", problems(&text));
}

#[test]
fn defaults_hold_where_a_destination_says_nothing_and_the_family_fits() {
    // Kamailio's order: ping_socket, the destination's socket, ds_ping_socket, ds_default_sockname.
    let list = "[\"sip:127.0.0.11\", \"sip:[::9]\", { uri = \"sip:127.0.0.12\", socket = \"udp:127.0.0.1\" }, \
                { uri = \"sip:127.0.0.13\", ping_socket = \"udp:127.0.0.2\" }]";
    let plain = with_destinations(list);
    let with = |root: &str, prober: &str| format!("{root}\n{plain}[prober]\ninterval_ms = 5000\n{prober}\n");
    let own_0 = own(0, "udp:127.0.0.1:5060");
    let none = || (None, None);
    assert_eq!(sockets(&with("", "")), [none(), none(), (own_0.clone(), None), (None, Some(1))]);
    assert_eq!(
        sockets(&with("default_sockname = \"carrier\"", "")),
        [(own(1, ""), None), none(), (own_0.clone(), None), (own(1, ""), Some(1))]
    );
    assert_eq!(
        sockets(&with("default_socket = \"udp:[::1]:5060\"", "socket = \"udp:127.0.0.1\"")),
        [(None, Some(0)), (own(2, ""), None), (own_0, None), (None, Some(1))]
    );
    assert_eq!(
        problems(&with("default_sockname = \"cariers\"", "socket = \"nothing\"")),
        "f:1: default_sockname: found \"cariers\", allowed: a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 \
         (\"carrier\"), udp:[::1]:5060 (\"six\") (did you mean \"carrier\"?)\n\
         f:8: prober.socket: found \"nothing\", allowed: a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 (\"carrier\"), \
         udp:[::1]:5060 (\"six\")"
    );
}

#[test]
fn the_lines_of_a_list_ask_for_sockets_and_those_that_ask_for_none_of_ours_are_left_out() {
    let list = "1 sip:127.0.0.11 0 0 socket=udp:127.0.0.2:5060\n\
                1 sip:127.0.0.11 0 0 sockname=carrier;priority=1\n\
                1 sip:127.0.0.11 0 0 SOCKNAME=six\n\
                1 sip:127.0.0.12 0 0 socket=tcp:127.0.0.2:5060\n\
                1 sip:127.0.0.12 0 0 sockname=carier\n\
                1 sip:127.0.0.12 0 0 socket=127.0.0.9:1;sockname=carrier;ping_socket=127.0.0.1:5060\n\
                1 sip:127.0.0.13 0 0 ping_socket=udp:127.0.0.9\n\
                1 sip:127.0.0.11\n";
    let listen = config(&format!("{TWO}{SET}")).settings.listen;
    let (sets, told) = list_file::parse(list, "l", ListSurroundings { listen: &listen, probes: true });
    let carrier = || own(1, "udp:127.0.0.2:5060");
    let expected = [(carrier(), None), (carrier(), None), (carrier(), Some(0)), (None, None)];
    assert_eq!(sets[0].destinations.iter().map(sockets_of).collect::<Vec<_>>(), expected);
    let all = "a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 (\"carrier\"), udp:[::1]:5060 (\"six\")";
    let lines: Vec<String> = told.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 6, "{told}");
    assert!(lines[0].starts_with("l:2: warning: uri: found sip:127.0.0.11 again in set 1"), "{told}");
    assert_eq!(
        lines[1],
        "l:3: line left out: attrs.sockname: found udp:[::1]:5060 (\"six\"), which is IPv6 and sends nothing to 127.0.0.11:5060, \
         allowed: a listen address: udp:127.0.0.1:5060, udp:127.0.0.2:5060 (\"carrier\")"
    );
    assert!(
        lines[2].starts_with("l:4: line left out: attrs.socket: found \"tcp:127.0.0.2:5060\", allowed: "),
        "{told}"
    );
    assert_eq!(
        lines[3],
        format!("l:5: line left out: attrs.sockname: found \"carier\", allowed: {all} (did you mean \"carrier\"?)")
    );
    assert_eq!(
        lines[4],
        "l:6: warning: attrs.socket: found socket beside sockname, which is the one that is used, allowed: one of the two"
    );
    assert!(
        lines[5].starts_with("l:7: line left out: attrs.ping_socket: found \"udp:127.0.0.9\", allowed: "),
        "{told}"
    );
}

#[test]
fn what_a_list_is_converted_to_listens_where_the_list_asks_for() {
    let list = "1 sip:127.0.0.11 0 0 socket=udp:192.0.2.1:5060\n1 sip:127.0.0.11 0 0 sockname=carrier\n\
                1 sip:[::9] 0 0 sockname=six;ping_socket=udp:[2001:db8::1]:5070\n\
                1 sip:127.0.0.12 0 0 socket=udp:192.0.2.2;sockname=trunk\n1 sip:127.0.0.12 0 0 ping_socket=udp:192.0.2.2:5060\n";
    let toml = convert::to_toml(list, "l").unwrap();
    let listen = "listen = [\n    \"udp:192.0.2.1:5060\",\n    { address = \"udp:127.0.0.1:5060\", name = \"carrier\" },\n    \
                  { address = \"udp:[::1]:5060\", name = \"six\" },\n    \"udp:[2001:db8::1]:5070\",\n    \
                  { address = \"udp:192.0.2.2:5060\", name = \"trunk\" },\n]\n";
    assert!(toml.contains(listen), "{toml}");
    for line in [
        "{ uri = \"sip:127.0.0.11\", socket = \"udp:192.0.2.1:5060\", attrs = ",
        "{ uri = \"sip:127.0.0.11\", sockname = \"carrier\", attrs = ",
        "{ uri = \"sip:[::9]\", sockname = \"six\", ping_socket = \"udp:[2001:db8::1]:5070\", attrs = ",
        "{ uri = \"sip:127.0.0.12\", sockname = \"trunk\", attrs = ",
        "{ uri = \"sip:127.0.0.12\", ping_socket = \"trunk\", attrs = ",
    ] {
        assert!(toml.contains(line), "{line} in\n{toml}");
    }
    assert_eq!(problems(&toml), "");
    // A name alone says nothing of where requests come in.
    let toml = convert::to_toml("1 sip:127.0.0.1 0 0 sockname=carrier\n", "l").unwrap();
    let listen =
        "listen = [\n    { address = \"udp:127.0.0.1:5061\", name = \"carrier\" },\n    \"udp:127.0.0.1:5062\",\n]\n";
    assert!(toml.contains(listen), "{toml}");
}
