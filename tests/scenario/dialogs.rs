//! Dialogs: they count calls and their load; in-dialog requests follow their Route (RFC 3261 §12, §15).

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::Health;
use std::time::Duration;

#[test]
fn either_side_may_hang_up() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(FIRST, from_callee("BYE", "cbye", &invite, "to1"));
    let bye = world.sent(CALLER, "BYE sip:a@198.51.100.1:5060");
    assert_eq!(world.load(0), 1, "the call ends with the answer");
    world.receive(CALLER, answer(&bye, "200 OK", "from1", ""));
    world.sent(FIRST, "SIP/2.0 200");
    assert_eq!(world.load(0), 0);
    ends_clean(world);
}

// RFC 6026 §7.1, §7.2: after a 2xx nothing is sent again, though both transactions of the INVITE live on for 64*T1.
#[test]
fn an_answered_call_keeps_no_message() {
    let mut world = single();
    let invite = call(&mut world);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    relayed(&mut world, FIRST, &invite, "200 OK");
    assert_eq!((world.proxy.stored_bytes(), world.proxy.transactions()), (0, 1));
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    world.receive(FIRST, answer(&invite, "200 OK", "to1", ""));
    world.sent(CALLER, "SIP/2.0 200");
    world.receive(CALLER, super::world::invite());
    world.nothing_left();
    world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
    let bye = world.sent(FIRST, "BYE");
    relayed(&mut world, FIRST, &bye, "200 OK");
    world.wait_ms(6_000);
    // Timer J: the answer to the BYE may have to be sent again.
    assert!((1..=1024).contains(&world.proxy.stored_bytes()), "{} bytes", world.proxy.stored_bytes());
    ends_clean(world);
}

// RFC 3261 §15.1.1: the call is over for who sent BYE, whatever the answer, or without one.
#[test]
fn a_bye_ends_the_call_whatever_its_answer_is() {
    for status in ["200 OK", "481 Call/Transaction Does Not Exist", "500 Server Internal Error"] {
        let mut world = single();
        let invite = established(&mut world);
        world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
        let bye = world.sent(FIRST, "BYE");
        relayed(&mut world, FIRST, &bye, status);
        assert_eq!(world.load(0), 0, "{status}");
        ends_clean(world);
    }
}

#[test]
fn a_bye_without_answer_ends_the_call_too() {
    let mut world = single();
    let invite = established(&mut world);
    world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
    world.wait_ms(31_500);
    assert_eq!(world.load(0), 1);
    world.wait_ms(6_000);
    assert_eq!((world.load(0), world.proxy.dialogs()), (0, 0));
    world.sent.clear();
    ends_clean(world);
}

// RFC 3261 §22.2: a challenged BYE comes again with credentials.
#[test]
fn a_challenged_bye_does_not_end_the_call() {
    for status in ["407 Proxy Authentication Required", "401 Unauthorized"] {
        let mut world = single();
        let invite = established(&mut world);
        world.receive(CALLER, in_dialog("BYE", "bye", &invite, "to1"));
        let bye = world.sent(FIRST, "BYE");
        relayed(&mut world, FIRST, &bye, status);
        world.wait_ms(40_000);
        assert_eq!((world.load(0), world.proxy.dialogs()), (1, 1));
        let again = in_dialog("BYE", "bye2", &invite, "to1").replace("CSeq: 2", "CSeq: 3");
        world.receive(CALLER, again);
        let bye = world.sent(FIRST, "BYE");
        relayed(&mut world, FIRST, &bye, "200 OK");
        assert_eq!(world.load(0), 0);
        ends_clean(world);
    }
}

