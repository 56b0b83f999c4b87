//! Keeping new calls out of a socket: a filter that the kernel runs for each datagram before that takes room in the receive buffer.
//!
//! What is kept out costs less than reading and forgetting it, and on loopback its sender pays. The kernel counts it among the socket's
//! drops. Classic BPF needs no privilege (socket(7), SO_ATTACH_FILTER). It cannot look for a To tag, but an INVITE that begins a call has
//! our name in its Request-URI, and one within a call has the far end's there (RFC 3261 §12.2.1.1): that one comes in. So does one with
//! a name that is none of ours; the call path leaves it out, and when those are many their name is learned.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD,
    BPF_LDX, BPF_LEN, BPF_OR, BPF_RET, BPF_W, sock_filter,
};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Where the payload begins: a filter of a UDP socket sees the UDP header, too.
const PAYLOAD: u32 = 8;
/// Where the Request-URI has its user, behind `INVITE sip:`.
const USER: u32 = PAYLOAD + 11;
/// Bytes of a user that are looked through for the `@` behind it; an INVITE with a longer one comes in.
const USER_BYTES_MAX: u32 = 64;
/// Bytes of a name, with its port; by longer ones nothing is kept out.
const NAME_BYTES_MAX: usize = 64;
/// Names that are compared at most: the rest keeps nothing out.
const NAMES_MAX: usize = 32;
/// A load beyond the end keeps a datagram out, so shorter ones come in unread. An INVITE is longer.
const READ_BYTES_MAX: u32 = USER + USER_BYTES_MAX + NAME_BYTES_MAX as u32 + 8;
/// What the filter returns for a datagram that comes in, whole; 0 is for one that stays out.
const WHOLE: u32 = u32::MAX;
/// Letters become small; `.`, `:`, `-`, digits stay as they are.
const SMALL: u32 = 0x2020_2020;
/// Ancillary data (linux/filter.h): a random number.
const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;

/// How many new calls come in all the same: one of a power of two, by chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sieve(u8);

impl Default for Sieve {
    fn default() -> Self {
        Self(4)
    }
}

impl Sieve {
    /// One of 4,096.
    const FINEST: u8 = 12;
    /// Every other one.
    const COARSEST: u8 = 1;

    pub(super) fn finer(self) -> Self {
        Self((self.0 + 1).min(Self::FINEST))
    }

    pub(super) fn coarser(self) -> Self {
        Self((self.0 - 1).max(Self::COARSEST))
    }

    const fn mask(self) -> u32 {
        (1 << self.0) - 1
    }
}

/// The filter of one shard's sockets.
#[derive(Debug)]
pub(super) struct Filter {
    names: Vec<Vec<u8>>,
    program: Vec<sock_filter>,
    /// Where the program has the sieve's mask.
    mask_at: usize,
}

impl Filter {
    /// `names`: what stands behind the `@` of a Request-URI that names us, with a port or without.
    pub(super) fn new(names: Vec<Vec<u8>>) -> Self {
        let mut filter = Self { names: Vec::new(), program: Vec::new(), mask_at: 0 };
        for name in names {
            filter.add(&name);
        }
        filter.write();
        filter
    }

    /// One name more; whether it was none yet, and there is room for it.
    pub(super) fn learn(&mut self, name: &[u8]) -> bool {
        let is_new = self.add(name);
        if is_new {
            self.write();
        }
        is_new
    }

    fn add(&mut self, name: &[u8]) -> bool {
        let is_new = (1..=NAME_BYTES_MAX).contains(&name.len())
            && self.names.len() < NAMES_MAX
            && !self.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_new {
            self.names.push(name.to_vec());
        }
        is_new
    }

    fn write(&mut self) {
        let mut writer = Writer::default();
        writer.take_short_ones();
        writer.take_other_methods();
        writer.find_host();
        writer.place(Goal::Host);
        self.names.iter().for_each(|name| writer.compare(name));
        writer.push(TAKE);
        writer.place(Goal::Draw);
        self.mask_at = writer.draw();
        self.program = writer.program;
    }

    /// Keeps new calls out of a UDP socket but for those that the sieve lets through, or lets all in again.
    ///
    /// # Errors
    /// What the kernel says; letting them in fails where nothing was kept out.
    pub(super) fn set(&mut self, socket: BorrowedFd<'_>, sieve: Option<Sieve>) -> io::Result<()> {
        self.program[self.mask_at].k = sieve.unwrap_or_default().mask();
        let program = libc::sock_fprog { len: self.program.len() as u16, filter: self.program.as_mut_ptr() };
        let option = if sieve.is_some() { libc::SO_ATTACH_FILTER } else { libc::SO_DETACH_FILTER };
        let bytes = size_of_val(&program) as libc::socklen_t;
        // SAFETY: the kernel copies what `program` names and `program` itself, which live through the call; it writes nothing.
        let set = unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const program).cast(), bytes)
        };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Where a jump goes that is written before its goal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    /// The index register is at the host of the Request-URI.
    Host,
    /// The request is a new call.
    Draw,
}

