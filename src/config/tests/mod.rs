//! What the tests share: the parts that every file needs, and all problems of a text as text.

mod control;
mod database;
mod list;
mod log;
mod process;
mod report;
mod sets;
mod shipped;
mod sockets;

use super::*;

/// What every file needs, on lines 1 to 4; a test's own text comes between or behind.
const LISTEN: &str = "listen = [\"udp:127.0.0.1:5060\"]\n";
const SET: &str = "[[set]]\nid = 1\ndestinations = [\"sip:127.0.0.11\"]\n";

/// Any list file that a text names.
const LIST: &str = "2 sip:127.0.0.21:5060 0 0 duid=a\n2 sip:127.0.0.22:5060\n";

fn parse_beside_list(text: &str, list: &str) -> Result<Config, Problems> {
    let file = |_: &Path| Ok(list.as_bytes().to_vec());
    parse_with(text, "f", Outside { file: &file, table: &|_| Ok(Vec::new()) })
}

fn config(text: &str) -> Config {
    parse_beside_list(text, LIST).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// All problems of `text`, one per line.
fn problems(text: &str) -> String {
    match parse(text, "f") {
        Ok(config) => config.warnings.to_string(),
        Err(problems) => {
            assert!(problems.has_errors());
            problems.to_string()
        }
    }
}

/// `text` above the one set; it starts on line 2.
fn root_problems(text: &str) -> String {
    problems(&format!("{LISTEN}{text}\n{SET}"))
}

/// `text` in the one set; it starts on line 5.
fn set_problems(text: &str) -> String {
    problems(&format!("{LISTEN}{SET}{text}\n"))
}

/// A list of destinations in place of the one; it is on line 4.
fn destination_problems(list: &str) -> String {
    problems(&format!("{LISTEN}[[set]]\nid = 1\ndestinations = {list}\n"))
}
