//! From set to set: the fallback of a set that has nothing left. The Request-URI that becomes the destination's.

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{
    Admin, Algorithm, DestinationSpec, FailoverCodes, HashInput, HashKind, HeaderName, SetId, SetSpec,
};
use siplane::limits::CHAIN_MAX;
use std::time::Duration;

/// Sets 1, 2, … with these destinations; each falls back to the next, and the last one to set 1.
fn chain(sets: &[&[&str]], change: impl FnOnce(&mut [SetSpec])) -> World {
    let mut specs: Vec<_> = sets.iter().map(|destinations| set(Algorithm::Priority, destinations)).collect();
    for (at, spec) in specs.iter_mut().enumerate() {
        let next = (at + 1) % sets.len();
        (spec.id, spec.name, spec.fallback) = (SetId(at as u32 + 1), String::new(), Some(SetId(next as u32 + 1)));
    }
    change(&mut specs);
    World::with(settings(), specs, vec![])
}

fn disable(world: &World, set: u32, index: usize) {
    let destination = &world.policy.table.set(SetId(set)).unwrap().destinations[index];
    world.policy.table.states().set_admin(destination.state, Admin::Disabled, world.now);
}

#[test]
fn a_set_without_an_available_destination_hands_the_call_to_its_fallback() {
    let mut world = chain(&[&[FIRST], &[SECOND]], |_| {});
    disable(&world, 1, 0);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let second = world.sent(SECOND, "INVITE");
    relayed(&mut world, SECOND, &second, "200 OK");
    hang_up(&mut world, &second, "to1");
    assert_eq!((world.proxy.stats().fallbacks, world.proxy.stats().no_destination), (1, 0));
    assert_eq!(world.policy.table.states().total_load(), 0);
    ends_clean(world);
}

#[test]
fn a_set_that_is_exhausted_by_failover_hands_the_call_on_too() {
    let mut world = chain(&[&[FIRST, SECOND], &[THIRD]], |_| {});
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "503 Service Unavailable");
    let third = world.sent(THIRD, "INVITE");
    assert_eq!(third.text.replace(third.branch(), first.branch()), first.text, "made of the same request");
    assert_eq!(world.policy.table.states().total_load(), 1);
    relayed(&mut world, THIRD, &third, "200 OK");
    hang_up(&mut world, &third, "to1");
    assert_eq!((world.proxy.stats().fallbacks, world.proxy.stats().failovers), (1, 2));
    assert_eq!(world.policy.table.states().total_load(), 0);
    ends_clean(world);
}

#[test]
fn the_set_of_a_target_says_which_codes_move_on_from_it() {
    let codes = |code| {
        let mut codes = FailoverCodes::NONE;
        codes.insert(code);
        codes
    };
    let mut world = chain(&[&[FIRST], &[SECOND], &[THIRD]], |sets| {
        (sets[0].failover_codes, sets[1].failover_codes) = (codes(486), codes(404));
    });
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "486 Busy Here");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "404 Not Found");
    let third = world.sent(THIRD, "INVITE");
    refused(&mut world, THIRD, &third, "404 Not Found");
    fails_with(&mut world, "4");
    ends_clean(world);
}

#[test]
fn the_set_in_force_says_how_long_an_answer_is_waited_for() {
    let mut world = chain(&[&[FIRST], &[SECOND], &[THIRD]], |sets| sets[1].answer_timeout = Duration::from_secs(5));
    call(&mut world);
    world.wait_ms(2_050);
    assert_eq!(world.sent.pop_back().unwrap().to.to_string(), SECOND);
    world.sent.clear();
    world.wait_ms(4_900);
    assert!(world.sent.iter().all(|sent| sent.to.to_string() == SECOND));
    world.sent.clear();
    world.wait_ms(150);
    let third = world.sent(THIRD, "INVITE");
    relayed(&mut world, THIRD, &third, "200 OK");
    hang_up(&mut world, &third, "to1");
    ends_clean(world);
}

#[test]
fn a_silent_target_is_waited_for_while_no_set_has_another() {
    let mut world = chain(&[&[FIRST], &[SECOND]], |_| {});
    disable(&world, 2, 0);
    let first = call(&mut world);
    world.wait_ms(10_000);
    assert!(world.sent.iter().all(|sent| sent.to.to_string() == FIRST));
    world.sent.clear();
    assert_eq!(world.proxy.stats().answer_timeouts, 0);
    relayed(&mut world, FIRST, &first, "200 OK");
    hang_up(&mut world, &first, "to1");
    ends_clean(world);
}

