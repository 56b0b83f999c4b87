//! A record-routing proxy for the tests of the user agents: as small as it can be, stateless but for failover.
//!
//! New INVITEs go to the destinations in turn. One that was refused with 503, or comes once more, goes to the next.

use super::super::port::{Dice, Port};
use super::super::{DemoServer, DestinationView, Snapshot, ua};
use crate::sip::{self, Message, Method, Span, Splice, Status};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// What the relay shall do wrong, to see it found out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sin {
    None,
    /// No Record-Route.
    OffTheRoute,
    /// Its own Via stays in responses.
    ViaLeft,
    /// Its own Route stays in requests.
    RouteLeft,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    calls: AtomicU64,
    failovers: AtomicU64,
}

pub(super) struct Relay {
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
    thread: JoinHandle<()>,
}

impl Relay {
    pub(super) fn start(address: SocketAddr, destinations: Vec<SocketAddr>, sin: Sin) -> Self {
        let port = Port::bind(address).unwrap();
        let counts = Arc::new(Counts::default());
        let address = port.address();
        let mut work =
            Work { port, destinations, sin, counts: Arc::clone(&counts), calls: HashMap::new(), dice: Dice::new() };
        let thread = thread::spawn(move || work.run());
        Self { address, counts, thread }
    }
}

impl DemoServer for Relay {
    fn snapshot(&self) -> Snapshot {
        let view = DestinationView {
            uri: "sip:x".to_owned(),
            state: "AP".to_owned(),
            selected: 0,
            answered: 0,
            load: 0,
            estimate: None,
            response_time: None,
        };
        Snapshot {
            calls: self.counts.calls.load(Ordering::Relaxed),
            failovers: self.counts.failovers.load(Ordering::Relaxed),
            destinations: vec![view],
            ..Snapshot::default()
        }
    }

    fn stop(self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// A call: its INVITE as it came, and where it went last.
struct Placed {
    invite: Vec<u8>,
    source: SocketAddr,
    target: usize,
}

struct Work {
    port: Port,
    destinations: Vec<SocketAddr>,
    sin: Sin,
    counts: Arc<Counts>,
    calls: HashMap<String, Placed>,
    dice: Dice,
}

impl Work {
    fn run(&mut self) {
        let mut buffer = vec![0; 65_535];
        while !self.counts.stop.load(Ordering::Relaxed) {
            if let Some((length, source)) = self.port.receive(&mut buffer, Duration::from_millis(20)) {
                let message = sip::scan(&buffer[..length]);
                assert_eq!(message.defect, None);
                match message.status() {
                    Some(status) => self.response(&message, source, status),
                    None => self.request(&message, source),
                }
            }
        }
    }

    fn request(&mut self, message: &Message<'_>, source: SocketAddr) {
        let inside = !ua::to_tag(message).is_empty();
        if message.method() == Some(Method::Ack) && !message.head.route.is_set() && self.sin != Sin::OffTheRoute {
            return;
        }
        match message.method() {
            Some(Method::Invite) if !inside => self.invite(message, source),
            Some(Method::Options) => {
                let (bytes, to) =
                    ua::Answer { tag: "r", ..ua::Answer::plain(Status::OK) }.write(message, source).unwrap();
                self.port.send(&bytes, to);
            }
            _ => {
                let to = ua::uri_address(&ua::text(message, message.head.uri)).unwrap();
                let branch = format!("z9hG4bK{}", ua::text(message, message.top_via().unwrap().branch));
                self.forward(message, source, to, &branch);
            }
        }
    }

    fn invite(&mut self, message: &Message<'_>, source: SocketAddr) {
        let call_id = ua::text(message, message.head.call_id.value);
        if self.calls.contains_key(&call_id) {
            return self.next_target(&call_id);
        }
        let target = self.counts.calls.fetch_add(1, Ordering::Relaxed) as usize;
        self.calls.insert(call_id.clone(), Placed { invite: message.bytes.to_vec(), source, target });
        self.send_invite(&call_id);
    }

    fn next_target(&mut self, call_id: &str) {
        self.counts.failovers.fetch_add(1, Ordering::Relaxed);
        self.calls.get_mut(call_id).unwrap().target += 1;
        self.send_invite(call_id);
    }

    fn send_invite(&mut self, call_id: &str) {
        let placed = &self.calls[call_id];
        let to = self.destinations[placed.target % self.destinations.len()];
        let branch = self.dice.branch();
        self.forward(&sip::scan(&placed.invite.clone()), placed.source, to, &branch);
    }

    fn forward(&self, message: &Message<'_>, source: SocketAddr, to: SocketAddr, branch: &str) {
        let (head, us) = (&message.head, self.port.address());
        let mut splice = Splice::new();
        splice.insert_bytes(head.via.line.start, format!("Via: SIP/2.0/UDP {us};branch={branch}\r\n").as_bytes());
        if message.method() == Some(Method::Invite) && self.sin != Sin::OffTheRoute {
            splice.insert_bytes(head.via.line.start, format!("Record-Route: <sip:{us};lr>\r\n").as_bytes());
        }
        let via = message.top_via().unwrap();
        sip::Stamp::new(message.bytes, &via, source).apply(&mut splice, &via);
        if head.route.is_set() && self.sin != Sin::RouteLeft {
            splice.remove(head.route.line);
        }
        let mut out = Vec::new();
        splice.write(message.bytes, message.end(), &mut out);
        self.port.send(&out, to);
    }

    fn response(&mut self, message: &Message<'_>, source: SocketAddr, status: Status) {
        let call_id = ua::text(message, message.head.call_id.value);
        let invite = message.text(message.head.cseq_method) == b"INVITE";
        if invite && status == Status::SERVICE_UNAVAILABLE {
            self.acknowledge(message, source);
            return self.next_target(&call_id);
        }
        if status == Status::TRYING {
            return;
        }
        let mut splice = Splice::new();
        if self.sin != Sin::ViaLeft {
            splice.remove(message.head.via.line);
        }
        let mut out = Vec::new();
        splice.write(message.bytes, message.end(), &mut out);
        let vias = ua::values_of(message, "via");
        let via = sip::Via::parse(vias[1].as_bytes(), Span::new(0, vias[1].len())).unwrap();
        self.port.send(&out, SocketAddr::new(via.address(vias[1].as_bytes()).unwrap(), via.port.unwrap()));
    }

    fn acknowledge(&self, message: &Message<'_>, source: SocketAddr) {
        let value = |span| ua::text(message, span);
        let ack = ua::Request {
            method: "ACK",
            uri: "sip:demo@127.0.0.1",
            via: self.port.address(),
            branch: &value(message.top_via().unwrap().branch),
            routes: &[],
            from: &value(message.head.from.value),
            to: &value(message.head.to.value),
            call_id: &value(message.head.call_id.value),
            cseq: message.head.cseq_number,
            headers: "",
            body: "",
        };
        self.port.send(&ack.write(), source);
    }
}
