//! A shard that does not keep up leaves new calls out and serves the rest.

use super::*;

#[test]
fn a_shard_that_does_not_keep_up_leaves_invites_out_and_serves_the_rest_until_it_does() {
    let (sockets, address) = open(1);
    let (crowd, other) = (client(), client());
    let send = |from: &UdpSocket, method: &str, n: usize| {
        from.send_to(request(method, from, &format!("{n}-{method}"), None).as_bytes(), address).unwrap();
    };
    (0..limits::BATCH_DATAGRAMS).for_each(|n| send(&crowd, "OPTIONS", n));
    let mut invites = 0;
    while sockets[0].backlog() < 0.8 {
        send(&crowd, "INVITE", invites);
        invites += 1;
    }
    send(&other, "OPTIONS", 0);
    let mut shard = shard(0, 1, sockets, address, alone(1, 8).0);
    assert!(shard.turn());
    assert_eq!(shard.io().shed, 0, "the first batch was taken before it knew");
    while shard.io().received < (limits::BATCH_DATAGRAMS + invites + 1) as u64 {
        assert!(shard.turn());
    }
    let IoStats { shed, sent, kernel_drops, .. } = shard.io();
    // From the first look until less than a quarter is left: two thirds at least, as the kernel gives room back late.
    assert!(shed > invites as u64 / 2 && shed < invites as u64, "{shed} of {invites}");
    assert_eq!((sent + shed, kernel_drops), ((limits::BATCH_DATAGRAMS + invites + 1) as u64, 0));
    assert!(read(&other).0.starts_with("SIP/2.0 4"), "what is no INVITE is served");
    send(&other, "INVITE", invites);
    assert!(shard.turn());
    assert!(read(&other).0.starts_with("SIP/2.0 4"), "and INVITEs again when it keeps up");
    assert_eq!(shard.io().shed, shed);
}
