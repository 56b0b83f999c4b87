//! The metrics page, after real calls.

use crate::http::{free_port, read, request};
use crate::program::Siplane;
use siplane::cli::demo::{Destination, LoadOptions, load};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

const CALLS: u64 = 60;
const DOCS: &str = include_str!("../../docs/metrics.md");

fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request("GET /metrics", &[], "").as_bytes()).unwrap();
    let reply = read(stream);
    assert_eq!(reply.status, 200);
    assert!(reply.head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"));
    reply.body
}

/// Name with labels, and value, of every series.
fn series(page: &str) -> BTreeMap<&str, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let parsed: Vec<(&str, f64)> =
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap())).collect();
    let map: BTreeMap<_, _> = parsed.iter().copied().collect();
    assert_eq!(map.len(), parsed.len(), "a series twice");
    map
}

fn sum(series: &BTreeMap<&str, f64>, name: &str, labels: &str) -> f64 {
    series
        .iter()
        .filter(|(key, _)| key.starts_with(&format!("{name}{{")) && key.contains(labels))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn the_page_tells_of_calls_and_every_metric_is_documented() {
    let http = free_port(20);
    let loopback = |host| SocketAddr::from(([127, 62, 20, host], 0));
    let destinations = [Destination::start(loopback(11)).unwrap(), Destination::start(loopback(12)).unwrap()];
    let siplane = Siplane::start(loopback(1), |address| {
        let [one, two] = destinations.each_ref().map(Destination::address);
        format!(
            "listen = [\"udp:{address}\"]\nshards = 2\n[control.http]\nlisten = \"{http}\"\n[[set]]\nid = 7\nname = \"bridges\"\n\
             destinations = [{{ uri = \"sip:{one}\", duid = \"one\", maxload = 40 }}, {{ uri = \"sip:{two}\", maxload = 10, disabled = true }}]\n"
        )
    });
    let options = LoadOptions {
        proxy: siplane.address,
        source: siplane.address.ip(),
        source_ports: 1,
        calls: CALLS as usize,
        calls_per_second: 100,
        ring: Duration::from_millis(10)..Duration::from_millis(20),
        talk: Duration::from_millis(50)..Duration::from_millis(60),
        callee_hangs_up_percent: 0,
        last_wait: Duration::from_secs(10),
        record_routed: true,
    };
    assert_eq!(load(&options).unwrap().lost(), 0);
    sleep(Duration::from_millis(300));
    let page = scrape(http);
    assert!(page.ends_with("# EOF\n"));
    let series = series(&page);
    let calls = CALLS as f64;
    assert_eq!(sum(&series, "siplane_calls_total", ""), calls);
    let one = r#"set="7",set_name="bridges",destination="one""#;
    assert_eq!(series[format!("siplane_destination_answered_total{{{one}}}").as_str()], calls);
    assert_eq!(series[format!("siplane_destination_answers_total{{{one},class=\"2xx\"}}").as_str()], calls);
    assert_eq!(series[format!("siplane_destination_setup_seconds_count{{{one}}}").as_str()], calls);
    assert_eq!(series[format!("siplane_destination_setup_seconds_bucket{{le=\"+Inf\",{one}}}").as_str()], calls);
    assert_eq!(series[format!("siplane_destination_state{{{one},state=\"active\"}}").as_str()], 1.0);
    assert_eq!(sum(&series, "siplane_destination_admin", "admin=\"disabled\""), 1.0);
    assert_eq!(sum(&series, "siplane_set_active_ratio", ""), 0.5);
    assert_eq!(sum(&series, "siplane_set_capacity", ""), 40.0, "of those that may get calls");
    assert_eq!((series["siplane_load_drift"], series["siplane_ready"]), (0.0, 1.0));
    assert!(sum(&series, "siplane_thread_cpu_seconds_total", "shard") > 0.0);
    assert_eq!(sum(&series, "siplane_io_info", "engine=\""), 1.0);
    assert!((0..2).all(|shard| sum(&series, "siplane_receive_buffer_bytes", &format!("\"{shard}\"")) > 100_000.0));
    for shard in ["0", "1"] {
        let of = |name: &str| series[format!("{name}{{shard=\"{shard}\"}}").as_str()];
        let (turns, timed) = (of("siplane_io_turns_total"), of("siplane_turn_seconds_count"));
        // Timed is one in 64, as soon as the next has begun.
        assert_eq!(timed, ((turns - 1.0) / 64.0).floor(), "{turns} turns");
        let bucket =
            |le: &str| series[format!("siplane_turn_seconds_bucket{{le=\"{le}\",shard=\"{shard}\"}}").as_str()];
        assert_eq!(bucket("+Inf"), timed);
        assert!(bucket("0.000256") <= bucket("0.032768"), "{page}");
        // Behind a turn the shard waits, for up to a second: that is no part of it.
        let seconds = of("siplane_turn_seconds_sum");
        assert!(timed == 0.0 || (seconds > 0.0 && seconds < timed), "{timed} turns took {seconds} s");
    }
    assert!(sum(&series, "siplane_turn_seconds_count", "") > 0.0, "{page}");
    every_family_is_explained(&page);
    assert_eq!(siplane.terminate().code(), Some(0));
}

fn every_family_is_explained(page: &str) {
    let told = |kind: &str| -> BTreeSet<String> {
        page.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next()).map(str::to_owned).collect()
    };
    let (types, helps) = (told("# TYPE "), told("# HELP "));
    assert_eq!(types, helps);
    let documented = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = documented.map(str::to_owned).collect();
    let plain = |name: &String| {
        let kind = page.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        format!("{name}{suffix}")
    };
    let families: BTreeSet<String> = types.iter().map(plain).collect();
    let missing: Vec<_> = families.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&families).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "docs/metrics.md lacks {missing:?} and has {unknown:?}\n{page}");
}
