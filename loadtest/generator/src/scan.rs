//! Reading a message: one pass over its lines, the few headers that matter, by reference. It reads what proxies make of our own
//! messages, no stranger's: long or compact names in any case, no folded lines.

use crate::ends::LineEnds;
use memchr::memchr;

/// Vias, and Record-Route lines, that are kept of one message.
pub(crate) const LINES_MAX: usize = 4;

/// A method as far as we tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    #[default]
    Other,
}

impl Method {
    fn of(name: &[u8]) -> Self {
        match name {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            _ => Self::Other,
        }
    }
}

/// Header lines of one name, in order, each with its line end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines<'a> {
    lines: [&'a [u8]; LINES_MAX],
    count: usize,
}

impl<'a> Lines<'a> {
    fn push(&mut self, line: &'a [u8]) {
        if let Some(place) = self.lines.get_mut(self.count) {
            *place = line;
        }
        self.count += 1;
    }

    /// How many there are, those beyond [`LINES_MAX`] too.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Those that were kept.
    pub(crate) fn as_slice(&self) -> &[&'a [u8]] {
        &self.lines[..self.count.min(LINES_MAX)]
    }
}

/// One message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan<'a> {
    /// 0 for a request.
    pub(crate) status: u16,
    /// The request's method; of a response that in CSeq.
    pub(crate) method: Method,
    /// The Request-URI.
    pub(crate) uri: &'a [u8],
    pub(crate) vias: Lines<'a>,
    pub(crate) record_routes: Lines<'a>,
    pub(crate) routes: usize,
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) call_id: &'a [u8],
    pub(crate) cseq: u32,
    /// CSeq as it stands there.
    pub(crate) cseq_value: &'a [u8],
    pub(crate) contact: &'a [u8],
    /// 0 when it is missing: then it is as wrong as 0 would be.
    pub(crate) max_forwards: u32,
    /// As long as Content-Length says; shorter when the datagram ends before.
    pub(crate) body: &'a [u8],
    /// Whether the datagram has the whole body.
    pub(crate) whole: bool,
}

/// Reads `bytes`; `None` when it is no SIP message with a Call-ID.
pub(crate) fn scan(bytes: &[u8]) -> Option<Scan<'_>> {
    let mut scan = Scan::default();
    let mut ends = LineEnds::new(bytes);
    let first_end = ends.next()?;
    start_line(&bytes[..first_end], &mut scan)?;
    let (mut at, mut content_length) = (first_end + 1, 0);
    loop {
        let end = ends.next()? + 1;
        let line = &bytes[at..end];
        at = end;
        if line.len() <= 2 {
            break;
        }
        usual_header(line, &mut scan, &mut content_length);
    }
    let rest = &bytes[at..];
    scan.whole = rest.len() >= content_length;
    scan.body = &rest[..content_length.min(rest.len())];
    (!scan.call_id.is_empty()).then_some(scan)
}

fn start_line<'a>(line: &'a [u8], scan: &mut Scan<'a>) -> Option<()> {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        scan.status = number(rest.get(..3)?)? as u16;
        return Some(());
    }
    let space = memchr(b' ', line)?;
    scan.method = Method::of(&line[..space]);
    let rest = &line[space + 1..];
    scan.uri = &rest[..memchr(b' ', rest)?];
    Some(())
}

