//! One pass over the head of a message: where everything is that a proxy needs.
//!
//! The first defect is remembered and the pass goes on, so that the answer to a wrong request can still copy its Via, From, To,
//! Call-ID and CSeq. RFC 3261 §7.3.1: names in any case and compact form, white space before the colon, folded lines.

use super::cursor::{Cursor, is_lws, is_token};
use super::known::{Known, Name};
use super::masks::{Controls, find_byte};
use super::{Defect, Head, Line, Message, Method, Span, Start};
use crate::limits;

/// Reads the head of the datagram `bytes`. What is wrong with it is in [`Message::defect`].
#[inline]
#[must_use]
pub fn scan(bytes: &[u8]) -> Message<'_> {
    // Inlined, so that a message of this size is made where it stays.
    let mut message = Message { bytes, head: Head::default(), defect: None };
    fill(&mut message);
    message
}

fn fill(message: &mut Message<'_>) {
    let Message { bytes, head, defect } = message;
    let mut scanner = Scanner { bytes, head, defect, nul: false, odd: false };
    if let Err(defect) = scanner.run() {
        scanner.fault(defect);
    }
}

pub(super) struct Scanner<'a, 'm> {
    pub(super) bytes: &'a [u8],
    pub(super) head: &'m mut Head,
    defect: &'m mut Option<Defect>,
    /// A NUL was there.
    nul: bool,
    /// A header line was there with control bytes, of a fold or others.
    odd: bool,
}

/// Where a logical line ends: its content, and where the next one begins.
struct LineEnd {
    content: usize,
    next: usize,
}

impl Scanner<'_, '_> {
    #[cold]
    pub(super) fn fault(&mut self, defect: Defect) {
        self.defect.get_or_insert(defect);
    }

    pub(super) fn check(&mut self, good: bool, defect: Defect) {
        if !good {
            self.fault(defect);
        }
    }

    fn run(&mut self) -> Result<(), Defect> {
        // RFC 3261 §7.5: CRLFs before the first line are ignored.
        let first = self.bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(Defect::KeepAlive)?;
        let mut controls = Controls::new(self.bytes);
        let control = controls.next(first).ok_or(Defect::NotSip)?;
        let end = match self.bytes.get(control..).and_then(<[u8]>::first_chunk) {
            Some(b"\r\n") => LineEnd { content: control, next: control + 2 },
            _ => self.line_end(control).ok_or(Defect::NotSip)?,
        };
        self.start_line(first, end.content)?;
        self.head.headers = end.next as u32;
        self.header_lines(end.next, controls)?;
        if self.nul {
            self.check(nuls_are_quoted(&self.bytes[..self.head.headers_end as usize]), Defect::LineEnd);
        }
        self.mandatory();
        self.body();
        Ok(())
    }

    /// The end of the physical line whose first control byte is at `at`; a bare CR or LF is noted as defect.
    #[inline(never)]
    fn line_end(&mut self, mut at: usize) -> Option<LineEnd> {
        let mut controls = Controls::new(self.bytes);
        loop {
            match (self.bytes[at], self.bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => return Some(LineEnd { content: at, next: at + 2 }),
                (b'\n', _) => {
                    self.fault(Defect::LineEnd);
                    return Some(LineEnd { content: at, next: at + 1 });
                }
                (b'\r', _) => self.fault(Defect::LineEnd),
                (0, _) => self.nul = true,
                _ => {}
            }
            at = controls.next(at + 1)?;
        }
    }

    fn header_lines(&mut self, from: usize, mut controls: Controls<'_>) -> Result<(), Defect> {
        let (bytes, mut at) = (self.bytes, from);
        // RFC 3261 §7.3.1: only header lines can be continued.
        self.check(!matches!(bytes.get(from), Some(b' ' | b'\t')), Defect::StartLine);
        for _ in 0..limits::HEADER_LINES_MAX {
            self.head.headers_end = at as u32;
            if at > limits::HEAD_BYTES_MAX {
                return Err(Defect::HeadSize);
            }
            let Some(control) = controls.next(at) else { return Err(self.no_end()) };
            // What nearly each line ends with: another line, or nothing more.
            if let [b'\r', b'\n', rest @ ..] = &bytes[control..]
                && !matches!(rest, [b' ' | b'\t', ..])
            {
                if control == at {
                    return Ok(());
                }
                self.header(at, control, control + 2);
                at = control + 2;
                continue;
            }
            match self.folded_line_end(at, control) {
                None => return Err(self.no_end()),
                Some(end) if end.content == at => return Ok(()),
                Some(end) => {
                    self.odd_header(at, end.content, end.next);
                    at = end.next;
                }
            }
        }
        Err(Defect::HeaderLines)
    }

    /// There is no empty line.
    #[cold]
    fn no_end(&mut self) -> Defect {
        self.head.body = Span::new(self.bytes.len(), self.bytes.len());
        Defect::HeadEnd
    }

