//! A place in a message that moves forward: what all header readers are made of.
//!
//! White space includes folded line ends: a header value may contain CR LF followed by SP or HT (RFC 3261 §7.3.1), and the
//! scanner has already refused every other CR and LF.

use super::Span;
use super::masks::first_delimiter;

/// Reads `bytes[at..end]`.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(crate) end: usize,
}

/// One `;name=value` of a header value or URI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    /// Its name, never empty.
    pub(crate) name: Span,
    /// Its value with any quotes around it, `None` without `=`.
    pub(crate) value: Option<Span>,
}

/// The value is not what its grammar says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// What a byte may be, as bits: one look into a table per byte instead of a chain of comparisons.
static CLASS: [u8; 256] = classes();
const LWS: u8 = 1;
const PARAM_END: u8 = 1 << 1;
const HOST: u8 = 1 << 2;
const TOKEN: u8 = 1 << 3;
const NOT_IN_URI: u8 = 1 << 4;

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let lws = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let alphanumeric = byte.is_ascii_alphanumeric();
        if lws {
            table[at] |= LWS;
        }
        if lws || matches!(byte, b';' | b',' | b'"' | b'<' | b'>') {
            table[at] |= PARAM_END;
        }
        if alphanumeric || matches!(byte, b'.' | b'-' | b'_') || byte >= 0x80 {
            table[at] |= HOST;
        }
        // RFC 3261 §25.1 `token`.
        if alphanumeric || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
            table[at] |= TOKEN;
        }
        if byte <= b' ' || matches!(byte, b'<' | b'>' | b'"') {
            table[at] |= NOT_IN_URI;
        }
        at += 1;
    }
    table
}

#[inline]
const fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

#[inline]
pub(crate) const fn is_lws(byte: u8) -> bool {
    is(byte, LWS)
}

/// RFC 3261 §25.1 `token`.
#[inline]
pub(crate) const fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether a byte can stand in a Request-URI as far as the request line is concerned.
#[inline]
pub(crate) const fn is_uri(byte: u8) -> bool {
    !is(byte, NOT_IN_URI)
}

impl<'a> Cursor<'a> {
    /// Over the part `span` of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        let end = (span.end as usize).min(bytes.len());
        Self { bytes, at: (span.start as usize).min(end), end }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        if self.at < self.end { Some(self.bytes[self.at]) } else { None }
    }

    #[inline]
    pub(crate) fn skip_lws(&mut self) {
        while self.at < self.end && is_lws(self.bytes[self.at]) {
            self.at += 1;
        }
    }

    /// Moves behind `byte` when it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    /// Everything up to the first byte that `stop` likes.
    #[inline]
    pub(crate) fn until(&mut self, stop: impl Fn(u8) -> bool) -> Span {
        let start = self.at;
        let rest = self.bytes.get(start..self.end).unwrap_or_default();
        self.at = start + rest.iter().position(|byte| stop(*byte)).unwrap_or(rest.len());
        Span::new(start, self.at)
    }

    /// Everything up to the end of a parameter value: branches, tags and cookies are long.
    #[inline]
    fn until_param_end(&mut self) -> Span {
        let start = self.at;
        while let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk)
            && self.at < self.end
        {
            match first_delimiter(chunk) {
                Some(ahead) => {
                    self.at = self.end.min(self.at + ahead);
                    return Span::new(start, self.at);
                }
                None => self.at = self.end.min(self.at + chunk.len()),
            }
        }
        self.until(|b| is(b, PARAM_END));
        Span::new(start, self.at)
    }

    /// A quoted string, quotes included (RFC 3261 §25.1); the cursor stands on its first quote.
    pub(crate) fn quoted(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(Span::new(start, self.at)),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        Err(Malformed)
    }

    /// The next parameter; `None` at the end of the value, which is the end of the range or a comma.
    pub(crate) fn param(&mut self) -> Result<Option<Param>, Malformed> {
        self.skip_lws();
        match self.peek() {
            None | Some(b',') => return Ok(None),
            Some(b';') => self.at += 1,
            Some(_) => return Err(Malformed),
        }
        self.skip_lws();
        let name = self.until(|b| b == b'=' || is(b, PARAM_END));
        if name.is_empty() {
            return Err(Malformed);
        }
        if self.peek().is_some_and(is_lws) {
            self.skip_lws();
        }
        if !self.eat(b'=') {
            return Ok(Some(Param { name, value: None }));
        }
        self.skip_lws();
        let value = match self.peek() {
            Some(b'"') => self.quoted()?,
            _ => self.until_param_end(),
        };
        Ok(Some(Param { name, value: Some(value) }))
    }

    /// A decimal number, at least one digit.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<u32, Malformed> {
        let start = self.at;
        let mut number = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = (number * 10 + u64::from(digit - b'0')).min(u64::from(u32::MAX) + 1);
            self.at += 1;
        }
        if start == self.at { Err(Malformed) } else { u32::try_from(number).map_err(|_| Malformed) }
    }

    /// A port number behind a colon, when there is a colon.
    pub(crate) fn port(&mut self) -> Result<Option<u16>, Malformed> {
        if !self.eat(b':') {
            return Ok(None);
        }
        self.skip_lws();
        u16::try_from(self.number()?).map(Some).map_err(|_| Malformed)
    }

    /// A host: a name, an IPv4 address or a bracketed IPv6 reference, brackets included.
    pub(crate) fn host(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        if self.eat(b'[') {
            self.until(|b| b == b']' || is_lws(b));
            if !self.eat(b']') {
                return Err(Malformed);
            }
            return Ok(Span::new(start, self.at));
        }
        let host = self.until(|b| !is(b, HOST));
        if host.is_empty() { Err(Malformed) } else { Ok(host) }
    }
}
