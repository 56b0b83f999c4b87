//! The doors of the control side on real sockets, with the real clients.

mod bounds;
mod browser;
mod clients;
mod ctl;
mod ctl_drain;
mod ctl_events;
mod ctl_hook;
mod ctl_look;
mod database;
mod datagram;
mod dispatcher;
mod fifo;
mod gone;
mod http;
mod http_tls;
mod inspect;
mod kamcmd;
mod live_dispatcher;
mod live_kamailio;
mod log;
mod many;
mod metrics;
mod page;
mod page_browser;
mod places;
#[path = "../kamailio/process.rs"]
mod process;
#[path = "../loopback/program.rs"]
mod program;
mod reload;
mod servers;
mod stream;
mod top;

use program::Siplane;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place for a socket of this test, short enough for `sun_path` (107 bytes).
pub fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("siplane-{}-{name}.sock", std::process::id()))
}

/// A siplane at a port of 127.62.`host`.1 with `[control]` as given, and one set of two destinations that are not there.
pub fn start(host: u8, control: &str) -> Siplane {
    Siplane::start(SocketAddr::from(([127, 62, host, 1], 0)), |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 1\nshutdown_timeout_s = 1\n\n[log]\nlevel = \"info\"\n\n[control]\n{control}\n\n\
             [[set]]\nid = 1\nname = \"bridges\"\nalgorithm = \"round-robin\"\n\
             destinations = [\"sip:127.62.{host}.11:5060\", \"sip:127.62.{host}.12:5060\"]\n"
        )
    })
}