    /// Where the logical line at `start` ends whose first control byte is at `control`. RFC 3261 §7.3.1: a line that begins with
    /// white space continues the one before it.
    #[inline(never)]
    fn folded_line_end(&mut self, start: usize, control: usize) -> Option<LineEnd> {
        self.odd = true;
        let mut end = self.line_end(control)?;
        while end.content > start && matches!(self.bytes.get(end.next), Some(b' ' | b'\t')) {
            match Controls::new(self.bytes).next(end.next).and_then(|control| self.line_end(control)) {
                Some(next) => end = next,
                None => break,
            }
        }
        Some(end)
    }

    #[inline(always)]
    fn header(&mut self, start: usize, content: usize, next: usize) {
        match Name::plain(self.bytes, start, content) {
            Some(name) => self.named(&name, start, content, next),
            None => self.odd_header(start, content, next),
        }
    }

    /// A line whose name is longer or spelled otherwise than most are.
    #[inline(never)]
    fn odd_header(&mut self, start: usize, content: usize, next: usize) {
        match Name::read(self.bytes, start, content) {
            Some(name) => self.named(&name, start, content, next),
            None => self.fault(Defect::HeaderLine),
        }
    }

    #[inline(always)]
    fn named(&mut self, name: &Name, start: usize, content: usize, next: usize) {
        let Some(kind) = name.known() else { return };
        // Two words, which go where they belong without a stop in memory.
        let (line, value) = (Span::new(start, next), trim(self.bytes, name.colon + 1, content));
        match kind {
            Known::Via => self.via(Line { line, value }),
            Known::From => self.once(Line { line, value }, |head| &mut head.from),
            Known::To => self.once(Line { line, value }, |head| &mut head.to),
            Known::CallId => self.once(Line { line, value }, |head| &mut head.call_id),
            Known::Route => {
                self.head.routes_end = line.end;
                first(&mut self.head.route, Line { line, value });
            }
            Known::ProxyRequire => first(&mut self.head.proxy_require, Line { line, value }),
            Known::Timestamp => first(&mut self.head.timestamp, Line { line, value }),
            Known::CSeq => self.cseq(line, value),
            Known::MaxForwards => self.max_forwards(line, value),
            Known::MaxBreadth => self.max_breadth(line, value),
            Known::ContentLength => self.content_length(line, value),
        }
    }

    #[inline(never)]
    fn max_forwards(&mut self, line: Span, value: Span) {
        self.once(Line { line, value }, |head| &mut head.max_forwards);
        match self.number(value).and_then(|n| u8::try_from(n).ok()) {
            Some(number) => self.head.max_forwards_value = number,
            None => self.fault(Defect::MaxForwards),
        }
    }

    #[inline(never)]
    fn max_breadth(&mut self, line: Span, value: Span) {
        self.once(Line { line, value }, |head| &mut head.max_breadth);
        match self.number(value) {
            Some(number) => self.head.max_breadth_value = number,
            None => self.fault(Defect::MaxBreadth),
        }
    }

    #[inline]
    fn once(&mut self, line: Line, field: impl Fn(&mut Head) -> &mut Line) {
        if field(self.head).is_set() {
            return self.fault(Defect::Duplicate);
        }
        *field(self.head) = line;
    }

    #[inline]
    fn via(&mut self, line: Line) {
        let head = &mut self.head;
        if head.via.is_set() {
            head.vias_adjoin &= head.vias.end == line.line.start;
            head.vias.end = line.line.end;
        } else {
            head.via = line;
            head.vias = line.line;
            head.vias_adjoin = true;
        }
        head.via_lines += 1;
    }

    fn number(&self, value: Span) -> Option<u32> {
        let mut cursor = Cursor::new(self.bytes, value);
        let number = cursor.number().ok()?;
        cursor.peek().is_none().then_some(number)
    }

    /// RFC 3261 §8.1.1.5: a number below 2^31 and a method.
    #[inline(never)]
    fn cseq(&mut self, line: Span, value: Span) {
        self.once(Line { line, value }, |head| &mut head.cseq);
        let mut cursor = Cursor::new(self.bytes, value);
        let number = cursor.number().ok().filter(|n| *n < 1 << 31);
        let gap = cursor.at;
        cursor.skip_lws();
        let spaced = cursor.at > gap;
        let method = Span::new(cursor.at, cursor.end);
        match number {
            Some(number) if spaced && is_method(method.of(self.bytes)) => {
                self.head.cseq_number = number;
                self.head.cseq_method = method;
            }
            _ => self.fault(Defect::CSeq),
        }
    }

