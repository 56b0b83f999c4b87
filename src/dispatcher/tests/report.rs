use std::thread;

use proptest::prelude::*;

use super::*;

const INDEX: StateIndex = StateIndex::new(0);

fn report(in_use_permille: Option<u16>, capacity: Option<u32>) -> Report {
    Report { in_use_permille, capacity }
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(1) + Duration::from_secs(seconds)
}

#[test]
fn a_share_a_capacity_or_both_are_a_report() {
    let cases = [
        ("0.00", report(Some(0), None)),
        ("0.57", report(Some(570), None)),
        ("0.5", report(Some(500), None)),
        ("0.57399", report(Some(573), None)),
        ("1.00", report(Some(1_000), None)),
        ("0%", report(Some(0), None)),
        ("57%", report(Some(570), None)),
        ("57.3%", report(Some(573), None)),
        ("57.39%", report(Some(573), None)),
        ("100%", report(Some(1_000), None)),
        ("100.0%", report(Some(1_000), None)),
        ("37/100", report(Some(370), Some(100))),
        ("0/7", report(Some(0), Some(7))),
        ("120/100", report(Some(1_000), Some(100))),
        ("57%/100", report(Some(570), Some(100))),
        ("0.57/100", report(Some(570), Some(100))),
        ("/100", report(None, Some(100))),
        (" \t0.57 ", report(Some(570), None)),
        ("67108863/67108863", report(Some(1_000), Some(REPORTED_CAPACITY_MAX))),
    ];
    for (text, expected) in cases {
        assert_eq!(Report::parse(text.as_bytes()), Some(expected), "{text}");
    }
}

#[test]
fn whatever_is_written_otherwise_is_no_report() {
    let texts = [
        "",
        " ",
        "0",
        "1",
        "57",
        "1.01",
        "1.0001",
        "1.5",
        "100.1%",
        "100.01%",
        "101%",
        "18446744073709551.999",
        "1844674407370955161.9%",
        "-0.1",
        "+0.5",
        "-5%",
        "1e-1",
        "0,57",
        ".5",
        "5.",
        "5.%",
        "%",
        "0.5 %",
        "0.5.5",
        "0x1",
        "nan",
        "inf",
        "NaN%",
        "/",
        "/0",
        "5/",
        "5/0",
        "-5/10",
        "5/-10",
        "5/10/20",
        "5 / 10",
        "5/10.5",
        "1.5/10",
        "101%/10",
        "x/10",
        "/67108864",
        "18446744073709551616/5",
        "5/18446744073709551616",
        "0.57, 0.58",
        "0.57;a=b",
        "\"0.57\"",
        "0.000000000000000000000000000000001",
        "٥٧%",
    ];
    for text in texts {
        assert_eq!(Report::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Report::parse(b"0.5\xff"), None);
}

proptest! {
    #[test]
    fn no_bytes_make_a_report_beyond_its_bounds(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(report) = Report::parse(&bytes) {
            prop_assert!(report.in_use_permille.is_none_or(|share| share <= 1_000));
            prop_assert!(report.capacity.is_none_or(|capacity| (1..=REPORTED_CAPACITY_MAX).contains(&capacity)));
        }
    }

    #[test]
    fn texts_like_reports_never_panic_and_keep_the_bounds(text in "[0-9./%]{0,12}") {
        if let Some(report) = Report::parse(text.as_bytes()) {
            prop_assert!(report.in_use_permille.is_some() || report.capacity.is_some());
            prop_assert!(report.in_use_permille.is_none_or(|share| share <= 1_000));
        }
    }

    #[test]
    fn what_is_kept_is_what_was_said(
        share in prop::option::of(0_u16..=1_000), capacity in prop::option::of(1..=REPORTED_CAPACITY_MAX), calls in 0_u64..1 << 26,
    ) {
        let said = report(share, capacity);
        let kept = unpacked(packed(said, calls), at(5));
        prop_assert_eq!(kept, Reported { report: said, at: at(5), calls });
    }
}

#[test]
fn a_report_is_fresh_for_its_time_and_stays_to_be_seen() {
    let states = States::new();
    let age = Duration::from_secs(15);
    assert_eq!((states.reported(INDEX), states.fresh_report(INDEX, age, at(0))), (None, None));
    states.report_load(INDEX, report(Some(570), None), at(10));
    for (now, fresh) in [(10, true), (25, true), (26, false), (5, true)] {
        assert_eq!(states.fresh_report(INDEX, age, at(now)).is_some(), fresh, "{now} s");
    }
    assert_eq!(states.reported(INDEX).unwrap().report, report(Some(570), None));
    states.report_load(INDEX, report(None, Some(7)), at(40));
    assert_eq!(
        states.fresh_report(INDEX, age, at(41)).unwrap().report,
        report(None, Some(7)),
        "it replaces the one before"
    );
}

#[test]
fn a_report_stands_for_the_calls_of_when_it_was_asked_for_or_fewer() {
    let states = States::new();
    let take = |count: usize| (0..count).map(|_| states.take_load(INDEX)).collect::<Vec<_>>();
    let calls = || states.reported(INDEX).unwrap().calls;
    let mut tokens = take(4);
    states.report_load(INDEX, report(Some(1), None), at(1));
    assert_eq!(calls(), 4, "nobody asked: those of now");
    states.ask_report(INDEX);
    tokens.extend(take(3));
    states.report_load(INDEX, report(Some(1), None), at(2));
    assert_eq!(calls(), 4, "those that began since it was asked for are not in it");
    states.ask_report(INDEX);
    tokens.drain(2..).for_each(|token| states.release(token));
    states.report_load(INDEX, report(Some(1), None), at(3));
    assert_eq!(calls(), 2, "those that are over are not either");
    tokens.into_iter().for_each(|token| states.release(token));
}

#[test]
fn reports_are_counted_and_those_that_cannot_be_read_change_nothing() {
    let states = States::new();
    states.report_load(INDEX, report(Some(300), Some(9)), at(1));
    let before = states.reported(INDEX);
    states.ignore_report(INDEX);
    states.ignore_report(INDEX);
    assert_eq!(states.reported(INDEX), before);
    assert_eq!(states.report_counts(INDEX), ReportCounts { taken: 1, ignored: 2 });
}

#[test]
fn a_new_destination_in_the_slot_has_reported_nothing() {
    let states = States::new();
    let first = states.claim(0).unwrap();
    states.report_load(first.state(), report(Some(300), Some(9)), at(1));
    states.ignore_report(first.state());
    states.leave(first);
    let again = states.claim(0).unwrap();
    assert_eq!(again.state(), first.state());
    assert_eq!((states.reported(again.state()), states.report_counts(again.state())), (None, ReportCounts::default()));
}

#[test]
fn readers_never_mix_two_reports() {
    let states = States::new();
    let (one, other) = (report(Some(100), Some(100)), report(Some(900), Some(900)));
    states.report_load(INDEX, one, at(1));
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..20_000 {
                states.report_load(INDEX, if turn % 2 == 0 { other } else { one }, at(turn));
            }
        });
        for _ in 0..20_000 {
            let seen = states.reported(INDEX).unwrap().report;
            assert!(seen == one || seen == other, "{seen:?}");
        }
    });
}
