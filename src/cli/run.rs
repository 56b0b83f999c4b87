//! `siplane run`.

use super::{check, log};
use crate::server::{Server, ServerError, Service, Shutdown, Snapshot};
use core::time::Duration;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;

/// Takes calls until SIGTERM or SIGINT ends it; SIGHUP has it reload its config.
pub(super) fn run(named: Option<PathBuf>) -> ExitCode {
    let (config, name) = match check::read(named) {
        Ok(read) => read,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = log::start(config.log) {
        eprintln!("siplane: {name}: log.format = \"journald\": {error}");
        return ExitCode::FAILURE;
    }
    tracing::info!(config = %name, "starting");
    for warning in config.warnings.iter() {
        tracing::warn!(%warning, "config");
    }
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| ServerError::System("signals", error));
    match signals.and_then(|signals| serve(config, signals)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("siplane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: crate::config::Config, mut signals: Signals) -> Result<(), ServerError> {
    let server = Server::start(config)?;
    let mut service = Service::ready(&server);
    loop {
        let pending: Vec<i32> = signals.pending().collect();
        if pending.iter().any(ends) {
            break;
        }
        if !pending.is_empty() {
            server.reload();
        }
        server.check()?;
        service.look();
        std::thread::sleep(Duration::from_millis(50));
    }
    tracing::info!("stopping: no new calls, running transactions finish");
    service.stopping();
    let (shutdown, total) = server.shut_down(|| {
        service.look();
        signals.pending().any(|signal| ends(&signal))
    });
    if let Shutdown::CutOff(left) = shutdown {
        tracing::warn!(transactions = left, "transactions were left unfinished");
    }
    tell(&total);
    Ok(())
}

/// SIGHUP asks for a reload; the others for the end.
const fn ends(signal: &i32) -> bool {
    *signal != SIGHUP
}

/// What happened since the start: every counter that is not zero.
fn tell(total: &Snapshot) {
    let calls = &total.proxy;
    let (placed, answered, failed) = (calls.calls, calls.calls_answered, calls.calls_failed);
    tracing::info!(
        calls = placed,
        answered,
        failed,
        failovers = calls.failovers,
        dialogs = total.levels.dialogs,
        "stopped"
    );
    for (name, value) in total.counters().filter(|(_, value)| *value > 0) {
        tracing::debug!(name, value, "counted");
    }
}
