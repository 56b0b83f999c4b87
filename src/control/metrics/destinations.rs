//! The destinations: state, load, what became of their calls, how fast they are.

use super::page::{Histogram, Labels, Page};
use super::process::one;
use super::sets;
use crate::control::utilisation::bound;
use crate::dispatcher::{Admin, Destination, Evidence, Health, SETUP_BOUNDS_S, States, Table};
use core::fmt::Error;
use core::time::Duration;

/// Every destination with its labels.
type Rows<'t> = Vec<(Labels, &'t Destination)>;

pub(super) fn write(page: &mut Page<'_>, table: &Table, with_histograms: bool) -> Result<(), Error> {
    let rows: Rows<'_> = table
        .sets()
        .iter()
        .flat_map(|set| set.destinations.iter().map(|it| (sets::labels(set).with("destination", &it.duid), it)))
        .collect();
    standing(page, &rows, table.states())?;
    load(page, &rows, table.states())?;
    counters(page, &rows, table.states())?;
    probes(page, &rows, table.states())?;
    let omitted = if with_histograms { 0 } else { rows.len() };
    page.gauges(
        "metrics_omitted_histograms",
        "Destinations without a setup-time histogram, because there are so many.",
        one(omitted as f64),
    )?;
    if with_histograms { setup_times(page, &rows, table.states()) } else { Ok(()) }
}

/// One series per word; the one that holds is 1.
fn words<'t, W: PartialEq + Copy>(
    rows: &Rows<'t>,
    label: &'static str,
    all: [(W, &'static str); 3],
    now: impl Fn(&Destination) -> W,
) -> Vec<(Labels, f64)> {
    let of = |(labels, it): &(Labels, &'t Destination)| {
        let holds = now(it);
        all.iter()
            .map(|(word, name)| (labels.clone().with(label, name), f64::from(u8::from(*word == holds))))
            .collect::<Vec<_>>()
    };
    rows.iter().flat_map(of).collect()
}

fn standing(page: &mut Page<'_>, rows: &Rows<'_>, states: &States) -> Result<(), Error> {
    let all = [Health::Active, Health::Trying, Health::Inactive].map(|health| (health, health.name()));
    let health = words(rows, "state", all, |it| states.health(it.state));
    page.gauges("destination_state", "What evidence says of the destination: 1 for the state it is in.", health)?;
    let all = [Admin::Enabled, Admin::Draining, Admin::Disabled].map(|admin| (admin, admin.name()));
    let admin = words(rows, "admin", all, |it| states.admin(it.state));
    page.gauges("destination_admin", "What an operator says of the destination: 1 for what holds.", admin)?;
    let available =
        rows.iter().map(|(labels, it)| (labels.clone(), f64::from(u8::from(states.is_available(it.state)))));
    page.gauges("destination_available", "Whether new calls may go there.", available)
}

fn load(page: &mut Page<'_>, rows: &Rows<'_>, states: &States) -> Result<(), Error> {
    let gauge = |value: &dyn Fn(&Destination) -> Option<f64>| {
        rows.iter().filter_map(|(labels, it)| Some((labels.clone(), value(it)?))).collect::<Vec<_>>()
    };
    let load = |it: &Destination| states.load(it.state) as f64;
    page.gauges("destination_load", "Calls that the destination has.", gauge(&|it| Some(load(it))))?;
    let capacity = |it: &Destination| bound(it, states).map(|bound| bound as f64);
    page.gauges(
        "destination_capacity",
        "Calls that it may have: maxload, else what it reports; absent where neither is known.",
        gauge(&capacity),
    )?;
    let used = |it: &Destination| capacity(it).map(|bound| load(it) / bound.max(1.0));
    page.gauges("destination_utilisation_ratio", "Its calls as a share of that, 0 to 1.", gauge(&used))
}

fn counters(page: &mut Page<'_>, rows: &Rows<'_>, states: &States) -> Result<(), Error> {
    let count = |value: &dyn Fn(&Destination) -> u64| {
        rows.iter().map(|(labels, it)| (labels.clone(), value(it))).collect::<Vec<_>>()
    };
    let of = |it: &Destination| states.counters(it.state);
    page.counters(
        "destination_requests",
        "Requests sent to the destination, as first target or as failover.",
        count(&|it| of(it).selected),
    )?;
    page.counters("destination_answered", "INVITEs that it answered with 2xx.", count(&|it| of(it).answered))?;
    page.counters(
        "destination_failed",
        "Attempts that failed there: a failover code, a time-out or a send error.",
        count(&|it| of(it).failed),
    )?;
    page.counters(
        "destination_failovers_out",
        "Requests that went on from it to another target.",
        count(&|it| of(it).failovers),
    )?;
    page.counters(
        "destination_failovers_in",
        "Requests that came to it from another target, which had failed.",
        count(&|it| of(it).taken_over),
    )?;
    let classes = |(labels, it): &(Labels, &Destination)| {
        let Evidence { answers, .. } = states.evidence(it.state);
        let named = ["2xx", "3xx", "4xx", "5xx", "6xx"].into_iter().zip(answers);
        named.map(|(class, count)| (labels.clone().with("class", class), count)).collect::<Vec<_>>()
    };
    page.counters("destination_answers", "Final answers from it, by class.", rows.iter().flat_map(classes))
}

fn probes(page: &mut Page<'_>, rows: &Rows<'_>, states: &States) -> Result<(), Error> {
    let of = |it: &Destination| states.latency(it.state);
    let answered = rows.iter().map(|(labels, it)| (labels.clone(), of(it).count));
    page.counters("destination_probes_answered", "Probes that the destination answered.", answered)?;
    let silent = rows.iter().map(|(labels, it)| (labels.clone(), of(it).timeouts));
    page.counters("destination_probes_unanswered", "Probes that it did not answer in time.", silent)?;
    let estimate = rows.iter().filter(|(_, it)| of(it).count > 0);
    let estimate = estimate.map(|(labels, it)| (labels.clone(), of(it).estimate.as_secs_f64()));
    page.gauges(
        "destination_probe_latency_seconds",
        "How long it takes to answer probes, weighed towards the last ones.",
        estimate,
    )?;
    let response =
        rows.iter().filter_map(|(labels, it)| Some((labels.clone(), states.response_time(it.state)?.as_secs_f64())));
    page.gauges(
        "destination_response_seconds",
        "How long it takes to react to an INVITE, by its slowest and latest responses.",
        response,
    )
}

fn setup_times(page: &mut Page<'_>, rows: &Rows<'_>, states: &States) -> Result<(), Error> {
    let histogram = |it: &Destination| {
        let times = states.setup_times(it.state);
        let bounds = SETUP_BOUNDS_S.into_iter().chain([f64::INFINITY]);
        Histogram { sum: Duration::from_nanos(times.sum_ns).as_secs_f64(), buckets: bounds.zip(times.counts).collect() }
    };
    let rows = rows.iter().map(|(labels, it)| (labels.clone(), histogram(it)));
    page.histograms("destination_setup_seconds", "From the INVITE that was sent to the destination to its 2xx.", rows)
}
