//! Problems of the file as a whole and of the keys that are fixed at start, in the words that an operator reads.

use super::*;
use crate::proxy::settings::{Keepalive, KeepaliveTo};

#[test]
fn all_problems_are_told_at_once_and_in_the_order_of_lines() {
    let text = "listen = [\"tcp:127.0.0.1:5060\"]\nunrouted = 405\nserver_headr = \"x\"\n[log]\nlevel = \"inf\"\n\
                [[set]]\nid = 1\nalgorithm = \"round-robbin\"\ndestinations = [\n\"sip:127.0.0.11\",\n\
                { uri = \"sip:127.0.0.12\", wieght = 2 }]\n";
    assert_eq!(
        problems(text),
        "f:1: listen[0]: found \"tcp:127.0.0.1:5060\", allowed: udp:ADDRESS or udp:ADDRESS:PORT with an IP address, like \
         udp:192.0.2.1:5060 or udp:[2001:db8::1]:5060 (UDP only yet)\n\
         f:2: unrouted: found 405, allowed: 404, 403\n\
         f:3: server_headr: found an unknown key, allowed: listen, aliases, transactions_max, transactions_ready, dialogs_max, \
         stored_bytes_max, unrouted, preloaded_route, server_header, decisions_every, timers, dialog, default_socket, \
         default_sockname, prober, database, dispatcher_list, set, rule, default_set, shards, io, shutdown_timeout_s, log, control \
         (did you mean \"server_header\"?)\n\
         f:5: log.level: found \"inf\", allowed: off, error, warn, info, debug, trace (did you mean \"info\"?)\n\
         f:8: set[0].algorithm: found \"round-robbin\", allowed: round-robin, round-robin-overload, random, priority, weight, \
         relative-weight, call-load, call-load-two-choices, latency, parallel, round-robin-or-priority, srv, hash-call-id, \
         hash-from-uri, hash-to-uri, hash-request-uri, hash-auth-user, hash-header:NAME, and legacy- before a hash (did you \
         mean \"round-robin\"?)\n\
         f:11: set[0].destinations[1].wieght: found an unknown key, allowed: uri, weight, rweight, priority, duid, disabled, \
         inactive, maxload, calls_per_second_max, cc, latency_ms, last_resort, attrs, socket, sockname, ping_socket, ocmin, \
         ocmax, ocrate, probing, probe_interval_ms, probe_timeout_ms, probe_method, ping_from, reply_codes, probing_threshold, \
         inactive_threshold (did you mean \"weight\"?)"
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line_and_nothing_else() {
    assert_eq!(problems("listen = []\nx = = 1\n"), "f:2: found no TOML: extra `=`, expected nothing");
    assert_eq!(problems("a = 1\na = 2\n"), "f:2: found no TOML: duplicate key");
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let problems = load(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "no/such.toml: found No such file or directory (os error 2), allowed: a file that can be read"
    );
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/siplane.toml");
    let at_its_place = |config| Config { path: Some(shipped.clone()), ..config };
    assert_eq!(load(&shipped), parse(BUILT_IN, "f").map(at_its_place));
    assert_eq!(not_utf8(b"a = 1\nb", "f").to_string(), "f:2: found bytes that are not UTF-8, allowed: UTF-8");
}

#[test]
fn what_is_missing_is_told_where_it_belongs() {
    assert_eq!(
        problems("[[set]]\n"),
        "f:1: listen: found nothing, allowed: a list of listen addresses, like [\"udp:192.0.2.1:5060\"]\n\
         f:1: set[0].id: found nothing, allowed: a number, 0 to 4294967295\n\
         f:1: set[0].destinations: found nothing, allowed: a list of SIP URIs, like [\"sip:192.0.2.11:5060\"]"
    );
    assert_eq!(problems(LISTEN), "f:1: set: found none, allowed: at least one [[set]] with id and destinations");
    assert_eq!(
        problems(&format!("listen = []\n{SET}")),
        "f:1: listen: found an empty list, allowed: at least one listen address"
    );
    assert_eq!(
        destination_problems("[]"),
        "f:4: warning: set[0].destinations: found an empty list, allowed: at least one destination; requests to this set get 503"
    );
}

#[test]
fn a_place_is_a_line_and_a_column_in_characters() {
    let text = format!("{LISTEN}server_header = \"ü\"\n") + "log = { level = \"ü\", levl = 1 }\n" + SET;
    let problems = parse(&text, "f").unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(3, 17), (3, 22)]);
}

