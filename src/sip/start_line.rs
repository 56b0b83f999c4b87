//! The first line of a message: a request line (RFC 3261 §7.1) or a status line (§7.2).

use super::masks::{find_byte, uri_end};
use super::scan::{Scanner, is_method};
use super::{Defect, Method, Span, Start, Status};
use memchr::memrchr;

impl Scanner<'_, '_> {
    pub(super) fn start_line(&mut self, start: usize, end: usize) -> Result<(), Defect> {
        let line = &self.bytes[start..end];
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            return self.status_line(line);
        }
        // RFC 3261 §7.1: Method SP Request-URI SP SIP-Version; what ends in no version at all is not SIP.
        let version = version_slash(line).ok_or(Defect::NotSip)?;
        let first = match find_byte(self.bytes, start, end, b' ') - start {
            none if none == line.len() => 0,
            first => first,
        };
        self.head.method = Span::new(start, start + first);
        self.head.start = Start::Request(Method::of(&line[..first]));
        self.check(is_method(&line[..first]), Defect::StartLine);
        let last = version - 4;
        if line[last] != b' ' || last <= first {
            self.fault(Defect::StartLine);
            return Ok(());
        }
        self.head.uri = Span::new(start + first + 1, start + last);
        let Span { start: uri, end } = self.head.uri;
        let clean = uri < end && uri_end(self.bytes, uri as usize, end as usize) == end as usize;
        self.check(clean, Defect::StartLine);
        match &line[version + 1..] {
            b"2.0" => {}
            // RFC 3261 §21.5.7: a version it does not speak; anything else behind the slash is no version.
            other if other.trim_ascii_end() == b"2.0" => self.fault(Defect::StartLine),
            _ => self.fault(Defect::Version),
        }
        Ok(())
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), Defect> {
        let (version, rest) = line.split_at_checked(7).ok_or(Defect::NotSip)?;
        let code = rest.strip_prefix(b" ").and_then(|rest| rest.split_first_chunk::<3>());
        let (code, after) = code.ok_or(Defect::StatusCode)?;
        if !code.iter().all(u8::is_ascii_digit) || after.first().is_some_and(|b| *b != b' ') {
            return Err(Defect::StatusCode);
        }
        let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        self.head.start = Start::Response(Status::new(code).ok_or(Defect::StatusCode)?);
        self.check(version.eq_ignore_ascii_case(b"SIP/2.0"), Defect::Version);
        Ok(())
    }
}

/// The slash in the SIP-Version that ends the line; `None` when it ends in none.
#[inline]
fn version_slash(line: &[u8]) -> Option<usize> {
    if line.ends_with(b" SIP/2.0") {
        return Some(line.len() - 4);
    }
    let slash = memrchr(b'/', line).filter(|slash| *slash >= 4)?;
    line[slash - 3..slash].eq_ignore_ascii_case(b"SIP").then_some(slash)
}
