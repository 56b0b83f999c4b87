//! siplane as `siplane demo` runs it: the built-in config, with probes often enough to see them work.

use super::demo::{self, DemoServer, DestinationView, Snapshot};
use super::run::start_log;
use crate::config::{self, LogLevel};
use crate::dispatcher::{Health, States};
use crate::server::Server;
use core::time::Duration;
use std::process::ExitCode;

/// From probe to probe; the built-in config has none.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Longest wait for a probe's answer.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// Runs the demo; the exit status is 0 only if no call was lost.
pub(super) fn run() -> ExitCode {
    start_log(LogLevel::Warn);
    demo::run(start)
}

fn start() -> Result<Running, String> {
    let mut config = config::parse(config::BUILT_IN, "built-in config").map_err(|problems| problems.to_string())?;
    config.prober.interval = PROBE_INTERVAL;
    config.prober.timeout = PROBE_TIMEOUT;
    Server::start(config).map(Running).map_err(|error| error.to_string())
}

struct Running(Server);

impl DemoServer for Running {
    fn snapshot(&self) -> Snapshot {
        let (total, policy) = (self.0.snapshot(), self.0.policy());
        let destinations = policy.table.sets().iter().flat_map(|set| &set.destinations);
        let view = |destination: &crate::dispatcher::Destination| {
            let states = policy.table.states();
            let counters = states.counters(destination.state);
            DestinationView {
                uri: destination.uri.clone(),
                state: health(states, destination.state),
                selected: counters.selected,
                answered: counters.answered,
                load: states.load(destination.state),
                estimate: Some(states.latency(destination.state)).filter(|it| it.count > 0).map(|it| it.estimate),
                response_time: states.response_time(destination.state),
            }
        };
        Snapshot {
            calls: total.proxy.calls,
            failovers: total.proxy.failovers,
            transactions: total.levels.transactions,
            dialogs: total.levels.dialogs,
            destinations: destinations.map(view).collect(),
        }
    }

    fn stop(self) {
        // The last transactions only wait for retransmissions that do not come.
        let _ = self.0.shut_down(|| false);
    }
}

fn health(states: &States, state: crate::dispatcher::StateIndex) -> String {
    let word = match states.health(state) {
        Health::Active => "active",
        Health::Trying => "trying",
        Health::Inactive => "inactive",
    };
    String::from(word)
}
