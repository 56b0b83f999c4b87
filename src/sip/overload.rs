//! The overload control parameters of a Via (RFC 7339 §4, RFC 7415 §3.1).

use super::cursor::{Cursor, Param};
use super::{Span, Splice, Via, push_number};

/// What a server reports in our Via of its response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverloadParams {
    /// `oc-algo`: whether it is `rate`, else `loss`.
    pub is_rate: bool,
    /// `oc`: percent to leave out, at most 100; of a rate: requests per second at most.
    pub value: u32,
    /// `oc-validity`, ms; 0: overload is over.
    pub validity_ms: u32,
    /// `oc-seq` times 100,000.
    pub sequence: u64,
}

/// What a server reports to a client that offered to heed it: by the algorithm `loss`, which every client has (RFC 7339 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feedback {
    /// Percent of its requests that the client is to leave out, at most 100.
    pub loss_percent: u32,
    /// How long that counts, ms.
    pub validity_ms: u32,
    /// Grows from one report to the next, ms (`oc-seq` in its example is the time in seconds).
    pub sequence_ms: u64,
}

impl Feedback {
    /// Puts the report into `via`, the topmost of a request's copy in its response, in the place of what the client offered (RFC 7339 §4).
    pub fn apply(&self, bytes: &[u8], via: &Via, splice: &mut Splice) {
        via.overload_spans(bytes).for_each(|span| splice.remove(span));
        splice.replace_with(Span { start: via.value.end, end: via.value.end }, |text| {
            text.extend_from_slice(b";oc=");
            push_number(self.loss_percent, text);
            text.extend_from_slice(b";oc-algo=\"loss\";oc-validity=");
            push_number(self.validity_ms, text);
            text.extend_from_slice(b";oc-seq=");
            // RFC 7339 §9: at most twelve digits before the point.
            push_number((self.sequence_ms / 1_000) as u32, text);
            let digit = |divisor: u64| b'0' + (self.sequence_ms / divisor % 10) as u8;
            text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
        });
    }
}

/// RFC 7339 §4.3: as long a report counts that does not say how long.
const VALIDITY_DEFAULT_MS: u32 = 500;

/// Digits of an `oc-seq` before and behind its point at most (RFC 7339 §9).
const SEQUENCE_DIGITS: usize = 12;
const SEQUENCE_DECIMALS: usize = 5;

impl Via {
    /// The report in this Via of `bytes`; `None` without one, and for one that is not as it must be: an `oc` without value (its
    /// sender has only copied ours), no `oc-seq`, a loss above 100, an algorithm or a list that nobody offered.
    #[must_use]
    pub fn overload(&self, bytes: &[u8]) -> Option<OverloadParams> {
        let (mut oc, mut algorithm, mut validity, mut sequence) = (None, None, None, None);
        for (_, param) in self.params(bytes) {
            let place = match Name::of(param.name.of(bytes)) {
                Some(Name::Oc) => &mut oc,
                Some(Name::Algo) => &mut algorithm,
                Some(Name::Validity) => &mut validity,
                Some(Name::Seq) => &mut sequence,
                None => continue,
            };
            // RFC 3261 §7.3.1: no parameter twice.
            if place.replace(param.value).is_some() {
                return None;
            }
        }
        let text = |value: Span| value.of(bytes);
        let validity_ms = validity.map_or(Some(VALIDITY_DEFAULT_MS), |value| number(text(value?)))?;
        let sequence = sequence_number(text(sequence??))?;
        let algorithm = algorithm.map_or(Some(&b"loss"[..]), |value| Some(unquoted(text(value?))))?;
        let is_rate = algorithm.eq_ignore_ascii_case(b"rate");
        let value = match oc? {
            // RFC 7339 §5.7: without validity the value is disregarded.
            _ if validity_ms == 0 => 0,
            value => number(text(value?))?,
        };
        let known = is_rate || (algorithm.eq_ignore_ascii_case(b"loss") && value <= 100);
        known.then_some(OverloadParams { is_rate, value, validity_ms, sequence })
    }

    /// Whether the sender of `bytes`, a request with this top Via, heeds reports by the algorithm `loss` (RFC 7339 §4.1, §4.2): `oc`
    /// without value, and `loss` among its algorithms.
    #[must_use]
    pub fn offers_loss(&self, bytes: &[u8]) -> bool {
        let (mut offers, mut has_loss) = (false, true);
        for (_, param) in self.params(bytes) {
            match Name::of(param.name.of(bytes)) {
                Some(Name::Oc) => offers = param.value.is_none(),
                Some(Name::Algo) => has_loss = param.value.is_some_and(|value| lists_loss(value.of(bytes))),
                Some(Name::Validity | Name::Seq) | None => {}
            }
        }
        offers && has_loss
    }

