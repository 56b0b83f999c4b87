//! What is seen of calls from beside: stages, ends, load holders, decisions, and explanations that come true.

use super::more_b::*;
use super::world::*;
use siplane::dispatcher::{Admin, Algorithm, SetId, Verdict};
use siplane::proxy::{
    Action, DEFAULT_SET, Datagram, DialogStage, MethodName, Mismatch, Network, Outcome, Proxy, Rule, ShardId, SocketId,
};
use std::time::Duration;

fn detailed(count: usize) -> World {
    configured(count, |settings| (settings.dialog_details, settings.decisions_every) = (true, 1))
}

fn stages(world: &World) -> Vec<DialogStage> {
    world.proxy.dialogs_in(0..world.proxy.dialog_slots()).map(|dialog| dialog.stage()).collect()
}

// RFC 3261 §12.1, §13.2.2.4
#[test]
fn a_dialog_goes_from_stage_to_stage() {
    let mut world = detailed(1);
    assert_eq!(stages(&world), []);
    let invite = call(&mut world);
    assert_eq!(stages(&world), [DialogStage::Unanswered]);
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    assert_eq!(stages(&world), [DialogStage::Early]);
    relayed(&mut world, FIRST, &invite, "200 OK");
    assert_eq!(stages(&world), [DialogStage::Unacknowledged]);
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    assert_eq!(stages(&world), [DialogStage::Confirmed]);
    hang_up(&mut world, &invite, "to1");
    assert_eq!(stages(&world), [DialogStage::Terminated], "its INVITE transaction lives");
    ends_clean(world);
}

#[test]
fn a_call_that_rings_shows_its_invite_and_one_that_is_up_both_its_ends() {
    let mut world = detailed(1);
    let began = world.now;
    let sent = call(&mut world);
    world.wait_ms(700);
    let all = |world: &World| world.proxy.dialogs_in(0..9).map(|dialog| dialog.slot()).collect::<Vec<_>>();
    assert_eq!(all(&world), [0]);
    let dialog = world.proxy.dialogs_in(0..9).next().unwrap();
    let ringing = dialog.invite().unwrap();
    assert_eq!((ringing.bytes, ringing.source), (invite().as_bytes(), CALLER.parse().unwrap()));
    assert_eq!((dialog.began_at(), dialog.legs().count()), (Some(began), 0));
    let target = world.policy.table.destination(dialog.ringing_at().unwrap()).unwrap();
    assert_eq!(target.address, FIRST.parse().unwrap());
    world.sent.clear();
    let answered = world.now;
    relayed(&mut world, FIRST, &sent, "200 OK");
    let dialog = world.proxy.dialogs_in(0..9).next().unwrap();
    assert!(dialog.invite().is_none() && dialog.began_at() == Some(began));
    let leg = dialog.legs().next().unwrap();
    let ends = leg.ends().unwrap();
    assert_eq!((leg.is_acked(), ends.answered_at(), ends.call_id()), (false, answered, &b"call-1@198.51.100.1"[..]));
    let [caller, callee] = [ends.caller(), ends.callee()];
    assert_eq!(caller.name, sent.header("From").as_bytes());
    assert!(callee.name.ends_with(b";tag=to1"), "{:?}", String::from_utf8_lossy(callee.name));
    assert_eq!((caller.contact, caller.cseq, callee.cseq), (&b"sip:a@198.51.100.1:5060"[..], 1, 0));
    world.receive(CALLER, in_dialog("ACK", "ack", &sent, "to1"));
    world.sent(FIRST, "ACK");
    hang_up(&mut world, &sent, "to1");
    ends_clean(world);
}

#[test]
fn without_details_an_answered_call_keeps_its_state_and_no_text() {
    let mut world = single();
    let invite = established(&mut world);
    let dialog = world.proxy.dialogs_in(0..9).next().unwrap();
    assert_eq!((dialog.stage(), dialog.began_at()), (DialogStage::Confirmed, None));
    assert!(dialog.invite().is_none() && dialog.legs().all(|leg| leg.ends().is_none()));
    assert!(dialog.expires_at() > Some(world.now));
    assert_eq!(world.proxy.stored_bytes(), 0);
    hang_up(&mut world, &invite, "to1");
    ends_clean(world);
}

