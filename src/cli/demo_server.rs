//! siplane as `siplane demo` runs it: the built-in config, with probes often enough to see them work.

use super::demo::{self, DemoServer, DestinationView, Snapshot};
use super::log;
use crate::config::{self, LogLevel, LogSettings};
use crate::server::Server;
use core::time::Duration;
use std::process::ExitCode;

/// From probe to probe; the built-in config has none.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Longest wait for a probe's answer.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

/// Runs the demo; the exit status is 0 only if no call was lost.
pub(super) fn run() -> ExitCode {
    // Lines of text always have somewhere to go.
    let _ = log::start(LogSettings { level: LogLevel::Warn, ..LogSettings::default() });
    demo::run(|| start(config::BUILT_IN))
}

fn start(text: &str) -> Result<Running, String> {
    let mut config = config::parse(text, "built-in config").map_err(|problems| problems.to_string())?;
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
                state: states.health(destination.state).name().to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use demo::Plan;
    use std::net::{SocketAddr, UdpSocket};

    /// State and load of the failing destination, line by line of what the demo shows.
    fn shown(text: &str, uri: &str) -> Vec<(String, u64)> {
        let column = |line: &str| {
            let mut words = line.split(uri).nth(1)?.split_whitespace();
            let (state, counts) = (words.next()?, words.next()?);
            Some((state.to_owned(), counts.rsplit('/').next()?.parse().ok()?))
        };
        text.lines().filter_map(column).collect()
    }

    #[test]
    fn the_demo_shows_a_destination_lose_its_health_and_its_calls_and_get_them_back() {
        let free = |host| {
            let socket = UdpSocket::bind(SocketAddr::from(([127, 60, 3, host], 0))).unwrap();
            socket.local_addr().unwrap()
        };
        let [proxy, destinations @ ..] = [1, 11, 12, 13].map(free);
        let addresses = [("127.0.0.1:5060", proxy)].into_iter();
        let addresses =
            addresses.chain(["127.0.0.11:5060", "127.0.0.12:5060", "127.0.0.13:5060"].into_iter().zip(destinations));
        let text = addresses
            .fold(String::from(config::BUILT_IN), |text, (built_in, own)| text.replace(built_in, &own.to_string()));
        let plan =
            Plan { proxy, destinations: destinations.to_vec(), placing: Duration::from_secs(8), ..Plan::default() };
        let mut out = Vec::new();
        let outcome = demo::play(&plan, || start(&text), &mut out, false).unwrap();
        assert_eq!((outcome.report.placed, outcome.report.lost()), (400, 0), "{:?}", outcome.report.faults);
        let out = String::from_utf8(out).unwrap();
        let shown = shown(&out, &format!("sip:{}", destinations[plan.failing]));
        let is =
            |state: &str, loaded: bool| shown.iter().position(|(known, load)| known == state && (*load > 0) == loaded);
        let (before, out_of_order) = (is("active", true), is("inactive", false));
        assert!(before.is_some() && before < out_of_order, "{out}");
        let after = shown.iter().rposition(|(state, load)| state == "active" && *load > 0);
        assert!(after > out_of_order, "{out}");
        // The last line: all calls are over.
        assert_eq!(shown.last(), Some(&(String::from("active"), 0)), "{out}");
    }
}
