//! What siplane tells: the answer of `dispatcher.overview`, and events.

use crate::cli::ctl::{events, sets};
use serde_json::Value as Json;

/// One answer of `dispatcher.overview`. Totals are since siplane's start, or since a destination's table place was given to it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Overview {
    /// When it was made, milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) uptime_s: u64,
    pub(super) version: String,
    /// Why it takes no calls, if it does not.
    pub(super) not_ready: Option<String>,
    /// Calls that are counted wrongly; must be 0.
    pub(super) drift: u64,
    pub(super) shards: Vec<Shard>,
    pub(super) sets: Vec<Set>,
    pub(super) destinations: Vec<Destination>,
}

/// Calls that pass something: totals, or how many a second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Flow<T> {
    pub(super) calls: T,
    pub(super) answered: T,
    pub(super) failed: T,
    pub(super) failovers: T,
}

impl<T: Copy> Flow<T> {
    /// Each number of this one with that of another.
    pub(super) fn with<U: Copy, V>(self, other: Flow<U>, both: impl Fn(T, U) -> V) -> Flow<V> {
        Flow {
            calls: both(self.calls, other.calls),
            answered: both(self.answered, other.answered),
            failed: both(self.failed, other.failed),
            failovers: both(self.failovers, other.failovers),
        }
    }
}

/// A shard's totals, and what it has now: transactions and dialogs.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Shard {
    pub(super) number: u64,
    pub(super) flow: Flow<u64>,
    /// Messages in.
    pub(super) received: u64,
    /// Messages out.
    pub(super) sent: u64,
    /// Messages that the kernel, a queue or a bound has dropped.
    pub(super) lost: u64,
    pub(super) transactions: u64,
    pub(super) dialogs: u64,
}

/// A set.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Set {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) destinations: u64,
    pub(super) available: u64,
    /// Calls.
    pub(super) load: u64,
    /// Calls that its available destinations can have; none: not known.
    pub(super) capacity: Option<f64>,
    /// The share of the capacity that is in use, 0 to 1.
    pub(super) utilisation: Option<f64>,
    /// Of all its destinations.
    pub(super) flow: Flow<u64>,
}

/// A destination.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Destination {
    pub(super) set: u64,
    pub(super) duid: String,
    pub(super) uri: String,
    pub(super) state: String,
    pub(super) admin: String,
    pub(super) available: bool,
    /// Calls.
    pub(super) load: u64,
    /// Calls that it may or can have; none: no bound.
    pub(super) capacity: Option<u64>,
    pub(super) flow: Flow<u64>,
    /// How long an answer to a probe takes, milliseconds.
    pub(super) probe_ms: Option<f64>,
    /// How long a first response to an INVITE takes, milliseconds.
    pub(super) response_ms: Option<f64>,
    pub(super) why: String,
}

/// Something that has happened.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Event {
    /// Hours, minutes and seconds in siplane's zone.
    pub(super) time: String,
    pub(super) kind: String,
    /// Whom it is about, and the rest by name.
    pub(super) text: String,
}

/// Who a destination is, from one answer to the next: its set and duid; every destination has one, its own or a derived one.
pub(super) type Key = (u64, String);

impl Destination {
    pub(super) fn key(&self) -> Key {
        (self.set, self.duid.clone())
    }

    pub(super) fn is(&self, key: &Key) -> bool {
        self.set == key.0 && self.duid == key.1
    }

    /// See [`sets::own_duid`].
    pub(super) fn own_duid(&self) -> Option<&str> {
        sets::own_duid(&self.duid)
    }
}

impl Overview {
    /// Reads an answer; `None` when it is none. What an older or newer siplane does not tell is 0, empty or not known.
    pub(super) fn read(answer: &Json) -> Option<Self> {
        Some(Self {
            at_ms: answer["at_ms"].as_u64()?,
            uptime_s: count(answer, "uptime_s"),
            version: text(answer, "version"),
            not_ready: answer["not_ready"].as_str().map(str::to_owned),
            drift: count(answer, "drift"),
            shards: answer["shards"].as_array()?.iter().map(shard).collect(),
            sets: answer["sets"].as_array()?.iter().map(set).collect(),
            destinations: answer["destinations"].as_array()?.iter().map(destination).collect(),
        })
    }

    /// Which of the sets has that number.
    pub(super) fn place_of_set(&self, number: u64) -> Option<usize> {
        self.sets.iter().position(|set| set.number == number)
    }
}

fn count(of: &Json, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_default()
}

