//! Parallel forking (RFC 3261 §16.6): four branches at once, two that fail, the others cancelled when one answers.

use crate::allocations_of;
use siplane::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec, Table};
use siplane::proxy::{Datagram, Listen, Outbox, Policy, Proxy, Settings, ShardId, SocketId, Transport};
use siplane::time::Instant;
use std::net::SocketAddr;
use std::time::Duration;

const CALLER: &str = "198.51.100.1:5060";

struct Forks {
    proxy: Proxy,
    policy: Policy,
    now: Instant,
    out: Outbox,
    allocations: u64,
}

/// A message and where it went.
type Sent = (SocketAddr, String);

impl Forks {
    fn new() -> Self {
        let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let listen =
            vec![Listen { transport: Transport::Udp, address, advertised: address.to_string(), name: String::new() }];
        let settings = Settings { listen, ..Settings::default() };
        let destination = |port: u16| DestinationSpec::new(format!("sip:d{port}"), ([203, 0, 113, 1], port).into());
        let spec = SetSpec::new(SetId(1), Algorithm::Parallel, (5_000..5_006).map(destination).collect());
        let table = Table::build(vec![SetSpec { failover_limit: 6, branches_max: 4, ..spec }], None).unwrap();
        let now = Instant::from_nanos(1);
        Self {
            proxy: Proxy::new(settings, ShardId { index: 0, count: 1 }, 1, now),
            policy: Policy { table, rules: vec![], default_set: Some(SetId(1)) },
            now,
            out: Outbox::new(),
            allocations: 0,
        }
    }

    /// What is sent on `text`.
    fn receive(&mut self, source: SocketAddr, text: &str) -> Vec<Sent> {
        self.out.clear();
        let Self { proxy, policy, now, out, allocations } = self;
        let datagram = Datagram { source, socket: SocketId(0), bytes: text.as_bytes() };
        *allocations += allocations_of(|| proxy.handle_datagram(*now, policy, datagram, out));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        out.iter().map(|transmit| (transmit.destination, text(transmit.bytes))).collect()
    }

    fn answered(&mut self, (to, request): &Sent, status: &str) -> Vec<Sent> {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().skip(1).take_while(|line| !line.is_empty()) {
            match line.split(':').next().unwrap_or_default() {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => text += &format!("{line}\r\n"),
                "To" if line.contains(";tag=") => text += &format!("{line}\r\n"),
                "To" => text += &format!("{line};tag=b{}\r\n", to.port()),
                _ => {}
            }
        }
        self.receive(*to, &(text + "Content-Length: 0\r\n\r\n"))
    }

    fn pass(&mut self, time: Duration) {
        let Self { proxy, policy, now, out, allocations } = self;
        *now = *now + time;
        while proxy.poll_timeout().is_some_and(|due| due <= *now) {
            out.clear();
            *allocations += allocations_of(|| proxy.handle_timeout(*now, policy, out));
        }
    }

    fn call(&mut self, number: u32) {
        let caller: SocketAddr = CALLER.parse().unwrap();
        let request = |method: &str, sequence: u32, more: &str| {
            format!(
                "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{number}-{sequence}-{}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:a@h>;tag=a{number}\r\nTo: <sip:b@h>{}\r\nCall-ID: call-{number}\r\n\
                 CSeq: {sequence} {method}\r\n{more}Content-Length: 0\r\n\r\n",
                u8::from(method == "ACK"),
                if more.is_empty() { "" } else { ";tag=b5001" }
            )
        };
        let mut branches = self.receive(caller, &request("INVITE", 1, ""));
        assert_eq!(branches.len(), 5, "a 100 and four INVITEs");
        branches.remove(0);
        for branch in &branches {
            assert_eq!(self.answered(branch, "180 Ringing").len(), 1);
        }
        for at in [0, 3] {
            let next = self.answered(&branches[at], "503 Service Unavailable").pop().unwrap();
            assert!(next.1.starts_with("INVITE"), "{}", next.1);
            self.answered(&next, "100 Trying");
            branches.push(next);
        }
        let won = self.answered(&branches[1], "200 OK");
        assert_eq!(won.len(), 4, "the 200 and three CANCELs");
        for cancel in &won[1..] {
            self.answered(cancel, "200 OK");
        }
        for at in [2, 4, 5] {
            assert!(self.answered(&branches[at], "487 Request Terminated")[0].1.starts_with("ACK"));
        }
        let route = branches[1].1.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap();
        let route = format!("Route: {route}\r\n");
        self.receive(caller, &request("ACK", 1, &route).replace("sip:b@192.0.2.1", "sip:b@203.0.113.1:5001"));
        let bye = request("BYE", 2, &route).replace("sip:b@192.0.2.1", "sip:b@203.0.113.1:5001");
        let bye = self.receive(caller, &bye).pop().unwrap();
        assert_eq!(self.answered(&bye, "200 OK").len(), 1);
    }
}

#[test]
fn a_forked_call_allocates_nothing_once_the_tables_have_their_size() {
    let mut forks = Forks::new();
    for number in 0..1_500 {
        if number == 1_000 {
            forks.allocations = 0;
        }
        forks.call(number);
        // 160 calls are in their last 32 s.
        forks.pass(Duration::from_millis(200));
    }
    assert_eq!(forks.allocations, 0);
    forks.pass(Duration::from_secs(70));
    assert_eq!((forks.proxy.transactions(), forks.proxy.dialogs(), forks.proxy.tokens()), (0, 0, 0));
}
