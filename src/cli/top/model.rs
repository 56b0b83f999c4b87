//! What is known and what is looked at.

use super::link::Said;
use super::overview::{Destination, Event, Key, Overview};
use super::rates::{Rate, Rates};
use core::cmp::Ordering;
use std::collections::HashSet;

/// Longest filter, characters.
pub(super) const FILTER_CHARS_MAX: usize = 64;

/// What the arrows move in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Pane {
    /// The sets; the one that is chosen is what the other pane shows.
    #[default]
    Sets,
    /// The destinations.
    Destinations,
}

/// What comes first among destinations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Sort {
    /// Most calls.
    #[default]
    Load,
    /// Most calls per second.
    Calls,
    /// Most failures per second, then most failures at all.
    Failed,
    /// Slowest response; where none is known, slowest probe.
    Latency,
    /// By set and name.
    Name,
}

impl Sort {
    /// The next one, round and round.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Load => Self::Calls,
            Self::Calls => Self::Failed,
            Self::Failed => Self::Latency,
            Self::Latency => Self::Name,
            Self::Name => Self::Load,
        }
    }

    /// The word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Calls => "cps",
            Self::Failed => "failed",
            Self::Latency => "latency",
            Self::Name => "name",
        }
    }
}

/// What an operator says of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    /// No new calls.
    Drain,
    /// All that was said is taken back.
    Enable,
    /// Neither calls nor probes.
    Disable,
}

impl Verb {
    /// The word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }

    /// The method of the control side.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Drain => "dispatcher.drain",
            Self::Enable => "dispatcher.enable",
            Self::Disable => "dispatcher.disable",
        }
    }
}

/// Something to be said of a destination, which stays the same one however the view moves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    pub(super) verb: Verb,
    pub(super) key: Key,
    /// Set, duid and URI, for people.
    pub(super) whom: String,
}

/// What keys mean.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Mode {
    #[default]
    Looking,
    /// The filter is being typed.
    Filtering,
    /// It waits for yes or no.
    Confirming(Wish),
    /// The keys are shown.
    Helping,
}

/// How it stands with siplane.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Connection {
    #[default]
    Connecting,
    Connected,
    /// And why.
    Lost(String),
}

/// What is known of events.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Events {
    #[default]
    Unknown,
    /// This siplane does not tell them.
    NotTold,
    /// The last ones, the last one last.
    Told(Vec<Event>),
}

/// A line for the user that stays until the next key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) text: String,
    /// Whether it is bad news.
    pub(super) bad: bool,
}

/// All of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Model {
    pub(super) overview: Overview,
    pub(super) rates: Rates,
    pub(super) events: Events,
    pub(super) connection: Connection,
    /// How long siplane has not answered, seconds, when that is longer than it should be.
    pub(super) silent_s: Option<u64>,
    pub(super) pane: Pane,
    /// The set that is shown; none: all of them.
    pub(super) set: Option<u64>,
    pub(super) selected: Option<Key>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) paused: bool,
    pub(super) message: Option<Message>,
}

impl Model {
    /// Takes in what came from siplane.
    pub(super) fn hear(&mut self, said: Said) {
        match said {
            Said::Overview(overview) => {
                self.connection = Connection::Connected;
                if !self.paused {
                    self.show(*overview);
                }
            }
            Said::Events(events) if !self.paused => self.events = Events::Told(events),
            Said::Events(_) => {}
            Said::NoEvents => self.events = Events::NotTold,
            Said::Lost(why) => self.connection = Connection::Lost(why),
            Said::Done(text) => self.message = Some(Message { text, bad: false }),
            Said::NotDone(text) => self.message = Some(Message { text, bad: true }),
        }
    }

    fn show(&mut self, overview: Overview) {
        self.rates = match self.overview.at_ms {
            0 => Rates::unknown(&overview),
            _ => Rates::between(&self.overview, &overview),
        };
        self.overview = overview;
        if self.set.is_some_and(|set| self.overview.place_of_set(set).is_none()) {
            self.set = None;
        }
        self.keep_selection();
    }

