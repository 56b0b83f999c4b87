//! A response to a branch of ours: what is relayed is what came in, less our Via and what is behind the body.

use super::request::small;
use crate::world::{self, CALLER, DESTINATIONS};
use siplane::sip::scan;
use std::time::Duration;

pub(crate) fn run(data: &[u8]) {
    let mut world = small();
    world.receive(CALLER, world::invite());
    let invite = world.sent.drain(..).find(|sent| sent.line().starts_with("INVITE")).expect("the call goes on");
    let vias = invite.all("Via");
    let caller = format!("Via: {}\r\n", vias[1]);
    let line = data.windows(2).position(|pair| pair == b"\r\n").map_or(data.len(), |at| at + 2);
    let (line, rest) = data.split_at(line);
    let response = [line, format!("Via: {}\r\n", vias[0]).as_bytes(), caller.as_bytes(), rest].concat();
    let message = scan(&response);
    if message.status().is_none() {
        return;
    }
    world.receive(DESTINATIONS[0], &response);
    for sent in world.sent.drain(..).filter(|sent| sent.bytes.starts_with(b"SIP/2.0 ")) {
        let first = String::from_utf8_lossy(&sent.bytes).lines().next().map(str::to_owned);
        if sent.text.contains("\r\nContent-Length: 0\r\n") && first.is_some_and(|line| is_ours(&line)) {
            continue;
        }
        assert_eq!(message.defect, None, "{}", sent.text);
        let start = response.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
        let head = &response[start..line.len()];
        let wanted = [b"SIP/2.0", &head[7..], caller.as_bytes(), &response[response.len() - rest.len()..message.end()]];
        assert_eq!(sent.text, String::from_utf8_lossy(&wanted.concat()));
    }
    world.wait(Duration::from_secs(400));
    assert!(world.proxy.transactions() <= 1, "more than the call");
}

/// What the proxy says in its own name about a call that a response has ended.
fn is_ours(line: &str) -> bool {
    ["SIP/2.0 408 ", "SIP/2.0 500 ", "SIP/2.0 503 "].iter().any(|own| line.starts_with(own))
}
