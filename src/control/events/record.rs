//! One event in words.

use crate::control::Value;
use crate::dispatcher::{Destination, Event, EventKind, Health, Table};
use crate::shard::clock;
use crate::time::Instant;
use std::borrow::Cow;
use std::time::SystemTime;

/// What is to be said of an event besides its type.
pub(in crate::control) type Members = Vec<(&'static str, Value)>;

/// One event.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::control) struct Record {
    /// Its number.
    pub(in crate::control) sequence: u64,
    /// When it happened.
    pub(in crate::control) at: SystemTime,
    /// Its type, one word.
    pub(in crate::control) kind: &'static str,
    /// The rest.
    pub(in crate::control) members: Members,
}

impl Record {
    /// The event as methods, followers and the hook show it.
    pub(in crate::control) fn value(&self) -> Value {
        let at: chrono::DateTime<chrono::Local> = self.at.into();
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, false);
        let head = [("seq", Value::from(self.sequence)), ("at", Value::from(at)), ("type", Value::fixed(self.kind))];
        let members = head.into_iter().chain(self.members.iter().cloned());
        Value::Struct(members.map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }
}

/// Type, time and members of what happened; none for what is no news to an operator: that a destination is well from the start, that it
/// is gone, and the prober's own word for another table, of which the publisher tells more.
pub(super) fn read(event: &Event, table: &Table) -> Option<(&'static str, SystemTime, Members)> {
    let now = clock::now();
    let at = SystemTime::now().checked_sub(now.saturating_since(event.at)).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut members = match event.destination {
        Some(id) => named(table.destination(id)?, table),
        None => Members::new(),
    };
    let until = |until: Instant| Value::seconds(until.saturating_since(now));
    let kind = match event.kind {
        EventKind::Known(Health::Active, _) | EventKind::Published { .. } => return None,
        EventKind::Known(health, admin) => {
            members.push(("admin", Value::fixed(admin.name())));
            if health == Health::Trying { "trying" } else { "down" }
        }
        EventKind::Up => "up",
        EventKind::Trying => "trying",
        EventKind::Down => "down",
        EventKind::Ejected(end) => {
            members.push(("for_s", until(end)));
            "ejected"
        }
        EventKind::HeldOff(end) => {
            members.push(("for_s", until(end)));
            "held-off"
        }
        EventKind::Returned => "returned",
        EventKind::Admin(admin) => {
            members.push(("admin", Value::fixed(admin.name())));
            "admin"
        }
        EventKind::Drained => "drained",
        EventKind::ReportIgnored => "report-ignored",
        EventKind::PanicBegan(set) => {
            members.push(("set", Value::from(set.0)));
            "panic-began"
        }
        EventKind::PanicEnded(set) => {
            members.push(("set", Value::from(set.0)));
            "panic-ended"
        }
    };
    members.push(("why", Value::from(event.why.to_string())));
    Some((kind, at, members))
}

fn named(destination: &Destination, table: &Table) -> Members {
    let name = table.set(destination.set).map_or("", |set| set.name.as_str());
    vec![
        ("set", Value::from(destination.set.0)),
        ("set_name", Value::text_or_null(name)),
        ("duid", Value::from(destination.duid.as_str())),
        ("uri", Value::from(destination.uri.as_str())),
        ("calls", Value::from(table.states().load(destination.state))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{Admin, Algorithm, DestinationSpec, SetId, SetSpec, Why};
    use core::time::Duration;

    fn table() -> Table {
        let spec = DestinationSpec::new(String::from("sip:192.0.2.1"), "192.0.2.1:5060".parse().unwrap());
        Table::build(vec![SetSpec::new(SetId(7), Algorithm::Random, vec![spec])], None).unwrap()
    }

    #[test]
    fn an_event_of_a_destination_names_it_and_says_why() {
        let table = table();
        let destination = &table.sets()[0].destinations[0];
        table.states().set_admin(destination.state, Admin::Draining, clock::now());
        let event = table.states().next_event().unwrap();
        let (kind, at, members) = read(&event, &table).unwrap();
        assert!(SystemTime::now().duration_since(at).unwrap() < Duration::from_secs(60));
        let text = Record { sequence: 3, at: SystemTime::UNIX_EPOCH, kind, members }.value().to_json();
        assert_eq!((&text["seq"], &text["type"], &text["set"]), (&3.into(), &"admin".into(), &7.into()));
        assert_eq!((&text["admin"], &text["why"]), (&"draining".into(), &"operator".into()));
        assert_eq!(text["uri"], "sip:192.0.2.1");
    }

    #[test]
    fn a_destination_that_is_well_from_the_start_is_no_news_and_one_that_is_not_is() {
        let table = table();
        let id = Some(table.sets()[0].destinations[0].id);
        let known = |health| Event {
            at: clock::now(),
            destination: id,
            kind: EventKind::Known(health, Admin::Enabled),
            why: Why::default(),
        };
        assert_eq!(read(&known(Health::Active), &table), None);
        assert_eq!(read(&known(Health::Inactive), &table).map(|(kind, ..)| kind), Some("down"));
    }

    #[test]
    fn how_long_it_is_out_is_told_in_seconds() {
        let table = table();
        let (id, at) = (table.sets()[0].destinations[0].id, clock::now());
        let kind = EventKind::Ejected(at + Duration::from_secs(30));
        let event = Event { at, destination: Some(id), kind, why: Why::default() };
        let (kind, _, members) = read(&event, &table).unwrap();
        let time = members.iter().find(|(name, _)| *name == "for_s").map(|(_, value)| value.clone());
        assert_eq!(kind, "ejected");
        assert!(matches!(time, Some(Value::Float(seconds)) if (25.0..=30.0).contains(&seconds)), "{time:?}");
    }
}
