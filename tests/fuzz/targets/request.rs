//! A request through the proxy: what is forwarded reads again, is the same message but for what a proxy owns, and comes to an end.

use crate::parts::{taken_apart, untouched, vias};
use crate::world::{self, CALLER, DESTINATIONS, World};
use siplane::dispatcher::Algorithm;
use siplane::proxy::Settings;
use siplane::sip::{Defect, Message, Method, scan};
use std::time::Duration;

/// What is never wrong with an answer of ours, whatever is wrong with the request whose lines are in it.
const UNREADABLE: [Defect; 6] =
    [Defect::NotSip, Defect::LineEnd, Defect::HeaderLine, Defect::HeadEnd, Defect::ContentLength, Defect::Truncated];

/// A proxy as small as the fuzzer is quick.
pub(crate) fn small() -> World {
    let settings = Settings { transactions_max: 16, dialogs_max: 16, stored_bytes_max: 1 << 20, ..world::settings() };
    World::with(settings, vec![world::set(Algorithm::Priority, &DESTINATIONS)], vec![])
}

pub(crate) fn run(data: &[u8]) {
    let mut world = small();
    world.receive(CALLER, data);
    let received = scan(data);
    for sent in world.sent.drain(..) {
        if sent.bytes.starts_with(b"SIP/2.0 ") {
            assert!(received.method().is_some_and(|method| method != Method::Ack), "answered: {}", sent.text);
            let own = scan(&sent.bytes).defect;
            assert!(!own.is_some_and(|defect| UNREADABLE.contains(&defect)), "{own:?}: {}", sent.text);
            assert_eq!(sent.to.ip(), CALLER.parse::<std::net::SocketAddr>().unwrap().ip());
        } else {
            check_forwarded(&received, &scan(&sent.bytes));
        }
    }
    world.wait(Duration::from_secs(400));
    assert_eq!(world.proxy.transactions(), 0, "a transaction is left");
    assert!((0..3).all(|index| world.load(index) == 0), "load is left");
}

fn check_forwarded(received: &Message<'_>, sent: &Message<'_>) {
    assert_eq!((received.defect, sent.defect), (None, None), "{}", String::from_utf8_lossy(sent.bytes));
    assert_eq!((sent.method(), sent.call_id(), sent.top_via().is_ok()), (received.method(), received.call_id(), true));
    assert_eq!(sent.text(sent.head.body), received.text(received.head.body));
    let hops = |head: &siplane::sip::Head| head.max_forwards.is_set().then_some(head.max_forwards_value);
    assert_eq!(hops(&sent.head), Some(hops(&received.head).map_or(70, |hops| hops - 1)));
    let ((_, lines, _), (_, sent_lines, _)) = (taken_apart(received.bytes), taken_apart(sent.bytes));
    assert_eq!(untouched(&sent_lines), untouched(&lines));
    let (theirs, with_ours) = (vias(&lines), vias(&sent_lines));
    let ours = ["192.0.2.1:5060", "[2001:db8::1]:5060"].map(|us| format!("Via: SIP/2.0/UDP {us};branch=z9hG4bK"));
    assert!(ours.iter().any(|ours| with_ours[0].starts_with(ours.as_bytes())));
    assert_eq!(with_ours[2..], theirs[1..]);
}
