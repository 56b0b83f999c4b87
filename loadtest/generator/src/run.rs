//! A run: the sockets, one or two threads, and the turns that each takes.

use crate::cli::Arguments;
use crate::cpu::{self, Cpu};
use crate::io::{Address, BATCH, Outbox, Receive, Send, Socket, Wait, open, sleep, sleep_exactly};
use crate::number::Run;
use crate::pace::{Pace, Schedule};
use crate::report;
use crate::stats::{CalleeStats, CallerStats};
use crate::timers::MS;
use crate::uac::Callers;
use crate::uas::Callees;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

/// Longest wait, nanoseconds: how late the callees' thread sees the end.
const WAIT_MAX: u64 = 20_000_000;
/// Batches of one socket in one turn at most.
const BATCHES_PER_TURN: usize = 8;
/// Messages that are sent before more are read.
const FLUSH_AT: usize = 1024;
/// How long callees listen after the last call, nanoseconds.
const LINGER: u64 = 50_000_000;
const SECOND: u64 = 1_000_000_000;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) callers: CallerStats,
    pub(crate) callees: CalleeStats,
    pub(crate) held: u64,
    /// From the first call's intended start to the last call's end, nanoseconds.
    pub(crate) elapsed: u64,
    /// Datagrams that our sockets had no room for, and that the kernel did not take from us.
    pub(crate) own_drops: u64,
    pub(crate) own_unsent: u64,
    /// Datagrams that the program under test had no room for.
    pub(crate) drops: u64,
    pub(crate) own: Cpu,
    /// Of the program under test, when its processes were named.
    pub(crate) tested: Option<Cpu>,
}

/// One thread's sockets and buffers. Times are nanoseconds since the run began.
struct Turns {
    began: Instant,
    sockets: Vec<Socket>,
    first_callee: u16,
    wait: Wait,
    receive: Receive,
    send: Send,
    out: Outbox,
    gather: u64,
    last: u64,
    callers: Option<Callers>,
    callees: Option<Callees>,
}

impl Turns {
    fn new(arguments: &Arguments, began: Instant, sockets: Vec<Socket>, first_callee: u16) -> io::Result<Self> {
        Ok(Self {
            began,
            first_callee,
            wait: Wait::new(&sockets)?,
            sockets,
            receive: Receive::new(arguments.join),
            send: Send::new(arguments.segment, arguments.connect),
            out: Outbox::new(),
            gather: arguments.gather_us * 1000,
            last: 0,
            callers: None,
            callees: None,
        })
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Waits for something to do, at most until `due`, and does it.
    fn turn(&mut self, due: Option<u64>) {
        let mut now = self.now();
        if now < self.last + self.gather {
            sleep(self.last + self.gather - now);
            now = self.now();
        }
        self.last = now;
        let dues = [due, self.callers.as_ref().and_then(Callers::next), self.callees.as_ref().and_then(Callees::next)];
        let due = dues.into_iter().flatten().min().unwrap_or(u64::MAX);
        self.wait.wait(due.saturating_sub(now).min(WAIT_MAX));
        for at in 0..self.wait.ready() {
            self.drain(self.wait.place(at));
        }
        let now = self.now();
        self.callers.iter_mut().for_each(|callers| callers.on_time(now, &mut self.out));
        self.callees.iter_mut().for_each(|callees| callees.on_time(now, &mut self.out));
    }

    fn drain(&mut self, place: usize) {
        for _ in 0..BATCHES_PER_TURN {
            let count = self.receive.receive(&self.sockets[place]);
            let now = self.now();
            for at in 0..count {
                let (source, datagrams) = self.receive.passage(at);
                match (&mut self.callers, &mut self.callees) {
                    (Some(callers), _) if place < usize::from(self.first_callee) => {
                        datagrams.for_each(|bytes| callers.receive(place as u16, bytes, now, &mut self.out));
                    }
                    (_, Some(callees)) => {
                        datagrams.for_each(|bytes| callees.receive(place as u16, source, bytes, now, &mut self.out));
                    }
                    _ => {}
                }
            }
            if self.out.len() >= FLUSH_AT {
                self.send.send(&self.sockets, &mut self.out);
            }
            if count < BATCH {
                return;
            }
        }
    }

    fn flush(&mut self) {
        self.send.send(&self.sockets, &mut self.out);
        let now = self.now();
        self.callers.iter_mut().for_each(|callers| callers.left(now));
    }

    /// Places calls until the schedule and the last call are over, or `give_up` has come.
    fn place_calls(
        &mut self,
        mut schedule: Schedule,
        held: bool,
        give_up: u64,
        mut each_second: impl FnMut(u64, &CallerStats),
    ) {
        let (mut second, mut more) = (self.now() / SECOND + 1, false);
        loop {
            let now = self.now();
            let active = self.callers.as_ref().map_or(0, Callers::active);
            if now >= give_up || schedule.is_over(now) && active == 0 {
                return;
            }
            let due = if more { Some(now) } else { schedule.due(now, active) };
            self.turn(due);
            let now = self.now();
            if let Some(callers) = &mut self.callers {
                more = callers.start(&mut schedule, held, now, &mut self.out);
            }
            self.flush();
            if now >= second * SECOND {
                self.callers.iter().for_each(|callers| each_second(now, &callers.stats));
                second = now / SECOND + 1;
            }
        }
    }

    fn listen_until(&mut self, over: impl Fn(u64) -> bool) {
        while !over(self.now()) {
            self.turn(None);
            self.flush();
        }
    }

    fn drops(&self) -> u64 {
        self.sockets.iter().map(Socket::drops).sum()
    }
}

/// Places the calls that the command line wants.
///
/// # Errors
/// When a socket cannot be opened.
pub(crate) fn run(arguments: &Arguments) -> io::Result<Outcome> {
    let open_all = |addresses: Vec<Address>| -> io::Result<Vec<Socket>> {
        let named =
            |address: Address| move |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        addresses.into_iter().map(|address| open(address).map_err(named(address))).collect()
    };
    let (sources, callees) = (open_all(arguments.source_addresses())?, open_all(arguments.callee_addresses())?);
    if arguments.connect {
        sources.iter().chain(&callees).try_for_each(|socket| socket.connect(arguments.proxy.into()))?;
    }
    if arguments.join {
        sources.iter().chain(&callees).try_for_each(Socket::join)?;
    }
    let began = Instant::now();
    let id = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u32) ^ std::process::id();
    let (run, first) = (Run::new(id, arguments.vary_sizes), sources.len() as u16);
    let bound = |sockets: &[Socket]| sockets.iter().map(|socket| socket.address).collect::<Vec<_>>();
    let callers = Callers::new(arguments.callers(), run, &bound(&sources));
    match arguments.uas_core {
        None => {
            let callees_of = Callees::new(arguments.callees(), run, first, &bound(&callees));
            let mut turns = Turns::new(arguments, began, sources.into_iter().chain(callees).collect(), first)?;
            (turns.callers, turns.callees) = (Some(callers), Some(callees_of));
            pin(arguments.core);
            Ok(call(arguments, turns, None))
        }
        Some(_) => {
            let callees_of = Callees::new(arguments.callees(), run, 0, &bound(&callees));
            let mut turns = Turns::new(arguments, began, sources, first)?;
            turns.callers = Some(callers);
            let stop = Arc::new(AtomicBool::new(false));
            let listening = listen(arguments, began, callees, callees_of, Arc::clone(&stop))?;
            pin(arguments.uac_core);
            Ok(call(arguments, turns, Some((stop, listening))))
        }
    }
}

