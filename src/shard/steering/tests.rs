//! Each program on a real group of sockets: it delivers where `owner_of` says.

use super::*;
use crate::limits;
use crate::proxy::{Listen, Transport, owner_of};
use crate::shard::mmsg::readable_within;
use crate::shard::socket::open_all;
use crate::sip::find_call_id;
use core::time::Duration;
use std::net::{SocketAddr, UdpSocket};

struct Group {
    shards: Vec<ShardSockets>,
    clients: Vec<UdpSocket>,
}

impl Group {
    fn new(count: usize) -> Self {
        let listen = ["127.0.0.1:0", "[::1]:0"].map(|address| Listen {
            transport: Transport::Udp,
            address: address.parse().unwrap(),
            advertised: String::new(),
            name: String::new(),
        });
        let shards = open_all(&listen, count).unwrap();
        let clients = ["127.0.0.1:0", "[::1]:0"].map(|address| UdpSocket::bind(address).unwrap()).into();
        Self { shards, clients }
    }

    fn steered(count: usize, way: Steering) -> Self {
        let group = Self::new(count);
        let (got, refused) = steer(&group.shards, SteeringWish::Only(way)).unwrap();
        assert!(got == way && refused.is_empty());
        group
    }

    /// Which shard gets `message`, sent to address number `at`.
    fn receiver(&self, at: usize, message: &[u8]) -> usize {
        let to: SocketAddr = self.shards[0].addresses()[at];
        self.clients[at].send_to(message, to).unwrap();
        let is_there = |shard: &&ShardSockets| readable_within(shard.get(at), Duration::ZERO);
        let got = self.shards.iter().position(|shard| is_there(&shard)).unwrap();
        assert_eq!(self.shards.iter().filter(is_there).count(), 1);
        self.take(got, at);
        got
    }

    fn take(&self, shard: usize, at: usize) {
        use std::os::fd::AsRawFd;
        let mut byte = 0u8;
        // SAFETY: writes at most one byte into `byte`.
        let got = unsafe {
            let socket = self.shards[shard].get(at).as_raw_fd();
            libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT)
        };
        assert_eq!(got, 1);
    }

    fn assert_right(&self, message: &str) {
        let call_id = find_call_id(message.as_bytes()).unwrap();
        let owner = owner_of(call_id, self.shards.len() as u32) as usize;
        for at in 0..2 {
            assert_eq!(self.receiver(at, message.as_bytes()), owner, "{message}");
        }
    }
}