    #[inline(never)]
    fn content_length(&mut self, line: Span, value: Span) {
        match self.number(value) {
            Some(number) if !self.head.content_length.is_set() => {
                self.head.content_length = Line { line, value };
                self.head.content_length_value = number;
            }
            Some(number) if number == self.head.content_length_value => {}
            _ => self.fault(Defect::ContentLength),
        }
    }

    fn mandatory(&mut self) {
        let head = &self.head;
        let here = head.from.is_set() && head.to.is_set() && head.call_id.is_set() && head.cseq.is_set();
        let (via, call_id, cseq) = (head.via.is_set(), head.call_id, head.cseq_method);
        self.check(via, Defect::NoVia);
        self.check(here, Defect::Missing);
        self.check(!call_id.is_set() || is_call_id(self.bytes, call_id.value, self.odd), Defect::CallId);
        if let Start::Request(_) = self.head.start
            && cseq.is_set()
        {
            self.check(cseq.of(self.bytes) == self.head.method.of(self.bytes), Defect::CSeqMethod);
        }
    }

    fn body(&mut self) {
        let skip = if self.bytes[self.head.headers_end as usize..].starts_with(b"\r\n") { 2 } else { 1 };
        let start = (self.head.headers_end as usize + skip).min(self.bytes.len());
        let rest = self.bytes.len() - start;
        let length = self.head.content_length_value as usize;
        // RFC 3261 §18.3: over UDP the body is Content-Length bytes, or all the rest without it.
        let taken = if self.head.content_length.is_set() { length.min(rest) } else { rest };
        self.head.body = Span::new(start, start + taken);
        self.check(length <= rest, Defect::Truncated);
    }
}

/// A token (RFC 3261 §7.1, §25.1); the methods that are known are some.
pub(super) fn is_method(name: &[u8]) -> bool {
    Method::of(name) != Method::Other || (!name.is_empty() && name.iter().all(|byte| is_token(*byte)))
}

/// A word or two around an `@` (RFC 3261 §25.1): no white space, which would be the end of it to others.
fn is_call_id(bytes: &[u8], value: Span, odd: bool) -> bool {
    let (start, end) = (value.start as usize, value.end as usize);
    let whole = start < end && find_byte(bytes, start, end, b' ') == end;
    whole && (!odd || bytes[start..end].iter().all(|byte| *byte > b'\r'))
}

/// NUL may stand in a quoted pair in a quoted string (RFC 3261 §25.1) and nowhere else. No string goes on in another header.
#[cold]
fn nuls_are_quoted(head: &[u8]) -> bool {
    let (mut quoted, mut at) = (false, 0);
    while at < head.len() {
        match head[at] {
            0 => return false,
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            b'\n' if !matches!(head.get(at + 1), Some(b' ' | b'\t')) => quoted = false,
            _ => {}
        }
        at += 1;
    }
    true
}

fn first(field: &mut Line, line: Line) {
    if !field.is_set() {
        *field = line;
    }
}

/// Without the white space around it.
#[inline]
fn trim(bytes: &[u8], start: usize, end: usize) -> Span {
    match bytes.get(start..end) {
        // What nearly all values look like: one space before them, none behind.
        Some([b' ', first, .., last]) if *first > b' ' && *last > b' ' => Span::new(start + 1, end),
        Some([b' ', digit]) if *digit > b' ' => Span::new(start + 1, end),
        _ => trim_all(bytes, start, end),
    }
}

#[inline(never)]
fn trim_all(bytes: &[u8], mut start: usize, mut end: usize) -> Span {
    let line = &bytes[..end];
    while line.get(start).is_some_and(|first| is_lws(*first)) {
        start += 1;
    }
    while start < end && is_lws(line[end - 1]) {
        end -= 1;
    }
    Span::new(start, end)
}

#[cfg(test)]
mod tests {
    use super::super::find_call_id;
    use super::*;

    fn request(headers: &str) -> String {
        format!(
            "INVITE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:b@c>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: x@y\r\nCSeq: 7 INVITE\r\n{headers}\r\n"
        )
    }

    fn defect(headers: &str) -> Option<Defect> {
        scan(request(headers).as_bytes()).defect
    }

    #[test]
    fn compact_folded_and_spaced_headers_are_read_in_any_case() {
        // RFC 3261 §7.3.1, §7.3.3
        let text = "BYE sip:a SIP/2.0\r\nv :\r\n SIP/2.0/UDP h\r\nF: <sip:b>;tag=1\r\nt:<sip:c>\r\nI: q\r\n\
                    cSeQ: 1\r\n  BYE\r\nl: 2\r\n\r\nabcd";
        let message = scan(text.as_bytes());
        assert_eq!(message.defect, None);
        assert_eq!(message.method(), Some(Method::Bye));
        assert_eq!(message.text(message.head.via.value), b"SIP/2.0/UDP h");
        assert_eq!(message.call_id(), b"q");
        assert_eq!(message.head.cseq_number, 1);
        // RFC 3261 §18.3: what follows the body is discarded.
        assert_eq!(message.text(message.head.body), b"ab");
        assert_eq!(find_call_id(text.as_bytes()), Some(&b"q"[..]));
    }

