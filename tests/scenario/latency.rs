//! Latency: what of a real call tells how fast a destination is, and how many of its answers are still out.

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::Algorithm;
use std::time::Duration;

fn fastest_first(count: usize) -> World {
    dispatching(count, |set| set.algorithm = Algorithm::Latency)
}

/// INVITEs without an answer, calls, and the response time in ms of each destination.
fn known(world: &World) -> Vec<(u64, u64, Option<u128>)> {
    let (states, set) = (world.policy.table.states(), &world.policy.table.sets()[0]);
    let of =
        |state| (states.pending(state), states.load(state), states.response_time(state).map(|time| time.as_millis()));
    set.destinations.iter().map(|destination| of(destination.state)).collect()
}

/// Another call: its 100, and the INVITE to whoever gets it.
#[track_caller]
fn place(world: &mut World, number: u32, address: &str) -> Sent {
    let text = request("INVITE", "sip:b@example.com", &format!("inv{number}"), "");
    world.receive(CALLER, text.replace("call-1@", &format!("call-{number}@")));
    world.sent(CALLER, "SIP/2.0 100");
    world.sent(address, "INVITE")
}

#[test]
fn an_invite_is_waited_for_until_any_response_and_that_tells_how_fast_its_destination_is() {
    let mut world = fastest_first(2);
    let first = place(&mut world, 1, FIRST);
    assert_eq!(known(&world), [(1, 1, None), (0, 0, None)]);
    // Nothing is known of either: the second is tried, since the first has an answer out.
    let second = place(&mut world, 2, SECOND);
    world.wait(Duration::from_millis(40));
    world.receive(SECOND, answer(&second, "100 Trying", "to2", ""));
    world.wait(Duration::from_millis(160));
    relayed(&mut world, FIRST, &first, "180 Ringing");
    let after = known(&world);
    assert_eq!((after[0].0, after[0].1, after[1].0, after[1].1), (0, 1, 0, 1));
    let (slow, fast) = (after[0].2.unwrap(), after[1].2.unwrap());
    assert!((190..=260).contains(&slow) && (30..=100).contains(&fast), "{after:?}");
    // The fast one next, although it has as many calls.
    let third = place(&mut world, 3, SECOND);
    refused(&mut world, SECOND, &third, "486 Busy Here");
    fails_with(&mut world, "486");
    let last = known(&world);
    assert_eq!((last[1].0, last[1].1), (0, 1), "a final response alone ends the wait, too");
}

#[test]
fn who_does_not_answer_is_waited_for_no_longer_than_its_branch_lives_and_counts_as_slow() {
    let mut world = fastest_first(2);
    let _silent = place(&mut world, 1, FIRST);
    world.wait_ms(2_100);
    let next = world.sent.iter().find(|sent| sent.to == SECOND.parse().unwrap()).expect("failover").clone();
    assert_eq!(known(&world)[0].2, Some(1_000));
    world.receive(SECOND, answer(&next, "200 OK", "to1", ""));
    world.wait(Duration::from_secs(70));
    let after = known(&world);
    assert_eq!((after[0].0, after[0].1, after[1].0), (0, 0, 0), "{after:?}");
}
