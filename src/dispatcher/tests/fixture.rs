//! One set to select from, for tests.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    Admin, Algorithm, Destination, DestinationId, DestinationSpec, HashInput, HashKind, Health, Input, LoadChoice,
    Random, Set, SetId, SetSpec, States, Table, Targets,
};
use crate::limits::TARGETS_MAX;
use crate::time::Instant;

/// Every algorithm that there is.
pub(super) const ALGORITHMS: [Algorithm; 14] = [
    Algorithm::RoundRobin,
    Algorithm::RoundRobinOverload,
    Algorithm::Random,
    Algorithm::Priority,
    Algorithm::Parallel,
    Algorithm::Weight,
    Algorithm::RelativeWeight,
    Algorithm::CallLoad(LoadChoice::Exact),
    Algorithm::CallLoad(LoadChoice::TwoChoices),
    Algorithm::Latency,
    Algorithm::RoundRobinOrPriority,
    Algorithm::Srv,
    Algorithm::Hash(HashInput::CallId, HashKind::Consistent),
    Algorithm::Hash(HashInput::FromUri, HashKind::Legacy),
];

const NOW: Instant = Instant::from_nanos(1);

/// A destination without duid at port 5000 + `number`.
pub(super) fn destination(number: usize, weight: u32) -> DestinationSpec {
    let port = 5_000 + u16::try_from(number).unwrap();
    DestinationSpec {
        weight,
        ..DestinationSpec::new(format!("sip:192.0.2.1:{port}"), SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port)))
    }
}

/// A set of `destinations` with a limit of all targets that there may be.
pub(super) fn set(id: u32, algorithm: Algorithm, destinations: Vec<DestinationSpec>) -> SetSpec {
    SetSpec { destinations, failover_limit: TARGETS_MAX, ..SetSpec::new(SetId(id), algorithm, Vec::new()) }
}

/// How often each of `count` positions occurs.
pub(super) fn tally(positions: &[usize], count: usize) -> Vec<usize> {
    let mut counts = vec![0; count];
    positions.iter().for_each(|position| counts[*position] += 1);
    counts
}

/// A table with set 1, and a random sequence.
pub(super) struct Bench {
    table: Table,
    random: Random,
    /// When requests come and things change.
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn new(algorithm: Algorithm, weights: &[u32]) -> Self {
        Self::with_limit(algorithm, weights, TARGETS_MAX, 1)
    }

    pub(super) fn with_limit(algorithm: Algorithm, weights: &[u32], failover_limit: usize, seed: u64) -> Self {
        let destinations = weights.iter().enumerate().map(|(number, weight)| destination(number, *weight));
        Self::of(SetSpec { failover_limit, ..set(1, algorithm, destinations.collect()) }, seed)
    }

    pub(super) fn with_rweights(weights: &[u32]) -> Self {
        let destinations = weights.iter().enumerate();
        let destinations =
            destinations.map(|(number, rweight)| DestinationSpec { rweight: *rweight, ..destination(number, 1) });
        Self::of(set(1, Algorithm::RelativeWeight, destinations.collect()), 1)
    }

    pub(super) fn with_priorities(algorithm: Algorithm, priorities: &[i32]) -> Self {
        let destinations = priorities.iter().enumerate();
        let destinations =
            destinations.map(|(number, priority)| DestinationSpec { priority: *priority, ..destination(number, 1) });
        Self::of(set(1, algorithm, destinations.collect()), 1)
    }

    pub(super) fn of(spec: SetSpec, seed: u64) -> Self {
        Self { table: Table::build(vec![spec], None).unwrap(), random: Random::new(seed), now: NOW }
    }

    /// Another table takes over.
    pub(super) fn reload(&mut self, spec: SetSpec) {
        self.table = Table::build(vec![spec], Some((&self.table, self.now))).unwrap();
    }

    pub(super) fn set(&self) -> &Set {
        self.table.set(SetId(1)).unwrap()
    }

    pub(super) fn states(&self) -> &States {
        self.table.states()
    }

    pub(super) fn destination(&self, position: usize) -> &Destination {
        &self.set().destinations[position]
    }

    /// The positions that one request tries.
    pub(super) fn select(&mut self, hash_key: &[u8]) -> Vec<usize> {
        self.select_uri(hash_key, b"")
    }

    pub(super) fn select_uri(&mut self, hash_key: &[u8], hash_host: &[u8]) -> Vec<usize> {
        let mut targets = Targets::new();
        let set = self.table.set(SetId(1)).unwrap();
        let input = Input { hash_key, hash_host, ..Input::at(self.now) };
        set.select(self.table.states(), &input, &mut self.random, &mut targets);
        targets.iter().map(|target| self.position(*target)).collect()
    }

    /// The first target of a request on any shard.
    pub(super) fn first(&self) -> usize {
        let mut targets = Targets::new();
        self.set().select(self.states(), &Input::at(self.now), &mut Random::new(1), &mut targets);
        self.position(targets[0])
    }

    pub(super) fn position(&self, id: DestinationId) -> usize {
        self.set().destinations.iter().position(|destination| destination.id == id).unwrap()
    }

    pub(super) fn set_available(&self, position: usize, available: bool) {
        self.set_health(position, if available { Health::Active } else { Health::Inactive });
    }

    pub(super) fn set_health(&self, position: usize, health: Health) {
        self.states().set_health(self.set().destinations[position].state, health, self.now);
    }

    pub(super) fn set_admin(&self, position: usize, admin: Admin) {
        self.states().set_admin(self.set().destinations[position].state, admin, self.now);
    }
}
