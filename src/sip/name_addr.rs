//! name-addr and addr-spec (RFC 3261 §25.1): From, To, Contact, Route, Record-Route.

use super::Span;
use super::cursor::{Cursor, Malformed};

/// One value: a URI, perhaps with a display name before it and parameters behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NameAddr {
    /// The whole value, up to a comma or the end of the field.
    pub value: Span,
    /// The URI without angle brackets.
    pub uri: Span,
    /// The value of the header parameter `tag`; unset without one.
    pub tag: Span,
    /// Whether another value follows in the same field, and where it begins.
    pub next: Option<u32>,
}

impl NameAddr {
    /// The first value of `field`; `None` when it is none.
    #[must_use]
    pub fn parse(bytes: &[u8], field: Span) -> Option<Self> {
        Self::read(bytes, field).ok()
    }

    /// The one value of `field`, of a header that has only one.
    #[must_use]
    pub fn whole(bytes: &[u8], field: Span) -> Option<Self> {
        Self::parse(bytes, field).filter(|name_addr| name_addr.next.is_none())
    }

    fn read(bytes: &[u8], field: Span) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes, field);
        cursor.skip_lws();
        let uri = uri(&mut cursor)?;
        let mut name_addr = Self { uri, ..Self::default() };
        let mut end = cursor.at;
        while let Some(param) = cursor.param()? {
            end = cursor.at;
            let name = param.name.of(bytes);
            if name == b"tag" || name.eq_ignore_ascii_case(b"tag") {
                let tag = param.value.ok_or(Malformed)?;
                // RFC 3261 §7.3.1: no parameter twice; some take the first of two, some the last. §25.1: a tag is not in quotes,
                // which some take away.
                if name_addr.tag.is_set() || bytes.get(tag.start as usize) == Some(&b'"') {
                    return Err(Malformed);
                }
                name_addr.tag = tag;
            }
        }
        name_addr.value = Span::new(field.start as usize, end);
        if cursor.eat(b',') {
            cursor.skip_lws();
            name_addr.next = Some(cursor.at as u32);
        }
        Ok(name_addr)
    }
}

/// The URI, with the cursor behind it and its closing bracket.
fn uri(cursor: &mut Cursor<'_>) -> Result<Span, Malformed> {
    if cursor.peek() == Some(b'"') {
        cursor.quoted()?;
        cursor.skip_lws();
        return if cursor.peek() == Some(b'<') { bracketed(cursor) } else { Err(Malformed) };
    }
    let start = cursor.at;
    cursor.until(|b| matches!(b, b'<' | b';' | b',' | b'"' | b'>'));
    match cursor.peek() {
        Some(b'<') => return bracketed(cursor),
        Some(b'"' | b'>') => return Err(Malformed),
        _ => {}
    }
    // addr-spec without brackets: RFC 3261 §20: what follows a semicolon are header parameters, not the URI's.
    let text = cursor.bytes[start..cursor.at].trim_ascii_end();
    if text.is_empty() || text.iter().any(|b| b.is_ascii_whitespace()) {
        return Err(Malformed);
    }
    Ok(Span::new(start, start + text.len()))
}

fn bracketed(cursor: &mut Cursor<'_>) -> Result<Span, Malformed> {
    cursor.at += 1;
    cursor.skip_lws();
    let inside = Span::new(cursor.at, cursor.find(b'>'));
    if inside.end as usize >= cursor.end {
        return Err(Malformed);
    }
    cursor.at = inside.end as usize + 1;
    let text = inside.of(cursor.bytes).trim_ascii_end();
    if text.is_empty() {
        Err(Malformed)
    } else {
        Ok(Span::new(inside.start as usize, inside.start as usize + text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(&str, &str)> {
        let name_addr = NameAddr::whole(text.as_bytes(), Span::new(0, text.len()))?;
        let part = |span: Span| &text[span.start as usize..span.end as usize];
        Some((part(name_addr.uri), part(name_addr.tag)))
    }

    // RFC 3261 §20: without angle brackets, parameters are the header's.
    #[test]
    fn all_shapes_of_from_and_to_are_read() {
        assert_eq!(read("<sip:a@b;x=1>;tag=9"), Some(("sip:a@b;x=1", "9")));
        assert_eq!(read("sip:a@b;tag=9"), Some(("sip:a@b", "9")));
        assert_eq!(read("\"J \\\" <x>;tag=no\" <sip:a@b>\r\n ; tag\t= 9;y"), Some(("sip:a@b", "9")));
        assert_eq!(read("J Rosenberg<sip:a@b>"), Some(("sip:a@b", "")));
        assert_eq!(read("caller<sip:caller@example.com>;tag=323"), Some(("sip:caller@example.com", "323")));
    }

    #[test]
    fn what_is_no_name_addr_is_refused() {
        for text in [
            "",
            "\"open <sip:a@b>",
            "<sip:a@b",
            "<>",
            "sip:a b@c",
            "\"x\" sip:a@b",
            "<sip:a>;tag",
            "<sip:a>;tag=1;tag=2",
            "<sip:a>;tag=\"1\"",
            "<sip:a>;tag=1\x0b",
            "<sip:a>;tag\x0c=1",
            "sip:a;tag=1;x;TAG=1",
            "<sip:a>, <sip:b>",
            "<sip:a> x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
