//! Whole shards with the real call path, on real loopback sockets.

use super::counters::IoStats;
use super::handoff::{Inbox, inboxes};
use super::mmsg::Mmsg;
use super::turn::{Shard, Shared};
use super::*;
use crate::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec, Table};
use crate::limits;
use crate::proxy::{Listen, Policy, Proxy, Settings, ShardId, Timers, Transport, owner_of};
use arc_swap::ArcSwap;
use core::time::Duration;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const T1: Duration = Duration::from_millis(80);

struct Bed {
    lifecycle: Arc<Lifecycle>,
    probe_answers: Arc<ProbeSink>,
    address: SocketAddr,
    handles: Vec<ShardHandle>,
}

fn settings(address: SocketAddr) -> Settings {
    let listen = Listen { transport: Transport::Udp, address, name: String::new(), advertised: address.to_string() };
    let timers = Timers { t1: T1, ..Timers::default() };
    Settings {
        listen: vec![listen],
        timers,
        transactions_max: 1 << 14,
        dialogs_max: 1 << 14,
        stored_bytes_max: 1 << 26,
        ..Settings::default()
    }
}

fn open(shards: usize) -> (Vec<ShardSockets>, SocketAddr) {
    let sockets = open_all(&settings("127.0.0.1:0".parse().unwrap()).listen, shards).unwrap();
    let address = sockets[0].addresses()[0];
    (sockets, address)
}

fn policy() -> Arc<ArcSwap<Policy>> {
    let table = Table::build(vec![], None).unwrap();
    Arc::new(ArcSwap::from_pointee(Policy { table, rules: vec![], default_set: None }))
}

impl Bed {
    fn start(engine: EngineKind, shards: usize) -> Self {
        let (sockets, address) = open(shards);
        let lifecycle = Arc::new(Lifecycle::new(shards));
        let probe_answers = Arc::new(ProbeSink::new().unwrap());
        let input = ShardsInput {
            settings: settings(address),
            policy: policy(),
            sockets,
            probe_answers: Arc::clone(&probe_answers),
            lifecycle: Arc::clone(&lifecycle),
            engine: EngineChoice::Only(engine),
            waiting: Waiting::default(),
        };
        let handles = start(&ShardsPlan::spread(shards), input).unwrap();
        Self { lifecycle, probe_answers, address, handles }
    }

    /// Ends the shards; what each counted.
    fn end(self, phase: Phase) -> Vec<Snapshot> {
        self.lifecycle.advance(phase);
        let counters: Vec<_> = self.handles.iter().map(|handle| Arc::clone(handle.counters())).collect();
        self.handles.into_iter().for_each(|handle| handle.join().unwrap());
        counters.iter().map(|counters| counters.load()).collect()
    }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(3 * SECOND)).unwrap();
    socket
}

fn request(method: &str, from: &UdpSocket, call_id: &str, route: Option<SocketAddr>) -> String {
    let (source, n) = (from.local_addr().unwrap(), call_id);
    let route = route.map(|route| format!("Route: <sip:{route};lr>\r\n")).unwrap_or_default();
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKt{n};rport\r\n{route}\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:a@{source}>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn read(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut bytes = [0; 65_535];
    // A receive with a time-out is interrupted by every signal that the executors' threads get (signal(7)).
    let (count, source) = loop {
        match socket.recv_from(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => break result.unwrap(),
        }
    };
    (String::from_utf8(bytes[..count].to_vec()).unwrap(), source)
}

/// The next response that is not provisional.
fn read_final(socket: &UdpSocket) -> String {
    loop {
        let (text, _) = read(socket);
        if !text.starts_with("SIP/2.0 1") {
            return text;
        }
    }
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(name)).unwrap()
}

fn response(to: &str, status: &str) -> String {
    let header = |name| to.lines().filter(move |line| line.starts_with(name)).map(|line| format!("{line}\r\n"));
    let copied: String = ["Via", "From", "Call-ID", "CSeq"].into_iter().flat_map(header).collect();
    format!("SIP/2.0 {status}\r\n{copied}{};tag=9\r\nContent-Length: 0\r\n\r\n", line(to, "To"))
}

