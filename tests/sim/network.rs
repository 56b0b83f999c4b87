//! A virtual UDP network, itself sans-IO: packets go in with the time, and come out when they are due.
//!
//! Links differ in delay; jitter and now and then a long detour reorder packets; some are lost, some come twice. An
//! unreachable host makes an ICMP error that goes back to the sender (as lossy as everything else); a black hole is
//! silent.

use crate::clock::ms;
use crate::rng::Rng;
use core::time::Duration;
use siplane::time::Instant;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

/// What an ICMP error quotes of the packet (RFC 1812 §4.3.2.3: at most 576 bytes with its own headers).
pub(crate) const ICMP_QUOTE_BYTES: usize = 548;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    /// The shard that sent it, when a proxy did: its socket gets the ICMP error.
    pub(crate) shard: Option<usize>,
}

/// What comes out of the network.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    /// A datagram at [`Packet::to`].
    Datagram(Packet),
    /// An ICMP error at [`Packet::from`], with what it quotes in [`Packet::bytes`].
    Unreachable(Packet),
}

/// How a host takes packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Host {
    #[default]
    Up,
    /// Answers every packet with an ICMP error.
    Unreachable,
    /// Takes everything and says nothing.
    BlackHole,
}

/// How bad the network is: per cent of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) duplicates: u64,
    /// Takes a detour of up to 600 ms.
    pub(crate) detours: u64,
    pub(crate) jitter_ms: u64,
}

/// All links between all hosts.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    rng: Rng,
    hosts: HashMap<IpAddr, Host>,
    /// By time and order of sending.
    flying: BTreeMap<(Instant, u64), Arrival>,
    sent: u64,
}

impl Network {
    pub(crate) fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, rng: Rng::new(seed), hosts: HashMap::new(), flying: BTreeMap::new(), sent: 0 }
    }

    pub(crate) fn set_host(&mut self, address: IpAddr, host: Host) {
        self.hosts.insert(address, host);
    }

    /// Packets under way.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.flying.keys().next().map(|key| key.0)
    }

    /// Takes what is due at `now`, one thing at a time.
    pub(crate) fn receive(&mut self, now: Instant) -> Option<Arrival> {
        let entry = self.flying.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub(crate) fn send(&mut self, now: Instant, packet: Packet) {
        let copies = if self.rng.chance(self.weather.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            self.send_one(now, packet.clone());
        }
    }

    fn send_one(&mut self, now: Instant, packet: Packet) {
        if self.rng.chance(self.weather.loss) {
            return;
        }
        let due = now + self.delay(&packet);
        match self.hosts.get(&packet.to.ip()).copied().unwrap_or_default() {
            Host::Up => self.fly(due, Arrival::Datagram(packet)),
            Host::BlackHole => {}
            Host::Unreachable => {
                let back = due + self.delay(&packet);
                let mut quote = packet;
                quote.bytes.truncate(ICMP_QUOTE_BYTES);
                if !self.rng.chance(self.weather.loss) {
                    self.fly(back, Arrival::Unreachable(quote));
                }
            }
        }
    }

    fn fly(&mut self, due: Instant, arrival: Arrival) {
        self.sent += 1;
        self.flying.insert((due, self.sent), arrival);
    }

    fn delay(&mut self, packet: &Packet) -> Duration {
        let low_byte = |address: IpAddr| match address {
            IpAddr::V4(v4) => u64::from(v4.octets()[3]),
            IpAddr::V6(v6) => u64::from(v6.octets()[15]),
        };
        let link = 2 + (low_byte(packet.from.ip()) * 7 + low_byte(packet.to.ip()) * 13) % 30;
        let detour = if self.rng.chance(self.weather.detours) { self.rng.below(600) } else { 0 };
        ms(link + detour) + Duration::from_micros(self.rng.below(self.weather.jitter_ms * 1000 + 1))
    }
}
