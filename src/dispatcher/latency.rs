//! How fast destinations answer: probes as statistics, live calls as one number that selection may read.
//!
//! # Policy
//!
//! - Probe latency has one writer, the prober; anybody reads. Each number is exact, together they may be one probe apart.
//! - Kamailio's words and arithmetic (its `dispatcher.list`): estimate, average, deviation, maximum, time-outs. The estimate is the
//!   average of the first [`ESTIMATE_AFTER`] answers, then weighs the new one by a share that the settings say.
//! - Live response time (INVITE to first response, 100 included) is a peak-EWMA: a slower sample counts at once and whole, a faster
//!   one by an eighth. It halves every [`RESPONSE_HALF_LIFE`] without samples, so a destination that was slow once is tried again.
//! - A request without an answer, or one that could not be sent, counts as a response after [`FAILURE_COUNTS_AS`], and fades like one.
//! - A reload forgets nothing; only a new destination in the slot starts from nothing.

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use core::time::Duration;

use super::state::{StateIndex, States};

/// Answers until the estimate is more than the average.
pub const ESTIMATE_AFTER: u64 = 10;

/// Time in which the response time of a destination without live calls halves.
pub const RESPONSE_HALF_LIFE: Duration = Duration::from_secs(10);

/// What a request that got no response counts as in the live response time, at least.
pub const FAILURE_COUNTS_AS: Duration = Duration::from_secs(1);

/// Answers that a configured latency counts as (Kamailio's number).
const SEED_COUNT: u64 = 10_000;

/// What the probes of one destination measured since it got its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latency {
    /// Probes that were answered, by whatever final code.
    pub count: u64,
    /// Probes that were not answered in time, or could not be delivered.
    pub timeouts: u64,
    /// Exponentially weighted.
    pub estimate: Duration,
    /// Of all answers.
    pub average: Duration,
    /// Standard deviation over all answers; zero before the second.
    pub deviation: Duration,
    /// The slowest answer.
    pub maximum: Duration,
    /// The last answer.
    pub last: Duration,
    /// Code of the last answer; none when the last probe was not answered, or there was none yet.
    pub last_code: Option<u16>,
}

/// Probe latency as selection reads it, ns.
#[derive(Clone, Copy)]
pub(super) struct Probed {
    pub(super) estimate_ns: f64,
    average_ns: f64,
}

impl Probed {
    /// How much slower than on average it is, never negative.
    pub(super) fn congestion_ns(self) -> f64 {
        (self.estimate_ns - self.average_ns).max(0.0)
    }
}

/// The atomics of one slot. Floats are kept as their bits: 0 is 0.0.
#[derive(Default)]
pub(super) struct LatencyCells {
    count: AtomicU64,
    timeouts: AtomicU64,
    estimate_ns: AtomicU64,
    average_ns: AtomicU64,
    /// Sum of squared distances from the average (Welford).
    squares: AtomicU64,
    maximum_ns: AtomicU64,
    last_ns: AtomicU64,
    last_code: AtomicU16,
    response_ns: AtomicU64,
    responses: AtomicU64,
}

impl LatencyCells {
    pub(super) fn reset(&self) {
        let cells = [&self.count, &self.timeouts, &self.estimate_ns, &self.average_ns, &self.squares];
        let more = [&self.maximum_ns, &self.last_ns, &self.response_ns, &self.responses];
        cells.into_iter().chain(more).for_each(|cell| cell.store(0, Ordering::Relaxed));
        self.last_code.store(0, Ordering::Relaxed);
    }
}

