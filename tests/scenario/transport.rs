//! Datagrams, Content-Length, where answers go, and errors of the network: duties 1-14.
//!
//! Without a test, for want of a stream transport: 12 (TCP on the same port) and the half of 10 that is about streams.

use super::more_a::*;
use super::world::*;
use siplane::proxy::Settings;

/// The largest payload of a UDP datagram over IPv4, bytes: 65,535 without the headers of IP and UDP.
const PAYLOAD_BYTES_MAX: usize = 65_507;

const SENT_BY: &str = "198.51.100.1:5060;branch=z9hG4bKmsg;rport";

/// A MESSAGE whose Via says `sent_by` (with parameters), without rport unless it is in there.
fn from_via(sent_by: &str) -> String {
    with(&message(""), SENT_BY, &format!("{sent_by};branch=z9hG4bKmsg"))
}

fn padded(total: usize) -> String {
    let text = with_body(&message(""), "Content-Length: 00000\r\n", "");
    let length = format!("Content-Length: {:05}", total - text.len());
    with(&text, "Content-Length: 00000", &length) + &"x".repeat(total - text.len())
}

// Duty 1, RFC 3261 §18.1.1: datagrams up to the largest size are handled.
#[test]
fn a_datagram_of_nearly_64_kib_is_forwarded_whole_and_so_is_its_answer() {
    let mut world = World::new();
    let text = padded(65_000);
    let sent = forwarded(&mut world, &text);
    assert_eq!(body(&sent).len(), text.len() - text.find("\r\n\r\n").unwrap() - 4);
    let bulk = "y".repeat(64_000);
    let ok = with_body(&answer(&sent, "200 OK", "to1", ""), "Content-Length: 64000\r\n", &bulk);
    world.receive(DESTINATIONS[0], ok);
    assert_eq!(body(&world.sent(CALLER, "SIP/2.0 200")), bulk.as_bytes());
}

// Duty 1, RFC 3261 §18.1.1: the largest one is read; what would outgrow a datagram on its way is refused, not cut.
#[test]
fn the_largest_datagram_there_is_gets_an_answer() {
    let mut world = World::new();
    let options = with(&padded(PAYLOAD_BYTES_MAX), "MESSAGE sip:b@example.com", "OPTIONS sip:192.0.2.1");
    let options = with(&options, "CSeq: 2 MESSAGE", "CSeq: 2 OPTIONS");
    world.receive(CALLER, options);
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, padded(PAYLOAD_BYTES_MAX));
    let refusal = world.sent(CALLER, "SIP/2.0 5");
    assert!(refusal.bytes.len() < 1_000);
    world.nothing_left();
}

// Duty 2, RFC 3261 §18.2.1: `received` when the Via host is a name or not where the request came from.
#[test]
fn received_is_added_when_the_sent_by_is_a_name_or_another_address_and_only_then() {
    for (sent_by, port, added) in [
        ("caller.example.com", 5060, true),
        ("10.0.0.9:5070", 5070, true),
        ("[2001:db8::9]", 5060, true),
        ("198.51.100.1", 5060, false),
        ("198.51.100.1:5060", 5060, false),
        ("198.51.100.1:5999", 5999, false),
    ] {
        let mut world = World::new();
        let via = format!("SIP/2.0/UDP {sent_by};branch=z9hG4bKmsg");
        let noted = if added { format!("{via};received=198.51.100.1") } else { via };
        let sent = forwarded(&mut world, &from_via(sent_by));
        assert_eq!(sent.all("Via")[1], noted);
        world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
        assert_eq!(world.sent(&format!("198.51.100.1:{port}"), "SIP/2.0 200").all("Via"), [noted]);
    }
}

// Duty 2, RFC 3261 §18.2.1: IPv6 hosts are compared as addresses, not as text.
#[test]
fn an_ipv6_sent_by_spelled_otherwise_is_still_the_source() {
    let mut world = World::new();
    let source = "[2001:db8::7]:5060";
    world.receive_on(1, source, from_via("[2001:DB8:0:0::7]:5060"));
    let sent = world.sent(DESTINATIONS[0], "MESSAGE");
    assert_eq!(sent.all("Via")[1], "SIP/2.0/UDP [2001:DB8:0:0::7]:5060;branch=z9hG4bKmsg");
    world.receive_on(1, source, with(&from_via("[2001:db8::8]"), "z9hG4bKmsg", "z9hG4bKms2"));
    let sent = world.sent(DESTINATIONS[0], "MESSAGE");
    assert_eq!(sent.all("Via")[1], "SIP/2.0/UDP [2001:db8::8];branch=z9hG4bKms2;received=2001:db8::7");
}

