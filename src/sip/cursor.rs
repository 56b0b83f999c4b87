//! A place in a message that moves forward: what all header readers are made of.
//!
//! White space includes folded line ends: a header value may contain CR LF followed by SP or HT (RFC 3261 §7.3.1), and the
//! scanner has already refused every other CR and LF.

use super::Span;
use super::masks::{find_byte, find_either, host_end, stop, stops};

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
const TOKEN: u8 = 1 << 1;

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
        // RFC 3261 §25.1 `token`.
        if alphanumeric || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
            table[at] |= TOKEN;
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

    /// The first `byte` from here on; the end when there is none.
    #[inline]
    pub(crate) fn find(&self, byte: u8) -> usize {
        find_byte(self.bytes, self.at, self.end, byte)
    }

    /// The first of two bytes from here on; the end when there is none.
    #[inline]
    pub(crate) fn find_either(&self, bytes: [u8; 2]) -> usize {
        find_either(self.bytes, self.at, self.end, bytes)
    }

    /// Everything up to the end of a parameter, or of its name, which an equals sign ends, too.
    #[inline]
    fn until_param_end(&mut self, is_name: bool) -> Span {
        let start = self.at;
        loop {
            self.at = stop(self.bytes, self.at, self.end);
            match self.peek() {
                Some(b'=') if !is_name => self.at += 1,
                // Other control bytes than white space end it, too, and then nothing goes on behind them.
                _ => break,
            }
        }
        Span::new(start, self.at)
    }

    /// A quoted string, quotes included (RFC 3261 §25.1); the cursor stands on its first quote.
    pub(crate) fn quoted(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.at += 1;
        loop {
            let at = self.find_either(*b"\"\\");
            match self.bytes.get(at) {
                Some(b'"') if at < self.end => {
                    self.at = at + 1;
                    return Ok(Span::new(start, self.at));
                }
                Some(_) if at < self.end => self.at = at + 2,
                _ => return Err(Malformed),
            }
        }
    }

    /// The next parameter; `None` at the end of the value, which is the end of the range or a comma.
    #[inline]
    pub(crate) fn param(&mut self) -> Result<Option<Param>, Malformed> {
        match self.plain_param() {
            None => self.any_param(),
            param => Ok(param),
        }
    }

    /// The next parameter when it is spelled as nearly all are: no white space, no quotes, no more than 32 bytes up to an equals sign.
    #[inline]
    fn plain_param(&mut self) -> Option<Param> {
        if self.peek()? != b';' {
            return None;
        }
        let start = self.at + 1;
        let ends = stops(self.bytes.get(start..)?.first_chunk()?);
        let name_end = self.end.min(start + ends.trailing_zeros() as usize);
        let name = Span::new(start, name_end);
        match self.bytes.get(name_end) {
            _ if name_end == start => return None,
            Some(b'=') if name_end < self.end => {}
            // What is behind the end may be anything.
            byte if name_end == self.end || matches!(byte, Some(b';' | b',' | b'>')) => {
                self.at = name_end;
                return Some(Param { name, value: None });
            }
            _ => return None,
        }
        // What follows the equals sign.
        let more = ends & ends.wrapping_sub(1);
        let end = match more {
            0 => stop(self.bytes, start + 32, self.end),
            more => self.end.min(start + more.trailing_zeros() as usize),
        };
        let is_plain = match self.bytes.get(end) {
            _ if end <= name_end + 1 => false,
            Some(b';' | b',' | b'>' | b'\r') | None => true,
            Some(_) => end == self.end,
        };
        if !is_plain {
            return None;
        }
        self.at = end;
        Some(Param { name, value: Some(Span::new(name_end + 1, end)) })
    }

    fn any_param(&mut self) -> Result<Option<Param>, Malformed> {
        self.skip_lws();
        match self.peek() {
            None | Some(b',') => return Ok(None),
            Some(b';') => self.at += 1,
            Some(_) => return Err(Malformed),
        }
        self.skip_lws();
        let name = self.until_param_end(true);
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
            _ => self.until_param_end(false),
        };
        Ok(Some(Param { name, value: Some(value) }))
    }

    /// A decimal number, at least one digit.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<u32, Malformed> {
        let (text, start, mut number) = (&self.bytes[..self.end], self.at, 0u64);
        while let Some(byte) = text.get(self.at) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number * 10 + u64::from(digit);
            if number > u64::from(u32::MAX) {
                return Err(Malformed);
            }
            self.at += 1;
        }
        if start == self.at { Err(Malformed) } else { Ok(number as u32) }
    }

    /// A port number behind a colon, when there is a colon.
    pub(crate) fn port(&mut self) -> Result<Option<u16>, Malformed> {
        if !self.eat(b':') {
            return Ok(None);
        }
        if self.peek().is_some_and(is_lws) {
            self.skip_lws();
        }
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
        self.at = host_end(self.bytes, start, self.end);
        if self.at == start { Err(Malformed) } else { Ok(Span::new(start, self.at)) }
    }
}
