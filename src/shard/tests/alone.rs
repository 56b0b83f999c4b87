//! One shard without a thread, turn by turn.

use super::*;
use crate::dispatcher::{Algorithm, DestinationSpec, SetId, SetSpec};
use crate::proxy::{Proxy, ShardId};
use crate::shard::counters::IoStats;
use crate::shard::handoff::{Inbox, inboxes};
use crate::shard::inquiry::Inquiries;
use crate::shard::mmsg::Mmsg;
use crate::shard::turn::{Shard, Shared};
use std::os::fd::AsFd;

/// What shards share, with mailboxes of this size; nobody runs.
pub(super) fn alone(shards: usize, messages: usize) -> (Shared, Arc<[Inbox]>) {
    let inboxes: Arc<[Inbox]> = match messages {
        limits::HANDOFF_MESSAGES => inboxes(&vec![0; shards]).unwrap(),
        _ => (0..shards).map(|_| Inbox::new(messages).unwrap()).collect(),
    };
    let shared = Shared {
        policy: policy(),
        inboxes: Arc::clone(&inboxes),
        inquiries: Inquiries::new(Arc::clone(&inboxes)),
        probe_answers: Arc::new(ProbeSink::new().unwrap()),
        lifecycle: Arc::new(Lifecycle::new(shards)),
    };
    (shared, inboxes)
}

pub(super) fn shard(
    index: u32,
    count: u32,
    sockets: Vec<ShardSockets>,
    address: SocketAddr,
    shared: Shared,
) -> Shard<Mmsg> {
    shard_with(index, count, sockets, address, shared, Arc::new(ShardCounters::default()))
}

fn shard_with(
    index: u32,
    count: u32,
    mut sockets: Vec<ShardSockets>,
    address: SocketAddr,
    shared: Shared,
    counters: Arc<ShardCounters>,
) -> Shard<Mmsg> {
    let id = ShardId { index, count };
    let proxy = Proxy::new(settings(address), id, clock::seed().unwrap(), clock::now());
    let sockets = sockets.remove(index as usize);
    let inboxes = Arc::clone(&shared.inboxes);
    let engine = Mmsg::new(sockets, inboxes[index as usize].bell().as_fd());
    Shard::new(id, proxy, (engine, 1), Waiting::default(), shared, counters)
}

#[test]
fn a_refused_probe_is_told_to_the_prober() {
    let (sockets, address) = open(1);
    let duplicate = sockets[0].duplicate_for_sending().unwrap().remove(0);
    let (shared, _) = alone(1, limits::HANDOFF_MESSAGES);
    let sink = Arc::clone(&shared.probe_answers);
    let mut shard = shard(0, 1, sockets, address, shared);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let probe = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKp7\r\nCall-ID: p\r\n\r\n";
    duplicate.send_to(probe.as_bytes(), closed).unwrap();
    assert!(shard.turn());
    let mut got = Vec::new();
    sink.drain(|answer, bytes| got.push((answer.outcome, answer.address, bytes.to_vec())));
    assert_eq!(got, [(ProbeOutcome::Unreachable, closed, probe.as_bytes().to_vec())]);
}

#[test]
fn a_sleeping_prober_is_woken_for_answers_alone_and_not_by_every_turn() {
    let (sockets, address) = open(1);
    let (shared, _) = alone(1, limits::HANDOFF_MESSAGES);
    let sink = Arc::clone(&shared.probe_answers);
    let mut shard = shard(0, 1, sockets, address, shared);
    let client = client();
    let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKp7\r\nCall-ID: p\r\n\r\n";
    let call = request("OPTIONS", &client, "c", None);
    for (text, wakes) in [(call.as_str(), false), (answer, true), (call.as_str(), false)] {
        sink.bell().fall_asleep();
        client.send_to(text.as_bytes(), address).unwrap();
        assert!(shard.turn());
        assert_eq!(sink.bell().is_asleep(), !wakes, "{text}");
    }
}

#[test]
fn a_full_mailbox_drops_and_counts_and_the_receiver_goes_on() {
    // Two shards by number, one socket: everything arrives here and half of it belongs to one that never reads.
    let (sockets, address) = open(1);
    let (shared, inboxes) = alone(2, 8);
    let mut shard = shard(0, 2, sockets, address, shared);
    let client = client();
    let theirs = (0..).map(|n| format!("{n}-x")).filter(|call_id| owner_of(call_id.as_bytes(), 2) == 1);
    for call_id in theirs.take(20) {
        client.send_to(request("OPTIONS", &client, &call_id, None).as_bytes(), address).unwrap();
    }
    assert!(shard.turn());
    let IoStats { received, handed_off, handoff_full, .. } = shard.io();
    assert_eq!((received, handed_off, handoff_full), (20, 8, 12));
    assert_eq!(inboxes[1].drain(99, |_, bytes| assert!(bytes.starts_with(b"OPTIONS "))), 8);
    let ours = (0..).map(|n| format!("{n}-y")).find(|call_id| owner_of(call_id.as_bytes(), 2) == 0).unwrap();
    client.send_to(request("OPTIONS", &client, &ours, None).as_bytes(), address).unwrap();
    assert!(shard.turn());
    assert!(read(&client).0.starts_with("SIP/2.0 4"));
}

#[test]
fn a_turn_takes_one_batch_from_a_full_socket_and_comes_back_for_more() {
    let (sockets, address) = open(1);
    let mut shard = shard(0, 1, sockets, address, alone(1, 8).0);
    let client = client();
    for n in 0..limits::BATCH_DATAGRAMS + 6 {
        client.send_to(request("OPTIONS", &client, &format!("{n}"), None).as_bytes(), address).unwrap();
    }
    assert!(shard.turn());
    assert_eq!(shard.io().received, limits::BATCH_DATAGRAMS as u64);
    assert!(shard.turn());
    assert_eq!(shard.io().received, limits::BATCH_DATAGRAMS as u64 + 6);
    assert_eq!(shard.io().sent, shard.io().received);
}

#[test]
fn the_audit_finds_no_drift_with_a_call_up_and_one_when_its_token_is_lost() {
    let (sockets, address) = open(1);
    let (shared, _) = alone(1, 8);
    let destination = client();
    let uri = format!("sip:{}", destination.local_addr().unwrap());
    let spec = DestinationSpec::new(uri, destination.local_addr().unwrap());
    let table = Table::build(vec![SetSpec::new(SetId(1), Algorithm::Priority, vec![spec])], None).unwrap();
    shared.policy.store(Arc::new(Policy { table, rules: vec![], default_set: Some(SetId(1)) }));
    let (policy, counters) = (shared.policy.load_full(), Arc::new(ShardCounters::default()));
    let mut shard = shard_with(0, 1, sockets, address, shared, Arc::clone(&counters));
    let (drift, start) = (Arc::<Drift>::default(), clock::now());
    let mut audit = Audit::new(vec![counters], Arc::clone(&drift), start);
    let caller = client();
    caller.send_to(request("INVITE", &caller, "audited", None).as_bytes(), address).unwrap();
    assert!(shard.turn());
    read(&destination);
    let states = policy.table.states();
    audit.pass(start, states);
    assert_eq!((states.total_load(), drift.load()), (1, 0));
    shard.forget_a_token();
    assert!(shard.turn());
    audit.pass(start + limits::AUDIT_INTERVAL, states);
    assert_eq!((states.total_load(), drift.load()), (1, 1));
}
