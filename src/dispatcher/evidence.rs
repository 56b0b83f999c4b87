//! What calls say about a destination without being asked: noted by shards, judged by the prober at its own pace.
//!
//! # Policy
//!
//! - A shard only counts: a few relaxed atomics in cache lines that it writes for the call anyway. Standing is changed by the prober
//!   alone, so a destination goes out and comes back at one place.
//! - An answer is life, whatever its code: 404, 486, 600 are no fault. 5xx is, but 501, 505 and 513, which speak of the request.
//! - Ejection and hold-off are apart from health and from admin: a probe does not end them, and they undo no operator. Both end by time.
//! - Ejection lasts base × number of ejections, at most the maximum. When a destination has been in for as long as that maximum, its
//!   ejections are forgotten.
//! - The share that may be out is a bound on ejection alone. A hold-off is a destination's own wish and always obeyed.
//!
//! # Invariant
//!
//! Availability stays one load of the standing: ejected, held-off and panic are bits of it.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use super::events::{Cause, EventKind, Reason, Why};
use super::standing::Standing;
use super::state::{StateIndex, States};
use crate::time::Instant;

/// Which calls still try which destinations when all of a set are out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PanicRule {
    /// None: the set's fallback, else 503 at once (as Kamailio has it).
    #[default]
    Nobody,
    /// Every enabled destination gets traffic as if it were available; the set's fallback is not used then.
    Everybody,
}

/// How evidence from calls is judged in one set. [`PassiveSpec::default`] is sane: time-outs, send errors and Retry-After count, 5xx do
/// not (they may come from behind the destination).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PassiveSpec {
    /// Calls in a row without any answer in time that eject; 0: never. Default 5.
    pub timeouts_in_row: u32,
    /// Calls in a row that could not be sent (ICMP, send error) that eject; 0: never. Default 3.
    pub unreachables_in_row: u32,
    /// 5xx among a hundred final answers that eject, 1-100; 0: never. Default 0.
    pub faults_percent: u8,
    /// Over how long 5xx are counted. Default 10 s.
    pub faults_window: Duration,
    /// Final answers in the window before 5xx are judged. Default 20.
    pub faults_answers_min: u32,
    /// How long the first ejection lasts, the second twice as long, and so on. Default 30 s.
    pub ejection_base: Duration,
    /// How long an ejection lasts at most. Default 300 s.
    pub ejection_max: Duration,
    /// Enabled destinations of a hundred that may be out, for any reason, after an ejection, 0-100; so at 50 the only one of a set is
    /// never ejected. Default 50.
    pub out_percent_max: u8,
    /// How long a 503 with Retry-After holds off at most; zero: not at all. Default 300 s.
    pub hold_off_max: Duration,
    /// What happens when all are out. Default: nobody tries.
    pub panic: PanicRule,
}

impl Default for PassiveSpec {
    fn default() -> Self {
        Self {
            timeouts_in_row: 5,
            unreachables_in_row: 3,
            faults_percent: 0,
            faults_window: Duration::from_secs(10),
            faults_answers_min: 20,
            ejection_base: Duration::from_secs(30),
            ejection_max: Duration::from_secs(300),
            out_percent_max: 50,
            hold_off_max: Duration::from_secs(300),
            panic: PanicRule::Nobody,
        }
    }
}

/// What calls said about a destination, as far as it has not been judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// Calls without any answer in time since the last answer.
    pub timeouts_in_row: u32,
    /// Calls that could not be sent since the last answer.
    pub unreachables_in_row: u32,
    /// Final answers since it got its slot: 2xx, 3xx, 4xx, 5xx, 6xx.
    pub answers: [u64; 5],
    /// Those of them that were a fault.
    pub faults: u64,
}

impl Evidence {
    /// Final answers of all classes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.answers.iter().sum()
    }
}

/// Why a destination gets no traffic although it may be healthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outage {
    /// It is ejected until then.
    pub ejected_until: Option<Instant>,
    /// It is held off until then.
    pub held_until: Option<Instant>,
    /// Ejections that are remembered.
    pub ejections: u32,
    /// When the last ejection ended or shall end; the start when there was none.
    pub last_ejected_until: Instant,
}

/// The atomics of one slot.
#[derive(Default)]
pub(super) struct EvidenceCells {
    timeouts_in_row: AtomicU32,
    unreachables_in_row: AtomicU32,
    answers: [AtomicU64; 5],
    faults: AtomicU64,
    /// A wish to be held off until then that the prober has not seen; 0: none.
    wish_ns: AtomicU64,
    ejections: AtomicU32,
    ejected_until_ns: AtomicU64,
    /// It was ejected because it gave no sign of life, not for what it answered.
    ejected_silent: AtomicBool,
    held_until_ns: AtomicU64,
}