// Duty 3, RFC 3581 §4: an empty rport gets the source port, and `received` is there even if the host is right.
#[test]
fn an_empty_rport_is_filled_in_with_received_beside_it() {
    let mut world = World::new();
    world.receive("198.51.100.1:33333", message(""));
    let sent = world.sent(DESTINATIONS[0], "MESSAGE");
    assert_eq!(sent.all("Via")[1], "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKmsg;rport=33333;received=198.51.100.1");
}

// Duty 3, RFC 3581 §4: of several values the topmost one gets it, and the sender's own `received` is not believed.
#[test]
fn rport_and_received_go_to_the_topmost_via_value_and_replace_what_the_sender_claimed() {
    let mut world = World::new();
    let two = "caller.example.com;received=203.0.113.99;rport;branch=z9hG4bKmsg , SIP/2.0/UDP first.example.com;rport";
    world.receive("198.51.100.1:33333", with(&message(""), SENT_BY, two));
    let sent = world.sent(DESTINATIONS[0], "MESSAGE");
    let via = "SIP/2.0/UDP caller.example.com;received=198.51.100.1;rport=33333;branch=z9hG4bKmsg";
    assert_eq!(sent.all("Via")[1], format!("{via} , SIP/2.0/UDP first.example.com;rport"));
    world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
    world.sent("198.51.100.1:33333", "SIP/2.0 200");
}

// Duty 4, RFC 3581 §4: replies, ours and relayed ones, go to the source and leave by the socket that the request came
// in on.
#[test]
fn replies_go_to_the_source_port_from_the_socket_that_the_request_came_in_on() {
    let mut settings = settings();
    settings.listen.push(listen("192.0.2.1:5070"));
    for (socket, source) in [(0, "198.51.100.1:33333"), (2, "198.51.100.1:33333"), (1, "[2001:db8::7]:33333")] {
        let mut world = world_with(Settings { ..settings.clone() });
        world.receive_on(socket, source, invite());
        let trying = world.sent(source, "SIP/2.0 100");
        let invite = world.sent(DESTINATIONS[0], "INVITE");
        world.receive(DESTINATIONS[0], answer(&invite, "180 Ringing", "to1", ""));
        let ringing = world.sent(source, "SIP/2.0 180");
        world.receive(DESTINATIONS[0], answer(&invite, "404 Not Found", "to1", ""));
        world.sent(DESTINATIONS[0], "ACK");
        let refusal = world.sent(source, "SIP/2.0 404");
        assert_eq!([trying.socket, ringing.socket, refusal.socket], [socket; 3]);
        // RFC 3261 §17.2.1: the same way for what is sent again.
        world.wait_ms(600);
        assert_eq!(world.sent(source, "SIP/2.0 404").socket, socket);
    }
}

// Duty 4, RFC 3581 §4: an rport that the sender filled in itself is left so, and still means the source.
#[test]
fn an_rport_with_a_value_does_not_lead_replies_to_another_port() {
    let mut world = World::new();
    world.receive("198.51.100.1:33333", from_via("198.51.100.1:5060;rport=4444"));
    let sent = world.sent(DESTINATIONS[0], "MESSAGE");
    assert_eq!(sent.all("Via")[1], "SIP/2.0/UDP 198.51.100.1:5060;rport=4444;branch=z9hG4bKmsg");
    world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
    world.sent("198.51.100.1:33333", "SIP/2.0 200");
}

