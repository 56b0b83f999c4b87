//! Sets, destinations and shards as tables.

use super::text::{load, millis, rate, share};
use crate::cli::top::model::{Model, Pane};
use crate::cli::top::overview::{Destination, Set, Shard};
use crate::cli::top::rates::{Rate, ShardRate};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, HighlightSpacing, Row, StatefulWidget, Table, TableState, Widget};

/// From this width on there is why a destination is as it is, and what the operator said has a column of its own.
const MEDIUM: u16 = 120;
/// From this width on there is everything.
const WIDE: u16 = 160;

/// A column of destinations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Set,
    Duid,
    Uri,
    /// What it can do: what the operator said, if he said anything, else its health.
    Short,
    State,
    Admin,
    Load,
    Calls,
    Answered,
    Failed,
    Failovers,
    Probe,
    Response,
    Why,
}

use Column::{
    Admin, Answered, Calls, Duid, Failed, Failovers, Load, Probe, Response, Set as OfSet, Short, State, Uri, Why,
};

const NARROW_COLUMNS: &[Column] = &[OfSet, Uri, Short, Load, Calls, Failed, Probe, Response];
const MEDIUM_COLUMNS: &[Column] = &[OfSet, Uri, State, Admin, Load, Calls, Answered, Failed, Probe, Response, Why];
const WIDE_COLUMNS: &[Column] =
    &[OfSet, Duid, Uri, State, Admin, Load, Calls, Answered, Failed, Failovers, Probe, Response, Why];

impl Column {
    const fn title(self) -> &'static str {
        match self {
            OfSet => "SET",
            Duid => "DUID",
            Uri => "DESTINATION",
            Short | State => "STATE",
            Admin => "ADMIN",
            Load => "LOAD",
            Calls => "CALLS/S",
            Answered => "ANSW/S",
            Failed => "FAIL/S",
            Failovers => "FAILOV/S",
            Probe => "PROBE",
            Response => "RESP",
            Why => "WHY",
        }
    }

    /// Columns of the terminal; none: what is left.
    const fn width(self, of: u16) -> Option<u16> {
        match self {
            Uri | Why => None,
            OfSet => Some(4),
            Duid => Some(16),
            Short | State | Admin | Failovers => Some(8),
            Load if of < MEDIUM => Some(13),
            Load if of < WIDE => Some(16),
            Load => Some(20),
            Calls => Some(7),
            Answered | Failed | Probe | Response => Some(6),
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, OfSet | Load | Calls | Answered | Failed | Failovers | Probe | Response)
    }

    fn constraint(self, of: u16) -> Constraint {
        let rest = Constraint::Fill(if self == Uri { 3 } else { 2 });
        self.width(of).map_or(rest, Constraint::Length)
    }

    fn cell(self, it: &Destination, rates: Option<Rate>, of: u16) -> Cell<'static> {
        let per_second = |what: fn(&Rate) -> f64| number(rate(rates.as_ref().map(what)));
        match self {
            OfSet => number(it.set.to_string()),
            Duid => Cell::from(it.own_duid().unwrap_or("-").to_owned()),
            // Where there is little room it is for what tells destinations apart.
            Uri if of < MEDIUM => Cell::from(it.uri.strip_prefix("sip:").unwrap_or(&it.uri).to_owned()),
            Uri => Cell::from(it.uri.clone()),
            Short if it.admin != "enabled" => Self::Admin.cell(it, None, of),
            Short | State => Cell::from(it.state.clone()).style(state_style(&it.state)),
            Admin => Cell::from(it.admin.clone()).style(admin_style(&it.admin)),
            Load => {
                let width = self.width(of).unwrap_or_default();
                Cell::from(load(it.load, it.capacity.map(|it| it as f64), share(it.load, it.capacity), width))
            }
            Calls => per_second(|rate| rate.calls),
            Answered => per_second(|rate| rate.answered),
            Failed => per_second(|rate| rate.failed).style(alarm(rates.is_some_and(|rates| rates.failed > 0.0))),
            Failovers => per_second(|rate| rate.failovers),
            Probe => number(millis(it.probe_ms)),
            Response => number(millis(it.response_ms)),
            Why => Cell::from(it.why.clone()),
        }
    }
}

