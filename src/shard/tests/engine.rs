//! What both engines must do, on real loopback sockets.

use super::*;
use crate::limits::RING_BUFFERS;
use crate::proxy::{Listen, SocketId, Transport};
use crate::shard::bell::Bell;
use crate::shard::mmsg::Mmsg;
use crate::shard::ring::Ring;
use crate::shard::socket::{ShardSockets, open_all};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

type Make<E> = fn(ShardSockets, BorrowedFd<'_>) -> E;

/// Each of these with either engine.
macro_rules! on_both_engines {
    ($($name:ident,)*) => {
        mod io_uring {
            $(#[test] fn $name() { super::$name(super::ring); })*
        }
        mod mmsg {
            $(#[test] fn $name() { super::$name(super::Mmsg::new); })*
        }
    };
}

on_both_engines! {
    datagrams_of_every_size_go_out_and_come_in_by_the_right_socket,
    more_than_an_engine_holds_arrives_all_the_same,
    a_dead_destination_does_not_keep_the_others_from_getting_theirs,
    what_cannot_be_sent_is_named_once_and_the_rest_goes_on,
    who_stops_receiving_goes_on_where_it_stopped,
    an_icmp_error_is_told_with_its_destination_and_how_the_datagram_begins,
    a_ring_of_the_bell_ends_a_wait_and_is_taken_back,
    a_wait_ends_with_its_timeout_and_not_before,
    gathering_waits_for_more_although_something_is_there_but_not_for_long,
    what_the_kernel_drops_is_counted,
    an_address_is_free_as_soon_as_its_engine_is_gone,
    runs_arrive_as_the_datagrams_they_are_made_of_and_calls_in_order,
    a_run_that_fails_is_sent_one_by_one_and_each_message_is_judged_by_itself,
    every_message_of_a_run_to_a_closed_port_of_this_machine_is_told,
}

fn ring(sockets: ShardSockets, bell: BorrowedFd<'_>) -> Ring {
    Ring::new(sockets, bell).map_err(|(error, _)| error).unwrap()
}

fn open(addresses: &[&str]) -> ShardSockets {
    let listen = |address: &&str| Listen {
        transport: Transport::Udp,
        address: address.parse().unwrap(),
        advertised: String::new(),
        name: String::new(),
    };
    open_all(&addresses.iter().map(listen).collect::<Vec<_>>(), 1).unwrap().remove(0)
}

struct Bench<E> {
    engine: E,
    bell: Bell,
    addresses: Vec<SocketAddr>,
}

impl<E: Engine> Bench<E> {
    fn new(make: Make<E>, addresses: &[&str]) -> Self {
        Self::with(make, open(addresses))
    }

    fn that_joins(make: Make<E>, addresses: &[&str]) -> Self {
        let mut sockets = open(addresses);
        sockets.join_sends();
        Self::with(make, sockets)
    }

    fn with(make: Make<E>, sockets: ShardSockets) -> Self {
        let bell = Bell::new().unwrap();
        let addresses = sockets.addresses().to_vec();
        Self { engine: make(sockets, bell.as_fd()), bell, addresses }
    }

    /// What of this could not be sent.
    fn send(&mut self, messages: impl IntoIterator<Item = (u8, SocketAddr, Vec<u8>)>) -> Vec<(SocketAddr, usize)> {
        let mut out = Outbox::new();
        for (socket, destination, bytes) in messages {
            out.push(SocketId(socket), destination, |arena| arena.extend(bytes));
        }
        self.engine.queue(&mut out);
        assert!(out.is_empty());
        let mut failed = Vec::new();
        self.engine.wait(Patience::Look);
        self.engine.settle(|message| failed.push((message.destination, message.bytes.len())));
        assert!(!self.engine.has_failed());
        failed
    }

    /// Waits until `count` datagrams came in, of which no wait brings more than `most`.
    fn receive(&mut self, count: usize, most: usize) -> Vec<(u8, SocketAddr, Vec<u8>)> {
        let mut got = Vec::new();
        let start = Instant::now();
        while got.len() < count && start.elapsed() < 5 * SECOND {
            let before = got.len();
            self.engine.wait(Patience::Sleep(SECOND));
            let is_left = self.engine.receive(|datagram| {
                got.push((datagram.socket.0, datagram.source, datagram.bytes.to_vec()));
                true
            });
            assert!(!is_left && got.len() - before <= most, "{} at once", got.len() - before);
        }
        got
    }

    fn told(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.engine.errors().iter().map(|error| (error.destination, error.sent.to_vec())).collect()
    }
}

fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn datagrams_of_every_size_go_out_and_come_in_by_the_right_socket<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0", "[::1]:0"]);
    let mut other = Bench::new(make, &["127.0.0.1:0", "[::1]:0"]);
    let to = other.addresses.clone();
    let sizes = (0..140).chain([1_472, 9_000, 60_000, 65_507]);
    let sent: Vec<_> = sizes.flat_map(|size| [(0, to[0], vec![size as u8; size]), (1, to[1], vec![7; size])]).collect();
    assert_eq!(engine.send(sent.clone()), []);
    assert_eq!(engine.engine.counts().sent, sent.len() as u64);
    let got = other.receive(sent.len(), usize::MAX);
    for socket in 0..2 {
        let want = sent.iter().filter(|(by, ..)| *by == socket);
        let want = want.map(|(by, _, bytes)| (*by, engine.addresses[usize::from(socket)], bytes.clone()));
        assert!(want.eq(got.iter().filter(|(by, ..)| *by == socket).cloned()), "socket {socket}");
    }
    assert_eq!((other.engine.counts().received, other.engine.counts().truncated), (sent.len() as u64, 0));
}

fn more_than_an_engine_holds_arrives_all_the_same<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let count = 3 * RING_BUFFERS + 5;
    engine.engine.wait(Patience::Look);
    (0..count as u32).for_each(|n| assert!(sender.send_to(&n.to_ne_bytes(), engine.addresses[0]).is_ok()));
    let got = engine.receive(count, RING_BUFFERS);
    assert!(got.into_iter().map(|(_, _, bytes)| bytes).eq((0..count as u32).map(|n| n.to_ne_bytes().to_vec())));
    assert_eq!(engine.engine.counts().kernel_drops, 0);
}

fn a_dead_destination_does_not_keep_the_others_from_getting_theirs<E: Engine>(make: Make<E>) {
    let (mut engine, mut other) = (Bench::new(make, &["127.0.0.1:0"]), Bench::new(make, &["127.0.0.1:0"]));
    let (alive, closed) = (other.addresses[0], closed_port());
    let failed = engine.send((0..20u8).map(|n| (0, if n % 2 == 0 { closed } else { alive }, vec![n])));
    assert_eq!(failed, [], "a pending ICMP error is not the next message's own");
    let counts = *engine.engine.counts();
    assert_eq!((counts.sent, counts.send_errors, counts.send_lost), (20, 0, 0));
    engine.engine.wait(Patience::Sleep(SECOND / 50));
    engine.engine.receive(|_| true);
    assert_eq!(engine.told(), (0..20).step_by(2).map(|n| (closed, vec![n])).collect::<Vec<_>>());
    let got = other.receive(10, 10);
    assert!(got.into_iter().map(|(_, _, bytes)| bytes[0]).eq((1..20).step_by(2)));
}

fn what_cannot_be_sent_is_named_once_and_the_rest_goes_on<E: Engine>(make: Make<E>) {
    let (mut engine, mut other) = (Bench::new(make, &["127.0.0.1:0"]), Bench::new(make, &["127.0.0.1:0"]));
    let alive = other.addresses[0];
    let (wrong_family, port_zero) = ("[::1]:9".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
    let failed = engine.send([
        (0, wrong_family, b"a".to_vec()),
        (0, alive, b"b".to_vec()),
        (0, alive, vec![0; 65_530]),
        (0, port_zero, b"d".to_vec()),
        (0, alive, b"e".to_vec()),
    ]);
    assert_eq!(failed, [(wrong_family, 1), (alive, 65_530), (port_zero, 1)]);
    assert_eq!((engine.engine.counts().sent, engine.engine.counts().send_errors), (2, 3));
    assert_eq!(
        other.receive(2, 2).into_iter().map(|(_, _, bytes)| bytes).collect::<Vec<_>>(),
        [b"b".to_vec(), b"e".to_vec()]
    );
    assert_eq!(engine.send([(0, alive, b"f".to_vec())]), []);
}

fn who_stops_receiving_goes_on_where_it_stopped<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    (0..9u8).for_each(|n| assert!(sender.send_to(&[n], engine.addresses[0]).is_ok()));
    let mut got = Vec::new();
    engine.engine.wait(Patience::Sleep(SECOND));
    while engine.engine.receive(|datagram| {
        got.push(datagram.bytes[0]);
        !got.len().is_multiple_of(4)
    }) {}
    assert!(got.into_iter().eq(0..9));
}

// RFC 3261 §18.4; RFC 4443 §2.1
fn an_icmp_error_is_told_with_its_destination_and_how_the_datagram_begins<E: Engine>(make: Make<E>) {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut engine = Bench::new(make, &[address]);
        let closed = UdpSocket::bind(address).unwrap().local_addr().unwrap();
        engine.engine.wait(Patience::Look);
        assert_eq!(engine.send([(0, closed, b"INVITE sip:a@b SIP/2.0".to_vec())]), []);
        engine.engine.wait(Patience::Sleep(SECOND / 50));
        engine.engine.receive(|_| true);
        assert_eq!(engine.told(), [(closed, b"INVITE sip:a@b SIP/2.0".to_vec())]);
        engine.engine.errors().clear();
        assert_eq!(engine.engine.counts().icmp_errors, 1);
        // Once told, the socket is quiet and still receives.
        let (start, timeout) = (Instant::now(), Duration::from_millis(30));
        engine.engine.wait(Patience::Sleep(timeout));
        assert!(start.elapsed() >= timeout);
        let sender = UdpSocket::bind(address).unwrap();
        sender.send_to(b"x", engine.addresses[0]).unwrap();
        assert_eq!(engine.receive(1, 1).len(), 1);
    }
}