// RFC 3261 §16.5: a target is tried once.
#[test]
fn an_address_that_two_sets_name_is_tried_once() {
    let mut world = chain(&[&[FIRST, SECOND], &[SECOND, FIRST, THIRD]], |_| {});
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "500 Server Internal Error");
    let third = world.sent(THIRD, "INVITE");
    refused(&mut world, THIRD, &third, "500 Server Internal Error");
    fails_with(&mut world, "500");
    ends_clean(world);
}

#[test]
fn a_chain_that_leads_back_ends() {
    let mut world = chain(&[&[FIRST], &[SECOND]], |_| {});
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    refused(&mut world, SECOND, &second, "500 Server Internal Error");
    fails_with(&mut world, "500");
    assert_eq!(world.proxy.stats().fallbacks, CHAIN_MAX as u64 - 1);
    ends_clean(world);
}

#[test]
fn a_chain_ends_at_the_limit() {
    let addresses: Vec<_> = (1..=CHAIN_MAX + 1).map(|host| format!("203.0.113.{host}:5060")).collect();
    let sets: Vec<[&str; 1]> = addresses.iter().map(|address| [address.as_str()]).collect();
    let sets: Vec<&[&str]> = sets.iter().map(|set| &set[..]).collect();
    let mut world = chain(&sets, |_| {});
    let mut sent = call(&mut world);
    for address in &addresses[1..CHAIN_MAX] {
        let to = sent.to.to_string();
        refused(&mut world, &to, &sent, "500 Server Internal Error");
        sent = world.sent(address, "INVITE");
    }
    let to = sent.to.to_string();
    refused(&mut world, &to, &sent, "500 Server Internal Error");
    fails_with(&mut world, "500");
    ends_clean(world);
}

#[test]
fn when_no_set_has_a_destination_the_last_one_says_when_to_come_back() {
    let mut world = chain(&[&[FIRST], &[], &[SECOND]], |sets| {
        (sets[2].fallback, sets[2].retry_after_s) = (None, 17);
    });
    disable(&world, 1, 0);
    disable(&world, 3, 0);
    world.receive(CALLER, invite());
    let refusal = world.sent(CALLER, "SIP/2.0 503");
    assert_eq!(refusal.header("Retry-After"), "17");
    assert_eq!((world.proxy.stats().no_destination, world.proxy.stats().fallbacks), (1, 2));
    world.receive(CALLER, hop_ack(&refusal));
    ends_clean(world);
}

#[test]
fn a_fallback_that_the_table_does_not_have_is_none() {
    let mut world = chain(&[&[FIRST]], |sets| sets[0].fallback = None);
    let first = call(&mut world);
    refused(&mut world, FIRST, &first, "500 Server Internal Error");
    fails_with(&mut world, "500");
    assert_eq!(world.proxy.stats().fallbacks, 0);
    ends_clean(world);
}

#[test]
fn other_requests_fall_back_like_calls() {
    let mut world = chain(&[&[FIRST], &[SECOND]], |_| {});
    world.receive(CALLER, request("MESSAGE", "sip:b@example.com", "msg", ""));
    let first = world.sent(FIRST, "MESSAGE");
    world.receive(FIRST, answer(&first, "500 Server Internal Error", "to1", ""));
    let second = world.sent(SECOND, "MESSAGE");
    relayed(&mut world, SECOND, &second, "200 OK");
    ends_clean(world);
}

#[test]
fn a_cancelled_call_does_not_fall_back() {
    let mut world = chain(&[&[FIRST], &[SECOND]], |_| {});
    let first = call(&mut world);
    relayed(&mut world, FIRST, &first, "180 Ringing");
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(FIRST, "CANCEL");
    world.receive(FIRST, answer(&cancel, "200 OK", "to1", ""));
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    fails_with(&mut world, "5");
    assert_eq!(world.proxy.stats().fallbacks, 0);
    ends_clean(world);
}

/// Two destinations whose URIs have a host of their own, in a set that rewrites.
fn rewriting(change: impl FnOnce(&mut SetSpec)) -> World {
    dispatching(2, |set| {
        let uris = ["sip:bridge1.example.net:5090;transport=udp", "sip:ignored@bridge2.example.net;method=INVITE"];
        let named = uris.iter().zip(DESTINATIONS);
        set.destinations = named.map(|(uri, address)| DestinationSpec::new(*uri, address.parse().unwrap())).collect();
        set.rewrite_uri = true;
        change(set);
    })
}

