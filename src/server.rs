//! Wiring only: what is started in which order, and ended in which.
//!
//! Start: table → doors of the control side → sockets, bound in shard order → shards → prober → control side. End: the shards drain and
//! end together, then the prober, then the control side.

mod cores;
mod host_plan;
mod liveness;
mod service;

use crate::config::{self, Config, EngineWish, IoSettings};
use crate::control::{self, Control, ControlPlan, ControlThread, EventLog, OpenDoors};
use crate::dispatcher::{Table, TableError};
use crate::prober::{self, Listener, News, NewsSource, ProbeSettings, Prober, ProberPlan};
use crate::proxy::{Policy, Settings};
pub use crate::shard::Snapshot;
use crate::shard::{
    self, Audit, Drift, Inquiries, Lifecycle, OpenError, Phase, ProbeOutcome, ProbeSink, ShardCounters, ShardHandle,
};
use crate::shard::{
    EngineChoice, EngineKind, Grants, ShardSockets, ShardsInput, ShardsPlan, StartError, Steering, SteeringWish,
    Waiting, clock,
};
use arc_swap::ArcSwap;
use core::fmt;
use core::time::Duration;
use cores::Cores;
pub use host_plan::host_plan;
pub use service::Service;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};

/// A running siplane.
#[derive(Debug)]
pub struct Server {
    policy: Arc<ArcSwap<Policy>>,
    lifecycle: Arc<Lifecycle>,
    counters: Vec<Arc<ShardCounters>>,
    inquiries: Inquiries,
    drift: Arc<Drift>,
    ended: Receiver<Result<(), StartError>>,
    prober: Option<JoinHandle<()>>,
    stop_prober: Arc<AtomicBool>,
    shutdown_timeout: Duration,
    /// Dropped last: whoever asks during a shutdown gets an answer.
    control: Option<ControlThread>,
}

/// How a shutdown ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Every running transaction got its final response.
    Drained,
    /// The bound was reached, or a second signal came, with this many transactions unfinished.
    CutOff(u64),
}