fn text(of: &Json, name: &str) -> String {
    of[name].as_str().unwrap_or_default().to_owned()
}

/// The totals of `it`, which has its calls under that name.
fn flow(it: &Json, calls: &str) -> Flow<u64> {
    let [calls, answered, failed, failovers] = [calls, "answered", "failed", "failovers"].map(|name| count(it, name));
    Flow { calls, answered, failed, failovers }
}

fn shard(it: &Json) -> Shard {
    Shard {
        number: count(it, "shard"),
        flow: flow(it, "calls"),
        received: count(it, "received"),
        sent: count(it, "sent"),
        lost: count(it, "lost"),
        transactions: count(it, "transactions"),
        dialogs: count(it, "dialogs"),
    }
}

fn set(it: &Json) -> Set {
    Set {
        number: count(it, "set"),
        name: text(it, "name"),
        destinations: count(it, "destinations"),
        available: count(it, "available"),
        load: count(it, "load"),
        capacity: it["capacity"].as_f64(),
        utilisation: it["utilisation"].as_f64(),
        flow: flow(it, "requests"),
    }
}

fn destination(it: &Json) -> Destination {
    Destination {
        set: count(it, "set"),
        duid: text(it, "duid"),
        uri: text(it, "uri"),
        state: text(it, "state"),
        admin: text(it, "admin"),
        available: it["available"].as_bool().unwrap_or_default(),
        load: count(it, "load"),
        capacity: it["capacity"].as_u64(),
        flow: flow(it, "requests"),
        probe_ms: it["probe_ms"].as_f64(),
        response_ms: it["response_ms"].as_f64(),
        why: text(it, "why"),
    }
}

impl Event {
    /// The events of an answer of `events.list`, the last one last.
    pub(super) fn list(answer: &Json) -> Vec<Self> {
        answer["events"].as_array().map_or_else(Vec::new, |events| events.iter().map(Self::read).collect())
    }

    fn read(event: &Json) -> Self {
        // 2026-11-21T15:04:05.678+00:00
        let time = event["at"].as_str().and_then(|at| at.get(11..19)).unwrap_or_default().to_owned();
        Self { time, kind: text(event, "type"), text: event.as_object().map(events::rest).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_read_and_what_it_does_not_tell_is_not_known() {
        let answer = json!({
            "at_ms": 5000, "uptime_s": 7, "version": "0.1.0", "not_ready": null, "drift": 0,
            "shards": [{ "shard": 1, "received": 9, "lost": 2, "dialogs": 3 }],
            "sets": [{ "set": 1, "name": "bridges", "capacity": 40.0, "utilisation": 0.5, "load": 20 }],
            "destinations": [{
                "set": 1, "duid": "gw1", "uri": "sip:192.0.2.1", "load": 20, "capacity": 40, "probe_ms": 1.5, "response_ms": null
            }],
        });
        let read = Overview::read(&answer).unwrap();
        assert_eq!((read.at_ms, read.uptime_s, read.not_ready), (5000, 7, None));
        assert_eq!(read.shards, [Shard { number: 1, received: 9, lost: 2, dialogs: 3, ..Shard::default() }]);
        assert_eq!((read.sets[0].capacity, read.sets[0].utilisation), (Some(40.0), Some(0.5)));
        let destination = &read.destinations[0];
        assert_eq!((destination.capacity, destination.probe_ms, destination.response_ms), (Some(40), Some(1.5), None));
        assert_eq!(destination.own_duid(), Some("gw1"));
        assert_eq!(Overview::read(&json!({ "at_ms": 5000 })), None);
        assert_eq!(Overview::read(&json!("pong")), None);
    }

    #[test]
    fn an_event_is_its_time_its_type_and_everything_that_is_known_of_it() {
        let answer = json!({ "last": 17, "events": [{
            "seq": 17, "at": "2026-11-21T15:04:05.678+00:00", "type": "down", "set": 1, "set_name": "bridges",
            "duid": "gw1", "uri": "sip:192.0.2.1", "calls": 3, "why": "probe: no answer", "who": null,
        }]});
        let [event] = &Event::list(&answer)[..] else { panic!("one event") };
        assert_eq!((event.time.as_str(), event.kind.as_str()), ("15:04:05", "down"));
        assert_eq!(event.text, "set 1 bridges  sip:192.0.2.1 (gw1)  calls: 3  why: probe: no answer");
        assert_eq!(Event::list(&json!({ "events": [{}] })), [Event::default()]);
    }
}
