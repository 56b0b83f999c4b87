//! What siplane does not do itself passes through unchanged: name lookup, overload control, authentication.

use super::more_b::*;
use super::world::*;

// Duty 97, RFC 3263 §4: names are not looked up by the core; RFC 3261 §16.6 item 7: a next hop without address is a
// failed one.
#[test]
fn a_next_hop_that_is_a_name_is_answered_500() {
    let mut world = single();
    let route = "Route: <sip:edge.example.net;lr>\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", route));
    fails_with(&mut world, "500");
    assert_eq!((world.proxy.stats().unresolvable, world.proxy.transactions()), (1, 0));
    ends_clean(world);
}

// Duty 99, RFC 7339 §5.1: we offer no `oc`, and who offers it below our Via keeps what it wrote.
#[test]
fn no_overload_control_is_offered_and_others_parameters_are_left_alone() {
    let mut world = single();
    let offered = invite().replace(";rport", ";oc;oc-algo=\"loss\";rport");
    world.receive(CALLER, offered);
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(FIRST, "INVITE");
    assert!(!sent.all("Via")[0].contains("oc"));
    assert!(sent.all("Via")[1].contains(";oc;oc-algo=\"loss\";"));
    let ringing = relayed(&mut world, FIRST, &sent, "180 Ringing");
    assert!(ringing.header("Via").contains(";oc;oc-algo=\"loss\";"));
    refused(&mut world, FIRST, &sent, "486 Busy Here");
    fails_with(&mut world, "486");
    ends_clean(world);
}

// Duty 100, RFC 3261 §22.3, RFC 7616: we challenge nobody; challenges and credentials of others pass unchanged.
#[test]
fn challenges_and_credentials_of_others_pass_unchanged() {
    let mut world = single();
    let invite = call(&mut world);
    let challenge = "Proxy-Authenticate: Digest realm=\"x\", qop=\"auth\", nonce=\"n\", algorithm=SHA-256\r\n\
                     Proxy-Authenticate: Digest realm=\"x\", qop=\"auth\", nonce=\"m\", algorithm=MD5\r\n";
    world.receive(FIRST, answer(&invite, "407 Proxy Authentication Required", "to1", challenge));
    world.sent(FIRST, "ACK");
    assert!(fails_with(&mut world, "407").text.contains(challenge));
    let credentials =
        "Proxy-Authorization: Digest username=\"a\", realm=\"x\", nc=0000000a, uri=\"sip:b@example.com\"\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv2", credentials).replace("CSeq: 1", "CSeq: 2"));
    world.sent(CALLER, "SIP/2.0 100");
    let again = world.sent(FIRST, "INVITE");
    assert!(again.text.contains(credentials));
    assert!(again.all("Proxy-Authenticate").is_empty());
    relayed(&mut world, FIRST, &again, "200 OK");
    hang_up(&mut world, &again, "to1");
    ends_clean(world);
}