fn a_ring_of_the_bell_ends_a_wait_and_is_taken_back<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0"]);
    for _ in 0..3 {
        engine.bell.fall_asleep();
        engine.bell.ring();
        let start = Instant::now();
        engine.engine.wait(Patience::Sleep(10 * SECOND));
        assert!(start.elapsed() < 5 * SECOND);
        let (start, timeout) = (Instant::now(), Duration::from_millis(20));
        engine.engine.wait(Patience::Sleep(timeout));
        assert!(start.elapsed() >= timeout, "one ring wakes once");
    }
}

fn a_wait_ends_with_its_timeout_and_not_before<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0"]);
    for timeout in [Duration::from_micros(700), Duration::from_millis(30)] {
        let start = Instant::now();
        engine.engine.wait(Patience::Sleep(timeout));
        assert!(start.elapsed() >= timeout && start.elapsed() < SECOND);
    }
    let start = Instant::now();
    engine.engine.wait(Patience::Look);
    assert!(start.elapsed() < SECOND);
    assert!(!engine.engine.receive(|_| panic!("nothing was sent")));
}

fn gathering_waits_for_more_although_something_is_there_but_not_for_long<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    engine.engine.wait(Patience::Look);
    let gather = Duration::from_millis(20);
    sender.send_to(b"x", engine.addresses[0]).unwrap();
    let start = Instant::now();
    engine.engine.wait(Patience::Gather { gather, timeout: 10 * SECOND });
    let elapsed = start.elapsed();
    assert!(elapsed >= gather / 2 && elapsed < 5 * SECOND, "{elapsed:?}");
    let mut count = 0;
    engine.engine.receive(|_| {
        count += 1;
        true
    });
    assert_eq!(count, 1);
    // With nothing there, it waits on.
    let start = Instant::now();
    engine.engine.wait(Patience::Gather { gather, timeout: 3 * gather });
    assert!(start.elapsed() >= 3 * gather - Duration::from_millis(1));
}

