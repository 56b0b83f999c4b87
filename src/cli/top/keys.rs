//! What keys do.

use super::model::{Connection, FILTER_CHARS_MAX, Message, Mode, Model, Pane, Verb, Wish};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks of others than the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Nothing,
    /// The end.
    Quit,
    /// This is to be said to siplane.
    Say(Wish),
}

/// Keys and what they do, for the help.
pub(super) const HELP: [(&str, &str); 12] = [
    ("up down, k j", "select; PgUp, PgDn, Home and End go further"),
    ("tab", "sets, destinations; the set that is selected is what is shown of destinations"),
    ("s", "sort by load, cps, failed, latency, name"),
    ("/", "show only what contains a text: URI, duid, state, admin, why, set; Esc ends it"),
    ("d", "drain: no new calls, those it has go on"),
    ("e", "enable: take back a drain or a disable"),
    ("x", "disable: neither calls nor probes, those it has go on"),
    ("y n", "say yes or no to it"),
    ("p", "pause: keep what is shown"),
    ("?", "this"),
    ("q, Ctrl-C", "quit"),
    ("", "any key ends this help"),
];

/// Does what the key means; what is asked of others.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> Asked {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return if key.code == KeyCode::Char('c') { Asked::Quit } else { Asked::Nothing };
    }
    model.message = None;
    match core::mem::take(&mut model.mode) {
        Mode::Looking => look(model, key.code),
        Mode::Filtering => {
            filter(model, key.code);
            Asked::Nothing
        }
        Mode::Confirming(wish) => confirm(model, wish, key.code),
        Mode::Helping => Asked::Nothing,
    }
}

fn look(model: &mut Model, code: KeyCode) -> Asked {
    const PAGE: isize = 10;
    match code {
        KeyCode::Char('q') => return Asked::Quit,
        KeyCode::Up | KeyCode::Char('k') => model.move_by(-1),
        KeyCode::Down | KeyCode::Char('j') => model.move_by(1),
        KeyCode::PageUp => model.move_by(-PAGE),
        KeyCode::PageDown => model.move_by(PAGE),
        KeyCode::Home => model.move_by(isize::MIN),
        KeyCode::End => model.move_by(isize::MAX),
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Enter => {
            model.pane = if model.pane == Pane::Sets { Pane::Destinations } else { Pane::Sets };
        }
        KeyCode::Char('s') => model.sort = model.sort.next(),
        KeyCode::Char('/') => model.mode = Mode::Filtering,
        KeyCode::Esc => refilter(model, String::new()),
        KeyCode::Char('d') => wish(model, Verb::Drain),
        KeyCode::Char('e') => wish(model, Verb::Enable),
        KeyCode::Char('x') => wish(model, Verb::Disable),
        KeyCode::Char('p') => model.paused = !model.paused,
        KeyCode::Char('?' | 'h') => model.mode = Mode::Helping,
        _ => {}
    }
    Asked::Nothing
}

fn wish(model: &mut Model, verb: Verb) {
    let refusal = match (model.selected(), model.pane, &model.connection) {
        (_, Pane::Sets, _) => "select a destination first: tab goes to them",
        (None, ..) => "no destination is selected",
        (_, _, Connection::Connecting | Connection::Lost(_)) => "not connected: nothing can be said",
        (Some(it), Pane::Destinations, Connection::Connected) => {
            let duid = it.own_duid().map(|duid| format!(" ({duid})")).unwrap_or_default();
            let whom = format!("{}{duid} of set {}", it.uri, it.set);
            model.mode = Mode::Confirming(Wish { verb, key: it.key(), whom });
            return;
        }
    };
    model.message = Some(Message { text: refusal.to_owned(), bad: true });
}

/// Only a yes is a yes.
fn confirm(model: &mut Model, wish: Wish, code: KeyCode) -> Asked {
    match code {
        KeyCode::Char('y' | 'Y') => return Asked::Say(wish),
        KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => {
            model.message = Some(Message { text: format!("{} was not done", wish.verb.name()), bad: false });
        }
        _ => model.mode = Mode::Confirming(wish),
    }
    Asked::Nothing
}

fn filter(model: &mut Model, code: KeyCode) {
    let mut text = model.filter.clone();
    match code {
        KeyCode::Enter => return,
        KeyCode::Esc => return refilter(model, String::new()),
        KeyCode::Backspace => drop(text.pop()),
        KeyCode::Char(typed) if text.chars().count() < FILTER_CHARS_MAX => text.push(typed),
        _ => {}
    }
    model.mode = Mode::Filtering;
    refilter(model, text);
}

