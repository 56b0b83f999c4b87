//! What a run has shown, for people and as lines of JSON, and whether it was clean.

use crate::cli::Arguments;
use crate::cpu::Cpu;
use crate::mix::Kind;
use crate::run::Outcome;
use crate::stats::{CallerStats, Failure, Times};
use core::fmt::{Display, Write};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Quantiles that are told, with their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

/// One JSON object in the making.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::from("{"))
    }

    /// A member whose value is JSON as it stands.
    fn raw(mut self, name: &str, value: impl Display) -> Self {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Invariant: writing to a String does not fail.
        let _ = write!(self.0, "{comma}{}:{value}", quoted(name));
        self
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, quoted(value))
    }

    /// A number with so many digits behind the point; null when there is none.
    fn real(self, name: &str, value: Option<f64>) -> Self {
        match value.filter(|value| value.is_finite()) {
            Some(value) => self.raw(name, format_args!("{value:.3}")),
            None => self.raw(name, "null"),
        }
    }

    fn end(self) -> String {
        self.0 + "}"
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            // Invariant: writing to a String does not fail.
            _ if letter.is_control() => drop(write!(json, "\\u{:04x}", letter as u32)),
            _ => json.push(letter),
        }
    }
    json + "\""
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

fn times(times: &Times) -> String {
    let object = Object::new().raw("count", times.count());
    let object = QUANTILES.iter().fold(object, |object, (name, quantile)| object.raw(name, times.us(*quantile)));
    object.raw("max", times.max_us()).end()
}

/// The lines that tell each second's figures.
pub(crate) struct Seconds {
    wanted: bool,
    json: bool,
    start: u64,
    last: [u64; 4],
}

impl Seconds {
    pub(crate) const fn new(arguments: &Arguments, start: u64) -> Self {
        Self { wanted: arguments.per_second, json: arguments.json, start, last: [0; 4] }
    }

    /// A second has passed.
    pub(crate) fn line(&mut self, now: u64, stats: &CallerStats) {
        if !self.wanted {
            return;
        }
        let figures = [stats.offered, stats.completed, stats.failures(), stats.resent];
        let [offered, completed, failed, resent]: [u64; 4] = core::array::from_fn(|at| figures[at] - self.last[at]);
        self.last = figures;
        let seconds = now.saturating_sub(self.start) as f64 / 1e9;
        if self.json {
            let object = Object::new().text("type", "second").real("at_s", Some(seconds)).raw("offered", offered);
            println!("{}", object.raw("completed", completed).raw("failed", failed).raw("resent", resent).end());
        } else {
            println!("{seconds:7.1} s  offered {offered}, completed {completed}, failed {failed}, resent {resent}");
        }
    }
}

impl Outcome {
    /// Violations of both sides.
    fn violations(&self) -> u64 {
        self.callers.violations.count() + self.callees.violations.count()
    }

    /// Why the run is not clean; nothing when it is.
    fn complaints(&self, arguments: &Arguments) -> Vec<String> {
        let lag_us = self.callers.lag.us(0.99);
        let unplaced = self.callers.offered - self.callers.started;
        let unacked = self.callees.answered - self.callees.acked;
        let rules = [
            (self.violations() > 0, format!("{} violations", self.violations())),
            (self.callers.failures() > 0, format!("{} calls failed", self.callers.failures())),
            (unplaced > 0, format!("{unplaced} calls were not placed: more than {} at once", arguments.active_max)),
            (lag_us as f64 > arguments.lag_ms * 1000.0, format!("fell behind its schedule: p99 {lag_us} µs")),
            (self.own_drops > 0, format!("its own sockets dropped {} datagrams", self.own_drops)),
            (self.own_unsent > 0, format!("{} datagrams could not be sent", self.own_unsent)),
            (self.drops > 0, format!("the program under test dropped {} datagrams", self.drops)),
            (unacked > 0, format!("{unacked} answered calls had no ACK")),
            (self.callers.completed == 0, "no call was completed".into()),
        ];
        rules.into_iter().filter(|(holds, _)| *holds).map(|(_, why)| why).collect()
    }

    fn per_call_us(&self, nanoseconds: u64) -> Option<f64> {
        (self.callers.completed > 0).then(|| nanoseconds as f64 / 1e3 / self.callers.completed as f64)
    }

    fn seconds(&self) -> f64 {
        self.elapsed as f64 / 1e9
    }

