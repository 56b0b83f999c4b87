//! `siplane top`: a live view of a running siplane in a terminal, over its unix stream socket.
//!
//! # Policy
//!
//! - A thread talks with siplane (`link`); the view never waits for it. All that is shown is in one `model::Model`, which what comes from
//!   siplane and from the keyboard changes, and of which a frame is drawn.
//! - Rates are differences of two answers. A name, not a line, is what is selected and what is said of: rows move.
//! - What is said to siplane was confirmed by a yes; nothing is kept for a time when the connection is back.
//! - The terminal is as it was before, however it ends.

mod keys;
mod link;
mod model;
mod overview;
mod rates;
#[cfg(test)]
mod sample;
mod screen;
mod view;

use super::ctl;
use super::ctl::client::{Failure, Outcome};
use keys::Asked;
use link::Link;
use model::Model;
use ratatui::crossterm::event::{self, Event};
use screen::Screen;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest time until a signal or an answer is noticed.
const TICK: Duration = Duration::from_millis(50);

/// How much longer than an interval siplane may say nothing until the user is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `siplane top` is told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Keys: up and down select, tab goes from sets to destinations, s sorts, / filters, d drains, e enables, x disables (each asks first),
p pauses, ? tells all of them, q quits.

Exit status: 0 done, 1 refused, 2 nobody answers, or there is no terminal, 128 and more ended by a signal.")]
pub(super) struct TopArguments {
    /// The control socket [default: that of the config file, else /run/siplane/ctl.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The config file that names the socket [default: /etc/siplane/siplane.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Time from look to look, milliseconds
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval_ms: u64,
    /// Print one frame as plain text, after one interval, and end; needs no terminal
    #[arg(long)]
    once: bool,
    /// Columns of that frame; fewer than 160 leave some out
    #[arg(long, value_name = "NUMBER", default_value_t = 160, requires = "once", value_parser = clap::value_parser!(u16).range(60..=500))]
    width: u16,
}

/// Shows it; the exit status tells what came of it.
pub(super) fn run(arguments: &TopArguments) -> ExitCode {
    let interval = Duration::from_millis(arguments.interval_ms);
    let (socket, config) = (arguments.socket.as_deref(), arguments.config.as_deref());
    let done = ctl::socket(socket, config).and_then(|socket| match arguments.once {
        true => once(&socket, interval, arguments.width),
        false => live(socket, interval).map_err(|error| Failure::Usage(error.to_string())),
    });
    done.unwrap_or_else(|failure| failure.tell("top"))
}

fn once(socket: &Path, interval: Duration, width: u16) -> Outcome<ExitCode> {
    let mut model = Model::default();
    link::two_looks(socket, interval)?.into_iter().for_each(|said| model.hear(said));
    // Who does not read it to the end has seen enough.
    let _ = io::stdout().write_all(view::plain(&model, width).as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn live(socket: PathBuf, interval: Duration) -> io::Result<ExitCode> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(io::Error::other("this is no terminal; --once prints one frame"));
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT])?;
    let link = link::start(socket, interval)?;
    let mut screen = Screen::open()?;
    let shown = show(&mut screen, &link, interval + PATIENCE, || signals.pending().next());
    // First the terminal, then what is told on it.
    drop(screen);
    Ok(shown?.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))))
}

/// Draws what changes until the user or a signal ends it; which signal.
fn show(
    screen: &mut Screen,
    link: &Link,
    patience: Duration,
    mut signal: impl FnMut() -> Option<i32>,
) -> io::Result<Option<i32>> {
    let mut model = Model::default();
    let (mut changed, mut heard) = (true, Instant::now());
    loop {
        if let Some(signal) = signal() {
            return Ok(Some(signal));
        }
        if core::mem::take(&mut changed) {
            screen.draw(&model)?;
        }
        match typed(&mut model, link)? {
            Some(Asked::Quit) => return Ok(None),
            typed => changed |= typed.is_some(),
        }
        for said in link.said.try_iter() {
            (heard, changed) = (Instant::now(), true);
            model.hear(said);
        }
        let silent_s = Some(heard.elapsed()).filter(|silent| *silent > patience).map(|silent| silent.as_secs());
        changed |= silent_s != core::mem::replace(&mut model.silent_s, silent_s);
    }
}

/// Waits for keys, and does all of them that are there at once: a key held down must not outrun the view. `None` when there was nothing.
fn typed(model: &mut Model, link: &Link) -> io::Result<Option<Asked>> {
    let (mut wait, mut any) = (TICK, None);
    while event::poll(wait)? {
        wait = Duration::ZERO;
        any = Some(Asked::Nothing);
        // Another size of the terminal is something, too.
        let Event::Key(key) = event::read()? else { continue };
        match keys::press(model, key) {
            Asked::Nothing => {}
            Asked::Quit => return Ok(Some(Asked::Quit)),
            Asked::Say(wish) => drop(link.wishes.send(wish)),
        }
    }
    Ok(any)
}
