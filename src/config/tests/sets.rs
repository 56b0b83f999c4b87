//! Problems of sets, destinations and rules, in the words that an operator reads.

use super::*;
use crate::dispatcher::{Algorithm, DestinationSpec, FailoverCodes, HashInput, HashKind, HeaderName, LoadChoice};
use crate::dispatcher::{OverloadBounds, ProbeSpec, SetSpec};
use crate::limits;

/// A destination list and what is said about it.
const DESTINATION_CASES: &[(&str, &str)] = &[
    (
        "[\"sip:bridge-1:5060\"]",
        "f:4: set[0].destinations[0]: found \"sip:bridge-1:5060\" with a host name, allowed: a SIP URI with an IP address, \
         like sip:192.0.2.11:5060; names come with a later version",
    ),
    (
        "[\"127.0.0.11:5060\"]",
        "f:4: set[0].destinations[0]: found \"127.0.0.11:5060\", allowed: a SIP URI with an IP address, like \
         sip:192.0.2.11:5060 (did you mean \"sip:127.0.0.11:5060\"?)",
    ),
    (
        "[\"sip:127.0.0.11;a=\\r\\nX: y\"]",
        "f:4: set[0].destinations[0]: found \"sip:127.0.0.11;a=\\r\\nX: y\", allowed: a SIP URI with an IP address, like \
         sip:192.0.2.11:5060",
    ),
    (
        "[\"tel:+4930\", \"sip:127.0.0.11;maddr=127.0.0.12\"]",
        "f:4: set[0].destinations[0]: found \"tel:+4930\", allowed: a SIP URI with an IP address, like sip:192.0.2.11:5060\n\
         f:4: set[0].destinations[1]: found ;maddr=127.0.0.12, allowed: a URI without it; where requests go is the host",
    ),
    (
        "[\"sips:127.0.0.11\"]",
        "f:4: set[0].destinations[0]: found \"sips:127.0.0.11\", allowed: sip: (UDP only yet; TLS comes with a later version)",
    ),
    (
        "[\"sip:127.0.0.11;transport=tcp\"]",
        "f:4: set[0].destinations[0]: found ;transport=tcp, allowed: ;transport=udp or none (UDP only yet)",
    ),
    (
        "[\"sip:127.0.0.11;lr;weight=10\"]",
        "f:4: warning: set[0].destinations[0]: found ;weight=10 in the URI, where it is a URI parameter and no weight, \
         allowed: { uri = \"sip:127.0.0.11\", weight = 10 }",
    ),
    (
        "[\"sip:127.0.0.11\", \"sip:127.0.0.11\"]",
        "f:4: warning: set[0].destinations[1]: found sip:127.0.0.11 again, allowed: each URI once in a set; a larger share is \
         a larger weight",
    ),
    (
        "[\"sip:127.0.0.1:5060\"]",
        "f:4: set[0].destinations[0]: found 127.0.0.1:5060, which is a listen address of our own, allowed: another address: \
         it would be a loop",
    ),
    (
        "[\"sip:[::1]:5060\"]",
        "f:4: warning: set[0].destinations[0]: found [::1]:5060, while no listen address is IPv6, allowed: one more IPv6 \
         address in listen",
    ),
    (
        "[\"sip:0.0.0.0\"]",
        "f:4: set[0].destinations[0]: found 0.0.0.0:5060, where nothing can be sent, allowed: a SIP URI with an IP address, \
         like sip:192.0.2.11:5060",
    ),
    (
        "[\"sip:127.0.0.11?Subject=x\"]",
        "f:4: set[0].destinations[0]: found \"sip:127.0.0.11?Subject=x\" with headers, allowed: a URI without ?: it becomes \
         a Request-URI",
    ),
    (
        "[{ uri = \"sip:127.0.0.11\", weight = 65536 }, { weight = 1 }]",
        "f:4: set[0].destinations[0].weight: found 65536, allowed: 0 to 65535\n\
         f:4: set[0].destinations[1].uri: found nothing, allowed: a SIP URI with an IP address, like sip:192.0.2.11:5060",
    ),
    (
        "[{ uri = \"sip:127.0.0.11\", duid = \"a\" }, { uri = \"sip:127.0.0.12\", duid = \"a\", disabled = 1 }]",
        "f:4: set[0].destinations[1]: found duid \"a\" again, allowed: a duid of its own for each destination\n\
         f:4: set[0].destinations[1].disabled: found 1, allowed: true, false",
    ),
    (
        "[{ uri = \"sip:127.0.0.11\", cc = 1, latency_ms = 60001 }]",
        "f:4: set[0].destinations[0].cc: found 1, allowed: true, false\n\
         f:4: set[0].destinations[0].latency_ms: found 60001, allowed: 0 to 60000",
    ),
    (
        "[{ uri = \"sip:127.0.0.11\", duid = \"a b\" }]",
        "f:4: set[0].destinations[0].duid: found \"a b\", allowed: letters, digits, -, _, . and :, at most 64",
    ),
];

