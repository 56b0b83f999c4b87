//! Whole shards with the real call path, on real loopback sockets.

use super::*;
use crate::dispatcher::Table;
use crate::limits;
use crate::proxy::{Listen, Policy, Settings, Timers, Transport, owner_of};
use arc_swap::ArcSwap;
use core::time::Duration;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

mod overload;

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

/// What `shards` shards begin with, and where they are reached.
fn input(shards: usize) -> (ShardsInput, SocketAddr) {
    let (sockets, address) = open(shards);
    let input = ShardsInput {
        settings: settings(address),
        policy: policy(),
        sockets,
        probe_answers: Arc::new(ProbeSink::new().unwrap()),
        lifecycle: Arc::new(Lifecycle::new(shards)),
        engine: EngineChoice::Auto,
        waiting: Waiting::default(),
    };
    (input, address)
}

impl Bed {
    fn start(engine: EngineKind, shards: usize) -> Self {
        let (input, address) = input(shards);
        let (lifecycle, probe_answers) = (Arc::clone(&input.lifecycle), Arc::clone(&input.probe_answers));
        let input = ShardsInput { engine: EngineChoice::Only(engine), ..input };
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

mod alone;
mod asked;
mod life;

on_both_engines! {
    one_source_port_reaches_every_owner_and_the_counters_say_so,
    a_closed_port_is_told_to_the_calls_owner_at_once_whoever_hears_of_it,
    a_request_of_60000_bytes_is_forwarded_whole,
    an_answer_to_a_probe_goes_to_the_prober_and_to_no_call,
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
        assert_eq!(total.steered, receivers[0].proxy.requests, "what came to its owner at once");
    }
}

fn a_closed_port_is_told_to_the_calls_owner_at_once_whoever_hears_of_it(engine: EngineKind) {
    let (bed, client) = (Bed::start(engine, 2), client());
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for n in 0..20 {
        let start = Instant::now();
        let text = request("INVITE", &client, &format!("{n}-refused"), Some(closed));
        client.send_to(text.as_bytes(), bed.address).unwrap();
        // Nobody acknowledges: what an earlier call got is repeated (RFC 3261 §17.2.1, Timer G) when this machine is slow.
        let is_earlier = |answer: &String| (0..n).any(|n| line(answer, "Call-ID") == format!("Call-ID: {n}-refused"));
        let answer = core::iter::repeat_with(|| read_final(&client)).find(|answer| !is_earlier(answer)).unwrap();
        assert!(answer.starts_with("SIP/2.0 5") && answer.contains(&format!("Call-ID: {n}-refused\r\n")), "{answer}");
        assert!(start.elapsed() < 64 * T1, "not by Timer B");
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
