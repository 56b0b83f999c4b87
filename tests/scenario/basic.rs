//! Whole calls.

use super::world::*;

#[test]
fn a_call_is_set_up_and_ended_through_the_proxy() {
    let mut world = World::new();
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100 Trying");
    let invite = world.sent(DESTINATIONS[0], "INVITE sip:b@example.com SIP/2.0");
    assert_eq!(invite.all("Via").len(), 2);
    assert_eq!(invite.header("Max-Forwards"), "69");
    assert!(invite.all("Via")[1].ends_with(";rport=5060;received=198.51.100.1"), "{}", invite.text);
    let record_route = invite.header("Record-Route").to_owned();
    assert!(record_route.starts_with("<sip:192.0.2.1:5060;lr;did="), "{record_route}");
    world.receive(DESTINATIONS[0], answer(&invite, "180 Ringing", "to1", ""));
    world.sent(CALLER, "SIP/2.0 180");
    assert_eq!(world.load(0), 1);
    let ok = answer(&invite, "200 OK", "to1", "Contact: <sip:b@203.0.113.1:5060>\r\n");
    world.receive(DESTINATIONS[0], &ok);
    let answered = world.sent(CALLER, "SIP/2.0 200");
    assert_eq!(answered.all("Via").len(), 1);
    // The ACK of a 2xx goes end to end by its Route.
    let route = format!("Route: {record_route}\r\n");
    let tagged = |text: String| text.replace("To: <sip:b@example.com>", "To: <sip:b@example.com>;tag=to1");
    world.receive(CALLER, tagged(request("ACK", "sip:b@203.0.113.1:5060", "ack", &route)));
    let ack = world.sent(DESTINATIONS[0], "ACK sip:b@203.0.113.1:5060");
    assert_eq!(ack.header("Route"), "");
    // A repeated 2xx is passed on again.
    world.receive(DESTINATIONS[0], &ok);
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, tagged(request("BYE", "sip:b@203.0.113.1:5060", "bye", &route)));
    let bye = world.sent(DESTINATIONS[0], "BYE");
    world.receive(DESTINATIONS[0], answer(&bye, "200 OK", "to1", ""));
    world.sent(CALLER, "SIP/2.0 200");
    assert_eq!((world.load(0), world.proxy.pending_transactions()), (0, 0));
    world.wait_ms(40_000);
    world.nothing_left();
    assert_eq!((world.proxy.transactions(), world.proxy.dialogs(), world.proxy.stored_bytes()), (0, 0, 0));
    assert_eq!(world.proxy.poll_timeout(), None);
}

#[test]
fn a_silent_destination_is_left_after_the_answer_timeout_and_an_unreachable_one_at_once() {
    let mut world = World::new();
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let first = world.sent(DESTINATIONS[0], "INVITE");
    world.wait_ms(1_600);
    world.sent(DESTINATIONS[0], "INVITE");
    world.sent(DESTINATIONS[0], "INVITE");
    world.nothing_left();
    world.wait_ms(500);
    let second = world.sent(DESTINATIONS[1], "INVITE");
    assert_ne!(first.branch(), second.branch());
    world.unreachable(&second);
    let third = world.sent(DESTINATIONS[2], "INVITE");
    world.receive(DESTINATIONS[2], answer(&third, "200 OK", "to3", ""));
    world.sent(CALLER, "SIP/2.0 200");
    assert_eq!((world.load(1), world.load(2)), (0, 1));
    // The first destination wakes up: it is cancelled, and its 487 acknowledged and kept here.
    world.receive(DESTINATIONS[0], answer(&first, "180 Ringing", "to1", ""));
    let cancel = world.sent(DESTINATIONS[0], "CANCEL");
    assert_eq!(cancel.branch(), first.branch());
    world.receive(DESTINATIONS[0], answer(&cancel, "200 OK", "to1", ""));
    world.receive(DESTINATIONS[0], answer(&first, "487 Request Terminated", "to1", ""));
    world.sent(DESTINATIONS[0], "ACK");
    world.nothing_left();
    assert_eq!(world.load(0), 0);
}
