//! Whole calls against the core, message by message.

use siplane::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec, Table};
use siplane::proxy::{Datagram, Listen, Outbox, Policy, Proxy, Settings, ShardId, SocketId, Transport, owner_of};
use siplane::sip::{find_call_id, scan};
use siplane::time::Instant;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One thing that happens in a call.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Step {
    Scan,
    Invite,
    Ringing,
    Ok,
    Ack,
    Bye,
    ByeOk,
    Timers,
}

impl Step {
    pub const CALL: [Self; 8] =
        [Self::Scan, Self::Invite, Self::Ringing, Self::Ok, Self::Ack, Self::Bye, Self::ByeOk, Self::Timers];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan of the INVITE alone",
            Self::Invite => "INVITE in, 100 and INVITE out",
            Self::Ringing => "180 in, 180 out",
            Self::Ok => "200 in, 200 out",
            Self::Ack => "ACK in, ACK out",
            Self::Bye => "BYE in, BYE out",
            Self::ByeOk => "200 of BYE in, 200 out",
            Self::Timers => "timers of one call",
        }
    }

    /// What the first issue asks for at most.
    pub const fn target(self) -> Option<u64> {
        match self {
            Self::Invite => Some(14_000),
            Self::Ringing | Self::Ok | Self::ByeOk => Some(8_000),
            _ => None,
        }
    }
}

const CALLER: &str = "198.51.100.1:5060";
/// 100.64.1.1: ten thousand behind it have no other's address.
const FIRST_DESTINATION: u32 = 0x6440_0101;
/// Calls that are open at any time.
const OPEN: u64 = 200;

pub struct Calls {
    proxy: Proxy,
    policy: Policy,
    now: Instant,
    out: Outbox,
    number: u64,
    /// The next datagram.
    input: Vec<u8>,
    source: SocketAddr,
    /// What reached the destination last: INVITE or BYE.
    request: String,
    record_route: String,
    destination: SocketAddr,
}

impl Calls {
    pub fn new() -> Self {
        Self::of(3, ShardId { index: 0, count: 1 })
    }

    /// The same, and whether the ends of answered calls are remembered (`[dialog] details`).
    pub fn detailed(dialog_details: bool) -> Self {
        Self::with(Settings { dialog_details, ..Settings::default() }, 3, ShardId { index: 0, count: 1 })
    }

    /// A shard whose set has this many destinations.
    pub fn of(destinations: u32, shard: ShardId) -> Self {
        Self::with(Settings::default(), destinations, shard)
    }

    fn with(settings: Settings, destinations: u32, shard: ShardId) -> Self {
        let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let settings = Settings {
            listen: vec![Listen {
                transport: Transport::Udp,
                address,
                name: String::new(),
                advertised: address.to_string(),
            }],
            ..settings
        };
        let now = Instant::from_nanos(1);
        Self {
            proxy: Proxy::new(settings, shard, 1, now),
            policy: Policy { table: table(destinations), rules: vec![], default_set: Some(SetId(1)) },
            now,
            out: Outbox::new(),
            number: 0,
            input: Vec::with_capacity(4096),
            source: CALLER.parse().unwrap(),
            request: String::new(),
            record_route: String::new(),
            destination: address,
        }
    }