#[test]
fn how_a_destination_is_probed_is_checked() {
    for (keys, expected) in [
        ("probing = \"no\"", "f:4: set[0].destinations[0].probing: found \"no\", allowed: true, false, \"never\""),
        (
            "probing = true",
            "f:2: warning: set[0]: found 1 destinations with probing or inactive, which nothing probes, allowed: interval_ms \
             above 0 in [prober], or probe_interval_ms",
        ),
        (
            "cc = true",
            "f:2: warning: set[0]: found 1 destinations with cc that nothing probes, so that no congestion is seen, allowed: \
             interval_ms above 0 in [prober], or probe_interval_ms, and no probing = \"never\"",
        ),
        (
            "probe_interval_ms = 500, probe_timeout_ms = 500",
            "f:4: warning: set[0].destinations[0].probe_timeout_ms: found 500, allowed: less than the probes' interval (500 ms), \
             or they pile up",
        ),
        (
            "ping_from = \"<sip:a>\"",
            "f:4: set[0].destinations[0].ping_from: found \"<sip:a>\", allowed: a SIP URI without < and >, like \
             sip:siplane@example.com",
        ),
        ("ocmin = 101", "f:4: set[0].destinations[0].ocmin: found 101, allowed: 0 to 100"),
        ("ocmax = \"all\"", "f:4: set[0].destinations[0].ocmax: found \"all\", allowed: 0 to 100"),
        (
            "ocrate = 20",
            "f:2: warning: set[0]: found 1 destinations with ocmin, ocmax or ocrate, which count for nothing without overload \
             control, allowed: overload_control = true",
        ),
        (
            "attrs = \"a\\r\\nX: y\"",
            "f:4: set[0].destinations[0].attrs: found \"a\\r\\nX: y\", allowed: a text on one line, at most 4096 bytes, like \
             \"region=eu;rack=7\"",
        ),
    ] {
        assert_eq!(destination_problems(&format!("[{{ uri = \"sip:127.0.0.11\", {keys} }}]")), expected);
    }
}

#[test]
fn destinations_are_checked() {
    for (list, expected) in DESTINATION_CASES {
        assert_eq!(destination_problems(list), *expected);
    }
    assert_eq!(destination_problems("[\"sip:127.0.0.11;transport=UDP\", \"sip:gw;a=1@127.0.0.12:5080\"]"), "");
}

