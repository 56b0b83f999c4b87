//! rsip reads what we write: a parser that shares no line with ours sees the same message.
//!
//! It knows neither compact names nor IPv6 (see the scanner's own tests for those), so this is the subset that both accept.

#[path = "scenario/world.rs"]
#[allow(dead_code, reason = "the scripted timelines use all of it")]
mod world;

use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
use world::{CALLER, DESTINATIONS, World};

fn vias(headers: &rsip::Headers) -> Vec<String> {
    let vias = headers.iter().filter_map(|header| match header {
        rsip::Header::Via(via) => Some(via.value().to_owned()),
        _ => None,
    });
    vias.collect()
}

#[test]
fn a_forwarded_request_reads_the_same_to_another_parser() {
    let mut world = World::new();
    world.receive(CALLER, world::invite());
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(DESTINATIONS[0], "INVITE");
    let (received, forwarded) = (rsip::Request::try_from(world::invite()), rsip::Request::try_from(sent.bytes));
    let (received, forwarded) = (received.unwrap(), forwarded.unwrap());
    assert_eq!(forwarded.uri, received.uri);
    assert_eq!(forwarded.max_forwards_header().unwrap().num().unwrap(), 69);
    assert_eq!(forwarded.from_header(), received.from_header());
    assert_eq!(forwarded.to_header(), received.to_header());
    assert_eq!(forwarded.call_id_header(), received.call_id_header());
    assert_eq!(forwarded.cseq_header(), received.cseq_header());
    assert_eq!(vias(&forwarded.headers).len(), 2);
    let top = forwarded.via_header().unwrap().typed().unwrap();
    assert!(top.branch().unwrap().value().starts_with("z9hG4bK"));
    assert_eq!(top.uri.host_with_port.to_string(), "192.0.2.1:5060");
    assert!(forwarded.record_route_header().unwrap().value().contains(";lr"));
}

#[test]
fn our_own_answers_read_the_same_to_another_parser() {
    let mut world = World::new();
    world.receive(CALLER, world::invite().replace("Max-Forwards: 70", "Max-Forwards: 0"));
    let answer = rsip::Response::try_from(world.sent(CALLER, "SIP/2.0 483").bytes).unwrap();
    assert_eq!(answer.status_code, rsip::StatusCode::TooManyHops);
    assert_eq!(vias(&answer.headers).len(), 1);
    assert!(answer.to_header().unwrap().tag().unwrap().is_some());
    assert_eq!(answer.call_id_header().unwrap().value(), "call-1@198.51.100.1");
}

#[test]
fn a_relayed_response_reads_the_same_to_another_parser() {
    let mut world = World::new();
    world.receive(CALLER, world::invite());
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(DESTINATIONS[0], "INVITE");
    let answer = world::answer(&sent, "183 Session Progress", "to1", "Contact: <sip:b@203.0.113.1:5060>\r\n");
    world.receive(DESTINATIONS[0], &answer);
    let relayed = rsip::Response::try_from(world.sent(CALLER, "SIP/2.0 183").bytes).unwrap();
    let received = rsip::Response::try_from(answer).unwrap();
    assert_eq!(vias(&relayed.headers), vias(&received.headers)[1..]);
    let others = |response: &rsip::Response| {
        response.headers.iter().filter(|header| !matches!(header, rsip::Header::Via(_))).cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&relayed), others(&received));
}