    /// The overload control parameters in this Via, each with its semicolon and the white space around it.
    pub fn overload_spans(&self, bytes: &[u8]) -> impl Iterator<Item = Span> {
        let is_ours = |(_, param): &(Span, Param)| Name::of(param.name.of(bytes)).is_some();
        self.params(bytes).filter(is_ours).map(|(whole, _)| whole)
    }

    /// All parameters, each with all that is before it behind the last one.
    fn params(&self, bytes: &[u8]) -> impl Iterator<Item = (Span, Param)> {
        let mut cursor = Cursor::new(bytes, Span { start: self.host.end, end: self.value.end });
        cursor.skip_lws();
        // What was read once is read again without surprise: who could not be read is no Via.
        let _ = cursor.port();
        let mut start = cursor.at;
        core::iter::from_fn(move || {
            let param = cursor.param().ok()??;
            let whole = Span::new(start, cursor.at);
            start = cursor.at;
            Some((whole, param))
        })
    }
}

enum Name {
    Oc,
    Algo,
    Validity,
    Seq,
}

impl Name {
    fn of(name: &[u8]) -> Option<Self> {
        let rest = name.split_at_checked(2).filter(|(oc, _)| oc.eq_ignore_ascii_case(b"oc")).map(|(_, rest)| rest)?;
        match rest.len() {
            0 => Some(Self::Oc),
            4 if rest.eq_ignore_ascii_case(b"-seq") => Some(Self::Seq),
            5 if rest.eq_ignore_ascii_case(b"-algo") => Some(Self::Algo),
            9 if rest.eq_ignore_ascii_case(b"-validity") => Some(Self::Validity),
            _ => None,
        }
    }
}

/// A number and nothing else.
fn number(text: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(text, Span::new(0, text.len()));
    let number = cursor.number().ok()?;
    (cursor.at == text.len()).then_some(number)
}

fn lists_loss(text: &[u8]) -> bool {
    unquoted(text).split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"loss"))
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text).trim_ascii()
}

