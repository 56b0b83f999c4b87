//! Header names that the scan remembers, and a quick look for the Call-ID alone.

use super::masks::first_of;
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

/// The name of a header line, where it is.
pub(super) struct Name {
    /// Where the colon is.
    pub(super) colon: usize,
    /// The first 16 bytes of the line.
    word: u128,
    /// Length of the name, white space before the colon not counted; at least 1.
    length: usize,
}

impl Name {
    /// The name of the line at the start of `bytes`, whose content has `content` bytes; `None` without name or colon.
    #[inline]
    pub(super) fn read(bytes: &[u8], content: usize) -> Option<Self> {
        let mut start = [0; 16];
        let start = bytes.first_chunk().unwrap_or_else(|| {
            start[..bytes.len()].copy_from_slice(bytes);
            &start
        });
        let colon = first_of(start, b':').or_else(|| memchr(b':', &bytes[..content]))?;
        let line = bytes.get(..colon).filter(|_| colon < content)?;
        let length = match line {
            [.., b' ' | b'\t'] => line.trim_ascii_end().len(),
            _ => colon,
        };
        (length > 0).then_some(Self { colon, word: u128::from_le_bytes(*start), length })
    }

    /// Which of the known headers it is. The bit that makes letters lower case turns no other byte into a letter or a hyphen but
    /// CR, which stands in no name.
    #[inline]
    pub(super) fn known(&self) -> Option<Known> {
        let lower = self.word | u128::from_le_bytes([0x20; 16]);
        let is = |name: u128, length: usize| lower & (u128::MAX >> (128 - 8 * length)) == name;
        match self.length {
            1 => Known::compact(lower as u8),
            2 if is(TO, 2) => Some(Known::To),
            3 if is(VIA, 3) => Some(Known::Via),
            4 if is(FROM, 4) => Some(Known::From),
            4 if is(CSEQ, 4) => Some(Known::CSeq),
            5 if is(ROUTE, 5) => Some(Known::Route),
            7 if is(CALL_ID, 7) => Some(Known::CallId),
            9 if is(TIMESTAMP, 9) => Some(Known::Timestamp),
            11 if is(MAX_BREADTH, 11) => Some(Known::MaxBreadth),
            12 if is(MAX_FORWARDS, 12) => Some(Known::MaxForwards),
            13 if is(PROXY_REQUIRE, 13) => Some(Known::ProxyRequire),
            14 if is(CONTENT_LENGTH, 14) => Some(Known::ContentLength),
            _ => None,
        }
    }
}

impl Known {
    /// RFC 3261 §7.3.3: compact forms.
    const fn compact(letter: u8) -> Option<Self> {
        Some(match letter {
            b'v' => Self::Via,
            b'f' => Self::From,
            b't' => Self::To,
            b'i' => Self::CallId,
            b'l' => Self::ContentLength,
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
        let known = |line: &str| Name::read(line.as_bytes(), line.len()).and_then(|name| name.known());
        assert!(matches!(known("Via: x"), Some(Known::Via)) && matches!(known("L:"), Some(Known::ContentLength)));
        assert!(matches!(known("PROXY-require \t: value of it"), Some(Known::ProxyRequire)));
        assert!(matches!(known("t:"), Some(Known::To)));
        assert!(known("Vib: x").is_none() && known("V\x09x: y").is_none() && known("Content-Lengthy: 1").is_none());
        assert!(known(" : x").is_none() && known("no colon in a long line of text").is_none());
        let long = format!("{}: v", "X-A-Very-Long-Header-Name");
        assert_eq!(Name::read(long.as_bytes(), long.len()).map(|name| (name.colon, name.length)), Some((25, 25)));
        assert!(Name::read(b"Via: x", 2).is_none(), "a colon behind the line does not count");
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
