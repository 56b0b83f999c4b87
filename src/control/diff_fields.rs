//! The keys of destinations, sets and `[prober]`, and how they differ.

use super::diff::Field;
use crate::config::ProberSettings;
use crate::dispatcher::{DestinationSpec, SetSpec};
use core::fmt::Debug;
use core::time::Duration;

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

    fn words<T: PartialEq + Debug>(&mut self, key: &'static str, from: &T, to: &T) {
        self.add(key, from, to, |value| format!("{value:?}"));
    }

    fn millis(&mut self, key: &'static str, from: &Duration, to: &Duration) {
        self.add(key, from, to, |time| time.as_millis().to_string());
    }

    fn seconds(&mut self, key: &'static str, from: &Duration, to: &Duration) {
        self.add(key, from, to, |time| time.as_secs().to_string());
    }
}

/// The keys in which two destinations of the same name differ.
pub(super) fn destination_fields(from: &DestinationSpec, to: &DestinationSpec) -> Vec<Field> {
    let mut fields = Fields::new();
    fields.plain("uri", &from.uri, &to.uri);
    let socket = |spec: &DestinationSpec| spec.socket.as_ref().map(|socket| (socket.number, socket.name.clone()));
    fields.words("socket", &socket(from), &socket(to));
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
    let (a, b) = (&from.probe, &to.probe);
    let probing = |probe: &crate::dispatcher::ProbeSpec| match (probe.never, probe.flagged) {
        (true, _) => "never",
        (false, flagged) => ["false", "true"][usize::from(flagged)],
    };
    fields.plain("probing", &probing(a), &probing(b));
    fields.words("probe_interval_ms", &a.interval, &b.interval);
    fields.words("probe_timeout_ms", &a.timeout, &b.timeout);
    fields.words("ping_socket", &a.socket, &b.socket);
    fields.words("probe_method", &a.method, &b.method);
    fields.words("ping_from", &a.from, &b.from);
    fields.words("reply_codes", &a.reply_codes, &b.reply_codes);
    fields.words("probing_threshold", &a.probing_threshold, &b.probing_threshold);
    fields.words("inactive_threshold", &a.inactive_threshold, &b.inactive_threshold);
    fields.0
}

/// The keys of a set itself in which two of the same number differ; the order of those destinations that both have is one.
pub(super) fn set_fields(from: &SetSpec, to: &SetSpec) -> Vec<Field> {
    let mut fields = Fields::new();
    fields.plain("name", &from.name, &to.name);
    fields.words("algorithm", &from.algorithm, &to.algorithm);
    fields.words("failover_codes", &from.failover_codes, &to.failover_codes);
    fields.plain("failover_limit", &from.failover_limit, &to.failover_limit);
    fields.plain("branches_max", &from.branches_max, &to.branches_max);
    fields.millis("answer_timeout_ms", &from.answer_timeout, &to.answer_timeout);
    fields.words("when_exhausted", &from.exhausted, &to.exhausted);
    fields.plain("retry_after_s", &from.retry_after_s, &to.retry_after_s);
    fields.words("fallback", &from.fallback.map(|set| set.0), &to.fallback.map(|set| set.0));
    fields.plain("rewrite_uri", &from.rewrite_uri, &to.rewrite_uri);
    fields.words("attrs_header", &from.attrs_header, &to.attrs_header);
    fields.seconds("slow_start_s", &from.slow_start, &to.slow_start);
    fields.words("passive", &from.passive, &to.passive);
    fields.words("load_from and reports", &from.report, &to.report);
    fields.plain("overload_control", &from.overload_control, &to.overload_control);
    if order(from, to) != order(to, from) {
        fields.0.push(("destinations", String::from("in this order"), String::from("in another order")));
    }
    fields.0
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
    fields.words("prober.socket", &from.socket, &to.socket);
    fields.words("prober.reply_codes", &from.reply_codes, &to.reply_codes);
    fields.words("prober.policy", &from.policy, &to.policy);
    let weights = (&from.latency_weight_permille, &to.latency_weight_permille);
    fields.plain("prober.latency_weight_permille", weights.0, weights.1);
    fields.0
}