const TAKE: sock_filter = op(BPF_RET | BPF_K, WHOLE);

#[derive(Default)]
struct Writer {
    program: Vec<sock_filter>,
    jumps: Vec<(usize, Goal)>,
}

impl Writer {
    fn push(&mut self, op: sock_filter) {
        self.program.push(op);
    }

    fn go(&mut self, goal: Goal) {
        self.jumps.push((self.program.len(), goal));
        self.push(op(BPF_JMP | BPF_JA, 0));
    }

    /// All jumps to `goal` lead here.
    fn place(&mut self, goal: Goal) {
        for (at, _) in self.jumps.iter().filter(|(_, to)| *to == goal) {
            self.program[*at].k = (self.program.len() - at - 1) as u32;
        }
    }

    fn take_short_ones(&mut self) {
        self.push(op(BPF_LD | BPF_W | BPF_LEN, 0));
        self.push(branch(BPF_JGE, READ_BYTES_MAX, 1, 0));
        self.push(TAKE);
    }

    fn take_other_methods(&mut self) {
        for (size, at, text) in [
            (BPF_W, 0, u32::from_be_bytes(*b"INVI")),
            (BPF_H, 4, u32::from(u16::from_be_bytes(*b"TE"))),
            (BPF_B, 6, u32::from(b' ')),
        ] {
            self.push(op(BPF_LD | size | BPF_ABS, PAYLOAD + at));
            self.push(branch(BPF_JEQ, text, 1, 0));
            self.push(TAKE);
        }
    }

    /// The host begins behind the `@`, or where the user would when there is none.
    fn find_host(&mut self) {
        for at in USER..USER + USER_BYTES_MAX {
            self.push(op(BPF_LD | BPF_B | BPF_ABS, at));
            for (byte, host) in [(b'@', at + 1), (b' ', USER)] {
                self.push(branch(BPF_JEQ, u32::from(byte), 0, 2));
                self.push(op(BPF_LDX | BPF_W | BPF_IMM, host));
                self.go(Goal::Host);
            }
        }
        self.push(TAKE);
    }

    /// On to the next name, unless the host is this one and ends where it does.
    fn compare(&mut self, name: &[u8]) {
        let mut steps = Vec::new();
        let mut at = 0;
        while at < name.len() {
            let (size, bytes) = match name.len() - at {
                4.. => (BPF_W, 4),
                2.. => (BPF_H, 2),
                _ => (BPF_B, 1),
            };
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let small = SMALL >> (32 - 8 * bytes);
            steps.push((op(BPF_LD | size | BPF_IND, at as u32), small, number(&name[at..at + bytes]) | small));
            at += bytes;
        }
        let end = steps.len() * 3 + 5;
        for (index, (load, small, text)) in steps.into_iter().enumerate() {
            self.push(load);
            self.push(op(BPF_ALU | BPF_OR | BPF_K, small));
            self.push(branch(BPF_JEQ, text, 0, (end - index * 3 - 3) as u8));
        }
        self.push(op(BPF_LD | BPF_B | BPF_IND, name.len() as u32));
        self.push(branch(BPF_JEQ, u32::from(b' '), 2, 0));
        self.push(branch(BPF_JEQ, u32::from(b';'), 1, 0));
        self.push(branch(BPF_JEQ, u32::from(b'?'), 0, 1));
        self.go(Goal::Draw);
    }

    /// Where the mask stands.
    fn draw(&mut self) -> usize {
        self.push(op(BPF_LD | BPF_W | BPF_ABS, RANDOM));
        self.push(op(BPF_ALU | BPF_AND | BPF_K, 0));
        self.push(branch(BPF_JEQ, 0, 0, 1));
        self.push(TAKE);
        self.push(op(BPF_RET | BPF_K, 0));
        self.program.len() - 4
    }
}