impl States {
    /// Records an answered probe. The estimate weighs it by `weight_permille` thousandths, 1 to 999. For the prober alone.
    pub fn note_probe_answer(&self, index: StateIndex, latency: Duration, code: u16, weight_permille: u16) {
        let cells = &self.slot(index).vitals.latency;
        let sample_ns = latency.as_nanos() as u64;
        let sample = sample_ns as f64;
        let congestion = self.congestion(index).as_millis();
        let count = cells.count.load(Ordering::Relaxed) + 1;
        let (average, squares, estimate) = (read(&cells.average_ns), read(&cells.squares), read(&cells.estimate_ns));
        let distance = sample - average;
        let average = average + distance / count as f64;
        write(&cells.average_ns, average);
        write(&cells.squares, squares + distance * (sample - average));
        let weight = f64::from(weight_permille.clamp(1, 999)) / 1000.0;
        let weighed = sample * weight + estimate * (1.0 - weight);
        write(&cells.estimate_ns, if count < ESTIMATE_AFTER { average } else { weighed });
        cells.maximum_ns.fetch_max(sample_ns, Ordering::Relaxed);
        cells.last_ns.store(sample_ns, Ordering::Relaxed);
        cells.last_code.store(code, Ordering::Relaxed);
        cells.count.store(count, Ordering::Relaxed);
        if self.congestion(index).as_millis() != congestion {
            self.congestion.tell();
        }
    }

    /// Has a new destination begin as if probes had measured `latency` many times.
    pub(super) fn seed_latency(&self, index: StateIndex, latency: Duration) {
        let cells = &self.slot(index).vitals.latency;
        let nanos = latency.as_nanos() as f64;
        write(&cells.average_ns, nanos);
        write(&cells.estimate_ns, nanos);
        cells.count.store(SEED_COUNT, Ordering::Relaxed);
    }

    /// Estimate and average; none before the first answer. Three loads.
    pub(super) fn probed(&self, index: StateIndex) -> Option<Probed> {
        let cells = &self.slot(index).vitals.latency;
        let probed = || Probed { estimate_ns: read(&cells.estimate_ns), average_ns: read(&cells.average_ns) };
        (cells.count.load(Ordering::Relaxed) > 0).then(probed)
    }

    /// Records a probe that was not answered in time, or could not be delivered. For the prober alone.
    pub fn note_probe_timeout(&self, index: StateIndex) {
        let cells = &self.slot(index).vitals.latency;
        cells.timeouts.fetch_add(1, Ordering::Relaxed);
        cells.last_code.store(0, Ordering::Relaxed);
    }

    /// What the probes of a destination measured.
    #[must_use]
    pub fn latency(&self, index: StateIndex) -> Latency {
        let cells = &self.slot(index).vitals.latency;
        let count = cells.count.load(Ordering::Relaxed);
        let variance = if count < 2 { 0.0 } else { read(&cells.squares) / (count - 1) as f64 };
        Latency {
            count,
            timeouts: cells.timeouts.load(Ordering::Relaxed),
            estimate: nanos(read(&cells.estimate_ns)),
            average: nanos(read(&cells.average_ns)),
            deviation: nanos(variance.sqrt()),
            maximum: Duration::from_nanos(cells.maximum_ns.load(Ordering::Relaxed)),
            last: Duration::from_nanos(cells.last_ns.load(Ordering::Relaxed)),
            last_code: Some(cells.last_code.load(Ordering::Relaxed)).filter(|code| *code > 0),
        }
    }

