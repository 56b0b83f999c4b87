//! What of the route is ours, and where a request goes next (RFC 3261 §16.4, §16.5, §16.6.6, §16.6.7): duties 32-36,
//! 45-48.
//!
//! Names are not looked up on a shard (RFC 3263 is the control side's): a next hop must be an address.

use super::more_a::*;
use super::world::*;
use siplane::dispatcher::Algorithm;
use siplane::proxy::{Listen, PreloadedRoute, Settings};

const FAR: &str = "203.0.113.9:5060";

fn route(values: &str) -> String {
    format!("Route: {values}\r\n")
}

/// A BYE of the caller's with this Request-URI and these Route values goes to `to`: its Request-URI and Routes then.
#[track_caller]
fn bye(uri_text: &str, routes: &str, to: &str) -> (String, Vec<String>) {
    bye_through(
        &mut world_with(Settings { aliases: vec!["sip.example.com".into()], ..settings() }),
        uri_text,
        routes,
        to,
    )
}

#[track_caller]
fn bye_through(world: &mut World, uri_text: &str, routes: &str, to: &str) -> (String, Vec<String>) {
    let sent = forwarded_to(world, &in_dialog("BYE", uri_text, routes), to);
    let routes = sent.all("Route").iter().map(|value| (*value).to_owned()).collect();
    (uri(&sent).to_owned(), routes)
}

// Duty 32, RFC 3261 §16.4: a strict router put our Record-Route URI into the Request-URI: the last Route value comes
// back.
#[test]
fn a_request_uri_that_we_record_routed_is_replaced_by_the_last_route_value() {
    let mut world = World::new();
    let invite = call(&mut world);
    let ours = invite.header("Record-Route").trim_matches(['<', '>']).to_owned();
    let routes = route("<sip:203.0.113.9;lr>") + &route("<sip:203.0.113.8;lr> , <sip:b@203.0.113.1:5060>");
    assert_eq!(
        bye_through(&mut world, &ours, &routes, FAR),
        ("sip:b@203.0.113.1:5060".into(), vec!["<sip:203.0.113.9;lr>".into(), "<sip:203.0.113.8;lr>".into()])
    );
    // It is the BYE of our call: its answer ends it.
    let last = tagged(&request("BYE", &ours, "last", &route("<sip:b@203.0.113.1:5060>")));
    let sent = forwarded(&mut world, &last);
    assert_eq!((uri(&sent), sent.all("Route").len()), ("sip:b@203.0.113.1:5060", 0));
    world.receive(DESTINATIONS[0], answer(&sent, "200 OK", "to1", ""));
    world.sent(CALLER, "SIP/2.0 200");
    assert_eq!(world.load(0), 0);
}

// Duty 32, RFC 3261 §16.4: only for a URI that we put into a Record-Route.
#[test]
fn a_request_uri_of_others_stays_where_it_is() {
    for foreign in ["sip:203.0.113.8;lr", "sip:192.0.2.1:5099;lr", "sip:b@203.0.113.8"] {
        let (uri, routes) = bye(foreign, &route("<sip:203.0.113.9;lr>, <sip:b@203.0.113.1>"), FAR);
        assert_eq!((&*uri, &*routes[0]), (foreign, "<sip:203.0.113.9;lr>, <sip:b@203.0.113.1>"));
    }
}

// Duty 33, RFC 3261 §16.4: a maddr that names us goes away, with the port and transport beside it; the rest decides.
#[test]
fn a_maddr_that_names_us_is_stripped_and_not_followed() {
    for (given, kept) in [
        ("sip:b@203.0.113.9;maddr=192.0.2.1", "sip:b@203.0.113.9"),
        ("sip:b@203.0.113.9:5060;transport=udp;maddr=192.0.2.1", "sip:b@203.0.113.9"),
        ("sip:b@203.0.113.9;x=1;MADDR=sip.Example.com;y", "sip:b@203.0.113.9;x=1;y"),
        ("sip:b@203.0.113.9;maddr=192.0.2.1;user=phone", "sip:b@203.0.113.9;user=phone"),
    ] {
        assert_eq!(bye(given, "", FAR), (kept.to_owned(), vec![]), "{given}");
        let ack = in_dialog("ACK", &given.replace("sip.Example.com", "192.0.2.1"), "");
        assert_eq!(uri(&forwarded_to(&mut World::new(), &ack, FAR)), kept);
    }
    let dispatched = request("INVITE", "sip:b@example.com;maddr=192.0.2.1", "inv", "");
    assert_eq!(uri(&forwarded(&mut World::new(), &dispatched)), "sip:b@example.com");
}

