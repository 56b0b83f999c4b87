//! What scripts about responses, transactions, failover and dialogs have in common.

use super::world::*;
use siplane::dispatcher::{Admin, Algorithm, Health, SetId, SetSpec, Table};
use siplane::proxy::Settings;
use std::time::Duration;

/// The destination that gets every call first.
pub const FIRST: &str = DESTINATIONS[0];
pub const SECOND: &str = DESTINATIONS[1];
pub const THIRD: &str = DESTINATIONS[2];

/// How far a virtual clock with ticks may be off after a chain of timers, ms.
const TOLERANCE_MS: u64 = 60;

/// The first `count` destinations by priority, in a set with these changes.
pub fn dispatching(count: usize, change: impl FnOnce(&mut SetSpec)) -> World {
    let mut set = set(Algorithm::Priority, &DESTINATIONS[..count]);
    change(&mut set);
    World::with(settings(), vec![set], vec![])
}

/// One destination: there is no failover.
pub fn single() -> World {
    dispatching(1, |_| {})
}

/// `count` destinations behind a proxy with other settings.
pub fn configured(count: usize, change: impl FnOnce(&mut Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    World::with(settings, vec![set(Algorithm::Priority, &DESTINATIONS[..count])], vec![])
}

/// A call comes in: its 100 and the INVITE to the first destination are taken.
#[track_caller]
pub fn call(world: &mut World) -> Sent {
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100 Trying");
    world.sent(FIRST, "INVITE sip:b@example.com SIP/2.0")
}

/// The callee at `address` answers with this, and the caller gets it.
#[track_caller]
pub fn relayed(world: &mut World, address: &str, to: &Sent, status: &str) -> Sent {
    world.receive(address, answer(to, status, "to1", ""));
    world.sent(CALLER, &format!("SIP/2.0 {status}"))
}

/// The callee at `address` refuses: its final response is acknowledged on its own hop.
#[track_caller]
pub fn refused(world: &mut World, address: &str, to: &Sent, status: &str) {
    world.receive(address, answer(to, status, "to1", ""));
    assert_eq!(world.sent(address, "ACK").branch(), to.branch());
}

/// The first destination answers the call with 200 and the caller acknowledges it.
#[track_caller]
pub fn established(world: &mut World) -> Sent {
    let invite = call(world);
    relayed(world, FIRST, &invite, "200 OK");
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    invite
}

/// A request of the caller in the dialog that `invite` began and the answer with `tag` confirmed.
pub fn in_dialog(method: &str, branch: &str, invite: &Sent, tag: &str) -> String {
    let route = format!("Route: {}\r\n", invite.header("Record-Route"));
    let text = request(method, &format!("sip:b@{}", invite.to), branch, &route);
    text.replace("To: <sip:b@example.com>", &format!("To: <sip:b@example.com>;tag={tag}"))
}

/// A request of the callee in the same dialog.
pub fn from_callee(method: &str, branch: &str, invite: &Sent, tag: &str) -> String {
    let (callee, route) = (invite.to, invite.header("Record-Route"));
    format!(
        "{method} sip:a@198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {callee};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:b@example.com>;tag={tag}\r\nTo: \"A\" <sip:a@198.51.100.1>;tag=from1\r\n\
         Call-ID: call-1@198.51.100.1\r\nCSeq: 1 {method}\r\nRoute: {route}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The caller hangs up and the callee agrees.
#[track_caller]
pub fn hang_up(world: &mut World, invite: &Sent, tag: &str) {
    let callee = invite.to.to_string();
    world.receive(CALLER, in_dialog("BYE", &format!("bye{tag}"), invite, tag));
    let bye = world.sent(&callee, "BYE");
    world.receive(&callee, answer(&bye, "200 OK", tag, ""));
    world.sent(CALLER, "SIP/2.0 200");
}

/// The caller's CANCEL of [`invite`].
pub fn cancel() -> String {
    request("CANCEL", "sip:b@example.com", "inv", "")
}

/// The caller's ACK of a final response other than 2xx to [`invite`].
pub fn hop_ack(response: &Sent) -> String {
    let to = format!("To: {}", response.header("To"));
    request("ACK", "sip:b@example.com", "inv", "").replace("To: <sip:b@example.com>", &to)
}

/// The same request of another call.
pub fn other_call(request: &str) -> String {
    request.replace("call-1@", "call-2@").replace("branch=z9hG4bK", "branch=z9hG4bKother")
}

/// The final response `status` is the next thing that the caller gets, and it acknowledges it.
#[track_caller]
pub fn fails_with(world: &mut World, status: &str) -> Sent {
    let response = world.sent(CALLER, &format!("SIP/2.0 {status}"));
    world.receive(CALLER, hop_ack(&response));
    response
}

/// Everything sent until now went to `to` and begins with `line`; gives the times, ms.
#[track_caller]
pub fn times(world: &mut World, to: &str, line: &str) -> Vec<u64> {
    let count = world.sent.len();
    (0..count).map(|_| world.sent(to, line).at.as_millis() as u64).collect()
}

#[track_caller]
pub fn about(got: &[u64], wanted: &[u64]) {
    let near = |(got, wanted): (&u64, &u64)| *got >= *wanted && *got <= wanted + TOLERANCE_MS;
    assert!(got.len() == wanted.len() && got.iter().zip(wanted).all(near), "got {got:?}, wanted {wanted:?}");
}

pub fn set_health(world: &World, index: usize, health: Health) {
    let destination = &world.policy.table.set(SetId(1)).unwrap().destinations[index];
    world.policy.table.states().set_health(destination.state, health, world.now);
}

pub fn set_admin(world: &World, index: usize, admin: Admin) {
    let destination = &world.policy.table.set(SetId(1)).unwrap().destinations[index];
    world.policy.table.states().set_admin(destination.state, admin, world.now);
}

/// After 70 s, when every transaction has ended, the proxy has sent nothing more and holds nothing.
#[track_caller]
pub fn ends_clean(mut world: World) {
    world.wait(Duration::from_secs(70));
    world.nothing_left();
    let destinations = world.policy.table.set(SetId(1)).unwrap().destinations.len();
    assert_eq!((0..destinations).map(|index| world.load(index)).collect::<Vec<_>>(), vec![0; destinations], "load");
    let proxy = &world.proxy;
    assert_eq!((proxy.transactions(), proxy.pending_transactions()), (0, 0), "transactions");
    assert_eq!((proxy.dialogs(), proxy.stored_bytes()), (0, 0), "dialogs, stored bytes");
    assert_eq!(proxy.poll_timeout(), None, "a timer is left");
    assert_eq!(proxy.stats().bugs, 0);
}

/// The first destination goes, and THIRD comes and gets its place among the states: it is the only one of its set.
#[track_caller]
pub fn replace_first(world: &mut World, change: impl Fn(&mut SetSpec)) {
    let state = |world: &World| world.policy.table.sets()[0].destinations[0].state;
    let before = state(world);
    for address in [SECOND, THIRD] {
        let mut set = set(Algorithm::Priority, &[address]);
        change(&mut set);
        world.policy.table = Table::build(vec![set], Some((&world.policy.table, world.now))).unwrap();
    }
    assert_eq!(state(world), before, "another place");
}
