//! What probing 10,000 destinations every 10 s does to calls: the same load with probing off, on and off again, round after round.
//!
//! `cargo bench --bench probing` (some four minutes). One shard on core 0, the prober on core 1, real sockets; a window is a new
//! siplane and `CALLS` calls. What the calls cross is the time from INVITE to 180; the ratio of the two windows without probes is
//! the noise that the ratio with and without them is to be held against. One socket answers for all 10,000 addresses, in
//! the same machine, so its work is in the figures too. Beside it: the processor time of the shard's thread, which depends less on who
//! else uses the machine.

#[path = "../../tests/loopback/program.rs"]
mod program;

use program::Siplane;
use siplane::cli::demo::{Destination, LoadOptions, load};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const DESTINATIONS: usize = 10_000;
const INTERVAL_MS: u64 = 10_000;
const ROUNDS: usize = 30;
/// Of a window: short ones find the quiet moments of a shared machine.
const CALLS: usize = 1_000;
const CALLS_PER_SECOND: u32 = 500;
/// Probing, window by window of a round.
const WINDOWS: [bool; 3] = [false, true, false];

/// Answers every probe with 200.
struct Responder {
    port: u16,
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Responder {
    fn start() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let port = socket.local_addr().expect("its address").port();
        let (answered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&answered), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
                let request = &buffer[..length];
                let Some(line) = request.windows(2).position(|two| two == b"\r\n") else { continue };
                // The rest of a probe is what an answer has to have: Via, From, To, Call-ID, CSeq.
                let sent = socket.send_to(&[b"SIP/2.0 200 OK", &request[line..]].concat(), source);
                count.fetch_add(u64::from(sent.is_ok()), Ordering::Relaxed);
            }
        });
        Self { port, answered, stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the responder ends");
    }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 64, 1, host], 0))
}

/// Set 1 takes the calls, set 2 is there to be probed.
fn config(address: SocketAddr, destinations: &[Destination], port: u16, probing: bool) -> String {
    let taking: Vec<_> = destinations.iter().map(|destination| format!("\"sip:{}\"", destination.address())).collect();
    let probed: Vec<_> =
        (0..DESTINATIONS).map(|number| format!("\"sip:127.1.{}.{}:{port}\"", number / 250, number % 250 + 1)).collect();
    let interval_ms = if probing { INTERVAL_MS } else { 0 };
    format!(
        "listen = [\"udp:{address}\"]\nshards = [0]\ndefault_set = 1\n\n[prober]\ncore = 1\ninterval_ms = {interval_ms}\n\n[log]\n\
         level = \"warn\"\n\n[[set]]\nid = 1\ndestinations = [{}]\n\n[[set]]\nid = 2\ndestinations = [{}]\n",
        taking.join(", "),
        probed.join(", ")
    )
}

/// Processor time so far of the shard's thread in the child of this process, µs.
fn shard_us() -> f64 {
    let read = |path: String| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let own = std::process::id();
    let child = read(format!("/proc/self/task/{own}/children")).trim().to_owned();
    let tasks = std::fs::read_dir(format!("/proc/{child}/task")).expect("the child's threads");
    let mut paths = tasks.map(|task| task.expect("a thread").path().display().to_string());
    let shard = paths.find(|path| read(format!("{path}/comm")).starts_with("shard")).expect("a shard");
    let ns = read(format!("{shard}/schedstat")).split(' ').next().and_then(|word| word.parse::<f64>().ok());
    ns.expect("a number") / 1_000.0
}

/// One window: p50 and p99 from INVITE to 180, µs, the shard's processor time for a call, µs, and probes answered in a second.
fn window(destinations: &[Destination], responder: &Responder, probing: bool) -> [f64; 4] {
    let siplane = Siplane::start(address(1), |address| config(address, destinations, responder.port, probing));
    thread::sleep(Duration::from_millis(500));
    let (before, cpu_before) = (responder.answered.load(Ordering::Relaxed), shard_us());
    let report = load(&LoadOptions {
        source_ports: 4,
        talk: Duration::from_millis(50)..Duration::from_millis(250),
        callee_hangs_up_percent: 0,
        last_wait: Duration::from_secs(5),
        ..LoadOptions::new(siplane.address, CALLS, CALLS_PER_SECOND)
    });
    let report = report.expect("the load runs");
    let (probes, cpu) = (responder.answered.load(Ordering::Relaxed) - before, shard_us() - cpu_before);
    assert_eq!(report.lost(), 0, "{:?} {:?}", report.refused, report.faults);
    let expected = (CALLS as u64 * 1_000 / u64::from(CALLS_PER_SECOND)) * DESTINATIONS as u64 / INTERVAL_MS;
    assert!(!probing || probes > expected / 2, "{probes} probes answered, {expected} expected");
    assert!(probing || probes == 0, "{probes} probes without probing");
    let _ = siplane.terminate();
    let at = |quantile| report.ringing_us.value_at_quantile(quantile) as f64;
    [at(0.5), at(0.99), cpu / CALLS as f64, probes as f64 * f64::from(CALLS_PER_SECOND) / CALLS as f64]
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn main() {
    let responder = Responder::start();
    let destinations: Vec<_> = (11..14).map(|host| Destination::start(address(host)).expect("free ports")).collect();
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let windows = WINDOWS.map(|probing| window(&destinations, &responder, probing));
        let [off, on, again] = windows;
        println!(
            "round {round:>2}: p50 us {:>5} {:>5} {:>5}, p99 us {:>6} {:>6} {:>6} cpu us {:.0} {:.0} {:.0} (off, on, off), {:.0} probes/s",
            off[0], on[0], again[0], off[1], on[1], again[1], off[2], on[2], again[2], on[3]
        );
        rounds.push(windows);
    }
    responder.end();
    for (column, name) in ["p50", "p99", "shard's time for a call"].iter().enumerate() {
        for (what, window) in [("on/off", 1), ("off/off", 2)] {
            let ratios = sorted(rounds.iter().map(|round| round[window][column] / round[0][column]));
            let [low, median, high] = quartiles(&ratios);
            let above = ratios.iter().filter(|ratio| **ratio > 1.0).count();
            println!(
                "{name} {what:<8} median {median:.2}, half of them {low:.2} to {high:.2}, {above} of {ROUNDS} above 1"
            );
        }
        let of = |window: usize| quartiles(&sorted(rounds.iter().map(|round| round[window][column])));
        println!("{name} us, quartiles: off {:.0?}, on {:.0?}, off {:.0?}", of(0), of(1), of(2));
    }
}

/// Lower quartile, median, upper quartile.
fn quartiles(sorted: &[f64]) -> [f64; 3] {
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}
