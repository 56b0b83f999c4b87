//! `siplane demo`: siplane's main job on real SIP, in one process.
//!
//! - siplane runs with its built-in config; the caller and three destinations beside it are by-the-book user agents on
//!   sockets of their own, and share nothing with it but datagrams ([`DemoServer`] is for looking at it only).
//! - The second destination fails at half time and comes back at three quarters: no call may be lost by it. It ends its
//!   own calls first, since no dispatcher saves a call whose callee is gone; from then on it is up to siplane.
//! - Calls of others to the same address meanwhile are answered, shown, and left alone.
//! - The exit status is 0 only if every call of the demo went by the book from its INVITE to the 200 to its BYE.
//!
//! The same caller and destinations are a load check for tests: [`load`], [`Destination`].

mod call;
mod callee;
mod caller;
mod destination;
mod load;
mod plan;
mod port;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod ua;

pub use destination::{Destination, DestinationReport};
pub use load::{Load, LoadOptions, is_ready, load};
pub use plan::Plan;
pub use report::{Report, Tally};

use core::fmt::{self, Display};
use core::time::Duration;
use port::Port;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;
use table::{Moment, View};

/// A siplane that runs in this process.
pub trait DemoServer {
    /// What it says about itself now.
    fn snapshot(&self) -> Snapshot;

    /// Ends it.
    fn stop(self);
}

/// What siplane says about itself at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// New INVITEs dispatched since its start.
    pub calls: u64,
    /// Requests that went on to another destination since its start.
    pub failovers: u64,
    /// Server transactions now.
    pub transactions: u64,
    /// Dialogs now.
    pub dialogs: u64,
    /// The destinations in the order of the config.
    pub destinations: Vec<DestinationView>,
}

/// One destination as siplane sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationView {
    /// Its URI as configured.
    pub uri: String,
    /// Its state as people are to read it: `AP`, or `active`.
    pub state: String,
    /// Requests sent to it.
    pub selected: u64,
    /// 2xx answers to INVITE.
    pub answered: u64,
    /// Calls that it has now.
    pub load: u64,
    /// How long it takes to answer a probe, by estimate; none before the first answer.
    pub estimate: Option<Duration>,
    /// How long it takes to answer an INVITE at all; none before the first answer.
    pub response_time: Option<Duration>,
}

/// Why a demo does not begin.
#[derive(Debug)]
pub enum DemoError {
    /// An address is in use.
    InUse(SocketAddr),
    /// An address cannot be bound for another reason.
    Bind(SocketAddr, io::Error),
    /// siplane did not start, and why.
    Start(String),
    /// siplane started but does not answer at this address.
    Silent(SocketAddr),
    /// The caller could not be started.
    Caller(io::Error),
}

impl Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(address) => write!(
                f,
                "udp:{address} is in use, and the demo needs it: is another SIP server running? \
                `ss -lunp 'sport = :{}'` names it",
                address.port()
            ),
            Self::Bind(address, error) => write!(f, "udp:{address} cannot be bound: {error}"),
            Self::Start(error) => write!(f, "siplane does not start: {error}"),
            Self::Silent(address) => write!(f, "siplane does not answer OPTIONS at udp:{address}"),
            Self::Caller(error) => write!(f, "the caller does not run: {error}"),
        }
    }
}

impl core::error::Error for DemoError {}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The caller's account.
    pub report: Report,
    /// siplane's last word.
    pub snapshot: Snapshot,
    /// What each destination has seen.
    pub destinations: Vec<DestinationReport>,
}

