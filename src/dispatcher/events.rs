//! What happened to destinations and tables, why, and who caused it: a bounded queue that the control side drains.
//!
//! # Policy
//!
//! - Events come from the prober and the control side alone; no shard writes one. Writing one is lock-free and never waits.
//! - At most [`crate::limits::EVENTS_MAX`] wait. Beyond it the newest is lost and counted ([`States::events_lost`]): what is known of
//!   a destination is in its state anyway, an event only says that it is worth a look.
//! - One drain reads them: the log and the hooks get what that one hands on.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

use super::spec::SetId;
use super::standing::{Admin, Health};
use super::state::{DestinationId, States};
use crate::limits::EVENTS_MAX;
use crate::time::Instant;

/// Who caused a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cause {
    /// Nobody: it is as it was when it came.
    #[default]
    Start,
    /// Probes.
    Probe,
    /// What calls saw.
    Evidence,
    /// An operator at run time.
    Operator,
    /// The configuration.
    Config,
}

/// Why something changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reason {
    /// It was said; there is no more to it.
    #[default]
    Said,
    /// This final code came.
    Answer(u16),
    /// No answer came in time.
    NoAnswer,
    /// An ICMP error or a send error came.
    Unreachable,
    /// So many calls in a row were not answered in time.
    Timeouts(u32),
    /// So many calls in a row could not be sent.
    Unreachables(u32),
    /// So many of a hundred answers were faults.
    FaultsPercent(u32),
    /// RFC 3261 §20.33: a 503 asked for so many seconds.
    RetryAfterSeconds(u32),
    /// The time of its ejection or hold-off has passed.
    TimePassed,
    /// It is no longer probed, so what probes said no longer holds.
    Unprobed,
    /// It has no calls left.
    NoLoad,
    /// None of its set is left, or some are again.
    SetOut,
    /// What it says cannot be read.
    Unreadable,
}

/// Why something changed and who caused it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Why {
    /// Who.
    pub cause: Cause,
    /// Why.
    pub reason: Reason,
}

impl Why {
    /// `reason`, caused by `cause`.
    #[must_use]
    pub const fn new(cause: Cause, reason: Reason) -> Self {
        Self { cause, reason }
    }

    /// In one word: cause in byte 7, reason in byte 6, its number below; 0 is the default.
    pub(super) fn packed(self) -> u64 {
        let (kind, number) = match self.reason {
            Reason::Said => (0, 0),
            Reason::Answer(code) => (1, u32::from(code)),
            Reason::NoAnswer => (2, 0),
            Reason::Unreachable => (3, 0),
            Reason::Timeouts(count) => (4, count),
            Reason::Unreachables(count) => (5, count),
            Reason::FaultsPercent(percent) => (6, percent),
            Reason::RetryAfterSeconds(seconds) => (7, seconds),
            Reason::TimePassed => (8, 0),
            Reason::Unprobed => (9, 0),
            Reason::NoLoad => (10, 0),
            Reason::SetOut => (11, 0),
            Reason::Unreadable => (12, 0),
        };
        (self.cause as u64) << 56 | kind << 48 | u64::from(number)
    }

    pub(super) fn unpacked(word: u64) -> Self {
        let number = word as u32;
        let reason = match word >> 48 & 0xff {
            1 => Reason::Answer(number as u16),
            2 => Reason::NoAnswer,
            3 => Reason::Unreachable,
            4 => Reason::Timeouts(number),
            5 => Reason::Unreachables(number),
            6 => Reason::FaultsPercent(number),
            7 => Reason::RetryAfterSeconds(number),
            8 => Reason::TimePassed,
            9 => Reason::Unprobed,
            10 => Reason::NoLoad,
            11 => Reason::SetOut,
            12 => Reason::Unreadable,
            _ => Reason::Said,
        };
        let cause = match word >> 56 {
            1 => Cause::Probe,
            2 => Cause::Evidence,
            3 => Cause::Operator,
            4 => Cause::Config,
            _ => Cause::Start,
        };
        Self { cause, reason }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self.cause {
            Cause::Start => "start",
            Cause::Probe => "probe",
            Cause::Evidence => "calls",
            Cause::Operator => "operator",
            Cause::Config => "config",
        };
        match self.reason {
            Reason::Said => write!(f, "{cause}"),
            Reason::Answer(code) => write!(f, "{cause}: answer {code}"),
            Reason::NoAnswer => write!(f, "{cause}: no answer"),
            Reason::Unreachable => write!(f, "{cause}: unreachable"),
            Reason::Timeouts(count) => write!(f, "{cause}: {count} time-outs in a row"),
            Reason::Unreachables(count) => write!(f, "{cause}: {count} in a row not sent"),
            Reason::FaultsPercent(percent) => write!(f, "{cause}: {percent}% of the answers are 5xx"),
            Reason::RetryAfterSeconds(seconds) => write!(f, "{cause}: 503 with Retry-After, {seconds} s"),
            Reason::TimePassed => write!(f, "{cause}: its time has passed"),
            Reason::Unprobed => write!(f, "{cause}: no longer probed"),
            Reason::NoLoad => write!(f, "{cause}: no calls left"),
            Reason::SetOut => write!(f, "{cause}: all of its set are out"),
            Reason::Unreadable => write!(f, "{cause}: it cannot be read"),
        }
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// The first that is known of a destination: its first probe is over, or it is not probed.
    Known(Health, Admin),
    /// It is active.
    Up,
    /// It fails of late, and still gets traffic.
    Trying,
    /// It is inactive.
    Down,
    /// It gets no traffic until then, because of what calls saw.
    Ejected(Instant),
    /// It gets no traffic until then, because it asked for that.
    HeldOff(Instant),
    /// The ejection or hold-off is over.
    Returned,
    /// An operator or the config said so.
    Admin(Admin),
    /// It is draining and has no calls left; it stays draining until an operator says otherwise.
    Drained,
    /// The load that it reports is ignored, and was not the time before.
    ReportIgnored,
    /// All of this set are out; from now on all that are enabled get traffic all the same.
    PanicBegan(SetId),
    /// Some of this set are available again; health counts again.
    PanicEnded(SetId),
    /// A table with so many sets and destinations is in force.
    Published {
        /// Its sets.
        sets: u32,
        /// Its destinations.
        destinations: u32,
    },
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(health, admin) => write!(f, "known: {health:?}, {admin:?}"),
            Self::Up => write!(f, "up"),
            Self::Trying => write!(f, "trying"),
            Self::Down => write!(f, "down"),
            Self::Ejected(_) => write!(f, "ejected"),
            Self::HeldOff(_) => write!(f, "held off"),
            Self::Returned => write!(f, "returned"),
            Self::Admin(admin) => write!(f, "admin: {admin:?}"),
            Self::Drained => write!(f, "drained"),
            Self::ReportIgnored => write!(f, "load report ignored"),
            Self::PanicBegan(set) => write!(f, "all of set {} are out: all enabled ones are tried", set.0),
            Self::PanicEnded(set) => write!(f, "set {} has recovered", set.0),
            Self::Published { sets, destinations } => {
                write!(f, "table published: {sets} sets, {destinations} destinations")
            }
        }
    }
}

