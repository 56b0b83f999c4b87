//! One line of a `dispatcher.list`, read as Kamailio reads it (`ds_load_list` of its dispatcher module).
//!
//! ```text
//! line   := ws* ( '#' any | setid ws+ uri [ ws+ flags [ ws+ priority [ ws+ attrs ]]] [ '#' any ] )
//! setid  := DIGIT*     flags := DIGIT* | '0x' HEX*     priority := DIGIT*
//! uri    := up to white space or '#'                   attrs := up to white space
//! ```
//!
//! A number ends where its digits end, and a column that does not start with a digit is an absent number, which leaves
//! the text to the next column: `1 sip:x weight=10` has no flags, no priority, and attributes.

/// Whether `byte` stands between columns.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What a line is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line<'t> {
    /// Empty, or a comment.
    Nothing,
    /// A set number and no URI, for which Kamailio loads nothing of the file.
    NoUri,
    /// A destination.
    Columns(Columns<'t>),
}

/// The columns of a line; numbers that are too large are the largest of their type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Columns<'t> {
    /// None: no digits, which Kamailio takes for 0.
    pub(super) set: Option<u64>,
    pub(super) uri: &'t str,
    /// The URI ends at a `#` that touches it.
    pub(super) uri_cut: bool,
    pub(super) flags: u64,
    pub(super) priority: i64,
    /// As written.
    pub(super) attrs: &'t str,
    /// What stands behind the attributes, and is ignored.
    pub(super) ignored: &'t str,
}

/// Reads `text`, one line.
pub(super) fn read(text: &str) -> Line<'_> {
    let mut rest = Rest(text);
    if rest.ends() {
        return Line::Nothing;
    }
    let set = rest.digits(10);
    if rest.ends() {
        return Line::NoUri;
    }
    let uri = rest.until(|byte| is_white(byte) || byte == b'#');
    let mut columns = Columns { set, uri, uri_cut: rest.0.starts_with('#'), ..Columns::default() };
    if !rest.ends() {
        columns.flags = rest.flags();
    }
    if !rest.ends() {
        columns.priority = i64::try_from(rest.digits(10).unwrap_or_default()).unwrap_or(i64::MAX);
    }
    if !rest.ends() {
        columns.attrs = rest.until(is_white);
        columns.ignored = if rest.ends() { "" } else { rest.0.trim_end() };
    }
    Line::Columns(columns)
}

/// What is still to be read.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    /// Steps over white space; whether nothing but a comment is left.
    fn ends(&mut self) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
        self.0.is_empty() || self.0.starts_with('#')
    }

    /// What stands before the first such byte, all of them ASCII.
    fn until(&mut self, stop: impl Fn(u8) -> bool) -> &'t str {
        let end = self.0.bytes().position(stop).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    /// A number, if there is a digit.
    fn digits(&mut self, radix: u32) -> Option<u64> {
        let word = self.until(|byte| !char::from(byte).is_digit(radix));
        (!word.is_empty()).then(|| u64::from_str_radix(word, radix).unwrap_or(u64::MAX))
    }

    fn flags(&mut self) -> u64 {
        match self.0.strip_prefix("0x").or_else(|| self.0.strip_prefix("0X")) {
            Some(rest) => {
                self.0 = rest;
                self.digits(16).unwrap_or_default()
            }
            None => self.digits(10).unwrap_or_default(),
        }
    }
}

/// The attributes `name=value;…` of `text`; None where a quoted value has no end.
pub(super) fn attributes(mut text: &str) -> Option<Vec<(&str, &str)>> {
    let mut attributes = Vec::new();
    while !text.is_empty() {
        let name_end = text.find(['=', ';']).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        let (value, rest) = match rest.strip_prefix('=') {
            Some(rest) => value(rest)?,
            None => ("", rest),
        };
        if !name.is_empty() {
            attributes.push((name, value));
        }
        text = match rest.strip_prefix(';') {
            Some(rest) => rest,
            // Only a quoted value can have something else behind it.
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(attributes)
}

/// A value, which quotes may surround, and what is behind it.
fn value(text: &str) -> Option<(&str, &str)> {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split_once(quote),
        _ => Some(text.split_at(text.find(';').unwrap_or(text.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: Columns<'static> =
        Columns { set: Some(1), uri: "sip:x", uri_cut: false, flags: 0, priority: 0, attrs: "", ignored: "" };

    #[test]
    fn a_line_has_the_columns_that_kamailio_finds_in_it() {
        for (text, expected) in [
            ("1 sip:x", X),
            ("\t1\tsip:x \r", X),
            ("1 sip:x#frag 8", Columns { uri_cut: true, ..X }),
            ("1 sip:x # 8", X),
            ("1 sip:x weight=10", Columns { attrs: "weight=10", ..X }),
            ("1 sip:x 8weight=50", Columns { flags: 8, attrs: "weight=50", ..X }),
            ("1 sip:x -1 -5 weight=3", Columns { attrs: "-1", ignored: "-5 weight=3", ..X }),
            ("1 sip:x 0x28 7 a=b", Columns { flags: 0x28, priority: 7, attrs: "a=b", ..X }),
            ("1 sip:x 8 10 a#b=1;c=\"d\" # e", Columns { flags: 8, priority: 10, attrs: "a#b=1;c=\"d\"", ..X }),
            ("1 sip:x 8 10 #a=b", Columns { flags: 8, priority: 10, ..X }),
            ("1 sip:x 8 10 a=\"b c\"", Columns { flags: 8, priority: 10, attrs: "a=\"b", ignored: "c\"", ..X }),
            ("abc sip:x", Columns { set: None, uri: "abc", attrs: "sip:x", ..X }),
            ("-3 sip:x", Columns { set: None, uri: "-3", attrs: "sip:x", ..X }),
            ("99999999999999999999 sip:x", Columns { set: Some(u64::MAX), ..X }),
        ] {
            assert_eq!(read(text), Line::Columns(expected), "{text}");
        }
    }

    #[test]
    fn comments_and_white_space_are_nothing_and_a_set_number_alone_is_no_line() {
        for text in ["", " \t\r", "# 1 sip:x", "  #"] {
            assert_eq!(read(text), Line::Nothing, "{text}");
        }
        for text in ["5", "5 ", "5 # sip:x"] {
            assert_eq!(read(text), Line::NoUri, "{text}");
        }
    }

    #[test]
    fn attributes_are_names_with_values_that_may_be_quoted() {
        for (text, expected) in [
            ("", Some(vec![])),
            ("a=1;b;;c=\"x;y\";d='z'", Some(vec![("a", "1"), ("b", ""), ("c", "x;y"), ("d", "z")])),
            ("a=b=c", Some(vec![("a", "b=c")])),
            ("a=\"b", None),
            ("a=\"b\"c", None),
        ] {
            assert_eq!(attributes(text), expected, "{text}");
        }
    }
}