// Duty 33, RFC 3261 §16.4, §19.1.1: another's maddr stays and says where an in-dialog request goes.
#[test]
fn a_maddr_of_others_is_kept_and_followed() {
    for (given, to) in [
        ("sip:b@example.com;maddr=203.0.113.9", FAR),
        ("sip:b@203.0.113.8:5070;maddr=203.0.113.9", "203.0.113.9:5070"),
        ("sip:b@203.0.113.8:5099;maddr=192.0.2.1", "192.0.2.1:5099"),
    ] {
        assert_eq!(bye(given, "", to).0, given);
    }
}

// Duty 34, RFC 3261 §16.4: the first Route value is removed when it names us, however it is spelled, and only it.
#[test]
fn the_first_route_value_is_removed_when_it_names_us_by_any_name() {
    for ours in [
        "<sip:192.0.2.1;lr>",
        "<sip:192.0.2.1:5060;lr>",
        "<SIP:192.0.2.1;LR>",
        "<sip:someone@192.0.2.1;lr;x=y>",
        "\"Us, really\" <sip:192.0.2.1;lr>;p=1",
        "sip:192.0.2.1",
        "<sip:sip.example.com;lr>",
        "<sip:SIP.EXAMPLE.COM:5060;lr>",
        "<sip:[2001:db8::1];lr>",
        "<sip:[2001:DB8:0:0::1]:5060;lr>",
    ] {
        let kept = (String::from("sip:b@example.com"), vec![String::from("<sip:203.0.113.9;lr>")]);
        assert_eq!(bye("sip:b@example.com", &route(&format!("{ours} ,  <sip:203.0.113.9;lr>")), FAR), kept, "{ours}");
        assert_eq!(bye("sip:b@example.com", &(route(ours) + &route("<sip:203.0.113.9;lr>")), FAR), kept, "{ours}");
        assert_eq!(bye("sip:b@203.0.113.9", &route(ours), FAR), ("sip:b@203.0.113.9".into(), vec![]), "{ours}");
    }
}

// Duty 34, RFC 3261 §16.4: what is not ours stays, and ours behind it too.
#[test]
fn route_values_that_do_not_name_us_first_are_kept() {
    for (kept, to) in [
        ("<sip:192.0.2.1:5099;lr>", "192.0.2.1:5099"),
        ("<sip:203.0.113.9;lr>, <sip:192.0.2.1;lr>", FAR),
        ("<sip:192.0.2.1@203.0.113.9;lr>", FAR),
    ] {
        assert_eq!(bye("sip:b@example.com", &route(kept), to), ("sip:b@example.com".into(), vec![kept.into()]));
    }
    // Without r2 on both it is no double Record-Route, and the second is another hop: us again.
    for (first, second) in [(";lr", ";lr;r2=on"), (";lr;r2=on", ";lr"), (";lr", ";lr")] {
        let single = route(&format!("<sip:192.0.2.1{first}>, <sip:192.0.2.1:5060{second}>"));
        let kept = format!("<sip:192.0.2.1:5060{second}>");
        assert_eq!(bye("sip:b@example.com", &single, "192.0.2.1:5060").1, [kept]);
    }
    let twice = route("<sip:192.0.2.1;lr>") + &route("<sip:203.0.113.9;lr>") + &route("<sip:192.0.2.1;lr>");
    assert_eq!(bye("sip:b@example.com", &twice, FAR).1, ["<sip:203.0.113.9;lr>", "<sip:192.0.2.1;lr>"]);
}

