//! Any result for people: members one to a line, lists of alike objects as a table.

use super::table::{Cell, Table};
use serde_json::{Map, Value as Json};

/// A text on one line for a value without parts; none for one with parts.
pub(super) fn plain(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some(String::from("-")),
        Json::String(text) => Some(text.clone()),
        Json::Bool(true) => Some(String::from("yes")),
        Json::Bool(false) => Some(String::from("no")),
        Json::Number(number) => Some(number.to_string()),
        Json::Array(values) if values.is_empty() => Some(String::from("none")),
        Json::Object(members) if members.is_empty() => Some(String::from("none")),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// The text of `value`.
pub(super) fn text(value: &Json, colour: bool) -> String {
    let mut out = String::new();
    write(&mut out, value, "", colour);
    out
}

fn write(out: &mut String, value: &Json, indent: &str, colour: bool) {
    match value {
        Json::Object(members) if !members.is_empty() => object(out, members, indent, colour),
        Json::Array(values) if !values.is_empty() => array(out, values, indent, colour),
        other => {
            // Texts may have lines of their own.
            for line in plain(other).unwrap_or_default().lines() {
                *out += &format!("{indent}{}\n", line.replace(|c: char| c.is_control() && c != '\t', " "));
            }
        }
    }
}

fn object(out: &mut String, members: &Map<String, Json>, indent: &str, colour: bool) {
    let width = members.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let deeper = format!("{indent}  ");
    for (name, value) in members {
        match plain(value) {
            Some(text) if !text.contains('\n') => {
                let text = text.replace(char::is_control, " ");
                *out += &format!("{indent}{name:width$}  {text}\n");
            }
            _ => {
                *out += &format!("{indent}{name}\n");
                write(out, value, &deeper, colour);
            }
        }
    }
}

fn array(out: &mut String, values: &[Json], indent: &str, colour: bool) {
    if let Some(table) = table(values) {
        *out += &table.text(indent, colour);
        return;
    }
    let deeper = format!("{indent}  ");
    for (index, value) in values.iter().enumerate() {
        if plain(value).is_some() {
            write(out, value, indent, colour);
        } else {
            *out += &format!("{indent}{}:\n", index + 1);
            write(out, value, &deeper, colour);
        }
    }
}

/// A table, if all are objects whose members have no parts.
fn table(values: &[Json]) -> Option<Table> {
    let objects: Option<Vec<&Map<String, Json>>> = values.iter().map(Json::as_object).collect();
    let objects = objects.filter(|all| all.iter().all(|one| one.values().all(|value| plain(value).is_some())))?;
    let mut names: Vec<&String> = Vec::new();
    for name in objects.iter().flat_map(|one| one.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut table = Table::new(names.iter().map(|name| name.to_uppercase()));
    for one in objects {
        table.row(names.iter().map(|name| Cell::new(one.get(*name).and_then(plain).unwrap_or_default())).collect());
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_stand_one_to_a_line_and_alike_objects_in_a_table() {
        let value = json!({
            "uri": "sip:a", "calls": 3, "available": true, "socket": null,
            "counters": { "selected": 10, "failed": 0 },
            "tags": ["x", "y"],
            "rows": [{ "id": 1, "name": "one" }, { "id": 20, "name": "two", "more": 1 }],
            "none": [],
        });
        let expected = "uri        sip:a\ncalls      3\navailable  yes\nsocket     -\ncounters\n  selected  10\n  failed    0\n\
                        tags\n  x\n  y\nrows\n  ID  NAME  MORE\n   1  one\n  20  two      1\nnone       none\n";
        assert_eq!(text(&value, false), expected);
    }

    #[test]
    fn a_text_is_itself_line_by_line() {
        assert_eq!(text(&json!("one\ntwo"), false), "one\ntwo\n");
        assert_eq!(text(&json!([[1, 2], "x"]), false), "1:\n  1\n  2\nx\n");
    }
}
