//! The way back to who sent a message (RFC 3261 §12.1): its Contact and its Record-Routes, without a scan. They stand anywhere in the
//! head, and a look at how each line begins finds them for less than what all names would cost.

use super::known::{LineStarts, Name};
use super::masks::find_byte;
use super::{NameAddr, Span};
use smallvec::SmallVec;

/// What a message says of the way to who sent it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Way<'a> {
    /// The URI of its first Contact; empty without one that can be read.
    pub contact: &'a [u8],
    /// The values of its Record-Routes, in order; one of several that cannot be read ends its header.
    pub record_routes: SmallVec<[&'a [u8]; 8]>,
    has_contact: bool,
}

impl<'a> Way<'a> {
    /// The way back to who sent the message `bytes`.
    #[must_use]
    pub fn back(bytes: &'a [u8]) -> Self {
        let mut way = Self::default();
        for (line, first) in LineStarts::new(bytes) {
            if matches!(first, b'C' | b'M' | b'R' | b'c' | b'm' | b'r') && may_be_of_way(&bytes[line..]) {
                way.take(bytes, line);
            }
        }
        way
    }

    /// Takes what the line at `line` says.
    #[inline(never)]
    fn take(&mut self, bytes: &'a [u8], line: usize) {
        let end = line_end(bytes, line);
        let Some(name) = Name::plain(bytes, line, end).or_else(|| Name::read(bytes, line, end)) else { return };
        let value = Span::new(name.colon + 1, end);
        if name.is_contact() && !self.has_contact {
            (self.contact, self.has_contact) = (uri_of(bytes, value), true);
        } else if name.is_record_route() && find_byte(bytes, name.colon, end, b',') == end {
            let value = value.of(bytes).trim_ascii();
            self.record_routes.extend((!value.is_empty()).then_some(value));
        } else if name.is_record_route() {
            self.record_routes.extend(route_values(bytes, value));
        }
    }
}

/// Whether a line that begins with one of their letters may be a Contact or a Record-Route: by another byte of its name.
#[inline]
const fn may_be_of_way(line: &[u8]) -> bool {
    matches!(
        line,
        [b'C' | b'c', _, _, _, b'a' | b'A', ..]
            | [b'R' | b'r', _, b'c' | b'C', ..]
            | [b'M' | b'm', b':' | b' ' | b'\t', ..]
    )
}

/// The values of one Route or Record-Route; one that cannot be read ends them.
pub fn route_values(bytes: &[u8], field: Span) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    core::iter::from_fn(move || {
        let value = NameAddr::parse(bytes, rest?)?;
        rest = value.next.map(|next| Span { start: next, end: field.end });
        Some(value.value.of(bytes).trim_ascii())
    })
}

/// Where the line ends, those that continue it included (RFC 3261 §7.3.1).
fn line_end(bytes: &[u8], line: usize) -> usize {
    let mut end = find_byte(bytes, line, bytes.len(), b'\n');
    while let Some(b' ' | b'\t') = bytes.get(end + 1) {
        end = find_byte(bytes, end + 1, bytes.len(), b'\n');
    }
    end
}

/// The URI of the first of some values, most of which begin with it.
fn uri_of(bytes: &[u8], value: Span) -> &[u8] {
    let (start, end) = (value.start as usize + 1, value.end as usize);
    let close = find_byte(bytes, start, end, b'>');
    match bytes.get(start..close) {
        Some([b'<', uri @ ..]) if close < end => uri.trim_ascii(),
        _ => NameAddr::parse(bytes, value).map_or(b"", |first| first.uri.of(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(lines: &str) -> (String, Vec<String>) {
        let text = format!(
            "\r\n\r\nX y SIP/2.0\r\nMax-Forwards: 70\r\n{lines}Content-Length: 1\r\nRequire: x\r\n\r\nContact: body"
        );
        let way = Way::back(text.as_bytes());
        let shown = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        (shown(way.contact), way.record_routes.iter().map(|value| shown(value)).collect())
    }

    #[test]
    fn contact_and_record_routes_are_found_in_every_spelling() {
        // RFC 3261 §7.3.1, §7.3.3, §20.10, §20.30
        for contact in [
            "Contact: <sip:a@b;x=1>;q=1",
            "CONTACT:<sip:a@b;x=1>",
            "m: < sip:a@b;x=1 >",
            "M :\r\n <sip:a@b;x=1>\r\n\t;q=1",
            "contact \t: \"A, <c>\" <sip:a@b;x=1>, <sip:no>",
            "Contact: <sip:a@b;x=1>\r\nContact: <sip:no>",
            "Contact: <sip:a@b;x=1>\r\nm: <sip:no>",
        ] {
            assert_eq!(way(&format!("{contact}\r\n")), ("sip:a@b;x=1".into(), vec![]), "{contact}");
        }
        for routes in [
            "Record-Route: <sip:a;lr>, <sip:b;lr>\r\nrecord-route : <sip:c,d;lr>\r\n",
            "Record-Route: <sip:a;lr>\r\nVia: x\r\nRECORD-ROUTE:<sip:b;lr> ,<sip:c,d;lr>\r\n",
            "Record-Route:\r\n <sip:a;lr>\r\n ,\r\n\t<sip:b;lr>\r\nRecord-Route: <sip:c,d;lr>,\r\n",
        ] {
            let values = ["<sip:a;lr>", "<sip:b;lr>", "<sip:c,d;lr>"].map(String::from);
            assert_eq!(way(routes), (String::new(), values.to_vec()), "{routes}");
        }
    }

    #[test]
    fn what_is_like_them_is_none_of_them() {
        for lines in [
            "",
            "Contacts: <sip:a>\r\nX-Contact: <sip:a>\r\nConTact\r\nRecord-Routes: <sip:a>\r\nm\r\nMIME-Version: 1.0\r\n",
            "Contact:\r\nRecord-Route: , \r\nRecord-Route: \r\nReceived-By: x\r\n",
            "Contact: \"open <sip:a>\r\nSubject: x\r\n Contact: <sip:a>\r\n",
        ] {
            assert_eq!(way(lines), (String::new(), vec![]), "{lines}");
        }
    }
}
