//! What an operator decides about the call path: fixed at start ([`Settings`]) or published anew on reload ([`Policy`]).

use crate::dispatcher::{SetId, Table};
use crate::limits;
use crate::sip::Status;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

/// Index of a listen address in [`Settings::listen`]; with it a datagram says where it came in and where it leaves, and a destination
/// ([`crate::dispatcher::Destination::socket`]) by which one its requests do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SocketId(pub u8);

/// The transport of a listen address. UDP is the only one yet; TCP and TLS have their room here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Transport {
    /// RFC 3261 §18: SIP over UDP.
    #[default]
    Udp,
}

/// One listen address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// How messages travel.
    pub transport: Transport,
    /// Where the socket is bound.
    pub address: SocketAddr,
    /// What operators call it, and a destination's `sockname`; empty: nothing.
    pub name: String,
    /// Host and port that Via and Record-Route show, as written on the wire (`192.0.2.1:5060`, `[2001:db8::1]:5060`).
    pub advertised: String,
}

/// RFC 3261 §17 timers; every other one is derived as the RFC derives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Round-trip estimate (RFC 3261 §17.1.1.1; 500 ms).
    pub t1: Duration,
    /// Longest retransmission interval (4 s).
    pub t2: Duration,
    /// How long a message lives in the network (5 s).
    pub t4: Duration,
    /// Longest wait for a final answer to a forwarded INVITE (RFC 3261 §16.6.11: more than 3 minutes).
    pub timer_c: Duration,
}

impl Timers {
    /// 64*T1: timers B, F, H, J (RFC 3261 §17) and L, M (RFC 6026 §7).
    #[must_use]
    pub fn transaction_timeout(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D for UDP: at least 32 s with the RFC's T1, and scaled with it (RFC 3261 §17.1.1.2).
    #[must_use]
    pub fn d(&self) -> Duration {
        self.t1 * 64
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(185),
        }
    }
}

/// How long a dialog slot lives without news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialogLifetimes {
    /// An INVITE whose final answer never came (behind Timer C, which ends the transaction).
    pub early: Duration,
    /// An established call without BYE, counted from the last in-dialog request.
    pub confirmed: Duration,
    /// A 2xx whose ACK never passed: its caller is gone, and the callee, who sends BYE after 64*T1 (RFC 3261 §13.3.1.4), has had
    /// its time. Counted from the 2xx; it is at least 64*T1.
    pub no_ack: Duration,
}

impl Default for DialogLifetimes {
    fn default() -> Self {
        Self {
            early: Duration::from_secs(300),
            confirmed: Duration::from_secs(12 * 3600),
            no_ack: Duration::from_secs(40),
        }
    }
}

/// Which ends of a call are asked whether they are alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeepaliveTo {
    /// Caller and destination.
    #[default]
    Both,
    /// Who sent the INVITE (Kamailio's `ka-src`).
    Caller,
    /// Who answered it (`ka-dst`).
    Destination,
}

/// OPTIONS within established calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Time from one OPTIONS to the next; zero: none is sent, and nothing kept for it.
    pub interval: Duration,
    /// Failures in a row of one end that end the call, at least 1: no answer within 64*T1, 408 or 481.
    pub failures_max: u8,
    /// Who is asked.
    pub to: KeepaliveTo,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::ZERO, failures_max: 1, to: KeepaliveTo::Both }
    }
}

/// What happens to a new request whose first Route, after ours is removed, names somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PreloadedRoute {
    /// RFC 3261 §16.6.6: it goes where its Route says, past the dispatcher.
    #[default]
    Follow,
    /// 403: only the dispatcher decides where new requests go.
    Reject,
}