    /// Makes the next datagram.
    pub fn prepare(&mut self, step: Step) {
        self.input.clear();
        self.out.clear();
        self.source = match step {
            Step::Scan | Step::Invite | Step::Ack | Step::Bye | Step::Timers => CALLER.parse().unwrap(),
            Step::Ringing | Step::Ok | Step::ByeOk => self.destination,
        };
        let text = match step {
            Step::Scan | Step::Invite => self.invite(),
            Step::Ringing => self.answer("180 Ringing"),
            Step::Ok | Step::ByeOk => self.answer("200 OK"),
            Step::Ack => self.in_dialog("ACK", 1),
            Step::Bye => self.in_dialog("BYE", 2),
            Step::Timers => String::new(),
        };
        self.input.extend_from_slice(text.as_bytes());
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Scan => assert!(scan(&self.input).defect.is_none()),
            Step::Timers => self.timers(),
            _ => {
                let datagram = Datagram { source: self.source, socket: SocketId(0), bytes: &self.input };
                self.proxy.handle_datagram(self.now, &self.policy, datagram, &mut self.out);
            }
        }
    }

    fn timers(&mut self) {
        // One call begins every 40 s / OPEN: that many are in their last 32 s.
        self.now = self.now + Duration::from_secs(40) / OPEN as u32;
        while self.proxy.poll_timeout().is_some_and(|due| due <= self.now) {
            self.proxy.handle_timeout(self.now, &self.policy, &mut self.out);
        }
    }

    /// The next call begins `time` later.
    pub fn next_call(&mut self, time: Duration) {
        self.number += 1;
        self.pass(time);
    }

    /// Time passes, timer by timer.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        while self.proxy.poll_timeout().is_some_and(|due| due <= self.now) {
            self.proxy.handle_timeout(self.now, &self.policy, &mut self.out);
            self.out.clear();
        }
    }

    /// Goes on to the next call that `shard` owns.
    pub fn skip_foreign(&mut self, shard: ShardId) {
        while owner_of(self.call_id().as_bytes(), shard.count) != shard.index {
            self.number += 1;
        }
    }

    /// The shard that the next datagram is for, of `shards`.
    pub fn owner(&self, shards: u32) -> Option<u32> {
        find_call_id(&self.input).map(|call_id| owner_of(call_id, shards))
    }

    fn call_id(&self) -> String {
        format!("call-{}@198.51.100.1", self.number)
    }

    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub fn dialogs(&self) -> usize {
        self.proxy.dialogs()
    }

    pub fn transactions(&self) -> usize {
        self.proxy.transactions()
    }

    /// Looks at what came out.
    pub fn finish(&mut self, step: Step) {
        let wanted = match step {
            Step::Scan | Step::Timers => 0,
            Step::Invite => 2,
            _ => 1,
        };
        assert_eq!(self.out.len(), wanted, "{}", step.name());
        if let Some(last) = self.out.iter().last().filter(|_| matches!(step, Step::Invite | Step::Bye)) {
            self.destination = last.destination;
            self.request = String::from_utf8(last.bytes.to_vec()).unwrap();
            if let Some(line) = self.request.lines().find(|line| line.starts_with("Record-Route")) {
                self.record_route = line["Record-Route: ".len()..].to_owned();
            }
        }
        self.number += u64::from(step == Step::Timers);
    }

    /// An INVITE of some 700 bytes as a carrier sends it.
    fn invite(&self) -> String {
        let body = "v=0\r\no=- 20518 0 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 54278 RTP/AVP 0 8 101\r\n\
                    a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
        format!(
            "INVITE sip:+15551230001@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK-{0}-1;rport\r\n\
             Max-Forwards: 70\r\nFrom: \"Alice\" <sip:+15551239999@198.51.100.1>;tag=a{0}\r\nTo: <sip:+15551230001@192.0.2.1>\r\n\
             Call-ID: {2}\r\nCSeq: 1 INVITE\r\nContact: <sip:+15551239999@198.51.100.1:5060>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nUser-Agent: carrier/1.0\r\nContent-Type: application/sdp\r\n\
             Content-Length: {1}\r\n\r\n{body}",
            self.number,
            body.len(),
            self.call_id()
        )
    }

    fn answer(&self, status: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in self.request.lines().skip(1).take_while(|line| !line.is_empty()) {
            match line.split(':').next().unwrap_or_default() {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => text += &format!("{line}\r\n"),
                "To" if line.contains(";tag=") => text += &format!("{line}\r\n"),
                "To" => text += &format!("{line};tag=b{}\r\n", self.number),
                _ => {}
            }
        }
        text + &format!("Contact: <sip:{}>\r\nContent-Length: 0\r\n\r\n", self.destination)
    }

    fn in_dialog(&self, method: &str, number: u32) -> String {
        format!(
            "{method} sip:{2} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK-{0}-{method};rport\r\nMax-Forwards: 70\r\n\
             Route: {3}\r\nFrom: \"Alice\" <sip:+15551239999@198.51.100.1>;tag=a{0}\r\nTo: <sip:+15551230001@192.0.2.1>;tag=b{0}\r\n\
             Call-ID: {4}\r\nCSeq: {1} {method}\r\nContent-Length: 0\r\n\r\n",
            self.number,
            number,
            self.destination,
            self.record_route,
            self.call_id()
        )
    }
}

fn table(destinations: u32) -> Table {
    let destination = |number: u32| {
        let address = SocketAddr::from((Ipv4Addr::from_bits(FIRST_DESTINATION + number), 5060));
        DestinationSpec::new(format!("sip:{address}"), address)
    };
    let set = SetSpec::new(SetId(1), Algorithm::RoundRobin, (0..destinations).map(destination).collect());
    Table::build(vec![set], None).unwrap()
}