/// Why siplane cannot start, or ended by itself.
#[derive(Debug)]
pub enum ServerError {
    /// The sets are not a table.
    Table(TableError),
    /// A core that is not there.
    Core {
        /// The one asked for.
        wanted: usize,
        /// Those that this process may use.
        available: Vec<usize>,
    },
    /// An address cannot be listened on.
    Open(OpenError),
    /// A shard cannot run, or ended by itself.
    Shard(StartError),
    /// The system refuses something else: what, and why.
    System(&'static str, std::io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => write!(f, "{error}"),
            Self::Core { wanted, available } => {
                write!(f, "core {wanted} is not there; this process may use {available:?}")
            }
            Self::Open(error) => write!(f, "{error}"),
            Self::Shard(error) => write!(f, "{error}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for ServerError {}

impl Server {
    /// Starts everything that `config` asks for; calls are taken when this returns.
    ///
    /// # Errors
    /// See [`ServerError`]; nothing runs then.
    pub fn start(config: Config) -> Result<Self, ServerError> {
        let running = config.clone();
        let table = Table::build(config.sets, None).map_err(ServerError::Table)?;
        control::restore(&config.control, &table);
        let policy = Policy { table, rules: config.rules, default_set: config.default_set };
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let cores = Cores::choose(&config.shards, config.prober.core)?;
        let doors = control::open(&config.control).map_err(|error| ServerError::System("control side", error))?;
        let mut sockets = shard::open_all(&config.settings.listen, cores.shards.len()).map_err(ServerError::Open)?;
        if config.io.join_sends {
            sockets.iter_mut().for_each(ShardSockets::join_sends);
        }
        let grants = steer(&sockets, config.io.steering)?;
        let duplicates = sockets.first().map(|first| first.duplicate_for_sending());
        let sending = duplicates.transpose().map_err(|error| ServerError::System("probe sockets", error))?;
        let answers = Arc::new(ProbeSink::new().map_err(|error| ServerError::System("probe mailbox", error))?);
        let lifecycle = Arc::new(Lifecycle::new(cores.shards.len()));
        let plan = ShardsPlan { cores: cores.shards.clone() };
        let input = ShardsInput {
            settings: config.settings.clone(),
            policy: Arc::clone(&policy),
            sockets,
            probe_answers: Arc::clone(&answers),
            lifecycle: Arc::clone(&lifecycle),
            engine: engine(config.io.engine),
            waiting: waiting(&config.io),
        };
        let handles = shard::start(&plan, input).map_err(ServerError::Shard)?;
        // Invariant: a plan without shards does not start.
        let first = handles.first().expect("a shard");
        let (inquiries, grants) = (first.inquiries().clone(), grants.run_by(first.engine()));
        let stop_prober = Arc::new(AtomicBool::new(false));
        let mut server = Self {
            inquiries,
            counters: handles.iter().map(|handle| Arc::clone(handle.counters())).collect(),
            ended: join_all(handles),
            drift: Arc::default(),
            policy,
            lifecycle,
            prober: None,
            stop_prober,
            shutdown_timeout: config.shutdown_timeout,
            control: None,
        };
        // Also with an interval of zero: what calls say is judged there, and destinations may have an interval of their own.
        let sockets = sending.unwrap_or_default();
        let probing = Arc::new(ArcSwap::from_pointee(control::probe_settings(&config.prober, &config.settings)));
        let events = Arc::new(EventLog::new(&config.control));
        let told = Arc::clone(&events);
        let listener: Listener = Box::new(move |one| told.tell(one));
        server.start_prober(&config.settings, Arc::clone(&probing), cores.prober, sockets, answers, listener)?;
        let own_core = Some(cores.prober).filter(|core| !cores.shards.contains(core));
        let known = Known { config: running, probing, events, grants };
        server.start_control(known, doors, own_core)?;
        tracing::info!(shards = ?cores.shards, listen = ?listened(&config.settings), "ready");
        Ok(server)
    }

    fn start_prober(
        &mut self,
        fixed: &Settings,
        settings: Arc<ArcSwap<ProbeSettings>>,
        core: usize,
        sockets: Vec<UdpSocket>,
        answers: Arc<ProbeSink>,
        listener: Listener,
    ) -> Result<(), ServerError> {
        let seed = clock::seed().map_err(|error| ServerError::System("random numbers", error))?;
        let probing = ProbeSettings::clone(&settings.load());
        let prober = Prober::new(probing, fixed.timers, fixed.listen.clone(), seed, clock::now());
        let (policy, stop) = (Arc::clone(&self.policy), Arc::clone(&self.stop_prober));
        let mut audit = Audit::new(self.counters.clone(), Arc::clone(&self.drift), clock::now());
        let also = Box::new(move |now, table: &Table| audit.pass(now, table.states()));
        let plan = ProberPlan { prober, settings, policy, sockets, core, stop, also, listener };
        let thread = thread::Builder::new().name(String::from("prober"));
        let thread = thread.spawn(move || prober::run(plan, clock::now, &Answers(answers)));
        self.prober = Some(thread.map_err(|error| ServerError::System("prober thread", error))?);
        Ok(())
    }

    /// On `core`, when there is one that no shard has.
    fn start_control(&mut self, known: Known, doors: OpenDoors, core: Option<usize>) -> Result<(), ServerError> {
        let Known { config, probing, events, grants } = known;
        let control = Control::new(ControlPlan {
            config,
            policy: Arc::clone(&self.policy),
            probing,
            counters: self.counters.clone(),
            inquiries: self.inquiries.clone(),
            drift: Arc::clone(&self.drift),
            lifecycle: Arc::clone(&self.lifecycle),
            events,
            grants: Some(grants),
            on_reload: service::reloading,
        });
        let thread = doors.serve(Arc::new(control), core);
        self.control = Some(thread.map_err(|error| ServerError::System("control side", error))?);
        Ok(())
    }

    /// The sum of what the shards have counted, at most 100 ms old, and the drift that the last audit found.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = ShardCounters::total(self.counters.iter().map(Arc::as_ref));
        snapshot.levels.drift = self.drift.load();
        snapshot
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Has the control side reload the config file; it tells the log what came of it.
    pub fn reload(&self) {
        if let Some(control) = &self.control {
            control.reload();
        }
    }

    /// An error when the shards have ended by themselves.
    ///
    /// # Errors
    /// What the first shard that ended says.
    pub fn check(&self) -> Result<(), ServerError> {
        match self.ended.try_recv() {
            Ok(Err(error)) => Err(ServerError::Shard(error)),
            _ => Ok(()),
        }
    }

    /// Refuses new calls, finishes running transactions, and ends: at the latest after the config's `shutdown_timeout_s`, or when
    /// `hurry` says so. Gives the last figures too.
    pub fn shut_down(mut self, mut hurry: impl FnMut() -> bool) -> (Shutdown, Snapshot) {
        let deadline = clock::now() + self.shutdown_timeout;
        self.lifecycle.advance(Phase::Draining);
        let mut outcome = Shutdown::Drained;
        while let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(Duration::from_millis(20)) {
            if outcome == Shutdown::Drained && (clock::now() >= deadline || hurry()) {
                outcome = Shutdown::CutOff(self.snapshot().levels.pending_transactions);
                self.lifecycle.advance(Phase::Stopped);
            }
        }
        self.end_prober();
        let last = self.snapshot();
        self.tell_shards();
        self.audit(last.levels.tokens);
        (outcome, last)
    }

    fn end_prober(&mut self) {
        self.stop_prober.store(true, Ordering::Release);
        if let Some(prober) = self.prober.take()
            && prober.join().is_err()
        {
            tracing::error!("the prober's thread panicked");
        }
    }

    /// What each shard did, when there are several: who got how much, and how much came to the wrong one.
    fn tell_shards(&self) {
        if self.counters.len() < 2 {
            return;
        }
        for (shard, Snapshot { io, proxy, .. }) in self.counters.iter().map(|counters| counters.load()).enumerate() {
            let (calls, received, steered) = (proxy.calls, io.received, io.steered);
            tracing::info!(
                shard,
                calls,
                received,
                steered,
                handed_off = io.handed_off,
                lost = io.handoff_full,
                "shard stopped"
            );
        }
    }

    /// The load of all destinations must be the tokens that the shards held at their end.
    fn audit(&self, tokens: u64) {
        let load = self.policy.load().table.states().total_load();
        if load != tokens {
            tracing::error!(load, tokens, "the call load has drifted: a bug");
        }
    }
}

/// Who gives it up without [`Server::shut_down`], as a start does that fails half-way, leaves no thread and no socket behind.
impl Drop for Server {
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Stopped);
        // An error when they have been heard to end before.
        let _ = self.ended.recv();
        self.end_prober();
    }
}

/// Tells when all shards have ended: with the first error, if any.
fn join_all(handles: Vec<ShardHandle>) -> Receiver<Result<(), StartError>> {
    let (tell, ended) = channel();
    thread::spawn(move || {
        let outcome = handles.into_iter().map(ShardHandle::join).fold(Ok(()), Result::and);
        // Nobody listens any more only when the process ends.
        let _ = tell.send(outcome);
    });
    ended
}

fn listened(settings: &Settings) -> Vec<String> {
    settings.listen.iter().map(|listen| listen.address.to_string()).collect()
}

/// The shards' mailbox for the prober, as the prober knows it.
struct Answers(Arc<ProbeSink>);

impl NewsSource for Answers {
    fn wait(&self, timeout: Duration) {
        self.0.wait(timeout);
    }