fn refilter(model: &mut Model, filter: String) {
    model.filter = filter;
    model.keep_selection();
}

#[cfg(test)]
mod tests {
    use super::super::sample::model;
    use super::*;

    fn code(model: &mut Model, code: KeyCode) -> Asked {
        press(model, KeyEvent::new(code, KeyModifiers::NONE))
    }

    /// What was asked by typing that.
    fn keys(model: &mut Model, text: &str) -> Vec<Asked> {
        let typed = text.chars().map(|key| code(model, if key == '\t' { KeyCode::Tab } else { KeyCode::Char(key) }));
        typed.filter(|asked| *asked != Asked::Nothing).collect()
    }

    #[test]
    fn drain_enable_and_disable_are_said_of_the_selected_destination_after_a_yes() {
        for (key, verb) in [("d", Verb::Drain), ("e", Verb::Enable), ("x", Verb::Disable)] {
            let mut model = model();
            assert_eq!(keys(&mut model, &format!("\tj{key}")), []);
            let whom = String::from("sip:192.0.2.13:5060 of set 2");
            let wish = Wish { verb, key: (2, String::from("2/sip:192.0.2.13:5060/")), whom };
            assert_eq!(model.mode, Mode::Confirming(wish.clone()));
            // No key but yes is a yes.
            assert_eq!(keys(&mut model, "dj s"), []);
            assert_eq!(keys(&mut model, "y"), [Asked::Say(wish)]);
            assert_eq!((model.mode.clone(), keys(&mut model, "y")), (Mode::Looking, vec![]));
        }
    }

    #[test]
    fn a_no_says_nothing() {
        let mut model = model();
        assert_eq!(keys(&mut model, "\tdny"), []);
        assert_eq!(model.mode, Mode::Looking);
        keys(&mut model, "d");
        assert_eq!((code(&mut model, KeyCode::Esc), keys(&mut model, "y")), (Asked::Nothing, vec![]));
    }

    #[test]
    fn nothing_is_asked_where_there_is_nobody_to_say_it_of_or_to() {
        let told = |model: &mut Model, text: &str| {
            assert_eq!((keys(model, text), &model.mode), (vec![], &Mode::Looking));
            model.message.take().map(|message| message.text).unwrap_or_default()
        };
        let mut sets = model();
        assert_eq!(told(&mut sets, "d"), "select a destination first: tab goes to them");
        sets.filter = String::from("nothing");
        assert_eq!(told(&mut sets, "\tx"), "no destination is selected");
        let mut lost = Model { connection: Connection::Lost(String::new()), ..model() };
        assert_eq!(told(&mut lost, "\te"), "not connected: nothing can be said");
    }

    #[test]
    fn a_filter_is_typed_kept_and_taken_back() {
        let mut model = model();
        keys(&mut model, "/gwq2");
        assert_eq!((model.filter.as_str(), model.rows().len()), ("gwq2", 0));
        code(&mut model, KeyCode::Backspace);
        code(&mut model, KeyCode::Backspace);
        assert_eq!(model.rows().len(), 2);
        code(&mut model, KeyCode::Enter);
        assert_eq!((model.filter.as_str(), &model.mode), ("gw", &Mode::Looking));
        code(&mut model, KeyCode::Esc);
        assert_eq!((model.filter.as_str(), model.rows().len()), ("", 3));
        keys(&mut model, &format!("/{}", "a".repeat(2 * FILTER_CHARS_MAX)));
        assert_eq!(model.filter.len(), FILTER_CHARS_MAX);
        code(&mut model, KeyCode::Esc);
        assert_eq!((model.filter.as_str(), &model.mode), ("", &Mode::Looking));
    }

    #[test]
    fn p_pauses_any_key_ends_the_help_and_q_and_ctrl_c_end_it_all() {
        let mut model = model();
        keys(&mut model, "p?");
        assert_eq!((model.paused, &model.mode), (true, &Mode::Helping));
        assert_eq!((keys(&mut model, "q"), &model.mode), (vec![], &Mode::Looking));
        assert_eq!(keys(&mut model, "pq"), [Asked::Quit]);
        assert!(!model.paused);
        keys(&mut model, "\td");
        assert_eq!(press(&mut model, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Asked::Quit);
    }
}
