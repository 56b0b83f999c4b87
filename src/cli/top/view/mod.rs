//! A frame of what is known.

mod tables;
mod text;

use super::keys::HELP;
use super::model::{Connection, Events, Mode, Model};
use super::overview::Event;
use crate::cli::ctl::{events, table::Paint};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget};
use text::{rate, span};

#[cfg(test)]
mod tests;

/// The keys that most need telling.
const KEYS: &str = "tab  s sort  / filter  d drain  e enable  x disable  p pause  ? help  q quit";

/// Draws the frame for a terminal of that size; whatever does not fit is left out.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let [panes, foot] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    draw_panes(model, panes, buffer, true);
    self::foot(model).render(foot, buffer);
    if model.mode == Mode::Helping {
        help(area, buffer);
    }
}

/// The frame as plain text, as high as it takes to show everything, without what is for the keyboard.
pub(super) fn plain(model: &Model, width: u16) -> String {
    let area = Rect::new(0, 0, width, HEAD + Wants::of(model, model.overview.destinations.len()).all());
    let mut buffer = Buffer::empty(area);
    draw_panes(model, area, &mut buffer, false);
    lines(&buffer)
}

/// What stands in a buffer, without blanks at the ends of lines.
pub(super) fn lines(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| (area.left()..area.right()).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (area.top()..area.bottom()).map(|y| line(y).trim_end().to_owned() + "\n").collect()
}

/// Lines of the head.
const HEAD: u16 = 2;

/// How high each pane would be, its title included.
#[derive(Clone, Copy)]
struct Wants {
    sets: u16,
    destinations: u16,
    shards: u16,
    events: u16,
}

impl Wants {
    fn of(model: &Model, destinations: usize) -> Self {
        let lines = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX / 8);
        let events = match &model.events {
            Events::Unknown => 0,
            Events::NotTold => 1,
            Events::Told(events) => 1 + events.len().max(1),
        };
        Self {
            sets: lines(2 + model.overview.sets.len()),
            destinations: lines(1 + destinations),
            shards: lines(1 + model.overview.shards.len()),
            events: lines(events),
        }
    }

    const fn all(self) -> u16 {
        self.sets.saturating_add(self.destinations).saturating_add(self.shards).saturating_add(self.events)
    }

    /// In so many lines: destinations get what the others leave, and those no more than a part.
    fn within(self, height: u16) -> Self {
        let sets = self.sets.min((height / 4).max(3));
        let shards = self.shards.min((height / 6).max(2));
        let events = self.events.min(height / 5);
        Self { sets, shards, events, destinations: height.saturating_sub(sets + shards + events) }
    }
}

fn draw_panes(model: &Model, area: Rect, buffer: &mut Buffer, marked: bool) {
    let height = area.height.saturating_sub(HEAD);
    let wants = Wants::of(model, model.overview.destinations.len());
    let given = if wants.all() <= height { wants } else { wants.within(height) };
    let heights = [HEAD, given.sets].map(Constraint::Length).into_iter();
    let heights = heights.chain([Constraint::Fill(1)]).chain([given.shards, given.events].map(Constraint::Length));
    let [head, sets, destinations, shards, events] = Layout::vertical(heights).areas(area);
    Paragraph::new(vec![first_line(model), second_line(model)]).render(head, buffer);
    tables::sets(model, sets, buffer, marked);
    tables::destinations(model, destinations, buffer, marked);
    tables::shards(model, shards, buffer);
    draw_events(&model.events, events, buffer);
}

fn first_line(model: &Model) -> Line<'static> {
    let overview = &model.overview;
    let mut spans = vec![Span::styled(format!("siplane {}", overview.version), bold())];
    if model.paused {
        spans.push(Span::styled("  PAUSED", bold().fg(Color::Yellow)));
    }
    spans.push(Span::raw(format!("  up {}  by {}  ", span(overview.uptime_s), model.sort.name())));
    if !model.filter.is_empty() {
        spans.push(Span::styled(format!("only \"{}\"  ", model.filter), Style::new().fg(Color::Yellow)));
    }
    spans.push(match (&model.connection, model.silent_s, &overview.not_ready) {
        (Connection::Connecting, ..) => Span::raw("connecting"),
        (Connection::Lost(why), ..) => bad(format!("NOT CONNECTED, trying again: {why}")),
        (Connection::Connected, Some(seconds), _) => bad(format!("NO ANSWER FOR {}", span(seconds))),
        (Connection::Connected, None, Some(why)) => bad(format!("NOT READY: {why}")),
        (Connection::Connected, None, None) => Span::styled("ready", Style::new().fg(Color::Green)),
    });
    Line::from(spans)
}

