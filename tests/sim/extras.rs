//! What sets and destinations of a world have beyond the plain ones of `setup.rs`: overload control, bounds, sockets, tables to come.

use crate::callee::Reply;
use crate::clock::{ms, s};
use crate::reporter::Reporter;
use crate::rng::Rng;
use crate::setup::Setup;
use crate::world::{Operation, World};
use core::time::Duration;
use siplane::dispatcher::{
    Admin, Algorithm, DestinationSpec, HashInput, HashKind, HeaderName, Health, LoadChoice, LoadFrom, OutgoingSocket,
    OverloadBounds, Report, ReportSpec, SetId, SetSpec,
};
use siplane::time::Instant;

/// A destination in each table: `None` where it has none of it.
pub(crate) type Members = Vec<Option<DestinationSpec>>;

/// What differs from a plain world. The default is a plain one.
#[derive(Clone, Debug)]
pub(crate) struct Extras {
    /// What its sets have: all but what [`Setup`] says.
    pub(crate) shape: SetSpec,
    /// The tables, each by number of the destination; without any there is one, of plain destinations.
    pub(crate) tables: Vec<Members>,
    /// What destinations report of their overload, by number.
    pub(crate) reporters: Vec<Reporter>,
    /// The second set has no overload control.
    pub(crate) second_uncontrolled: bool,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            shape: SetSpec::new(SetId(1), Algorithm::Priority, Vec::new()),
            tables: Vec::new(),
            reporters: Vec::new(),
            second_uncontrolled: false,
        }
    }
}

/// Gives the world of `setup` more than its seed has chosen: a sequence of its own, so that the other choices stay.
pub(crate) fn widen(setup: &mut Setup) {
    let mut rng = Rng::new(setup.seed ^ 0x7769_6465);
    let rng = &mut rng;
    let mut members: Vec<_> = (0..setup.hosts.len()).map(|index| setup.destination(index)).collect();
    if rng.chance(25) {
        setup.algorithm = algorithm(rng);
    }
    match rng.below(100) {
        0..25 => overload(setup, rng, &mut members),
        25..50 => bounds(setup, rng, &mut members),
        _ => {}
    }
    if rng.chance(40) {
        members.iter_mut().for_each(|member| member.socket = socket(rng, member));
    }
    if rng.chance(if members.iter().any(|member| member.maxload > 0) { 60 } else { 20 }) {
        setup.extras.shape.slow_start = s(rng.between(2, 40));
    }
    for (index, member) in members.iter_mut().enumerate() {
        member.last_resort = rng.chance(12);
        member.inactive = rng.chance(4);
        (member.cc, member.latency) = (rng.chance(40), ms(rng.pick(&[0, 0, 5, 80])));
        member.weight = if rng.chance(10) { 0 } else { member.weight };
        if setup.algorithm == Algorithm::Latency {
            // Ranks come before times: most of one rank, so that times decide.
            member.priority = rng.pick(&[0, 0, 0, 40, 100]);
        }
        member.attrs = if rng.chance(70) { format!("n={index};x=\"a b\"") } else { String::new() };
    }
    if rng.chance(25) {
        setup.extras.shape.attrs_header = HeaderName::new("X-Attrs");
    }
    if rng.chance(25) {
        setup.extras.shape.rewrite_uri = true;
        members.iter_mut().for_each(|member| member.uri.push_str(";x=1"));
    }
    let publishes = if rng.chance(35) { rng.between(1, 5) } else { 0 };
    setup.table_changes |= publishes > 0;
    setup.extras.tables = (0..=publishes).map(|_| table(rng, &members, publishes > 0)).collect();
}

fn algorithm(rng: &mut Rng) -> Algorithm {
    let header = HeaderName::new("X-Untouched").expect("a name");
    rng.pick(&[
        Algorithm::Latency,
        Algorithm::RelativeWeight,
        Algorithm::CallLoad(LoadChoice::Exact),
        Algorithm::CallLoad(LoadChoice::TwoChoices),
        Algorithm::Srv,
        Algorithm::RoundRobinOrPriority,
        Algorithm::Hash(HashInput::FromUri, HashKind::Legacy),
        Algorithm::Hash(HashInput::Header(header), HashKind::Consistent),
        Algorithm::Hash(HashInput::AuthUser, HashKind::Consistent),
    ])
}

fn overload(setup: &mut Setup, rng: &mut Rng, members: &mut [DestinationSpec]) {
    setup.extras.shape.overload_control = true;
    if rng.chance(20) {
        setup.algorithm = Algorithm::RoundRobinOverload;
    }
    setup.extras.second_uncontrolled = rng.chance(50);
    setup.extras.reporters = members.iter().map(|_| Reporter::random(rng)).collect();
    for member in members {
        if rng.chance(70) {
            continue;
        }
        let (ocmin, ocmax) = (rng.below(30) as u8, rng.between(60, 100) as u8);
        member.overload = OverloadBounds { ocmin, ocmax, ocrate: rng.pick(&[0, 0, 25, 100]) };
    }
}

