//! The keys of destinations, sets and `[prober]`, and how they differ, in the words of the config file.

use super::diff::Field;
use crate::config::{self, ProberSettings};
use crate::dispatcher::{DestinationSpec, HeaderName, PassiveSpec, ProbeSpec, ReportSpec, SetSpec};
use core::time::Duration;

/// What stands for a key that is not there.
const NOT_SET: &str = "not set";

/// The fields that differ.
struct Fields(Vec<Field>);

impl Fields {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn add<T: PartialEq>(&mut self, key: &'static str, from: &T, to: &T, shown: impl Fn(&T) -> String) {
        if from != to {
            self.0.push((key, shown(from), shown(to)));
        }
    }

    fn plain<T: PartialEq + ToString>(&mut self, key: &'static str, from: &T, to: &T) {
        self.add(key, from, to, ToString::to_string);
    }

    fn maybe<T: PartialEq>(
        &mut self,
        key: &'static str,
        from: &Option<T>,
        to: &Option<T>,
        shown: impl Fn(&T) -> String,
    ) {
        self.add(key, from, to, |value| value.as_ref().map_or_else(|| String::from(NOT_SET), &shown));
    }

    fn choice<T: PartialEq>(&mut self, key: &'static str, from: &T, to: &T, words: &[(&str, T)]) {
        let word = |value: &T| words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word);
        self.add(key, from, to, |value| String::from(word(value)));
    }

    fn millis(&mut self, key: &'static str, from: &Duration, to: &Duration) {
        self.add(key, from, to, millis);
    }

    fn seconds(&mut self, key: &'static str, from: &Duration, to: &Duration) {
        self.add(key, from, to, |time| time.as_secs().to_string());
    }
}

fn millis(time: &Duration) -> String {
    time.as_millis().to_string()
}

/// A list as it is written.
fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", values.join(", "))
}

/// The listen address of that number, as operators count.
fn listen_address(number: u8) -> String {
    format!("listen address {}", u32::from(number) + 1)
}

/// The keys in which two destinations of the same name differ.
pub(super) fn destination_fields(from: &DestinationSpec, to: &DestinationSpec) -> Vec<Field> {
    let mut fields = Fields::new();
    fields.plain("uri", &from.uri, &to.uri);
    fields.maybe("socket", &from.socket, &to.socket, |socket| match socket.name.as_str() {
        "" => listen_address(socket.number),
        name => String::from(name),
    });
    fields.plain("weight", &from.weight, &to.weight);
    fields.plain("rweight", &from.rweight, &to.rweight);
    fields.plain("priority", &from.priority, &to.priority);
    fields.plain("maxload", &from.maxload, &to.maxload);
    fields.plain("calls_per_second_max", &from.calls_per_second_max, &to.calls_per_second_max);
    fields.plain("cc", &from.cc, &to.cc);
    fields.millis("latency_ms", &from.latency, &to.latency);
    fields.plain("last_resort", &from.last_resort, &to.last_resort);
    fields.plain("disabled", &from.disabled, &to.disabled);
    fields.plain("inactive", &from.inactive, &to.inactive);
    fields.plain("attrs", &from.attrs, &to.attrs);
    fields.plain("ocmin", &from.overload.ocmin, &to.overload.ocmin);
    fields.plain("ocmax", &from.overload.ocmax, &to.overload.ocmax);
    fields.plain("ocrate", &from.overload.ocrate, &to.overload.ocrate);
    probe_fields(&from.probe, &to.probe, &mut fields);
    fields.0
}

fn probe_fields(from: &ProbeSpec, to: &ProbeSpec, fields: &mut Fields) {
    let probing = |probe: &ProbeSpec| match (probe.never, probe.flagged) {
        (true, _) => "never",
        (false, flagged) => ["false", "true"][usize::from(flagged)],
    };
    fields.plain("probing", &probing(from), &probing(to));
    fields.maybe("probe_interval_ms", &from.interval, &to.interval, millis);
    fields.maybe("probe_timeout_ms", &from.timeout, &to.timeout, millis);
    fields.maybe("ping_socket", &from.socket, &to.socket, |number| listen_address(*number));
    fields.maybe("probe_method", &from.method, &to.method, String::clone);
    fields.maybe("ping_from", &from.from, &to.from, String::clone);
    fields.maybe("reply_codes", &from.reply_codes, &to.reply_codes, |codes| list(codes));
    fields.maybe("probing_threshold", &from.probing_threshold, &to.probing_threshold, u32::to_string);
    fields.maybe("inactive_threshold", &from.inactive_threshold, &to.inactive_threshold, u32::to_string);
}