/// How long siplane may take to start.
const START_WITHIN: Duration = Duration::from_secs(5);
/// How long answers to the last BYEs may be on their way.
const SETTLE_WITHIN: Duration = Duration::from_secs(1);
/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the demo on standard output: 0 only if no call was lost. `start` starts siplane; its destinations then run.
pub fn run<S: DemoServer, E: Display>(start: impl FnOnce() -> Result<S, E>) -> ExitCode {
    let out = io::stdout();
    let terminal = out.is_terminal();
    match play(&Plan::default(), start, out, terminal) {
        Ok(outcome) if outcome.report.lost() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "siplane demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo as `plan` says, shown on `out`.
///
/// # Errors
/// When it cannot begin; nothing runs then any more.
pub fn play<S: DemoServer, E: Display>(
    plan: &Plan,
    start: impl FnOnce() -> Result<S, E>,
    out: impl Write,
    terminal: bool,
) -> Result<Outcome, DemoError> {
    drop(Port::bind(plan.proxy).map_err(|error| bind_error(plan.proxy, error))?);
    let destinations = destinations(plan)?;
    let server = start().map_err(|error| DemoError::Start(error.to_string()))?;
    let mut view = View::new(out, terminal);
    view.write(&greeting(plan));
    let played = place_calls(plan, &server, &destinations, &mut view);
    destinations.iter().for_each(|destination| destination.settle(SETTLE_WITHIN));
    let snapshot = server.snapshot();
    server.stop();
    let destinations = destinations.into_iter().map(Destination::stop).collect();
    let outcome = Outcome { report: played?, snapshot, destinations };
    view.write(&summary(&outcome));
    Ok(outcome)
}

fn destinations(plan: &Plan) -> Result<Vec<Destination>, DemoError> {
    let start = |address: &SocketAddr| Destination::start(*address).map_err(|error| bind_error(*address, error));
    plan.destinations.iter().map(start).collect()
}

fn bind_error(address: SocketAddr, error: io::Error) -> DemoError {
    match error.kind() {
        io::ErrorKind::AddrInUse => DemoError::InUse(address),
        _ => DemoError::Bind(address, error),
    }
}

fn place_calls<W: Write>(
    plan: &Plan,
    server: &impl DemoServer,
    destinations: &[Destination],
    view: &mut View<W>,
) -> Result<Report, DemoError> {
    if !is_ready(plan.proxy, START_WITHIN) {
        return Err(DemoError::Silent(plan.proxy));
    }
    let load = Load::start(&plan.load()).map_err(DemoError::Caller)?;
    let start = Instant::now();
    while !load.is_over() {
        let elapsed = start.elapsed();
        let note = direct(plan, elapsed, destinations);
        view.show(&moment(elapsed, &server.snapshot(), load.tally(), &note));
        thread::sleep(LOOK);
    }
    let snapshot = server.snapshot();
    view.show_now(&moment(start.elapsed(), &snapshot, load.tally(), "all calls are over"));
    load.wait().map_err(DemoError::Caller)
}

/// Has the failing destination fail and come back; what is going on.
fn direct(plan: &Plan, elapsed: Duration, destinations: &[Destination]) -> String {
    let Some(failing) = destinations.get(plan.failing) else { return String::new() };
    let address = failing.address();
    if plan.is_out(elapsed) {
        failing.fail();
        return format!("{address} has failed: its port is closed, its calls go elsewhere");
    }
    failing.recover();
    if elapsed >= plan.placing {
        return String::from("no new calls; the last ones come to their end");
    }
    if elapsed >= plan.placing / 2 { format!("{address} is back") } else { String::from("all destinations answer") }
}

fn moment<'a>(elapsed: Duration, snapshot: &'a Snapshot, tally: &Tally, note: &'a str) -> Moment<'a> {
    let answered = tally.answered();
    Moment { elapsed, snapshot, answered, decided: answered + tally.unanswered(), note }
}

fn greeting(plan: &Plan) -> String {
    let Plan { proxy, destinations, calls_per_second, placing, .. } = plan;
    let count = destinations.len();
    format!(
        "siplane at udp:{proxy}, {count} destinations, {calls_per_second} calls per second for {} s.\n\
        Place calls of your own meanwhile: any INVITE to {proxy} is answered.\n\n",
        placing.as_secs_f64()
    )
}

fn summary(outcome: &Outcome) -> String {
    let Outcome { report, snapshot, .. } = outcome;
    let percentile_ms = |of: &hdrhistogram::Histogram<u64>, q| of.value_at_quantile(q) as f64 / 1_000.0;
    let mut text = format!(
        "\ncalls placed {}, answered {}, failed over {}, lost {}\n",
        report.placed,
        report.answered,
        snapshot.failovers,
        report.lost()
    );
    for (name, of) in
        [("INVITE to 180", &report.ringing_us), ("setup time (INVITE to 200, ringing included)", &report.setup_us)]
    {
        text += &format!("{name}: p50 {:.1} ms, p99 {:.1} ms\n", percentile_ms(of, 0.5), percentile_ms(of, 0.99));
    }
    for fault in &report.faults {
        text += &format!("  {fault}\n");
    }
    text
}
