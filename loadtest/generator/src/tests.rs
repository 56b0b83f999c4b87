//! Callers and callees on a wire without sockets, with a clock of its own: what is lost is lost the same way every time.

use crate::check::Path;
use crate::io::{Address, Outbox};
use crate::mix::Mix;
use crate::number::Run;
use crate::pace::{Pace, Random, Schedule};
use crate::stats::Failure;
use crate::timers::{MS, TRANSACTION};
use crate::uac::{self, Callers};
use crate::uas::{self, Callees};

const PATH: Path = Path { hops: 0, record_routed: false };

struct Wire {
    callers: Callers,
    callees: Callees,
    random: Random,
    /// Of a hundred datagrams, how many are lost.
    lost: u64,
    /// Whether what is written together arrives in the other order.
    reversed: bool,
    now: u64,
    sent: u64,
}

fn address(text: &str) -> Address {
    text.parse::<std::net::SocketAddrV4>().unwrap().into()
}

impl Wire {
    fn new(mix: &str, lost: u64, resend: bool) -> Self {
        Self::varied(mix, lost, resend, false)
    }

    fn varied(mix: &str, lost: u64, resend: bool, vary: bool) -> Self {
        let (run, proxy) = (Run::new(7, vary), address("127.0.0.1:6060"));
        let mix: Mix = mix.parse().unwrap();
        let plan = uac::Plan {
            proxy,
            mix,
            hold: 20 * MS,
            ring: 30 * MS,
            timeout: TRANSACTION,
            resend,
            verify: 1,
            path: PATH,
            active_max: 1000,
            seed: 1,
        };
        let conduct = uas::Conduct {
            ring: 30 * MS,
            trying: true,
            resend,
            timeout: TRANSACTION,
            verify: 1,
            path: PATH,
            pad: 0,
            record_route: true,
        };
        Self {
            callers: Callers::new(plan, run, &[address("127.0.0.2:4000")]),
            callees: Callees::new(conduct, run, 1, &[proxy]),
            random: Random::new(3),
            lost,
            reversed: false,
            now: 0,
            sent: 0,
        }
    }

    /// Carries what was written, and what that draws, until nothing is left; one millisecond for each way.
    fn carry(&mut self, out: &mut Outbox) {
        while out.len() > 0 {
            self.now += MS;
            let mut answers = Outbox::new();
            for at in 0..out.len() {
                let at = if self.reversed { out.len() - 1 - at } else { at };
                self.sent += 1;
                if self.random.next() % 100 < self.lost {
                    continue;
                }
                let (socket, bytes) = (out.socket(at), out.message(at));
                if socket == 0 {
                    self.callees.receive(1, address("127.0.0.2:4000"), bytes, self.now, &mut answers);
                } else {
                    self.callers.receive(0, bytes, self.now, &mut answers);
                }
            }
            *out = answers;
        }
    }

    /// Places so many calls and lets time pass until both sides have nothing more to do.
    fn play(&mut self, calls: u64) {
        let mut schedule = Schedule::new(Pace::Uniform(200.0), self.now, calls, u64::MAX);
        let mut out = Outbox::new();
        loop {
            self.callers.start(&mut schedule, false, self.now, &mut out);
            self.callers.on_time(self.now, &mut out);
            self.callees.on_time(self.now, &mut out);
            self.carry(&mut out);
            let dues = [schedule.due(self.now, self.callers.active()), self.callers.next(), self.callees.next()];
            let Some(due) = dues.into_iter().flatten().min() else { break };
            self.now = self.now.max(due);
        }
        assert_eq!(self.callers.active(), 0);
        assert_eq!(self.callers.stats.violations.samples.first(), None);
        assert_eq!(self.callees.stats.violations.samples.first(), None);
    }
}

#[test]
fn without_loss_nothing_is_sent_again_and_each_call_has_its_datagrams() {
    // More than there are places at first: some are used a second time.
    const CALLS: u64 = 4200;
    let mut wire = Wire::new("ok=1", 0, true);
    wire.play(CALLS);
    let (callers, callees) = (&wire.callers.stats, &wire.callees.stats);
    assert_eq!((callers.completed, callers.failures(), callers.resent, callers.repeated), (CALLS, 0, 0, 0));
    assert_eq!(
        (callees.answered, callees.acked, callees.byes, callees.resent, callees.repeated),
        (CALLS, CALLS, CALLS, 0, 0)
    );
    // INVITE, 100, 180, 200, ACK, BYE, 200.
    assert_eq!(wire.sent, CALLS * 7);
    // A ring of 30 ms and a millisecond each way.
    assert!((31_900..33_100).contains(&callers.setup.us(0.5)), "{}", callers.setup.us(0.5));
    assert!((1_900..2_100).contains(&callers.ringing.us(0.5)), "{}", callers.ringing.us(0.5));
}

// RFC 3261 §13.3.1.4, §17.1.1.2, §17.1.2.2, §17.2.1
#[test]
fn calls_of_every_kind_survive_loss_by_retransmission() {
    let mut wire = Wire::varied("ok=5,busy=2,cancel=2,reinvite=2", 20, true, true);
    wire.play(1000);
    let (callers, callees) = (&wire.callers.stats, &wire.callees.stats);
    assert_eq!(callers.completed + callers.failures(), 1000);
    // A response is lost seven times in a row once in 80,000 times; a CANCEL whose 487 is lost ends well, too.
    assert!(callers.completed >= 998, "{:?}", callers.failed);
    assert!(callers.resent > 100 && callees.resent > 100, "{} {}", callers.resent, callees.resent);
    assert!(callers.repeated > 50 && callees.repeated > 50, "{} {}", callers.repeated, callees.repeated);
}

#[test]
fn an_ack_that_its_bye_overtakes_counts_as_having_come() {
    let mut wire = Wire::new("reinvite=1", 0, true);
    wire.reversed = true;
    wire.play(100);
    let (callers, callees) = (&wire.callers.stats, &wire.callees.stats);
    assert_eq!((callers.completed, callees.byes, callees.answered, callees.acked), (100, 100, 200, 200));
}

#[test]
fn who_sends_nothing_again_loses_calls() {
    let mut wire = Wire::new("ok=1", 10, false);
    wire.play(500);
    let callers = &wire.callers.stats;
    assert!(callers.failures() > 50 && callers.completed > 100 && callers.resent == 0, "{:?}", callers.failed);
    assert!(callers.failed.keys().all(|failure| matches!(failure, Failure::InviteTimeout | Failure::ByeTimeout)));
}

#[test]
fn a_silent_wire_is_given_up_after_64_t1() {
    let mut wire = Wire::new("ok=1", 100, true);
    wire.play(1);
    let callers = &wire.callers.stats;
    assert_eq!((callers.failed[&Failure::InviteTimeout], callers.resent, wire.sent), (1, 6, 7));
    assert!((TRANSACTION..TRANSACTION + 20 * MS).contains(&wire.now), "{}", wire.now);
}