// Duty 5, RFC 3261 §18.2.2: without rport the source address counts, and the port of the sent-by.
#[test]
fn without_rport_replies_go_to_the_source_address_and_the_sent_by_port_or_5060() {
    for (sent_by, to) in [
        ("198.51.100.1:5062", "198.51.100.1:5062"),
        ("198.51.100.1", "198.51.100.1:5060"),
        ("10.0.0.9:5070", "198.51.100.1:5070"),
        ("caller.example.com", "198.51.100.1:5060"),
        ("caller.example.com;received=203.0.113.99", "198.51.100.1:5060"),
    ] {
        let mut world = World::new();
        world.receive("198.51.100.1:33333", with(&from_via(sent_by), "Max-Forwards: 70", "Max-Forwards: 0"));
        world.sent(to, "SIP/2.0 483");
        world.receive("198.51.100.1:33333", from_via(sent_by));
        let sent = world.sent(DESTINATIONS[0], "MESSAGE");
        world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
        world.sent(to, "SIP/2.0 200");
    }
}

// Duty 6, RFC 3261 §18.2.2: maddr is refused by policy: nobody points our replies at others.
#[test]
fn a_maddr_in_via_does_not_lead_replies_elsewhere() {
    for maddr in ["224.2.0.1", "255.255.255.255", "203.0.113.77"] {
        let mut world = World::new();
        let text = from_via(&format!("198.51.100.1:5060;maddr={maddr};ttl=1"));
        world.receive(CALLER, with(&text, "Max-Forwards: 70", "Max-Forwards: 0"));
        world.sent(CALLER, "SIP/2.0 483");
        let sent = forwarded(&mut world, &text);
        world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
        world.sent(CALLER, "SIP/2.0 200");
    }
}

// Duty 6, RFC 3261 §18.2.2: and nobody makes us send requests to a group, to everybody, or to nobody.
#[test]
fn no_request_is_sent_to_a_multicast_broadcast_or_empty_address() {
    for uri in [
        "sip:b@224.2.0.1",
        "sip:b@255.255.255.255",
        "sip:b@0.0.0.0",
        "sip:b@[ff02::1]",
        "sip:b@[::ffff:224.2.0.1]",
        "sip:b@203.0.113.9:0",
        "sip:b@203.0.113.9;maddr=224.2.0.1",
    ] {
        refused(&in_dialog("BYE", uri, ""), "500");
        refused(&in_dialog("BYE", "sip:b@203.0.113.9", &format!("Route: <{uri};lr>\r\n")), "500");
        unanswered(in_dialog("ACK", uri, ""));
    }
}

// Duty 7, RFC 3261 §18.1.2: a response whose top Via is not ours is discarded.
#[test]
fn a_response_whose_top_sent_by_is_not_ours_is_discarded() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &message(""));
    let ok = answer(&sent, "200 OK", "to1", "");
    for other in ["192.0.2.2:5060", "192.0.2.1:5061", "proxy.example.com:5060", "198.51.100.1:5060"] {
        world.receive(DESTINATIONS[0], with(&ok, "UDP 192.0.2.1:5060", &format!("UDP {other}")));
        world.nothing_left();
    }
    assert_eq!(world.proxy.stats().foreign_responses, 4);
    world.receive(DESTINATIONS[0], ok);
    world.sent(CALLER, "SIP/2.0 200");
}

// Duty 8, RFC 3261 §18.3: octets behind the body are discarded, not forwarded.
#[test]
fn octets_beyond_the_content_length_are_not_passed_on() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &with_body(&message(""), "Content-Length: 4\r\n", "abcdSIP/2.0 smuggled\r\n\r\n"));
    assert_eq!(body(&sent), b"abcd");
    let ok = with_body(&answer(&sent, "200 OK", "to1", ""), "Content-Length: 2\r\n", "xyMORE");
    world.receive(DESTINATIONS[0], ok);
    assert_eq!(body(&world.sent(CALLER, "SIP/2.0 200")), b"xy");
}

// Duty 9, RFC 3261 §18.3: a body that the datagram does not hold: 400 to a request, nothing for a response.
#[test]
fn a_content_length_beyond_the_datagram_is_400_to_a_request_and_discards_a_response() {
    refused(&with_body(&message(""), "Content-Length: 5\r\n", "abcd"), "400");
    unanswered(with_body(&in_dialog("ACK", "sip:b@203.0.113.9", ""), "Content-Length: 5\r\n", "abcd"));
    let mut world = World::new();
    let sent = forwarded(&mut world, &message(""));
    let ok = answer(&sent, "200 OK", "to1", "");
    world.receive(DESTINATIONS[0], with(&ok, "Content-Length: 0", "Content-Length: 1"));
    world.nothing_left();
    world.receive(DESTINATIONS[0], ok);
    world.sent(CALLER, "SIP/2.0 200");
}

