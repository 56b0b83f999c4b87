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

/// A lower-case name of at most 16 bytes as a number, to be compared in one step.
const fn word(name: &[u8]) -> u128 {
    let mut word = 0;
    let mut at = name.len();
    while at > 0 {
        at -= 1;
        word = word << 8 | name[at] as u128;
    }
    word
}

const VIA: u128 = word(b"via");
const FROM: u128 = word(b"from");
const TO: u128 = word(b"to");
const CALL_ID: u128 = word(b"call-id");
const CSEQ: u128 = word(b"cseq");
const MAX_FORWARDS: u128 = word(b"max-forwards");
const MAX_BREADTH: u128 = word(b"max-breadth");
const CONTENT_LENGTH: u128 = word(b"content-length");
const ROUTE: u128 = word(b"route");
const PROXY_REQUIRE: u128 = word(b"proxy-require");
const TIMESTAMP: u128 = word(b"timestamp");
// RFC 3261 §7.3.3: compact forms.
const V: u128 = word(b"v");
const F: u128 = word(b"f");
const T: u128 = word(b"t");
const I: u128 = word(b"i");
const L: u128 = word(b"l");

/// The first `length` bytes of `line`, ASCII letters in lower case, as [`word`] makes them. The bit that is set for all of them
/// turns no other byte into a letter or a hyphen but CR, which stands in no name.
#[inline]
fn lower_word(line: &[u8], length: usize) -> u128 {
    let mask = u128::MAX >> (128 - 8 * length);
    let bytes = match line.first_chunk::<16>() {
        Some(chunk) => u128::from_le_bytes(*chunk),
        None => word(line),
    };
    (bytes | u128::from_le_bytes([0x20; 16])) & mask
}

impl Known {
    /// The header whose name is the first `length` bytes of `line`, at least one.
    #[inline]
    pub(super) fn of(line: &[u8], length: usize) -> Option<Self> {
        if length > 14 {
            return None;
        }
        Some(match lower_word(line, length) {
            VIA | V => Self::Via,
            FROM | F => Self::From,
            TO | T => Self::To,
            CALL_ID | I => Self::CallId,
            CSEQ => Self::CSeq,
            MAX_FORWARDS => Self::MaxForwards,
            MAX_BREADTH => Self::MaxBreadth,
            CONTENT_LENGTH | L => Self::ContentLength,
            ROUTE => Self::Route,
            PROXY_REQUIRE => Self::ProxyRequire,
            TIMESTAMP => Self::Timestamp,
            _ => return None,
        })
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
    fn names_are_known_in_any_case_and_others_are_not() {
        let known = |name: &str| Known::of(format!("{name}: value").as_bytes(), name.len());
        assert!(matches!(known("Via"), Some(Known::Via)) && matches!(known("L"), Some(Known::ContentLength)));
        assert!(matches!(known("PROXY-require"), Some(Known::ProxyRequire)));
        assert!(known("Vib").is_none() && known("V\x09").is_none() && known("Content-Lengthy").is_none());
        assert!(matches!(Known::of(b"t:", 1), Some(Known::To)));
    }

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
