//! Header lines one by one, for what the scan does not remember.

use super::cursor::Cursor;
use super::{Message, Span};
use memchr::memchr;

/// One header field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// From its name to behind its line end.
    pub line: Span,
    /// Its name as spelled.
    pub name: Span,
    /// Its value; white space around it is not cut.
    pub value: Span,
}

/// The header fields of a message in order; lines without colon are passed over.
pub fn fields<'a>(message: &Message<'a>) -> impl Iterator<Item = Field> + use<'a> {
    fields_in(message.bytes, Span { start: message.head.headers, end: message.head.headers_end })
}

/// The header fields in a part of a message that begins and ends with whole lines.
pub fn fields_in(bytes: &[u8], part: Span) -> impl Iterator<Item = Field> + use<'_> {
    let (mut at, end) = (part.start as usize, part.end as usize);
    core::iter::from_fn(move || {
        while at < end {
            let start = at;
            at = logical_end(bytes, start, end);
            if let Some(colon) = memchr(b':', &bytes[start..at]) {
                let name = bytes[start..start + colon].trim_ascii_end().len();
                return Some(Field {
                    line: Span::new(start, at),
                    name: Span::new(start, start + name),
                    value: Span::new(start + colon + 1, at),
                });
            }
        }
        None
    })
}

fn logical_end(bytes: &[u8], start: usize, end: usize) -> usize {
    let mut at = start;
    loop {
        at = memchr(b'\n', &bytes[at..end]).map_or(end, |lf| at + lf + 1);
        if at >= end || !matches!(bytes[at], b' ' | b'\t') {
            return at;
        }
    }
}

/// Compact forms and the names they stand for (RFC 3261 §7.3.3 and the IANA registry).
const COMPACT: [(u8, &str); 19] = [
    (b'a', "accept-contact"),
    (b'b', "referred-by"),
    (b'c', "content-type"),
    (b'd', "request-disposition"),
    (b'e', "content-encoding"),
    (b'f', "from"),
    (b'i', "call-id"),
    (b'j', "reject-contact"),
    (b'k', "supported"),
    (b'l', "content-length"),
    (b'm', "contact"),
    (b'n', "identity-info"),
    (b'o', "event"),
    (b'r', "refer-to"),
    (b's', "subject"),
    (b't', "to"),
    (b'u', "allow-events"),
    (b'v', "via"),
    (b'x', "session-expires"),
];

/// Whether the header spelled `name` is the one whose long name is `long`: case is ignored, compact forms count.
#[must_use]
pub fn header_is(name: &[u8], long: &[u8]) -> bool {
    if let [letter] = name {
        return COMPACT
            .iter()
            .any(|(c, full)| *c == letter.to_ascii_lowercase() && full.as_bytes().eq_ignore_ascii_case(long))
            || name.eq_ignore_ascii_case(long);
    }
    name.eq_ignore_ascii_case(long)
}

/// The comma-separated values of a header value (RFC 3261 §7.3.1); commas in quotes and angle brackets do not count.
pub fn values(bytes: &[u8], value: Span) -> impl Iterator<Item = Span> + use<'_> {
    let mut cursor = Cursor::new(bytes, value);
    let mut more = true;
    core::iter::from_fn(move || {
        if !more {
            return None;
        }
        cursor.skip_lws();
        let start = cursor.at;
        let end = value_end(&mut cursor);
        more = cursor.eat(b',');
        let text = bytes[start..end].trim_ascii_end().len();
        Some(Span::new(start, start + text))
    })
}

fn value_end(cursor: &mut Cursor<'_>) -> usize {
    let mut angle = false;
    while let Some(byte) = cursor.peek() {
        match byte {
            b'"' if !angle => {
                if cursor.quoted().is_err() {
                    cursor.at = cursor.end;
                }
                continue;
            }
            b',' if !angle => break,
            b'<' => angle = true,
            b'>' => angle = false,
            _ => {}
        }
        cursor.at += 1;
    }
    cursor.at
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    #[test]
    fn commas_in_quotes_and_angle_brackets_do_not_split_values() {
        let text = br#"<sip:a,b@c>;x=1 , "q,\",<" <sip:d>,sip:e"#;
        let got: Vec<_> = values(text, Span::new(0, text.len())).map(|span| span.of(text)).collect();
        assert_eq!(got, [&b"<sip:a,b@c>;x=1"[..], br#""q,\",<" <sip:d>"#, b"sip:e"]);
    }

    #[test]
    fn fields_come_in_order_with_their_continuation_lines() {
        let message = scan(b"X a SIP/2.0\r\nA: 1\r\n b\r\nnone\r\nB :2\r\n\r\n");
        let got: Vec<_> = fields(&message).map(|f| (message.text(f.name), message.text(f.line))).collect();
        assert_eq!(got, [(&b"A"[..], &b"A: 1\r\n b\r\n"[..]), (b"B", b"B :2\r\n")]);
    }

    #[test]
    fn compact_names_are_their_long_names() {
        assert!(header_is(b"V", b"via") && header_is(b"x", b"Session-Expires") && header_is(b"SUBJECT", b"subject"));
        assert!(!header_is(b"v", b"vary"));
    }
}