/// Keys of a set and what is said about them.
const SET_CASES: &[(&str, &str)] = &[
    (
        "algorithm = 16",
        "f:5: set[0].algorithm: found 16, allowed: of Kamailio's numbers 0 (hash-call-id), 1 (hash-from-uri), 2 (hash-to-uri), \
             3 (hash-request-uri), 4 (round-robin), 5 (hash-auth-user), 6 (random), 8 (priority), 9 (weight), 10 (call-load), \
             11 (relative-weight), 12 (parallel), 13 (latency), 14 (round-robin-or-priority), 15 (srv), 64 (round-robin-overload)",
    ),
    (
        "algorithm = 7",
        "f:5: set[0].algorithm: found 7 (the hash of a pseudo-variable in Kamailio), allowed: \"hash-header:NAME\", or \
             another hash",
    ),
    ("algorithm = 12\nbranches_max = 9", "f:6: set[0].branches_max: found 9, allowed: 1 to 8"),
    (
        "algorithm = \"priority\"\nbranches_max = 2",
        "f:6: set[0].branches_max: found 2, allowed: no branches_max, or algorithm = \"parallel\"",
    ),
    ("branches_max = 2", "f:5: set[0].branches_max: found 2, allowed: no branches_max, or algorithm = \"parallel\""),
    (
        "algorithm = 64\noverload_control = false",
        "f:6: set[0].overload_control: found false with algorithm round-robin-overload, allowed: true, or algorithm = \
             \"round-robin\"",
    ),
    (
        "overload_control = true\n[[set]]\nid = 2\noverload_control = true\n\
             destinations = [{ uri = \"sip:127.0.0.12\", ocmin = 9, ocmax = 8 }]",
        "f:9: set[1].destinations[0].ocmax: found 8, allowed: at least ocmin (9)",
    ),
    ("overload_control = \"on\"", "f:5: set[0].overload_control: found \"on\", allowed: true, false"),
    (
        "algorithm = \"legacy-hash-header:a b\"",
        "f:5: set[0].algorithm: found \"legacy-hash-header:a b\", allowed: a header's name of at most 31 letters, digits and - \
             behind hash-header:",
    ),
    (
        "algorithm = \"legacy-hash-cal-id\"",
        "f:5: set[0].algorithm: found \"legacy-hash-cal-id\", allowed: round-robin, round-robin-overload, random, priority, weight, \
             relative-weight, call-load, call-load-two-choices, latency, parallel, round-robin-or-priority, srv, hash-call-id, \
             hash-from-uri, hash-to-uri, hash-request-uri, hash-auth-user, hash-header:NAME, and legacy- before a hash (did you mean \
             \"legacy-hash-call-id\"?)",
    ),
    ("slow_start_s = 3601", "f:5: set[0].slow_start_s: found 3601, allowed: 0 to 3600"),
    ("rewrite_uri = 1", "f:5: set[0].rewrite_uri: found 1, allowed: true, false"),
    ("fallback = 2", "f:5: set[0].fallback: found 2, allowed: a set that exists: 1"),
    ("fallback = 1", "f:5: set[0].fallback: found a circle: 1 → 1, allowed: a set whose own fallbacks end"),
    ("failover_limit = 17", "f:5: set[0].failover_limit: found 17, allowed: 1 to 16"),
    (
        "failover_codes = [399, \"7xx\", \"!\"]",
        "f:5: set[0].failover_codes[0]: found 399, allowed: codes 400 to 699, classes \"4xx\" to \"6xx\", and either with ! in \
             front\n\
             f:5: set[0].failover_codes[1]: found \"7xx\", allowed: codes 400 to 699, classes \"4xx\" to \"6xx\", and either with ! \
             in front\n\
             f:5: set[0].failover_codes[2]: found \"!\", allowed: codes 400 to 699, classes \"4xx\" to \"6xx\", and either with ! in \
             front",
    ),
    (
        "failover_codes = [\"!501\", \"5xx\"]",
        "f:5: warning: set[0].failover_codes[0]: found \"!501\", which takes out nothing, allowed: ! behind the codes that it \
             takes out of",
    ),
    // RFC 3261 §16.7.5: after a 6xx no new branch may be added.
    (
        "failover_codes = [603]",
        "f:5: warning: set[0].failover_codes: found 6xx codes, allowed: codes below 600: a 6xx says that no other destination \
             will take the call (RFC 3261 §16.7)",
    ),
    (
        "answer_timeout_ms = 40000",
        "f:5: warning: set[0].answer_timeout_ms: found 40000, allowed: at most 32000 (64*T1): Timer B ends the wait there",
    ),
    (
        "when_exhausted = \"best\"",
        "f:5: set[0].when_exhausted: found \"best\", allowed: best-response, 503 (did you mean \"best-response\"?)",
    ),
    (
        "name = \"7\"",
        "f:5: set[0].name: found \"7\", allowed: letters, digits, -, _ and ., at most 64, and not a number",
    ),
];