// Duty 34, RFC 3261 §16.4, §16.6.4: of a double Record-Route both values are ours, and the second says how to leave.
#[test]
fn both_values_of_a_double_record_route_are_removed_and_lead_over_the_right_socket() {
    let caller = "[2001:db8::7]:5060";
    let mut world = World::new();
    world.receive_on(1, caller, invite());
    world.sent(caller, "SIP/2.0 100");
    let invite = world.sent(DESTINATIONS[0], "INVITE");
    let [near, far]: [String; 2] = [invite.all("Record-Route")[0].into(), invite.all("Record-Route")[1].into()];
    assert!(near.starts_with("<sip:192.0.2.1:5060;lr;") && far.starts_with("<sip:[2001:db8::1]:5060;lr;"));
    world.receive(DESTINATIONS[0], answer(&invite, "200 OK", "to1", "Contact: <sip:b@203.0.113.1:5060>\r\n"));
    world.sent(caller, "SIP/2.0 200");
    world.receive_on(1, caller, in_dialog("INFO", "sip:b@203.0.113.1", &(route(&far) + &route(&near))));
    let info = world.sent(DESTINATIONS[0], "INFO");
    assert_eq!((info.socket, info.all("Route").len()), (0, 0));
    let back = tagged(&request("NOTIFY", "sip:a@[2001:db8::7]:5060", "back", &route(&format!("{near},{far}"))));
    world.receive_on(0, DESTINATIONS[0], back);
    let notify = world.sent(caller, "NOTIFY");
    assert_eq!((notify.socket, notify.all("Route").len()), (1, 0));
    assert!(notify.header("Via").starts_with("SIP/2.0/UDP [2001:db8::1]:5060;"), "{}", notify.text);
}

// Duty 34, RFC 3261 §16.6.4: where both sockets could reach the next hop, the second value still says by which one.
#[test]
fn the_second_value_of_a_double_record_route_names_the_socket_to_leave_by() {
    let other = "192.0.2.1:5070";
    let mut settings = settings();
    settings.listen.push(listen(other));
    let mut world = world_with(settings);
    let routes = route("<sip:192.0.2.1;lr;r2=on>, <sip:192.0.2.1:5070;lr;r2=on>");
    let sent = forwarded_to(&mut world, &in_dialog("INFO", "sip:b@203.0.113.9", &routes), FAR);
    assert_eq!((sent.socket, sent.all("Route").len()), (2, 0));
    assert!(sent.header("Via").starts_with("SIP/2.0/UDP 192.0.2.1:5070;"), "{}", sent.text);
}

// Duty 34, RFC 3261 §16.4: a new request that has only us in its Route is dispatched without it.
#[test]
fn a_new_request_with_only_our_route_is_dispatched() {
    for preloaded_route in [PreloadedRoute::Follow, PreloadedRoute::Reject] {
        let mut world = world_with(Settings { preloaded_route, ..settings() });
        let sent = forwarded(&mut world, &request("INVITE", "sip:b@example.com", "inv", &route("<sip:192.0.2.1;lr>")));
        assert_eq!((uri(&sent), sent.all("Route").len()), ("sip:b@example.com", 0));
    }
}

// Duty 35, RFC 3261 §16.5: a foreign Request-URI is the only target of a request in a dialog.
#[test]
fn an_in_dialog_request_goes_to_its_request_uri_and_nowhere_else() {
    let mut world = World::new();
    let sent = forwarded_to(&mut world, &in_dialog("BYE", "sip:b@203.0.113.9", ""), FAR);
    world.unreachable(&sent);
    world.sent(CALLER, "SIP/2.0 500");
    world.wait_ms(1_000);
    world.nothing_left();
}

// Duty 35, RFC 3261 §16.5: the site's policy sends a new request to the set instead, its Request-URI untouched.
#[test]
fn a_new_request_for_a_foreign_domain_is_dispatched_by_policy() {
    for foreign in ["sip:b@203.0.113.9", "sip:b@elsewhere.example.net;x=y"] {
        assert_eq!(uri(&forwarded(&mut World::new(), &request("INVITE", foreign, "inv", ""))), foreign);
    }
}

// Duty 36, RFC 3261 §16.5: a target enters the set once.
#[test]
fn no_target_is_tried_twice() {
    let [a, b, _] = DESTINATIONS;
    // As in Kamailio a set may name a destination twice; a request does not go there twice.
    for members in [vec![a, b], vec![a, a, b], vec![a, b, a, b]] {
        let mut world = World::with(settings(), vec![set(Algorithm::Priority, &members)], vec![]);
        let first = forwarded(&mut world, &invite());
        world.receive(a, answer(&first, "500 No", "to1", ""));
        world.sent(a, "ACK");
        let second = world.sent(b, "INVITE");
        world.receive(b, answer(&second, "500 No", "to2", ""));
        world.sent(b, "ACK");
        world.sent(CALLER, "SIP/2.0 500");
        world.nothing_left();
    }
    let mut alone = World::with(settings(), vec![set(Algorithm::Priority, &[a, a])], vec![]);
    forwarded(&mut alone, &invite());
    alone.wait_ms(2_500);
    assert_eq!(alone.proxy.stats().answer_timeouts, 0, "there is nobody else to try");
}