/// Each of these with either engine.
macro_rules! on_both_engines {
    ($($name:ident,)*) => {
        mod io_uring {
            $(#[test] fn $name() { super::$name(super::EngineKind::IoUring); })*
        }
        mod mmsg {
            $(#[test] fn $name() { super::$name(super::EngineKind::Mmsg); })*
        }
    };
}

on_both_engines! {
    one_source_port_reaches_every_owner_and_the_counters_say_so,
    a_closed_port_is_told_to_the_calls_owner_at_once_whoever_hears_of_it,
    a_request_of_60000_bytes_is_forwarded_whole,
    an_answer_to_a_probe_goes_to_the_prober_and_to_no_call,
    an_idle_shard_sleeps_until_its_next_timer_and_does_not_spin,
    a_stop_ends_the_threads_at_once,
    draining_refuses_new_calls_and_ends_all_shards_when_the_last_transaction_has_its_answer,
    threads_are_named_after_their_shards,
}

fn one_source_port_reaches_every_owner_and_the_counters_say_so(engine: EngineKind) {
    for shards in [2, 4] {
        let (bed, client) = (Bed::start(engine, shards), client());
        let calls: Vec<_> = (0..200).map(|n| format!("{n}-call@127.0.0.1")).collect();
        for chunk in calls.chunks(20) {
            for call_id in chunk {
                client.send_to(request("OPTIONS", &client, call_id, None).as_bytes(), bed.address).unwrap();
            }
            for _ in chunk {
                let (answer, source) = read(&client);
                assert!(answer.starts_with("SIP/2.0 4") && source == bed.address, "{answer}");
            }
        }
        let counts = bed.end(Phase::Stopped);
        for (index, counts) in counts.iter().enumerate() {
            let owned = calls.iter().filter(|call_id| owner_of(call_id.as_bytes(), shards as u32) == index as u32);
            assert_eq!(counts.proxy.requests, owned.count() as u64, "shard {index} of {shards}");
        }
        let total = counts.iter().fold(Snapshot::default(), |sum, one| sum.plus(one)).io;
        assert_eq!((total.received, total.sent, total.handoff_full), (200, 200, 0));
        assert_eq!(total.handed_off, total.handed_in);
        // The kernel gives all of one source to one shard, which owns its share only.
        let receivers: Vec<_> = counts.iter().filter(|counts| counts.io.received > 0).collect();
        assert_eq!(receivers.len(), 1);
        assert_eq!(total.handed_off, 200 - receivers[0].proxy.requests);
    }
}

fn a_closed_port_is_told_to_the_calls_owner_at_once_whoever_hears_of_it(engine: EngineKind) {
    let (bed, client) = (Bed::start(engine, 2), client());
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for n in 0..20 {
        let start = Instant::now();
        let text = request("INVITE", &client, &format!("{n}-refused"), Some(closed));
        client.send_to(text.as_bytes(), bed.address).unwrap();
        let answer = read_final(&client);
        assert!(answer.starts_with("SIP/2.0 5") && answer.contains(&format!("{n}-refused")), "{answer}");
        assert!(start.elapsed() < SECOND, "not by a timer");
    }
    let counts = bed.end(Phase::Stopped);
    let total = counts.iter().fold(Snapshot::default(), |sum, one| sum.plus(one));
    assert!(total.io.icmp_errors >= 20 && total.proxy.request_send_errors >= 20, "{:?}", total.io);
    assert!(counts.iter().all(|counts| counts.proxy.request_send_errors > 0), "each owner heard of its own");
    assert_eq!(total.proxy.transaction_timeouts, 0);
}

fn a_request_of_60000_bytes_is_forwarded_whole(engine: EngineKind) {
    let (bed, client, server) = (Bed::start(engine, 2), client(), client());
    let body = "x".repeat(60_000);
    let text = request("MESSAGE", &client, "long", Some(server.local_addr().unwrap()))
        .replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: 60000\r\n\r\n{body}"));
    client.send_to(text.as_bytes(), bed.address).unwrap();
    assert!(read(&server).0.ends_with(&body));
    bed.end(Phase::Stopped);
}

fn an_answer_to_a_probe_goes_to_the_prober_and_to_no_call(engine: EngineKind) {
    let (bed, client) = (Bed::start(engine, 2), client());
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKp7\r\nCall-ID: p\r\n\r\n";
    let before = clock::now();
    client.send_to(text.as_bytes(), bed.address).unwrap();
    bed.probe_answers.wait(3 * SECOND);
    let mut got = Vec::new();
    bed.probe_answers.drain(|answer, bytes| got.push((answer, bytes.to_vec())));
    let [(answer, bytes)] = &got[..] else { panic!("{got:?}") };
    assert_eq!((answer.outcome, answer.address), (ProbeOutcome::Response, client.local_addr().unwrap()));
    assert!(answer.received_at >= before && answer.received_at <= clock::now());
    assert_eq!(bytes, text.as_bytes());
    let counts = bed.end(Phase::Stopped);
    assert_eq!(counts.iter().map(|counts| counts.io.probe_answers).sum::<u64>(), 1);
    assert_eq!(counts.iter().map(|counts| counts.proxy.responses).sum::<u64>(), 0);
}

#[test]
fn a_refused_probe_is_told_to_the_prober() {
    let (sockets, address) = open(1);
    let duplicate = sockets[0].duplicate_for_sending().unwrap().remove(0);
    let (shared, _) = alone(1, limits::HANDOFF_MESSAGES);
    let sink = Arc::clone(&shared.probe_answers);
    let mut shard = shard(0, 1, sockets, address, shared);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let probe = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKp7\r\nCall-ID: p\r\n\r\n";
    duplicate.send_to(probe.as_bytes(), closed).unwrap();
    assert!(shard.turn());
    let mut got = Vec::new();
    sink.drain(|answer, bytes| got.push((answer.outcome, answer.address, bytes.to_vec())));
    assert_eq!(got, [(ProbeOutcome::Unreachable, closed, probe.as_bytes().to_vec())]);
}

#[test]
fn a_sleeping_prober_is_woken_for_answers_alone_and_not_by_every_turn() {
    let (sockets, address) = open(1);
    let (shared, _) = alone(1, limits::HANDOFF_MESSAGES);
    let sink = Arc::clone(&shared.probe_answers);
    let mut shard = shard(0, 1, sockets, address, shared);
    let client = client();
    let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKp7\r\nCall-ID: p\r\n\r\n";
    let call = request("OPTIONS", &client, "c", None);
    for (text, wakes) in [(call.as_str(), false), (answer, true), (call.as_str(), false)] {
        sink.bell().fall_asleep();
        client.send_to(text.as_bytes(), address).unwrap();
        assert!(shard.turn());
        assert_eq!(sink.bell().is_asleep(), !wakes, "{text}");
    }
}

fn an_idle_shard_sleeps_until_its_next_timer_and_does_not_spin(engine: EngineKind) {
    let (bed, client, silent) = (Bed::start(engine, 1), client(), client());
    std::thread::sleep(Duration::from_millis(300));
    client.send_to(request("INVITE", &client, "silent", silent.local_addr().ok()).as_bytes(), bed.address).unwrap();
    read(&silent);
    let sent = Instant::now();
    read(&silent);
    // RFC 3261 §17.1.1.2: Timer A fires after T1.
    assert!(sent.elapsed() > T1 / 2 && sent.elapsed() < 4 * T1, "{:?}", sent.elapsed());
    let counts = bed.end(Phase::Stopped).remove(0);
    assert!(counts.io.turns > 2 && counts.io.turns < 60, "{} turns in half a second", counts.io.turns);
}

fn a_stop_ends_the_threads_at_once(engine: EngineKind) {
    let bed = Bed::start(engine, 2);
    let start = Instant::now();
    bed.end(Phase::Stopped);
    assert!(start.elapsed() < SECOND);
}

fn draining_refuses_new_calls_and_ends_all_shards_when_the_last_transaction_has_its_answer(engine: EngineKind) {
    let (bed, client, server) = (Bed::start(engine, 2), client(), client());
    client.send_to(request("INVITE", &client, "last", server.local_addr().ok()).as_bytes(), bed.address).unwrap();
    let (invite, _) = read(&server);
    server.send_to(response(&invite, "180 Ringing").as_bytes(), bed.address).unwrap();
    while !read(&client).0.starts_with("SIP/2.0 180") {}
    bed.lifecycle.advance(Phase::Draining);
    std::thread::sleep(2 * limits::IDLE_WAIT_MAX);
    for n in 0..8 {
        client.send_to(request("INVITE", &client, &format!("{n}-new"), None).as_bytes(), bed.address).unwrap();
        let answer = read_final(&client);
        assert!(answer.starts_with("SIP/2.0 503") && answer.contains("Retry-After"), "{answer}");
    }
    server.send_to(response(&invite, "486 Busy Here").as_bytes(), bed.address).unwrap();
    assert!(read_final(&client).starts_with("SIP/2.0 486"));
    let start = Instant::now();
    let counts = bed.end(Phase::Draining);
    assert!(start.elapsed() < SECOND);
    assert!(counts.iter().all(|counts| counts.proxy.refused_draining > 0), "both were there to the end");
}

#[test]
fn several_shards_on_one_core_and_cores_that_do_not_exist() {
    let start_on = |cores: &[usize]| {
        let (sockets, address) = open(cores.len().max(1));
        let lifecycle = Arc::new(Lifecycle::new(cores.len()));
        let input = ShardsInput {
            settings: settings(address),
            policy: policy(),
            sockets,
            probe_answers: Arc::new(ProbeSink::new().unwrap()),
            lifecycle: Arc::clone(&lifecycle),
            engine: EngineChoice::Auto,
            waiting: Waiting::default(),
        };
        let started = start(&ShardsPlan { cores: cores.to_vec() }, input);
        lifecycle.advance(Phase::Stopped);
        started.map(|handles| handles.into_iter().for_each(|handle| handle.join().unwrap()))
    };
    let core = ShardsPlan::spread(1).cores[0];
    start_on(&[core, core, core]).unwrap();
    assert!(matches!(start_on(&[core, 9999]), Err(StartError::Executor { shard: 1, .. })));
    assert!(matches!(start_on(&[]), Err(StartError::Mismatch { planned: 0, .. })));
}

fn threads_are_named_after_their_shards(engine: EngineKind) {
    let bed = Bed::start(engine, 2);
    let names: Vec<_> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .collect();
    for name in ["shard-0\n", "shard-1\n"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    bed.end(Phase::Stopped);
}

/// glommio 0.9 parks an executor for good when its preemption timer fires between its look at I/O and its look at the task that yielded:
/// likely where threads are kept from their core for longer than that timer, as these keep each other.
#[test]
fn shards_that_never_sleep_and_share_a_core_all_go_on() {
    const SHARDS: usize = 6;
    let (sockets, address) = open(SHARDS);
    let lifecycle = Arc::new(Lifecycle::new(SHARDS));
    let input = ShardsInput {
        settings: settings(address),
        policy: policy(),
        sockets,
        probe_answers: Arc::new(ProbeSink::new().unwrap()),
        lifecycle: Arc::clone(&lifecycle),
        engine: EngineChoice::Auto,
        waiting: Waiting { busy_poll: true, ..Waiting::default() },
    };
    let core = ShardsPlan::spread(1).cores[0];
    let handles = start(&ShardsPlan { cores: vec![core; SHARDS] }, input).unwrap();
    let turns = || handles.iter().map(|handle| handle.counters().load().io.turns).collect::<Vec<_>>();
    std::thread::sleep(4 * SECOND);
    let before = turns();
    std::thread::sleep(SECOND);
    let went_on = before.iter().zip(turns()).map(|(before, after)| after > *before).collect::<Vec<_>>();
    lifecycle.advance(Phase::Stopped);
    assert_eq!(went_on, [true; SHARDS]);
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

/// What shards share, with mailboxes of this size; nobody runs.
fn alone(shards: usize, messages: usize) -> (Shared, Arc<[Inbox]>) {
    let inboxes: Arc<[Inbox]> = match messages {
        limits::HANDOFF_MESSAGES => inboxes(&vec![0; shards]).unwrap(),
        _ => (0..shards).map(|_| Inbox::new(messages).unwrap()).collect(),
    };
    let shared = Shared {
        policy: policy(),
        inboxes: Arc::clone(&inboxes),
        probe_answers: Arc::new(ProbeSink::new().unwrap()),
        lifecycle: Arc::new(Lifecycle::new(shards)),
    };
    (shared, inboxes)
}

fn shard(index: u32, count: u32, sockets: Vec<ShardSockets>, address: SocketAddr, shared: Shared) -> Shard<Mmsg> {
    shard_with(index, count, sockets, address, shared, Arc::new(ShardCounters::default()))
}

fn shard_with(
    index: u32,
    count: u32,
    mut sockets: Vec<ShardSockets>,
    address: SocketAddr,
    shared: Shared,
    counters: Arc<ShardCounters>,
) -> Shard<Mmsg> {
    let id = ShardId { index, count };
    let proxy = Proxy::new(settings(address), id, clock::seed().unwrap(), clock::now());
    let sockets = sockets.remove(index as usize);
    let inboxes = Arc::clone(&shared.inboxes);
    let engine = Mmsg::new(sockets, inboxes[index as usize].bell().as_fd());
    Shard::new(id, proxy, (engine, 1), Waiting::default(), shared, counters)
}

#[test]
fn a_full_mailbox_drops_and_counts_and_the_receiver_goes_on() {
    // Two shards by number, one socket: everything arrives here and half of it belongs to one that never reads.
    let (sockets, address) = open(1);
    let (shared, inboxes) = alone(2, 8);
    let mut shard = shard(0, 2, sockets, address, shared);
    let client = client();
    let theirs = (0..).map(|n| format!("{n}-x")).filter(|call_id| owner_of(call_id.as_bytes(), 2) == 1);
    for call_id in theirs.take(20) {
        client.send_to(request("OPTIONS", &client, &call_id, None).as_bytes(), address).unwrap();
    }
    assert!(shard.turn());
    let IoStats { received, handed_off, handoff_full, .. } = shard.io();
    assert_eq!((received, handed_off, handoff_full), (20, 8, 12));
    assert_eq!(inboxes[1].drain(99, |_, bytes| assert!(bytes.starts_with(b"OPTIONS "))), 8);
    let ours = (0..).map(|n| format!("{n}-y")).find(|call_id| owner_of(call_id.as_bytes(), 2) == 0).unwrap();
    client.send_to(request("OPTIONS", &client, &ours, None).as_bytes(), address).unwrap();
    assert!(shard.turn());
    assert!(read(&client).0.starts_with("SIP/2.0 4"));
}

#[test]
fn a_turn_takes_one_batch_from_a_full_socket_and_comes_back_for_more() {
    let (sockets, address) = open(1);
    let mut shard = shard(0, 1, sockets, address, alone(1, 8).0);
    let client = client();
    for n in 0..limits::BATCH_DATAGRAMS + 6 {
        client.send_to(request("OPTIONS", &client, &format!("{n}"), None).as_bytes(), address).unwrap();
    }
    assert!(shard.turn());
    assert_eq!(shard.io().received, limits::BATCH_DATAGRAMS as u64);
    assert!(shard.turn());
    assert_eq!(shard.io().received, limits::BATCH_DATAGRAMS as u64 + 6);
    assert_eq!(shard.io().sent, shard.io().received);
}

#[test]
fn the_audit_finds_no_drift_with_a_call_up_and_one_when_its_token_is_lost() {
    let (sockets, address) = open(1);
    let (shared, _) = alone(1, 8);
    let destination = client();
    let uri = format!("sip:{}", destination.local_addr().unwrap());
    let spec = DestinationSpec::new(uri, destination.local_addr().unwrap());
    let table = Table::build(vec![SetSpec::new(SetId(1), Algorithm::Priority, vec![spec])], None).unwrap();
    shared.policy.store(Arc::new(Policy { table, rules: vec![], default_set: Some(SetId(1)) }));
    let (policy, counters) = (shared.policy.load_full(), Arc::new(ShardCounters::default()));
    let mut shard = shard_with(0, 1, sockets, address, shared, Arc::clone(&counters));
    let (drift, start) = (Arc::<Drift>::default(), clock::now());
    let mut audit = Audit::new(vec![counters], Arc::clone(&drift), start);
    let caller = client();
    caller.send_to(request("INVITE", &caller, "audited", None).as_bytes(), address).unwrap();
    assert!(shard.turn());
    read(&destination);
    let states = policy.table.states();
    audit.pass(start, states);
    assert_eq!((states.total_load(), drift.load()), (1, 0));
    shard.forget_a_token();
    assert!(shard.turn());
    audit.pass(start + limits::AUDIT_INTERVAL, states);
    assert_eq!((states.total_load(), drift.load()), (1, 1));
}