#[test]
fn listen_addresses_are_checked() {
    let cases = [
        (
            "[\"127.0.0.1:5060\"]",
            "f:1: listen[0]: found \"127.0.0.1:5060\", allowed: udp:ADDRESS or udp:ADDRESS:PORT with an IP address, like \
             udp:192.0.2.1:5060 or udp:[2001:db8::1]:5060 (UDP only yet) (did you mean \"udp:127.0.0.1:5060\"?)",
        ),
        (
            "[\"udp:0.0.0.0\"]",
            "f:1: listen[0]: found the wildcard address 0.0.0.0 without advertise, allowed: with it { address = \"udp:0.0.0.0\", \
             advertise = \"HOST\" }: what Via shows must reach us",
        ),
        (
            "[{ address = \"udp:[::]:5060\", advertise = \"[::]\" }]",
            "f:1: listen[0].advertise: found \"[::]\", allowed: HOST or HOST:PORT, like sip.example.com, 192.0.2.1:5060 or \
             [2001:db8::1]:5060",
        ),
        (
            "[\"udp:127.0.0.1\", \"udp:127.0.0.1:5060\"]",
            "f:1: listen[1]: found 127.0.0.1:5060 twice, allowed: each address once",
        ),
        (
            "[7]",
            "f:1: listen[0]: found 7, allowed: a listen address in quotes, or { address = \"udp:…\", name = \"…\", advertise = \
             \"…\" }",
        ),
    ];
    for (listen, expected) in cases {
        assert_eq!(problems(&format!("listen = {listen}\n{SET}")), expected);
    }
    let many: Vec<String> = (1..=17).map(|host| format!("\"udp:127.0.0.{host}:5070\"")).collect();
    let text = format!("listen = [{}]\n{SET}", many.join(", "));
    assert_eq!(problems(&text), "f:1: listen: found 17 addresses, allowed: at most 16");
}