// Duty 36, RFC 3261 §16.5: the Contacts of a 3xx are not tried: the caller gets them.
#[test]
fn a_redirection_is_passed_on_and_not_followed() {
    let mut world = World::new();
    let sent = forwarded(&mut world, &invite());
    let contacts = "Contact: <sip:b@203.0.113.2>, <sip:b@203.0.113.9>\r\n";
    world.receive(DESTINATIONS[0], answer(&sent, "302 Moved Temporarily", "to1", contacts));
    world.sent(DESTINATIONS[0], "ACK");
    let moved = world.sent(CALLER, "SIP/2.0 302");
    assert_eq!(moved.header("Contact"), "<sip:b@203.0.113.2>, <sip:b@203.0.113.9>");
    world.nothing_left();
}

// Duty 45, RFC 3261 §16.6.4, §16.6.7, RFC 5630 §4: sips asks for TLS, which is not there: never by UDP.
#[test]
fn sips_is_never_forwarded_by_udp() {
    for method in ["INVITE", "MESSAGE"] {
        refused(&request(method, "sips:b@example.com", "s", ""), "416");
        refused(&request(method, "sip:b@example.com", "s", &route("<sips:203.0.113.9:5061;lr>")), "500");
    }
    refused(&in_dialog("BYE", "sips:b@203.0.113.9", ""), "416");
    refused(&in_dialog("BYE", "sip:b@example.com", &route("<sip:192.0.2.1;lr>, <sips:203.0.113.9;lr>")), "500");
    unanswered(in_dialog("ACK", "sips:b@203.0.113.9", ""));
    unanswered(in_dialog("ACK", "sip:b@example.com", &route("<sips:203.0.113.9;lr>")));
}

// Duty 46, RFC 3261 §16.6.6: towards a strict router its URI is the Request-URI, and ours the last Route value.
#[test]
fn a_strict_router_gets_its_uri_in_the_request_line_and_the_real_one_at_the_end_of_the_route() {
    let strict = "<sip:203.0.113.9;x=1>";
    for (routes, left) in [
        (route(strict), vec![]),
        (route(&format!("<sip:192.0.2.1;lr>, {strict}")), vec![]),
        (route("<sip:192.0.2.1;lr>") + &route(strict) + &route("<sip:p;lr>"), vec!["<sip:p;lr>"]),
        (route(&format!("{strict} , <sip:p;lr>,<sip:q>")), vec!["<sip:p;lr>,<sip:q>"]),
        (route(&format!("<sip:192.0.2.1;lr> , {strict}, <sip:p;lr>")), vec!["<sip:p;lr>"]),
    ] {
        let (uri, got) = bye("sip:b@203.0.113.1:5070;x=y", &routes, FAR);
        assert_eq!(uri, "sip:203.0.113.9;x=1", "{routes}");
        assert_eq!(got, [left, vec!["<sip:b@203.0.113.1:5070;x=y>"]].concat(), "{routes}");
    }
}

// Duty 46, RFC 3261 §16.4, §16.6.6: between two strict routers the last value comes back and goes there again.
#[test]
fn between_two_strict_routers_the_route_is_put_right_twice() {
    for routes in ["<sip:203.0.113.9>, <sip:b@203.0.113.1>", "<sip:203.0.113.9>\r\nRoute: <sip:b@203.0.113.1>"] {
        let got = bye("sip:192.0.2.1;lr", &route(routes), FAR);
        assert_eq!(got, ("sip:203.0.113.9".into(), vec!["<sip:b@203.0.113.1>".into()]));
    }
}

// Duty 47, RFC 3261 §16.6.6: the dispatcher never pushes a request past a Route that it brings: it follows, or is
// refused.
#[test]
fn a_new_request_with_a_foreign_route_follows_it_or_is_refused_by_policy() {
    let text = request("INVITE", "sip:b@example.com", "inv", &route("<sip:192.0.2.1;lr>, <sip:203.0.113.9;lr>"));
    let sent = forwarded_to(&mut World::new(), &text, FAR);
    assert_eq!((uri(&sent), sent.header("Route")), ("sip:b@example.com", "<sip:203.0.113.9;lr>"));
    let reject = || world_with(Settings { preloaded_route: PreloadedRoute::Reject, ..settings() });
    refused_by(&mut reject(), &text, "403");
    let bye = in_dialog("BYE", "sip:b@example.com", &route("<sip:203.0.113.9;lr>"));
    assert_eq!(forwarded_to(&mut reject(), &bye, FAR).header("Route"), "<sip:203.0.113.9;lr>");
}