impl From<Health> for EventKind {
    fn from(health: Health) -> Self {
        match health {
            Health::Active => Self::Up,
            Health::Trying => Self::Trying,
            Health::Inactive => Self::Down,
        }
    }
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When; what the config said bears the date of the change before it.
    pub at: Instant,
    /// Which destination ([`super::Table::destination`] finds it while it is in force); none for sets and tables.
    pub destination: Option<DestinationId>,
    /// What.
    pub kind: EventKind,
    /// Why, and by whom.
    pub why: Why,
}

/// The queue.
pub(super) struct Events {
    waiting: ArrayQueue<Event>,
    lost: AtomicU64,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { waiting: ArrayQueue::new(EVENTS_MAX), lost: AtomicU64::new(0) }
    }
}

impl States {
    /// Adds an event; when the queue is full it is lost and counted.
    pub fn push_event(&self, event: Event) {
        if self.events().waiting.push(event).is_err() {
            self.events().lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the oldest event out.
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        self.events().waiting.pop()
    }

    /// Events that found the queue full, since the start.
    #[must_use]
    pub fn events_lost(&self) -> u64 {
        self.events().lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_same_after_a_while_in_a_slot() {
        let reasons = [
            Reason::Said,
            Reason::Answer(503),
            Reason::NoAnswer,
            Reason::Unreachable,
            Reason::Timeouts(u32::MAX),
            Reason::Unreachables(3),
            Reason::FaultsPercent(60),
            Reason::RetryAfterSeconds(120),
            Reason::TimePassed,
            Reason::Unprobed,
            Reason::NoLoad,
            Reason::SetOut,
            Reason::Unreadable,
        ];
        let causes = [Cause::Start, Cause::Probe, Cause::Evidence, Cause::Operator, Cause::Config];
        let mut texts = std::collections::BTreeSet::new();
        for reason in reasons {
            for cause in causes {
                let why = Why { cause, reason };
                assert_eq!(Why::unpacked(why.packed()), why);
                assert!(texts.insert(why.to_string()), "{why} is said of two things");
            }
        }
        assert_eq!(Why::unpacked(0), Why::default());
    }

    #[test]
    fn events_come_in_order_and_those_beyond_the_limit_are_counted() {
        let states = States::new();
        let event = |nanos| Event {
            at: Instant::from_nanos(nanos),
            destination: None,
            kind: EventKind::Up,
            why: Why::default(),
        };
        (0..EVENTS_MAX as u64 + 3).for_each(|nanos| states.push_event(event(nanos)));
        assert_eq!(states.events_lost(), 3);
        for nanos in 0..EVENTS_MAX as u64 {
            assert_eq!(states.next_event(), Some(event(nanos)));
        }
        assert_eq!(states.next_event(), None);
    }

    #[test]
    fn what_an_operator_says_is_an_event_with_its_cause_and_only_when_it_is_news() {
        let states = States::new();
        let id = states.claim(0).unwrap();
        let now = Instant::from_nanos(7);
        assert!(states.set_admin(id.state(), Admin::Draining, now));
        assert!(!states.set_admin(id.state(), Admin::Draining, now));
        let why = Why::new(Cause::Operator, Reason::Said);
        let expected = Event { at: now, destination: Some(id), kind: EventKind::Admin(Admin::Draining), why };
        assert_eq!((states.next_event(), states.next_event()), (Some(expected), None));
        assert_eq!(states.last_reason(id.state()), why);
    }
}
