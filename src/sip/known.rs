//! Header names that the scan remembers, and a quick look for the Call-ID alone.

use memchr::{memchr, memchr2};

/// The headers that the pass remembers.
#[derive(Clone, Copy)]
pub(super) enum Known {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    MaxBreadth,
    ContentLength,
    Route,
    ProxyRequire,
    Timestamp,
}

impl Known {
    #[inline]
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let (known, spelled): (Self, &[u8]) = match (name.len(), name[0] | 0x20) {
            // RFC 3261 §7.3.3: compact forms.
            (1, b'v') => return Some(Self::Via),
            (1, b'f') => return Some(Self::From),
            (1, b't') => return Some(Self::To),
            (1, b'i') => return Some(Self::CallId),
            (1, b'l') => return Some(Self::ContentLength),
            (2, b't') => (Self::To, b"to"),
            (3, b'v') => (Self::Via, b"via"),
            (4, b'f') => (Self::From, b"from"),
            (4, b'c') => (Self::CSeq, b"cseq"),
            (5, b'r') => (Self::Route, b"route"),
            (7, b'c') => (Self::CallId, b"call-id"),
            (9, b't') => (Self::Timestamp, b"timestamp"),
            (11, b'm') => (Self::MaxBreadth, b"max-breadth"),
            (12, b'm') => (Self::MaxForwards, b"max-forwards"),
            (13, b'p') => (Self::ProxyRequire, b"proxy-require"),
            (14, b'c') => (Self::ContentLength, b"content-length"),
            _ => return None,
        };
        name.eq_ignore_ascii_case(spelled).then_some(known)
    }
}

/// The Call-ID value of a datagram, without reading the rest; `None` when no header of that name is there.
#[must_use]
pub fn find_call_id(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    while let Some(end) = memchr(b'\n', rest) {
        rest = &rest[end + 1..];
        match rest.first()? {
            b'c' | b'C' | b'i' | b'I' => {}
            b'\r' | b'\n' => return None,
            _ => continue,
        }
        let Some(colon) = memchr(b':', &rest[..rest.len().min(16)]) else { continue };
        let name = rest[..colon].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"i") || name.eq_ignore_ascii_case(b"call-id") {
            return Some(value_at(rest, colon + 1));
        }
    }
    None
}

/// The value behind a colon: white space, folded line ends too, around it is cut.
fn value_at(bytes: &[u8], at: usize) -> &[u8] {
    let value = bytes[at..].trim_ascii_start();
    let end = memchr2(b'\r', b'\n', value).unwrap_or(value.len());
    value[..end].trim_ascii_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_id_is_found_in_every_spelling() {
        // RFC 3261 §7.3.1, §7.3.3
        for name in ["Call-ID", "CALL-id", "call-id ", "i", "I", "i \t"] {
            let text = format!("X y SIP/2.0\r\nCSeq: 1 X\r\n{name}:\r\n  a@b \r\nTo: c\r\n\r\n");
            assert_eq!(find_call_id(text.as_bytes()), Some(&b"a@b"[..]), "{name}");
        }
        assert_eq!(find_call_id(b"X y SIP/2.0\r\nTo: c\r\n\r\nCall-ID: body"), None);
        assert_eq!(find_call_id(b"X"), None);
    }
}