    /// Selects the first destination when the selected one is not shown.
    pub(super) fn keep_selection(&mut self) {
        let rows = self.rows();
        if self.place(&rows).is_none() {
            self.selected = rows.first().map(|row| self.overview.destinations[*row].key());
        }
    }

    /// The destinations that are shown, by their place in the overview, in the order in which they are shown.
    pub(super) fn rows(&self) -> Vec<usize> {
        let (all, shown) = (self.overview.destinations.iter().enumerate(), Shown::by(self));
        let mut rows: Vec<usize> = all.filter(|(_, it)| shown.has(it)).map(|(row, _)| row).collect();
        // By name where nothing else decides: rows that are equal must not dance.
        rows.sort_by(|a, b| self.compare(*a, *b).then_with(|| self.name(*a).cmp(&self.name(*b))));
        rows
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let of = |row: usize| &self.overview.destinations[row];
        let most = |what: fn(&Rate) -> f64| {
            let of = |row: usize| self.rate(row).map_or(0.0, |rate| what(&rate));
            of(b).total_cmp(&of(a))
        };
        let latency = |row: usize| of(row).response_ms.or(of(row).probe_ms).unwrap_or(-1.0);
        match self.sort {
            Sort::Load => of(b).load.cmp(&of(a).load),
            Sort::Calls => most(|rate| rate.calls),
            Sort::Failed => most(|rate| rate.failed).then_with(|| of(b).flow.failed.cmp(&of(a).flow.failed)),
            Sort::Latency => latency(b).total_cmp(&latency(a)),
            Sort::Name => Ordering::Equal,
        }
    }

    fn name(&self, row: usize) -> (u64, &str, &str) {
        let it = &self.overview.destinations[row];
        (it.set, it.own_duid().unwrap_or(&it.uri), &it.duid)
    }

    /// What goes on at a destination, by its place in the overview.
    pub(super) fn rate(&self, row: usize) -> Option<Rate> {
        self.rates.destinations.get(row).copied().flatten()
    }

    /// Which of `rows` is selected.
    pub(super) fn place(&self, rows: &[usize]) -> Option<usize> {
        let key = self.selected.as_ref()?;
        rows.iter().position(|row| self.overview.destinations[*row].is(key))
    }

    /// Which line of the sets' pane is chosen; the first is all of them.
    pub(super) fn set_place(&self) -> usize {
        self.set.and_then(|set| self.overview.place_of_set(set)).map_or(0, |place| place + 1)
    }

    /// Selects what is `lines` further down, or up, no further than the ends.
    pub(super) fn move_by(&mut self, lines: isize) {
        match self.pane {
            Pane::Sets => {
                let place = self.set_place().saturating_add_signed(lines).min(self.overview.sets.len());
                self.set = place.checked_sub(1).map(|place| self.overview.sets[place].number);
                self.keep_selection();
            }
            Pane::Destinations => {
                let rows = self.rows();
                let place = self.place(&rows).unwrap_or_default().saturating_add_signed(lines);
                let row = rows.get(place).or(rows.last());
                self.selected = row.map(|row| self.overview.destinations[*row].key());
            }
        }
    }

    /// The selected destination, if it is shown.
    pub(super) fn selected(&self) -> Option<&Destination> {
        let key = self.selected.as_ref()?;
        self.overview.destinations.iter().find(|it| it.is(key)).filter(|it| Shown::by(self).has(it))
    }
}

/// Which destinations are shown.
struct Shown {
    set: Option<u64>,
    /// In small letters.
    text: String,
    /// The sets that are called so: found once, not for each of their destinations.
    sets: HashSet<u64>,
}

impl Shown {
    fn by(model: &Model) -> Self {
        let text = model.filter.to_lowercase();
        let called = model.overview.sets.iter().filter(|set| set.name.to_lowercase().contains(&text));
        Self { set: model.set, sets: called.map(|set| set.number).collect(), text }
    }

