//! `siplane ctl`: a running siplane is looked at and told what to do, over its unix stream socket.
//!
//! # Policy
//!
//! - Every command is one or two methods of the control side; what people read is made here from the result that programs get with
//!   `--json`.
//! - The exit status is 0 when it is done, 1 when siplane says no or it did not come about, 2 when nobody answers or the command line
//!   makes no sense, 130 after Ctrl-C.
//! - Faults are siplane's own words: they tell what was found and what there is instead.

mod change;
pub(super) mod client;
mod drain;
pub(super) mod events;
mod generic;
mod look;
mod output;
pub(super) mod sets;
mod span;
pub(super) mod table;

use super::DEFAULT_CONFIG;
use crate::config;
use client::{Client, Failure, Outcome};
use output::Output;
use serde_json::json;
use sets::Named;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the socket is when nothing says otherwise.
const DEFAULT_SOCKET: &str = "/run/siplane/ctl.sock";

/// What `siplane ctl` is told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Sets are named by number or name, destinations by URI or duid.

Examples:
  siplane ctl list                                  every set, every destination: state, calls, why
  siplane ctl show bridges sip:192.0.2.11:5060      all that is known of one
  siplane ctl drain bridges gw1 --wait --deadline 20m && systemctl restart bridge@gw1
  siplane ctl drain bridges gw1 --undo
  siplane ctl disable 1 sip:192.0.2.11:5060         no calls and no probes until it is enabled
  siplane ctl set bridges gw1 weight=5 maxload=200  until the next reload
  siplane ctl reload --dry-run                      what a reload would change
  siplane ctl events --follow
  siplane ctl --json list | jq '.[].destinations[] | select(.available | not)'
  siplane ctl rpc dispatcher.set_state ap 1 sip:192.0.2.11:5060

Exit status: 0 done, 1 refused or not come about, 2 nobody answers or bad usage, 130 interrupted.")]
pub(super) struct CtlArguments {
    /// The control socket [default: that of the config file, else /run/siplane/ctl.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The config file that names the socket [default: /etc/siplane/siplane.toml]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// For programs: the method's result as JSON, exactly
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Show sets and their destinations: state and why, calls and how many they may have
    List {
        /// Only this one, by number or name
        set: Option<String>,
    },
    /// Show all that is known of one destination
    Show(Named),
    /// Send a destination no new calls; those it has go on. With --wait until they are over
    #[command(after_help = "\
A drain lasts until it is taken back (--undo, enable): over reloads, and with [control] state_file over restarts.
Ctrl-C while waiting leaves it on.")]
    Drain(drain::DrainArguments),
    /// Send a destination neither new calls nor probes; those calls that it has go on
    Disable(Named),
    /// Take back a drain or a disable
    Enable(Named),
    /// Mark a destination, or all of a set, as Kamailio's set_state does
    SetState {
        #[command(flatten)]
        named: Named,
        /// The state
        state: change::State,
        /// Mark it for probing, too
        #[arg(long)]
        probe: bool,
    },
    /// Change weight, rweight, maxload, priority, calls_per_second_max or attrs until the next reload
    Set {
        #[command(flatten)]
        named: Named,
        /// What to change
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = change::pair)]
        pairs: Vec<(String, String)>,
    },
    /// Add a destination until the next reload
    Add(change::AddArguments),
    /// Remove a destination, all with its URI, until the next reload; its calls go on
    Remove(Named),
    /// Put the config file in force again, without touching a call; tells what changed
    Reload {
        /// Only tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Go back to the config before the last reload
    Rollback,
    /// Show Kamailio's hash of one text or two
    Hash {
        /// How many slots there are
        slots: u32,
        /// What is hashed
        value: String,
        /// And what with it
        second: Option<String>,
    },
    /// Tell what would become of a request, and why (nothing is sent); or what became of the last calls
    Explain {
        /// The request [default: standard input]
        file: Option<PathBuf>,
        /// Where it would come from
        #[arg(long, value_name = "ADDRESS[:PORT]")]
        source: Option<String>,
        /// The last so many calls that are remembered, one in every decisions_every
        #[arg(long, value_name = "COUNT", conflicts_with_all = ["file", "source"])]
        last: Option<u64>,
    },
    /// Show the calls there are, or those of one destination
    Calls {
        /// SET DESTINATION: only those that are its load
        #[arg(num_args = 0..=2, value_names = ["SET", "DESTINATION"])]
        of: Vec<String>,
        /// How many at most
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Those behind this one of an earlier answer
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
    },
    /// Show what has happened: destinations, operators, reloads, alarms
    Events(events::EventsArguments),
    /// Show counters: all, those of a GROUP:, or those named
    Stats {
        /// Which
        names: Vec<String>,
    },
    /// Ask whether siplane is alive
    Ping,
    /// Show all methods, or what one does and takes
    Methods {
        /// Which
        method: Option<String>,
    },
    /// Call any method; arguments are JSON where they can be, else text; one object alone names them
    Rpc {
        /// Its name
        method: String,
        /// What it takes
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        arguments: Vec<String>,
    },
}