/// The keys of a set itself in which two of the same number differ; the order of those destinations that both have is one.
pub(super) fn set_fields(from: &SetSpec, to: &SetSpec) -> Vec<Field> {
    let mut fields = Fields::new();
    fields.plain("name", &from.name, &to.name);
    fields.add("algorithm", &from.algorithm, &to.algorithm, |algorithm| config::algorithm_name(*algorithm));
    fields.add("failover_codes", &from.failover_codes, &to.failover_codes, |codes| list(codes.iter()));
    fields.plain("failover_limit", &from.failover_limit, &to.failover_limit);
    fields.plain("branches_max", &from.branches_max, &to.branches_max);
    fields.millis("answer_timeout_ms", &from.answer_timeout, &to.answer_timeout);
    fields.choice("when_exhausted", &from.exhausted, &to.exhausted, &config::EXHAUSTED);
    fields.plain("retry_after_s", &from.retry_after_s, &to.retry_after_s);
    fields.maybe("fallback", &from.fallback, &to.fallback, |set| set.0.to_string());
    fields.plain("rewrite_uri", &from.rewrite_uri, &to.rewrite_uri);
    fields.maybe("attrs_header", &from.attrs_header, &to.attrs_header, HeaderName::to_string);
    fields.seconds("slow_start_s", &from.slow_start, &to.slow_start);
    passive_fields(&from.passive, &to.passive, &mut fields);
    report_fields(&from.report, &to.report, &mut fields);
    fields.plain("overload_control", &from.overload_control, &to.overload_control);
    if order(from, to) != order(to, from) {
        fields.0.push(("destinations", String::from("in this order"), String::from("in another order")));
    }
    fields.0
}

fn passive_fields(from: &PassiveSpec, to: &PassiveSpec, fields: &mut Fields) {
    fields.plain("passive.timeouts_in_row", &from.timeouts_in_row, &to.timeouts_in_row);
    fields.plain("passive.unreachables_in_row", &from.unreachables_in_row, &to.unreachables_in_row);
    fields.plain("passive.faults_percent", &from.faults_percent, &to.faults_percent);
    fields.seconds("passive.faults_window_s", &from.faults_window, &to.faults_window);
    fields.plain("passive.faults_answers_min", &from.faults_answers_min, &to.faults_answers_min);
    fields.seconds("passive.ejection_base_s", &from.ejection_base, &to.ejection_base);
    fields.seconds("passive.ejection_max_s", &from.ejection_max, &to.ejection_max);
    fields.plain("passive.out_percent_max", &from.out_percent_max, &to.out_percent_max);
    fields.seconds("passive.hold_off_max_s", &from.hold_off_max, &to.hold_off_max);
    fields.choice("passive.panic", &from.panic, &to.panic, &config::PANIC_RULES);
}

fn report_fields(from: &ReportSpec, to: &ReportSpec, fields: &mut Fields) {
    fields.maybe("load_header", &from.header, &to.header, HeaderName::to_string);
    fields.choice("load_from", &from.load_from, &to.load_from, &config::LOAD_SOURCES);
    fields.seconds("load_max_age_s", &from.max_age, &to.max_age);
    fields.plain("reported_maxload", &from.bounds, &to.bounds);
}

/// The names of those destinations of `set` that `other` has too, in the order of `set`.
fn order(set: &SetSpec, other: &SetSpec) -> Vec<String> {
    // Sets with a name twice were refused before they came here.
    let [own, others] = [set, other].map(|set| crate::dispatcher::duids(set).unwrap_or_default());
    let others: std::collections::BTreeSet<_> = others.into_iter().collect();
    own.into_iter().filter(|name| others.contains(name)).collect()
}

