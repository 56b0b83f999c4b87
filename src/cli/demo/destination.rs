//! One destination of the demo: a thread, a socket, and a [`Callee`].
//!
//! It fails as a machine does that is switched off in an orderly way: ringing calls get 503, the demo's own calls that
//! are up are hung up, and then the socket is closed, so that whatever comes later meets ICMP "port unreachable". Calls
//! of strangers that are up it remembers, and goes on with them when it comes back.

use super::callee::Callee;
use super::port::Port;
use crate::limits;
use arc_swap::ArcSwap;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub use super::callee::DestinationReport;

const RUN: u8 = 0;
const FAIL: u8 = 1;
const STOP: u8 = 2;

/// How soon a wish of the owner is seen.
const LOOK: Duration = Duration::from_millis(20);
/// Longest orderly end before the socket is closed anyway.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A destination that runs until it is stopped or dropped.
pub struct Destination {
    address: SocketAddr,
    wanted: Arc<AtomicU8>,
    options_headers: Arc<ArcSwap<String>>,
    invites: Arc<AtomicU64>,
    calls_up: Arc<AtomicU64>,
    thread: Option<JoinHandle<DestinationReport>>,
}

impl Destination {
    /// Starts one at `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address cannot be bound or the thread cannot be started.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let port = Port::bind(address)?;
        let wanted = Arc::new(AtomicU8::new(RUN));
        let (invites, calls_up) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let address = port.address();
        let callee = Callee::new(address);
        let options_headers = Arc::clone(&callee.options_headers);
        let shown = (Arc::clone(&wanted), Arc::clone(&invites), Arc::clone(&calls_up));
        let life = Life { address, wanted: shown.0, invites: shown.1, calls_up: shown.2, callee };
        let thread = thread::Builder::new().name(format!("destination {address}")).spawn(move || life.run(port))?;
        Ok(Self { address, wanted, options_headers, invites, calls_up, thread: Some(thread) })
    }

    /// Where it is reached.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on its answers to OPTIONS have this header; `name` and `value` stand there as they are.
    pub fn report(&self, name: &str, value: &str) {
        self.options_headers.store(Arc::new(format!("{name}: {value}\r\n")));
    }

    /// INVITEs that began a call, so far.
    #[must_use]
    pub fn invites(&self) -> u64 {
        self.invites.load(Ordering::Relaxed)
    }

    /// Waits until the caller's calls that it answered have ended, at most `within`: the caller is done when it has answered the
    /// last BYE, and that answer is still on its way here then.
    pub fn settle(&self, within: Duration) {
        let end = Instant::now() + within;
        while self.calls_up.load(Ordering::Relaxed) > 0 && Instant::now() < end {
            thread::sleep(LOOK / 4);
        }
    }

    /// It ends its calls and closes its socket.
    pub fn fail(&self) {
        self.wanted.store(FAIL, Ordering::Relaxed);
    }

    /// It is back, at the same address.
    pub fn recover(&self) {
        self.wanted.store(RUN, Ordering::Relaxed);
    }

    /// Ends it; what it has seen.
    #[must_use]
    pub fn stop(mut self) -> DestinationReport {
        self.end().unwrap_or_default()
    }

    fn end(&mut self) -> Option<DestinationReport> {
        self.wanted.store(STOP, Ordering::Relaxed);
        self.thread.take()?.join().ok()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.end();
    }
}

struct Life {
    address: SocketAddr,
    wanted: Arc<AtomicU8>,
    invites: Arc<AtomicU64>,
    calls_up: Arc<AtomicU64>,
    callee: Callee,
}

impl Life {
    fn run(mut self, port: Port) -> DestinationReport {
        let mut buffer = vec![0; limits::DATAGRAM_BYTES_MAX];
        let mut port = Some(port);
        loop {
            match self.wanted.load(Ordering::Relaxed) {
                STOP => return self.callee.report,
                FAIL => {
                    if let Some(open) = port.take() {
                        self.close_down(&open, &mut buffer);
                    }
                    thread::sleep(LOOK);
                }
                _ => match &port {
                    Some(open) => {
                        self.turn(open, &mut buffer, LOOK);
                    }
                    None => port = self.open_up(),
                },
            }
        }
    }

    /// Handles one datagram, if one comes, and what is due; whether one came.
    fn turn(&mut self, port: &Port, buffer: &mut [u8], longest: Duration) -> bool {
        let wait = self.callee.wait(Instant::now(), longest);
        let received = port.receive(buffer, wait);
        if let Some((length, source)) = received {
            self.callee.handle_datagram(Instant::now(), &buffer[..length], source);
            self.invites.store(self.callee.report.invites, Ordering::Relaxed);
        }
        self.callee.handle_alarms(Instant::now());
        for (bytes, to) in self.callee.out.drain(..) {
            port.send(&bytes, to);
        }
        self.calls_up.store(self.callee.calls_up, Ordering::Relaxed);
        received.is_some()
    }

    fn close_down(&mut self, port: &Port, buffer: &mut [u8]) {
        let end = Instant::now() + CLOSE_WITHIN;
        self.callee.close_down(Instant::now());
        // What waits in the socket when it is closed is lost without ICMP: it is closed when nothing waits.
        while Instant::now() < end
            && (self.turn(port, buffer, Duration::from_millis(1)) || !self.callee.is_closed_down())
        {}
    }

    /// The socket again; somebody else may have taken its address meanwhile, so it is tried until it succeeds.
    fn open_up(&mut self) -> Option<Port> {
        self.callee.open_up();
        let port = Port::bind(self.address).ok();
        if port.is_none() {
            thread::sleep(LOOK);
        }
        port
    }
}