/// Does it; the exit status tells what came of it.
pub(super) fn run(arguments: &CtlArguments) -> ExitCode {
    match socket(arguments.socket.as_deref(), arguments.config.as_deref()).and_then(|socket| obey(&socket, arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell("ctl"),
    }
}

/// The socket that was named, else that of the config, else the usual one.
pub(super) fn socket(named: Option<&Path>, config: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(socket) = named {
        return Ok(socket.to_owned());
    }
    let usual = || PathBuf::from(DEFAULT_SOCKET);
    match config {
        Some(file) => {
            let socket = config::control_socket(file).map_err(|problems| Failure::Usage(problems.to_string()))?;
            let none = || format!("{}: no [control] socket: siplane cannot be asked", file.display());
            socket.ok_or_else(|| Failure::Usage(none()))
        }
        // One that is being edited must not keep an operator from looking.
        None => Ok(config::control_socket(Path::new(DEFAULT_CONFIG)).ok().flatten().unwrap_or_else(usual)),
    }
}

fn obey(socket: &Path, arguments: &CtlArguments) -> Outcome<()> {
    let out = Output::new(arguments.json);
    let client = &mut Client::connect(socket)?;
    match &arguments.command {
        Command::List { set } => look::list(client, out, set.as_deref()),
        Command::Show(named) => look::show(client, out, named),
        Command::Drain(arguments) => drain::run(client, out, arguments),
        Command::Disable(named) => change::say(client, out, "dispatcher.disable", named),
        Command::Enable(named) => change::say(client, out, "dispatcher.enable", named),
        Command::SetState { named, state, probe } => change::set_state(client, out, named, *state, *probe),
        Command::Set { named, pairs } => change::modify(client, out, named, pairs),
        Command::Add(arguments) => change::add(client, out, arguments),
        Command::Remove(named) => change::remove(client, out, named),
        Command::Reload { dry_run: false } => change::config(client, out, "config.apply"),
        Command::Reload { dry_run: true } => change::config(client, out, "config.diff"),
        Command::Rollback => change::config(client, out, "config.rollback"),
        Command::Hash { slots, value, second } => look::hash(client, out, *slots, value, second.as_deref()),
        Command::Explain { last: Some(last), .. } => {
            look::generically(client, out, "dispatcher.decisions", json!([last]))
        }
        Command::Explain { file, source, .. } => look::explain(client, out, file.as_deref(), source.as_deref()),
        Command::Calls { of, limit, after } => look::calls(client, out, of, *limit, after.as_deref()),
        Command::Events(arguments) => events::run(client, out, arguments),
        Command::Stats { names } => look::stats(client, out, names),
        Command::Ping => look::ping(client, out),
        Command::Methods { method } => look::methods(client, out, method.as_deref()),
        Command::Rpc { method, arguments } => look::generically(client, out, method, look::params(arguments)),
    }
}