/// The keys of `[prober]` that follow a reload and differ.
pub(super) fn prober_fields(from: &ProberSettings, to: &ProberSettings) -> Vec<Field> {
    let mut fields = Fields::new();
    fields.millis("prober.interval_ms", &from.interval, &to.interval);
    fields.millis("prober.timeout_ms", &from.timeout, &to.timeout);
    fields.plain("prober.method", &from.method, &to.method);
    fields.plain("prober.from", &from.from, &to.from);
    fields.plain("prober.probing_threshold", &from.probing_threshold, &to.probing_threshold);
    fields.plain("prober.inactive_threshold", &from.inactive_threshold, &to.inactive_threshold);
    fields.maybe("prober.socket", &from.socket, &to.socket, |socket| listen_address(socket.0));
    fields.add("prober.reply_codes", &from.reply_codes, &to.reply_codes, |codes| list(codes));
    fields.choice("prober.policy", &from.policy, &to.policy, &config::PROBE_POLICIES);
    let weights = (&from.latency_weight_permille, &to.latency_weight_permille);
    fields.plain("prober.latency_weight_permille", weights.0, weights.1);
    fields.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    /// `[prober]`, `[[set]]` and `[set.passive]` of two configs, as they differ.
    fn told(from: [&str; 3], to: [&str; 3]) -> Vec<String> {
        let config = |[prober, set, passive]: [&str; 3]| {
            let listen = "listen = [\"udp:192.0.2.1:5060\", \"udp:192.0.2.1:5070\"]\n";
            let text = format!(
                "{listen}[prober]\n{prober}\n[[set]]\nid = 2\ndestinations = []\n[[set]]\nid = 1\n{set}\n[set.passive]\n{passive}\n"
            );
            parse(&text, "f").unwrap_or_else(|problems| panic!("{problems}"))
        };
        let (from, to) = (config(from), config(to));
        let set = |config: &config::Config| config.sets.iter().find(|set| set.id.0 == 1).cloned().unwrap();
        let (before, after) = (set(&from), set(&to));
        let mut fields = prober_fields(&from.prober, &to.prober);
        fields.extend(set_fields(&before, &after));
        let pairs = before.destinations.iter().zip(&after.destinations);
        fields.extend(pairs.flat_map(|(before, after)| destination_fields(before, after)));
        fields.into_iter().map(|(key, from, to)| format!("{key}: {from} -> {to}")).collect()
    }

    #[test]
    fn what_differs_is_told_in_the_words_of_the_config_file() {
        let set = "destinations = [\"sip:192.0.2.11\"]";
        let other = "algorithm = \"legacy-hash-header:X-Key\"\nfailover_codes = [408, 503]\nwhen_exhausted = \"503\"\nfallback = 2\n\
                     attrs_header = \"X-Attrs\"\nload_header = \"X-Load\"\nload_from = \"both\"\nload_max_age_s = 30\n\
                     destinations = [{ uri = \"sip:192.0.2.11\", probe_interval_ms = 7000, ping_from = \"sip:a@b\", \
                     ping_socket = \"udp:192.0.2.1:5070\", reply_codes = [404, 405] }]";
        let told = told(
            ["", set, ""],
            [
                "policy = \"when-inactive\"\nsocket = \"udp:192.0.2.1:5070\"\nreply_codes = [404]",
                other,
                "panic = \"everybody\"\nejection_base_s = 60",
            ],
        );
        for line in [
            "prober.socket: not set -> listen address 2",
            "prober.reply_codes: [] -> [404]",
            "prober.policy: all -> when-inactive",
            "algorithm: round-robin -> legacy-hash-header:x-key",
            "when_exhausted: best-response -> 503",
            "fallback: not set -> 2",
            "attrs_header: not set -> x-attrs",
            "passive.ejection_base_s: 30 -> 60",
            "passive.panic: nobody -> everybody",
            "load_header: not set -> x-load",
            "load_from: calls -> both",
            "load_max_age_s: 15 -> 30",
            "probe_interval_ms: not set -> 7000",
            "ping_socket: not set -> listen address 2",
            "ping_from: not set -> sip:a@b",
            "reply_codes: not set -> [404, 405]",
        ] {
            assert!(told.iter().any(|told| told == line), "{line}: {told:#?}");
        }
        assert!(told.iter().any(|line| line.ends_with("599] -> [408, 503]")), "{told:#?}");
        assert_eq!(told.len(), 17, "{told:#?}");
    }
}
