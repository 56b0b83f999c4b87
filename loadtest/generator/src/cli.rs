//! The command line: what was typed, and what it means.

use crate::check::Path;
use crate::io::Address;
use crate::mix::{Kind, Mix};
use crate::pace::Pace;
use crate::timers::{MS, TRANSACTION};
use crate::{uac, uas};
use clap::{ArgGroup, Parser, ValueEnum};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Places SIP calls through a proxy, takes them, and measures both. See the crate's documentation for what "clean" means.
#[derive(Parser, Clone, Debug)]
#[command(name = "siplane-load", version, group(ArgGroup::new("pace").required(true).args(["rate", "concurrency"])))]
pub(crate) struct Arguments {
    /// The proxy under test
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) proxy: SocketAddrV4,
    /// Where calls come from; port 0: any
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    pub(crate) uac: SocketAddrV4,
    /// How many sources call in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) sources: u16,
    /// The first callee: what the proxy must have as its first destination
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6060")]
    pub(crate) uas: SocketAddrV4,
    /// How many callees there are
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) destinations: u16,
    /// How the second source or callee differs from the first, and so on
    #[arg(long, value_enum, default_value = "ports")]
    pub(crate) spread: Spread,
    /// Open loop: calls a second, whatever becomes of them
    #[arg(long, value_name = "CALLS/S", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Calls of an open loop come independently of each other, instead of at equal distances
    #[arg(long, requires = "rate")]
    pub(crate) poisson: bool,
    /// Closed loop: calls at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) concurrency: Option<u32>,
    /// Stop after so many calls
    #[arg(long, value_name = "N", required_unless_present = "duration")]
    pub(crate) calls: Option<u64>,
    /// Stop placing calls after so many seconds
    #[arg(long, value_name = "S", value_parser = rate)]
    pub(crate) duration: Option<f64>,
    /// How long an answered call stays, ms
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) hold_ms: u64,
    /// How long it rings, ms
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) ring_ms: u64,
    /// Callees send 100 before 180
    #[arg(long)]
    pub(crate) trying: bool,
    /// Parts of each kind of call: ok, busy (486), cancel (487), unavailable (503 by the first, the next takes it), reinvite
    #[arg(long, value_name = "KIND=N,…", default_value = "ok=1")]
    pub(crate) mix: Mix,
    /// Send nothing again
    #[arg(long)]
    pub(crate) no_retransmit: bool,
    /// How long a transaction waits for its final response, ms
    #[arg(long, value_name = "MS", default_value_t = TRANSACTION / MS)]
    pub(crate) timeout_ms: u64,
    /// How long open calls are waited for when --duration is over, ms; what is open then is unfinished, and counted as failed [default:
    /// two timeouts, and what a call may ring and stay]
    #[arg(long, value_name = "MS", requires = "duration")]
    pub(crate) grace_ms: Option<u64>,
    /// Look closely at every Nth call; 0: at none
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) verify: u32,
    /// Caller's names, Call-IDs and bodies are of another length in each call, so hardly two messages of a turn are of one size
    #[arg(long)]
    pub(crate) vary_sizes: bool,
    /// The proxy does not stay on the path
    #[arg(long)]
    pub(crate) no_record_route: bool,
    /// What is between is no proxy but `null-forwarder`: responses have so many bytes more, for it to cut off
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) through_null: Option<u16>,
    /// Set up so many calls first and leave them open; they are no part of the figures
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) hold_open: u64,
    /// How many of them are set up at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) hold_open_window: u32,
    /// Calls at once at most; the schedule's calls beyond are counted and not placed
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    pub(crate) active_max: u32,
    /// One thread for all, on this core
    #[arg(long, value_name = "N", conflicts_with_all = ["uac_core", "uas_core"])]
    pub(crate) core: Option<usize>,
    /// A thread of callers on this core, and one of callees on that of --uas-core
    #[arg(long, value_name = "N", requires = "uas_core")]
    pub(crate) uac_core: Option<usize>,
    /// See --uac-core
    #[arg(long, value_name = "N", requires = "uac_core")]
    pub(crate) uas_core: Option<usize>,
    /// Shortest time from one turn of a thread to the next, µs: more messages share one system call
    #[arg(long, value_name = "US", default_value_t = 200)]
    pub(crate) gather_us: u64,
    /// Send messages of one size and destination as one (UDP_SEGMENT): half the cost. Only for a proxy with one socket: the
    /// kernel chooses among several by the first of them
    #[arg(long)]
    pub(crate) segment: bool,
    /// Receive as one what the proxy sent as one (UDP_GRO): cheaper here, and for a proxy that sends so on this machine, since nobody
    /// cuts it any more
    #[arg(long)]
    pub(crate) join: bool,
    /// Exchange datagrams with the proxy's address alone: a little cheaper. Only for a proxy that sends from where it listens
    #[arg(long)]
    pub(crate) connect: bool,
    /// Not clean when the 99th percentile of our own lateness is above so many ms
    #[arg(long, value_name = "MS", default_value_t = 5.0)]
    pub(crate) lag_ms: f64,
    /// Processes of the program under test, whose processor time is measured
    #[arg(long, value_name = "PID,…", value_delimiter = ',')]
    pub(crate) pid: Vec<i32>,
    /// And all processes that descend from them
    #[arg(long, requires = "pid")]
    pub(crate) descendants: bool,
    /// Results as lines of JSON on standard output, the summary for people on standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// A line per second, too
    #[arg(long)]
    pub(crate) per_second: bool,
    /// Of what is random: intervals and kinds
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How one address becomes several.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Spread {
    /// One address, ports that follow each other
    Ports,
    /// One port, addresses that follow each other
    Addresses,
}

fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.001..=10_000_000.0).contains(&number) { Ok(number) } else { Err("from 0.001 to 10000000".into()) }
}

impl Arguments {
    /// What does not fit together.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.mix.has(Kind::Unavailable) && self.destinations < 2 {
            return Some("--mix unavailable needs --destinations 2 or more: who takes the call?");
        }
        if self.through_null.is_some() && self.mix.has(Kind::Unavailable) {
            return Some("--mix unavailable needs a proxy: a null forwarder tries nobody else");
        }
        if self.through_null.is_some() && (self.sources > 1 || self.destinations > 1) {
            return Some("--through-null has one source and one callee");
        }
        if self.through_null.is_some() && self.connect {
            return Some("--through-null and --connect do not go together: the forwarder's far side is another socket");
        }
        if self.calls == Some(0) {
            return Some("--calls 0 places none");
        }
        None
    }

    pub(crate) fn pace(&self) -> Pace {
        match (self.rate, self.concurrency) {
            (Some(rate), _) if self.poisson => Pace::Poisson(rate),
            (Some(rate), _) => Pace::Uniform(rate),
            (None, at_once) => Pace::Closed(at_once.unwrap_or(1)),
        }
    }

    fn path(&self) -> Path {
        let through_null = self.through_null.is_some();
        Path { hops: usize::from(!through_null), record_routed: !through_null && !self.no_record_route }
    }

    pub(crate) fn callers(&self) -> uac::Plan {
        uac::Plan {
            proxy: self.proxy.into(),
            mix: self.mix.clone(),
            hold: self.hold_ms * MS,
            ring: self.ring_ms * MS,
            timeout: self.timeout_ms * MS,
            resend: !self.no_retransmit,
            verify: self.verify,
            path: self.path(),
            active_max: self.active_max,
            seed: self.seed,
        }
    }

    pub(crate) fn callees(&self) -> uas::Conduct {
        uas::Conduct {
            ring: self.ring_ms * MS,
            trying: self.trying,
            resend: !self.no_retransmit,
            timeout: self.timeout_ms * MS,
            verify: self.verify,
            path: self.path(),
            pad: self.through_null.unwrap_or(0).into(),
            record_route: self.through_null.is_some(),
        }
    }

    pub(crate) fn source_addresses(&self) -> Vec<Address> {
        spread(self.uac, self.sources, self.spread)
    }

    pub(crate) fn callee_addresses(&self) -> Vec<Address> {
        spread(self.uas, self.destinations, self.spread)
    }
}

fn spread(first: SocketAddrV4, count: u16, how: Spread) -> Vec<Address> {
    let address = |at: u16| match (how, first.port()) {
        (Spread::Ports, 0) => first,
        (Spread::Ports, port) => SocketAddrV4::new(*first.ip(), port.saturating_add(at)),
        (Spread::Addresses, port) => {
            SocketAddrV4::new(Ipv4Addr::from(u32::from(*first.ip()).saturating_add(at.into())), port)
        }
    };
    (0..count).map(|at| address(at).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(format!("siplane-load --proxy 127.0.0.1:5060 {words}").split(' '))
    }

    #[test]
    fn a_pace_and_an_end_are_needed() {
        assert_eq!(parse("--rate 10 --calls 5").unwrap().pace(), Pace::Uniform(10.0));
        assert_eq!(parse("--rate 10 --poisson --duration 5").unwrap().pace(), Pace::Poisson(10.0));
        assert_eq!(parse("--concurrency 7 --calls 5").unwrap().pace(), Pace::Closed(7));
        for wrong in [
            "--calls 5",
            "--rate 10",
            "--rate 0 --calls 5",
            "--rate 1 --concurrency 1 --calls 1",
            "--rate 1 --calls 1 --uac-core 1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        assert!(parse("--rate 1 --calls 1").unwrap().problem().is_none());
        for (wrong, said) in [
            ("--calls 1 --mix ok=1,unavailable=1", "--destinations 2"),
            ("--calls 1 --mix unavailable=1 --destinations 2 --through-null 90", "tries nobody else"),
            ("--calls 1 --through-null 90 --sources 2", "one source"),
            ("--calls 1 --through-null 90 --destinations 2", "one source"),
            ("--calls 1 --through-null 90 --connect", "--connect"),
            ("--calls 0", "--calls 0"),
        ] {
            let problem = parse(&format!("--rate 1 {wrong}")).unwrap().problem();
            assert!(problem.is_some_and(|problem| problem.contains(said)), "{wrong}: {problem:?}");
        }
    }

    #[test]
    fn one_address_becomes_several() {
        let text = |how, first: &str| -> Vec<String> {
            spread(first.parse().unwrap(), 3, how).iter().map(ToString::to_string).collect()
        };
        assert_eq!(text(Spread::Ports, "127.0.0.1:5070"), ["127.0.0.1:5070", "127.0.0.1:5071", "127.0.0.1:5072"]);
        assert_eq!(text(Spread::Ports, "127.0.0.1:0"), ["127.0.0.1:0"; 3]);
        assert_eq!(
            text(Spread::Addresses, "127.0.0.254:5070"),
            ["127.0.0.254:5070", "127.0.0.255:5070", "127.0.1.0:5070"]
        );
    }
}
