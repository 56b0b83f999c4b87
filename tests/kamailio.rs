//! The legacy hashes against a live Kamailio: the same INVITE and the same dispatcher.list must name the same destination.
//!
//! Kamailio selects and says in its answer's reason whom (`$du`); siplane's sans-IO core gets the same bytes and the list as
//! `dispatcher_list`. Sets of 97, 101 and 89 destinations: two hashes that agree modulo all three agree. Needs Debian's
//! `kamailio` (`make setup`).

#[path = "kamailio/process.rs"]
mod process;

use process::Process;
use siplane::config;
use siplane::dispatcher::{SetId, Table};
use siplane::proxy::{Datagram, Outbox, Policy, Proxy, ShardId, SocketId};
use siplane::time::Instant;
use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kamailio's number, siplane's name.
const ALGORITHMS: [(u8, &str); 6] = [
    (0, "legacy-hash-call-id"),
    (1, "legacy-hash-from-uri"),
    (2, "legacy-hash-to-uri"),
    (3, "legacy-hash-request-uri"),
    (5, "legacy-hash-auth-user"),
    (7, "legacy-hash-header:X-Key"),
];

/// Set, destinations, and what the list says behind the URI of destination number so-and-so.
type Columns = fn(usize) -> String;
const SETS: [(u32, usize, Columns); 7] = [
    // Equal priorities: Kamailio reverses them.
    (1, 97, |_| String::new()),
    (2, 101, |_| String::from("0 0 weight=50")),
    // Five priorities, ties within each.
    (3, 89, |number| format!("0 {}", number * 7 % 5)),
    // One inactive (1), one disabled (4), one trying (2), one probed (8) in one order of priorities.
    (4, 11, |number| format!("{} {}", [0, 1, 0, 4, 2, 8, 1, 0, 0, 9, 0][number], number % 3)),
    // Only one is left: it gets everything.
    (5, 4, |number| format!("{} 1", if number == 2 { 0 } else { 1 })),
    // Nobody is left.
    (6, 3, |_| String::from("1")),
    (7, 1, |_| String::new()),
];

fn list() -> String {
    let line = |set: u32, number: usize, columns: Columns| {
        format!("{set} sip:127.63.{set}.{}:{} {}\n", number + 1, 5070 + number % 3, columns(number))
    };
    SETS.iter().flat_map(|(set, count, columns)| (0..*count).map(move |number| line(*set, number, *columns))).collect()
}

/// Hosts, ports, users in the forms that change what is hashed.
const URIS: [&str; 24] = [
    "sip:bob@example.com",
    "sip:bob@example.com:5060",
    "sip:bob@example.com:5061",
    "sip:bob@example.com:5070",
    "sip:bob@EXAMPLE.com",
    "sip:Bob@example.com",
    "sips:bob@example.com",
    "sips:bob@example.com:5061",
    "sips:bob@example.com:5060",
    "sip:example.com",
    "sip:example.com:5070",
    "sip:bob@192.0.2.7",
    "sip:bob@192.0.2.7:15060",
    "sip:192.0.2.7",
    "sip:bob@[2001:db8::7]",
    "sip:bob@[2001:db8::7]:5070",
    "sip:[2001:db8::7]",
    "sip:bob:secret@example.com",
    "sip:b%6Fb@example.com",
    "sip:+49-30-1234567@example.com;user=phone",
    "sip:bob@example.com;transport=udp;maddr=192.0.2.9",
    "sip:a.very.long.user.name.of.more.than.thirty.two.bytes@host.with.a.long.name.example.com:65535",
    "sip:1@h",
    "sip:b@x",
];

/// An INVITE that differs from all others in Call-ID, branch, and what the algorithms hash.
fn invite(number: usize, set: u32, algorithm: u8, source: SocketAddr) -> String {
    let uri = |offset: usize| {
        let form = URIS[(number + offset) % URIS.len()];
        // Of each form many: another user or host in each round of the forms.
        form.replacen("b", &format!("b{}", (number + offset) / URIS.len()), 1)
    };
    let user = ["alice", "bob.smith", "+4930123", "ü", "a b", "x"][number % 6];
    let key = format!("{}{number}", ["", "tenant-", "é", "0123456789-0123456789-", "~"][number % 5]);
    format!(
        "INVITE {} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{algorithm}-{set}-{number}\r\nMax-Forwards: 70\r\n\
         From: \"x\" <{}>;tag=1\r\nTo: <{}>\r\nCall-ID: {key}-{number:x}{}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{source}>\r\n\
         Proxy-Authorization: Digest username=\"{user}{number}\", realm=\"example.com\", nonce=\"1\", uri=\"sip:b@example.com\", \
         response=\"00000000000000000000000000000000\"\r\nX-Key: {key}\r\nX-Set: {set}\r\nX-Algorithm: {algorithm}\r\n\
         Content-Length: 0\r\n\r\n",
        // A sips Request-URI is refused: there is no way on to take it.
        uri(0).replacen("sips:", "sip:", 1),
        uri(7),
        uri(11),
        ["", "@192.0.2.1", "@host.example.com"][number % 3],
    )
}

/// A Kamailio of this test's own.
struct Kamailio {
    process: Process,
    asker: UdpSocket,
    address: SocketAddr,
}

