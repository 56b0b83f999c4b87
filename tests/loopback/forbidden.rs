//! Where the kernel forbids io_uring, as many containers do: calls are taken all the same, by recvmmsg and sendmmsg, and the log says so.

use super::program::{SHUTDOWN_TIMEOUT, Siplane};
use siplane::cli::demo::{Destination, LoadOptions, load};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

const SYS_IO_URING_SETUP: u32 = 425;

/// io_uring_setup fails with EPERM, whatever it is asked for; everything else is allowed (seccomp(2)).
fn forbid_io_uring() -> io::Result<()> {
    let op = |code: u32, k: u32, jt: u8| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut code = [
        // The system call's number is the first word of what the filter sees.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, SYS_IO_URING_SETUP, 1),
        op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0),
    ];
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY: prctl reads the program and its code, which both live through the call.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn without_io_uring(command: &mut Command) {
    // SAFETY: between fork and exec it only makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(forbid_io_uring) };
}

#[test]
fn calls_are_taken_where_io_uring_is_forbidden() {
    let host = "127.63.9.1:0".parse().unwrap();
    let destination = Destination::start("127.63.9.2:0".parse().unwrap()).unwrap();
    let config = |address| {
        format!(
            "listen = [\"udp:{address}\"]\nshards = 2\nshutdown_timeout_s = {}\n[[set]]\nid = 1\ndestinations = [\"sip:{}\"]\n",
            SHUTDOWN_TIMEOUT.as_secs(),
            destination.address()
        )
    };
    let siplane = Siplane::start_as(host, config, without_io_uring);
    let report = load(&LoadOptions { calls: 50, ..super::options(siplane.address, 1) }).unwrap();
    assert_eq!((report.completed, report.retransmissions), (50, 0), "{report:?}");
    let log = siplane.log();
    assert!(log.contains("shards run in plain threads") && log.contains("engine=\"mmsg\""), "{log}");
    assert!(siplane.terminate().success());
}