#[test]
fn the_keys_of_a_set_are_checked() {
    for (text, expected) in SET_CASES {
        assert_eq!(set_problems(text), *expected);
    }
    let text = format!("name = \"a\"\n{}name = \"a\"\n{}", SET.replace("id = 1", "id = 2"), SET);
    assert_eq!(
        set_problems(&text),
        "f:9: set[1].name: found \"a\" again, allowed: a name of its own (line 3 has this one)\n\
         f:11: set[2].id: found 1 again, allowed: an id of its own (line 3 has this one)"
    );
}

#[test]
fn algorithms_have_names_and_the_numbers_that_kamailio_gives_them() {
    let hash = |input| Algorithm::Hash(input, HashKind::Consistent);
    let legacy = |input| Algorithm::Hash(input, HashKind::Legacy);
    let header = |name| HashInput::Header(HeaderName::new(name).unwrap());
    for (name, number, algorithm) in [
        ("round-robin", Some(4), Algorithm::RoundRobin),
        ("round-robin-overload", Some(64), Algorithm::RoundRobinOverload),
        ("random", Some(6), Algorithm::Random),
        ("priority", Some(8), Algorithm::Priority),
        ("weight", Some(9), Algorithm::Weight),
        ("relative-weight", Some(11), Algorithm::RelativeWeight),
        ("call-load", Some(10), Algorithm::CallLoad(LoadChoice::Exact)),
        ("call-load-two-choices", None, Algorithm::CallLoad(LoadChoice::TwoChoices)),
        ("latency", Some(13), Algorithm::Latency),
        ("parallel", Some(12), Algorithm::Parallel),
        ("round-robin-or-priority", Some(14), Algorithm::RoundRobinOrPriority),
        ("srv", Some(15), Algorithm::Srv),
        ("hash-call-id", Some(0), hash(HashInput::CallId)),
        ("hash-from-uri", Some(1), hash(HashInput::FromUri)),
        ("hash-to-uri", Some(2), hash(HashInput::ToUri)),
        ("hash-request-uri", Some(3), hash(HashInput::RequestUri)),
        ("hash-auth-user", Some(5), hash(HashInput::AuthUser)),
        ("hash-header:X-Tenant", None, hash(header("x-tenant"))),
        ("legacy-hash-call-id", None, legacy(HashInput::CallId)),
        ("legacy-hash-from-uri", None, legacy(HashInput::FromUri)),
        ("legacy-hash-to-uri", None, legacy(HashInput::ToUri)),
        ("legacy-hash-request-uri", None, legacy(HashInput::RequestUri)),
        ("legacy-hash-auth-user", None, legacy(HashInput::AuthUser)),
        ("legacy-hash-header:Subject", None, legacy(header("subject"))),
    ] {
        let number = number.map(|number: u8| [number.to_string(), format!("\"{number}\"")]);
        for value in number.into_iter().flatten().chain([format!("\"{name}\"")]) {
            let text = format!("{LISTEN}{SET}algorithm = {value}\n");
            assert_eq!(config(&text).sets[0].algorithm, algorithm, "{value}");
        }
        assert_eq!(algorithm_name(algorithm), name.to_ascii_lowercase());
    }
}

#[test]
fn a_parallel_set_says_how_many_destinations_ring_at_once() {
    let read = |more: &str| config(&format!("{LISTEN}{SET}algorithm = \"parallel\"\n{more}")).sets[0].branches_max;
    assert_eq!([read(""), read("branches_max = 1"), read("branches_max = 8")], [4, 1, limits::BRANCHES_MAX]);
}

/// Sets 1 to `count`, each of which falls back on the next; the last one on `last`, if that is one.
fn chained(count: usize, last: usize) -> String {
    let set = |id: usize| {
        let next = if id < count { id + 1 } else { last };
        let fallback = if next == 0 { String::new() } else { format!("fallback = {next}\n") };
        format!("{}{fallback}", SET.replace("id = 1", &format!("id = {id}\nname = \"s{id}\"")))
    };
    LISTEN.to_owned() + &(1..=count).map(set).collect::<String>()
}