// Duty 10, RFC 3261 §18.3: over UDP a message without Content-Length has all the rest as its body.
#[test]
fn without_content_length_the_rest_of_the_datagram_is_the_body() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &with_body(&message(""), "", "all\r\n\r\nof it"));
    assert_eq!((body(&sent), sent.header("Content-Length")), (&b"all\r\n\r\nof it"[..], ""));
    world.receive(DESTINATIONS[0], with_body(&answer(&sent, "200 OK", "to1", ""), "", "and back"));
    assert_eq!(body(&world.sent(CALLER, "SIP/2.0 200")), b"and back");
}

// Duty 11, RFC 3261 §18.1.1: a request > 1300 bytes asks for a congestion-controlled transport. The documented
// deviation of a
// release with UDP alone: it goes by UDP all the same, whole.
#[test]
fn a_request_above_1300_bytes_still_goes_by_udp() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &padded(3_000));
    assert!(sent.bytes.len() > 3_000 && sent.header("Via").starts_with("SIP/2.0/UDP"), "{}", sent.text);
}

// Duty 13, RFC 3261 §18.4, §16.9: an ICMP error for a request is a 503 of that target.
#[test]
fn an_icmp_error_for_a_request_counts_as_503_from_that_target() {
    let mut world = World::new();
    let mut sent = forwarded(&mut world, &invite());
    for next in &DESTINATIONS[1..] {
        world.unreachable(&sent);
        sent = world.sent(next, "INVITE");
        world.nothing_left();
    }
    world.unreachable(&sent);
    world.sent(CALLER, "SIP/2.0 503");
    world.nothing_left();
    let bye = in_dialog("BYE", "sip:b@203.0.113.9", "");
    let sent = forwarded_to(&mut world, &bye, "203.0.113.9:5060");
    world.unreachable(&sent);
    world.sent(CALLER, "SIP/2.0 500");
}

// Duty 13, RFC 3261 §18.4: an error about another address, or a branch that nobody wrote, changes nothing.
#[test]
fn an_icmp_error_that_quotes_something_else_changes_nothing() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &invite());
    world.unreachable(&Sent { to: DESTINATIONS[1].parse().unwrap(), ..sent.clone() });
    let forged = sent.text.replace(sent.branch(), "z9hG4bKs00000000000000000000000000000000");
    world.unreachable(&Sent { bytes: forged.into_bytes(), ..sent.clone() });
    world.nothing_left();
    world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
    world.sent(CALLER, "SIP/2.0 200");
}

// Duty 14, RFC 3261 §7.5: empty lines before a message are ignored, and not passed on.
#[test]
fn empty_lines_before_a_message_are_ignored_and_not_passed_on() {
    let mut world = World::new();
    let invite = forwarded(&mut world, &format!("\r\n\r\n{}", invite()));
    assert!(invite.text.starts_with("INVITE "));
    world.receive(DESTINATIONS[0], format!("\r\n{}", answer(&invite, "486 Busy Here", "to1", "")));
    let ack = world.sent(DESTINATIONS[0], "ACK");
    assert_eq!(ack.branch(), invite.branch());
    assert!(world.sent(CALLER, "SIP/2.0 486").text.starts_with("SIP/2.0 "));
    world.nothing_left();
}

// Duty 14, RFC 3261 §7.5: keep-alives, STUN and other noise draw no answer.
#[test]
fn noise_is_not_answered() {
    let stun = [b"\0\x01\0\0!\x12\xa4B".as_slice(), &[7; 12]].concat();
    let noise: [&[u8]; 8] = [
        b"",
        b"\r\n\r\n",
        b"\r\n",
        b"\0",
        b"\0\0\0\0",
        &stun,
        b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        &[0xff; 600],
    ];
    noise.iter().for_each(|bytes| unanswered(bytes));
}
