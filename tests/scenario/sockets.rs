//! Destinations with a socket of their own: what leaves by which (RFC 3261 §16.6 items 4 and 8, RFC 5658 §6).
//!
//! Socket 0 is 192.0.2.1:5060, 1 is [2001:db8::1]:5060, 2 is 192.0.2.1:5070.

use super::more_a::in_dialog;
use super::more_b::FIRST;
use super::world::*;
use siplane::dispatcher::{Algorithm, DestinationSpec, OutgoingSocket, SetSpec, Table};
use siplane::proxy::Settings;

const OTHER: &str = "192.0.2.1:5070";
const SIX: &str = "[2001:db8::99]:5060";

/// Calls in order of priority to these addresses, each by this socket.
fn sockets_world(destinations: &[(&str, Option<u8>)]) -> World {
    let mut settings: Settings = settings();
    settings.listen.push(listen(OTHER));
    let addresses: Vec<_> = destinations.iter().map(|(address, _)| *address).collect();
    let mut set = SetSpec { failover_limit: 5, ..set(Algorithm::Priority, &addresses) };
    for (spec, (_, number)) in set.destinations.iter_mut().zip(destinations) {
        let socket = |number| OutgoingSocket { number, name: format!("number {number}") };
        *spec = DestinationSpec { socket: number.map(socket), ..spec.clone() };
    }
    World::with(settings, vec![set], vec![])
}

fn shows(sent: &Sent, socket: u8, own: &str) {
    assert_eq!(sent.socket, socket, "{}", sent.text);
    assert!(sent.header("Via").starts_with(&format!("SIP/2.0/UDP {own};branch=")), "{}", sent.text);
}

/// The caller's INVITE, as it goes to `to`.
fn invited(world: &mut World, to: &str) -> Sent {
    world.receive(CALLER, invite());
    assert_eq!(world.sent(CALLER, "SIP/2.0 100").socket, 0);
    world.sent(to, "INVITE")
}

fn route(values: &[&str]) -> String {
    values.iter().map(|value| format!("Route: {value}\r\n")).collect()
}

/// A whole call to `to` by `socket`, which messages show as `own`: what each side sends leaves by the other side's socket.
fn whole_call(to: &str, socket: u8, own: &str) {
    let mut world = sockets_world(&[(to, Some(socket))]);
    let invite = invited(&mut world, to);
    shows(&invite, socket, own);
    // RFC 3261 §16.6 item 4: a value for each side, the far one on top.
    let records: Vec<String> = invite.all("Record-Route").into_iter().map(str::to_owned).collect();
    let [far, near] = &records[..] else { panic!("{}", invite.text) };
    assert!(far.starts_with(&format!("<sip:{own};lr;r2=on;did=")), "{far}");
    assert!(near.starts_with("<sip:192.0.2.1:5060;lr;r2=on;did="), "{near}");

    let contact = format!("Contact: <sip:b@{to}>\r\n");
    world.receive_on(socket, to, answer(&invite, "180 Ringing", "to1", &contact));
    assert_eq!(world.sent(CALLER, "SIP/2.0 180").socket, 0);
    world.receive_on(socket, to, answer(&invite, "200 OK", "to1", &contact));
    assert_eq!(world.sent(CALLER, "SIP/2.0 200").socket, 0);

    // The caller has the route the other way round (RFC 3261 §12.1.2).
    let by_caller = route(&[near, far]);
    world.receive(CALLER, in_dialog("ACK", &format!("sip:b@{to}"), &by_caller));
    let ack = world.sent(to, "ACK");
    shows(&ack, socket, own);
    assert!(ack.all("Route").is_empty(), "{}", ack.text);
    assert_eq!(world.load(0), 1);

    // The callee's requests come in on the destination's socket and leave by the caller's.
    world.receive_on(socket, to, in_dialog("INFO", "sip:a@198.51.100.1:5060", &route(&[far, near])));
    let info = world.sent(CALLER, "INFO");
    shows(&info, 0, "192.0.2.1:5060");
    assert!(info.all("Route").is_empty(), "{}", info.text);
    world.receive(CALLER, answer(&info, "200 OK", "", ""));
    assert_eq!(world.sent(to, "SIP/2.0 200").socket, socket);

    world.receive(CALLER, in_dialog("BYE", &format!("sip:b@{to}"), &by_caller));
    let bye = world.sent(to, "BYE");
    shows(&bye, socket, own);
    world.receive_on(socket, to, answer(&bye, "200 OK", "", ""));
    assert_eq!(world.sent(CALLER, "SIP/2.0 200").socket, 0);
    assert_eq!(world.load(0), 0);
    world.nothing_left();
}

#[test]
fn a_whole_call_to_a_destination_with_another_socket_of_the_same_family_keeps_to_its_sockets() {
    whole_call(DESTINATIONS[0], 2, OTHER);
}

#[test]
fn a_whole_call_from_ipv4_to_ipv6_keeps_to_its_sockets() {
    whole_call(SIX, 1, "[2001:db8::1]:5060");
}

#[test]
fn a_call_that_came_in_on_the_destinations_socket_has_one_record_route() {
    let mut world = sockets_world(&[(DESTINATIONS[0], Some(2))]);
    world.receive_on(2, CALLER, invite());
    assert_eq!(world.sent(CALLER, "SIP/2.0 100").socket, 2);
    let invite = world.sent(DESTINATIONS[0], "INVITE");
    shows(&invite, 2, OTHER);
    let records = invite.all("Record-Route");
    assert!(records.len() == 1 && !records[0].contains("r2=on"), "{}", invite.text);
}