#[test]
fn fallbacks_name_sets_above_and_below_and_end() {
    let most = limits::CHAIN_MAX;
    let read = config(&chained(most, 0));
    let fallbacks: Vec<_> = read.sets.iter().map(|set| set.fallback).collect();
    let expected: Vec<_> = (2..=8).map(|id| Some(SetId(id))).chain([None]).collect();
    assert_eq!(fallbacks, expected);
    assert_eq!(config(&chained(2, 0).replace("fallback = 2", "fallback = \"s2\"")).sets[0].fallback, Some(SetId(2)));
    assert_eq!(
        problems(&chained(most + 1, 0)),
        "f:6: set[0].fallback: found a chain of more than 8 sets, allowed: at most 8 sets, with the first"
    );
    // Set 1 leads into the circle of 2 and 3, which alone tell of it.
    assert_eq!(
        problems(&chained(3, 2)),
        "f:11: set[1].fallback: found a circle: 2 → 3 → 2, allowed: a set whose own fallbacks end\n\
         f:16: set[2].fallback: found a circle: 3 → 2 → 3, allowed: a set whose own fallbacks end"
    );
}

#[test]
fn all_that_a_destination_and_a_set_can_say_is_read() {
    let destination = "{ uri = \"sip:127.0.0.11\", rweight = 3, maxload = 7, calls_per_second_max = 5, last_resort = true, \
                       cc = true, latency_ms = 35, \
                       inactive = true, attrs = \"a=1\", probing = true, probe_interval_ms = 1000, probe_timeout_ms = 900, \
                       probe_method = \"INFO\", ping_from = \"sip:p@h\", reply_codes = [404, \"!404\", 486], probing_threshold = 4, \
                       inactive_threshold = 5, ocmin = 1, ocmax = 90, ocrate = 2 }";
    let text = format!(
        "{LISTEN}[[set]]\nid = 1\nrewrite_uri = true\noverload_control = true\nslow_start_s = 30\ndestinations = [{destination}]\n"
    );
    let config = config(&text);
    assert_eq!(config.warnings.to_string(), "");
    let probe = ProbeSpec {
        flagged: true,
        never: false,
        interval: Some(Duration::from_secs(1)),
        timeout: Some(Duration::from_millis(900)),
        socket: None,
        method: Some("INFO".into()),
        from: Some("sip:p@h".into()),
        reply_codes: Some(vec![486]),
        probing_threshold: Some(4),
        inactive_threshold: Some(5),
    };
    let expected = DestinationSpec {
        rweight: 3,
        maxload: 7,
        calls_per_second_max: 5,
        cc: true,
        latency: Duration::from_millis(35),
        last_resort: true,
        inactive: true,
        attrs: "a=1".into(),
        probe,
        overload: OverloadBounds { ocmin: 1, ocmax: 90, ocrate: 2 },
        ..DestinationSpec::new("sip:127.0.0.11", "127.0.0.11:5060".parse().unwrap())
    };
    let destinations = vec![expected];
    let set = SetSpec {
        rewrite_uri: true,
        overload_control: true,
        slow_start: Duration::from_secs(30),
        ..SetSpec::new(SetId(1), Algorithm::RoundRobin, destinations)
    };
    assert_eq!(config.sets, [set]);
}

#[test]
fn a_duid_is_unique_in_its_set_only() {
    let set = |id| format!("[[set]]\nid = {id}\ndestinations = [{{ uri = \"sip:127.0.0.11\", duid = \"a\" }}]\n");
    assert_eq!(problems(&format!("{LISTEN}{}{}", set(1), set(2))), "");
}

#[test]
fn failover_codes_are_read_from_left_to_right() {
    let text = format!("{LISTEN}{SET}failover_codes = [\"408\", 486, \"5xx\", \"!50x\", \"!503\"]\n")
        .replace("\"!50x\", ", "");
    let codes = config(&text).sets[0].failover_codes;
    for (code, moves_on) in
        [(408, true), (486, true), (487, false), (500, true), (503, false), (599, true), (600, false)]
    {
        assert_eq!(codes.contains(code), moves_on, "{code}");
    }
    assert_eq!(config(&format!("{LISTEN}{SET}failover_codes = []\n")).sets[0].failover_codes, FailoverCodes::NONE);
}