#[test]
fn a_bye_with_foreign_tags_or_another_call_id_ends_nothing() {
    let mut world = single();
    let invite = established(&mut world);
    let bye = in_dialog("BYE", "bye", &invite, "to1");
    for foreign in [
        bye.replace("tag=to1", "tag=to9").replace("z9hG4bKbye", "z9hG4bKbye1"),
        other_call(&bye).replace("tag=from1", "tag=from9"),
    ] {
        world.receive(CALLER, foreign);
        let passed = world.sent(FIRST, "BYE");
        relayed(&mut world, FIRST, &passed, "481 Call/Transaction Does Not Exist");
        assert_eq!(world.load(0), 1);
    }
    assert_eq!(world.proxy.stats().dialog_misses, 1);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// A cookie that is forged or from before a restart: the request follows its Route all the same (RFC 3261 §16.4).
#[test]
fn a_request_whose_cookie_names_no_dialog_follows_its_route() {
    let mut world = single();
    let invite = established(&mut world);
    let cookie = invite.header("Record-Route").split("did=").nth(1).unwrap().trim_end_matches('>').to_owned();
    for did in ["0".repeat(24), "x".into(), String::new()] {
        let bye = in_dialog("BYE", &format!("bye{did}"), &invite, "to1").replace(&cookie, &did);
        world.receive(CALLER, bye);
        let passed = world.sent(FIRST, "BYE");
        relayed(&mut world, FIRST, &passed, "200 OK");
        assert_eq!(world.load(0), 1);
    }
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// RFC 3261 §13.2.2.4: one INVITE may make several dialogs below us; the call lasts until the last of them ends.
#[test]
fn each_forked_2xx_is_a_leg_and_the_last_bye_ends_the_call() {
    let mut world = single();
    let invite = call(&mut world);
    for tag in ["fork1", "fork2", "fork1"] {
        world.receive(FIRST, answer(&invite, "200 OK", tag, ""));
        world.sent(CALLER, "SIP/2.0 200");
    }
    assert_eq!((world.load(0), world.proxy.dialogs()), (1, 1));
    hang_up(&mut world, &invite, "fork2");
    assert_eq!(world.load(0), 1);
    world.receive(FIRST, from_callee("BYE", "cbye", &invite, "fork1"));
    let bye = world.sent(CALLER, "BYE");
    world.receive(CALLER, answer(&bye, "200 OK", "from1", ""));
    world.sent(FIRST, "SIP/2.0 200");
    assert_eq!(world.load(0), 0);
    ends_clean(world);
}

#[test]
fn a_retransmitted_200_after_the_bye_does_not_revive_the_call() {
    let mut world = single();
    let invite = established(&mut world);
    hang_up(&mut world, &invite, "to1");
    world.receive(FIRST, answer(&invite, "200 OK", "to1", ""));
    world.sent(CALLER, "SIP/2.0 200");
    assert_eq!(world.load(0), 0);
    ends_clean(world);
}

#[test]
fn a_call_that_nobody_ends_gives_its_load_back_when_it_expires() {
    let mut world = configured(1, |settings| settings.dialog.confirmed = Duration::from_secs(600));
    let invite = established(&mut world);
    world.wait(Duration::from_secs(599));
    assert_eq!((world.load(0), world.proxy.dialogs()), (1, 1));
    world.wait(Duration::from_secs(2));
    assert_eq!((world.load(0), world.proxy.dialogs(), world.proxy.stats().dialogs_expired), (0, 0, 1));
    // Its late BYE finds no dialog, and its way all the same.
    hang_up(&mut world, &invite, "to1");
    assert_eq!(world.proxy.stats().dialog_misses, 1);
    ends_clean(world);
}

#[test]
fn a_request_in_the_dialog_makes_it_live_on() {
    let mut world = configured(1, |settings| settings.dialog.confirmed = Duration::from_secs(600));
    let invite = established(&mut world);
    for at in 0..3 {
        world.wait(Duration::from_secs(500));
        let update = match at {
            1 => from_callee("UPDATE", "cup", &invite, "to1"),
            _ => in_dialog("UPDATE", &format!("up{at}"), &invite, "to1"),
        };
        let (from, to) = if at == 1 { (FIRST, CALLER) } else { (CALLER, FIRST) };
        world.receive(from, update);
        let passed = world.sent(to, "UPDATE");
        world.receive(to, answer(&passed, "200 OK", "to1", ""));
        world.sent(from, "SIP/2.0 200");
    }
    assert_eq!((world.load(0), world.proxy.stats().dialogs_expired), (1, 0));
    world.wait(Duration::from_secs(601));
    assert_eq!((world.load(0), world.proxy.stats().dialogs_expired), (0, 1));
    ends_clean(world);
}

#[test]
fn the_load_is_there_from_the_invite_on_and_a_re_invite_adds_none() {
    let mut world = single();
    let sent = call(&mut world);
    assert_eq!(world.load(0), 1);
    relayed(&mut world, FIRST, &sent, "200 OK");
    assert_eq!(world.load(0), 1);
    world.receive(CALLER, in_dialog("INVITE", "re", &sent, "to1").replace("CSeq: 1", "CSeq: 2"));
    world.sent(CALLER, "SIP/2.0 100");
    let again = world.sent(FIRST, "INVITE");
    relayed(&mut world, FIRST, &again, "200 OK");
    assert_eq!((world.load(0), world.proxy.dialogs(), world.proxy.stats().calls), (1, 1, 1));
    hang_up(&mut world, &sent, "to1");
    ends_clean(world);
}

// RFC 3261 §14.1: a re-INVITE that fails leaves the dialog as it was.
#[test]
fn a_failed_re_invite_ends_nothing() {
    let mut world = single();
    let sent = established(&mut world);
    world.receive(CALLER, in_dialog("INVITE", "re", &sent, "to1"));
    world.sent(CALLER, "SIP/2.0 100");
    let again = world.sent(FIRST, "INVITE");
    refused(&mut world, FIRST, &again, "488 Not Acceptable Here");
    let response = world.sent(CALLER, "SIP/2.0 488");
    world.receive(CALLER, hop_ack(&response).replace("z9hG4bKinv", "z9hG4bKre"));
    assert_eq!(world.load(0), 1);
    hang_up(&mut world, &sent, "to1");
    ends_clean(world);
}

#[test]
fn a_call_goes_on_when_its_destination_goes_down() {
    let mut world = single();
    let invite = established(&mut world);
    set_health(&world, 0, Health::Inactive);
    world.receive(CALLER, in_dialog("INFO", "info", &invite, "to1"));
    let info = world.sent(FIRST, "INFO");
    relayed(&mut world, FIRST, &info, "200 OK");
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

// The orders in which repeated INVITEs, 2xx and ACKs may arrive.
#[test]
fn repeated_messages_of_the_handshake_do_no_harm_in_any_order() {
    let ok = |world: &mut World, sent: &Sent| {
        relayed(world, FIRST, sent, "200 OK");
    };
    let again = |world: &mut World, _: &Sent| {
        world.receive(CALLER, invite());
        world.nothing_left();
    };
    let ack = |world: &mut World, sent: &Sent| {
        world.receive(CALLER, in_dialog("ACK", "ack", sent, "to1"));
        world.sent(FIRST, "ACK");
    };
    type Event<'a> = &'a dyn Fn(&mut World, &Sent);
    let orders: [[Event<'_>; 4]; 5] = [
        [&again, &ok, &ack, &ack],
        [&ack, &again, &ok, &ack],
        [&ok, &ok, &ack, &again],
        [&ack, &ok, &again, &ok],
        [&again, &again, &ack, &ok],
    ];
    for order in orders {
        let mut world = single();
        let sent = call(&mut world);
        ok(&mut world, &sent);
        for event in order {
            world.wait_ms(500);
            event(&mut world, &sent);
        }
        assert_eq!((world.load(0), world.proxy.dialogs(), world.proxy.stats().calls_answered), (1, 1, 1));
        hang_up(&mut world, &sent, "to1");
        ends_clean(world);
    }
}

// Duty 98, RFC 4028 §8.1, §8.2: we do not ask for session timers, so theirs pass unchanged in both directions.
#[test]
fn session_timer_headers_pass_unchanged() {
    let mut world = single();
    let asked = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\nMin-SE: 60\r\n";
    world.receive(CALLER, request("INVITE", "sip:b@example.com", "inv", asked));
    world.sent(CALLER, "SIP/2.0 100");
    let sent = world.sent(FIRST, "INVITE");
    assert!(sent.text.contains(asked));
    let given = "Require: timer\r\nSession-Expires: 90;refresher=uas\r\n";
    world.receive(FIRST, answer(&sent, "200 OK", "to1", given));
    assert!(world.sent(CALLER, "SIP/2.0 200").text.contains(given));
    hang_up(&mut world, &sent, "to1");
    ends_clean(world);
}

// Duty 98, RFC 4028 §6, §8.1: a 422 is the callee's to send and goes back as it is; who asked for no timer gets none.
#[test]
fn a_422_is_passed_on_and_no_timer_is_added() {
    let mut world = single();
    let sent = call(&mut world);
    assert_eq!(sent.all("Session-Expires").len() + sent.all("Min-SE").len(), 0);
    world.receive(FIRST, answer(&sent, "422 Session Interval Too Small", "to1", "Min-SE: 180\r\n"));
    world.sent(FIRST, "ACK");
    assert_eq!(fails_with(&mut world, "422").header("Min-SE"), "180");
    ends_clean(world);
}
