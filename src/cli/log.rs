//! Where the log goes.

use crate::config::{LogFormat, LogSettings};
use std::io::{self, IsTerminal};
use tracing::Subscriber;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts the log; the `RUST_LOG` variable, when set, says more exactly what is told.
///
/// # Errors
///
/// There is no journal to tell it to.
pub(super) fn start(settings: LogSettings) -> io::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(settings.level.as_str()));
    let told = layer(settings)?;
    // A second start of the log, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(told).try_init();
    Ok(())
}

fn layer<S>(settings: LogSettings) -> io::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = || fmt::layer().with_writer(io::stderr);
    Ok(match settings.format {
        LogFormat::Text if settings.timestamps => lines().with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Text => lines().with_ansi(io::stderr().is_terminal()).without_time().boxed(),
        LogFormat::Json => lines().json().flatten_event(true).boxed(),
        // Names of fields become SIPLANE_NAME, so that none is taken for one of systemd's.
        LogFormat::Journald => {
            let journal = tracing_journald::layer()?.with_syslog_identifier(String::from("siplane"));
            journal.with_field_prefix(Some(String::from("SIPLANE"))).boxed()
        }
    })
}
