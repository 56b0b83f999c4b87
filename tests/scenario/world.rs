//! A proxy with a virtual clock and a list of what it has sent.
//!
//! A script says what arrives ([`World::receive`]) and what must have been sent ([`World::sent`]); a test ends with
//! [`World::nothing_left`]. Hosts: the proxy is 192.0.2.1:5060 (and [2001:db8::1]:5060), callers are 198.51.100.x, destinations
//! of set 1 are 203.0.113.1, .2, .3.

use siplane::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec, Table};
use siplane::proxy::{Datagram, Listen, Outbox, Policy, Proxy, Rule, Settings, ShardId, SocketId, Transport};
use siplane::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

pub const CALLER: &str = "198.51.100.1:5060";

/// One message that the proxy sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Duration,
    pub to: SocketAddr,
    pub socket: u8,
    pub text: String,
    pub bytes: Vec<u8>,
}

impl Sent {
    /// The first line.
    pub fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The values of all headers with this name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let named = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        named.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The value of the first header with this name; empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// Our branch: of the topmost Via.
    pub fn branch(&self) -> &str {
        self.header("Via").split("branch=").nth(1).unwrap_or_default().split([';', ',']).next().unwrap_or_default()
    }
}

pub struct World {
    pub proxy: Proxy,
    pub policy: Policy,
    pub now: Instant,
    out: Outbox,
    pub sent: VecDeque<Sent>,
}

/// A set of these destinations with the config's defaults.
pub fn set(algorithm: Algorithm, destinations: &[&str]) -> SetSpec {
    let destination = |address: &&str| DestinationSpec::new(format!("sip:{address}"), address.parse().unwrap());
    SetSpec {
        name: "bridges".into(),
        ..SetSpec::new(SetId(1), algorithm, destinations.iter().map(destination).collect())
    }
}

pub const DESTINATIONS: [&str; 3] = ["203.0.113.1:5060", "203.0.113.2:5060", "203.0.113.3:5060"];

/// A listen address that messages show as it is.
pub fn listen(address: &str) -> Listen {
    Listen {
        transport: Transport::Udp,
        address: address.parse().unwrap(),
        name: String::new(),
        advertised: address.into(),
    }
}

pub fn settings() -> Settings {
    Settings {
        listen: vec![listen("192.0.2.1:5060"), listen("[2001:db8::1]:5060")],
        server: String::new(),
        ..Settings::default()
    }
}

impl World {
    /// Three destinations in order of priority: the first gets every call.
    pub fn new() -> Self {
        Self::with(settings(), vec![set(Algorithm::Priority, &DESTINATIONS)], vec![])
    }

    pub fn with(settings: Settings, sets: Vec<SetSpec>, rules: Vec<Rule>) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let proxy = Proxy::new(settings, ShardId { index: 0, count: 1 }, 7, now);
        let policy = Policy { table: Table::build(sets, None).unwrap(), rules, default_set: Some(SetId(1)) };
        Self { proxy, policy, now, out: Outbox::new(), sent: VecDeque::new() }
    }

    fn collect(&mut self) {
        let at = self.now.saturating_since(Instant::from_nanos(1_000_000_000));
        for transmit in self.out.iter() {
            let bytes = transmit.bytes.to_vec();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.sent.push_back(Sent { at, to: transmit.destination, socket: transmit.socket.0, text, bytes });
        }
        self.out.clear();
    }

    /// A datagram arrives on the IPv4 socket.
    pub fn receive(&mut self, from: &str, bytes: impl AsRef<[u8]>) {
        self.receive_on(0, from, bytes);
    }

    pub fn receive_on(&mut self, socket: u8, from: &str, bytes: impl AsRef<[u8]>) {
        let datagram = Datagram { source: from.parse().unwrap(), socket: SocketId(socket), bytes: bytes.as_ref() };
        self.proxy.handle_datagram(self.now, &self.policy, datagram, &mut self.out);
        self.collect();
    }

    /// An ICMP error comes back for this message.
    pub fn unreachable(&mut self, sent: &Sent) {
        let quoted = &sent.bytes[..sent.bytes.len().min(548)];
        self.proxy.handle_send_error(self.now, &self.policy, sent.to, quoted, &mut self.out);
        self.collect();
    }

    /// Time passes, timer by timer.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.proxy.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.proxy.handle_timeout(self.now, &self.policy, &mut self.out);
            self.collect();
        }
        self.now = end;
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.wait(Duration::from_millis(ms));
    }

    /// The next message sent: it must begin with `line` and go to `to`.
    #[track_caller]
    pub fn sent(&mut self, to: &str, line: &str) -> Sent {
        let next = self.sent.pop_front().unwrap_or_else(|| panic!("nothing was sent; wanted {line} to {to}"));
        assert!(
            next.line().starts_with(line) && next.to == to.parse().unwrap(),
            "wanted {line} to {to}, got to {}:\n{}",
            next.to,
            next.text
        );
        next
    }

    #[track_caller]
    pub fn nothing_left(&self) {
        let lines: Vec<_> = self.sent.iter().map(|sent| format!("{:?} {} {}", sent.at, sent.to, sent.line())).collect();
        assert!(lines.is_empty(), "left over:\n{}", lines.join("\n"));
    }

    /// The load of destination `index` of set 1.
    pub fn load(&self, index: usize) -> u64 {
        let set = self.policy.table.set(SetId(1)).unwrap();
        self.policy.table.states().load(set.destinations[index].state)
    }
}

/// A request from the caller. `more`: whole header lines.
pub fn request(method: &str, uri: &str, branch: &str, more: &str) -> String {
    let number = if method == "INVITE" || method == "ACK" || method == "CANCEL" { 1 } else { 2 };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
         From: \"A\" <sip:a@198.51.100.1>;tag=from1\r\nTo: <sip:b@example.com>\r\nCall-ID: call-1@198.51.100.1\r\n\
         CSeq: {number} {method}\r\nContact: <sip:a@198.51.100.1:5060>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

pub fn invite() -> String {
    request("INVITE", "sip:b@example.com", "inv", "")
}

/// The far side's answer to `request`: Vias, From, Call-ID, CSeq and Record-Route copied, a To tag added.
pub fn answer(request: &Sent, status: &str, tag: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    let head = request.text.split("\r\n\r\n").next().unwrap();
    for line in head.lines().skip(1) {
        let name = line.split(':').next().unwrap().trim().to_ascii_lowercase();
        match name.as_str() {
            "via" | "from" | "call-id" | "cseq" | "record-route" => text += &format!("{line}\r\n"),
            "to" if line.contains(";tag=") || tag.is_empty() => text += &format!("{line}\r\n"),
            "to" => text += &format!("{line};tag={tag}\r\n"),
            _ => {}
        }
    }
    text + more + "Content-Length: 0\r\n\r\n"
}