/// The destinations that are shown; `selected` is marked, if it is to be.
pub(super) fn destinations(model: &Model, area: Rect, buffer: &mut Buffer, marked: bool) {
    let columns = match area.width {
        ..MEDIUM => NARROW_COLUMNS,
        MEDIUM..WIDE => MEDIUM_COLUMNS,
        WIDE.. => WIDE_COLUMNS,
    };
    let shown = model.rows();
    let place = model.place(&shown);
    let (first, height) = window(place.unwrap_or_default(), area);
    let rows = shown.iter().skip(first).take(height).map(|row| {
        let it = &model.overview.destinations[*row];
        let row = Row::new(columns.iter().map(|column| column.cell(it, model.rate(*row), area.width)));
        if it.available { row } else { row.style(Style::new().add_modifier(Modifier::DIM)) }
    });
    let titles = columns.iter().map(|column| (column.title(), column.is_number()));
    let widths = columns.iter().map(|column| column.constraint(area.width));
    let place = place.map(|place| place - first);
    draw(
        Table::new(rows, widths).header(header(titles)),
        place,
        marked,
        model.pane == Pane::Destinations,
        area,
        buffer,
    );
}

/// The sets, after a line for all of them.
pub(super) fn sets(model: &Model, area: Rect, buffer: &mut Buffer, marked: bool) {
    let bar = if area.width < MEDIUM { 20 } else { 30 };
    let overview = &model.overview;
    let all = all(&overview.sets);
    let rate_of = |place: usize| model.rates.sets.get(place).copied().flatten();
    let rows = core::iter::once((&all, model.rates.every_set, String::from("all")));
    let (first, height) = window(model.set_place(), area);
    let others = overview.sets.iter().enumerate().map(|(place, set)| (set, rate_of(place), set.number.to_string()));
    let rows = rows.chain(others).skip(first).take(height);
    let rows = rows.map(|(set, rates, number_of)| {
        let failed = number(rate(rates.map(|rates| rates.failed)));
        Row::new([
            number(number_of),
            Cell::from(set.name.clone()),
            number(format!("{}/{}", set.available, set.destinations)).style(availability_style(set)),
            Cell::from(load(set.load, set.capacity, set.utilisation, bar)),
            number(rate(rates.map(|rates| rates.calls))),
            failed.style(alarm(rates.is_some_and(|rates| rates.failed > 0.0))),
        ])
    });
    let titles =
        [("SET", true), ("NAME", false), ("AVAILABLE", true), ("LOAD", true), ("CALLS/S", true), ("FAIL/S", true)];
    let widths = [4, 0, 11, bar, 7, 6].map(|it| if it == 0 { Constraint::Fill(1) } else { Constraint::Length(it) });
    let table = Table::new(rows, widths).header(header(titles.into_iter()));
    draw(table, Some(model.set_place() - first), marked, model.pane == Pane::Sets, area, buffer);
}

/// All sets as one. Its capacity is known when that of each is.
fn all(sets: &[Set]) -> Set {
    let load = sets.iter().map(|set| set.load).sum();
    let capacity: Option<f64> = sets.iter().map(|set| set.capacity).sum();
    let capacity = capacity.filter(|_| !sets.is_empty());
    let share = |capacity: f64| if capacity > 0.0 { load as f64 / capacity } else { 1.0 };
    Set {
        destinations: sets.iter().map(|set| set.destinations).sum(),
        available: sets.iter().map(|set| set.available).sum(),
        load,
        capacity,
        utilisation: capacity.map(share),
        ..Set::default()
    }
}