impl Kamailio {
    fn start(folder: &Path, list: &Path) -> Self {
        let address = UdpSocket::bind("127.63.0.1:0").unwrap().local_addr().unwrap();
        let script = format!(
            "listen=udp:{address}\nloadmodule \"sl.so\"\nloadmodule \"pv.so\"\nloadmodule \"dispatcher.so\"\n\
             modparam(\"dispatcher\", \"list_file\", \"{}\")\nmodparam(\"dispatcher\", \"hash_pvar\", \"$hdr(X-Key)\")\n\
             request_route {{\n if (ds_select_dst(\"$hdr(X-Set)\", \"$hdr(X-Algorithm)\")) {{\n  sl_send_reply(\"200\", \"$du\");\n }} \
             else {{\n  sl_send_reply(\"503\", \"Nobody\");\n }}\n}}\n",
            list.display()
        );
        let asker = UdpSocket::bind("127.63.0.2:0").unwrap();
        asker.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let request = invite(0, 1, 0, asker.local_addr().unwrap());
        let process = Process::start(folder, &script, || ask(&asker, address, &request).is_some());
        // Answers to earlier tries may still come.
        std::thread::sleep(Duration::from_millis(100));
        asker.set_nonblocking(true).unwrap();
        while asker.recv(&mut [0; 4096]).is_ok() {}
        asker.set_nonblocking(false).unwrap();
        Self { process, asker, address }
    }

    /// Whom it chooses for the request; nothing when nobody.
    fn choose(&self, request: &str) -> Option<SocketAddr> {
        let line = (0..5).find_map(|_| ask(&self.asker, self.address, request));
        let line = line.unwrap_or_else(|| panic!("kamailio did not answer: {}\n{request}", self.process.said()));
        let uri = line.strip_prefix("SIP/2.0 200 sip:");
        assert!(uri.is_some() || line == "SIP/2.0 503 Nobody", "{line}\n{request}");
        uri.map(|uri| uri.parse().unwrap())
    }
}

/// The first line of the answer from `address`; nothing when none comes.
fn ask(asker: &UdpSocket, address: SocketAddr, request: &str) -> Option<String> {
    asker.send_to(request.as_bytes(), address).ok()?;
    let mut buffer = [0; 4096];
    let length = asker.recv(&mut buffer).ok()?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    answer.lines().next().map(String::from)
}

/// siplane's core with one algorithm for all sets.
struct Siplane {
    proxy: Proxy,
    policy: Policy,
    out: Outbox,
    now: Instant,
}

impl Siplane {
    fn new(folder: &Path, list: &Path, algorithm: &str) -> Self {
        let mut text = format!("listen = [\"udp:127.63.0.3:5060\"]\ndispatcher_list = \"{}\"\n", list.display());
        for (set, ..) in SETS {
            text += &format!("\n[[set]]\nid = {set}\nalgorithm = \"{algorithm}\"\n");
        }
        let file = folder.join(format!("{}.toml", algorithm.replace(':', "-")));
        fs::write(&file, text).unwrap();
        let config = config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        let counts: Vec<_> = config.sets.iter().map(|set| (set.id.0, set.destinations.len())).collect();
        assert_eq!(
            counts,
            SETS.map(|(set, count, _)| (set, count)),
            "every line of the list is a destination: {}",
            config.warnings
        );
        let now = Instant::from_nanos(1_000_000_000);
        let proxy = Proxy::new(config.settings, ShardId { index: 0, count: 1 }, 7, now);
        let table = Table::build(config.sets, None).unwrap();
        Self { proxy, policy: Policy { table, rules: config.rules, default_set: None }, out: Outbox::new(), now }
    }

    /// Where the INVITE goes; nothing when it is refused.
    fn choose(&mut self, set: u32, request: &str, source: SocketAddr) -> Option<SocketAddr> {
        self.policy.default_set = Some(SetId(set));
        let datagram = Datagram { source, socket: SocketId(0), bytes: request.as_bytes() };
        self.proxy.handle_datagram(self.now, &self.policy, datagram, &mut self.out);
        let to = self.out.iter().map(|sent| sent.destination).find(|to| *to != source);
        let refused = self.out.iter().any(|sent| sent.bytes.starts_with(b"SIP/2.0 503 "));
        assert!(to.is_some() || refused, "neither sent nor refused:\n{request}");
        self.out.clear();
        to
    }
}

#[test]
fn the_legacy_hashes_choose_whom_a_live_kamailio_chooses() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kamailio-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("dispatcher.list");
    fs::write(&file, list()).unwrap();
    let kamailio = Kamailio::start(&folder, &file);
    let source = kamailio.asker.local_addr().unwrap();
    let mut wrong = Vec::new();
    for (number, name) in ALGORITHMS {
        let mut siplane = Siplane::new(&folder, &file, name);
        for (set, count, _) in SETS {
            let mut chosen = BTreeSet::new();
            for call in 0..(count * 2).max(URIS.len() * 3) {
                let request = invite(call, set, number, source);
                let (theirs, ours) = (kamailio.choose(&request), siplane.choose(set, &request, source));
                chosen.extend(theirs);
                if theirs != ours {
                    wrong.push(format!("{name}, set {set}: kamailio {theirs:?}, siplane {ours:?}, for\n{request}"));
                }
            }
            // Otherwise agreeing would say little.
            let least = match set {
                4 => 4,
                5 | 7 => 1,
                6 => 0,
                _ => count / 2,
            };
            assert!(chosen.len() >= least, "{name}, set {set}: only {} of {count} were chosen", chosen.len());
        }
    }
    assert!(wrong.is_empty(), "{} choices differ, among them\n{}", wrong.len(), wrong[..wrong.len().min(3)].join("\n"));
    drop(kamailio);
    let _ = fs::remove_dir_all(&folder);
}
