//! The first line of a message: a request line (RFC 3261 §7.1) or a status line (§7.2).

use super::cursor::{is_token, is_uri};
use super::scan::Scanner;
use super::{Defect, Method, Span, Start, Status};
use memchr::{memchr, memrchr};

impl Scanner<'_, '_> {
    pub(super) fn start_line(&mut self, start: usize, end: usize) -> Result<(), Defect> {
        let line = &self.bytes[start..end];
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            return self.status_line(line);
        }
        // RFC 3261 §7.1: Method SP Request-URI SP SIP-Version; what ends in no version at all is not SIP.
        let version = memrchr(b'/', line).filter(|slash| *slash >= 4).ok_or(Defect::NotSip)?;
        if !line[version - 3..version].eq_ignore_ascii_case(b"SIP") {
            return Err(Defect::NotSip);
        }
        let first = memchr(b' ', line).unwrap_or(0);
        self.head.method = Span::new(start, start + first);
        self.head.start = Start::Request(Method::of(&line[..first]));
        self.check(first > 0 && line[..first].iter().all(|b| is_token(*b)), Defect::StartLine);
        let last = version - 4;
        if line[last] != b' ' || last <= first {
            self.fault(Defect::StartLine);
            return Ok(());
        }
        self.head.uri = Span::new(start + first + 1, start + last);
        let uri = &line[first + 1..last];
        let clean = !uri.is_empty() && uri.iter().all(|b| is_uri(*b));
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
