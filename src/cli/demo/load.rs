//! Calls in number: one thread with one socket for each source port, their accounts merged at the end.

use super::caller::Caller;
use super::port::Port;
use super::report::{Report, Tally};
use super::ua::{Request, T1};
use crate::limits;
use crate::sip;
use core::ops::Range;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Which calls to place, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadOptions {
    /// Where INVITEs go: the proxy, or a destination itself.
    pub proxy: SocketAddr,
    /// Address that calls come from; the ports are free ones.
    pub source: IpAddr,
    /// Source ports, 1 to [`limits::DEMO_SOURCE_PORTS_MAX`].
    pub source_ports: usize,
    /// Calls in all, at most [`limits::DEMO_CALLS_MAX`].
    pub calls: usize,
    /// Calls per second over all source ports, at least 1.
    pub calls_per_second: u32,
    /// How long callees ring.
    pub ring: Range<Duration>,
    /// From ACK to BYE.
    pub talk: Range<Duration>,
    /// How many of a hundred calls the callee hangs up.
    pub callee_hangs_up_percent: u32,
    /// How long calls may go on after the last one was placed; then they are lost.
    pub last_wait: Duration,
    /// Whether the proxy must be in every call's route set, as it is when it writes Record-Route.
    pub record_routed: bool,
}

impl LoadOptions {
    /// Short calls from one port of the proxy's own address, through a proxy that writes Record-Route: what is to be otherwise is said.
    #[must_use]
    pub const fn new(proxy: SocketAddr, calls: usize, calls_per_second: u32) -> Self {
        Self {
            proxy,
            source: proxy.ip(),
            source_ports: 1,
            calls,
            calls_per_second,
            ring: Duration::from_millis(10)..Duration::from_millis(50),
            talk: Duration::from_millis(50)..Duration::from_millis(300),
            callee_hangs_up_percent: 25,
            last_wait: Duration::from_secs(10),
            record_routed: true,
        }
    }
}

/// Places the calls and waits for their end.
///
/// # Errors
/// When options are out of range, or a socket or a thread cannot be had.
pub fn load(options: &LoadOptions) -> io::Result<Report> {
    Load::start(options)?.wait()
}

/// Calls that are being placed.
pub struct Load {
    tally: Arc<Tally>,
    callers: Vec<JoinHandle<Report>>,
}

impl Load {
    /// Begins placing calls.
    ///
    /// # Errors
    /// As [`load`].
    pub fn start(options: &LoadOptions) -> io::Result<Self> {
        check(options)?;
        let tally = Arc::new(Tally::default());
        let ports = (0..options.source_ports).map(|_| Port::bind(SocketAddr::new(options.source, 0)));
        let ports = ports.collect::<io::Result<Vec<Port>>>()?;
        let start = Instant::now();
        let mut callers = Vec::with_capacity(ports.len());
        for (index, port) in ports.into_iter().enumerate() {
            let caller = Caller::new(options.clone(), port, index, start, Arc::clone(&tally));
            callers.push(thread::Builder::new().name(format!("caller {index}")).spawn(move || caller.run())?);
        }
        Ok(Self { tally, callers })
    }

    /// The numbers so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether all calls are over or given up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.callers.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end of all calls.
    ///
    /// # Errors
    /// When a caller's thread has panicked.
    pub fn wait(self) -> io::Result<Report> {
        let mut report = Report::new();
        for caller in self.callers {
            report.merge(caller.join().map_err(|_| io::Error::other("a caller's thread has panicked"))?);
        }
        Ok(report)
    }
}

fn check(options: &LoadOptions) -> io::Result<()> {
    let good = (1..=limits::DEMO_SOURCE_PORTS_MAX).contains(&options.source_ports)
        && options.calls <= limits::DEMO_CALLS_MAX
        && options.calls_per_second > 0;
    if good { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "calls, rate or ports out of range")) }
}

/// Sends OPTIONS to `proxy` until it is answered, whatever the answer; false when it is not within `within`.
#[must_use]
pub fn is_ready(proxy: SocketAddr, within: Duration) -> bool {
    let unspecified: IpAddr = if proxy.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let source = if proxy.ip().is_loopback() { proxy.ip() } else { unspecified };
    let Ok(port) = Port::bind(SocketAddr::new(source, 0)) else { return false };
    let end = Instant::now() + within;
    let mut buffer = [0; 4096];
    let mut dice = super::port::Dice::new();
    while Instant::now() < end {
        port.send(&options_request(&mut dice, proxy, port.address()), proxy);
        // Shorter than T1: a server that has just bound its socket is found soon.
        if let Some((length, _)) = port.receive(&mut buffer, T1 / 5)
            && sip::scan(&buffer[..length]).status().is_some_and(|status| !status.is_provisional())
        {
            return true;
        }
    }
    false
}

fn options_request(dice: &mut super::port::Dice, proxy: SocketAddr, via: SocketAddr) -> Vec<u8> {
    let (uri, from) = (format!("sip:{proxy}"), format!("<sip:demo@{via}>;tag={}", dice.token()));
    Request {
        method: "OPTIONS",
        uri: &uri,
        via,
        branch: &dice.branch(),
        routes: &[],
        from: &from,
        to: &format!("<{uri}>"),
        call_id: &dice.token(),
        cseq: 1,
        headers: "",
        body: "",
    }
    .write()
}