#[test]
fn failover_goes_from_socket_to_socket_and_also_to_the_same_address_by_another_one() {
    let [first, second, _] = DESTINATIONS;
    let mut world =
        sockets_world(&[(first, Some(2)), (first, Some(0)), (first, Some(2)), (SIX, Some(1)), (second, None)]);
    let mut sent = invited(&mut world, first);
    shows(&sent, 2, OTHER);
    // RFC 3261 §17.1.1.3: the ACK to a refusal leaves by the socket of the branch. The third destination is the first one again.
    for (at, (to, socket, own)) in
        [(first, 0, "192.0.2.1:5060"), (SIX, 1, "[2001:db8::1]:5060"), (second, 0, "192.0.2.1:5060")]
            .into_iter()
            .enumerate()
    {
        let (from, by) = (sent.to.to_string(), sent.socket);
        world.receive_on(by, &from, answer(&sent, "503 Service Unavailable", "x", ""));
        let ack = world.sent(&from, "ACK");
        assert_eq!((ack.socket, ack.header("Via")), (by, sent.header("Via")));
        sent = world.sent(to, "INVITE");
        shows(&sent, socket, own);
        assert_eq!(sent.all("Record-Route").len(), [1, 2, 1][at], "{}", sent.text);
    }
    world.receive_on(0, second, answer(&sent, "486 Busy Here", "x", ""));
    world.sent(second, "ACK");
    let refusal = world.sent(CALLER, "SIP/2.0 486");
    assert_eq!(refusal.socket, 0);
    world.nothing_left();
}

// RFC 3261 §9.1, §17.1.1.2: what belongs to a branch leaves by its socket: retransmissions, CANCEL, and the ACK of the 487.
#[test]
fn retransmissions_and_cancel_leave_by_the_socket_of_the_invite() {
    let to = DESTINATIONS[0];
    let mut world = sockets_world(&[(to, Some(2))]);
    let invite = invited(&mut world, to);
    world.wait_ms(600);
    let again = world.sent(to, "INVITE");
    assert_eq!((again.socket, &again.text), (2, &invite.text));
    world.receive_on(2, to, answer(&invite, "180 Ringing", "to1", ""));
    world.sent(CALLER, "SIP/2.0 180");
    world.receive(CALLER, request("CANCEL", "sip:b@example.com", "inv", ""));
    assert_eq!(world.sent(CALLER, "SIP/2.0 200").socket, 0);
    let cancel = world.sent(to, "CANCEL");
    assert_eq!((cancel.socket, cancel.header("Via")), (2, invite.header("Via")));
    world.receive_on(2, to, answer(&cancel, "200 OK", "to1", ""));
    world.receive_on(2, to, answer(&invite, "487 Request Terminated", "to1", ""));
    assert_eq!(world.sent(to, "ACK").socket, 2);
    assert_eq!(world.sent(CALLER, "SIP/2.0 487").socket, 0);
    world.nothing_left();
}

// RFC 3261 §16.10: nothing is known of its INVITE, which may have left by this socket.
#[test]
fn a_cancel_without_its_invite_is_passed_on_by_the_destinations_socket() {
    let mut world = sockets_world(&[(DESTINATIONS[0], Some(2))]);
    world.receive(CALLER, request("CANCEL", "sip:b@example.com", "inv", ""));
    shows(&world.sent(DESTINATIONS[0], "CANCEL"), 2, OTHER);
    world.nothing_left();
}

#[test]
fn requests_without_a_dialog_leave_by_the_destinations_socket_too() {
    let mut world = sockets_world(&[(DESTINATIONS[0], Some(2))]);
    world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
    let sent = world.sent(DESTINATIONS[0], "MESSAGE");
    shows(&sent, 2, OTHER);
    world.receive_on(2, DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
    assert_eq!(world.sent(CALLER, "SIP/2.0 200").socket, 0);
    world.nothing_left();
}

#[test]
fn a_new_table_moves_new_calls_to_another_socket_and_leaves_calls_alone() {
    let to = DESTINATIONS[0];
    let mut world = sockets_world(&[(to, Some(2))]);
    let first = invited(&mut world, to);
    let specs = vec![set(Algorithm::Priority, &[to])];
    world.policy.table = Table::build(specs, Some((&world.policy.table, world.now))).unwrap();
    world.wait_ms(600);
    assert_eq!(world.sent(to, "INVITE").socket, first.socket);
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv2", "").replace("call-1@", "call-2@"));
    world.sent(CALLER, "SIP/2.0 100");
    shows(&world.sent(to, "INVITE"), 0, "192.0.2.1:5060");
}

// RFC 3261 §18.2.2, §16.11: what answers a CANCEL that went on without state leaves by the socket that the CANCEL came in on.
#[test]
fn the_answer_to_a_cancel_without_state_leaves_by_the_callers_socket() {
    for (to, socket) in [(FIRST, 0), (FIRST, 2), (SIX, 1)] {
        let mut world = sockets_world(&[(to, Some(socket))]);
        for caller in [0, 2] {
            world.receive_on(caller, CALLER, request("CANCEL", "sip:b@example.com", "inv", ""));
            let sent = world.sent(to, "CANCEL");
            assert_eq!(sent.socket, socket);
            world.receive_on(socket, to, answer(&sent, "481 Call/Transaction Does Not Exist", "to1", ""));
            assert_eq!(world.sent(CALLER, "SIP/2.0 481").socket, caller);
        }
    }
}
