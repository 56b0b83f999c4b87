//! A shard that does not keep up leaves new calls out and serves the rest.

use super::alone::{alone, shard};
use super::*;

const LATE: usize = 100;

#[test]
fn a_shard_that_does_not_keep_up_leaves_new_calls_out_and_serves_the_rest_until_it_does() {
    let (sockets, address) = open(1);
    let (crowd, other) = (client(), client());
    let text = |from: &UdpSocket, method: &str, n: usize| {
        let text = request(method, from, &format!("{n}-{method}"), None).replacen(
            "bob@example.com",
            &format!("bob@{address}"),
            1,
        );
        text.replace("Content-Length", &format!("X: {}\r\nContent-Length", "x".repeat(200)))
    };
    let send = |from: &UdpSocket, text: String| from.send_to(text.as_bytes(), address).unwrap();
    let mut early = 0;
    while sockets[0].backlog().share < 0.8 {
        send(&crowd, text(&crowd, "OPTIONS", early));
        early += 1;
    }
    let mut shard = shard(0, 1, sockets, address, alone(1, 8).0);
    assert!(shard.turn());
    for n in 0..LATE {
        send(&crowd, text(&crowd, "INVITE", n));
    }
    let reinvite = text(&other, "INVITE", LATE).replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=2");
    send(
        &other,
        reinvite.replacen(&format!("bob@{address}"), "bob@192.0.2.9", 1).replace("Max-Forwards: 70", "Max-Forwards: 0"),
    );
    let all = (early + LATE + 1) as u64;
    while shard.io().received + shard.io().shed < all {
        assert!(shard.turn());
    }
    let IoStats { shed, kernel_drops, .. } = shard.io();
    assert!(shed > LATE as u64 / 2 && kernel_drops == 0, "one of sixteen may be let through: {shed}");
    assert!(read(&other).0.starts_with("SIP/2.0 483"), "what belongs to a call is served");
    send(&other, text(&other, "INVITE", LATE + 1));
    assert!(shard.turn());
    assert!(read(&other).0.starts_with("SIP/2.0 404"), "and new calls again when it keeps up");
    assert_eq!(shard.io().shed, shed);
}