/// The shards, as many as fit; the last line says how many do not.
pub(super) fn shards(model: &Model, area: Rect, buffer: &mut Buffer) {
    let shards = &model.overview.shards;
    let height = usize::from(area.height.saturating_sub(1));
    let fitting = if shards.len() <= height { shards.len() } else { height.saturating_sub(1) };
    let rates = |place: usize| model.rates.shards.get(place).copied().flatten();
    let rows = shards.iter().enumerate().take(fitting).map(|(place, it)| shard(it, rates(place)));
    let more = (fitting < shards.len())
        .then(|| Row::new([Cell::from(""), Cell::from(format!("and {}", shards.len() - fitting))]));
    let titles = ["SHARD", "MSGS IN/S", "OUT/S", "CALLS/S", "TRANSACTIONS", "DIALOGS", "LOST", "LOST/S"];
    let widths = [5, 10, 9, 9, 12, 9, 9, 8].map(Constraint::Length);
    let table = Table::new(rows.chain(more), widths).header(header(titles.map(|title| (title, true)).into_iter()));
    Widget::render(table, area, buffer);
}

fn shard(it: &Shard, rates: Option<ShardRate>) -> Row<'static> {
    let per_second = |what: fn(&ShardRate) -> f64| number(rate(rates.as_ref().map(what)));
    let losing = rates.is_some_and(|rates| rates.lost > 0.0);
    Row::new([
        number(it.number.to_string()),
        per_second(|rates| rates.received),
        per_second(|rates| rates.sent),
        per_second(|rates| rates.flow.calls),
        number(it.transactions.to_string()),
        number(it.dialogs.to_string()),
        number(it.lost.to_string()),
        per_second(|rates| rates.lost).style(alarm(losing)),
    ])
}

/// Of rows of which the one at `place` is selected, the first that fits below a header, and how many do. Rows that no terminal shows are
/// not made: of ten thousand that would take longer than the rest.
fn window(place: usize, area: Rect) -> (usize, usize) {
    let height = usize::from(area.height.saturating_sub(1));
    (place.saturating_sub(height.saturating_sub(1)), height)
}

fn draw(table: Table<'_>, place: Option<usize>, marked: bool, chosen: bool, area: Rect, buffer: &mut Buffer) {
    let mut state = TableState::new().with_selected(place.filter(|_| marked));
    let style = if chosen { Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED) } else { Style::new() };
    // Without colours, too, one sees where one is.
    let table = table.row_highlight_style(style).highlight_symbol(if chosen { ">" } else { "-" });
    let spacing = if marked { HighlightSpacing::Always } else { HighlightSpacing::Never };
    StatefulWidget::render(table.highlight_spacing(spacing), area, buffer, &mut state);
}

fn header<'t>(titles: impl Iterator<Item = (&'t str, bool)>) -> Row<'t> {
    let cell = |(title, right): (&'t str, bool)| if right { number(title) } else { Cell::from(title) };
    Row::new(titles.map(cell)).style(Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD))
}

fn number<'t>(text: impl Into<Line<'t>>) -> Cell<'t> {
    Cell::from(Text::from(text.into()).right_aligned())
}

fn state_style(state: &str) -> Style {
    match state {
        "active" => Style::new().fg(Color::Green),
        "trying" => Style::new().fg(Color::Yellow),
        _ => Style::new().fg(Color::Red),
    }
}

fn admin_style(admin: &str) -> Style {
    match admin {
        "enabled" => Style::new(),
        "draining" => Style::new().fg(Color::Yellow),
        _ => Style::new().fg(Color::Magenta),
    }
}

fn availability_style(set: &Set) -> Style {
    match set.available {
        0 => Style::new().fg(Color::Red),
        some if some < set.destinations => Style::new().fg(Color::Yellow),
        _ => Style::new().fg(Color::Green),
    }
}

fn alarm(is_so: bool) -> Style {
    if is_so { Style::new().fg(Color::Red) } else { Style::new() }
}
