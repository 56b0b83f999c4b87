//! What may leave together, and in which order.

use super::*;
use crate::limits::{RUN_BYTES_MAX, RUN_MESSAGES_MAX, RUN_SEGMENT_BYTES_MAX};
use proptest::prelude::*;

/// A message of the call of this name, or of none, of so many bytes.
fn message(call: &str, bytes: usize) -> Vec<u8> {
    let mut text = match call {
        "" => String::from("BYE x SIP/2.0\r\n\r\n"),
        call => format!("BYE x SIP/2.0\r\nCall-ID: {call}\r\n\r\n"),
    };
    assert!(text.len() <= bytes, "{bytes} bytes are too few");
    text.push_str(&"x".repeat(bytes - text.len()));
    text.into()
}

fn outbox<'a>(messages: impl IntoIterator<Item = (u8, &'a str, &'a str, usize)>) -> Outbox {
    let mut out = Outbox::new();
    for (socket, destination, call, bytes) in messages {
        out.push(SocketId(socket), destination.parse().unwrap(), |arena| arena.extend(message(call, bytes)));
    }
    out
}

/// The runs as lists of places.
fn made(runs: &mut Runs, out: &Outbox) -> Vec<Vec<usize>> {
    runs.make(out);
    let made: Vec<Vec<_>> = runs.iter().map(|run| runs.places(run).collect()).collect();
    assert!(runs.iter().zip(&made).all(|(run, places)| run.count == places.len() && run.first == places[0]));
    made
}

const A: &str = "192.0.2.1:5060";
const B: &str = "192.0.2.2:5060";
const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

#[test]
fn messages_of_one_size_to_one_destination_by_one_socket_are_a_run() {
    let out = outbox([
        (0, A, "a", 100),
        (0, B, "b", 100),
        (0, A, "c", 100),
        (1, A, "d", 100),
        (0, A, "e", 101),
        (0, "192.0.2.1:5061", "f", 100),
        (0, A, "g", 101),
        (0, "[2001:db8::1]:5060", "h", 100),
        (0, B, "i", 100),
        (0, "[2001:db8::1]:5060", "j", 100),
        (0, A, "k", 100),
    ]);
    let mut runs = Runs::new(true);
    let want = [vec![0, 2, 10], vec![1, 8], vec![3], vec![4, 6], vec![5], vec![7, 9]];
    assert_eq!(made(&mut runs, &out), want);
    assert_eq!(made(&mut runs, &out), want, "what was before is forgotten");
    assert_eq!(made(&mut Runs::new(false), &out).len(), out.len());
}

#[test]
fn few_messages_leave_one_by_one() {
    let out = outbox(NAMES.iter().take(MESSAGES_MIN - 1).map(|call| (0, A, *call, 100)));
    assert_eq!(made(&mut Runs::new(true), &out).len(), MESSAGES_MIN - 1);
}

#[test]
fn a_message_does_not_pass_an_earlier_one_of_its_call() {
    // The 200 of call a must not join the run of those before its 180, and its BYE not the run before that.
    let sizes = [("a", 300), ("b", 200), ("a", 200), ("c", 300), ("a", 300), ("d", 300), ("b", 200), ("e", 200)];
    let out = outbox(sizes.map(|(call, bytes)| (0, A, call, bytes)));
    assert_eq!(made(&mut Runs::new(true), &out), [vec![0, 3], vec![1, 2, 6, 7], vec![4, 5]]);
}

#[test]
fn a_message_without_a_call_id_leaves_alone_and_is_passed_by_none() {
    let calls = ["a", "b", "", "c", "d", "e", "f", "g"];
    let out = outbox(calls.map(|call| (0, A, call, 100)));
    assert_eq!(made(&mut Runs::new(true), &out), [vec![0, 1], vec![2], vec![3, 4, 5, 6, 7]]);
}

#[test]
fn a_run_is_bounded_in_messages_and_bytes_and_what_would_be_fragmented_leaves_alone() {
    let names: Vec<_> = (0..200).map(|n| format!("call-{n}")).collect();
    let of = |bytes: usize| {
        let out = outbox(names.iter().map(|call| (0, A, call.as_str(), bytes)));
        made(&mut Runs::new(true), &out).iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(of(100)[..3], [RUN_MESSAGES_MAX; 3]);
    assert_eq!(of(RUN_SEGMENT_BYTES_MAX)[0], RUN_BYTES_MAX / RUN_SEGMENT_BYTES_MAX);
    assert_eq!(of(RUN_SEGMENT_BYTES_MAX + 1), [1; 200]);
}

#[test]
fn an_error_of_a_run_is_about_all_of_it() {
    let names: Vec<_> = (0..9).map(|n| format!("call-{n}")).collect();
    let out = outbox(names.iter().enumerate().map(|(n, call)| (0, [A, B][n % 2], call.as_str(), 100)));
    let mut runs = Runs::new(true);
    runs.make(&out);
    let behind =
        |destination: &str, sent: &[u8]| runs.behind(&out, destination.parse().unwrap(), sent).collect::<Vec<_>>();
    let first = out.get(1).unwrap().bytes;
    assert_eq!(behind(B, first), [3, 5, 7]);
    assert_eq!(behind(B, &first[..30]), [3, 5, 7], "what came back was cut");
    assert_eq!(behind(B, &[first, b"BYE"].concat()), [3, 5, 7], "what came back shows some of the next");
    assert!(
        behind(A, first).is_empty() && behind(B, out.get(3).unwrap().bytes).is_empty() && behind(B, b"").is_empty()
    );
}

proptest! {
    #[test]
    fn each_message_is_in_one_run_and_calls_keep_their_order(
        messages in prop::collection::vec((0u8..2, 0usize..3, 0usize..6, 0usize..4), 0..300),
    ) {
        let destination = |n: usize| [A, B, "[2001:db8::1]:5060"][n];
        let call = |n: usize| ["", "a", "b", "c", "d", "e"][n];
        let out = outbox(messages.iter().map(|(socket, to, of, size)| (*socket, destination(*to), call(*of), 60 + size)));
        let mut runs = Runs::new(true);
        let order: Vec<_> = made(&mut runs, &out).concat();
        let mut all = order.clone();
        all.sort_unstable();
        prop_assert!(all.iter().copied().eq(0..out.len()));
        for of in 1..6 {
            let places: Vec<_> = order.iter().filter(|place| messages[**place].2 == of).collect();
            prop_assert!(places.is_sorted(), "call {of}: {places:?}");
        }
        // Nothing passes what has no Call-ID.
        for (at, place) in order.iter().enumerate().filter(|(_, place)| messages[**place].2 == 0) {
            let more = out.len() >= MESSAGES_MIN;
            prop_assert!(!more || order[..at].iter().all(|before| before < place), "{order:?}");
        }
        for run in runs.iter() {
            let parts: Vec<_> = runs.places(run).map(|place| out.get(place).unwrap()).collect();
            let alike = |t: &Transmit<'_>| (t.socket, t.destination, t.bytes.len());
            prop_assert!(parts.iter().all(|part| alike(part) == alike(&parts[0])));
        }
    }
}
