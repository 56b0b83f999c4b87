//! `siplane ctl drain`: no new calls for a destination, and waiting until those that it has are over.

use super::client::{Client, Failure, NOT_FOUND, Outcome};
use super::output::Output;
use super::sets::{Named, ago};
use serde_json::{Value as Json, json};
use signal_hook::consts::SIGINT;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// From one look at the calls to the next.
const LOOK: Duration = Duration::from_millis(500);
/// How soon Ctrl-C is seen.
const NAP: Duration = Duration::from_millis(50);
/// From one line to the next where nothing can be drawn over.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How far back the rate of fall looks.
const RATE_OVER: Duration = Duration::from_secs(60);
/// Looks in a row that must find no call: a call may have chosen the destination just before the drain began.
const EMPTY_LOOKS: u32 = 2;

/// What to drain, and how long to wait.
#[derive(clap::Args, Debug)]
pub(super) struct DrainArguments {
    #[command(flatten)]
    named: Named,
    /// Wait until its last call is over: exit status 0
    #[arg(long, conflicts_with = "undo")]
    wait: bool,
    /// Wait no longer than this (90s, 20m, 1h30m): exit status 1, and the drain stays on
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = super::span::parse)]
    deadline: Option<Duration>,
    /// Take the drain back: it gets new calls again
    #[arg(long)]
    undo: bool,
}

pub(super) fn run(client: &mut Client, out: Output, arguments: &DrainArguments) -> Outcome<()> {
    let params = arguments.named.params(client)?;
    if arguments.undo {
        return undo(client, out, &arguments.named, params);
    }
    // From here on Ctrl-C does not end the program in the middle of a line.
    let interrupted = Arc::new(AtomicBool::new(false));
    if arguments.wait {
        signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))
            .map_err(|error| Failure::NotDone(format!("Ctrl-C cannot be caught: {error}")))?;
    }
    let drained = client.call("dispatcher.drain", params)?;
    if !arguments.wait {
        return out.show(&drained, said);
    }
    // By its duid from now on: it is unique.
    let params = json!([drained["set"], drained["duid"]]);
    let (set, uri) = (drained["set"].to_string(), drained["uri"].as_str().unwrap_or_default().to_owned());
    let deadline = arguments.deadline.map(|time| Instant::now() + time);
    Waiting { client, out, params, name: format!("{uri} of set {set}"), deadline, interrupted: &interrupted }.wait()
}

fn said(drained: &Json) -> String {
    let (uri, set, calls) = (drained["uri"].as_str().unwrap_or_default(), &drained["set"], &drained["calls"]);
    format!("{uri} of set {set} is draining: no new calls, {calls} go on\n")
}

fn undo(client: &mut Client, out: Output, named: &Named, params: Json) -> Outcome<()> {
    let known = client.call("dispatcher.get", params.clone())?;
    if known["admin"] != "draining" {
        let (name, admin) = (&named.destination, known["admin"].as_str().unwrap_or_default());
        return Err(Failure::NotDone(format!("{name} is not draining, but {admin}")));
    }
    let enabled = client.call("dispatcher.enable", params)?;
    out.show(&enabled, |enabled| {
        let (uri, set) = (enabled["uri"].as_str().unwrap_or_default(), &enabled["set"]);
        format!("{uri} of set {set} gets new calls again\n")
    })
}

struct Waiting<'a> {
    client: &'a mut Client,
    out: Output,
    params: Json,
    name: String,
    deadline: Option<Instant>,
    interrupted: &'a AtomicBool,
}

