//! The terminal, taken and given back.

use super::model::Model;
use super::view;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::{Terminal, backend::CrosstermBackend};
use std::io::{self, Stdout};

/// The terminal with another screen than the shell's, without echo and lines. Dropped, it is as before; and before a panic is told, too:
/// a panic may end the program without drops.
#[derive(Debug)]
pub(super) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            told(panic);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        // From here on a failure is one after which there is something to give back.
        let screen = Self(terminal);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }

    /// Draws a frame.
    pub(super) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.0.draw(|frame| view::draw(model, frame.area(), frame.buffer_mut())).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Where the terminal is gone there is nothing to give back.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Not for itself: what the other one looks at.
    #[test]
    #[ignore = "it panics in a terminal of its own, for the test below"]
    fn panics() {
        let mut screen = Screen::open().unwrap();
        screen.draw(&Model::default()).unwrap();
        panic!("on purpose");
    }

    #[test]
    fn a_panic_is_told_in_a_terminal_that_is_as_before() {
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/control/terminal.py");
        let steps = r#"[["see", "on purpose"], ["ends", 101]]"#;
        let mut command = Command::new("python3");
        command.args([driver, "80x24", steps]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::top::screen::tests::panics", "--ignored", "--nocapture"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