#[test]
fn each_leg_of_a_forked_call_shows_both_its_ends() {
    // RFC 3261 §13.2.2.4: the INVITE is gone when the second 2xx comes.
    let mut world = detailed(1);
    let sent = call(&mut world);
    for tag in ["to1", "to2"] {
        world.receive(FIRST, answer(&sent, "200 OK", tag, &format!("Contact: <sip:{tag}@203.0.113.9>\r\n")));
        world.sent(CALLER, "SIP/2.0 200");
    }
    let dialog = world.proxy.dialogs_in(0..9).next().unwrap();
    let ends: Vec<_> = dialog.legs().map(|leg| leg.ends().unwrap()).collect();
    let callers: Vec<_> = ends.iter().map(|ends| (ends.call_id(), ends.caller())).collect();
    assert_eq!((callers.len(), callers[0], callers[0].1.contact), (2, callers[1], &b"sip:a@198.51.100.1:5060"[..]));
    let contacts: Vec<_> = ends.iter().map(|ends| ends.callee().contact).collect();
    assert_eq!(contacts, [b"sip:to1@203.0.113.9", b"sip:to2@203.0.113.9"]);
    for tag in ["to1", "to2"] {
        world.receive(CALLER, in_dialog("ACK", tag, &sent, tag));
        world.sent(FIRST, "ACK");
        hang_up(&mut world, &sent, tag);
    }
    ends_clean(world);
}

#[test]
fn what_is_kept_for_details_is_given_back_with_the_call() {
    let mut world = detailed(1);
    let invite = established(&mut world);
    assert!(world.proxy.stored_bytes() > 0);
    hang_up(&mut world, &invite, "to1");
    world.wait(Duration::from_secs(40));
    assert_eq!((world.proxy.stored_bytes(), world.proxy.dialogs()), (0, 0));
    ends_clean(world);
}

fn holders(world: &World) -> (usize, usize) {
    let legs = world.proxy.dialogs_in(0..9).flat_map(|dialog| dialog.legs().collect::<Vec<_>>());
    (world.proxy.branches_in(0..9).count(), legs.filter(|leg| leg.state().is_some()).count())
}

#[test]
fn the_load_of_a_call_is_seen_where_it_is() {
    let mut world = detailed(2);
    let invite = call(&mut world);
    assert_eq!((holders(&world), world.load(0)), ((1, 0), 1));
    let branch = world.proxy.branches_in(0..9).next().unwrap();
    assert_eq!((branch.sent_at(), branch.is_heard(), branch.invite()), (world.now, false, &invite.bytes[..]));
    relayed(&mut world, FIRST, &invite, "180 Ringing");
    assert!(world.proxy.branches_in(0..9).next().unwrap().is_heard());
    relayed(&mut world, FIRST, &invite, "200 OK");
    assert_eq!((holders(&world), world.load(0)), ((0, 1), 1));
    world.receive(CALLER, in_dialog("ACK", "ack", &invite, "to1"));
    world.sent(FIRST, "ACK");
    hang_up(&mut world, &invite, "to1");
    assert_eq!((holders(&world), world.load(0)), ((0, 0), 0));
    ends_clean(world);
}

#[test]
fn a_decision_names_the_targets_those_that_were_tried_and_the_answer() {
    let mut world = detailed(3);
    let invite = call(&mut world);
    refused(&mut world, FIRST, &invite, "500 Server Internal Error");
    let second = world.sent(SECOND, "INVITE");
    assert_eq!(world.proxy.decisions().count(), 0, "it is not decided yet");
    refused(&mut world, SECOND, &second, "486 Busy Here");
    world.sent(CALLER, "SIP/2.0 486");
    let decided = world.proxy.decisions().next().unwrap();
    assert_eq!((decided.call_id(), decided.rule), (&b"call-1@198.51.100.1"[..], DEFAULT_SET));
    assert_eq!((decided.set, decided.sets, decided.status), (SetId(1), 1, 486));
    let all: Vec<_> = world.policy.table.sets()[0].destinations.iter().map(|known| known.id).collect();
    assert_eq!((&decided.targets[..], decided.tried().collect::<Vec<_>>()), (&all[..], all[..2].to_vec()));
}

#[test]
fn a_call_that_finds_no_destination_is_a_decision_too() {
    let mut world = detailed(1);
    let state = world.policy.table.sets()[0].destinations[0].state;
    world.policy.table.states().set_admin(state, Admin::Disabled, world.now);
    world.receive(CALLER, invite());
    world.sent(CALLER, "SIP/2.0 503");
    let decided = world.proxy.decisions().next().unwrap();
    assert_eq!((decided.status, decided.targets.len(), decided.tried().count()), (503, 0, 0));
}