impl Waiting<'_> {
    fn wait(mut self) -> Outcome<()> {
        let start = Instant::now();
        let (mut fall, mut empty) = (Fall::default(), 0);
        let mut told_at: Option<Instant> = None;
        loop {
            let known = self.look()?;
            if let Some(known) = &known {
                let calls = known["calls"].as_u64().unwrap_or_default();
                fall.saw(start.elapsed(), calls);
                empty = if calls == 0 { empty + 1 } else { 0 };
                if empty >= EMPTY_LOOKS {
                    return self.drained(known, start.elapsed());
                }
            }
            if self.out.terminal || told_at.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
                told_at = Some(Instant::now());
                self.progress(known.and(fall.last()), &fall)?;
            }
            self.rest(fall.last())?;
        }
    }

    /// What is known of it; none while siplane restarts, which a drain outlives with a state file.
    fn look(&mut self) -> Outcome<Option<Json>> {
        let known = match self.client.call("dispatcher.get", self.params.clone()) {
            Err(Failure::Unreachable(_)) => {
                // The next look tells whether somebody is there again.
                let _ = self.client.reconnect();
                return Ok(None);
            }
            Err(Failure::Fault { code: NOT_FOUND, message }) => {
                let name = &self.name;
                return Err(Failure::NotDone(format!("{name} is gone from the config, its calls go on: {message}")));
            }
            known => known?,
        };
        if known["admin"] != "draining" {
            let (name, admin) = (&self.name, known["admin"].as_str().unwrap_or_default());
            return Err(Failure::NotDone(format!("{name} is no longer draining: somebody said {admin}")));
        }
        Ok(Some(known))
    }

    /// Tells how many calls are left; none: nobody answers.
    fn progress(&self, calls: Option<u64>, fall: &Fall) -> Outcome<()> {
        if self.out.json {
            return Ok(());
        }
        let state = match calls {
            None => String::from("siplane does not answer, and is waited for"),
            Some(calls) => match fall.left(calls) {
                Some(left) => format!("{calls} calls left, some {} to go at this rate", ago(left.as_secs().max(1))),
                None => format!("{calls} calls left, too early to say how long"),
            },
        };
        let text = format!("{}: {state}", self.name);
        if self.out.terminal { self.out.text(&format!("\r{text}\x1b[K")) } else { self.out.line(&text) }
    }

    /// Sleeps until the next look; the deadline or Ctrl-C ends it.
    fn rest(&self, calls: Option<u64>) -> Outcome<()> {
        let end = Instant::now() + LOOK;
        while Instant::now() < end {
            let left = calls.map_or_else(|| String::from("an unknown number of"), |calls| calls.to_string());
            if self.interrupted.load(Ordering::Relaxed) {
                self.end_line()?;
                return Err(Failure::Interrupted(format!(
                    "interrupted; {} goes on draining, {left} calls left: drain --undo takes it back",
                    self.name
                )));
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.end_line()?;
                let name = &self.name;
                return Err(Failure::NotDone(format!(
                    "the deadline has come with {left} calls left; {name} goes on draining"
                )));
            }
            thread::sleep(NAP);
        }
        Ok(())
    }

    fn drained(&self, known: &Json, took: Duration) -> Outcome<()> {
        self.end_line()?;
        let name = &self.name;
        self.out.show(known, |_| format!("{name} is drained after {}: no calls left\n", ago(took.as_secs())))
    }

    fn end_line(&self) -> Outcome<()> {
        if self.out.terminal && !self.out.json { self.out.text("\r\x1b[K") } else { Ok(()) }
    }
}

/// How the number of calls falls.
#[derive(Debug, Default)]
struct Fall(VecDeque<(Duration, u64)>);

impl Fall {
    fn saw(&mut self, at: Duration, calls: u64) {
        self.0.push_back((at, calls));
        while self.0.len() > 2 && self.0[1].0 + RATE_OVER <= at {
            self.0.pop_front();
        }
    }

    fn last(&self) -> Option<u64> {
        self.0.back().map(|(_, calls)| *calls)
    }

    /// How long `calls` take to end at the rate of the last minute; none while none has ended.
    fn left(&self, calls: u64) -> Option<Duration> {
        let ((from, before), (to, now)) = (*self.0.front()?, *self.0.back()?);
        let ended = before.checked_sub(now).filter(|ended| *ended > 0)?;
        Some((to - from).mul_f64(calls as f64 / ended as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_goes_by_the_rate_of_the_last_minute() {
        let second = Duration::from_secs;
        let mut fall = Fall::default();
        assert_eq!((fall.last(), fall.left(10)), (None, None));
        fall.saw(second(0), 1_000);
        assert_eq!(fall.left(1_000), None);
        fall.saw(second(10), 900);
        assert_eq!((fall.last(), fall.left(900)), (Some(900), Some(second(90))));
        // A slow end is known a minute later.
        for at in (20..=200).step_by(10) {
            fall.saw(second(at), 900 - at / 10);
        }
        assert_eq!(fall.left(60), Some(second(600)));
    }

    #[test]
    fn what_does_not_fall_has_no_estimate() {
        let mut fall = Fall::default();
        fall.saw(Duration::ZERO, 5);
        fall.saw(Duration::from_secs(5), 5);
        assert_eq!(fall.left(5), None);
        fall.saw(Duration::from_secs(6), 7);
        assert_eq!(fall.left(7), None);
    }
}