    fn has(&self, it: &Destination) -> bool {
        let texts = [&it.uri, &it.duid, &it.state, &it.admin, &it.why];
        self.set.is_none_or(|set| set == it.set)
            && (self.text.is_empty()
                || self.sets.contains(&it.set)
                || texts.iter().any(|text| text.to_lowercase().contains(&self.text)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{destination, model, overview};
    use super::*;

    fn shown(model: &Model) -> Vec<&str> {
        let host = |row: usize| model.overview.destinations[row].uri.split(['.', ':']).nth(4).unwrap();
        model.rows().into_iter().map(host).collect()
    }

    #[test]
    fn destinations_are_sorted_by_what_is_asked_for() {
        let mut model = model();
        for (sort, order) in [
            (Sort::Load, ["12", "13", "11"]),
            (Sort::Calls, ["11", "12", "13"]),
            (Sort::Failed, ["12", "11", "13"]),
            (Sort::Latency, ["11", "12", "13"]),
            (Sort::Name, ["11", "12", "13"]),
        ] {
            assert_eq!((model.sort, shown(&model)), (sort, order.to_vec()));
            model.sort = sort.next();
        }
        assert_eq!(model.sort, Sort::Load);
    }

    #[test]
    fn the_filter_finds_uri_duid_state_admin_why_and_set_in_any_case() {
        let mut model = model();
        for (filter, expected) in [
            ("GW1", &["11"][..]),
            ("192.0.2.13", &["13"]),
            ("inactive", &["12"]),
            ("draining", &["13"]),
            ("no answer", &["12"]),
            ("Bridges", &["12", "11"]),
            ("nothing", &[]),
        ] {
            model.filter = filter.to_owned();
            assert_eq!(shown(&model), expected, "{filter}");
        }
    }

    #[test]
    fn the_selection_follows_its_destination_and_not_its_line() {
        let mut model = model();
        model.pane = Pane::Destinations;
        let duid = |model: &Model| model.selected().map_or_else(String::new, |it| it.duid.clone());
        assert_eq!(duid(&model), "gw2");
        let mut next = overview(104);
        next.destinations[0].load = 20;
        next.destinations.insert(0, destination("new", 1, 30, 0));
        model.hear(Said::Overview(Box::new(next)));
        assert_eq!((shown(&model), duid(&model)), (vec!["1", "11", "12", "13"], String::from("gw2")));
        model.move_by(-1);
        assert_eq!(duid(&model), "gw1");
        model.move_by(isize::MAX);
        assert_eq!(model.selected().map(|it| it.set), Some(2));
        model.move_by(isize::MIN);
        assert_eq!(duid(&model), "new");
        model.hear(Said::Overview(Box::new(overview(106))));
        assert_eq!(duid(&model), "gw2", "the first, when the selected one is gone");
        model.hear(Said::Overview(Box::default()));
        assert_eq!((model.selected(), model.rows().len()), (None, 0));
        model.move_by(1);
    }

    #[test]
    fn a_set_shows_its_own_destinations_until_it_is_gone() {
        let mut model = model();
        model.move_by(2);
        assert_eq!((model.set, model.set_place(), shown(&model)), (Some(2), 2, vec!["13"]));
        assert_eq!(model.selected().map(|it| it.set), Some(2));
        let mut next = overview(104);
        next.sets.pop();
        model.hear(Said::Overview(Box::new(next)));
        assert_eq!((model.set, model.set_place()), (None, 0));
    }

    #[test]
    fn a_paused_view_stays_and_still_tells_that_the_connection_is_lost() {
        let mut model = model();
        model.paused = true;
        model.hear(Said::Overview(Box::new(overview(200))));
        model.hear(Said::Lost(String::from("gone")));
        assert_eq!((model.overview.uptime_s, &model.connection), (3_702, &Connection::Lost(String::from("gone"))));
        model.hear(Said::Overview(Box::new(overview(201))));
        assert_eq!((model.overview.uptime_s, &model.connection), (3_702, &Connection::Connected));
    }
}
