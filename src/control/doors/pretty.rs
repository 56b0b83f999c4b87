//! JSON as Kamailio writes it: a member to a line, tabs in front of it and behind its name.

use serde_json::Value as Json;

/// The document.
pub(super) fn document(json: &Json) -> String {
    let mut out = String::new();
    write(&mut out, json, 0);
    out
}

fn write(out: &mut String, json: &Json, depth: usize) {
    match json {
        Json::Object(members) => {
            out.push_str("{\n");
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push_str(",\n");
                }
                tabs(out, depth + 1);
                out.push_str(&Json::from(name.as_str()).to_string());
                out.push_str(":\t");
                write(out, value, depth + 1);
            }
            if !members.is_empty() {
                out.push('\n');
            }
            tabs(out, depth);
            out.push('}');
        }
        Json::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(out, value, depth + 1);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn tabs(out: &mut String, count: usize) {
    out.extend(core::iter::repeat_n('\t', count));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Kamailio 5.6.3 wrote for dispatcher.list, without some of its members.
    #[test]
    fn the_layout_is_that_of_kamailio() {
        let written = "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t\t\"NRSETS\":\t2,\n\t\t\"RECORDS\":\t[{\n\t\t\t\t\"SET\":\t{\n\
                       \t\t\t\t\t\"ID\":\t2,\n\t\t\t\t\t\"TARGETS\":\t[{\n\t\t\t\t\t\t\t\"DEST\":\t{\n\t\t\t\t\t\t\t\t\"SOCKET\":\tnull\n\
                       \t\t\t\t\t\t\t}\n\t\t\t\t\t\t}]\n\t\t\t\t}\n\t\t\t}, {\n\t\t\t\t\"SET\":\t{\n\t\t\t\t}\n\
                       \t\t\t}]\n\t},\n\t\"id\":\t1\n}";
        assert_eq!(document(&serde_json::from_str(written).unwrap()), written);
        assert_eq!(document(&serde_json::json!([1, "b\u{1}\"", []])), "[1, \"b\\u0001\\\"\", []]");
    }
}
