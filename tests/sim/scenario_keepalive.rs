//! Fixed scenarios: keepalives of calls.

use crate::callee::Reply;
use crate::clock::{ms, s};
use crate::dialog::{Act, Life};
use crate::network::Weather;
use crate::setup::{CALLERS, Setup};
use crate::world::{Operation, World};
use siplane::proxy::{Keepalive, Proxy, Stats};
use siplane::time::Instant;

const ANSWER: Reply = Reply::Answer { rings: true, after_ms: 300 };

fn keeping(destinations: usize) -> Setup {
    Setup { keepalive: Keepalive { interval: s(30), ..Keepalive::default() }, ..Setup::calm(destinations) }
}

impl World {
    fn sum(&self, field: fn(&Stats) -> u64) -> u64 {
        self.proxies.iter().map(|proxy| field(proxy.stats())).sum()
    }
}

#[test]
fn calls_that_talk_and_are_asked_go_on_and_every_request_is_in_order() {
    // RFC 3261 §12.2.2: nothing that the ends send each other is refused for a keepalive's CSeq number.
    let mut world = World::new(Setup { ipv6: true, ..keeping(2) });
    for number in 0..4 {
        let mut plan = world.call(number, ms(100 * number as u64), ANSWER);
        plan.edge = number % 2 == 1;
        let acts =
            |first: u64| (0..8).map(move |n| (s(first + 23 * n), if n % 3 == 1 { Act::ReInvite } else { Act::Info }));
        plan.acts = acts(5).chain([(s(300), Act::Bye)]).collect();
        for index in 0..2 {
            world.callee(index, &plan).acts = acts(11).collect();
        }
        world.place(number, plan);
    }
    world.run();
    assert!(world.sum(|stats| stats.keepalives) >= 4 * 2 * 8);
    assert_eq!((world.sum(|stats| stats.keepalive_failures), world.sum(|stats| stats.dialogs_ended)), (0, 4));
    assert_eq!(world.agents.iter().map(|agent| agent.out_of_order).sum::<u32>(), 0);
}

#[test]
fn the_calls_of_a_destination_that_vanishes_end_and_the_others_go_on() {
    let mut world = World::new(keeping(2));
    for number in 0..8 {
        let reply = if number % 2 == 0 { ANSWER } else { Reply::Refuse { code: 503, rings: false, after_ms: 0 } };
        let mut plan = world.call(number, ms(0), ANSWER);
        world.callee(0, &plan).reply = reply;
        plan.acts = vec![(s(600), Act::Bye)];
        world.place(number, plan);
    }
    world.operations.push((Instant::from_nanos(0) + s(100), Operation::Vanish(0)));
    world.run_for(s(100));
    assert_eq!(world.policy.table.states().total_load(), 8);
    // An interval, and 64*T1.
    world.run_for(s(30 + 32 + 1));
    assert_eq!((world.policy.table.states().total_load(), world.sum(|stats| stats.dialogs_dead)), (4, 4));
    assert_eq!(world.proxies.iter().map(Proxy::dialogs).sum::<usize>(), 4);
    let ended = world.agents[..CALLERS].iter().flat_map(|agent| &agent.dialogs).filter(|d| d.life == Life::Ended);
    assert_eq!(ended.count(), 4, "their callers got a BYE");
    world.run();
    assert_eq!(world.sum(|stats| stats.dialogs_ended), 4);
}

#[test]
fn a_lossy_network_ends_no_call() {
    // RFC 3261 §17.1.2.2: an OPTIONS is sent again until it is answered.
    let weather = Weather { loss: 30, duplicates: 5, detours: 5, jitter_ms: 40 };
    let mut world = World::new(Setup { weather, ..keeping(1) });
    for number in 0..6 {
        let mut plan = world.call(number, ms(0), ANSWER);
        plan.acts = vec![(s(400), Act::Bye)];
        world.place(number, plan);
    }
    world.run_for(s(390));
    assert!(world.sum(|stats| stats.keepalives) > 100);
    assert_eq!((world.sum(|stats| stats.dialogs_dead), world.policy.table.states().total_load()), (0, 6));
    world.run();
}
