//! The command line: what was typed becomes a call of the server.

mod check;
mod convert;
mod ctl;
pub mod demo;
mod demo_server;
mod host;
mod log;
#[cfg(test)]
mod man;
mod run;
mod top;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the config is looked for when no file is named.
const DEFAULT_CONFIG: &str = "/etc/siplane/siplane.toml";

/// siplane: a SIP dispatcher.
///
/// It stands between carriers and media servers, SBCs or voice bridges, picks a destination for every new call, fails over when that
/// one cannot take it, and keeps the rest of the call on its path.
#[derive(Parser, Debug)]
#[command(
    name = "siplane",
    version,
    after_help = "\
Examples:
  siplane demo                                   see it work, on this machine alone
  siplane check --config /etc/siplane/siplane.toml
  siplane check --host                           what to tune on this machine, and how
  siplane run --config /etc/siplane/siplane.toml
  siplane convert /etc/kamailio/dispatcher.list > siplane.toml
  siplane ctl list                               what the running one does; siplane ctl --help tells more
  siplane top                                    watch the running one; siplane top --help tells more

Signals: SIGTERM or SIGINT lets running transactions finish (shutdown_timeout_s), a second one ends at once. SIGHUP has the config
read again, without touching a call: what is wrong with it is in the log, and siplane ctl reload tells it."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Take calls until SIGTERM or SIGINT.
    Run(ConfigArgument),
    /// Read the config and tell every problem at once; exit status 1 if it cannot be used.
    Check {
        #[command(flatten)]
        config: ConfigArgument,
        /// Look at this machine, too, as the user and with the limits that siplane will have: governor, interrupts, buffers, isolation,
        /// what the kernel allows; each finding with its cure. Exit status 1 as well if there is a warning among them
        #[arg(long)]
        host: bool,
    },
    /// Print the config that means what a dispatcher.list of Kamailio means; what was odd in it becomes comments.
    Convert {
        /// The list, like /etc/kamailio/dispatcher.list
        #[arg(value_name = "LIST")]
        list: PathBuf,
    },
    /// Look at a running siplane, and tell it what to do.
    Ctl(ctl::CtlArguments),
    /// Watch a running siplane in the terminal: sets, destinations, rates, load, latency; drain, enable and disable by a key.
    Top(top::TopArguments),
    /// Take real calls from a built-in caller to three built-in destinations for some 15 s, one of which fails half-way.
    Demo,
}

#[derive(clap::Args, Debug)]
struct ConfigArgument {
    /// Config file [default: /etc/siplane/siplane.toml if it is there, else the built-in one, which config/siplane.toml shows]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(ConfigArgument { config }) => run::run(config),
        Command::Check { config: ConfigArgument { config }, host } => check::check(config, host),
        Command::Convert { list } => convert::convert(&list),
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Demo => demo_server::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn convert_takes_one_list() {
        let parsed = |words: &[&str]| Arguments::try_parse_from(words).map(|arguments| arguments.command);
        let command = parsed(&["siplane", "convert", "dispatcher.list"]);
        assert!(matches!(command, Ok(Command::Convert { list }) if list == std::path::Path::new("dispatcher.list")));
        assert!(parsed(&["siplane", "convert"]).is_err());
        assert!(parsed(&["siplane", "convert", "a", "b"]).is_err());
    }
}
