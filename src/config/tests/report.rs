//! What sets say about the load that their destinations report.

use super::*;
use crate::dispatcher::{HeaderName, LoadFrom, ReportSpec};

/// The one set with `text` in it, and these lines in `[prober]`.
fn with_prober(prober: &str, text: &str) -> String {
    format!("{LISTEN}[prober]\n{prober}\n{SET}{text}\n")
}

#[test]
fn all_that_a_set_says_about_reports_is_read() {
    let report = |text: &str| config(&with_prober("interval_ms = 1000", text)).sets[0].report;
    let header = HeaderName::new("x-load");
    assert_eq!(report(""), ReportSpec::default());
    assert_eq!(report("load_header = \"X-Load\""), ReportSpec { header, ..ReportSpec::default() });
    for (word, load_from) in [("calls", LoadFrom::Calls), ("reported", LoadFrom::Reported), ("both", LoadFrom::Both)] {
        let text = format!(
            "algorithm = \"call-load\"\nload_header = \"X-Load\"\nload_from = \"{word}\"\nload_max_age_s = 7\nreported_maxload = true"
        );
        let expected = ReportSpec { header, load_from, max_age: Duration::from_secs(7), bounds: true };
        assert_eq!(report(&text), expected);
        assert_eq!(problems(&with_prober("interval_ms = 1000", &text)), "");
    }
}

#[test]
fn the_keys_of_reports_are_checked() {
    let cases = [
        (
            "load_header = \"X Load\"",
            "f:7: set[0].load_header: found \"X Load\", allowed: a header name of at most 31 characters, like X-Dispatcher-Attrs",
        ),
        (
            "load_from = \"report\"",
            "f:7: set[0].load_from: found \"report\", allowed: calls, reported, both (did you mean \"reported\"?)",
        ),
        ("load_max_age_s = 0", "f:7: set[0].load_max_age_s: found 0, allowed: 1 to 3600"),
        ("reported_maxload = 1", "f:7: set[0].reported_maxload: found 1, allowed: true, false"),
        (
            "load_header = \"X-Load\"\nload_from = \"both\"",
            "f:8: warning: set[0].load_from: found \"both\", allowed: the algorithm call-load with it, which alone goes by load",
        ),
        (
            "algorithm = \"call-load\"\nload_from = \"reported\"\nreported_maxload = true",
            "f:8: warning: set[0].load_from: found \"reported\" without load_header, allowed: load_header with it, or nothing is ever \
             reported\nf:9: warning: set[0].reported_maxload: found true without load_header, allowed: load_header with it, or nothing is \
             ever reported",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(&with_prober("interval_ms = 1000", text)), expected, "{text}");
    }
}

#[test]
fn reports_that_cannot_come_or_come_too_seldom_are_told() {
    let nobody = "f:7: warning: set[0].load_header: found \"X-Load\", and no destination that is probed while it is active, allowed: \
                  probes in [prober]";
    let late = "f:7: warning: set[0].load_header: found 1 destinations that report less often than load_max_age_s (15), allowed: a \
                load_max_age_s of two or three probe intervals";
    let cases = [
        ("interval_ms = 5000", ""),
        ("interval_ms = 0", nobody),
        ("interval_ms = 15000", late),
        ("interval_ms = 5000\npolicy = \"when-inactive\"", nobody),
        ("interval_ms = 5000\npolicy = \"flagged\"", nobody),
    ];
    for (prober, expected) in cases {
        let text = with_prober(prober, "load_header = \"X-Load\"");
        let lines = prober.lines().count() - 1;
        assert_eq!(problems(&text), expected.replace("f:7", &format!("f:{}", 7 + lines)), "{prober}");
    }
}
