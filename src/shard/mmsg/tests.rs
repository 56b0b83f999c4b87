//! The engine on real loopback sockets.

use super::*;
use crate::limits::BATCH_DATAGRAMS;
use crate::proxy::{Listen, Transport};
use crate::shard::socket::open_all;
use core::time::Duration;
use std::net::{SocketAddr, UdpSocket};

const SECOND: Duration = Duration::from_secs(1);

fn open(addresses: &[&str]) -> ShardSockets {
    let listen = |address: &&str| Listen {
        transport: Transport::Udp,
        name: String::new(),
        address: address.parse().unwrap(),
        advertised: String::new(),
    };
    open_all(&addresses.iter().map(listen).collect::<Vec<_>>(), 1).unwrap().remove(0)
}

fn outbox(messages: impl IntoIterator<Item = (u8, SocketAddr, Vec<u8>)>) -> Outbox {
    let mut out = Outbox::new();
    for (socket, destination, bytes) in messages {
        out.push(SocketId(socket), destination, |arena| arena.extend(bytes));
    }
    out
}

fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Engine {
    sockets: ShardSockets,
    send: Send,
    errors: Errors,
    counts: IoStats,
}

impl Engine {
    fn new(addresses: &[&str]) -> Self {
        Self { sockets: open(addresses), send: Send::new(false), errors: Errors::new(), counts: IoStats::default() }
    }

    fn send(&mut self, out: &Outbox) {
        self.send.send(self.sockets.iter(), out, &mut self.errors, &mut self.counts);
    }

    fn told(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.errors.iter().map(|error| (error.destination, error.sent.to_vec())).collect()
    }
}

fn receive_all(socket: &ShardSockets, at: usize, receive: &mut Receive) -> Vec<(SocketAddr, Vec<u8>)> {
    assert!(readable_within(socket.get(at), SECOND));
    let count = receive.receive(socket.get(at)).unwrap();
    (0..count).map(|at| receive.datagram(at).map(|(source, bytes)| (source, bytes.to_vec())).unwrap()).collect()
}

#[test]
fn more_than_a_batch_goes_out_and_comes_in_whole_in_order_and_by_the_right_socket() {
    let (mut engine, other) = (Engine::new(&["127.0.0.1:0", "[::1]:0"]), open(&["127.0.0.1:0", "[::1]:0"]));
    let to = other.addresses().to_vec();
    let count = 2 * (BATCH_DATAGRAMS + 5);
    engine.send(&outbox((0..count).map(|n| ((n % 2) as u8, to[n % 2], vec![n as u8; n]))));
    assert_eq!((engine.counts.sent, engine.counts.send_batches), (count as u64, 4));
    let mut receive = Receive::new();
    for at in 0..2 {
        let mut got = receive_all(&other, at, &mut receive);
        assert_eq!(got.len(), BATCH_DATAGRAMS);
        got.extend(receive_all(&other, at, &mut receive));
        let want = (at..count).step_by(2).map(|n| (engine.sockets.addresses()[at], vec![n as u8; n]));
        assert!(want.eq(got));
    }
    assert_eq!(receive.receive(other.get(0)).unwrap(), 0);
}

#[test]
fn a_datagram_of_60000_bytes_passes() {
    let (mut engine, other) = (Engine::new(&["127.0.0.1:0"]), open(&["127.0.0.1:0"]));
    let long: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
    engine.send(&outbox([(0, other.addresses()[0], long.clone())]));
    let got = receive_all(&other, 0, &mut Receive::new());
    assert!(got == [(engine.sockets.addresses()[0], long)]);
}

#[test]
fn an_icmp_error_is_told_with_its_destination_and_how_the_datagram_begins() {
    let mut engine = Engine::new(&["127.0.0.1:0"]);
    let closed = closed_port();
    let long = vec![b'x'; 4000];
    engine.send(&outbox([(0, closed, b"INVITE sip:a@b SIP/2.0".to_vec())]));
    engine.send(&outbox([(0, closed, long)]));
    let mut wait = Wait::new(engine.sockets.iter(), engine.sockets.get(0));
    assert!(wait.wait(Patience::Sleep(SECOND)) > 0 && wait.ready(0).error);
    engine.errors.drain(SocketId(0), engine.sockets.get(0), &mut engine.counts);
    let told = engine.told();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], (closed, b"INVITE sip:a@b SIP/2.0".to_vec()));
    assert!(told[1].0 == closed && told[1].1.len() > 400 && told[1].1.iter().all(|byte| *byte == b'x'));
    assert_eq!(engine.counts.icmp_errors, 2);
    // Once read, poll is quiet: no spinning.
    assert_eq!(wait.wait(Patience::Look), 0);
}

