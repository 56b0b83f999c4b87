//! `[database]`: what names a table, what its rows mean, and what is said of them.

use super::*;
use crate::config::database::{DatabasePlace, DatabaseTable};
use crate::config::table::Row;
use std::cell::RefCell;

const URL: &str = "[database]\nurl = \"postgres://kamailio:secret@db.example/kamailio\"\n";
const TABLE: &str = "table dispatcher of postgres://db.example:5432/kamailio";

fn row(cells: [&str; 6]) -> Row {
    let cell = |index: usize| (cells[index] != "NULL").then(|| cells[index].to_owned());
    Row { id: cell(0), set: cell(1), destination: cell(2), flags: cell(3), priority: cell(4), attrs: cell(5) }
}

fn read_with(text: &str, answer: &dyn Fn(&DatabaseTable) -> Result<Vec<Row>, String>) -> Result<Config, Problems> {
    let file = |path: &Path| match path.to_str() {
        Some("/etc/siplane/database.url") => Ok(b"mysql://kamailio:se%40cret@192.0.2.1/kamailio\n".to_vec()),
        Some("beside/list") => Ok(LIST.into()),
        _ => Err(String::from("no such file")),
    };
    parse_with(&format!("{LISTEN}{text}"), "beside/f", Outside { file: &file, table: answer })
}

fn read(text: &str, rows: &[[&str; 6]]) -> Result<Config, Problems> {
    read_with(text, &|_| Ok(rows.iter().copied().map(row).collect()))
}