/// A header line in the spelling that nearly everybody uses; any other is read by [`header`].
#[inline]
fn usual_header<'a>(line: &'a [u8], scan: &mut Scan<'a>, content_length: &mut usize) {
    match line.first_chunk::<4>() {
        Some(b"Via:") => return scan.vias.push(line),
        Some(b"Reco") if line.starts_with(b"Record-Route:") => return scan.record_routes.push(line),
        Some(b"From") => {
            if let Some(value) = usual_value(line, b"From: ") {
                return scan.from = value;
            }
        }
        Some(b"To: ") => {
            if let Some(value) = usual_value(line, b"To: ") {
                return scan.to = value;
            }
        }
        Some(b"Call") => {
            if let Some(value) = usual_value(line, b"Call-ID: ") {
                return scan.call_id = value;
            }
        }
        Some(b"CSeq") => {
            if let Some(value) = usual_value(line, b"CSeq: ") {
                return cseq(value, scan);
            }
        }
        Some(b"Cont") => {
            if let Some(digits) = usual_value(line, b"Content-Length: ") {
                return *content_length = number(digits).unwrap_or(0) as usize;
            } else if let Some(value) = usual_value(line, b"Contact: ") {
                return scan.contact = value;
            } else if line.starts_with(b"Content-Type:") {
                return;
            }
        }
        Some(b"Allo" | b"User") => return,
        Some(b"Max-") => {
            if let Some(digits) = usual_value(line, b"Max-Forwards: ") {
                return scan.max_forwards = number(digits).unwrap_or(0);
            }
        }
        _ => {}
    }
    header(line, scan, content_length);
}

/// The value behind this name, unless more white space surrounds it.
#[inline(always)]
fn usual_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_suffix(b"\r\n")?;
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    (!value.first().is_some_and(is_white) && !value.last().is_some_and(is_white)).then_some(value)
}

fn header<'a>(line: &'a [u8], scan: &mut Scan<'a>, content_length: &mut usize) {
    // Names are short: looking byte by byte is quicker than anything clever.
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
    let name = line[..colon].trim_ascii_end();
    let value = || line[colon + 1..].trim_ascii();
    let is = |long: &[u8]| name.eq_ignore_ascii_case(long);
    match (name.len(), name.first().unwrap_or(&0) | 0x20) {
        (3 | 1, b'v') => scan.vias.push(line),
        (4 | 1, b'f') => scan.from = value(),
        (2 | 1, b't') => scan.to = value(),
        (7, b'c') if is(b"call-id") => scan.call_id = value(),
        (1, b'i') => scan.call_id = value(),
        (7, b'c') if is(b"contact") => scan.contact = value(),
        (1, b'm') => scan.contact = value(),
        (4, b'c') if is(b"cseq") => cseq(value(), scan),
        (14, b'c') if is(b"content-length") => *content_length = number(value()).unwrap_or(0) as usize,
        (1, b'l') => *content_length = number(value()).unwrap_or(0) as usize,
        (12, b'r') if is(b"record-route") => scan.record_routes.push(line),
        (5, b'r') if is(b"route") => scan.routes += 1,
        (12, b'm') if is(b"max-forwards") => scan.max_forwards = number(value()).unwrap_or(0),
        _ => {}
    }
}

fn cseq<'a>(value: &'a [u8], scan: &mut Scan<'a>) {
    scan.cseq_value = value;
    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    scan.cseq = number(&value[..space]).unwrap_or(0);
    if scan.status != 0 {
        scan.method = Method::of(value[space..].trim_ascii());
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |sum, digit| {
        digit.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

/// The value of a header line.
pub(crate) fn value_of(line: &[u8]) -> &[u8] {
    line[memchr(b':', line).map_or(0, |colon| colon + 1)..].trim_ascii()
}

/// The values of a line that may have several, with commas between them; those inside `<…>` and quotes are no separators.
pub(crate) fn values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value_of(line));
    core::iter::from_fn(move || {
        let text = rest?;
        let (mut angle, mut quoted) = (false, false);
        let comma = text.iter().position(|byte| {
            match byte {
                b'"' => quoted = !quoted,
                b'<' if !quoted => angle = true,
                b'>' if !quoted => angle = false,
                _ => {}
            }
            *byte == b',' && !angle && !quoted
        });
        rest = comma.map(|at| &text[at + 1..]);
        Some(text[..comma.unwrap_or(text.len())].trim_ascii())
    })
}

/// The URI of a name-addr, or of an addr-spec without its header parameters.
pub(crate) fn uri_of(value: &[u8]) -> &[u8] {
    match memchr(b'<', value) {
        Some(open) => {
            let rest = &value[open + 1..];
            &rest[..memchr(b'>', rest).unwrap_or(rest.len())]
        }
        None => &value[..memchr(b';', value).unwrap_or(value.len())],
    }
}

