//! Header names that the scan remembers, and a quick look for the Call-ID alone.

use super::cursor::is_lws;
use super::masks::{BLOCK, find_either, first_of, line_feeds, stop};
use memchr::memchr;

/// The headers that the pass remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
const CONTACT: u128 = word(b"contact");
const RECORD_ROUTE: u128 = word(b"record-route");

/// Of each byte the bit that tells lower case letters from upper case ones.
const LOWER: u128 = u128::from_le_bytes([0x20; 16]);

/// The name of a header line, where it is.
pub(super) struct Name {
    /// Where the colon is, in the message.
    pub(super) colon: usize,
    /// The first 16 bytes of the line.
    word: u128,
    /// Length of the name, white space before the colon not counted; at least 1.
    length: usize,
}

impl Name {
    /// The name of the line of `bytes` from `start` to `content` when its colon follows it at once, within 16 bytes. There is no byte
    /// from NUL to CR in the line.
    #[inline]
    pub(super) fn plain(bytes: &[u8], start: usize, content: usize) -> Option<Self> {
        let first: &[u8; 16] = bytes.get(start..)?.first_chunk()?;
        let length = first_of(first, b':')?;
        let colon = start + length;
        let is_whole = first_of(first, b' ').is_none_or(|space| space > length);
        (length > 0 && is_whole && colon < content).then_some(Self { colon, word: u128::from_le_bytes(*first), length })
    }

    /// The name of the line of `bytes` from `start` to `content`; `None` without name or colon. RFC 3261 §25.1: white space before the
    /// colon is none of the name, but no line is folded there, and no white space is in a name: others would see another.
    pub(super) fn read(bytes: &[u8], start: usize, content: usize) -> Option<Self> {
        let line = &bytes[start..content];
        let colon = memchr(b':', line)?;
        let mut length = stop(bytes, start, start + colon) - start;
        while length < colon && line[length] > b' ' {
            length = stop(bytes, start + length + 1, start + colon) - start;
        }
        if line[length..colon].iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            return None;
        }
        let mut first = [0; 16];
        first[..colon.min(16)].copy_from_slice(&line[..colon.min(16)]);
        (length > 0).then_some(Self { colon: start + colon, word: u128::from_le_bytes(first), length })
    }

    /// Whether it is Contact (RFC 3261 §7.3.3: or `m`).
    pub(super) const fn is_contact(&self) -> bool {
        matches!(self.length, 1 if self.word as u8 | 0x20 == b'm') || (self.length == 7 && self.is(CONTACT))
    }

    /// Whether it is Record-Route.
    pub(super) const fn is_record_route(&self) -> bool {
        self.length == 12 && self.is(RECORD_ROUTE)
    }

    /// Whether a name of its length, at most 16, is this lower-case one.
    const fn is(&self, name: u128) -> bool {
        (self.word | LOWER) & (u128::MAX >> (128 - 8 * self.length)) == name
    }

    /// Which of the known headers it is. The bit that makes letters lower case turns no other byte into a letter or a hyphen but
    /// CR, which stands in no name.
    #[inline(always)]
    pub(super) fn known(&self) -> Option<Known> {
        let lower = self.word | LOWER;
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
    LineStarts::new(bytes).find_map(|(line, first)| match first {
        b'c' | b'C' if matches!(bytes.get(line + 1), Some(b'a' | b'A')) => value_of(&bytes[line..], b"call-id"),
        b'i' | b'I' => value_of(&bytes[line..], b"i"),
        _ => None,
    })
}

/// Where the lines of a head begin, behind its first one, up to the empty line; and their first bytes.
pub(super) struct LineStarts<'a> {
    bytes: &'a [u8],
    /// Where the block begins that `ends` is of.
    base: usize,
    ends: u64,
}

impl<'a> LineStarts<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        // RFC 3261 §7.5: CRLFs before the first line are ignored.
        let base = match bytes {
            [b'\r' | b'\n', ..] => bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len()),
            _ => 0,
        };
        Self { bytes, base, ends: line_feeds(&bytes[base..]) }
    }
}

impl Iterator for LineStarts<'_> {
    type Item = (usize, u8);

    #[inline]
    fn next(&mut self) -> Option<(usize, u8)> {
        while self.ends == 0 {
            self.base += BLOCK;
            self.ends = line_feeds(self.bytes.get(self.base..).filter(|rest| !rest.is_empty())?);
        }
        let line = self.base + self.ends.trailing_zeros() as usize + 1;
        self.ends &= self.ends - 1;
        match self.bytes.get(line) {
            None | Some(b'\r' | b'\n') => None,
            Some(first) => Some((line, *first)),
        }
    }
}