fn what_the_kernel_drops_is_counted<E: Engine>(make: Make<E>) {
    let mut engine = Bench::new(make, &["127.0.0.1:0"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(engine.engine.sockets().backlog().share < 0.01);
    // 12 MB are more than a receive buffer of 4 MiB holds.
    (0..200).for_each(|_| drop(sender.send_to(&[0; 60_000], engine.addresses[0])));
    assert!(engine.engine.sockets().backlog().share > 0.9);
    let mut count = 0;
    while {
        let before = count;
        engine.engine.wait(Patience::Look);
        engine.engine.receive(|_| {
            count += 1;
            true
        });
        count > before
    } {}
    engine.engine.look_at_drops();
    let dropped = engine.engine.counts().kernel_drops;
    assert!(dropped > 0, "{count} received");
    assert_eq!(count + dropped, 200);
    assert!(engine.engine.sockets().backlog().share < 0.01);
}

fn an_address_is_free_as_soon_as_its_engine_is_gone<E: Engine>(make: Make<E>) {
    for _ in 0..20 {
        let mut engine = Bench::new(make, &["127.0.0.1:0"]);
        let address = engine.addresses[0];
        engine.engine.wait(Patience::Look);
        drop(engine);
        assert!(UdpSocket::bind(address).is_ok(), "{address}");
    }
}

fn of_call(call: usize, bytes: usize) -> Vec<u8> {
    let mut text = format!("BYE x SIP/2.0\r\nCall-ID: call-{call:05}\r\n\r\n").into_bytes();
    text.resize(bytes, b'x');
    text
}

fn runs_arrive_as_the_datagrams_they_are_made_of_and_calls_in_order<E: Engine>(make: Make<E>) {
    let mut engine = Bench::that_joins(make, &["127.0.0.1:0", "[::1]:0"]);
    let mut others = [0, 1].map(|_| Bench::new(make, &["127.0.0.1:0", "[::1]:0"]));
    // Each call has three messages of three sizes, to one of two destinations by one of two sockets.
    let sent: Vec<_> = (0..600)
        .map(|n| {
            let (call, size) = (n / 3, 300 + n % 3 * 100 + n / 3 % 5);
            (call % 2, (call % 2) as u8, others[call / 2 % 2].addresses[call % 2], of_call(call, size))
        })
        .collect();
    assert_eq!(engine.send(sent.iter().map(|(_, by, to, bytes)| (*by, *to, bytes.clone()))), []);
    let counts = *engine.engine.counts();
    assert_eq!((counts.sent, counts.send_errors, counts.send_runs_split), (600, 0, 0));
    assert!((12..300).contains(&counts.send_runs), "{} runs", counts.send_runs);
    for other in &mut others {
        let addresses = other.addresses.clone();
        let mut want: Vec<_> = sent.iter().filter(|(_, _, to, _)| addresses.contains(to)).collect();
        let mut got = other.receive(want.len(), usize::MAX);
        assert!(got.iter().all(|(by, from, _)| *from == engine.addresses[usize::from(*by)]));
        // Stable: what one call sent stays as it came.
        let call = |bytes: &[u8]| bytes[..40].to_vec();
        want.sort_by_key(|(.., bytes)| call(bytes));
        got.sort_by_key(|(.., bytes)| call(bytes));
        assert!(want.iter().map(|(_, by, _, bytes)| (by, bytes)).eq(got.iter().map(|(by, _, bytes)| (by, bytes))));
    }
}

fn a_run_that_fails_is_sent_one_by_one_and_each_message_is_judged_by_itself<E: Engine>(make: Make<E>) {
    let mut engine = Bench::that_joins(make, &["127.0.0.1:0"]);
    let mut other = Bench::new(make, &["127.0.0.1:0"]);
    let (alive, refused) = (other.addresses[0], "127.0.0.1:0".parse().unwrap());
    let messages = (0..20).map(|n| (0, if n % 2 == 0 { alive } else { refused }, of_call(n, 200)));
    assert_eq!(engine.send(messages), vec![(refused, 200); 10]);
    let counts = *engine.engine.counts();
    assert_eq!((counts.sent, counts.send_errors, counts.send_lost, counts.send_runs_split), (10, 10, 0, 1));
    let got = other.receive(10, 10);
    assert!(got.into_iter().map(|(_, _, bytes)| bytes).eq((0..20).step_by(2).map(|n| of_call(n, 200))));
    assert_eq!(engine.send([(0, alive, b"f".to_vec())]), []);
}

fn every_message_of_a_run_to_a_closed_port_of_this_machine_is_told<E: Engine>(make: Make<E>) {
    let mut engine = Bench::that_joins(make, &["127.0.0.1:0"]);
    let mut other = Bench::new(make, &["127.0.0.1:0"]);
    let (alive, closed) = (other.addresses[0], closed_port());
    for size in [200, 400, 600] {
        // The last run is the dead one's, and then the living one's: nobody, or a send, is shown the error.
        for last in [closed, alive] {
            let first = if last == closed { alive } else { closed };
            let messages = (0..20).map(|n| (0, if n % 2 == 0 { first } else { last }, of_call(n, size)));
            let mut failed = engine.send(messages);
            engine.engine.wait(Patience::Sleep(SECOND / 50));
            engine.engine.receive(|_| true);
            engine.engine.settle(|message| failed.push((message.destination, message.bytes.len())));
            let told = engine.told();
            engine.engine.errors().clear();
            assert!(told.iter().all(|(destination, _)| *destination == closed) && !told.is_empty());
            assert_eq!(failed, vec![(closed, size); 10 - told.len()], "{} told", told.len());
            assert_eq!(other.receive(10, 10).len(), 10);
        }
    }
}