/// The tag parameter of a From or To value.
pub(crate) fn tag_of(value: &[u8]) -> &[u8] {
    let after = memchr(b'>', value).map_or(value, |close| &value[close..]);
    // The usual spelling, and that of who has none.
    if let Some(tag) = after.strip_prefix(b">;tag=").filter(|tag| !tag.contains(&b';')) {
        return tag;
    } else if after == b">" {
        return &[];
    }
    let Some(at) = after.windows(5).position(|part| part.eq_ignore_ascii_case(b";tag=")) else { return &[] };
    let tag = &after[at + 5..];
    &tag[..memchr(b';', tag).unwrap_or(tag.len())]
}

/// What follows the magic cookie in the branch of a Via, to the end of the line (RFC 3261 §8.1.1.7).
pub(crate) fn branch_of(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    loop {
        rest = &rest[memchr(b';', rest)? + 1..];
        if let Some(branch) = rest.strip_prefix(b"branch=z9hG4bK") {
            return Some(branch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5;branch=a\r\nv: SIP/2.0/UDP b\r\n\
        Record-Route: <sip:127.0.0.1;lr;x=\",\">, <sip:127.0.0.2:5070;lr>\r\nRecord-Route: <sip:c>\r\n\
        From: \"a\" <sip:a@b>;tag=1\r\nTo: <sip:c;tag=no@d>;x=y;tag=2;z\r\nCall-ID: abc\r\nCSeq: 17 BYE\r\n\
        Contact: <sip:e@127.0.0.1:7>\r\nContent-Length: 3\r\n\r\nabcde";

    #[test]
    fn a_response_is_read() {
        let scan = scan(ANSWER).unwrap();
        assert_eq!((scan.status, scan.method, scan.cseq, scan.vias.count()), (200, Method::Bye, 17, 2));
        assert_eq!((scan.call_id, scan.body, scan.whole), (&b"abc"[..], &b"abc"[..], true));
        assert_eq!((tag_of(scan.from), tag_of(scan.to), tag_of(b"<sip:x>")), (&b"1"[..], &b"2"[..], &b""[..]));
        assert_eq!(uri_of(scan.contact), b"sip:e@127.0.0.1:7");
        let routes: Vec<_> = scan.record_routes.as_slice().iter().flat_map(|line| values(line)).map(uri_of).collect();
        assert_eq!(routes, [&b"sip:127.0.0.1;lr;x=\",\""[..], b"sip:127.0.0.2:5070;lr", b"sip:c"]);
    }

    #[test]
    fn a_request_is_read() {
        let bytes =
            b"ACK sip:e@f SIP/2.0\r\nRoute: <sip:a>\r\nMax-Forwards: 69\r\ni: x\r\nCSeq: 1 ACK\r\nl: 9\r\n\r\nshort";
        let scan = scan(bytes).unwrap();
        assert_eq!((scan.status, scan.method, scan.uri), (0, Method::Ack, &b"sip:e@f"[..]));
        assert_eq!((scan.routes, scan.max_forwards, scan.call_id, scan.whole), (1, 69, &b"x"[..], false));
    }

    #[test]
    fn what_is_cut_or_no_sip_is_nothing() {
        for end in 0..ANSWER.len() - 5 {
            assert!(scan(&ANSWER[..end]).is_none(), "{end}");
        }
        assert!(scan(b"SIP/2.0 2x0 OK\r\nCall-ID: a\r\n\r\n").is_none());
        assert!(scan(b"SIP/2.0 200 OK\r\nTo: a\r\n\r\n").is_none());
    }

    #[test]
    fn more_lines_than_are_kept_are_counted() {
        let text = format!("SIP/2.0 200 OK\r\n{}Call-ID: a\r\n\r\n", "Via: x\r\n".repeat(11));
        let scan = scan(text.as_bytes()).unwrap();
        assert_eq!((scan.vias.count(), scan.vias.as_slice().len()), (11, LINES_MAX));
    }
}
