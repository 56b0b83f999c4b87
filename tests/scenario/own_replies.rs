//! Answers that the proxy writes itself (RFC 3261 §8.2.6, §16.5): duties 30, 31, 37.

use super::more_a::*;
use super::world::*;
use siplane::dispatcher::{Algorithm, SetId};
use siplane::proxy::{Action, Rule, Settings};
use siplane::sip::Status;

const LOWER_VIAS: &str = "Via: SIP/2.0/UDP v2.example.com ;branch=z9hG4bK2, SIP/2.0/TCP v1.example.com\r\n\
                          Subject: s\r\nv: SIP/2.0/UDP v0.example.com\r\n";

// Duty 30, RFC 3261 §8.2.6.2: all Vias in order, From, Call-ID, CSeq and To as they came, and a To tag.
#[test]
fn an_answer_of_our_own_copies_vias_from_call_id_and_cseq_and_adds_a_to_tag() {
    let text = with(&message(LOWER_VIAS), "Max-Forwards: 70", "Max-Forwards: 0");
    let answer = refused(&text, "483");
    assert_eq!(
        answer.all("Via"),
        [
            "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKmsg;rport=5060;received=198.51.100.1",
            "SIP/2.0/UDP v2.example.com ;branch=z9hG4bK2, SIP/2.0/TCP v1.example.com",
        ]
    );
    assert_eq!(answer.all("v"), ["SIP/2.0/UDP v0.example.com"]);
    assert_eq!(answer.all("From"), ["\"A\" <sip:a@198.51.100.1>;tag=from1"]);
    assert_eq!(answer.all("Call-ID"), ["call-1@198.51.100.1"]);
    assert_eq!(answer.all("CSeq"), ["2 MESSAGE"]);
    assert_eq!(answer.all("Content-Length"), ["0"]);
    let to = answer.header("To");
    let tag = to.strip_prefix("<sip:b@example.com>;tag=").unwrap_or_else(|| panic!("{to}"));
    assert!(tag.len() >= 8 && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{tag}");
    assert_eq!((answer.header("Subject"), answer.header("Contact"), body(&answer)), ("", "", &b""[..]));
}

// Duty 30, RFC 3261 §8.2.6.2: a tag that is there stays, and no second one comes.
#[test]
fn a_to_tag_that_the_request_brings_is_kept() {
    let bye = with(&in_dialog("BYE", "sip:b@203.0.113.9", ""), "Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(refused(&bye, "483").header("To"), "<sip:b@example.com>;tag=to1");
}

// Duty 30, RFC 3261 §8.2.7: a stateless answer has the same tag each time, and the ACK that brings it back ends here.
#[test]
fn a_repeated_request_gets_the_same_answer_and_its_ack_is_absorbed() {
    let mut world = World::new();
    let text = with(&invite(), "Max-Forwards: 70", "Max-Forwards: 0");
    let first = refused_by(&mut world, &text, "483");
    assert_eq!(refused_by(&mut world, &text, "483").text, first.text);
    let ack = request("ACK", "sip:b@203.0.113.9", "inv", "");
    world.receive(CALLER, with(&ack, "To: <sip:b@example.com>", &format!("To: {}", first.header("To"))));
    world.nothing_left();
    let elsewhere = with(&text, "Call-ID: call-1", "Call-ID: call-2");
    assert_ne!(refused_by(&mut world, &elsewhere, "483").header("To"), first.header("To"));
}

// Duty 30, RFC 3261 §8.2.6.2: the same of final answers that a transaction sends.
#[test]
fn a_final_answer_of_a_transaction_of_ours_has_all_vias_and_a_to_tag() {
    let mut world = World::new();
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", LOWER_VIAS));
    let trying = world.sent(CALLER, "SIP/2.0 100");
    let mut sent = world.sent(DESTINATIONS[0], "INVITE");
    for next in &DESTINATIONS[1..] {
        world.unreachable(&sent);
        sent = world.sent(next, "INVITE");
    }
    world.unreachable(&sent);
    let answer = world.sent(CALLER, "SIP/2.0 503");
    assert_eq!((answer.all("Via"), answer.all("v")), (trying.all("Via"), trying.all("v")));
    assert_eq!((answer.all("Via").len(), answer.all("v").len()), (2, 1));
    assert!(answer.header("To").starts_with("<sip:b@example.com>;tag="), "{}", answer.text);
    assert_eq!(answer.header("CSeq"), "1 INVITE");
}

// Duty 31, RFC 3261 §8.2.6.1, §17.2.1: a 100 copies Timestamp and gets no To tag of ours.
#[test]
fn a_100_copies_timestamp_and_adds_no_to_tag() {
    let mut world = World::new();
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", "Timestamp : 54.1\r\n"));
    let trying = world.sent(CALLER, "SIP/2.0 100 Trying");
    assert_eq!((trying.header("Timestamp"), trying.header("To")), ("54.1", "<sip:b@example.com>"));
    // RFC 3261 §8.2.6.1: in a re-INVITE To has the tag that it brought.
    let mut world = World::new();
    world.receive(CALLER, in_dialog("INVITE", "sip:b@203.0.113.9", ""));
    let trying = world.sent(CALLER, "SIP/2.0 100");
    assert_eq!((trying.header("To"), trying.header("Timestamp")), ("<sip:b@example.com>;tag=to1", ""));
}

// Duty 31, RFC 4320 §4.1: the late 100 to a non-INVITE is no other.
#[test]
fn the_100_to_a_non_invite_copies_timestamp_and_adds_no_to_tag() {
    let mut world = World::new();
    world.receive(CALLER, message("Timestamp: 7\r\n"));
    world.wait_ms(3_600);
    let trying = world.sent.iter().find(|sent| sent.line() == "SIP/2.0 100 Trying").unwrap();
    assert_eq!((trying.header("Timestamp"), trying.header("To")), ("7", "<sip:b@example.com>"));
}

// Duty 37, RFC 3261 §16.5: what nobody here is responsible for is 404, or what the policy says.
#[test]
fn a_request_that_no_rule_takes_is_404_or_what_the_policy_says() {
    let rule = |domain: &str, action| Rule {
        methods: vec![],
        user_prefixes: vec![],
        domains: vec![domain.into()],
        sources: vec![],
        headers: vec![],
        action,
    };
    let rules = vec![
        rule("known.example.com", Action::Set(SetId(1))),
        rule("blocked.example.com", Action::Reject(Status::new(603).unwrap())),
        rule("gone.example.com", Action::Set(SetId(9))),
    ];
    let at = |domain: &str| request("INVITE", &format!("sip:b@{domain}"), "inv", "");
    for (unrouted, status) in [(Status::NOT_FOUND, "404"), (Status::FORBIDDEN, "403")] {
        let settings = Settings { unrouted, ..settings() };
        let mut world = World::with(settings, vec![set(Algorithm::Priority, &DESTINATIONS)], rules.clone());
        world.policy.default_set = None;
        refused_by(&mut world, &at("unknown.example.com"), status);
        refused_by(&mut world, &at("blocked.example.com"), "603");
        refused_by(&mut world, &at("gone.example.com"), "404");
        forwarded(&mut world, &at("known.example.com"));
    }
}

// Duty 37, RFC 3261 §16.5: an empty target set is an error at once: 503 by policy, with Retry-After.
#[test]
fn a_set_without_an_available_destination_is_503_with_retry_after() {
    let mut spec = set(Algorithm::Priority, &DESTINATIONS);
    spec.destinations.iter_mut().for_each(|destination| destination.disabled = true);
    spec.retry_after_s = 17;
    let mut world = World::with(settings(), vec![spec], vec![]);
    assert_eq!(refused_by(&mut world, &invite(), "503").header("Retry-After"), "17");
    assert_eq!(refused_by(&mut world, &message(""), "503").header("Retry-After"), "17");
    assert_eq!((world.proxy.stats().no_destination, world.proxy.dialogs()), (2, 0));
}

// Duty 37, RFC 3261 §12.2.2, §16.5: an in-dialog request that ends at us belongs to no dialog: 481.
#[test]
fn an_in_dialog_request_that_names_only_us_is_481() {
    refused(&in_dialog("BYE", "sip:192.0.2.1", ""), "481");
    refused(&in_dialog("BYE", "sip:b@192.0.2.1:5060", "Route: <sip:192.0.2.1;lr>\r\n"), "481");
}