#[test]
fn the_keys_of_the_process_are_checked() {
    let cases = [
        ("transactions_max = 0", "f:2: transactions_max: found 0, allowed: 1 to 16777216"),
        ("transactions_ready = -1", "f:2: transactions_ready: found -1, allowed: 0 to 16777216"),
        ("dialogs_max = \"many\"", "f:2: dialogs_max: found \"many\", allowed: 1 to 16777216"),
        ("stored_bytes_max = 1", "f:2: stored_bytes_max: found 1, allowed: 131072 to 1099511627776"),
        ("shutdown_timeout_s = 1.5", "f:2: shutdown_timeout_s: found 1.5, allowed: 0 to 86400"),
        (
            "preloaded_route = \"folow\"",
            "f:2: preloaded_route: found \"folow\", allowed: follow, reject (did you mean \"follow\"?)",
        ),
        (
            "server_header = \"a\\r\\nX: y\"",
            "f:2: server_header: found \"a\\r\\nX: y\", allowed: at most 128 bytes on one line; \"\" for no Server header",
        ),
        (
            "aliases = [\"a b\"]",
            "f:2: aliases[0]: found \"a b\", allowed: HOST or HOST:PORT, like sip.example.com, 192.0.2.1:5060 or [2001:db8::1]:5060",
        ),
        ("shards = 257", "f:2: shards: found 257, allowed: 1 to 256, \"auto\", or a list of cores"),
        (
            "shards = \"all\"",
            "f:2: shards: found \"all\", allowed: \"auto\", 1 to 256, or a list of cores like [0, 1, 2]",
        ),
        ("shards = [1, 1]", "f:2: shards: found [1, 1], allowed: 1 to 256 cores, each once"),
        ("shards = []", "f:2: shards: found [], allowed: 1 to 256 cores, each once"),
        ("shards = [-1]", "f:2: shards[0]: found -1, allowed: 0 to 8191"),
        ("default_set = 2", "f:2: default_set: found 2, allowed: a set that exists: 1"),
        ("timers = 5", "f:2: timers: found 5, allowed: a table, [timers]"),
        ("rule = 5", "f:2: rule: found 5, allowed: tables, [[rule]]"),
        (
            "[timers]\ntimer_c_s = 180",
            "f:3: timers.timer_c_s: found 180, allowed: more than 180 (RFC 3261 §16.6.11: a call may ring that long)",
        ),
        (
            "[timers]\nt1_ms = 50\ntimer_c_s = 4",
            "f:4: warning: timers.timer_c_s: found 4, allowed: more than 180 (RFC 3261 §16.6.11: a call may ring that long)",
        ),
        ("[timers]\nt2_ms = 400", "f:3: timers.t2_ms: found 400, allowed: at least t1_ms (500)"),
        ("[dialog]\nearly_timeout_s = 0", "f:3: dialog.early_timeout_s: found 0, allowed: 1 to 86400"),
        ("[prober]\ncore = \"last\"", "f:3: prober.core: found \"last\", allowed: 0 to 8191, or \"auto\""),
        (
            "[prober]\ninterval_ms = 99",
            "f:3: prober.interval_ms: found 99, allowed: 100 to 3600000, or 0 for no probes",
        ),
        ("[prober]\ninterval_ms = 1000", ""),
        (
            "[prober]\ninterval_ms = 5000\ntimeout_ms = 6000",
            "f:4: warning: prober.timeout_ms: found 6000, allowed: less than interval_ms (5000), or probes pile up",
        ),
        (
            "[prober]\nfrom = \"<sip:a@b>\"",
            "f:3: prober.from: found \"<sip:a@b>\", allowed: a SIP URI without < and >, like sip:siplane@example.com",
        ),
        ("[prober]\nprobing_threshold = 0", "f:3: prober.probing_threshold: found 0, allowed: 1 to 1000"),
        (
            "[prober]\nreply_codes = [200]",
            "f:3: prober.reply_codes[0]: found 200, allowed: codes 300 to 699, classes \"3xx\" to \"6xx\", and either with ! in front",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(root_problems(text), expected, "{text}");
    }
}

#[test]
fn keepalives_are_off_unless_told_to_and_checked() {
    assert_eq!(config(&format!("{LISTEN}{SET}")).settings.keepalive, Keepalive::default());
    let text = "[dialog]\nkeepalive_interval_s = 45\nkeepalive_failures_max = 3\nkeepalive_to = \"caller\"\n";
    let wanted = Keepalive { interval: Duration::from_secs(45), failures_max: 3, to: KeepaliveTo::Caller };
    assert_eq!(config(&format!("{LISTEN}{SET}{text}")).settings.keepalive, wanted);
    let off = config(&format!("{LISTEN}{SET}[dialog]\nkeepalive_interval_s = 0\n"));
    assert_eq!(off.settings.keepalive.interval, Duration::ZERO);
    for (text, expected) in [
        ("interval_s = 9", "f:3: dialog.keepalive_interval_s: found 9, allowed: 10 to 86400, or 0 for no keepalives"),
        ("failures_max = 0", "f:3: dialog.keepalive_failures_max: found 0, allowed: 1 to 100"),
        (
            "to = \"callee\"",
            "f:3: dialog.keepalive_to: found \"callee\", allowed: both, caller, destination (did you mean \"caller\"?)",
        ),
    ] {
        assert_eq!(root_problems(&format!("[dialog]\nkeepalive_{text}")), expected);
    }
}

#[test]
fn shards_and_prober_say_where_they_run() {
    for (value, plan) in
        [("\"auto\"", ShardsPlan::Auto), ("3", ShardsPlan::Count(3)), ("[2, 0]", ShardsPlan::Cores(vec![2, 0]))]
    {
        assert_eq!(config(&format!("{LISTEN}shards = {value}\n{SET}")).shards, plan);
    }
    let probing = config(&format!("{LISTEN}{SET}[prober]\ncore = 1\ninterval_ms = 0\n")).prober;
    assert_eq!((probing.core, probing.interval), (Some(1), Duration::ZERO));
}

#[test]
fn everything_has_a_bound() {
    let sets: String = (0..=crate::limits::SETS_MAX).map(|id| SET.replace("id = 1", &format!("id = {id}"))).collect();
    assert_eq!(problems(&format!("{LISTEN}{sets}")), "f:2: set: found 4097 tables, allowed: at most 4096");
    let rules = "[[rule]]\ndomain = \"a\"\nset = 1\n".repeat(crate::limits::RULES_MAX + 1);
    assert_eq!(set_problems(&rules), "f:5: rule: found 1025 tables, allowed: at most 1024");
    let uris: Vec<String> =
        (0..=65_536).map(|n| format!("\"sip:10.{}.{}.{}\"", n >> 16, n >> 8 & 255, n & 255)).collect();
    let many = destination_problems(&format!("[{}]", uris.join(",")));
    assert_eq!(many, "f:1: set: found 65537 destinations, allowed: at most 65536 in all sets");
}

#[test]
fn a_longer_timer_c_keeps_early_dialogs_as_long_and_a_longer_t1_stretches_t2() {
    let config = config(&format!("{LISTEN}{SET}[timers]\nt1_ms = 5000\ntimer_c_s = 600\n"));
    assert_eq!(config.settings.dialog.early, Duration::from_secs(600));
    assert_eq!(config.settings.timers.t2, Duration::from_secs(5));
}

#[test]
fn a_file_with_warnings_alone_can_be_used_and_brings_them_along() {
    let config = config(&format!("{LISTEN}{SET}[prober]\ninterval_ms = 5000\ntimeout_ms = 5000\n"));
    assert!(!config.warnings.has_errors() && !config.warnings.is_empty());
    assert_eq!((config.warnings.len(), config.warnings.iter().next().map(|w| w.kind)), (1, Some(Kind::Warning)));
}

#[test]
fn a_probe_may_be_any_request_of_its_own() {
    // RFC 3261 §17.1.2
    let cases = [
        ("[prober]\nmethod = \"INFO\"", ""),
        (
            "[prober]\nmethod = \"INVITE\"",
            "f:3: prober.method: found INVITE, which begins a call, allowed: OPTIONS, INFO, or another method that is a request of its own",
        ),
        (
            "[prober]\nmethod = \"ACK\"",
            "f:3: prober.method: found ACK, which is never answered, allowed: OPTIONS, INFO, or another method that is a request of \
             its own",
        ),
        (
            "[prober]\nmethod = \"CANCEL\"",
            "f:3: prober.method: found CANCEL, which needs an INVITE to cancel, allowed: OPTIONS, INFO, or another method that is \
             a request of its own",
        ),
        (
            "[prober]\nmethod = \"bye\"",
            "f:3: prober.method: found BYE, which needs a call to end, allowed: OPTIONS, INFO, or another method that is a \
             request of its own",
        ),
        (
            "[prober]\nmethod = \"OPTIONS sip:x\"",
            "f:3: prober.method: found \"OPTIONS sip:x\", allowed: OPTIONS, INFO, or another method that is a request of its own",
        ),
        (
            "[prober]\nmethod = \"options\"",
            "f:3: warning: prober.method: found \"options\", allowed: OPTIONS, INFO, REGISTER, MESSAGE (did you mean \"OPTIONS\"?)",
        ),
        (
            "[prober]\nmethod = \"NOTIFY\"",
            "f:3: warning: prober.method: found NOTIFY, which needs an Event (RFC 6665) that a probe has not, allowed: OPTIONS, or \
             reply_codes with what it is answered",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(root_problems(text), expected, "{text}");
    }
}
