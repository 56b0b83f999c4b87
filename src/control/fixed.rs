//! What is fixed at start: what a reload refuses, and what it leaves as it is and says so.
//!
//! `listen` is refused, because tables hold the numbers of its sockets: with other ones calls would leave by the wrong address. All
//! else that is fixed stays as it was at start, the rest of the file takes effect, and the answer and the log name each such key.

use super::Fault;
use crate::config::Config;
use crate::proxy::Settings;

/// `next` with what is fixed as it is in `running`, and the keys that differ there.
///
/// # Errors
/// The listen addresses differ.
pub(super) fn keep(running: &Config, next: Config) -> Result<(Config, Vec<&'static str>), Fault> {
    if running.settings.listen != next.settings.listen {
        let (found, allowed) = (listed(&next), listed(running));
        let file = next.path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default();
        let detail = format!("{file}listen: found {found}, allowed: {allowed}; other addresses need a restart");
        return Err(Fault::refused(detail, "Reload Failed"));
    }
    let keys = differing(running, &next);
    let Config { settings, shards, io, shutdown_timeout, log, control, .. } = running.clone();
    let core = running.prober.core;
    let mut kept = Config { settings, shards, io, shutdown_timeout, log, control, ..next };
    kept.prober.core = core;
    Ok((kept, keys))
}

fn listed(config: &Config) -> String {
    let addresses = config.settings.listen.iter().map(|listen| match listen.name.as_str() {
        "" => format!("\"udp:{}\" as {}", listen.address, listen.advertised),
        name => format!("\"udp:{}\" as {}, name \"{name}\"", listen.address, listen.advertised),
    });
    addresses.collect::<Vec<_>>().join(" and ")
}

/// The keys that take effect at start alone, and differ.
fn differing(running: &Config, next: &Config) -> Vec<&'static str> {
    let Settings {
        listen: _,
        aliases,
        timers,
        dialog,
        keepalive,
        unrouted,
        preloaded_route,
        server,
        transactions_max,
        transactions_ready,
        dialogs_max,
        stored_bytes_max,
        dialog_details,
        decisions_every,
        // Bounds that no key sets.
        keepalives_unanswered_max: _,
        timers_per_turn: _,
    } = &running.settings;
    let other = &next.settings;
    let keys = [
        ("aliases", *aliases != other.aliases),
        ("timers", *timers != other.timers),
        ("dialog", *dialog != other.dialog || *keepalive != other.keepalive || *dialog_details != other.dialog_details),
        ("decisions_every", *decisions_every != other.decisions_every),
        ("unrouted", *unrouted != other.unrouted),
        ("preloaded_route", *preloaded_route != other.preloaded_route),
        ("server_header", *server != other.server),
        ("transactions_max", *transactions_max != other.transactions_max),
        ("transactions_ready", *transactions_ready != other.transactions_ready),
        ("dialogs_max", *dialogs_max != other.dialogs_max),
        ("stored_bytes_max", *stored_bytes_max != other.stored_bytes_max),
        ("shards", running.shards != next.shards),
        ("io", running.io != next.io),
        ("prober.core", running.prober.core != next.prober.core),
        ("shutdown_timeout_s", running.shutdown_timeout != next.shutdown_timeout),
        ("log", running.log != next.log),
        ("control", running.control != next.control),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn with(text: &str) -> Config {
        let sets = "[[set]]\nid = 1\ndestinations = [\"sip:127.0.0.11\"]\n";
        config::parse(&format!("{text}\n{sets}"), "f").unwrap()
    }

    #[test]
    fn other_listen_addresses_are_refused_with_both() {
        let running = with("listen = [\"udp:127.0.0.1:5060\"]");
        for text in ["[\"udp:127.0.0.1:5070\"]", "[{ address = \"udp:127.0.0.1\", name = \"a\" }]"] {
            let fault = keep(&running, with(&format!("listen = {text}"))).unwrap_err();
            assert!(fault.detail.starts_with("listen: found \"udp:127.0.0.1:50"), "{}", fault.detail);
            assert!(fault.detail.contains("allowed: \"udp:127.0.0.1:5060\" as 127.0.0.1:5060;"), "{}", fault.detail);
        }
    }

    #[test]
    fn every_other_fixed_key_stays_and_is_named() {
        let listen = "listen = [\"udp:127.0.0.1:5060\"]";
        let running = with(listen);
        for (text, key) in [
            ("aliases = [\"a.example\"]", "aliases"),
            ("[timers]\nt1_ms = 400", "timers"),
            ("[dialog]\nconfirmed_timeout_s = 60", "dialog"),
            ("[dialog]\nkeepalive_interval_s = 60", "dialog"),
            ("[dialog]\ndetails = true", "dialog"),
            ("decisions_every = 7", "decisions_every"),
            ("unrouted = 403", "unrouted"),
            ("preloaded_route = \"reject\"", "preloaded_route"),
            ("server_header = \"x\"", "server_header"),
            ("transactions_max = 1000", "transactions_max"),
            ("transactions_ready = 1000", "transactions_ready"),
            ("dialogs_max = 1000", "dialogs_max"),
            ("stored_bytes_max = 100000000", "stored_bytes_max"),
            ("shards = 1", "shards"),
            ("[io]\nbusy_poll = true", "io"),
            ("[prober]\ncore = 0", "prober.core"),
            ("shutdown_timeout_s = 1", "shutdown_timeout_s"),
            ("[log]\nlevel = \"debug\"", "log"),
            ("[control]\nsocket = \"/x\"", "control"),
        ] {
            let (kept, keys) = keep(&running, with(&format!("{listen}\n{text}"))).unwrap();
            assert_eq!(keys, [key], "{text}");
            assert_eq!(kept, running, "{text}");
        }
    }

    #[test]
    fn all_else_follows() {
        let listen = "listen = [\"udp:127.0.0.1:5060\"]";
        let (kept, keys) = keep(&with(listen), with(&format!("{listen}\n[prober]\ninterval_ms = 700"))).unwrap();
        assert!(keys.is_empty());
        assert_eq!(kept.prober.interval.as_millis(), 700);
    }
}
