//! Every message is given to a proxy, which must do what its row says and still carry a call after it.

use crate::expectations::{Expectation, Kind, Outcome, RFC4475};
use crate::extra::EXTRA;
use crate::world::{self, CALLER, DESTINATIONS, Sent, World};

/// Header lines that a proxy may change; every other one stays as it is (RFC 3261 §16.6 item 1).
const CHANGED: [&str; 8] = ["via", "v", "record-route", "route", "max-forwards", "max-breadth", "content-length", "l"];

/// The header lines that must not change, continuation lines joined, and the body.
fn untouched(message: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let start = message.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    let message = &message[start..];
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in message[..end].split(|byte| *byte == b'\n').skip(1) {
        match lines.last_mut().filter(|_| line.starts_with(b" ") || line.starts_with(b"\t")) {
            Some(last) => last.extend_from_slice(line),
            None => lines.push(line.to_vec()),
        }
    }
    lines.iter_mut().for_each(|line| *line = line.trim_ascii_end().to_vec());
    let name = |line: &Vec<u8>| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        String::from_utf8_lossy(name).trim().to_ascii_lowercase()
    };
    lines.retain(|line| !CHANGED.contains(&name(line).as_str()));
    (lines, message[end + 4..].to_vec())
}

/// The response, if any, that went back, and the messages that went on.
fn outcome(world: &mut World, row: &Expectation) -> (Option<u16>, Vec<Sent>) {
    world.receive(CALLER, row.octets());
    let (answers, forwarded): (Vec<_>, Vec<_>) =
        world.sent.drain(..).partition(|sent| sent.line().starts_with("SIP/2.0"));
    let codes: Vec<u16> =
        answers.iter().map(|answer| answer.line()[8..11].parse().unwrap()).filter(|code| *code != 100).collect();
    assert!(
        codes.len() <= 1 && forwarded.len() <= 1,
        "{}: answered {codes:?}, forwarded {}",
        row.file,
        forwarded.len()
    );
    for answer in &answers {
        assert_eq!(answer.to.ip(), CALLER.parse::<std::net::SocketAddr>().unwrap().ip(), "{}", row.file);
    }
    (codes.first().copied(), forwarded)
}

fn check_forwarded(row: &Expectation, forwarded: &Sent) {
    let octets = row.octets();
    let (lines, body) = untouched(&octets);
    let (got_lines, got_body) = untouched(&forwarded.bytes);
    assert_eq!(got_lines, lines, "{}: {}", row.file, forwarded.text);
    assert!(body.starts_with(&got_body), "{}: the body changed", row.file);
    let length = forwarded.all("content-length").into_iter().chain(forwarded.all("l")).next();
    if let Some(length) = length {
        // RFC 3261 §18.3: octets beyond Content-Length are discarded.
        assert_eq!(got_body.len(), length.parse::<usize>().unwrap(), "{}", row.file);
    }
    assert!(forwarded.line().ends_with("SIP/2.0"), "{}", row.file);
}

fn is_alive(world: &mut World, row: &Expectation) {
    world.receive(
        CALLER,
        world::invite().replace("branch=z9hG4bKinv", "branch=z9hG4bKalive").replace("call-1@", "alive@"),
    );
    let alive = world
        .sent
        .drain(..)
        .any(|sent| sent.line().starts_with("INVITE") && sent.to == DESTINATIONS[0].parse().unwrap());
    assert!(alive, "{}: no call went through afterwards", row.file);
}

#[test]
fn every_message_is_forwarded_intact_answered_or_dropped_as_its_row_says() {
    for row in RFC4475.iter().chain(EXTRA) {
        let mut world = World::new();
        let (code, forwarded) = outcome(&mut world, row);
        let rejected = |codes: &[u16]| code.is_some_and(|code| codes.contains(&code)) && forwarded.is_empty();
        // A next hop that is a name cannot be resolved yet; the message was read and routed all the same.
        let unresolved = code == Some(500) && row.file == "wsinv.sip";
        let went_on = (code.is_none() && forwarded.len() == 1) || unresolved;
        let silent = code.is_none() && forwarded.is_empty();
        let right = match row.outcome {
            Outcome::Forward => went_on,
            Outcome::Reject(codes) => rejected(codes),
            Outcome::Drop => silent,
            Outcome::ForwardOrReject(codes) => went_on || rejected(codes),
            Outcome::RejectOrDrop(codes) => silent || rejected(codes),
        };
        assert!(
            right,
            "{} (RFC 4475 §{}): wanted {:?}, got {code:?} and {forwarded:?}: {}",
            row.file, row.section, row.outcome, row.why
        );
        forwarded.iter().for_each(|forwarded| check_forwarded(row, forwarded));
        is_alive(&mut world, row);
    }
}

#[test]
fn every_response_that_matches_a_transaction_is_relayed_or_kept_as_its_row_says() {
    for row in RFC4475.iter().chain(EXTRA).filter(|row| matches!(row.kind, Kind::Response(_))) {
        let mut world = World::new();
        world.receive(CALLER, world::invite());
        let invite = world.sent.drain(..).find(|sent| sent.line().starts_with("INVITE")).expect("the call goes on");
        let answer = world::answer(&invite, "200 OK", "t", "");
        let vias: Vec<_> = answer.lines().filter(|line| line.starts_with("Via")).collect();
        let octets = row.octets();
        let text = String::from_utf8_lossy(&octets);
        let own = text.lines().find(|line| line.starts_with("Via") || line.starts_with("v:")).map(str::to_owned);
        let Some(own) = own else { continue };
        // Our Via and the caller's in place of its own first one.
        let at = octets.windows(own.len()).position(|window| window == own.as_bytes()).unwrap();
        let mut matched = octets[..at].to_vec();
        matched.extend_from_slice(vias.join("\r\n").as_bytes());
        matched.extend_from_slice(&octets[at + own.len()..]);
        world.receive(DESTINATIONS[0], &matched);
        let relayed = world.sent.iter().filter(|sent| sent.line().starts_with("SIP/2.0")).count();
        let wanted = row.matched == Some(Outcome::Forward);
        let is_invite = text.contains("INVITE\r\n") || text.contains("INVITE\n");
        if is_invite {
            assert_eq!(relayed == 1, wanted && octets.starts_with(b"SIP/2.0"), "{}: {}", row.file, row.why);
        } else {
            assert_eq!(relayed, 0, "{}: another method's response", row.file);
        }
        is_alive(&mut world, row);
    }
}