/// `1282321615.782` as a whole number of hundred-thousandths; the decimals may be missing.
fn sequence_number(text: &[u8]) -> Option<u64> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let (whole, decimals) = (parts.next()?, parts.next());
    let sound = |digits: &[u8], most| (1..=most).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !sound(whole, SEQUENCE_DIGITS) || !decimals.is_none_or(|decimals| sound(decimals, SEQUENCE_DECIMALS)) {
        return None;
    }
    let decimals = decimals.unwrap_or_default().iter().chain([b'0'; SEQUENCE_DECIMALS].iter()).take(SEQUENCE_DECIMALS);
    Some(whole.iter().chain(decimals).fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> Option<OverloadParams> {
        let text = format!("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx{params}, SIP/2.0/UDP h;oc=99;oc-seq=9.9");
        Via::parse(text.as_bytes(), Span::new(0, text.len())).unwrap().overload(text.as_bytes())
    }

    #[test]
    fn a_report_is_read_in_every_order_and_spelling() {
        // RFC 7339 §4, and its example
        let loss = OverloadParams { is_rate: false, value: 20, validity_ms: 500, sequence: 128_232_161_578_200 };
        assert_eq!(read(";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782"), Some(loss));
        assert_eq!(read(" ; OC-SEQ = 1282321615.78200;x=\"a;oc=7\";Oc-Algo=LOSS;oc = 20"), Some(loss));
        assert_eq!(read(";oc=20;oc-seq=1282321615.782"), Some(loss), "loss and 500 ms are the defaults");
        // RFC 7415 §3.1
        let rate = OverloadParams { is_rate: true, value: 150, validity_ms: 1_000, sequence: 100_000 };
        assert_eq!(read(";oc=150;oc-algo=\"rate\";oc-validity=1000;oc-seq=1"), Some(rate));
        // RFC 7339 §5.7
        let over = OverloadParams { is_rate: false, value: 0, validity_ms: 0, sequence: 200_000 };
        assert_eq!(read(";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=2.0"), Some(over));
        assert_eq!(read(";oc;oc-validity=0;oc-seq=2.0"), Some(over));
    }

    #[test]
    fn what_is_no_report_is_left_alone() {
        for params in [
            "",
            ";oc",
            ";oc;oc-algo=\"loss,rate\"",
            ";oc=20",
            ";oc=20;oc-algo=\"loss,rate\";oc-seq=1.0",
            ";oc=20;oc-algo=\"magic\";oc-seq=1.0",
            ";oc=20;oc-algo;oc-seq=1.0",
            ";oc=101;oc-algo=\"loss\";oc-seq=1.0",
            ";oc=99999999999;oc-algo=\"rate\";oc-seq=1.0",
            ";oc=-1;oc-seq=1.0",
            ";oc=2x;oc-seq=1.0",
            ";oc=20;oc=30;oc-seq=1.0",
            ";oc=20;oc-validity=soon;oc-seq=1.0",
            ";oc=20;oc-validity;oc-seq=1.0",
            ";oc-validity=900;oc-seq=1.0",
            ";oc=20;oc-seq",
            ";oc=20;oc-seq=",
            ";oc=20;oc-seq=.5",
            ";oc=20;oc-seq=1.",
            ";oc=20;oc-seq=1.123456",
            ";oc=20;oc-seq=1234567890123.0",
            ";oc=20;oc-seq=1.2.3",
            ";ocx=20;oc-seq=1.0",
        ] {
            assert_eq!(read(params), None, "{params}");
        }
    }

    #[test]
    fn who_offers_to_heed_loss_is_known_by_oc_without_value() {
        // RFC 7339 §4.1, §4.2
        let offers = |params: &str| {
            let text = format!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx{params}, SIP/2.0/UDP h;oc");
            Via::parse(text.as_bytes(), Span::new(0, text.len())).unwrap().offers_loss(text.as_bytes())
        };
        for params in [";oc", ";oc;oc-algo=\"loss\"", ";oc-algo=\"rate, LOSS\";x;OC", ";oc;oc-algo=loss"] {
            assert!(offers(params), "{params}");
        }
        for params in ["", ";oc=20", ";oc;oc-algo=\"rate\"", ";oc;oc-algo", ";oc-algo=\"loss\"", ";ocx"] {
            assert!(!offers(params), "{params}");
        }
    }

    #[test]
    fn a_report_takes_the_place_of_the_offer_and_is_read_as_it_was_meant() {
        // RFC 7339 §4, §9
        let text = "SIP/2.0/UDP 192.0.2.1;oc;branch=z9hG4bKx;oc-algo=\"loss,rate\" , SIP/2.0/UDP h;oc";
        let via = Via::parse(text.as_bytes(), Span::new(0, text.len())).unwrap();
        let (mut splice, mut out) = (Splice::new(), Vec::new());
        let feedback = Feedback { loss_percent: 37, validity_ms: 500, sequence_ms: 1_282_321_615_078 };
        feedback.apply(text.as_bytes(), &via, &mut splice);
        splice.write(text.as_bytes(), text.len(), &mut out);
        let written = String::from_utf8(out).unwrap();
        assert_eq!(
            written,
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;oc=37;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.078 , SIP/2.0/UDP h;oc"
        );
        let read = Via::parse(written.as_bytes(), Span::new(0, written.len())).unwrap().overload(written.as_bytes());
        let sequence = 1_282_321_615_078 * 100;
        assert_eq!(read, Some(OverloadParams { is_rate: false, value: 37, validity_ms: 500, sequence }));
    }

    #[test]
    fn sequence_numbers_are_in_the_order_of_their_decimals() {
        // RFC 7339 §4.4
        let texts = ["0", "0.00001", "0.1", "1.09", "1.1", "1.9", "2", "10.0", "999999999999.99999"];
        let numbers: Vec<_> = texts.iter().map(|text| sequence_number(text.as_bytes()).unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(sequence_number(b"1.10"), sequence_number(b"1.1"));
    }

    #[test]
    fn the_spans_cover_the_parameters_and_nothing_else() {
        let text = "SIP/2.0/UDP [::1] : 5060 ;oc ;rport;oc-algo = \"loss,rate\";branch=z9hG4bKx;oc-x;oc-seq=1 , SIP/2.0/UDP h;oc";
        let via = Via::parse(text.as_bytes(), Span::new(0, text.len())).unwrap();
        let spans: Vec<_> = via.overload_spans(text.as_bytes()).map(|span| span.of(text.as_bytes())).collect();
        assert_eq!(spans, [&b" ;oc "[..], b";oc-algo = \"loss,rate\"", b";oc-seq=1"]);
    }
}
