//! Numbers, times and bars as people read them.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

/// From this share on a load is yellow.
const FILLING: f64 = 0.7;
/// From this share on it is red.
const NEARLY_FULL: f64 = 0.9;

/// Per second: three digits as long as there are that many to tell.
pub(super) fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => String::from("-"),
        Some(it) if it < 0.05 => String::from("0"),
        Some(it) if it < 99.95 => format!("{it:.1}"),
        Some(it) if it < 99_999.5 => format!("{it:.0}"),
        Some(it) => format!("{:.0}k", it / 1e3),
    }
}

/// Milliseconds: three digits.
pub(super) fn millis(millis: Option<f64>) -> String {
    match millis {
        None => String::from("-"),
        Some(it) if it < 9.995 => format!("{it:.2}"),
        Some(it) if it < 99.95 => format!("{it:.1}"),
        Some(it) => format!("{it:.0}"),
    }
}

/// A time of so many seconds, its two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Calls of those that may be, in a bar as long as the share of them; without a bound the calls alone.
pub(super) fn load(calls: u64, capacity: Option<f64>, share: Option<f64>, width: u16) -> Line<'static> {
    let (Some(capacity), Some(share)) = (capacity, share) else {
        return Line::from(calls.to_string()).right_aligned();
    };
    let inside = usize::from(width.saturating_sub(2));
    let full = ((share.clamp(0.0, 1.0) * inside as f64).round() as usize).min(inside);
    let told = format!("{calls}/{capacity:.0}");
    let bar = (0..inside).map(|at| if at < full { '|' } else { ' ' });
    // What is told is at the right, over the bar.
    let over = inside.saturating_sub(told.len());
    let text: Vec<char> = bar.take(over).chain(told.chars()).take(inside).collect();
    let (bar, rest) = text.split_at(full);
    let colour = match share {
        share if share >= NEARLY_FULL => Color::Red,
        share if share >= FILLING => Color::Yellow,
        _ => Color::Green,
    };
    let bar = Span::styled(bar.iter().collect::<String>(), Style::new().fg(colour));
    Line::from(vec![Span::raw("["), bar, Span::raw(rest.iter().collect::<String>()), Span::raw("]")])
}

/// Calls of a bound, and the share that they are; a bound of nothing is full.
pub(super) fn share(calls: u64, capacity: Option<u64>) -> Option<f64> {
    capacity.map(|capacity| if capacity == 0 { 1.0 } else { calls as f64 / capacity as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let rates = [0.0, 0.04, 0.25, 99.94, 99.96, 12_345.6, 99_999.6].map(|it| rate(Some(it)));
        assert_eq!(rates, ["0", "0", "0.2", "99.9", "100", "12346", "100k"]);
        assert_eq!([None, Some(0.5), Some(9.999), Some(99.96)].map(millis), ["-", "0.50", "10.0", "100"]);
        assert_eq!([59, 61, 3_720, 90_000].map(span), ["59s", "1m01s", "1h02m", "1d01h"]);
    }

    #[test]
    fn a_bar_is_as_long_as_the_load_and_says_it_without_colours() {
        let text = |calls: u64, capacity: u64| {
            load(calls, Some(capacity as f64), share(calls, Some(capacity)), 12).to_string()
        };
        assert_eq!(text(0, 20), "[      0/20]");
        assert_eq!(text(10, 20), "[|||||10/20]");
        assert_eq!(text(20, 20), "[|||||20/20]");
        assert_eq!(text(0, 0), "[|||||||0/0]");
        assert_eq!(text(123_456, 1_000_000), "[123456/100]");
        assert_eq!(load(7, None, None, 12).to_string(), "7");
        let colour = |calls| load(calls, Some(10.0), share(calls, Some(10)), 12).spans[1].style.fg;
        assert_eq!([6, 7, 9].map(colour), [Color::Green, Color::Yellow, Color::Red].map(Some));
    }
}