fn second_line(model: &Model) -> Line<'static> {
    let (overview, total) = (&model.overview, model.rates.total);
    let sum = |what: fn(&super::overview::Shard) -> u64| overview.shards.iter().map(what).sum::<u64>();
    let text = format!(
        "calls/s {}  answered {}  failed {}  failovers {}  dialogs {}  lost {}",
        rate(total.map(|it| it.flow.calls)),
        rate(total.map(|it| it.flow.answered)),
        rate(total.map(|it| it.flow.failed)),
        rate(total.map(|it| it.flow.failovers)),
        sum(|shard| shard.dialogs),
        sum(|shard| shard.lost),
    );
    let drift = if overview.drift == 0 { Span::raw("  drift 0") } else { bad(format!("  DRIFT {}", overview.drift)) };
    Line::from(vec![Span::raw(text), drift])
}

fn draw_events(events: &Events, area: Rect, buffer: &mut Buffer) {
    let title = |text: &'static str| Line::styled(text, Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD));
    let lines = match events {
        Events::Unknown => Vec::new(),
        Events::NotTold => vec![Line::styled("this siplane tells no events", Style::new().add_modifier(Modifier::DIM))],
        Events::Told(events) if events.is_empty() => vec![title("EVENTS"), Line::raw("none yet")],
        Events::Told(events) => {
            let fitting = usize::from(area.height.saturating_sub(1));
            let last = events.len().saturating_sub(fitting);
            core::iter::once(title("EVENTS")).chain(events[last..].iter().map(event)).collect()
        }
    };
    Paragraph::new(lines).render(area, buffer);
}

fn event(event: &Event) -> Line<'_> {
    let colour = match events::paint(&event.kind) {
        Some(Paint::Green) => Color::Green,
        Some(Paint::Yellow) => Color::Yellow,
        Some(Paint::Red) => Color::Red,
        Some(Paint::Cyan) => Color::Cyan,
        Some(Paint::Bold) | None => Color::Reset,
    };
    let kind = Span::styled(format!("{:<18} ", event.kind), Style::new().fg(colour));
    Line::from(vec![Span::raw(format!("{}  ", event.time)), kind, Span::raw(event.text.as_str())])
}

fn foot(model: &Model) -> Line<'static> {
    match (&model.mode, &model.message) {
        (Mode::Confirming(wish), _) => {
            let load = model.overview.destinations.iter().find(|it| it.is(&wish.key)).map_or(0, |it| it.load);
            Line::styled(format!("{} {}, {load} calls? y/n", wish.verb.name(), wish.whom), bold().fg(Color::Yellow))
        }
        (Mode::Filtering, _) => Line::styled(format!("filter: {}_", model.filter), bold()),
        (_, Some(message)) if message.bad => Line::from(bad(message.text.clone())),
        (_, Some(message)) => Line::styled(message.text.clone(), Style::new().fg(Color::Green)),
        (_, None) => Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
    }
}

fn help(area: Rect, buffer: &mut Buffer) {
    let lines: Vec<Line<'_>> = HELP.iter().map(|(key, does)| Line::raw(format!(" {key:<14} {does}"))).collect();
    let wanted = lines.iter().map(Line::width).max().unwrap_or_default() + 3;
    let (width, height) =
        (u16::try_from(wanted).unwrap_or(area.width).min(area.width), (HELP.len() as u16 + 2).min(area.height));
    let within = Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    Clear.render(within, buffer);
    Paragraph::new(lines).block(Block::bordered().title(" keys ")).render(within, buffer);
}

const fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn bad(text: String) -> Span<'static> {
    Span::styled(text, bold().fg(Color::Red))
}