fn explain(world: &World, text: &str) -> siplane::proxy::Explanation {
    let mut proxy = Proxy::new(settings(), ShardId { index: 0, count: 1 }, 9, world.now);
    let datagram = Datagram { source: CALLER.parse().unwrap(), socket: SocketId(0), bytes: text.as_bytes() };
    proxy.explain(world.now, &world.policy, datagram)
}

fn rule(action: Action) -> Rule {
    let (methods, user_prefixes, domains, sources, headers) = Default::default();
    Rule { methods, user_prefixes, domains, sources, headers, action }
}

#[test]
fn what_is_explained_is_what_happens_and_explaining_takes_no_turn() {
    let sets = vec![set(Algorithm::RoundRobin, &DESTINATIONS)];
    let mut world = World::with(settings(), sets, vec![]);
    for number in 0..5 {
        let text =
            invite().replace("call-1", &format!("call-{number}")).replace("z9hG4bK", &format!("z9hG4bK{number}"));
        let [one, two] = [explain(&world, &text), explain(&world, &text)];
        assert_eq!((one.outcome, two.sets[0].view.turn), (Outcome::Dispatched, number));
        assert_eq!(*one.sets[0].targets, *two.sets[0].targets);
        let first = world.policy.table.destination(two.sets[0].targets[0]).unwrap().address;
        world.receive(CALLER, text);
        world.sent(CALLER, "SIP/2.0 100");
        world.sent(&first.to_string(), "INVITE");
    }
    assert_eq!(world.policy.table.states().total_load(), 5);
}

#[test]
fn each_rule_that_does_not_take_a_request_says_why() {
    let elsewhere = Network { address: "10.0.0.0".parse().unwrap(), prefix_bits: 8 };
    let rules = vec![
        Rule { methods: vec![MethodName("REGISTER".into())], ..rule(Action::Set(SetId(2))) },
        Rule { sources: vec![elsewhere], ..rule(Action::Set(SetId(2))) },
        Rule { domains: vec!["example.com".into()], ..rule(Action::Set(SetId(1))) },
        rule(Action::Set(SetId(2))),
    ];
    let world = World::with(settings(), vec![set(Algorithm::Priority, &DESTINATIONS)], rules);
    let explained = explain(&world, &invite());
    assert_eq!(explained.rules, [Some(Mismatch::Method), Some(Mismatch::Source), None]);
    assert_eq!((explained.sets.len(), explained.sets[0].view.verdicts.as_slice()), (1, &[Verdict::Open; 3][..]));
}

#[test]
fn an_explanation_follows_the_fallback_and_ends_with_the_answer() {
    let mut first = set(Algorithm::Priority, &DESTINATIONS[..1]);
    first.fallback = Some(SetId(2));
    let second = siplane::dispatcher::SetSpec { id: SetId(2), ..set(Algorithm::Priority, &DESTINATIONS[1..2]) };
    let world = World::with(settings(), vec![first, second], vec![]);
    let states = world.policy.table.states();
    let at = |set: usize| world.policy.table.sets()[set].destinations[0].state;
    states.set_admin(at(0), Admin::Draining, world.now);
    let explained = explain(&world, &invite());
    let sets: Vec<_> = explained.sets.iter().map(|step| (step.set, step.targets.len())).collect();
    assert_eq!((sets, explained.outcome), (vec![(SetId(1), 0), (SetId(2), 1)], Outcome::Dispatched));
    states.set_admin(at(1), Admin::Draining, world.now);
    assert!(matches!(explain(&world, &invite()).outcome, Outcome::Answered(503, _)));
}

#[test]
fn what_never_comes_to_a_set_is_explained_too() {
    let world = single();
    let outcome = |text: &str| explain(&world, text).outcome;
    assert!(matches!(outcome("nonsense"), Outcome::Dropped(_)));
    assert!(matches!(outcome(&invite().replace("Max-Forwards: 70", "Max-Forwards: 0")), Outcome::Answered(483, _)));
    assert!(matches!(outcome(&invite().replace("INVITE sip:", "INVITE mailto:")), Outcome::Answered(416, _)));
    let route = "Route: <sip:203.0.113.9;lr>\r\nMax-Forwards:";
    let routed = outcome(&invite().replace("Max-Forwards:", route));
    assert_eq!(routed, Outcome::Routed("203.0.113.9:5060".parse().unwrap()));
    assert!(matches!(outcome("SIP/2.0 200 OK\r\n\r\n"), Outcome::Dropped(_)));
}
