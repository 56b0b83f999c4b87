//! The live view: a table drawn over itself on a terminal, a line per second anywhere else.
//!
//! What is shown of siplane is what siplane says ([`Snapshot`]), users' own calls included; the share of answered calls
//! is the demo's caller's. Output that nobody reads any more (a closed pipe) is no error: the calls go on.

use super::{DestinationView, Snapshot};
use core::fmt::Write as _;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::Write;

/// Time that calls per second are counted over.
const RATE_OVER: Duration = Duration::from_secs(1);

/// One moment of a run.
pub(super) struct Moment<'a> {
    /// Since the first call.
    pub(super) elapsed: Duration,
    pub(super) snapshot: &'a Snapshot,
    /// The caller's calls that were answered, and those that were or can no longer be.
    pub(super) answered: u64,
    pub(super) decided: u64,
    /// What is going on, for people.
    pub(super) note: &'a str,
}

impl Moment<'_> {
    fn share(&self) -> String {
        if self.decided == 0 {
            return String::from("-");
        }
        // Rounded down, so that 100 means all.
        let permille = self.answered * 1_000 / self.decided;
        format!("{}.{} %", permille / 10, permille % 10)
    }

    fn active(&self) -> u64 {
        self.snapshot.destinations.iter().map(|destination| destination.load).sum()
    }
}

/// Where moments are shown.
pub(super) struct View<W> {
    out: W,
    terminal: bool,
    /// Lines of the last drawing that the next one goes over.
    drawn: usize,
    last: Option<Duration>,
    /// When siplane had seen how many calls.
    counts: VecDeque<(Duration, u64)>,
}

impl<W: Write> View<W> {
    /// A view on `out`, which is a terminal or not.
    pub(super) fn new(out: W, terminal: bool) -> Self {
        Self { out, terminal, drawn: 0, last: None, counts: VecDeque::new() }
    }

    /// Shows `moment` when its time has come.
    pub(super) fn show(&mut self, moment: &Moment<'_>) {
        let every = Duration::from_millis(if self.terminal { 200 } else { 1_000 });
        if self.last.is_none_or(|last| moment.elapsed >= last + every) {
            self.show_now(moment);
        }
    }

    /// Shows `moment`.
    pub(super) fn show_now(&mut self, moment: &Moment<'_>) {
        let beat = if self.terminal { Duration::ZERO } else { Duration::from_secs(moment.elapsed.as_secs()) };
        self.last = Some(if self.terminal { moment.elapsed } else { beat });
        let rate = self.rate(moment);
        let text = if self.terminal { self.drawing(moment, rate) } else { line(moment, rate) };
        self.write(&text);
    }

    /// Writes `text` below all that was shown.
    pub(super) fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Calls per second over the last second.
    fn rate(&mut self, moment: &Moment<'_>) -> u64 {
        self.counts.push_back((moment.elapsed, moment.snapshot.calls));
        while self.counts.len() > 2 && self.counts[1].0 + RATE_OVER <= moment.elapsed {
            self.counts.pop_front();
        }
        let (since, calls) = self.counts[0];
        let seconds = (moment.elapsed - since).as_secs_f64();
        if seconds == 0.0 { 0 } else { ((moment.snapshot.calls - calls) as f64 / seconds).round() as u64 }
    }

    /// The table, with what moves the cursor over the last one and clears the rest of each line.
    fn drawing(&mut self, moment: &Moment<'_>, rate: u64) -> String {
        let lines = table(moment, rate);
        let up = if self.drawn == 0 { String::new() } else { format!("\x1b[{}A", self.drawn) };
        self.drawn = lines.len();
        lines.iter().fold(up, |text, line| text + "\r" + line + "\x1b[K\n")
    }
}