/// The value of the line that `rest` begins with when it is the header `name`: white space, folded line ends too, around it is cut.
fn value_of<'a>(rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (_, behind) = rest.split_at_checked(name.len()).filter(|(start, _)| start.eq_ignore_ascii_case(name))?;
    let space = behind.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let value = behind[space..].strip_prefix(b":")?;
    let value = &value[value.iter().position(|byte| !is_lws(*byte)).unwrap_or(value.len())..];
    let mut end = find_either(value, 0, value.len(), *b"\r\n");
    while end > 0 && is_lws(value[end - 1]) {
        end -= 1;
    }
    Some(&value[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_others_are_not() {
        let known = |line: &str| {
            let text = format!("{line}\r\nX: more than sixteen bytes");
            let name = |of: fn(&[u8], usize, usize) -> Option<Name>| of(text.as_bytes(), 0, line.len());
            let (plain, any) = (name(Name::plain), name(Name::read));
            // What is read the quick way, which no line with a control byte is, is read as all others.
            let told = |name: &Name| (name.colon, name.length, name.known());
            let controls = line.bytes().any(|byte| byte <= b'\r');
            assert!(plain.is_none() || controls || plain.as_ref().map(told) == any.as_ref().map(told), "{line}");
            any.and_then(|name| name.known())
        };
        assert!(matches!(known("Via: x"), Some(Known::Via)) && matches!(known("L:"), Some(Known::ContentLength)));
        assert!(matches!(known("PROXY-require \t: value of it"), Some(Known::ProxyRequire)));
        assert!(
            matches!(known("CONTENT-LENGTH: 7"), Some(Known::ContentLength)) && matches!(known("t:"), Some(Known::To))
        );
        assert!(known("Vib: x").is_none() && known("V\x09x: y").is_none() && known("Content-Lengthy: 1").is_none());
        assert!(known("Via\x0c: x").is_none() && known("Via\r\n : x").is_none() && known("Call ID: x").is_none());
        assert!(known(" : x").is_none() && known("no colon in a long line of text").is_none());
        let long = format!("{}: v", "X-A-Very-Long-Header-Name");
        assert_eq!(Name::read(long.as_bytes(), 0, long.len()).map(|name| (name.colon, name.length)), Some((25, 25)));
        for read in [Name::read, Name::plain] {
            assert!(read(b"Via: x and what follows", 0, 2).is_none(), "a colon behind the line does not count");
        }
    }

    #[test]
    fn the_call_id_is_found_behind_empty_lines() {
        // RFC 3261 §7.5: the shard that gets it must find the owner that the next message of the call finds.
        for empty in ["\r\n", "\r\n\r\n", "\n\n\r\n"] {
            let text = format!("{empty}X y SIP/2.0\r\nCall-ID: a@b\r\n\r\n");
            assert_eq!(find_call_id(text.as_bytes()), Some(&b"a@b"[..]), "{empty:?}");
        }
    }

    #[test]
    fn the_call_id_is_found_in_every_spelling() {
        // RFC 3261 §7.3.1, §7.3.3
        for name in ["Call-ID", "CALL-id", "call-id ", "i", "I", "i \t", "Call-ID                  "] {
            let text = format!("\r\n\r\nX y SIP/2.0\r\nCSeq: 1 X\r\n{name}:\r\n  a@b \r\nTo: c\r\n\r\n");
            assert_eq!(find_call_id(text.as_bytes()), Some(&b"a@b"[..]), "{name}");
        }
        assert_eq!(find_call_id(b"X y SIP/2.0\r\nTo: c\r\n\r\nCall-ID: body"), None);
        // In the second and third block of the message, behind names that begin alike.
        for fill in 0..150 {
            let text = format!(
                "X y SIP/2.0\r\nX: {}\r\nCall-Info: x\r\nIdentity: y\r\nCall-ID: a@b\r\n\r\n",
                "x".repeat(fill)
            );
            assert_eq!(find_call_id(text.as_bytes()), Some(&b"a@b"[..]), "{fill}");
        }
        // What is no Call-ID to the scan is none here.
        for name in ["Call-ID\x0c", "Call-ID\r\n ", "i\x0b", "Call-ID="] {
            let text = format!("X y SIP/2.0\r\n{name}: other\r\nCall-ID: a@b\r\n\r\n");
            assert_eq!(find_call_id(text.as_bytes()), Some(&b"a@b"[..]), "{name}");
        }
        assert_eq!(find_call_id(b"X y SIP/2.0\r\nCall-ID:\x0ca@b\r\n\r\n"), Some(&b"\x0ca@b"[..]));
        assert_eq!(find_call_id(b"X"), None);
        assert_eq!(find_call_id(b"\r\n\r\n"), None);
    }
}
