//! Frames of a model that stays the same.

use super::*;
use crate::cli::top::model::{Pane, Verb, Wish};
use crate::cli::top::overview::Set;
use crate::cli::top::sample::{destination, model, overview};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn frame(model: &Model, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

/// How the cell looks where `text` begins first.
fn style_of(buffer: &Buffer, text: &str) -> Style {
    let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let found = (0..buffer.area.height).find_map(|y| Some((line(y).find(text)? as u16, y)));
    buffer[found.unwrap_or_else(|| panic!("{text:?} in\n{}", lines(buffer)))].style()
}

#[test]
fn a_narrow_frame_has_what_matters_most() {
    let mut model = model();
    model.pane = Pane::Destinations;
    let expected = "\
siplane 0.1.0  up 1h01m  by load  ready
calls/s 10.0  answered 0  failed 0  failovers 0  dialogs 30  lost 6  drift 0
  SET NAME                         AVAILABLE                 LOAD CALLS/S FAIL/S
- all                                    2/3                   30    10.5    0.5
    1 bridges                            1/2 [||||||||||   23/40]    10.5    0.5
    2 spare                              1/1                    7       0      0
  SET DESTINATION            STATE             LOAD CALLS/S FAIL/S  PROBE   RESP
>   1 192.0.2.12:5060        inactive [||||||19/20]     0.5    0.5      -      -
    2 192.0.2.13:5060        draining             7       0      0      -      -
    1 192.0.2.11:5060        active   [||     4/20]    10.0      0   1.25   30.0








SHARD  MSGS IN/S     OUT/S   CALLS/S TRANSACTIONS   DIALOGS      LOST   LOST/S
    0       50.0         0       5.0            0        15         3        0
    1       50.0         0       5.0            0        15         3        0
EVENTS
15:04:05  down               set 1 bridges  sip:192.0.2.12:5060 (gw2)
tab  s sort  / filter  d drain  e enable  x disable  p pause  ? help  q quit
";
    assert_eq!(lines(&frame(&model, 80, 24)), expected);
}

#[test]
fn a_wide_frame_has_everything_and_tells_it_in_colours_too() {
    let buffer = frame(&model(), 170, 30);
    let text = lines(&buffer);
    let words = |begin: &str| {
        let line = text.lines().find(|line| line.contains(begin)).unwrap_or_else(|| panic!("{begin:?} in\n{text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words("DUID"), "SET DUID DESTINATION STATE ADMIN LOAD CALLS/S ANSW/S FAIL/S FAILOV/S PROBE RESP WHY");
    let gw1 = "1 gw1 sip:192.0.2.11:5060 active enabled [|||| 4/20] 10.0 10.0 0 0 1.25 30.0 start";
    assert_eq!(words("sip:192.0.2.11"), gw1);
    assert_eq!(words("2 -"), "2 - sip:192.0.2.13:5060 active draining 7 0 0 0 0 - - start");
    assert_eq!(words("MSGS IN/S"), "SHARD MSGS IN/S OUT/S CALLS/S TRANSACTIONS DIALOGS LOST LOST/S");
    assert!(
        text.contains("    1       50.0         0       5.0            0        15         3        0\n"),
        "{text}"
    );
    let colours = ["inactive", "active   enabled", "draining", "down"].map(|text| style_of(&buffer, text).fg);
    assert_eq!(colours, [Color::Red, Color::Green, Color::Yellow, Color::Red].map(Some));
    assert!(style_of(&buffer, "1 gw2").add_modifier.contains(Modifier::DIM));
}

#[test]
fn what_is_asked_and_told_has_the_last_line() {
    let foot = |model: &Model| lines(&frame(model, 100, 24)).lines().last().unwrap().to_owned();
    let whom = String::from("sip:192.0.2.12:5060 (gw2) of set 1");
    let wish = Wish { verb: Verb::Drain, key: (1, String::from("gw2")), whom };
    let asked = Model { mode: Mode::Confirming(wish), ..model() };
    assert_eq!(foot(&asked), "drain sip:192.0.2.12:5060 (gw2) of set 1, 19 calls? y/n");
    assert_eq!(foot(&Model { mode: Mode::Filtering, filter: String::from("gw"), ..model() }), "filter: gw_");
    assert_eq!(foot(&model()), KEYS);
}

#[test]
fn how_it_stands_with_siplane_has_the_first_line() {
    let head = |model: &Model| lines(&frame(model, 80, 24)).lines().next().unwrap().to_owned();
    let lost = Model { connection: Connection::Lost(String::from("gone")), paused: true, ..model() };
    assert_eq!(head(&lost), "siplane 0.1.0  PAUSED  up 1h01m  by load  NOT CONNECTED, trying again: gone");
    let silent = Model { silent_s: Some(61), filter: String::from("gw"), ..model() };
    assert_eq!(head(&silent), "siplane 0.1.0  up 1h01m  by load  only \"gw\"  NO ANSWER FOR 1m01s");
    let mut waiting = model();
    waiting.overview.not_ready = Some(String::from("it drains"));
    assert!(head(&waiting).ends_with("NOT READY: it drains"));
}

#[test]
fn a_siplane_without_events_is_said_to_have_none() {
    let text = lines(&frame(&Model { events: Events::NotTold, ..model() }, 80, 24));
    assert!(text.contains("this siplane tells no events\n") && !text.contains("EVENTS"), "{text}");
}

#[test]
fn the_help_is_over_it_all_and_no_terminal_is_too_small() {
    let helping = Model { mode: Mode::Helping, ..model() };
    let text = lines(&frame(&helping, 120, 30));
    assert!(HELP.iter().all(|(_, does)| text.contains(does)), "{text}");
    for (width, height) in [(1, 1), (20, 3), (10, 40), (200, 2)] {
        for model in [&helping, &model(), &Model::default()] {
            frame(model, width, height);
        }
    }
}

#[test]
fn the_selected_line_is_in_sight_and_what_does_not_fit_is_counted() {
    let mut model = model();
    let mut many = overview(104);
    many.destinations = (0..200).map(|number| destination(&format!("gw{number:03}"), number, 0, 0)).collect();
    many.shards = (0..16).map(|number| crate::cli::top::overview::Shard { number, ..many.shards[0] }).collect();
    model.hear(crate::cli::top::link::Said::Overview(Box::new(many)));
    model.pane = Pane::Destinations;
    model.move_by(150);
    let text = lines(&frame(&model, 80, 24));
    assert!(text.contains(">   1 192.0.2.150:5060"), "{text}");
    assert!(text.contains("and 15\n"), "{text}");
    let plain = plain(&model, 80);
    assert_eq!((plain.matches("192.0.2.").count(), plain.contains("and 1")), (201, false), "{plain}");
}

#[test]
fn of_many_sets_the_selected_one_is_in_sight() {
    let mut model = model();
    let mut many = overview(104);
    let set = |number| Set { number, name: format!("set{number}"), ..many.sets[0].clone() };
    many.sets = (0..300).map(set).collect();
    model.hear(crate::cli::top::link::Said::Overview(Box::new(many)));
    model.move_by(151);
    let text = lines(&frame(&model, 80, 24));
    let selected = text.lines().find(|line| line.starts_with('>')).unwrap();
    assert!(selected.contains(" set150 ") && !text.contains(" set151 ") && text.contains(" set149 "), "{text}");
    assert!(plain(&model, 80).contains(" set299 "));
}
