//! A shard that does not keep up leaves new calls out and serves the rest.

use super::alone::{alone, shard};
use super::*;

const LATE: usize = 100;

#[test]
fn a_shard_that_does_not_keep_up_leaves_new_invites_out_and_serves_the_rest_until_it_does() {
    let (sockets, address) = open(1);
    let (crowd, other) = (client(), client());
    let send = |from: &UdpSocket, method: &str, n: usize| {
        from.send_to(request(method, from, &format!("{n}-{method}"), None).as_bytes(), address).unwrap();
    };
    let mut early = 0;
    while sockets[0].fullness() < 0.8 {
        send(&crowd, "OPTIONS", early);
        early += 1;
    }
    let mut shard = shard(0, 1, sockets, address, alone(1, 8).0);
    assert!(shard.turn());
    (0..LATE).for_each(|n| send(&crowd, "INVITE", n));
    send(&other, "OPTIONS", early);
    while shard.io().received < early as u64 + 1 {
        assert!(shard.turn());
    }
    let IoStats { shed, sent, received, kernel_drops, .. } = shard.io();
    assert_eq!((shed, kernel_drops), (LATE as u64, 0));
    assert_eq!((sent, received), (early as u64 + 1, early as u64 + 1));
    assert!(read(&other).0.starts_with("SIP/2.0 4"), "what is no INVITE is served");
    send(&other, "INVITE", LATE);
    assert!(shard.turn());
    assert!(read(&other).0.starts_with("SIP/2.0 4"), "and INVITEs again when it keeps up");
    assert_eq!(shard.io().shed, LATE as u64);
}
