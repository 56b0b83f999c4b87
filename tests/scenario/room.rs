//! Destinations with bounds: `maxload` and calls per second, kept when a branch is sent, under any algorithm.

use super::more_b::*;
use super::world::*;
use std::time::Duration;

/// The call `number` comes in; gives where its INVITE goes, if anywhere.
fn place(world: &mut World, number: u32) -> Option<Sent> {
    let invite =
        invite().replace("call-1@", &format!("call-{number}@")).replace("z9hG4bKinv", &format!("z9hG4bKi{number}"));
    world.receive(CALLER, invite);
    let sent = world.sent.iter().find(|sent| sent.line().starts_with("INVITE")).cloned();
    if sent.is_some() {
        world.sent.clear();
    }
    sent
}

#[test]
fn a_call_beyond_maxload_goes_to_the_next_target() {
    let mut world = dispatching(2, |set| set.destinations[0].maxload = 2);
    let to: Vec<_> = (1..=3).map(|number| place(&mut world, number).unwrap().to.to_string()).collect();
    assert_eq!(to, [FIRST, FIRST, SECOND]);
    assert_eq!((world.load(0), world.load(1)), (2, 1));
}

#[test]
fn a_target_that_filled_up_after_selection_is_passed_over() {
    let mut world = dispatching(2, |set| set.destinations[1].maxload = 1);
    let first = call(&mut world);
    // Another shard fills the second one meanwhile.
    let state = world.policy.table.sets()[0].destinations[1].state;
    let token = world.policy.table.states().take_load(state);
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    fails_with(&mut world, "500");
    assert_eq!(world.proxy.stats().no_room, 0, "one was tried");
    world.policy.table.states().release(token);
    ends_clean(world);
}

#[test]
fn calls_per_second_are_kept_at_each_branch() {
    let mut world = dispatching(2, |set| {
        set.destinations[0].calls_per_second_max = 1;
        set.destinations[1].calls_per_second_max = 1;
        set.retry_after_s = 3;
    });
    assert_eq!(place(&mut world, 1).unwrap().to.to_string(), FIRST);
    assert_eq!(place(&mut world, 2).unwrap().to.to_string(), SECOND);
    assert!(place(&mut world, 3).is_none());
    let refusal = world.sent.pop_back().unwrap();
    assert!(refusal.line().starts_with("SIP/2.0 503"));
    assert_eq!(refusal.header("Retry-After"), "3");
    let stats = world.proxy.stats();
    assert_eq!(stats.no_room + stats.no_destination, 1);
    world.sent.clear();
    world.wait(Duration::from_millis(1_100));
    world.sent.clear();
    assert_eq!(place(&mut world, 4).unwrap().to.to_string(), FIRST);
}