    /// Records the time from an INVITE to the first response to it. For shards: a few relaxed atomics, no lock.
    pub fn note_response_time(&self, index: StateIndex, time: Duration) {
        let cells = &self.slot(index).vitals.latency;
        let sample = (time.as_nanos() as u64).max(1);
        let next = |old: u64| if sample >= old { sample } else { old - (old - sample) / 8 };
        // The closure always gives a value, so this never fails.
        let _ = cells.response_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(next(old)));
        cells.responses.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a request got no response. For shards.
    pub(super) fn note_no_response(&self, index: StateIndex) {
        let cell = &self.slot(index).vitals.latency.response_ns;
        cell.fetch_max(FAILURE_COUNTS_AS.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The peak-EWMA of live response times; none before the first. One load.
    #[must_use]
    pub fn response_time(&self, index: StateIndex) -> Option<Duration> {
        let nanos = self.slot(index).vitals.latency.response_ns.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Live response times recorded so far.
    #[must_use]
    pub fn responses(&self, index: StateIndex) -> u64 {
        self.slot(index).vitals.latency.responses.load(Ordering::Relaxed)
    }

    /// Lets the response time of a destination without live calls fade for `idle`. For the prober alone.
    pub fn fade_response_time(&self, index: StateIndex, idle: Duration) {
        let share = (-idle.as_secs_f64() / RESPONSE_HALF_LIFE.as_secs_f64()).exp2();
        let fade = |old: u64| (old > 0).then(|| ((old as f64 * share) as u64).max(1));
        // Fails when nothing was recorded: then there is nothing to fade.
        let cell = &self.slot(index).vitals.latency.response_ns;
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fade);
    }
}

fn read(cell: &AtomicU64) -> f64 {
    f64::from_bits(cell.load(Ordering::Relaxed))
}

fn write(cell: &AtomicU64, value: f64) {
    cell.store(value.to_bits(), Ordering::Relaxed);
}

fn nanos(value: f64) -> Duration {
    Duration::from_nanos(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: StateIndex = StateIndex::new(0);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn average_deviation_and_maximum_are_those_of_all_answers() {
        let states = States::new();
        assert_eq!(states.latency(INDEX), Latency::default());
        for sample in [2, 4, 4, 4, 5, 5, 7, 9] {
            states.note_probe_answer(INDEX, ms(sample), 200, 100);
        }
        let latency = states.latency(INDEX);
        assert_eq!((latency.count, latency.average, latency.maximum, latency.last), (8, ms(5), ms(9), ms(9)));
        // 32 / 7, the square root of it: the sample's deviation.
        assert_eq!(latency.deviation.as_micros(), 2_138);
        assert_eq!((latency.estimate, latency.last_code), (ms(5), Some(200)));
    }

    #[test]
    fn the_estimate_is_the_average_of_nine_answers_and_then_weighs_the_new_one() {
        let states = States::new();
        (0..9).for_each(|_| states.note_probe_answer(INDEX, ms(10), 200, 100));
        assert_eq!(states.latency(INDEX).estimate, ms(10));
        states.note_probe_answer(INDEX, ms(110), 404, 100);
        assert_eq!(states.latency(INDEX).estimate, ms(20));
        states.note_probe_answer(INDEX, ms(120), 404, 500);
        assert_eq!(states.latency(INDEX).estimate, ms(70));
    }

    #[test]
    fn a_probe_without_answer_counts_as_timeout_and_moves_no_latency() {
        let states = States::new();
        states.note_probe_answer(INDEX, ms(10), 200, 100);
        states.note_probe_timeout(INDEX);
        let latency = states.latency(INDEX);
        assert_eq!((latency.count, latency.timeouts, latency.last_code, latency.average), (1, 1, None, ms(10)));
    }

    #[test]
    fn a_slow_response_counts_at_once_and_a_fast_one_by_an_eighth() {
        let states = States::new();
        assert_eq!(states.response_time(INDEX), None);
        for (sample, expected) in [(8, 8), (80, 80), (0, 70), (70, 70)] {
            states.note_response_time(INDEX, ms(sample));
            assert_eq!(states.response_time(INDEX).unwrap().as_millis(), expected);
        }
        assert_eq!(states.responses(INDEX), 4);
    }

    #[test]
    fn the_response_time_of_an_idle_destination_halves_every_ten_seconds() {
        let states = States::new();
        states.fade_response_time(INDEX, RESPONSE_HALF_LIFE);
        assert_eq!(states.response_time(INDEX), None, "nothing fades to something");
        states.note_response_time(INDEX, ms(80));
        states.fade_response_time(INDEX, RESPONSE_HALF_LIFE);
        assert_eq!(states.response_time(INDEX), Some(ms(40)));
        (0..40).for_each(|_| states.fade_response_time(INDEX, RESPONSE_HALF_LIFE));
        assert!(states.response_time(INDEX).is_some());
    }

    #[test]
    fn a_new_destination_in_the_slot_starts_from_nothing() {
        let states = States::new();
        let first = states.claim(0).unwrap();
        states.note_probe_answer(first.state(), ms(10), 200, 100);
        states.note_response_time(first.state(), ms(10));
        states.leave(first);
        let again = states.claim(0).unwrap();
        assert_eq!(again.state(), first.state());
        assert_eq!(states.latency(again.state()), Latency::default());
        assert_eq!(states.response_time(again.state()), None);
    }
}
