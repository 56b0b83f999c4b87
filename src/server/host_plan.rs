//! What a config means to do on this machine, for [`crate::host::inspect`].

use super::{Cores, ServerError, engine, steering};
use crate::config::{Config, EngineWish, SteeringWish};
use crate::host::{Place, Plan, Trial};
use crate::shard::{self, EngineKind, Steering};
use std::net::{IpAddr, SocketAddr};

/// The cores, addresses and needs of `config`, and what the kernel says when its engine and steering are tried. Opens a loopback port for
/// a moment, and none of the config's.
///
/// # Errors
/// A core that is not there; no sockets, no descriptors.
pub fn host_plan(config: &Config) -> Result<Plan, ServerError> {
    let cores = Cores::choose(&config.shards, config.prober.core)?;
    let system = |what| move |error| ServerError::System(what, error);
    let interfaces = shard::interfaces().map_err(system("interfaces"))?;
    let place = |address: SocketAddr| Place { address, interfaces: carriers(address.ip(), &interfaces) };
    let (shards, listen) = (cores.shards.len() as u64, config.settings.listen.len() as u64);
    // An empty list of cores is no plan that a config can have.
    let first = cores.shards.first().copied().unwrap_or(cores.prober);
    let wish = (engine(config.io.engine), steering(config.io.steering));
    let tried = shard::try_out(first, cores.shards.len(), wish.0, wish.1).map_err(system("trial"))?;
    Ok(Plan {
        listen: config.settings.listen.iter().map(|listen| place(listen.address)).collect(),
        shards: cores.shards,
        prober: cores.prober,
        receive_buffer_bytes: shard::RECEIVE_BUFFER_BYTES as u64,
        send_buffer_bytes: shard::SEND_BUFFER_BYTES as u64,
        steering_bytes: shard::STEERING_BYTES,
        locked_bytes_min: shard::LOCKED_BYTES_MIN,
        locked_bytes_per_shard: shard::LOCKED_BYTES_PER_SHARD,
        // The prober sends by duplicates of the listen sockets; what is left is the log, the signals and the control side.
        descriptors: shards * (listen + shard::DESCRIPTORS_PER_SHARD) + listen + 64,
        busy_poll: config.io.busy_poll,
        trial: trial(config, tried),
    })
}

fn trial(config: &Config, tried: shard::Trial) -> Trial {
    let ring = tried.ring_refused.map(|error| (EngineKind::IoUring.name(), error));
    let ways = tried.steering_refused.into_iter().map(|(way, error)| (way.name(), error.to_string()));
    Trial {
        can_gather: tried.engine.as_ref().is_ok_and(|(_, can_gather)| *can_gather),
        engine: Some(tried.engine.map(|(kind, _)| kind.name())),
        is_engine_wished: config.io.engine != EngineWish::Auto,
        steering: Some(tried.steering.map(Steering::name).map_err(|error| error.to_string())),
        is_steering_wished: config.io.steering != SteeringWish::Auto,
        refused: ring.into_iter().chain(ways).collect(),
    }
}

/// The interfaces that bring datagrams for `ip`: all of its family for a wildcard address; every address of 127/8 is loopback's.
fn carriers(ip: IpAddr, interfaces: &[(String, IpAddr)]) -> Vec<String> {
    let is_of = |has: &IpAddr| match ip {
        _ if ip.is_unspecified() => has.is_ipv4() == ip.is_ipv4() && !has.is_loopback(),
        _ if ip.is_loopback() => has.is_loopback() && has.is_ipv4() == ip.is_ipv4(),
        _ => *has == ip,
    };
    let mut names: Vec<_> = interfaces.iter().filter(|(_, has)| is_of(has)).map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_carried_by_the_interface_that_has_it_and_a_wildcard_by_all() {
        let interfaces = [("lo", "127.0.0.1"), ("eth0", "192.0.2.1"), ("eth1", "192.0.2.2"), ("eth0", "2001:db8::1")]
            .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()));
        let carriers = |ip: &str| super::carriers(ip.parse().unwrap(), &interfaces);
        assert_eq!(carriers("192.0.2.2"), ["eth1"]);
        assert_eq!(carriers("0.0.0.0"), ["eth0", "eth1"]);
        assert_eq!(carriers("::"), ["eth0"]);
        assert_eq!(carriers("127.0.0.11"), ["lo"]);
        assert!(carriers("198.51.100.1").is_empty());
    }

    #[test]
    fn the_built_in_config_has_a_plan_for_this_machine() {
        let config = crate::config::parse(crate::config::BUILT_IN, "built-in config").unwrap();
        let plan = host_plan(&config).unwrap();
        assert!(!plan.shards.is_empty() && plan.listen[0].interfaces == ["lo"]);
        assert!(plan.trial.engine.unwrap().is_ok() && plan.trial.steering.unwrap().is_ok());
    }
}