// Duty 48, RFC 3261 §16.6.7, RFC 3263 §4.2: the first Route value says where to, else the Request-URI; 5060 unless it
// says so.
#[test]
fn the_next_hop_is_the_first_route_value_or_else_the_request_uri() {
    for (uri, routes, to) in [
        ("sip:b@203.0.113.8", "", "203.0.113.8:5060"),
        ("sip:b@203.0.113.8:5080", "", "203.0.113.8:5080"),
        ("sip:b@[2001:db8::9]:5080", "", "[2001:db8::9]:5080"),
        ("sip:b@203.0.113.8", "Route: <sip:203.0.113.9:5070;lr>\r\n", "203.0.113.9:5070"),
        ("sip:b@203.0.113.8", "Route: <sip:[2001:db8::9];lr>\r\n", "[2001:db8::9]:5060"),
        ("sip:b@203.0.113.8", "Route: <sip:x.example.com;lr;maddr=203.0.113.9>\r\n", FAR),
        ("sip:b@203.0.113.8;transport=UDP", "", "203.0.113.8:5060"),
        ("sip:b@203.0.113.8;transport=tcp", "Route: <sip:203.0.113.9;lr;transport=udp>\r\n", FAR),
    ] {
        assert_eq!(bye(uri, routes, to).0, uri);
    }
}

// Duty 48, RFC 3263 §4.1: the transport that a URI names must be used: without it there is no way to go.
#[test]
fn a_next_hop_by_another_transport_is_refused() {
    for transport in ["tcp", "tls", "sctp", "ws"] {
        let uri = format!("sip:b@203.0.113.8;transport={transport}");
        refused(&in_dialog("BYE", &uri, ""), "500");
        refused(&in_dialog("BYE", "sip:b@203.0.113.8", &route(&format!("<{uri};lr>"))), "500");
        unanswered(in_dialog("ACK", &uri, ""));
        // Of a request that the dispatcher sends, the set says where to, and how.
        forwarded(&mut World::new(), &request("INVITE", &uri, "inv", ""));
    }
}

// Duty 48, RFC 3261 §16.6.7: a name that nobody looks up is a failed target, said at once.
#[test]
fn a_next_hop_that_is_a_name_is_refused() {
    refused(&in_dialog("BYE", "sip:b@gateway.example.com", ""), "500");
    refused(&in_dialog("BYE", "sip:b@203.0.113.8", &route("<sip:gateway.example.com;lr>")), "500");
    unanswered(in_dialog("ACK", "sip:b@gateway.example.com", ""));
}

// Duty 48, RFC 3261 §16.6.7: targets are tried in order until one works.
#[test]
fn targets_are_tried_in_order_until_one_works() {
    let mut world = World::new();
    let first = forwarded(&mut world, &invite());
    world.receive(DESTINATIONS[0], answer(&first, "503 Later", "to1", ""));
    world.sent(DESTINATIONS[0], "ACK");
    let second = world.sent(DESTINATIONS[1], "INVITE");
    world.receive(DESTINATIONS[1], answer(&second, "200 OK", "to2", ""));
    world.sent(CALLER, "SIP/2.0 200");
    world.wait_ms(1_000);
    world.nothing_left();
}

// Duty 34, 43, RFC 3261 §16.4: bound and advertised address both name us.
#[test]
fn the_bound_and_the_advertised_address_both_name_us() {
    let advertised = "198.18.0.1:5070".to_owned();
    let listen = vec![Listen { advertised, ..listen("192.0.2.1:5060") }];
    let world = || world_with(Settings { listen: listen.clone(), ..settings() });
    for ours in ["<sip:198.18.0.1:5070;lr>", "<sip:192.0.2.1;lr>"] {
        let got = bye_through(&mut world(), "sip:b@203.0.113.9", &route(ours), FAR);
        assert_eq!(got, ("sip:b@203.0.113.9".into(), vec![]));
    }
    let mut world = world();
    let invite = call(&mut world);
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP 198.18.0.1:5070;branch="), "{}", invite.text);
    assert!(invite.header("Record-Route").starts_with("<sip:198.18.0.1:5070;lr"), "{}", invite.text);
}