/// What is fixed while the process runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Listen addresses, at most [`limits::LISTEN_MAX`]; [`SocketId`] is the index.
    pub listen: Vec<Listen>,
    /// More hosts (`sip.example.com`) or hosts with port (`sip.example.com:5070`) that name us in a URI.
    pub aliases: Vec<String>,
    /// RFC 3261 timers.
    pub timers: Timers,
    /// Dialog lifetimes.
    pub dialog: DialogLifetimes,
    /// Keepalives of calls.
    pub keepalive: Keepalive,
    /// Whether Call-ID, URIs, tags, Contacts and route sets of answered calls are remembered, for who asks which calls there are.
    pub dialog_details: bool,
    /// Of how many dispatched calls one decision is remembered; 0: of none.
    pub decisions_every: u32,
    /// Answer to a new request that no rule takes: 404 or 403.
    pub unrouted: Status,
    /// New requests with a Route of their own.
    pub preloaded_route: PreloadedRoute,
    /// `Server` header of our own answers; none when empty.
    pub server: String,
    /// Server transactions per shard.
    pub transactions_max: usize,
    /// Server transactions per shard that memory is made ready for at the start.
    pub transactions_ready: usize,
    /// Dialogs per shard.
    pub dialogs_max: usize,
    /// Bytes of stored messages per shard.
    pub stored_bytes_max: usize,
    /// Keepalives per shard that wait for their answers.
    pub keepalives_unanswered_max: usize,
    /// Due timers that one call of [`super::Proxy::handle_timeout`] handles, at least 1.
    pub timers_per_turn: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            aliases: Vec::new(),
            timers: Timers::default(),
            dialog: DialogLifetimes::default(),
            keepalive: Keepalive::default(),
            dialog_details: false,
            decisions_every: 16,
            unrouted: Status::NOT_FOUND,
            preloaded_route: PreloadedRoute::default(),
            server: String::from("siplane"),
            transactions_max: limits::TRANSACTIONS_DEFAULT,
            transactions_ready: limits::TRANSACTIONS_READY_DEFAULT,
            dialogs_max: limits::DIALOGS_DEFAULT,
            stored_bytes_max: limits::STORED_BYTES_DEFAULT,
            keepalives_unanswered_max: limits::KEEPALIVES_UNANSWERED_MAX,
            timers_per_turn: limits::TIMERS_PER_TURN,
        }
    }
}

/// What a reload publishes anew: the destinations and which requests go to which set.
#[derive(Debug)]
pub struct Policy {
    /// Sets and destinations.
    pub table: Table,
    /// Which requests go to which set; the first match wins.
    pub rules: Vec<Rule>,
    /// Where a request goes that no rule takes; `None` answers it with [`Settings::unrouted`].
    pub default_set: Option<SetId>,
}

/// What a rule does with the request it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Dispatch it to this set.
    Set(SetId),
    /// Answer it with this final status (400-699).
    Reject(Status),
}

/// One routing rule: every condition that is given must hold. A rule without conditions takes everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// One of these methods; any when empty.
    pub methods: Vec<MethodName>,
    /// The Request-URI's user part starts with one of these; any when empty.
    pub user_prefixes: Vec<String>,
    /// The Request-URI's host is one of these (ASCII case ignored); any when empty.
    pub domains: Vec<String>,
    /// The request came from one of these networks; any when empty.
    pub sources: Vec<Network>,
    /// A header with this name is there, with this value when one is given.
    pub headers: Vec<HeaderMatch>,
    /// What then happens.
    pub action: Action,
}

/// A method as a rule names it: case-sensitive (RFC 3261 §7.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MethodName(pub Box<str>);

impl MethodName {
    /// Whether the method spelled `name` on the wire is this one.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.as_bytes() == name
    }
}

/// An IP network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Its address; bits behind the prefix are ignored.
    pub address: IpAddr,
    /// Leading bits that count: 0-32 for IPv4, 0-128 for IPv6.
    pub prefix_bits: u8,
}

impl Network {
    /// Whether `address` lies in this network. IPv4-mapped IPv6 addresses count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => same_prefix(
                u128::from(u32::from(network)) << 96,
                u128::from(u32::from(address)) << 96,
                self.prefix_bits,
            ),
            (IpAddr::V6(network), IpAddr::V6(address)) => same_prefix(network.into(), address.into(), self.prefix_bits),
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (128 - u32::from(bits.min(128))) == 0
}

/// A condition on a header field that the proxy itself does not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderMatch {
    /// Header name; ASCII case is ignored, compact forms count as their long names.
    pub name: Box<str>,
    /// Its value must be this one or start with it; `None`: any value.
    pub value: Option<ValueMatch>,
}

/// How a header value is compared: byte for byte, after white space around it is cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueMatch {
    /// The whole value.
    Exact(Box<str>),
    /// How it starts.
    Prefix(Box<str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_shares_its_prefix_and_nothing_else() {
        let network = Network { address: "192.0.2.128".parse().unwrap(), prefix_bits: 25 };
        assert!(network.contains("192.0.2.255".parse().unwrap()));
        assert!(!network.contains("192.0.2.127".parse().unwrap()));
        assert!(network.contains("::ffff:192.0.2.200".parse().unwrap()));
        assert!(!network.contains("2001:db8::1".parse().unwrap()));
        assert!(Network { address: "::".parse().unwrap(), prefix_bits: 0 }.contains("2001:db8::1".parse().unwrap()));
    }
}