const fn op(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips `jt` instructions when the comparison with `k` holds, else `jf`.
const fn branch(comparison: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | comparison | BPF_K) as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    /// A socket with a filter, and what comes into it.
    struct Gate {
        to: UdpSocket,
        from: UdpSocket,
        filter: Filter,
    }

    impl Gate {
        fn new(names: &[&str]) -> Self {
            let [to, from] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
            to.set_nonblocking(true).unwrap();
            Self { to, from, filter: Filter::new(names.iter().map(|name| name.as_bytes().to_vec()).collect()) }
        }

        fn set(&mut self, sieve: Option<Sieve>) {
            self.filter.set(self.to.as_fd(), sieve).unwrap();
        }

        fn comes_in(&self, text: &str) -> bool {
            self.from.send_to(text.as_bytes(), self.to.local_addr().unwrap()).unwrap();
            let mut bytes = [0; 2000];
            self.to.recv(&mut bytes).is_ok_and(|count| &bytes[..count] == text.as_bytes())
        }
    }

    fn invite(uri: &str) -> String {
        format!("INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\n{}", "x".repeat(1200))
    }

    const OURS: [&str; 4] = ["192.0.2.1", "192.0.2.1:5060", "[2001:db8::1]:5070", "sip.example.com"];
    /// Lets hardly any through: what comes in does so because it may.
    const FINEST: Sieve = Sieve(30);

    #[test]
    fn an_invite_with_our_name_in_its_request_uri_stays_out_and_nothing_else_does() {
        let mut gate = Gate::new(&OURS);
        let ours = [
            "sip:b@192.0.2.1",
            "sip:b@192.0.2.1:5060",
            "sip:+49301234567;npdi@192.0.2.1;user=phone",
            "sip:b@[2001:DB8::1]:5070",
            "sip:b@SIP.Example.com?x=y",
            "sip:192.0.2.1",
            "sip:sip.example.com;transport=udp",
            "sips:b@192.0.2.1",
        ];
        let others = [
            "sip:b@192.0.2.10",
            "sip:b@192.0.2.1:50600",
            "sip:b@192.0.2.1:5061",
            "sip:b@192.0.2",
            "sip:b@[2001:db8::1]",
            "sip:b@sip.example.com.",
            "sip:b@198.51.100.1:5060",
            "sip:198.51.100.1",
            "sip:192.0.2.1@198.51.100.1",
            "tel:+49301234567",
            "",
        ];
        let rest = [
            "ACK sip:b@192.0.2.1 SIP/2.0",
            "SIP/2.0 200 OK",
            "INVITES sip:b@192.0.2.1",
            "invite sip:b@192.0.2.1",
            "",
            "INVITE",
        ];
        let long = format!("sip:{}@192.0.2.1", "1".repeat(64));
        for _ in 0..2 {
            ours.iter().for_each(|uri| assert!(gate.comes_in(&invite(uri)), "{uri}"));
            gate.set(Some(FINEST));
            ours.iter().for_each(|uri| assert!(!gate.comes_in(&invite(uri)), "{uri}"));
            others.iter().for_each(|uri| assert!(gate.comes_in(&invite(uri)), "{uri}"));
            for text in rest {
                assert!(gate.comes_in(text) && gate.comes_in(&format!("{text}{}", " ".repeat(800))), "{text:?}");
            }
            assert!(gate.comes_in(&invite(&long)), "a user that is too long to look through");
            assert!(gate.comes_in("INVITE sip:b@192.0.2.1 SIP/2.0\r\n\r\n"), "too short to be an INVITE");
            gate.set(None);
        }
        assert!(gate.filter.set(gate.to.as_fd(), None).is_err(), "nothing is kept out");
    }

    #[test]
    fn one_of_a_power_of_two_comes_through_the_sieve() {
        let mut gate = Gate::new(&OURS);
        let invite = invite("sip:b@192.0.2.1:5060");
        for sieve in [Sieve(1), Sieve(3)] {
            gate.set(Some(sieve));
            let came = (0..4_000).filter(|_| gate.comes_in(&invite)).count();
            let wanted = 4_000 >> sieve.0;
            assert!(came.abs_diff(wanted) < wanted / 4, "{came} of 4000, wanted {wanted}");
        }
    }

    #[test]
    fn a_sieve_has_its_bounds() {
        let (mut finest, mut coarsest) = (Sieve::default(), Sieve::default());
        for _ in 0..40 {
            (finest, coarsest) = (finest.finer(), coarsest.coarser());
        }
        assert_eq!((finest.mask(), coarsest.mask()), (4_095, 1));
    }

    #[test]
    fn a_name_is_learned_once() {
        let mut gate = Gate::new(&OURS);
        assert!(gate.filter.learn(b"carrier.example.com") && !gate.filter.learn(b"CARRIER.example.com"));
        assert!(!gate.filter.learn(b"") && !gate.filter.learn(&[b'x'; 65]));
        gate.set(Some(FINEST));
        assert!(!gate.comes_in(&invite("sip:b@carrier.example.com")));
        assert!(gate.comes_in(&invite("sip:b@carrier.example.org")));
    }

    #[test]
    fn without_a_name_everything_comes_in_and_many_names_are_no_error() {
        let mut none = Gate::new(&[]);
        none.set(Some(FINEST));
        assert!(none.comes_in(&invite("sip:b@192.0.2.1")));
        let names: Vec<_> = (0..100).map(|n| format!("{n}{}", "n".repeat(60))).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut many = Gate::new(&names);
        many.set(Some(FINEST));
        assert!(!many.comes_in(&invite(&format!("sip:b@{}", names[NAMES_MAX - 1]))));
        assert!(many.comes_in(&invite(&format!("sip:b@{}", names[NAMES_MAX]))));
    }
}