    #[test]
    fn each_defect_is_named() {
        assert_eq!(defect(""), None);
        assert_eq!(defect("Max-Forwards: 256\r\n"), Some(Defect::MaxForwards));
        assert_eq!(defect("Max-Forwards: 7\r\nMax-Forwards: 7\r\n"), Some(Defect::Duplicate));
        assert_eq!(defect("Content-Length: 1\r\n"), Some(Defect::Truncated));
        assert_eq!(defect("Content-Length: -1\r\n"), Some(Defect::ContentLength));
        assert_eq!(defect("Content-Length: 0\r\nl: 0\r\n"), None);
        assert_eq!(defect("l: 0\r\nContent-Length: 1\r\n"), Some(Defect::ContentLength));
        assert_eq!(defect("To: <sip:x>\r\n"), Some(Defect::Duplicate));
        assert_eq!(defect("no colon\r\n"), Some(Defect::HeaderLine));
        assert_eq!(defect(": no name\r\n"), Some(Defect::HeaderLine));
        for name in ["Call ID", "Call-ID\r\n ", "Call-ID\x0c", "X-Long-Header\x01Name", "X-A-Very-Long Name"] {
            assert_eq!(defect(&format!("{name}: x\r\n")), Some(Defect::HeaderLine), "{name:?}");
        }
        assert_eq!(defect("X: a\rb\r\n"), Some(Defect::LineEnd));
        assert_eq!(defect("X: a\n"), Some(Defect::LineEnd));
        for value in ["a\0", "a\\\0", "\"a\0\"", "\"a\\\\\0\"", "\"a\r\nY: \\\0\""] {
            assert_eq!(defect(&format!("X: {value}\r\n")), Some(Defect::LineEnd), "{value:?}");
        }
        assert_eq!(defect("X: \"a\r\n \\\0\"\r\n"), None);
        for value in ["a b", "a\r\n b", "a\tb", "a\x0c", "a \"b"] {
            let text = request("").replace("x@y", value);
            assert_eq!(scan(text.as_bytes()).defect, Some(Defect::CallId), "{value:?}");
        }
        assert_eq!(scan(request("").replace("x@y", "<\"x\">@y").as_bytes()).defect, None);
        assert_eq!(defect(&"X: a\r\n".repeat(limits::HEADER_LINES_MAX)), Some(Defect::HeaderLines));
        assert_eq!(defect(&format!("X: {}\r\nY: 1\r\n", "a".repeat(limits::HEAD_BYTES_MAX))), Some(Defect::HeadSize));
    }

    #[test]
    fn first_lines_that_are_not_sip_are_told_from_those_that_are_wrong() {
        let of = |line: &str| scan(request("").replacen("INVITE sip:a@example.com SIP/2.0", line, 1).as_bytes()).defect;
        assert_eq!(of("INVITE sip:a sip/2.0"), None);
        assert_eq!(of("GET / HTTP/1.1"), Some(Defect::NotSip));
        assert_eq!(of("INVITE  sip:a SIP/2.0"), Some(Defect::StartLine));
        assert_eq!(of("INVITE sip:a SIP/2.0 "), Some(Defect::StartLine));
        assert_eq!(of("INVITE sip:a; lr SIP/2.0"), Some(Defect::StartLine));
        assert_eq!(of("INVITE <sip:a> SIP/2.0"), Some(Defect::StartLine));
        assert_eq!(of("INVITE sip:a SIP/7.0"), Some(Defect::Version));
        assert_eq!(of("invite sip:a SIP/2.0"), Some(Defect::CSeqMethod));
        assert_eq!(of("INVITE sip:a SIP/2.0\r\n folded: on"), Some(Defect::StartLine));
        assert_eq!(of("SIP/2.0 99 x"), Some(Defect::StatusCode));
        assert_eq!(of("SIP/2.0 4294967301 x"), Some(Defect::StatusCode));
        assert_eq!(of("SIP/2.0 200"), None);
        assert_eq!(scan(b"\r\n\r\n").defect, Some(Defect::KeepAlive));
        assert_eq!(scan(b"\0\x01\0\0!\x12\xa4B").defect, Some(Defect::NotSip));
    }

    #[test]
    fn every_prefix_of_a_message_is_read_without_panic() {
        let text = request("Route: <sip:x;lr>\r\nMax-Forwards: 70\r\nContent-Length: 3\r\n");
        for end in 0..text.len() {
            let message = scan(&text.as_bytes()[..end]);
            assert!(message.defect.is_some(), "{end}");
            let _ = (message.top_via(), message.from(), message.to(), find_call_id(&text.as_bytes()[..end]));
        }
    }
}
