//! Datagrams on real loopback sockets.

use super::*;
use std::net::SocketAddr;

fn local() -> Socket {
    open("127.0.0.1:0".parse::<SocketAddrV4>().unwrap().into()).unwrap()
}

fn pass(segment: bool, join: bool, sizes: &[usize]) -> (Vec<(Address, Vec<u8>)>, [Socket; 3]) {
    let sockets = [local(), local(), local()];
    if join {
        sockets[2].join().unwrap();
    }
    let to = sockets[2].address;
    let mut out = Outbox::new();
    for (at, size) in sizes.iter().enumerate() {
        out.begin();
        out.put(&[at as u8]);
        out.put(&vec![b'x'; *size]);
        out.end((at % 2) as u16, to);
    }
    let mut send = Send::new(segment, false);
    send.send(&sockets[..2], &mut out);
    assert_eq!((send.failed, out.len()), (0, 0));
    let (mut wait, mut passages) = (Wait::new(&sockets).unwrap(), 0);
    let (mut receive, mut got) = (Receive::new(join), Vec::new());
    while got.len() < sizes.len() {
        wait.wait(1_000_000_000);
        assert_eq!((wait.ready(), wait.place(0)), (1, 2));
        let count = receive.receive(&sockets[2]);
        passages += count;
        for (from, datagrams) in (0..count).map(|at| receive.passage(at)) {
            got.extend(datagrams.map(|bytes| (from, bytes.to_vec())));
        }
    }
    assert_eq!(passages < sizes.len() / 10, segment && join, "{passages} passages");
    (got, sockets)
}

#[test]
fn messages_go_out_by_their_socket_and_come_in_whole() {
    for (segment, join) in [(false, false), (true, false), (false, true), (true, true)] {
        // Two sizes in turns, more than a batch of each.
        let sizes: Vec<_> = (0..250).map(|at| if at % 3 == 0 { 900 } else { 400 }).collect();
        let (got, sockets) = pass(segment, join, &sizes);
        for (from, bytes) in &got {
            let at = usize::from(bytes[0]);
            assert_eq!((bytes.len() - 1, *from), (sizes[at], sockets[at % 2].address), "{segment}, {join}");
        }
        let of_size = |size: usize| got.iter().filter(move |(_, bytes)| bytes.len() == size + 1);
        for (size, socket) in [(900, 0), (400, 1)] {
            let order: Vec<u8> =
                of_size(size).filter(|(from, _)| *from == sockets[socket].address).map(|(_, bytes)| bytes[0]).collect();
            assert!(order.is_sorted() && order.len() > 40, "equal messages changed places");
        }
    }
}

#[test]
fn what_a_socket_has_no_room_for_is_known() {
    let (from, to) = (local(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let SocketAddr::V4(address) = to.local_addr().unwrap() else { unreachable!() };
    let small = Socket { socket: to, address: address.into() };
    let mut out = Outbox::new();
    for _ in 0..2000 {
        out.begin();
        out.put(&[b'x'; 1400]);
        out.end(0, small.address);
    }
    assert_eq!(small.drops(), 0);
    Send::new(false, false).send(core::slice::from_ref(&from), &mut out);
    assert!(small.drops() > 0 && small.drops() < 2000, "{}", small.drops());
}

#[test]
fn addresses_of_uris_are_read() {
    let of = |uri: &str| Address::of_uri(uri.as_bytes()).map(|address| address.to_string());
    assert_eq!(of("sip:127.0.0.1;lr").as_deref(), Some("127.0.0.1:5060"));
    assert_eq!(of("sip:u@127.0.0.1:5070;x=y").as_deref(), Some("127.0.0.1:5070"));
    for wrong in ["sips:127.0.0.1", "sip:example.com", "sip:[::1]:5060", "sip:127.0.0.1:x"] {
        assert_eq!(of(wrong), None, "{wrong}");
    }
}

#[test]
fn numbers_are_written_in_decimal() {
    let mut out = Outbox::new();
    out.begin();
    [0, 7, 10, 18_446].into_iter().for_each(|number| out.put_number(number));
    out.end(0, Address::default());
    assert_eq!(out.message(0), b"071018446");
}

#[test]
fn a_connected_socket_sends_without_names_and_goes_on_after_a_refusal() {
    let (from, to, closed) = (local(), local(), local().address);
    let send = |to| {
        from.connect(to).unwrap();
        let (mut out, mut send) = (Outbox::new(), Send::new(true, true));
        for _ in 0..3 {
            out.begin();
            out.put(b"x");
            out.end(0, Address::NONE);
            send.send(core::slice::from_ref(&from), &mut out);
        }
        send.failed
    };
    assert_eq!(send(to.address), 0);
    assert_eq!(Receive::new(false).receive(&to), 3);
    // Nobody is there: each datagram is taken, though the error of the one before is told first.
    assert_eq!(send(closed), 0);
}
