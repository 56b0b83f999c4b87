//! A siplane with two sets, as tests need it.

use super::link::Said;
use super::model::{Events, Model};
use super::overview::{Destination, Event, Flow, Overview, Set, Shard};

/// A destination of set 1 with a capacity of 20, in service.
pub(super) fn destination(duid: &str, host: u8, load: u64, requests: u64) -> Destination {
    Destination {
        set: 1,
        duid: duid.to_owned(),
        uri: format!("sip:192.0.2.{host}:5060"),
        state: String::from("active"),
        admin: String::from("enabled"),
        available: true,
        load,
        capacity: Some(20),
        flow: Flow { calls: requests, answered: requests, ..Flow::default() },
        why: String::from("start"),
        ..Destination::default()
    }
}

/// After `seconds`: gw1 gets 10 calls a second, gw2 a half, of which all fail; spare none, ever.
pub(super) fn overview(seconds: u64) -> Overview {
    let gw1 = Destination { probe_ms: Some(1.25), response_ms: Some(30.0), ..destination("gw1", 11, 4, 10 * seconds) };
    let gw2 = Destination {
        state: String::from("inactive"),
        available: false,
        flow: Flow { calls: seconds / 2, failed: seconds / 2, ..Flow::default() },
        why: String::from("probe: no answer"),
        ..destination("gw2", 12, 19, seconds / 2)
    };
    let spare = destination("2/sip:192.0.2.13:5060/", 13, 7, 0);
    let spare = Destination { set: 2, capacity: None, admin: String::from("draining"), ..spare };
    let shard = |number| Shard {
        number,
        flow: Flow { calls: 5 * seconds, ..Flow::default() },
        received: 50 * seconds,
        lost: 3,
        dialogs: 15,
        ..Shard::default()
    };
    let bridges =
        Set { number: 1, name: String::from("bridges"), destinations: 2, available: 1, load: 23, ..Set::default() };
    let flow = gw1.flow.with(gw2.flow, |one, other| one + other);
    Overview {
        at_ms: 1_000_000 + seconds * 1_000,
        uptime_s: 3_600 + seconds,
        version: String::from("0.1.0"),
        shards: vec![shard(0), shard(1)],
        sets: vec![
            Set { capacity: Some(40.0), utilisation: Some(0.575), flow, ..bridges },
            Set { number: 2, name: String::from("spare"), destinations: 1, available: 1, load: 7, ..Set::default() },
        ],
        destinations: vec![gw1, gw2, spare],
        ..Overview::default()
    }
}

/// Which has seen two overviews, two seconds apart, and an event.
pub(super) fn model() -> Model {
    let mut model = Model::default();
    model.hear(Said::Overview(Box::new(overview(100))));
    model.hear(Said::Overview(Box::new(overview(102))));
    let text = String::from("set 1 bridges  sip:192.0.2.12:5060 (gw2)");
    model.events = Events::Told(vec![Event { time: String::from("15:04:05"), kind: String::from("down"), text }]);
    model
}