    /// Tells it all; the status to end with: 0 for a clean run, 1 for violations and failed calls, 3 when only the run itself is at fault.
    pub(crate) fn tell(&self, arguments: &Arguments) -> ExitCode {
        let complaints = self.complaints(arguments);
        if arguments.json {
            println!("{}", self.json(&complaints));
            eprint!("{}", self.summary(&complaints));
        } else {
            print!("{}", self.summary(&complaints));
        }
        match complaints.is_empty() {
            true => ExitCode::SUCCESS,
            false if self.violations() > 0 || self.callers.failures() > 0 => ExitCode::from(1),
            false => ExitCode::from(3),
        }
    }

    fn json(&self, complaints: &[String]) -> String {
        let (callers, callees) = (&self.callers, &self.callees);
        let kinds = Kind::ALL
            .iter()
            .fold(Object::new(), |object, (kind, ..)| object.raw(kind.name(), callers.by_kind[*kind as usize]));
        let failed =
            callers.failed.iter().fold(Object::new(), |object, (failure, count)| object.raw(&failure.name(), count));
        let calls = array(callees.calls.iter().map(u64::to_string));
        let violations =
            self.violations_by().into_iter().fold(Object::new(), |object, (what, count)| object.raw(what, count));
        let samples = callers.violations.samples.iter().chain(&callees.violations.samples);
        let object = Object::new().text("type", "summary").raw("clean", complaints.is_empty());
        let object = object
            .raw("complaints", array(complaints.iter().map(|why| quoted(why))))
            .real("elapsed_s", Some(self.seconds()));
        let object =
            object.raw("offered", callers.offered).raw("started", callers.started).raw("completed", callers.completed);
        let object = object.real("completed_per_s", Some(callers.completed as f64 / self.seconds()));
        let object = object.raw("by_kind", kinds.end()).raw("failures", callers.failures()).raw("failed", failed.end());
        let object = object.raw("held_open", self.held).raw("setup_us", times(&callers.setup));
        let object = object.raw("ringing_us", times(&callers.ringing)).raw("lag_us", times(&callers.lag));
        let object = object.raw("requests_resent", callers.resent).raw("responses_repeated", callers.repeated);
        let object = object.raw("responses_resent", callees.resent).raw("requests_repeated", callees.repeated);
        let object = object.raw("foreign", callers.foreign + callees.foreign).raw("calls_by_destination", calls);
        let object = object.raw("answered", callees.answered).raw("acked", callees.acked).raw("byes", callees.byes);
        let object =
            object.raw("cancels", callees.cancels).raw("moved", callees.moved).raw("own_drops", self.own_drops);
        let object =
            object.raw("own_unsent", self.own_unsent).raw("drops", self.drops).raw("violations", self.violations());
        let object =
            object.raw("violations_by", violations.end()).raw("samples", array(samples.map(|sample| quoted(sample))));
        let object = self.cpu(object, "own", Some(self.own));
        self.cpu(object, "tested", self.tested).end()
    }

    fn cpu(&self, object: Object, whose: &str, cpu: Option<Cpu>) -> Object {
        let part = |of: fn(Cpu) -> u64| cpu.and_then(|cpu| self.per_call_us(of(cpu)));
        object
            .real(&format!("{whose}_cpu_us_per_call"), part(|cpu| cpu.total))
            .real(&format!("{whose}_user_us_per_call"), part(|cpu| cpu.user))
            .real(&format!("{whose}_system_us_per_call"), part(|cpu| cpu.system))
            .real(&format!("{whose}_cpu_share"), cpu.map(|cpu| cpu.total as f64 / self.elapsed.max(1) as f64))
    }

    fn violations_by(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.callers.violations.by.clone();
        self.callees.violations.by.iter().for_each(|(what, count)| *all.entry(what).or_default() += count);
        all
    }

