//! How a world begins: addresses, the set, the network; everything else is called into it.

use crate::agent::Agent;
use crate::clock::s;
use crate::extras::Extras;
use crate::network::{Host, Weather};
use crate::trouble::Trouble;
use core::time::Duration;
use siplane::dispatcher::{Algorithm, DestinationSpec, Exhausted, FailoverCodes, SetId, SetSpec};
use siplane::proxy::{Keepalive, Listen, Settings, Transport};
use std::net::SocketAddr;

/// Callers in every world.
pub(crate) const CALLERS: usize = 4;

/// What differs from world to world.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) shards: u32,
    pub(crate) weather: Weather,
    /// How each destination's host takes packets; as many destinations.
    pub(crate) hosts: Vec<Host>,
    /// Destinations with odd numbers have IPv6 addresses, and the proxy listens there.
    pub(crate) ipv6: bool,
    pub(crate) algorithm: Algorithm,
    pub(crate) failover_limit: usize,
    /// Targets that a parallel set gives a request at once.
    pub(crate) branches_max: usize,
    pub(crate) exhausted: Exhausted,
    pub(crate) answer_timeout: Duration,
    /// Final codes that send a request on, besides the standard ones.
    pub(crate) more_failover_codes: Vec<u16>,
    /// Operators and reloads change the table while calls run.
    pub(crate) table_changes: bool,
    /// What calls are asked while they are up.
    pub(crate) keepalive: Keepalive,
    /// Destinations from this one on are in a second set, the fallback of the first.
    pub(crate) fallback_from: Option<usize>,
    pub(crate) extras: Extras,
    pub(crate) trouble: Trouble,
}

impl Setup {
    /// `destinations` good hosts on a perfect network, tried in order.
    pub(crate) fn calm(destinations: usize) -> Self {
        Self {
            seed: 1,
            shards: 2,
            weather: Weather::default(),
            hosts: vec![Host::Up; destinations],
            ipv6: false,
            algorithm: Algorithm::Priority,
            failover_limit: destinations,
            branches_max: 4,
            exhausted: Exhausted::BestResponse,
            answer_timeout: s(2),
            more_failover_codes: Vec::new(),
            table_changes: false,
            keepalive: Keepalive::default(),
            fallback_from: None,
            extras: Extras::default(),
            trouble: Trouble::default(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut addresses = vec![listen("192.0.2.10:5060"), listen("192.0.2.10:5080")];
        if self.ipv6 {
            addresses.push(listen("[2001:db8::10]:5060"));
        }
        let mut settings = Settings {
            listen: addresses,
            transactions_max: 4096,
            dialogs_max: 4096,
            keepalive: self.keepalive,
            stored_bytes_max: 1 << 24,
            ..Settings::default()
        };
        self.trouble.tight.iter().for_each(|tight| tight.apply(&mut settings));
        settings
    }

    /// The first set with all destinations that it ever has.
    pub(crate) fn set(&self) -> SetSpec {
        let mut failover_codes = FailoverCodes::standard();
        self.more_failover_codes.iter().for_each(|code| failover_codes.insert(*code));
        SetSpec {
            name: String::from("all"),
            algorithm: self.algorithm,
            destinations: (0..self.first_hosts()).map(|index| self.destination(index)).collect(),
            failover_codes,
            failover_limit: self.failover_limit,
            branches_max: self.branches_max,
            answer_timeout: self.answer_timeout,
            exhausted: self.exhausted,
            retry_after_s: 5,
            ..self.extras.shape.clone()
        }
    }

    /// All sets of the table with this number.
    pub(crate) fn sets(&self, table: usize) -> Vec<SetSpec> {
        let plain = || (0..self.hosts.len()).map(|index| Some(self.destination(index))).collect();
        let mut members = self.extras.tables.get(table).cloned().unwrap_or_else(plain);
        let others = members.split_off(self.first_hosts());
        let mut first = SetSpec { destinations: members.into_iter().flatten().collect(), ..self.set() };
        if self.fallback_from.is_none() {
            return vec![first];
        }
        first.fallback = Some(SetId(2));
        let destinations = others.into_iter().flatten().collect();
        let mut second =
            SetSpec { id: SetId(2), name: String::from("more"), destinations, fallback: None, ..first.clone() };
        if self.extras.second_uncontrolled {
            second.overload_control = false;
            second.algorithm = match first.algorithm {
                Algorithm::RoundRobinOverload => Algorithm::RoundRobin,
                algorithm => algorithm,
            };
        }
        vec![first, second]
    }

    /// Destinations of the first set.
    fn first_hosts(&self) -> usize {
        self.fallback_from.unwrap_or(self.hosts.len())
    }

    /// Callers first, then destinations.
    pub(crate) fn agents(&self) -> Vec<Agent> {
        let callers = (0..CALLERS).map(|index| {
            let at = |port| address(&format!("10.0.0.{}:{port}", index + 1));
            Agent::new(format!("c{index}"), at(5060), at(5062))
        });
        let destinations = (0..self.hosts.len()).map(|index| {
            let (first, second) = (self.address(index, 5060), self.address(index, 5070));
            Agent::new(format!("d{index}"), first, second)
        });
        callers.chain(destinations).collect()
    }

    pub(crate) fn address(&self, destination: usize, port: u16) -> SocketAddr {
        if self.ipv6 && destination % 2 == 1 {
            address(&format!("[2001:db8:1::{}]:{port}", destination + 1))
        } else {
            address(&format!("10.1.0.{}:{port}", destination + 1))
        }
    }

    /// Destination `index` of a plain world.
    pub(crate) fn destination(&self, index: usize) -> DestinationSpec {
        let address = self.address(index, 5060);
        DestinationSpec {
            duid: format!("d{index}"),
            weight: 1 + index as u32,
            priority: -(index as i32),
            ..DestinationSpec::new(format!("sip:{address}"), address)
        }
    }
}

fn listen(text: &str) -> Listen {
    Listen { transport: Transport::Udp, address: address(text), name: String::new(), advertised: text.to_owned() }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