impl EvidenceCells {
    pub(super) fn reset(&self) {
        self.answers.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
        for cell in [&self.faults, &self.wish_ns, &self.ejected_until_ns, &self.held_until_ns] {
            cell.store(0, Ordering::Relaxed);
        }
        self.ejections.store(0, Ordering::Relaxed);
        self.forget_rows();
    }

    fn forget_rows(&self) {
        self.timeouts_in_row.store(0, Ordering::Relaxed);
        self.unreachables_in_row.store(0, Ordering::Relaxed);
    }
}

/// What shards note; each a few relaxed atomics.
impl States {
    /// A call's request there was not answered in time, not even provisionally.
    pub fn note_timeout(&self, index: StateIndex) {
        self.slot(index).vitals.evidence.timeouts_in_row.fetch_add(1, Ordering::Relaxed);
        self.note_no_response(index);
    }

    /// A call's request could not be sent there, or an ICMP error came for it (RFC 3261 §18.4).
    pub fn note_unreachable(&self, index: StateIndex) {
        self.slot(index).vitals.evidence.unreachables_in_row.fetch_add(1, Ordering::Relaxed);
        self.note_no_response(index);
    }

    /// A response with this code came from there, provisional ones included.
    pub fn note_answer(&self, index: StateIndex, code: u16) {
        let cells = &self.slot(index).vitals.evidence;
        let rows = [&cells.timeouts_in_row, &cells.unreachables_in_row];
        rows.into_iter().filter(|row| row.load(Ordering::Relaxed) > 0).for_each(|row| row.store(0, Ordering::Relaxed));
        if let Some(class) = cells.answers.get(usize::from(code / 100).wrapping_sub(2)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        if is_fault(code) {
            cells.faults.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A 503 with Retry-After came from there: it asks for no new requests until then.
    pub fn hold_off(&self, index: StateIndex, until: Instant) {
        // RFC 3261 §21.5.4: no other request for so long; the prober obeys within its pace, the set's maximum permitting.
        self.slot(index).vitals.evidence.wish_ns.fetch_max(until.as_nanos(), Ordering::Relaxed);
    }
}

/// What the prober does with it; it is the only writer.
impl States {
    /// What calls said.
    #[must_use]
    pub fn evidence(&self, index: StateIndex) -> Evidence {
        let cells = &self.slot(index).vitals.evidence;
        Evidence {
            timeouts_in_row: cells.timeouts_in_row.load(Ordering::Relaxed),
            unreachables_in_row: cells.unreachables_in_row.load(Ordering::Relaxed),
            answers: cells.answers.each_ref().map(|class| class.load(Ordering::Relaxed)),
            faults: cells.faults.load(Ordering::Relaxed),
        }
    }

    /// Whether, and until when, it is ejected or held off.
    #[must_use]
    pub fn outage(&self, index: StateIndex) -> Outage {
        let (cells, standing) = (&self.slot(index).vitals.evidence, self.standing_now(index));
        let ejected_until = Instant::from_nanos(cells.ejected_until_ns.load(Ordering::Relaxed));
        let held_until = Instant::from_nanos(cells.held_until_ns.load(Ordering::Relaxed));
        Outage {
            ejected_until: standing.has(Standing::EJECTED).then_some(ejected_until),
            held_until: standing.has(Standing::HELD_OFF).then_some(held_until),
            ejections: cells.ejections.load(Ordering::Relaxed),
            last_ejected_until: ejected_until,
        }
    }

    /// Whether evidence keeps traffic away: inactive, ejected or held off; whatever an operator said, and whether or not its set panics.
    #[must_use]
    pub fn is_out(&self, index: StateIndex) -> bool {
        self.standing_now(index).is_out()
    }

    /// Ejects until `until`.
    pub fn eject(&self, index: StateIndex, until: Instant, reason: Reason, now: Instant) {
        let cells = &self.slot(index).vitals.evidence;
        cells.ejections.fetch_add(1, Ordering::Relaxed);
        cells.ejected_until_ns.store(until.as_nanos(), Ordering::Relaxed);
        let silent = matches!(reason, Reason::Timeouts(_) | Reason::Unreachables(_));
        cells.ejected_silent.store(silent, Ordering::Relaxed);
        let why = Why::new(Cause::Evidence, reason);
        self.change_because(index, now, why, EventKind::Ejected(until), |standing| {
            standing.with(Standing::EJECTED, true)
        });
    }

    /// Probes found it alive: an ejection because it gave no sign of life ends with the next look; one for its answers does not.
    pub fn answers_again(&self, index: StateIndex, now: Instant) {
        let cells = &self.slot(index).vitals.evidence;
        if self.standing_now(index).has(Standing::EJECTED) && cells.ejected_silent.load(Ordering::Relaxed) {
            cells.ejected_until_ns.fetch_min(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Takes the wish to be held off that came in since it was last asked.
    #[must_use]
    pub fn take_hold_off(&self, index: StateIndex) -> Option<Instant> {
        let cell = &self.slot(index).vitals.evidence.wish_ns;
        let wish = if cell.load(Ordering::Relaxed) == 0 { 0 } else { cell.swap(0, Ordering::Relaxed) };
        (wish > 0).then(|| Instant::from_nanos(wish))
    }

    /// Holds off until `until`, or longer when it is held off for longer already.
    pub fn hold(&self, index: StateIndex, until: Instant, now: Instant) {
        self.slot(index).vitals.evidence.held_until_ns.fetch_max(until.as_nanos(), Ordering::Relaxed);
        let seconds = until.saturating_since(now).as_millis().div_ceil(1000) as u32;
        let why = Why::new(Cause::Evidence, Reason::RetryAfterSeconds(seconds));
        self.change_because(index, now, why, EventKind::HeldOff(until), |standing| {
            standing.with(Standing::HELD_OFF, true)
        });
    }

    /// Ends what has passed of ejection and hold-off; it has returned when neither is left.
    pub fn readmit(&self, index: StateIndex, now: Instant) {
        let outage = self.outage(index);
        let passed = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let bits = if passed(outage.ejected_until) { Standing::EJECTED } else { 0 }
            | if passed(outage.held_until) { Standing::HELD_OFF } else { 0 };
        let left = [outage.ejected_until, outage.held_until].into_iter().flatten().any(|until| until > now);
        let to = |standing: Standing| standing.with(bits, false);
        if left {
            self.change(index, self.last_change(index), to);
        } else {
            let why = Why::new(Cause::Evidence, Reason::TimePassed);
            self.change_because(index, now, why, EventKind::Returned, to);
        }
    }

    /// Forgets the rows of failures: those of requests that were sent before it went out say nothing of it when it is back.
    pub fn forget_failures(&self, index: StateIndex) {
        self.slot(index).vitals.evidence.forget_rows();
    }

    /// Forgets how often it was ejected.
    pub fn forget_ejections(&self, index: StateIndex) {
        self.slot(index).vitals.evidence.ejections.store(0, Ordering::Relaxed);
    }

    /// An operator says that it may get traffic again: ends ejection and hold-off at once, and forgets the failures that led there.
    pub fn pardon(&self, index: StateIndex, now: Instant) {
        let cells = &self.slot(index).vitals.evidence;
        cells.forget_rows();
        cells.wish_ns.store(0, Ordering::Relaxed);
        for until in [&cells.ejected_until_ns, &cells.held_until_ns] {
            until.fetch_min(now.as_nanos(), Ordering::Relaxed);
        }
        let (why, bits) = (Why::new(Cause::Operator, Reason::Said), Standing::EJECTED | Standing::HELD_OFF);
        self.change_because(index, now, why, EventKind::Returned, |standing| standing.with(bits, false));
    }

    /// Whether it gets traffic, when it is enabled, although it is out. No change of the destination itself: it leaves no date.
    pub fn set_panic(&self, index: StateIndex, panic: bool) {
        if self.standing_now(index).has(Standing::PANIC) != panic {
            self.change(index, self.last_change(index), |standing| standing.with(Standing::PANIC, panic));
        }
    }
}

/// Whether a code speaks against the destination rather than of the request or of the called user.
fn is_fault(code: u16) -> bool {
    (500..600).contains(&code) && ![501, 505, 513].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{Admin, Health};

    const INDEX: StateIndex = StateIndex::new(0);
    const NOW: Instant = Instant::from_nanos(1);
    const LATER: Instant = Instant::from_nanos(1_000);

    #[test]
    fn only_5xx_that_speak_of_the_destination_are_faults() {
        let states = States::new();
        for code in [100, 180, 200, 302, 404, 408, 486, 501, 505, 513, 600, 603] {
            states.note_answer(INDEX, code);
        }
        let evidence = states.evidence(INDEX);
        assert_eq!((evidence.total(), evidence.faults), (10, 0), "provisional ones are no final answers");
        for code in [500, 502, 503, 504, 599] {
            states.note_answer(INDEX, code);
        }
        assert_eq!(states.evidence(INDEX).faults, 5);
    }

    #[test]
    fn any_answer_ends_a_row_of_failures() {
        // RFC 3261 §18.4: an ICMP error is a failure of the transport, so a row of them is counted like time-outs.
        let states = States::new();
        for code in [100, 486, 503] {
            states.note_timeout(INDEX);
            states.note_unreachable(INDEX);
            assert_eq!(states.evidence(INDEX).timeouts_in_row + states.evidence(INDEX).unreachables_in_row, 2);
            states.note_answer(INDEX, code);
            assert_eq!(states.evidence(INDEX).timeouts_in_row + states.evidence(INDEX).unreachables_in_row, 0);
        }
    }

    #[test]
    fn an_ejected_or_held_off_destination_is_unavailable_whatever_its_health_and_comes_back_by_time() {
        let states = States::new();
        states.eject(INDEX, LATER, Reason::Timeouts(5), NOW);
        states.hold(INDEX, Instant::from_nanos(2_000), NOW);
        assert!(!states.is_available(INDEX) && states.is_out(INDEX));
        states.set_health(INDEX, Health::Trying, NOW);
        states.set_health(INDEX, Health::Active, NOW);
        assert!(!states.is_available(INDEX), "health alone ends no ejection");
        let returned = || core::iter::from_fn(|| states.next_event()).any(|event| event.kind == EventKind::Returned);
        states.readmit(INDEX, LATER);
        assert!(!returned());
        assert_eq!(states.outage(INDEX).ejected_until, None);
        assert!(!states.is_available(INDEX), "it is still held off");
        states.readmit(INDEX, Instant::from_nanos(2_000));
        assert!(states.is_available(INDEX) && returned());
        assert_eq!(states.outage(INDEX).ejections, 1);
    }

    #[test]
    fn an_operators_pardon_ends_ejection_and_hold_off_at_once() {
        let states = States::new();
        (0..5).for_each(|_| states.note_timeout(INDEX));
        states.eject(INDEX, LATER, Reason::FaultsPercent(60), NOW);
        states.hold(INDEX, Instant::from_nanos(2_000), NOW);
        states.pardon(INDEX, Instant::from_nanos(500));
        assert!(states.is_available(INDEX));
        assert_eq!(states.evidence(INDEX).timeouts_in_row, 0);
        assert_eq!(states.last_reason(INDEX), Why::new(Cause::Operator, Reason::Said));
    }

    #[test]
    fn good_probes_end_an_ejection_for_silence_and_none_for_faults() {
        let states = States::new();
        let soon = Instant::from_nanos(500);
        states.eject(INDEX, LATER, Reason::Unreachables(3), NOW);
        states.answers_again(INDEX, soon);
        states.readmit(INDEX, soon);
        assert!(states.is_available(INDEX));
        states.eject(INDEX, LATER, Reason::FaultsPercent(60), NOW);
        states.answers_again(INDEX, soon);
        states.readmit(INDEX, soon);
        assert!(!states.is_available(INDEX));
    }

    #[test]
    fn panic_makes_every_enabled_destination_available_and_overrides_no_operator() {
        let states = States::new();
        states.set_health(INDEX, Health::Inactive, NOW);
        states.eject(INDEX, LATER, Reason::Timeouts(5), NOW);
        let before = (states.last_change(INDEX), states.last_reason(INDEX), states.availability_epoch());
        states.set_panic(INDEX, true);
        assert!(states.is_available(INDEX) && states.is_out(INDEX));
        let after = (states.last_change(INDEX), states.last_reason(INDEX), states.availability_epoch() - 1);
        assert_eq!(after, before, "it leaves no date, and the epoch grows");
        for admin in [Admin::Draining, Admin::Disabled] {
            states.set_admin(INDEX, admin, NOW);
            assert!(!states.is_available(INDEX), "{admin:?}");
            assert_eq!(states.admin(INDEX), admin);
        }
    }

    #[test]
    fn a_wish_to_be_held_off_is_taken_once_and_the_longest_counts() {
        // RFC 3261 §21.5.4
        let states = States::new();
        states.hold_off(INDEX, LATER);
        states.hold_off(INDEX, NOW);
        assert_eq!((states.take_hold_off(INDEX), states.take_hold_off(INDEX)), (Some(LATER), None));
    }
}