// RFC 3261 §16.6 items 2 and 7, §9.1, §17.1.1.3
#[test]
fn each_branch_of_a_rewriting_set_has_the_uri_of_its_destination() {
    let mut world = rewriting(|_| {});
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let first = world.sent(FIRST, "INVITE sip:b@bridge1.example.net:5090;transport=udp SIP/2.0");
    world.receive(FIRST, answer(&first, "503 Service Unavailable", "to1", ""));
    world.sent(FIRST, "ACK sip:b@bridge1.example.net:5090;transport=udp SIP/2.0");
    let second = world.sent(SECOND, "INVITE sip:b@bridge2.example.net SIP/2.0");
    assert_eq!(second.header("To"), "<sip:b@example.com>", "the rest stays");
    relayed(&mut world, SECOND, &second, "180 Ringing");
    world.receive(CALLER, cancel());
    world.sent(CALLER, "SIP/2.0 200");
    let cancel = world.sent(SECOND, "CANCEL sip:b@bridge2.example.net SIP/2.0");
    world.receive(SECOND, answer(&cancel, "200 OK", "to1", ""));
    world.receive(SECOND, answer(&second, "487 Request Terminated", "to1", ""));
    world.sent(SECOND, "ACK sip:b@bridge2.example.net SIP/2.0");
    fails_with(&mut world, "487");
    ends_clean(world);
}

#[test]
fn requests_in_the_dialog_keep_their_uri() {
    let mut world = rewriting(|_| {});
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(FIRST, "INVITE sip:b@bridge1.example.net");
    relayed(&mut world, FIRST, &sent, "200 OK");
    for method in ["ACK", "INFO"] {
        world.receive(CALLER, in_dialog(method, method, &sent, "to1"));
        let passed = world.sent(FIRST, &format!("{method} sip:b@{FIRST} SIP/2.0"));
        if method == "INFO" {
            relayed(&mut world, FIRST, &passed, "200 OK");
        }
    }
    hang_up(&mut world, &sent, "to1");
    ends_clean(world);
}

#[test]
fn only_the_sets_that_say_so_rewrite() {
    let mut world = chain(&[&[FIRST], &[SECOND]], |sets| sets[0].rewrite_uri = true);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let first = world.sent(FIRST, "INVITE sip:b@203.0.113.1:5060 SIP/2.0");
    refused(&mut world, FIRST, &first, "503 Service Unavailable");
    let second = world.sent(SECOND, "INVITE sip:b@example.com SIP/2.0");
    relayed(&mut world, SECOND, &second, "200 OK");
    hang_up(&mut world, &second, "to1");
    ends_clean(world);
}

/// The destination that each of these requests goes to, by a hash of `input`.
fn hashed(input: HashInput, requests: &[String]) -> Vec<String> {
    let spec = set(Algorithm::Hash(input, HashKind::Consistent), &DESTINATIONS);
    let mut world = World::with(settings(), vec![spec], vec![]);
    let to = requests.iter().map(|request| {
        world.receive(CALLER, request);
        let to = world.sent.pop_back().unwrap().to.to_string();
        world.sent.clear();
        to
    });
    to.collect()
}

#[test]
fn requests_with_the_same_hash_input_go_to_the_same_destination() {
    let message = |n: u32, more: &str| {
        let text = request("MESSAGE", &format!("sip:b{n}@example.com"), &format!("m{n}"), more);
        text.replace("call-1@", &format!("call-{n}@"))
    };
    let user = |user: &str| format!("Proxy-Authorization: Digest realm=\"x\", username=\"{user}\"\r\n");
    let requests: Vec<_> = (0..40).map(|n| message(n, "")).collect();
    let distinct = |input: HashInput, requests: &[String]| {
        hashed(input, requests).into_iter().collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(distinct(HashInput::FromUri, &requests), 1);
    assert_eq!(distinct(HashInput::ToUri, &requests), 1);
    assert_eq!(distinct(HashInput::RequestUri, &requests), 3);
    assert_eq!(distinct(HashInput::CallId, &requests), 3);
    let same: Vec<_> = (0..40).map(|n| message(n, &user("alice"))).collect();
    assert_eq!(distinct(HashInput::AuthUser, &same), 1);
    let other: Vec<_> = (0..40).map(|n| message(n, &user(&format!("u{n}")))).collect();
    assert_eq!(distinct(HashInput::AuthUser, &other), 3);
}

#[test]
fn a_destination_is_told_its_attrs_when_the_set_names_a_header_for_them() {
    let mut spec = set(Algorithm::Priority, &DESTINATIONS[..2]);
    spec.attrs_header = HeaderName::new("X-Attrs");
    spec.destinations[0].attrs = "region=eu;rack=7".into();
    let mut world = World::with(settings(), vec![spec], vec![]);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 100");
    let first = world.sent(DESTINATIONS[0], "INVITE");
    assert_eq!(first.all("x-attrs"), ["region=eu;rack=7"]);
    world.unreachable(&first);
    assert!(world.sent(DESTINATIONS[1], "INVITE").all("x-attrs").is_empty(), "the second one has none");
}