#[test]
fn a_set_that_cannot_be_read_is_not_told_again_by_those_who_name_it() {
    let text = format!("{LISTEN}default_set = 1\n{}", SET.replace("id = 1", "id = \"1\""));
    assert_eq!(problems(&text), "f:4: set[0].id: found \"1\", allowed: 0 to 4294967295");
}

#[test]
fn the_default_set_is_the_only_one_unless_there_are_more_or_a_rule() {
    let second = SET.replace("id = 1", "id = 2");
    let rule = "[[rule]]\ndomain = \"a\"\nset = 1\n";
    for (text, default_set) in [
        (format!("{LISTEN}{SET}"), Some(SetId(1))),
        (format!("{LISTEN}{SET}{second}"), None),
        (format!("{LISTEN}{SET}{rule}"), None),
        (format!("{LISTEN}default_set = 2\n{SET}{second}{rule}"), Some(SetId(2))),
        (format!("{LISTEN}default_set = \"b\"\n{SET}{second}name = \"b\"\n"), Some(SetId(2))),
    ] {
        assert_eq!(config(&text).default_set, default_set, "{text}");
    }
}

#[test]
fn rules_are_checked() {
    let cases = [
        ("", "f:5: rule[0]: found neither set nor reject, allowed: set = 1 (an id or a name) or reject = 403"),
        ("set = 1\nreject = 403", "f:5: rule[0]: found both set and reject, allowed: one of them"),
        ("reject = 200", "f:6: rule[0].reject: found 200, allowed: 400 to 699"),
        ("set = \"bridge\"", "f:6: rule[0].set: found \"bridge\", allowed: a set that exists: 1"),
        (
            "set = 1\nmethods = \"invite\"",
            "f:7: warning: rule[0].methods: found \"invite\", allowed: INVITE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, \
             PUBLISH, REFER, INFO, UPDATE (did you mean \"INVITE\"?)",
        ),
        (
            "set = 1\nmethods = [\"IN VITE\"]",
            "f:7: rule[0].methods[0]: found \"IN VITE\", allowed: a method like INVITE",
        ),
        ("set = 1\nmethods = []", "f:7: rule[0].methods: found 0 values, allowed: 1 to 1024, or no methods for any"),
        (
            "set = 1\nuser_prefix = \"\"",
            "f:7: rule[0].user_prefix: found \"\", allowed: the start of a user part, like +4930",
        ),
        (
            "set = 1\ndomain = \"a:5060\"",
            "f:7: rule[0].domain: found \"a:5060\", allowed: a host without a port, like example.com",
        ),
        (
            "set = 1\nsource = [\"192.0.2.0/33\"]",
            "f:7: rule[0].source[0]: found \"192.0.2.0/33\", allowed: a network like 192.0.2.0/24 or 2001:db8::/32, or an IP address",
        ),
        (
            "set = 1\nheader = { name = \"X\", value = \"a\", prefix = \"b\" }",
            "f:7: rule[0].header: found both value and prefix, allowed: one of them",
        ),
        (
            "set = 1\nheader = { name = \"X:\", value = \"a\\n\" }",
            "f:7: rule[0].header.name: found \"X:\", allowed: the name of a header, like X-Tenant\n\
             f:7: rule[0].header.value: found \"a\\n\", allowed: a text on one line, without white space around it",
        ),
        (
            "set = 1\n[[rule]]\nset = 1",
            "f:7: warning: rule[1]: found a rule behind one without conditions, allowed: a place above it: that one takes everything",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(set_problems(&format!("[[rule]]\n{text}")), expected, "{text}");
    }
    assert_eq!(
        problems(&format!("{LISTEN}{SET}name = \"bridges\"\n[[rule]]\nset = \"bridgse\"\n")),
        "f:7: rule[0].set: found \"bridgse\", allowed: a set that exists: 1 (\"bridges\") (did you mean \"bridges\"?)"
    );
}