/// The callees' thread; it gives back its figures, its drops and what it could not send.
type Listening = thread::JoinHandle<io::Result<(CalleeStats, u64, u64)>>;

fn listen(
    arguments: &Arguments,
    began: Instant,
    sockets: Vec<Socket>,
    callees: Callees,
    stop: Arc<AtomicBool>,
) -> io::Result<Listening> {
    let arguments = arguments.clone();
    thread::Builder::new().name("callees".into()).spawn(move || {
        pin(arguments.uas_core);
        let mut turns = Turns::new(&arguments, began, sockets, 0)?;
        turns.callees = Some(callees);
        turns.listen_until(|_| stop.load(Ordering::Relaxed));
        let (drops, unsent) = (turns.drops(), turns.send.failed);
        Ok((turns.callees.map(|callees| callees.stats).unwrap_or_default(), drops, unsent))
    })
}

fn pin(core: Option<usize>) {
    sleep_exactly();
    if let Some(id) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
}

fn call(arguments: &Arguments, mut turns: Turns, other: Option<(Arc<AtomicBool>, Listening)>) -> Outcome {
    let longest_ms = arguments.timeout_ms * 2 + arguments.hold_ms + arguments.ring_ms + 1000;
    let grace = arguments.grace_ms.unwrap_or(longest_ms) * MS;
    if arguments.hold_open > 0 {
        let schedule = Schedule::new(Pace::Closed(arguments.hold_open_window), 0, arguments.hold_open, u64::MAX);
        turns.place_calls(schedule, true, u64::MAX, |_, _| {});
        turns.callers.iter_mut().for_each(Callers::reset_stats);
    }
    let pids = if arguments.descendants { cpu::with_descendants(&arguments.pid) } else { arguments.pid.clone() };
    let own = [std::process::id() as i32];
    let drops = || cpu::drops(arguments.proxy.into(), &pids);
    let before = (drops(), Cpu::of(&pids), Cpu::of(&own));
    let start = turns.now() + 1_000_000;
    let end = arguments.duration.map_or(u64::MAX, |seconds| start + (seconds * 1e9) as u64);
    let schedule = Schedule::new(arguments.pace(), start, arguments.calls.unwrap_or(u64::MAX), end);
    let give_up = if end == u64::MAX { u64::MAX } else { end + grace };
    let mut seconds = report::Seconds::new(arguments, start);
    turns.place_calls(schedule, false, give_up, |now, stats| seconds.line(now, stats));
    let elapsed = turns.now() - start;
    let after = (Cpu::of(&pids), Cpu::of(&own));
    let until = turns.now() + LINGER;
    turns.listen_until(|now| now >= until);
    let (mut own_drops, mut own_unsent) = (turns.drops(), turns.send.failed);
    let mut callees = turns.callees.take().map(|callees| callees.stats);
    if let Some((stop, listening)) = other {
        stop.store(true, Ordering::Relaxed);
        if let Ok(Ok((stats, drops, unsent))) = listening.join() {
            (callees, own_drops, own_unsent) = (Some(stats), own_drops + drops, own_unsent + unsent);
        }
    }
    // Invariant: `run` gave callers to the turns that call.
    let mut callers = turns.callers.take().expect("callers");
    callers.abandon();
    Outcome {
        held: callers.held,
        callers: callers.stats,
        callees: callees.unwrap_or_default(),
        elapsed,
        own_drops,
        own_unsent,
        drops: drops().saturating_sub(before.0),
        own: after.1.since(before.2),
        tested: (!pids.is_empty()).then(|| after.0.since(before.1)),
    }
}
