//! null-forwarder: moves as many datagrams of the same sizes as a SIP proxy would, and reads none of them.
//!
//! It stands where the proxy would, between `siplane-load`'s callers and callees, and shows what the kernel alone costs: the floor
//! under every proxy on this machine.
//!
//! ```text
//! null-forwarder --listen 127.0.0.1:5060 --uas 127.0.0.1:6060 --core 0 --engine mmsg &
//! siplane-load --proxy 127.0.0.1:5060 --uas 127.0.0.1:6060 --through-null 90 --rate 5000 --duration 10 --core 1 --pid $!
//! ```
//!
//! What comes to the callers' side goes to the callee from a second socket, `--grow` bytes longer (the Via that a proxy adds); what
//! comes back goes to the caller that was last heard of, as many bytes shorter: `siplane-load --through-null` adds them, so that
//! nothing of the message is cut. A datagram of `--invite-bytes` or more from the callers draws a 100 besides: 6 datagrams come in
//! per call and 7 go out, as with siplane. One caller's socket, one callee, IPv4; it runs until it is stopped.

mod mmsg;
mod ring;
mod rule;
mod socket;

use clap::{Parser, ValueEnum};
use std::io;
use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::time::Duration;

/// Forwards datagrams between a caller and a callee, and reads none.
#[derive(Parser, Debug)]
#[command(name = "null-forwarder", version)]
struct Arguments {
    /// The callers' side: what siplane-load has as --proxy
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddrV4,
    /// The callee: what siplane-load has as --uas
    #[arg(long, value_name = "IP:PORT")]
    uas: SocketAddrV4,
    /// How datagrams are moved
    #[arg(long, value_enum, default_value = "mmsg")]
    engine: Engine,
    /// Core to run on
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Bytes that a request gains and a response loses
    #[arg(long, value_name = "BYTES", default_value_t = 90)]
    grow: usize,
    /// Bytes that an INVITE gains besides
    #[arg(long, value_name = "BYTES", default_value_t = 80)]
    grow_invite: usize,
    /// A request from this size on is an INVITE
    #[arg(long, value_name = "BYTES", default_value_t = 600)]
    invite_bytes: usize,
    /// Size of the 100 that an INVITE draws; 0: it draws none
    #[arg(long, value_name = "BYTES", default_value_t = 330)]
    trying_bytes: usize,
    /// Wait so long for more datagrams once there is one, µs
    #[arg(long, value_name = "US", default_value_t = 0)]
    gather_us: u64,
}

/// How datagrams are moved.
#[derive(Clone, Copy, ValueEnum, Debug)]
enum Engine {
    /// recvmmsg and sendmmsg
    Mmsg,
    /// io_uring
    Ring,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("null-forwarder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let sides = socket::Sides::open(arguments.listen, arguments.uas)?;
    let rule = rule::Rule {
        grow: arguments.grow,
        grow_invite: arguments.grow_invite,
        invite_bytes: arguments.invite_bytes,
        trying_bytes: arguments.trying_bytes,
    };
    if let Some(id) = arguments.core {
        core_affinity::set_for_current(core_affinity::CoreId { id });
    }
    let gather = Duration::from_micros(arguments.gather_us);
    match arguments.engine {
        Engine::Mmsg => mmsg::run(sides, rule, gather),
        Engine::Ring => ring::run(sides, rule, gather),
    }
}
