//! What the scenarios of duties 1-56 share beyond `world`: messages with one thing changed, and the usual first steps.

use super::world::*;
use siplane::dispatcher::Algorithm;
use siplane::proxy::Settings;

/// A request of the caller's that is no INVITE, so that nothing but it or its answer is sent.
pub fn message(more: &str) -> String {
    request("MESSAGE", "sip:b@example.com", "msg", more)
}

/// `text` with the one place `old` replaced.
#[track_caller]
pub fn with(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} in\n{text}");
    text.replacen(old, new, 1)
}

/// `text` as part of a dialog: its To has a tag.
pub fn tagged(text: &str) -> String {
    with(text, "To: <sip:b@example.com>", "To: <sip:b@example.com>;tag=to1")
}

/// A request in a dialog that this proxy has not seen begin.
pub fn in_dialog(method: &str, uri: &str, more: &str) -> String {
    tagged(&request(method, uri, &method.to_lowercase(), more))
}

/// `text` with `body` behind it and without the Content-Length of 0.
pub fn with_body(text: &str, length: &str, body: &str) -> String {
    with(text, "Content-Length: 0\r\n", length) + body
}

/// The body of a message.
pub fn body(sent: &Sent) -> &[u8] {
    let end = sent.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &sent.bytes[end + 4..]
}

/// The URI in the first line of a request.
pub fn uri(sent: &Sent) -> &str {
    sent.line().split(' ').nth(1).unwrap_or_default()
}

/// The header lines of a message, in order.
pub fn lines(sent: &Sent) -> Vec<&str> {
    sent.text.split("\r\n\r\n").next().unwrap().split("\r\n").skip(1).collect()
}

/// `text` comes from the caller and goes to the first destination, an INVITE after its 100.
#[track_caller]
pub fn forwarded(world: &mut World, text: &str) -> Sent {
    forwarded_to(world, text, DESTINATIONS[0])
}

/// `text` comes from the caller and goes to `to` and nowhere else, an INVITE after its 100.
#[track_caller]
pub fn forwarded_to(world: &mut World, text: &str, to: &str) -> Sent {
    world.receive(CALLER, text);
    if text.trim_start().starts_with("INVITE") {
        world.sent(CALLER, "SIP/2.0 100");
    }
    let sent = world.sent(to, "");
    world.nothing_left();
    sent
}

/// A new proxy answers `text` at once with `status`, leaves no state, and does nothing else.
#[track_caller]
pub fn refused(text: &str, status: &str) -> Sent {
    refused_by(&mut World::new(), text, status)
}

#[track_caller]
pub fn refused_by(world: &mut World, text: &str, status: &str) -> Sent {
    world.receive(CALLER, text);
    let answer = world.sent(CALLER, &format!("SIP/2.0 {status}"));
    world.nothing_left();
    assert_eq!(world.proxy.transactions(), 0, "it was answered without state");
    answer
}

/// A new proxy sends nothing on `bytes`, neither now nor later.
#[track_caller]
pub fn unanswered(bytes: impl AsRef<[u8]>) {
    let mut world = World::new();
    world.receive(CALLER, bytes);
    world.wait_ms(60_000);
    world.nothing_left();
    assert_eq!(world.proxy.transactions(), 0);
}

/// The usual set behind a proxy with these settings.
pub fn world_with(settings: Settings) -> World {
    World::with(settings, vec![set(Algorithm::Priority, &DESTINATIONS)], vec![])
}

/// A call is set up through `world`: the INVITE as the destination got it.
#[track_caller]
pub fn call(world: &mut World) -> Sent {
    let invite = forwarded(world, &invite());
    let contact = "Contact: <sip:b@203.0.113.1:5060>\r\n";
    world.receive(DESTINATIONS[0], answer(&invite, "200 OK", "to1", contact));
    world.sent(CALLER, "SIP/2.0 200");
    world.nothing_left();
    invite
}
