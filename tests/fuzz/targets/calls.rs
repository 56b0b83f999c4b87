//! Whole calls: each part of the input is a datagram from one side, or time that passes. Whatever it is, each request that is sent
//! reads again, and when all time has passed nothing is left.
//!
//! Parts end with a line of `%%`. Their first byte says what they are: `c` from the caller, `d` from the first destination, `e` from
//! the second, `w` half a second for each byte that follows. `{via}`, `{rr}` and `{ruri}` stand for what the last INVITE, BYE or other
//! request that was sent to a destination has there.

use super::request::small;
use crate::world::{CALLER, DESTINATIONS, Sent, World};
use siplane::sip::scan;
use std::time::Duration;

pub(crate) fn run(data: &[u8]) {
    let mut world = small();
    let mut last: Option<Sent> = None;
    for part in String::from_utf8_lossy(data).split("%%\n").take(24) {
        let Some((kind, text)) = part.split_at_checked(1) else { continue };
        let text = filled(text, last.as_ref());
        match kind {
            "c" => world.receive(CALLER, text),
            "d" => world.receive(DESTINATIONS[0], text),
            "e" => world.receive(DESTINATIONS[1], text),
            "w" => world.wait_ms(500 * text.len() as u64),
            _ => {}
        }
        look(&mut world, &mut last);
    }
    // RFC 3261 §16.8: Timer C is the longest; a dialog goes when nobody has said anything for as long as it may.
    world.wait(Duration::from_secs(400));
    look(&mut world, &mut last);
    assert_eq!(world.proxy.transactions(), 0, "a transaction is left");
}

fn look(world: &mut World, last: &mut Option<Sent>) {
    for sent in world.sent.drain(..).filter(|sent| !sent.bytes.starts_with(b"SIP/2.0 ")) {
        let message = scan(&sent.bytes);
        assert_eq!(message.defect, None, "{}", sent.text);
        assert!(message.top_via().is_ok(), "{}", sent.text);
        *last = Some(sent).filter(|sent| sent.line().starts_with(|letter: char| letter != 'A')).or(last.take());
    }
}

fn filled(text: &str, last: Option<&Sent>) -> String {
    let Some(sent) = last else { return text.to_owned() };
    let vias: String = sent.all("Via").iter().map(|via| format!("Via: {via}\r\n")).collect();
    let uri = sent.line().split(' ').nth(1).unwrap_or_default();
    let filled = text.replacen("{via}", &vias, 1).replacen("{rr}", sent.header("Record-Route"), 2);
    filled.replacen("{ruri}", uri, 1)
}
