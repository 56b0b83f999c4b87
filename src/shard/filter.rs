//! Keeping INVITEs out of a socket: a filter that the kernel runs for each datagram before that takes room in the receive buffer.
//!
//! What is kept out costs less than reading and forgetting it, and on loopback its sender pays. The kernel counts it among the socket's
//! drops. Classic BPF needs no privilege (socket(7), SO_ATTACH_FILTER).

use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_LEN, BPF_RET, BPF_W, sock_filter};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Where the payload begins: a filter of a UDP socket sees the UDP header, too.
const PAYLOAD: u32 = 8;
/// What the filter returns for a datagram that comes in, whole; 0 is for one that stays out.
const WHOLE: u32 = u32::MAX;

/// `INVITE ` stays out. A load beyond the end would keep any short datagram out, so the length is looked at first.
const PROGRAM: [sock_filter; 10] = [
    op(BPF_LD | BPF_W | BPF_LEN, 0),
    unless(BPF_JGE, PAYLOAD + 7, 7),
    op(BPF_LD | BPF_W | BPF_ABS, PAYLOAD),
    unless(BPF_JEQ, u32::from_be_bytes(*b"INVI"), 5),
    op(BPF_LD | BPF_H | BPF_ABS, PAYLOAD + 4),
    unless(BPF_JEQ, u16::from_be_bytes(*b"TE") as u32, 3),
    op(BPF_LD | BPF_B | BPF_ABS, PAYLOAD + 6),
    unless(BPF_JEQ, b' ' as u32, 1),
    op(BPF_RET | BPF_K, 0),
    op(BPF_RET | BPF_K, WHOLE),
];

const fn op(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips so many instructions unless the comparison with `k` holds.
const fn unless(comparison: u32, k: u32, skips: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | comparison | BPF_K) as u16, jt: 0, jf: skips, k }
}

/// Keeps INVITEs out of a UDP socket, or lets them in again.
///
/// # Errors
/// What the kernel says; letting them in fails where nothing was kept out.
pub(super) fn keep_invites_out(socket: BorrowedFd<'_>, out: bool) -> io::Result<()> {
    let program = libc::sock_fprog { len: PROGRAM.len() as u16, filter: PROGRAM.as_ptr().cast_mut() };
    let option = if out { libc::SO_ATTACH_FILTER } else { libc::SO_DETACH_FILTER };
    let bytes = size_of_val(&program) as libc::socklen_t;
    // SAFETY: the kernel copies the program, which is constant, and `program`, which lives through the call; it writes nothing.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const program).cast(), bytes) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn only_invites_stay_out_and_only_while_they_are_to() {
        let (to, from) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        to.set_nonblocking(true).unwrap();
        let comes_in = |text: &str| {
            from.send_to(text.as_bytes(), to.local_addr().unwrap()).unwrap();
            let mut bytes = [0; 2000];
            to.recv(&mut bytes).is_ok_and(|count| &bytes[..count] == text.as_bytes())
        };
        let invite = format!("INVITE sip:a@b SIP/2.0\r\n{}", "x".repeat(1400));
        let others = [
            "SIP/2.0 200 OK",
            "ACK sip:a",
            "INVITES sip:a",
            "INVITE",
            "INVI",
            "",
            "\r\n\r\n",
            "invite sip:a",
            "INFO sip:a",
        ];
        assert!(keep_invites_out(to.as_fd(), false).is_err(), "nothing was kept out");
        for _ in 0..3 {
            assert!(comes_in(&invite));
            keep_invites_out(to.as_fd(), true).unwrap();
            assert!(!comes_in(&invite) && !comes_in("INVITE "));
            others.into_iter().for_each(|text| assert!(comes_in(text), "{text:?}"));
            keep_invites_out(to.as_fd(), false).unwrap();
        }
        assert!(comes_in(&invite));
    }
}