// RFC 4443 §2.1
#[test]
fn an_icmp_error_over_ipv6_is_told_too() {
    let mut engine = Engine::new(&["[::1]:0"]);
    let closed = UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap();
    engine.send(&outbox([(0, closed, b"hello".to_vec())]));
    engine.errors.drain(SocketId(0), engine.sockets.get(0), &mut engine.counts);
    assert_eq!(engine.told(), [(closed, b"hello".to_vec())]);
}

#[test]
fn a_dead_destination_does_not_keep_the_others_from_getting_theirs() {
    let (mut engine, other) = (Engine::new(&["127.0.0.1:0"]), open(&["127.0.0.1:0"]));
    let (alive, closed) = (other.addresses()[0], closed_port());
    let out = outbox((0..20u8).map(|n| (0, if n % 2 == 0 { closed } else { alive }, vec![n])));
    engine.send(&out);
    assert_eq!(engine.send.failed(&out).next(), None, "a pending ICMP error is not the next message's own");
    assert_eq!((engine.counts.sent, engine.counts.send_errors, engine.counts.send_lost), (20, 0, 0));
    engine.errors.drain(SocketId(0), engine.sockets.get(0), &mut engine.counts);
    assert_eq!(engine.told(), (0..20).step_by(2).map(|n| (closed, vec![n])).collect::<Vec<_>>());
    let got = receive_all(&other, 0, &mut Receive::new());
    assert!(got.into_iter().map(|(_, bytes)| bytes[0]).eq((1..20).step_by(2)));
}

#[test]
fn what_cannot_be_sent_is_named_and_the_rest_goes_on() {
    let (mut engine, other) = (Engine::new(&["127.0.0.1:0"]), open(&["127.0.0.1:0"]));
    let alive = other.addresses()[0];
    let (wrong_family, port_zero) = ("[::1]:9".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
    let out = outbox([
        (0, wrong_family, b"a".to_vec()),
        (0, alive, b"b".to_vec()),
        (0, alive, vec![0; 65_530]),
        (0, port_zero, b"d".to_vec()),
        (0, alive, b"e".to_vec()),
    ]);
    engine.send(&out);
    let failed: Vec<_> = engine.send.failed(&out).map(|message| (message.destination, message.bytes.len())).collect();
    assert_eq!(failed, [(wrong_family, 1), (alive, 65_530), (port_zero, 1)]);
    assert_eq!((engine.counts.sent, engine.counts.send_errors), (2, 3));
    let got = receive_all(&other, 0, &mut Receive::new());
    assert!(got.iter().map(|(_, bytes)| bytes.as_slice()).eq([b"b", b"e"]));
    // What failed is forgotten with the next outbox.
    engine.send(&outbox([(0, alive, b"f".to_vec())]));
    assert_eq!(engine.send.failed(&out).next(), None);
}

#[test]
fn errors_beyond_the_room_wait_in_the_kernel() {
    let mut engine = Engine::new(&["127.0.0.1:0"]);
    let closed = closed_port();
    let count = BATCH_DATAGRAMS as u8 + 9;
    (0..count).for_each(|n| engine.send(&outbox([(0, closed, vec![n])])));
    let mut told = Vec::new();
    while told.len() < usize::from(count) {
        engine.errors.drain(SocketId(0), engine.sockets.get(0), &mut engine.counts);
        assert!(!engine.told().is_empty() && engine.told().len() <= BATCH_DATAGRAMS);
        told.extend(engine.told());
        engine.errors.clear();
    }
    assert!(told.into_iter().map(|(_, bytes)| bytes[0]).eq(0..count));
}

#[test]
fn a_wait_ends_with_its_timeout_and_not_before() {
    let (sockets, timeout) = (open(&["127.0.0.1:0"]), Duration::from_millis(30));
    let mut wait = Wait::new(sockets.iter(), sockets.get(0));
    let start = std::time::Instant::now();
    assert_eq!(wait.wait(Patience::Sleep(timeout)), 0);
    assert!(start.elapsed() >= timeout);
    assert!(!wait.ready(0).readable && !wait.ready(0).error);
}