/// All problems, one per line.
fn told(text: &str, rows: &[[&str; 6]]) -> String {
    match read(text, rows) {
        Ok(config) => config.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

/// How the table of `text` is described, and reached.
fn asked(text: &str) -> (String, bool) {
    let asked = RefCell::default();
    let _ = read_with(text, &|table| {
        let is_file = matches!(table.place, DatabasePlace::Sqlite(_));
        *asked.borrow_mut() = (table.to_string(), is_file);
        Err(String::from("not now"))
    });
    asked.into_inner()
}

#[test]
fn rows_mean_what_lines_of_a_list_mean_in_the_order_of_their_ids() {
    let rows = [
        ["1", "2", "sip:127.0.0.11:5060", "0", "0", ""],
        ["2", "2", "127.0.0.12:5070", "8", "7", "duid=a;weight=100;maxload=9"],
        ["5", "1", "sip:127.0.0.13", "1", "-3", "NULL"],
        ["6", "1", "sip:127.0.0.14", "NULL", "NULL", "x=y z"],
    ];
    let text = format!("{URL}[prober]\ninterval_ms = 1000\n[[set]]\nid = 1\nname = \"a\"\nalgorithm = \"priority\"\n");
    let from_table = read(&text, &rows).unwrap();
    assert_eq!(from_table.database.as_deref(), Some(TABLE));
    let list = "2 sip:127.0.0.11:5060\n2 127.0.0.12:5070 8 7 duid=a;weight=100;maxload=9\n1 sip:127.0.0.13 1 0\n1 sip:127.0.0.14\n";
    let text = format!("{LISTEN}dispatcher_list = \"l\"\n{}", text.strip_prefix(URL).unwrap());
    let mut from_list = parse_beside_list(&text, list).unwrap();
    // What a list cannot say.
    from_list.sets[0].destinations[0].priority = -3;
    from_list.sets[0].destinations[1].attrs = String::from("x=y z");
    assert_eq!(from_table.sets, from_list.sets);
    let ids: Vec<_> = from_table.sets.iter().map(|set| (set.id.0, set.name.as_str())).collect();
    assert_eq!(ids, [(1, "a"), (2, "")]);
}

#[test]
fn a_row_that_cannot_be_used_is_left_out_and_told_with_its_id_and_the_columns_own_name() {
    let rows = [
        ["7", "1", "sip:127.0.0.11", "0", "0", "weight=200"],
        ["8", "1", "bridge-1:5060", "0", "0", ""],
        ["9", "-1", "sip:127.0.0.12", "0", "0", ""],
        ["10", "NULL", "sip:127.0.0.12", "0", "0", ""],
        ["11", "1", "sip:127.0.0.13", "-1", "0", ""],
        ["12", "1", "sip:127.0.0.14", "0", "high", ""],
        ["13", "1", "sip:127.0.0.15", "64", "0", "a=\"b"],
        ["14", "3", "NULL", "0", "0", ""],
    ];
    let text = format!("{URL}flags_col = \"bits\"\nattrs_col = \"more\"\n");
    let config = read(&text, &rows).unwrap();
    let told: Vec<_> = config.warnings.iter().map(|problem| problem.to_string().replace(TABLE, "T")).collect();
    let starts = [
        "T: warning: row 7: more.weight: found 200, which Kamailio takes for 0",
        "T: left out: row 8: destination: found \"bridge-1:5060\" with a host name",
        "T: left out: row 9: setid: found \"-1\", allowed: 0 to 4294967295",
        "T: left out: row 10: setid: found NULL, allowed: 0 to 4294967295",
        "T: left out: row 11: bits: found \"-1\", allowed: 0 to 4294967295",
        "T: left out: row 12: priority: found \"high\", allowed: -2147483648 to 2147483647",
        "T: left out: row 13: more: found \"a=\"b\"",
        "T: left out: row 14: destination: found \"\"",
        "T: warning: row 7: more.weight: found weights of set 1 that sum to 200",
        "T: warning: row 14: found set 3 without a line that can be used",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told}\n{start}");
    }
    let sets: Vec<_> = config.sets.iter().map(|set| (set.id.0, set.destinations.len())).collect();
    assert_eq!(sets, [(1, 1), (3, 0)]);
}

#[test]
fn an_empty_table_and_a_set_that_is_not_in_it_are_errors() {
    assert!(told(URL, &[]).contains("set: found none"), "{}", told(URL, &[]));
    let text = format!("{URL}[[set]]\nid = 4\n");
    let expected = format!("beside/f:4: set[0].destinations: found nothing, and nothing in {TABLE}, allowed: a list");
    let told = told(&text, &[["1", "2", "sip:127.0.0.11", "0", "0", ""]]);
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn a_database_that_does_not_answer_is_the_error_and_nothing_is_said_of_its_sets() {
    let text = format!("default_set = 7\n{URL}[[set]]\nid = 4\n");
    let problems = read_with(&text, &|_| Err(String::from("Connection refused"))).unwrap_err();
    let expected = format!(
        "beside/f:4: database.url: found {TABLE}: Connection refused, allowed: a table that can be read, version 4 of Kamailio's \
         dispatcher"
    );
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn urls_name_a_file_or_a_server_and_no_user_or_password_is_told() {
    for (url, described) in [
        ("sqlite:///etc/siplane/d.db", "sqlite:/etc/siplane/d.db"),
        ("sqlite:////etc/siplane/d.db", "sqlite:/etc/siplane/d.db"),
        ("sqlite:/etc/siplane/d.db", "sqlite:/etc/siplane/d.db"),
        ("sqlite://d.db", "sqlite:beside/d.db"),
        ("postgres://u:secret@db.example/k", "postgres://db.example:5432/k"),
        ("postgresql://u:secret@[2001:db8::1]:5433/k?sslmode=require", "postgres://[2001:db8::1]:5433/k"),
        ("postgres://u:secret@db.example/k?host=/run/postgresql", "postgres:/run/postgresql/k"),
        ("mysql://u:secret@db.example/k", "mysql://db.example:3306/k"),
        ("mariadb://u:secret@192.0.2.1:3307/k", "mysql://192.0.2.1:3307/k"),
        ("mysql://u:secret@localhost/k?socket=/run/mysqld/mysqld.sock", "mysql:/run/mysqld/mysqld.sock/k"),
    ] {
        let (told, is_file) = asked(&format!("[database]\nurl = \"{url}\"\n"));
        assert_eq!(told, format!("table dispatcher of {described}"), "{url}");
        assert_eq!(is_file, url.starts_with("sqlite"), "{url}");
    }
    let in_file = asked("[database]\nurl_file = \"/etc/siplane/database.url\"\ntable = \"sip.gateways\"\n");
    assert_eq!(in_file.0, "table sip.gateways of mysql://192.0.2.1:3306/kamailio");
}

#[test]
fn what_is_no_url_is_refused_without_being_told() {
    for url in [
        "oracle://u:secret@h/k",
        "secret",
        "sqlite://",
        "sqlite:///d.db?password=secret",
        "postgres://u:sec/secret@h/k",
        "postgres://u:12/secret@h/k",
        "mysql://u:12/secret@h/k",
        "mysql://u:sec#secret@h/k",
    ] {
        let told = told(&format!("[database]\nurl = \"{url}\"\n"), &[]);
        assert!(told.starts_with("beside/f:3: database.url: found "), "{url}: {told}");
        assert!(!told.contains("secret"), "{url}: {told}");
    }
}

#[test]
fn other_things_that_are_wrong_are_told() {
    let database = |text: &str| told(&format!("[database]\n{text}\n"), &[["1", "1", "sip:127.0.0.11", "0", "0", ""]]);
    let url = "url = \"sqlite://d\"";
    assert_eq!(database(url), "");
    assert!(database("").starts_with("beside/f:2: database.url: found neither url nor url_file, allowed: sqlite://"));
    assert!(database(&format!("{url}\nurl_file = \"x\"")).contains("url_file: found url and url_file, allowed: one"));
    assert!(database("url = 5").contains("database.url: found no text"));
    assert!(database("url_file = \"x\"").contains("database.url_file: found beside/x: no such file"));
    for (key, name) in [("table", "a;b"), ("table", "a.b.c"), ("table", ""), ("flags_col", "a.b"), ("attrs_col", "1a")]
    {
        let told = database(&format!("{url}\n{key} = \"{name}\""));
        assert!(told.starts_with(&format!("beside/f:4: database.{key}: found \"{name}\", allowed: a name")), "{told}");
    }
    assert!(database(&format!("{url}\ntimeout_s = 0")).contains("timeout_s: found 0, allowed: 1 to 300"));
    assert!(database(&format!("{url}\ntabel = \"x\"")).contains("(did you mean \"table\"?)"));
    let both = told(
        &format!("dispatcher_list = \"list\"\n[database]\n{url}\n"),
        &[["1", "1", "sip:127.0.0.11", "0", "0", ""]],
    );
    assert!(
        both.starts_with("beside/f:2: dispatcher_list: found dispatcher_list and [database], allowed: one"),
        "{both}"
    );
}

#[test]
fn the_built_in_file_shows_every_key_of_it() {
    let shown: Vec<&str> =
        BUILT_IN.lines().filter_map(|line| line.strip_prefix("#  ")).filter(|line| !line.starts_with(' ')).collect();
    let unknown = told("[database]\nzzz = 1\n", &[]);
    let line = unknown.lines().find(|line| line.contains("an unknown key")).unwrap();
    let keys: Vec<&str> = line.split("allowed: ").nth(1).unwrap().split(", ").collect();
    let told: Vec<&str> = shown[1..].iter().map(|line| line.split(" = ").next().unwrap()).collect();
    assert_eq!(told, keys);
    // The two exclude each other.
    let text: String =
        shown.iter().filter(|line| !line.starts_with("url_file")).map(|line| format!("{line}\n")).collect();
    let defaults = "[database]\nurl = \"sqlite:///etc/siplane/dispatcher.db\"\n";
    let rows = [["1", "1", "sip:127.0.0.11", "0", "0", ""]];
    assert_eq!(read(&text, &rows), read(defaults, &rows));
    assert_eq!(asked(&text), asked(defaults));
}