fn table(moment: &Moment<'_>, rate: u64) -> Vec<String> {
    let Snapshot { failovers, transactions, dialogs, destinations, .. } = moment.snapshot;
    let (active, share) = (moment.active(), moment.share());
    let mut lines = vec![
        format!(
            "{:>7} {:>9} {:>12} {:>9} {:>9} {:>12} {:>8}",
            "elapsed", "calls/s", "active calls", "answered", "failovers", "transactions", "dialogs"
        ),
        format!(
            "{:>5.1} s {rate:>9} {active:>12} {share:>9} {failovers:>9} {transactions:>12} {dialogs:>8}",
            moment.elapsed.as_secs_f64()
        ),
        String::new(),
        format!(
            "{:<26} {:<10} {:>9} {:>9} {:>12} {:>9} {:>9}",
            "destination", "state", "selected", "answered", "active calls", "probe", "response"
        ),
    ];
    lines.extend(destinations.iter().map(row));
    lines.extend([String::new(), moment.note.to_owned()]);
    lines
}

fn row(destination: &DestinationView) -> String {
    let DestinationView { uri, state, selected, answered, load, estimate, response_time } = destination;
    let (probe, response) = (millis(*estimate), millis(*response_time));
    format!("{uri:<26} {state:<10} {selected:>9} {answered:>9} {load:>12} {probe:>9} {response:>9}")
}

fn millis(time: Option<Duration>) -> String {
    time.map_or_else(|| String::from("-"), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}

fn line(moment: &Moment<'_>, rate: u64) -> String {
    let (seconds, active, share) = (moment.elapsed.as_secs_f64(), moment.active(), moment.share());
    let failovers = moment.snapshot.failovers;
    let mut text = format!(
        "{seconds:>4.0} s  {rate:>4} calls/s  {active:>4} active  {share:>7} answered  {failovers:>4} failovers"
    );
    for DestinationView { uri, state, selected, answered, load, .. } in &moment.snapshot.destinations {
        // Invariant: writing to a String does not fail.
        let _ = write!(text, "  | {uri} {state} {selected}/{answered}/{load}");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(calls: u64) -> Snapshot {
        let view = |last: u8, load| DestinationView {
            uri: format!("sip:127.0.0.{last}:5060"),
            state: "AP".to_owned(),
            selected: 20,
            answered: 19,
            load,
            estimate: Some(Duration::from_micros(340)),
            response_time: (load == 4).then_some(Duration::from_millis(21)),
        };
        Snapshot { calls, failovers: 3, transactions: 7, dialogs: 9, destinations: vec![view(11, 4), view(12, 5)] }
    }

    fn moment(elapsed_ms: u64, snapshot: &Snapshot) -> Moment<'_> {
        Moment { elapsed: Duration::from_millis(elapsed_ms), snapshot, answered: 1_999, decided: 2_000, note: "a note" }
    }

    #[test]
    fn a_terminal_gets_a_table_drawn_over_the_last_one() {
        let (mut out, first, second) = (Vec::new(), snapshot(0), snapshot(50));
        let mut view = View::new(&mut out, true);
        view.show(&moment(0, &first));
        view.show(&moment(100, &first));
        view.show(&moment(1_000, &second));
        let text = String::from_utf8(out).unwrap();
        let (first, second) = text.split_once("\x1b[8A").unwrap();
        assert_eq!((first.lines().count(), second.lines().count()), (8, 8));
        assert!(
            second.contains("  1.0 s        50            9    99.9 %         3            7        9\x1b[K\n"),
            "{second}"
        );
        assert!(
            second.contains(
                "sip:127.0.0.11:5060        AP                20        19            4    0.3 ms   21.0 ms\x1b[K\n"
            ),
            "{second}"
        );
        assert!(
            second.contains(
                "sip:127.0.0.12:5060        AP                20        19            5    0.3 ms         -\x1b[K\n"
            ),
            "{second}"
        );
        assert!(second.ends_with("\ra note\x1b[K\n"));
    }

    #[test]
    fn anything_else_gets_a_line_per_second() {
        let (mut out, early, late) = (Vec::new(), snapshot(0), snapshot(100));
        let mut view = View::new(&mut out, false);
        for ms in (0..=2_000).step_by(50) {
            view.show(&moment(ms, if ms < 1_000 { &early } else { &late }));
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 3);
        let expected = "   1 s   100 calls/s     9 active   99.9 % answered     3 failovers  \
            | sip:127.0.0.11:5060 AP 20/19/4  | sip:127.0.0.12:5060 AP 20/19/5";
        assert_eq!(text.lines().nth(1).unwrap(), expected);
        assert!(!text.contains('\x1b'));
    }
}