    fn summary(&self, complaints: &[String]) -> String {
        let (callers, callees) = (&self.callers, &self.callees);
        let mut text = format!(
            "calls offered {}, started {}, completed {} ({:.0}/s over {:.1} s), failed {}\n",
            callers.offered,
            callers.started,
            callers.completed,
            callers.completed as f64 / self.seconds(),
            self.seconds(),
            callers.failures()
        );
        let mut line = |words: String| text.extend([&words, "\n"]);
        for (failure, count) in &callers.failed {
            line(format!("  {}: {count}", Failure::name(*failure)));
        }
        for (name, of) in
            [("INVITE to 180", &callers.ringing), ("INVITE to 200", &callers.setup), ("own lag", &callers.lag)]
        {
            let quantiles = QUANTILES.map(|(name, quantile)| format!("{name} {}", of.us(quantile))).join(", ");
            line(format!("{name}, µs: {quantiles}, max {}", of.max_us()));
        }
        line(format!(
            "calls by destination: {:?}; answered {}, acked {}",
            callees.calls, callees.answered, callees.acked
        ));
        line(format!(
            "sent again: {} requests, {} responses; received again: {} responses, {} requests; foreign {}",
            callers.resent,
            callees.resent,
            callers.repeated,
            callees.repeated,
            callers.foreign + callees.foreign
        ));
        line(format!("dropped: {} by our sockets, {} by those of the program under test", self.own_drops, self.drops));
        for (whose, cpu) in [("generator", Some(self.own)), ("program under test", self.tested)] {
            if let Some((cpu, per_call)) = cpu.and_then(|cpu| Some((cpu, self.per_call_us(cpu.total)?))) {
                let [user, system] = [cpu.user, cpu.system].map(|part| self.per_call_us(part).unwrap_or_default());
                let share = cpu.total as f64 / self.elapsed.max(1) as f64 * 100.0;
                line(format!(
                    "{whose}: {per_call:.2} µs of CPU per call (user {user:.2}, system {system:.2}), {share:.0} % of a core"
                ));
            }
        }
        for (what, count) in self.violations_by() {
            line(format!("VIOLATION, {count} times: {what}"));
        }
        for sample in callers.violations.samples.iter().chain(&callees.violations.samples) {
            line(format!("  {}", sample.replace('\n', "\n  ")));
        }
        line(if complaints.is_empty() { "clean: yes".into() } else { format!("clean: no: {}", complaints.join("; ")) });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::CalleeStats;
    use clap::Parser;

    fn outcome() -> Outcome {
        let mut callers = CallerStats::new();
        (callers.offered, callers.started, callers.completed) = (10, 10, 10);
        let callees = CalleeStats { answered: 10, acked: 10, calls: vec![10], ..CalleeStats::default() };
        let own = Cpu { total: 100_000, user: 40_000, system: 60_000 };
        Outcome {
            callers,
            callees,
            held: 0,
            elapsed: 1_000_000_000,
            own_drops: 0,
            own_unsent: 0,
            drops: 0,
            own,
            tested: None,
        }
    }

    fn arguments() -> Arguments {
        Arguments::parse_from("siplane-load --proxy 127.0.0.1:5060 --rate 1 --calls 1".split(' '))
    }

    #[test]
    fn a_run_is_clean_only_when_nothing_spoils_it() {
        assert!(outcome().complaints(&arguments()).is_empty());
        type Spoil = fn(&mut Outcome);
        let spoils: [(Spoil, &str); 9] = [
            (|run| run.callers.violations.note("x", b""), "violation"),
            (|run| *run.callers.failed.entry(Failure::Status(503)).or_default() += 1, "failed"),
            (|run| run.callers.offered += 1, "not placed"),
            (|run| run.callers.lag.record(6_000_000), "fell behind"),
            (|run| run.own_drops = 1, "own sockets"),
            (|run| run.own_unsent = 1, "sent"),
            (|run| run.drops = 1, "under test dropped"),
            (|run| run.callees.acked -= 1, "no ACK"),
            (|run| run.callers.completed = 0, "no call"),
        ];
        for (spoil, what) in spoils {
            let mut run = outcome();
            spoil(&mut run);
            let complaints = run.complaints(&arguments());
            assert!(complaints.len() == 1 && complaints[0].contains(what), "{what}: {complaints:?}");
        }
    }

    #[test]
    fn figures_stand_in_the_json_and_in_the_summary() {
        let mut run = outcome();
        run.callers.violations.note("a \"thing\"", b"INVITE\r\n\x01");
        let json = run.json(&run.complaints(&arguments()));
        for part in [
            "\"clean\":false",
            "\"completed\":10,",
            "\"own_cpu_us_per_call\":10.000",
            "\"own_user_us_per_call\":4.000",
            "\"tested_cpu_us_per_call\":null",
            "\"calls_by_destination\":[10]",
            "\"violations_by\":{\"a \\\"thing\\\"\":1}",
            "INVITE\\r\\n\\u0001",
        ] {
            assert!(json.contains(part), "{part} is not in {json}");
        }
        let text = run.summary(&[]);
        assert!(
            text.contains("10.00 µs of CPU per call (user 4.00, system 6.00)") && text.ends_with("clean: yes\n"),
            "{text}"
        );
    }
}
