//! What overload control must do: a report is obeyed from the moment it comes to its end, and so many requests are kept from the
//! destination as it says (RFC 7339 §5, §7, RFC 7415 §3.5).

use crate::checks::{Verdict, ensure};
use crate::message::param;
use core::time::Duration;
use siplane::dispatcher::{Overload, OverloadAlgorithm, OverloadBounds};
use siplane::time::Instant;

/// What the last report that counted says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word {
    /// None: overload is over.
    report: Option<(OverloadAlgorithm, u32)>,
    until: Instant,
    sequence: u64,
}

/// The overload of one destination.
#[derive(Clone, Debug)]
pub(crate) struct Overloaded {
    word: Word,
    /// The word before, where the proxy may have had no use for the last report.
    doubt: Option<Word>,
    /// New requests that went there in this step.
    pub(crate) placed: u64,
    /// Requests that were kept from it so far.
    shed: u64,
    stretch: Stretch,
}

impl Default for Overloaded {
    fn default() -> Self {
        let word = Word { report: None, until: Instant::from_nanos(0), sequence: 0 };
        Self { word, doubt: None, placed: 0, shed: 0, stretch: Stretch::default() }
    }
}

/// A time in which the same holds.
#[derive(Clone, Debug, Default)]
struct Stretch {
    rule: Option<(OverloadAlgorithm, u32)>,
    /// Whether a report says so, and not the destination's own bounds: debts begin anew with a first report.
    reported: bool,
    /// Hundredths of a request that were not shed and should have been, and the least and the most that they were.
    owed: i64,
    least: i64,
    most: i64,
    sends: Vec<Instant>,
}

impl Overloaded {
    /// The destination's response with this Via of ours on top comes in. `surely`: its transaction is alive.
    pub(crate) fn heard(&mut self, now: Instant, via: &str, bounds: OverloadBounds, surely: bool) {
        let Some(word) = read(now, via, bounds) else { return };
        // RFC 7339 §5.4: only a higher number is news while another report counts.
        if self.word.until > now && word.sequence <= self.word.sequence {
            return;
        }
        if self.word.report.is_none() || self.word.until <= now {
            // The last report has ended, perhaps since the last step: this one begins with no debts.
            self.stretch = Stretch::default();
        }
        self.doubt = (!surely).then_some(self.word);
        self.word = word;
    }

    fn in_force(&self, now: Instant, bounds: OverloadBounds) -> Option<(OverloadAlgorithm, u32)> {
        let fixed = (bounds.ocrate > 0).then_some((OverloadAlgorithm::Loss, bounds.ocrate.into()));
        self.word.report.filter(|_| self.word.until > now).or(fixed)
    }

    /// Requests that were shed since the last step.
    pub(crate) const fn shed_since(&self, seen: &Overload) -> u64 {
        seen.shed - self.shed
    }

    /// A step is over.
    pub(crate) fn observe(&mut self, now: Instant, bounds: OverloadBounds, seen: &Overload, lapses: u64) -> Verdict {
        let is = |word: &Word| (word.until, word.sequence) == (seen.valid_until, seen.sequence);
        if let Some(before) = self.doubt.take().filter(is) {
            self.word = before;
        }
        let rule = self.in_force(now, bounds);
        let known = is(&self.word) && seen.in_force == rule;
        ensure(known, || format!("{seen:?} is in force at {now:?}, not {:?} with {rule:?}", self.word))?;
        let reported = self.word.report.is_some() && self.word.until > now;
        if (rule, reported) != (self.stretch.rule, self.stretch.reported) {
            self.stretch = Stretch { rule, reported, ..Stretch::default() };
        }
        let shed = self.shed_since(seen);
        self.shed = seen.shed;
        self.stretch.go_on(now, core::mem::take(&mut self.placed), shed, lapses)
    }
}

impl Stretch {
    fn go_on(&mut self, now: Instant, placed: u64, shed: u64, lapses: u64) -> Verdict {
        match self.rule {
            None => ensure(shed == 0, || format!("{shed} were shed without a report")),
            Some((OverloadAlgorithm::Loss, percent)) => {
                self.owed += (i64::from(percent) - 100) * shed as i64 + i64::from(percent) * placed as i64;
                (self.least, self.most) = (self.least.min(self.owed), self.most.max(self.owed));
                // In any window the shed are within one of what was reported, and one more for each that had no room.
                let off = self.most - self.least;
                ensure(off < 100 + 100 * lapses as i64, || {
                    format!("{off} hundredths of a request off a loss of {percent}")
                })
            }
            Some((OverloadAlgorithm::Rate, calls)) => {
                self.sends.extend((0..placed).map(|_| now));
                let second = self.sends.iter().filter(|at| now.saturating_since(**at) < Duration::from_secs(1)).count();
                ensure(second <= calls as usize, || format!("{second} requests in a second, not {calls}"))
            }
        }
    }
}

/// The report in a Via.
fn read(now: Instant, via: &str, bounds: OverloadBounds) -> Option<Word> {
    let value: u32 = param(via, "oc")?.parse().ok()?;
    let (seconds, rest) = param(via, "oc-seq")?.split_once('.')?;
    let sequence = seconds.parse::<u64>().ok()? * 100_000 + rest.parse::<u64>().ok()?;
    // RFC 7339 §4.3
    let validity = param(via, "oc-validity").map_or(500, |validity| validity.parse().expect("a validity"));
    let report = match param(via, "oc-algo") {
        Some("\"rate\"") => (OverloadAlgorithm::Rate, value),
        _ => (OverloadAlgorithm::Loss, value.max(bounds.ocmin.into()).min(bounds.ocmax.into())),
    };
    let over = validity == 0;
    // A report from before the end of overload may be T4 old.
    let lasts = Duration::from_millis(if over { 5000 } else { validity });
    Some(Word { report: (!over).then_some(report), until: now + lasts, sequence })
}