fn bounds(setup: &mut Setup, rng: &mut Rng, members: &mut [DestinationSpec]) {
    for member in members.iter_mut() {
        member.maxload = if rng.chance(60) { rng.between(1, 6) as u32 } else { 0 };
        member.calls_per_second_max = if rng.chance(40) { rng.between(1, 9) as u32 } else { 0 };
    }
    if rng.chance(60) {
        setup.algorithm = Algorithm::CallLoad(rng.pick(&[LoadChoice::Exact, LoadChoice::TwoChoices]));
        setup.extras.shape.report = ReportSpec {
            load_from: rng.pick(&[LoadFrom::Calls, LoadFrom::Reported, LoadFrom::Both]),
            max_age: s(rng.between(2, 15)),
            bounds: rng.chance(80),
            ..ReportSpec::default()
        };
    }
}

/// One of those listen addresses that have its family, or none of its own.
fn socket(rng: &mut Rng, member: &DestinationSpec) -> Option<OutgoingSocket> {
    let number =
        if member.address.is_ipv4() { rng.pick(&[None, Some(0), Some(1)]) } else { rng.pick(&[None, Some(2)]) };
    number.map(|number| OutgoingSocket { number, name: format!("s{number}") })
}

/// A table of these, some of them changed and some left out.
fn table(rng: &mut Rng, members: &[DestinationSpec], changes: bool) -> Members {
    let mut member = |member: &DestinationSpec| {
        let mut member = member.clone();
        if !changes {
            return Some(member);
        }
        member.weight = rng.pick(&[0, 1, 2, 10, member.weight]);
        member.priority = rng.pick(&[member.priority, member.priority, 3, -3]);
        member.maxload = if member.maxload > 0 { rng.between(1, 6) as u32 } else { 0 };
        if rng.chance(20) {
            member.socket = socket(rng, &member);
        }
        member.disabled = rng.chance(10);
        rng.chance(75).then_some(member)
    };
    members.iter().map(&mut member).collect()
}

/// Calls that come close together, where there is room for few: they get in each other's way. How many there are.
pub(crate) fn crowd(world: &mut World, from: usize) -> usize {
    let mut rng = Rng::new(world.setup.seed ^ 0x6372_6f77);
    let rng = &mut rng;
    let bounded = |member: &DestinationSpec| member.maxload > 0 || member.calls_per_second_max > 0;
    let mut members = world.setup.extras.tables.iter().flatten().flatten();
    let few = world.setup.extras.shape.overload_control || members.any(bounded);
    let count = if few && rng.chance(60) { rng.between(10, 40) as usize } else { 0 };
    let (start, spread) = (rng.below(10_000), rng.between(300, 6000));
    for number in from..from + count {
        let plan = world.call(number, ms(start + rng.below(spread)), Reply::Silent);
        for index in 0..world.setup.hosts.len() {
            world.callee(index, &plan).reply = match rng.below(3) {
                0 => Reply::Answer { rings: rng.chance(50), after_ms: rng.below(1500) },
                1 => Reply::Refuse { code: 486, rings: false, after_ms: rng.below(300) },
                _ => Reply::Refuse { code: 500, rings: false, after_ms: rng.below(900) },
            };
        }
        world.place(number, plan);
    }
    count
}

/// Plans what operators, probes and destinations do besides calls.
pub(crate) fn operate(world: &mut World) {
    let mut rng = Rng::new(world.setup.seed ^ 0x6f70_6572);
    let rng = &mut rng;
    let (hosts, tables) = (world.setup.hosts.len() as u64, world.setup.extras.tables.len());
    for table in 1..tables {
        push(world, ms(table as u64 * 3000 + rng.below(20_000)), Operation::Publish(table));
    }
    if world.setup.table_changes {
        for _ in 0..rng.below(8) {
            let (at, index) = (ms(rng.below(30_000)), rng.below(hosts) as usize);
            let health = rng.pick(&[Health::Active, Health::Active, Health::Trying, Health::Inactive]);
            push(world, at, Operation::Judge(index, health));
            if rng.chance(40) {
                let lasts = ms(rng.between(500, 9000));
                push(world, at, Operation::Eject(index, lasts));
                push(world, at + lasts, Operation::Readmit(index));
            }
            if rng.chance(40) {
                push(world, at + ms(rng.below(9000)), Operation::Admin(index, Admin::Enabled));
            }
        }
    }
    for _ in 0..rng.below(20) {
        let (at, index) = (ms(rng.below(60_000)), rng.below(hosts) as usize);
        push(world, at, Operation::Probed(index, ms(rng.below(300))));
    }
    if world.setup.extras.shape.report != ReportSpec::default() {
        for _ in 0..40 {
            let (at, index) = (ms(rng.below(60_000)), rng.below(hosts) as usize);
            push(world, at, Operation::Reported(index, report(rng)));
        }
    }
    world.operations.sort_by_key(|operation| operation.0);
}

fn report(rng: &mut Rng) -> Report {
    let capacity = rng.chance(70).then(|| rng.between(1, 6) as u32);
    let in_use_permille = (capacity.is_none() || rng.chance(50)).then(|| rng.below(1001) as u16);
    Report { in_use_permille, capacity }
}

fn push(world: &mut World, after: Duration, operation: Operation) {
    world.operations.push((Instant::from_nanos(0) + after, operation));
}