    fn drain(&self, read: &mut dyn FnMut(News<'_>)) {
        self.0.drain(|answer, bytes| match answer.outcome {
            ProbeOutcome::Response => read(News::Response(bytes, answer.received_at)),
            ProbeOutcome::Unreachable => read(News::Unreachable(bytes)),
        });
    }
}

/// What the control side is told at the start.
struct Known {
    config: Config,
    probing: Arc<ArcSwap<ProbeSettings>>,
    events: Arc<EventLog>,
    grants: Grants,
}

/// Gives the groups of `sockets` their programs and says what it came to.
fn steer(sockets: &[ShardSockets], wish: config::SteeringWish) -> Result<Grants, ServerError> {
    let (steering, refused) =
        shard::steer(sockets, steering(wish)).map_err(|error| ServerError::System("steering", error))?;
    for (way, error) in &refused {
        tracing::warn!(way = way.name(), %error, "the kernel refuses to steer datagrams this way");
    }
    tracing::info!(steering = steering.name(), shards = sockets.len(), "datagrams find their shard");
    Ok(Grants::of(sockets, steering, refused.into_iter().map(|(way, _)| way).collect()))
}

const fn steering(wish: config::SteeringWish) -> SteeringWish {
    match wish {
        config::SteeringWish::Auto => SteeringWish::Auto,
        config::SteeringWish::Ebpf => SteeringWish::Only(Steering::Ebpf),
        config::SteeringWish::Classic => SteeringWish::Only(Steering::Classic),
        config::SteeringWish::Handoff => SteeringWish::Only(Steering::Handoff),
    }
}

const fn engine(wish: EngineWish) -> EngineChoice {
    match wish {
        EngineWish::Auto => EngineChoice::Auto,
        EngineWish::IoUring => EngineChoice::Only(EngineKind::IoUring),
        EngineWish::Mmsg => EngineChoice::Only(EngineKind::Mmsg),
    }
}

const fn waiting(io: &IoSettings) -> Waiting {
    let IoSettings { gather, gather_above_per_ms, busy_poll, .. } = *io;
    Waiting { gather, gather_above_per_ms, busy_poll }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_given_up_leaves_its_address_to_others() {
        let address = UdpSocket::bind("127.63.20.1:0").unwrap().local_addr().unwrap();
        let start = || {
            let mut config = config::parse(config::BUILT_IN, "built-in config").unwrap();
            config.settings.listen[0].address = address;
            Server::start(config)
        };
        drop(start().unwrap());
        start().unwrap().shut_down(|| true);
        assert!(UdpSocket::bind(address).is_ok());
    }
}