fn message(start: &str, name: &str, call_id: &str, vias: usize, body: &str) -> String {
    let via = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabcdef;rport\r\n".repeat(vias);
    format!(
        "{start}\r\n{via}Contact: <sip:a@b>\r\nFrom: <sip:a@example.com>;tag=1\r\nContent-Type: application/sdp\r\n\
         To: <sip:b@example.com>\r\n{name}{call_id}\r\nCSeq: 1 INVITE\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const REQUEST: &str = "INVITE sip:bob@example.com SIP/2.0";
const RESPONSE: &str = "SIP/2.0 200 OK";

#[test]
fn either_program_finds_the_usual_spellings_at_every_place_of_a_word() {
    for way in [Steering::Ebpf, Steering::Classic] {
        for count in [2, 3, 8] {
            let group = Group::steered(count, way);
            for n in 0..60usize {
                let call_id = format!("{n}-{}@192.0.2.{n}", "x".repeat(n));
                for name in ["Call-ID: ", "CALL-ID: ", "call-id:", "Call-Id:  "] {
                    let start = [REQUEST, RESPONSE][n % 2].to_owned() + &" ".repeat(n % 4);
                    group.assert_right(&message(&start, name, &call_id, n % 8, "v=0\r\nCall-ID: body"));
                }
            }
        }
    }
}

#[test]
fn ebpf_finds_every_other_spelling_at_any_depth_and_to_the_last_byte() {
    // RFC 3261 §7.3.1, §7.3.3
    let group = Group::steered(4, Steering::Ebpf);
    for n in 0..40usize {
        let call_id = format!("{n}{}", "y".repeat(n % 9));
        for name in ["i:", "I: ", "i \t : \t", "call-id : ", "CALL-ID    :   ", "Call-ID:\r\n ", "Call-ID: \r\n\t   "] {
            group.assert_right(&message(REQUEST, name, &call_id, n, "body"));
        }
        // The last line of a message without a body, so that everything is read to the end.
        group.assert_right(&format!("BYE sip:a@b SIP/2.0\r\ni:{call_id}\r\n\r\n"));
        group.assert_right(&format!("BYE sip:a@b SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n"));
        group.assert_right(&format!("BYE sip:a@b SIP/2.0\nCall-ID: {call_id}\nTo: sip:a@b\n\n"));
    }
}

#[test]
fn what_looks_like_a_call_id_and_is_none_does_not_mislead() {
    let group = Group::steered(4, Steering::Ebpf);
    for n in 0..40 {
        let text = message(REQUEST, "Call-ID: ", &format!("{n}-call"), 2, "x");
        for before in
            ["X-Call-ID: z", "Call-Info: <sip:a@b>", "Call-IDs: z", "Info: i", "In-Reply-To: i: z", "c: text/plain"]
        {
            group.assert_right(&text.replace("Contact: <sip:a@b>", before));
        }
    }
    let classic = Group::steered(4, Steering::Classic);
    for n in 0..40 {
        // A near miss costs classic BPF the rest of its block: so far away from the real one.
        let text = message(REQUEST, "Call-ID: ", &format!("{n}-call"), 6, "x");
        classic.assert_right(&text.replacen("Via: SIP", "X-Call-ID: z\r\nVia: SIP", 1));
    }
}

#[test]
fn whatever_has_no_call_id_arrives_somewhere() {
    for way in [Steering::Ebpf, Steering::Classic] {
        let group = Group::steered(3, way);
        let long = "x".repeat(20_000);
        let vias = message(REQUEST, "Call-ID: ", "far", 400, "");
        for text in
            ["\r\n\r\n", "x", "Call-ID:", "a\r\nCall-ID:", "a\r\nCall-ID: ", "a\r\n\r\nCall-ID: b", &long, &vias]
        {
            (0..2).for_each(|at| assert!(group.receiver(at, text.as_bytes()) < 3));
        }
    }
}

#[test]
fn one_trunk_is_spread_evenly_over_all_shards() {
    for way in [Steering::Ebpf, Steering::Classic] {
        let group = Group::steered(4, way);
        let mut shares = [0; 4];
        for n in 0..2_000 {
            let text = message(REQUEST, "Call-ID: ", &format!("{n}-4711@192.0.2.1"), 1, "");
            shares[group.receiver(0, text.as_bytes())] += 1;
        }
        assert!(shares.iter().all(|share| (400..600).contains(share)), "{shares:?}");
    }
    let plain = Group::new(4);
    let all: Vec<_> =
        (0..50).map(|n| plain.receiver(0, message(REQUEST, "i:", &n.to_string(), 1, "").as_bytes())).collect();
    assert!(all.iter().all(|shard| *shard == all[0]), "without a program one trunk is one shard's");
}

#[test]
fn the_kernel_takes_the_program_for_every_number_of_shards() {
    for count in [2, 5, 64, limits::SHARDS_MAX as u32] {
        use std::os::fd::AsRawFd;
        let group = Group::new(2);
        let sockets: Vec<_> = group.shards.iter().map(|shard| shard.get(0)).collect();
        let map = kernel::socket_map(&sockets).unwrap();
        kernel::load(&ebpf::program(count, map.as_raw_fd())).unwrap();
    }
}

#[test]
fn the_best_way_is_taken_by_itself_and_one_shard_needs_none() {
    let group = Group::new(2);
    let (way, refused) = steer(&group.shards, SteeringWish::Auto).unwrap();
    assert_eq!(
        refused.iter().map(|(way, _)| *way).collect::<Vec<_>>(),
        if way == Steering::Ebpf { vec![] } else { vec![Steering::Ebpf] }
    );
    assert_eq!(steer(&group.shards, SteeringWish::Only(Steering::Handoff)).unwrap().0, Steering::Handoff);
    assert_eq!(steer(&Group::new(1).shards, SteeringWish::Auto).unwrap().0, Steering::Handoff);
}
